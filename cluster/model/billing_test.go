package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBilling(t *testing.T) {
	const (
		say  = `"messages":[{"role":"user","content":"one two [cached 1] [reasoning 3]"}]`
		last = `data: [DONE]`
	)

	// What is said has six words, and the answer fourteen of its own.
	spoken := usage{Input: 6, Output: 20 + 3, Cached: 1, Reasoning: 3}

	cases := map[string]struct {
		reason, path, body string
		header             map[string]string
		code               int
		// says is in what was answered.
		says string
		want map[string]bill
	}{
		"Chat":        {"A whole answer is billed.", "/v1/chat/completions", `{"model":"m",` + say + `}`, nil, 200, `"cached_tokens":1`, map[string]bill{"m": {1, spoken}}},
		"Twice":       {"Each choice is billed.", "/v1/chat/completions", `{"model":"m","n":2,` + say + `}`, nil, 200, `"index":1`, map[string]bill{"m": {1, usage{6, 20*2 + 3, 1, 3}}}},
		"ChatStream":  {"A stream is billed, asked for its usage or not.", "/v1/chat/completions", `{"model":"m","stream":true,` + say + `}`, nil, 200, last, map[string]bill{"m": {1, spoken}}},
		"Completions": {"Completions are billed.", "/v1/completions", `{"model":"m","prompt":"one two"}`, nil, 200, `"text_completion"`, map[string]bill{"m": {1, usage{Input: 2, Output: 16}}}},
		"Streamed":    {"Also streamed.", "/v1/completions", `{"model":"m","stream":true,"stream_options":{"include_usage":true},"prompt":"one two"}`, nil, 200, `"completion_tokens":16`, map[string]bill{"m": {1, usage{Input: 2, Output: 16}}}},
		"Responses":   {"Responses are billed.", "/v1/responses", `{"model":"m","instructions":"be kind","input":"one two"}`, map[string]string{"X-Model-Reasoning": "2"}, 200, `"reasoning_tokens":2`, map[string]bill{"m": {1, usage{Input: 4, Output: 18, Reasoning: 2}}}},
		"Events":      {"Also streamed.", "/v1/responses", `{"model":"m","stream":true,"input":[{"role":"user","content":[{"type":"input_text","text":"one two"}]}]}`, nil, 200, "event: response.completed", map[string]bill{"m": {1, usage{Input: 2, Output: 16}}}},
		"Messages":    {"What a cache has is beside the input.", "/v1/messages", `{"model":"m",` + say + `}`, nil, 200, `"cache_read_input_tokens":1,"input_tokens":5`, map[string]bill{"m": {1, spoken}}},
		"Counted":     {"Counting costs nothing.", "/v1/messages/count_tokens", `{"model":"m",` + say + `}`, nil, 200, `{"input_tokens":6}`, nil},
		"Embeddings":  {"Embeddings are billed.", "/v1/embeddings", `{"model":"m","dimensions":2,"input":"one two"}`, nil, 200, `"prompt_tokens":2`, map[string]bill{"m": {1, usage{Input: 2}}}},
		"Cut":         {"What broke off is not on the bill.", "/v1/chat/completions", `{"model":"cut-2","stream":true}`, nil, 200, "data:", nil},
		"Refused":     {"A server may not know the option.", "/v1/chat/completions", `{"model":"usage-refused","stream":true,"stream_options":{}}`, nil, 400, "stream_options", nil},
		"Untold":      {"Or not heed it.", "/v1/completions", `{"model":"usage-none","stream":true,"stream_options":{"include_usage":true},"prompt":"x"}`, nil, 200, last, map[string]bill{"usage-none": {1, usage{Input: 1, Output: 15}}}},
		"CRLF":        {"Lines may end otherwise.", "/v1/completions", `{"model":"lines-crlf","stream":true,"prompt":"x"}`, nil, 200, last + "\r\n\r\n", map[string]bill{"lines-crlf": {1, usage{Input: 1, Output: 15}}}},
		"Zipped":      {"The client takes this for what it did not ask for.", "/v1/completions", `{"model":"encoding-gzip","stream":true,"prompt":"x"}`, map[string]string{"Accept-Encoding": "identity"}, 200, "\x1f\x8b", map[string]bill{"encoding-gzip": {1, usage{Input: 1, Output: 15}}}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(newServer("", 0))
			defer srv.Close()

			rsp := do(t, srv, call{path: tc.path, body: tc.body, header: tc.header})
			if rsp.code != tc.code || !strings.Contains(rsp.body, tc.says) {
				t.Errorf("%s\nanswered %d %s\nwant %d with %q", tc.reason, rsp.code, rsp.body, tc.code, tc.says)
			}

			var got struct{ Models map[string]bill }
			if err := json.Unmarshal([]byte(do(t, srv, call{method: http.MethodGet, path: "/billing"}).body), &got); err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(tc.want, got.Models, cmp.AllowUnexported(bill{})); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
