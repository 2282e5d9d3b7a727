package weaviate

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// maxWords is how much is told of an answer that is not the server's own.
const maxWords = 256

// missingClass is how the server says that the class that an alias shall point to is not there.
const missingClass = "class does not exist"

// A failure is what the server says when it refuses. Errors are what its handlers say, a message what is said before them.
type failure struct {
	Errors []struct {
		Message string `json:"message"`
	} `json:"error"`
	Message string `json:"message"`
}

// refusal returns the error for an answer that is not a success.
func refusal(res *http.Response, body []byte) error {
	words, known := wordsOf(body)
	kind := kindOf(res.StatusCode, words)

	switch {
	case res.StatusCode/100 == 3:
		return vector.Errorf(vector.Invalid, "the endpoint redirects to %q, where it should point itself", res.Header.Get("Location"))
	case res.StatusCode == http.StatusNotFound && len(body) == 0:
		// The server says no more of what is not there.
		return vector.Errorf(kind, "the store has nothing of this name")
	case !known && (kind == vector.NotFound || kind == vector.Invalid):
		return vector.Errorf(vector.Invalid, "there is no Weaviate 1.32 or newer at the endpoint: %s %s", res.Status, words)
	case words == "":
		return vector.Errorf(kind, "%s", res.Status)
	default:
		return vector.Errorf(kind, "%s", words)
	}
}

// wordsOf returns what an answer says, and whether it says it as a handler of the server does.
func wordsOf(body []byte) (string, bool) {
	var f failure

	err := json.Unmarshal(body, &f)

	switch {
	case err == nil && len(f.Errors) > 0:
		words := make([]string, len(f.Errors))
		for i, e := range f.Errors {
			words[i] = e.Message
		}

		return strings.Join(words, "; "), true
	case err == nil && f.Message != "":
		return f.Message, false
	default:
		return strings.TrimSpace(strings.ToValidUTF8(string(body[:min(len(body), maxWords)]), "")), false
	}
}

// kindOf returns the kind of a refusal. The server says 422 of much that has a status of its own elsewhere, and 500 of
// disks that are full: what that is its words tell.
func kindOf(status int, words string) vector.Kind {
	has := func(s string) bool { return strings.Contains(words, s) }

	switch {
	case status == http.StatusUnauthorized, status == http.StatusProxyAuthRequired:
		return vector.Unauthenticated
	case status == http.StatusForbidden:
		return vector.PermissionDenied
	case status == http.StatusNotFound:
		return vector.NotFound
	case status == http.StatusConflict, status == http.StatusUnprocessableEntity && has("already exists"):
		return vector.Exists
	case status == http.StatusUnprocessableEntity && has(missingClass):
		return vector.NotFound
	// A shard takes no writes, and no settings either, while those it was given before are put into effect.
	case has("read-only due to: UpdateVectorIndexConfig"):
		return vector.Unavailable
	case has("maximum number of collections"), has("not find enough weaviate nodes"), has("no space left"), has("store is read-only"), status == http.StatusInsufficientStorage:
		return vector.QuotaExceeded
	case status == http.StatusUnprocessableEntity && has("immutable"):
		return vector.ImmutableMismatch
	case status == http.StatusUnprocessableEntity && has("not enabled"), status == http.StatusNotImplemented:
		return vector.Unsupported
	case status == http.StatusUnprocessableEntity && has("leader not found"):
		return vector.Unavailable
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= http.StatusInternalServerError:
		return vector.Unavailable
	default:
		return vector.Invalid
	}
}

// isMissingClass says that it is the class that is not found, and not the alias.
func isMissingClass(err error) bool { return err != nil && strings.Contains(err.Error(), missingClass) }
