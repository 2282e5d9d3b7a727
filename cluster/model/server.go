package main

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const maxBody = 32 << 20

// A server answers model requests. With a key it refuses those that do not carry it.
type server struct {
	key   string
	delay time.Duration
}

func newServer(key string, delay time.Duration) http.Handler {
	s := &server{key: key, delay: delay}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(rw http.ResponseWriter, _ *http.Request) {
		answer(rw, http.StatusOK, map[string]string{"status": "ok"})
	})

	for _, base := range []string{"", "/v1"} {
		mux.Handle("POST "+base+"/chat/completions", s.guard(chat))
		mux.Handle("POST "+base+"/embeddings", s.guard(embeddings))
		mux.Handle("GET "+base+"/models", s.guard(models))
	}

	mux.Handle("POST /v1/messages", s.guard(messages))

	return mux
}

// A request is what the protocols have in common, with the trouble it asks for.
type request struct {
	Model      string `json:"model"`
	Stream     bool   `json:"stream"`
	Dimensions int    `json:"dimensions"`
	Encoding   string `json:"encoding_format"`
	Input      any    `json:"input"`
	System     any    `json:"system"`
	Messages   []struct {
		Role    string `json:"role"`
		Content any    `json:"content"`
	} `json:"messages"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`

	trouble trouble
}

type trouble struct {
	delay, pace time.Duration
	code, cut   int
}

// guard checks the key, reads the request and makes the trouble it asks for, then answers.
func (s *server) guard(h func(http.ResponseWriter, *http.Request, *request)) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if got := or(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), r.Header.Get("X-Api-Key")); s.key != "" && got != s.key {
			fail(rw, http.StatusUnauthorized, "invalid_api_key", "the key is missing or wrong")

			return
		}

		req := &request{}
		if r.Method == http.MethodPost {
			if err := json.NewDecoder(http.MaxBytesReader(rw, r.Body, maxBody)).Decode(req); err != nil {
				fail(rw, http.StatusBadRequest, "invalid_request_error", fmt.Sprintf("cannot read the request: %v", err))

				return
			}
		}

		req.trouble = asked(r.Header, req.Model, req.last())

		if !pause(r, s.delay+req.trouble.delay) {
			return
		}

		if code := req.trouble.code; code != 0 {
			if code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable {
				rw.Header().Set("Retry-After", "1")
			}

			fail(rw, code, "on_demand", "this error was asked for")

			return
		}

		h(rw, r, req)
	})
}

var (
	inWords = regexp.MustCompile(`\[(delay|pace|error|cut) ([0-9a-z.]+)\]`)
	inName  = regexp.MustCompile(`^(delay|pace|error|cut)-([0-9a-z.]+)$`)
)

// asked reads the trouble a request asks for. What cannot be read is no trouble.
func asked(h http.Header, model, text string) trouble {
	want := map[string]string{"delay": h.Get("X-Model-Delay"), "pace": h.Get("X-Model-Pace"), "error": h.Get("X-Model-Error"), "cut": h.Get("X-Model-Cut")}
	for _, m := range append(inName.FindAllStringSubmatch(model, -1), inWords.FindAllStringSubmatch(text, -1)...) {
		want[m[1]] = m[2]
	}

	var t trouble
	t.delay, _ = time.ParseDuration(want["delay"])
	t.pace, _ = time.ParseDuration(want["pace"])
	t.cut, _ = strconv.Atoi(want["cut"])

	if code, err := strconv.Atoi(want["error"]); err == nil && code >= 400 && code <= 599 {
		t.code = code
	}

	return t
}

// last returns what the last message says.
func (r *request) last() string {
	if len(r.Messages) == 0 {
		return ""
	}

	return textOf(r.Messages[len(r.Messages)-1].Content)
}

// textOf returns the text of a message's content, which is a string or a list of parts.
func textOf(content any) string {
	switch c := content.(type) {
	case string:
		return c
	case []any:
		var s strings.Builder

		for _, p := range c {
			if m, ok := p.(map[string]any); ok {
				t, _ := m["text"].(string)
				s.WriteString(t)
			}
		}

		return s.String()
	default:
		return ""
	}
}

// tokens counts words: not what a tokenizer counts, but the same for the same text.
func tokens(s string) int { return len(strings.Fields(s)) }

// usage returns the tokens of a request and of its answer.
func (r *request) usage(out string) (input, output int) {
	input = tokens(textOf(r.System))
	for _, m := range r.Messages {
		input += tokens(textOf(m.Content))
	}

	return input, tokens(out)
}

// reply is the answer to a request: the same for the same request.
func (r *request) reply() string {
	turns := 0

	for _, m := range r.Messages {
		if m.Role == "user" {
			turns++
		}
	}

	return fmt.Sprintf("This is the demonstration model %s, which only repeats. You said in turn %d: %s", r.Model, turns, r.last())
}

// id names an answer; the same for the same request.
func (r *request) id(prefix string) string {
	sum := sha256.Sum256([]byte(r.Model + r.reply()))

	return fmt.Sprintf("%s-%x", prefix, sum[:8])
}

func models(rw http.ResponseWriter, _ *http.Request, _ *request) {
	answer(rw, http.StatusOK, map[string]any{"object": "list", "data": []map[string]string{{"id": "gpt-4", "object": "model"}, {"id": "claude", "object": "model"}}})
}

// pause waits, and says whether the client is still there.
func pause(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}

	select {
	case <-r.Context().Done():
		return false
	case <-time.After(d):
		return true
	}
}

func fail(rw http.ResponseWriter, code int, typ, msg string) {
	answer(rw, code, map[string]any{"type": "error", "error": map[string]any{"type": typ, "message": msg}})
}

func answer(rw http.ResponseWriter, code int, body any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(code)
	_ = json.NewEncoder(rw).Encode(body) //nolint:errchkjson // A client that went away does not care.
}
