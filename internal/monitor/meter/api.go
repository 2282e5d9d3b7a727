package meter

import (
	"net/http"
	"strings"
)

// An API is one of those whose answers tell their usage.
type API int

// The APIs whose usage is counted. Uncounted is everything else: it passes, and nobody looks at it.
const (
	Uncounted API = iota
	// Chat is OpenAI's chat completions.
	Chat
	// Completions is OpenAI's completions.
	Completions
	// Responses is OpenAI's responses.
	Responses
	// Embeddings is OpenAI's embeddings.
	Embeddings
	// Messages is Anthropic's messages. Its count_tokens bills nothing and is Uncounted.
	Messages
)

// String returns the operation's name in the OpenTelemetry conventions for generative AI.
func (a API) String() string {
	switch a {
	case Chat, Responses, Messages:
		return "chat"
	case Completions:
		return "text_completion"
	case Embeddings:
		return "embeddings"
	default:
		return "uncounted"
	}
}

// Detect returns the API of a request by its method and path. The path may begin with whatever the server has in front of
// its API, like a version or the name of a deployment.
func Detect(method, path string) API {
	if method != http.MethodPost {
		return Uncounted
	}

	path = strings.TrimRight(path, "/")

	switch {
	case strings.HasSuffix(path, "/chat/completions"):
		return Chat
	case strings.HasSuffix(path, "/completions"):
		return Completions
	case strings.HasSuffix(path, "/responses"):
		return Responses
	case strings.HasSuffix(path, "/embeddings"):
		return Embeddings
	// OpenAI's threads have messages too, which are no model's answers.
	case path == "/messages", strings.HasSuffix(path, "/v1/messages"):
		return Messages
	default:
		return Uncounted
	}
}

// streamsOnRequest says whether a stream of the API tells its usage only where it was asked to.
func (a API) streamsOnRequest() bool { return a == Chat || a == Completions }
