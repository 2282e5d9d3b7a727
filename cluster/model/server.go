package main

import (
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
	bills bills
}

func newServer(key string, delay time.Duration) http.Handler {
	s := &server{key: key, delay: delay}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(rw http.ResponseWriter, _ *http.Request) {
		answer(rw, http.StatusOK, map[string]string{"status": "ok"})
	})

	for _, base := range []string{"", "/v1"} {
		mux.Handle("POST "+base+"/chat/completions", s.guard(chat))
		mux.Handle("POST "+base+"/completions", s.guard(completions))
		mux.Handle("POST "+base+"/responses", s.guard(responses))
		mux.Handle("POST "+base+"/embeddings", s.guard(embeddings))
		mux.Handle("GET "+base+"/models", s.guard(models))
	}

	mux.Handle("POST /v1/messages", s.guard(messages))
	mux.Handle("POST /v1/messages/count_tokens", s.guard(countTokens))
	mux.Handle("GET /billing", &s.bills)

	return mux
}

type trouble struct {
	delay, pace time.Duration
	code, cut   int
	// cached and reasoning are those parts of the usage.
	cached, reasoning int
	// usage, lines and encoding are how the answer is told: see the command's documentation.
	usage, lines, encoding string
	// tool is one that is to be called, where the request offers it.
	tool string
}

// guard checks the key, reads the request and makes the trouble it asks for, then answers.
func (s *server) guard(h func(http.ResponseWriter, *http.Request, *request)) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if got := or(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), r.Header.Get("X-Api-Key")); s.key != "" && got != s.key {
			fail(rw, http.StatusUnauthorized, "invalid_api_key", "the key is missing or wrong")

			return
		}

		req := &request{bills: &s.bills}
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

		if req.trouble.usage == "refused" && req.StreamOptions != nil {
			fail(rw, http.StatusBadRequest, "invalid_request_error", "unknown parameter: stream_options")

			return
		}

		if req.trouble.encoding == "gzip" {
			z := newZipped(rw)
			defer z.close()

			rw = z
		}

		h(rw, r, req)
	})
}

const troubles = "delay|pace|error|cut|cached|reasoning|usage|lines|encoding|tool"

var (
	inWords = regexp.MustCompile(`\[(` + troubles + `) ([0-9a-z.]+)\]`)
	inName  = regexp.MustCompile(`^(` + troubles + `)-([0-9a-z.]+)$`)
)

// asked reads the trouble a request asks for. What cannot be read is no trouble.
func asked(h http.Header, model, text string) trouble {
	want := map[string]string{}
	for _, name := range strings.Split(troubles, "|") {
		want[name] = h.Get("X-Model-" + name)
	}

	for _, m := range append(inName.FindAllStringSubmatch(model, -1), inWords.FindAllStringSubmatch(text, -1)...) {
		want[m[1]] = m[2]
	}

	t := trouble{usage: want["usage"], lines: want["lines"], encoding: want["encoding"], tool: want["tool"]}
	t.delay, _ = time.ParseDuration(want["delay"])
	t.pace, _ = time.ParseDuration(want["pace"])
	t.cut, _ = strconv.Atoi(want["cut"])
	t.cached, _ = strconv.Atoi(want["cached"])
	t.reasoning, _ = strconv.Atoi(want["reasoning"])

	if code, err := strconv.Atoi(want["error"]); err == nil && code >= 400 && code <= 599 {
		t.code = code
	}

	return t
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
