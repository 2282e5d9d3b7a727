package kmstest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// AWSRegion is where the keys are, and AWSAccount whose they are.
const (
	AWSRegion  = "eu-central-1"
	AWSAccount = "111122223333"
)

var signed = regexp.MustCompile(`^AWS4-HMAC-SHA256 Credential=([^/]+)/[0-9]{8}/([a-z0-9-]+)/kms/aws4_request, `)

// awsWords are AWS's codes. All of them come with status 400.
var awsWords = map[refusal]string{
	unknown: "UnrecognizedClientException", denied: "AccessDeniedException", missing: "NotFoundException",
	disabled: "DisabledException", foreign: "InvalidCiphertextException",
}

// AWS serves the keys as AWS KMS does, and returns the URL of one. The identity is the access key's id; signatures are not
// checked.
func (s *Service) AWS(t testing.TB) func(key string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(s.serveAWS))
	t.Cleanup(server.Close)
	return func(key string) string {
		return "awskms:///" + awsARN(key) + "?endpoint=" + server.URL
	}
}

// AWSCredentials are an identity's, as JSON.
func AWSCredentials(who string) []byte {
	return []byte(`{"accessKeyID":"` + who + `","secretAccessKey":"not-a-secret"}`)
}

func awsARN(key string) string { return "arn:aws:kms:" + AWSRegion + ":" + AWSAccount + ":key/" + key }

func (s *Service) serveAWS(w http.ResponseWriter, r *http.Request) {
	var in struct {
		KeyID          string `json:"KeyId"`
		Plaintext      []byte
		CiphertextBlob []byte
	}
	m := signed.FindStringSubmatch(r.Header.Get("Authorization"))
	if m == nil {
		awsRefuse(w, "MissingAuthenticationTokenException")
		return
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		awsRefuse(w, "SerializationException")
		return
	}
	key, found := strings.CutPrefix(in.KeyID, "arn:aws:kms:"+m[2]+":"+AWSAccount+":key/")
	if !found || m[2] != AWSRegion {
		key = "" // A region knows its own keys only.
	}
	switch r.Header.Get("X-Amz-Target") {
	case "TrentService.Encrypt":
		sealed, version, no := s.encrypt(m[1], key, in.Plaintext)
		awsAnswer(w, no, map[string]any{"KeyId": in.KeyID, "CiphertextBlob": label(key, version, sealed), "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"})
	case "TrentService.Decrypt":
		name, version, sealed := unlabel(in.CiphertextBlob)
		if name != "" && name != key {
			awsRefuse(w, "IncorrectKeyException")
			return
		}
		plain, no := s.decrypt(m[1], key, version, sealed)
		awsAnswer(w, no, map[string]any{"KeyId": in.KeyID, "Plaintext": plain, "EncryptionAlgorithm": "SYMMETRIC_DEFAULT"})
	default:
		awsRefuse(w, "UnknownOperationException")
	}
}

func awsAnswer(w http.ResponseWriter, no refusal, out map[string]any) {
	if no != done {
		awsRefuse(w, awsWords[no])
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	answer(w, http.StatusOK, out)
}

func awsRefuse(w http.ResponseWriter, code string) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	answer(w, http.StatusBadRequest, map[string]any{"__type": code, "message": "a text that repeats a secret"})
}

func answer(w http.ResponseWriter, status int, body map[string]any) {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err) // Text, numbers and bytes.
	}
	w.WriteHeader(status)
	w.Write(b) //nolint:errcheck // The client may have gone.
}
