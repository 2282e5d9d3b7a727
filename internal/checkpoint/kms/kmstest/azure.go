package kmstest

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
)

// The vault of the keys, and the tenant of the identities.
const (
	azureVault  = "keys.vault.azure.net"
	azureTenant = "00000000-0000-0000-0000-000000000001"
	azureLogin  = "login.microsoftonline.com"
	// azureMost is what RSA-OAEP-256 takes of a key of 2048 bits, in bytes.
	azureMost = 190
)

var azureCall = regexp.MustCompile(`^/keys/([A-Za-z0-9]+)/([0-9a-f]*)/?(encrypt|decrypt)$`)

type azureWord struct {
	status      int
	code, inner string
}

var azureWords = map[refusal]azureWord{
	denied: {http.StatusForbidden, "Forbidden", "ForbiddenByRbac"}, missing: {http.StatusNotFound, "KeyNotFound", ""},
	disabled: {http.StatusForbidden, "Forbidden", "KeyDisabled"}, foreign: {http.StatusBadRequest, "BadParameter", ""},
}

// Azure is a transport to Azure's own names, which its client insists on.
func (s *Service) Azure() http.RoundTripper { return azure{s} }

// AzureURL of a key.
func AzureURL(key string) string { return "azurekeyvault://" + azureVault + "/keys/" + key }

// AzureCredentials are an identity's, as JSON.
func AzureCredentials(who string) []byte {
	return []byte(`{"tenantID":"` + azureTenant + `","clientID":"` + who + `","clientSecret":"not-a-secret"}`)
}

type azure struct{ to *Service }

// RoundTrip answers at once.
func (a azure) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Host {
	case azureLogin:
		login(w, r)
	case azureVault:
		a.serve(w, r)
	default:
		w.WriteHeader(http.StatusBadGateway)
	}
	res := w.Result()
	res.Request = r
	return res, nil
}

func login(w http.ResponseWriter, r *http.Request) {
	at := "https://" + azureLogin + "/" + azureTenant
	switch {
	case strings.HasSuffix(r.URL.Path, "/discovery/instance"):
		answer(w, http.StatusOK, map[string]any{"tenant_discovery_endpoint": at + "/v2.0/.well-known/openid-configuration", "metadata": []any{}})
	case strings.HasSuffix(r.URL.Path, "/openid-configuration"):
		answer(w, http.StatusOK, map[string]any{"token_endpoint": at + "/oauth2/v2.0/token", "authorization_endpoint": at + "/oauth2/v2.0/authorize", "issuer": at + "/v2.0"})
	case r.FormValue("scope") == "":
		answer(w, http.StatusBadRequest, map[string]any{"error": "invalid_scope"})
	default:
		who := r.FormValue("client_id")
		if _, known := rights[who]; !known {
			answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client", "error_description": "a text that repeats a secret"})
			return
		}
		answer(w, http.StatusOK, map[string]any{"access_token": "for-" + who, "token_type": "Bearer", "expires_in": 3600})
	}
}

func (a azure) serve(w http.ResponseWriter, r *http.Request) {
	who, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer for-")
	if !found {
		w.Header().Set("WWW-Authenticate", `Bearer authorization="https://`+azureLogin+`/`+azureTenant+`", resource="https://vault.azure.net"`)
		answer(w, http.StatusUnauthorized, map[string]any{"error": map[string]any{"code": "Unauthorized"}})
		return
	}
	var in struct {
		Algorithm string `json:"alg"`
		Value     string `json:"value"`
	}
	m := azureCall.FindStringSubmatch(r.URL.Path)
	if m == nil || r.URL.Query().Get("api-version") == "" {
		azureAnswer(w, missing, nil)
		return
	}
	value, err := []byte(nil), json.NewDecoder(r.Body).Decode(&in)
	if err == nil {
		value, err = base64.RawURLEncoding.DecodeString(in.Value)
	}
	if err != nil || in.Algorithm != "RSA-OAEP-256" || m[3] == "encrypt" && len(value) > azureMost {
		azureAnswer(w, foreign, nil)
		return
	}
	a.operate(w, who, m, value)
}

// operate encrypts with the newest version, and decrypts with the version that is named or the newest, whichever was used.
func (a azure) operate(w http.ResponseWriter, who string, m []string, value []byte) {
	var (
		out     []byte
		version int
		no      refusal
	)
	if m[3] == "encrypt" {
		out, version, no = a.to.encrypt(who, m[1], value)
	} else {
		version = a.newest(m[1])
		if m[2] != "" {
			n, err := strconv.ParseUint(m[2], 16, 16)
			if err != nil {
				azureAnswer(w, missing, nil)
				return
			}
			version = int(n)
		}
		out, no = a.to.decrypt(who, m[1], version, value)
	}
	azureAnswer(w, no, map[string]any{
		"kid": "https://" + azureVault + "/keys/" + m[1] + "/" + versionID(version), "value": base64.RawURLEncoding.EncodeToString(out),
	})
}

func (a azure) newest(name string) int {
	a.to.mu.Lock()
	defer a.to.mu.Unlock()
	if k := a.to.keys[name]; k != nil {
		return len(k.versions)
	}
	return 0
}

func azureAnswer(w http.ResponseWriter, no refusal, out map[string]any) {
	if no == done {
		answer(w, http.StatusOK, out)
		return
	}
	word := azureWords[no]
	body := map[string]any{"code": word.code, "message": "a text that repeats a secret"}
	if word.inner != "" {
		body["innererror"] = map[string]any{"code": word.inner}
	}
	answer(w, word.status, map[string]any{"error": body})
}
