package chroma

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// maxWords is how much is told of an answer that is not the server's own.
const maxWords = 256

// A failure is what the server says when it refuses.
type failure struct {
	Error   string `json:"error"`
	Message string `json:"message"`
}

// refusal returns the error for an answer that is not a success.
func refusal(res *http.Response, body []byte) error {
	var f failure
	if json.Unmarshal(body, &f) != nil || f.Message == "" {
		f.Message = res.Status + " " + strings.ToValidUTF8(string(body[:min(len(body), maxWords)]), "")
	}

	f.Message = strings.TrimSpace(f.Message)
	kind := kindOf(res.StatusCode, f)

	switch {
	case res.StatusCode/100 == 3:
		return vector.Errorf(kind, "the endpoint redirects to %q, where it should point itself", res.Header.Get("Location"))
	case kind == vector.Invalid && res.StatusCode == http.StatusNotFound:
		return vector.Errorf(kind, "there is no Chroma 1.0 or newer at the endpoint: %s", f.Message)
	default:
		return vector.Errorf(kind, "%s", f.Message)
	}
}

// kindOf returns the kind of a refusal.
func kindOf(status int, f failure) vector.Kind {
	switch {
	case isQuota(f.Message):
		return vector.QuotaExceeded
	case status == http.StatusNotFound && f.Error == "NotFoundError":
		return vector.NotFound
	case status == http.StatusConflict:
		return vector.Exists
	case status == http.StatusUnauthorized, status == http.StatusProxyAuthRequired:
		return vector.Unauthenticated
	case status == http.StatusForbidden:
		return vector.PermissionDenied
	case status == http.StatusInsufficientStorage:
		return vector.QuotaExceeded
	case status == http.StatusNotImplemented:
		return vector.Unsupported
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= http.StatusInternalServerError:
		return vector.Unavailable
	default:
		return vector.Invalid
	}
}

// isQuota tells by its words what the server has no status of its own for: a limit of the account (429 in early versions,
// 422 in later ones), and its database that found no room (500).
func isQuota(message string) bool {
	return strings.HasPrefix(message, "Quota exceeded") || strings.HasPrefix(message, "Billing limit exceeded") ||
		strings.Contains(message, "database or disk is full")
}
