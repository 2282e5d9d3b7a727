package kmstest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"hash/crc32"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A Google serves keys as Google Cloud KMS does, and tokens as Google does.
type Google struct {
	to     *Service
	server *httptest.Server
	key    *rsa.PrivateKey
}

const googlePath = "projects/p/locations/europe-west3/keyRings/r/cryptoKeys/"

var googleCall = regexp.MustCompile(`^/v1/` + googlePath + `([A-Za-z0-9]+):(encrypt|decrypt)$`)

type googleWord struct {
	status int
	code   string
}

var googleWords = map[refusal]googleWord{
	unknown: {http.StatusUnauthorized, "UNAUTHENTICATED"}, denied: {http.StatusForbidden, "PERMISSION_DENIED"},
	missing: {http.StatusNotFound, "NOT_FOUND"}, disabled: {http.StatusBadRequest, "FAILED_PRECONDITION"},
	foreign: {http.StatusBadRequest, "INVALID_ARGUMENT"},
}

// Google serves the keys. Identities are service accounts, whose signatures are checked.
func (s *Service) Google(t testing.TB) *Google {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	g := &Google{to: s, key: key}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", g.token)
	mux.HandleFunc("POST /v1/", g.serve)
	g.server = httptest.NewServer(mux)
	t.Cleanup(g.server.Close)
	return g
}

// URL of a key.
func (g *Google) URL(key string) string {
	return "gcpkms://" + googlePath + key + "?endpoint=" + g.server.URL
}

// Credentials are an identity's: a service account's key as Google gives it out.
func (g *Google) Credentials(who string) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(g.key)
	if err != nil {
		panic(err) // It was made above.
	}
	b, err := json.Marshal(map[string]string{
		"type": "service_account", "client_email": who, "private_key_id": "1", "token_uri": g.server.URL + "/token",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
	})
	if err != nil {
		panic(err) // It is text.
	}
	return b
}

// token gives a token to whoever signed for it. It says for whom it is.
func (g *Google) token(w http.ResponseWriter, r *http.Request) {
	var claims struct {
		Issuer string `json:"iss"`
		Scope  string `json:"scope"`
	}
	parts := strings.Split(r.FormValue("assertion"), ".")
	if len(parts) != 3 {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_request"})
		return
	}
	body, _ := base64.RawURLEncoding.DecodeString(parts[1])
	signature, _ := base64.RawURLEncoding.DecodeString(parts[2])
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	err := rsa.VerifyPKCS1v15(&g.key.PublicKey, crypto.SHA256, sum[:], signature)
	if _, known := rights[claimed(body, &claims.Issuer, &claims.Scope)]; err != nil || !known {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		return
	}
	if claims.Scope != "https://www.googleapis.com/auth/cloudkms" {
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_scope"})
		return
	}
	w.Header().Set("Content-Type", "application/json")
	answer(w, http.StatusOK, map[string]any{"access_token": "for-" + claims.Issuer, "token_type": "Bearer", "expires_in": 3600})
}

// claimed reads who signs and for what.
func claimed(body []byte, issuer, scope *string) string {
	var c struct {
		Issuer string `json:"iss"`
		Scope  string `json:"scope"`
	}
	if json.Unmarshal(body, &c) != nil {
		return ""
	}
	*issuer, *scope = c.Issuer, c.Scope
	return c.Issuer
}

func (g *Google) serve(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Plaintext        []byte `json:"plaintext"`
		PlaintextCRC32C  string `json:"plaintextCrc32c"`
		Ciphertext       []byte `json:"ciphertext"`
		CiphertextCRC32C string `json:"ciphertextCrc32c"`
	}
	m := googleCall.FindStringSubmatch(r.URL.Path)
	if m == nil {
		googleAnswer(w, missing, nil)
		return
	}
	if json.NewDecoder(r.Body).Decode(&in) != nil {
		googleAnswer(w, foreign, nil)
		return
	}
	who := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer for-")
	if m[2] == "encrypt" {
		if in.PlaintextCRC32C != sum(in.Plaintext) {
			googleAnswer(w, foreign, nil)
			return
		}
		sealed, version, no := g.to.encrypt(who, m[1], in.Plaintext)
		b := label("", version, sealed)
		googleAnswer(w, no, map[string]any{"name": googlePath + m[1], "ciphertext": b, "ciphertextCrc32c": sum(b), "verifiedPlaintextCrc32c": true})
		return
	}
	if in.CiphertextCRC32C != sum(in.Ciphertext) {
		googleAnswer(w, foreign, nil)
		return
	}
	_, version, sealed := unlabel(in.Ciphertext)
	plain, no := g.to.decrypt(who, m[1], version, sealed)
	googleAnswer(w, no, map[string]any{"plaintext": plain, "plaintextCrc32c": sum(plain)})
}

func googleAnswer(w http.ResponseWriter, no refusal, out map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	if no == done {
		answer(w, http.StatusOK, out)
		return
	}
	word := googleWords[no]
	answer(w, word.status, map[string]any{"error": map[string]any{"code": word.status, "status": word.code, "message": "a text that repeats a secret"}})
}

func sum(b []byte) string {
	return strconv.FormatUint(uint64(crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))), 10)
}
