package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

type call struct {
	method, path, body string
	header             map[string]string
}

// An answered call is what came back, with the error at which its body broke off.
type answered struct {
	code   int
	header http.Header
	body   string
	err    error
}

func do(t *testing.T, srv *httptest.Server, c call) answered {
	t.Helper()

	if c.method == "" {
		c.method = http.MethodPost
	}

	req, err := http.NewRequestWithContext(t.Context(), c.method, srv.URL+c.path, strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}

	for k, v := range c.header {
		req.Header.Set(k, v)
	}

	rsp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()

	b, err := io.ReadAll(rsp.Body)

	return answered{rsp.StatusCode, rsp.Header, string(b), err}
}

// events returns the data of a stream's events.
func events(t *testing.T, stream string) []map[string]any {
	t.Helper()

	var out []map[string]any

	for sc := bufio.NewScanner(strings.NewReader(stream)); sc.Scan(); {
		data, ok := strings.CutPrefix(sc.Text(), "data: ")
		if !ok || data == "[DONE]" {
			continue
		}

		var e map[string]any
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatalf("%s: %v", data, err)
		}

		out = append(out, e)
	}

	return out
}

const (
	openAI    = `{"model":"m","messages":[{"role":"system","content":"be kind"},{"role":"user","content":[{"type":"text","text":"say hello"}]}]`
	anthropic = `{"model":"m","max_tokens":9,"system":"be kind","messages":[{"role":"user","content":"say hello"}]`
	reply     = "This is the demonstration model m, which only repeats. You said in turn 1: say hello"
	// What the request and the reply have of words.
	inTokens, outTokens = 4.0, 16.0
)

func TestChat(t *testing.T) {
	srv := httptest.NewServer(newServer("", 0))
	defer srv.Close()

	rsp := do(t, srv, call{path: "/v1/chat/completions", body: openAI + "}"})
	if rsp.code != http.StatusOK {
		t.Fatal(rsp.body)
	}

	var whole struct {
		Choices []struct {
			Message      struct{ Content string }
			FinishReason string `json:"finish_reason"`
		}
		Usage map[string]any
	}
	if err := json.Unmarshal([]byte(rsp.body), &whole); err != nil {
		t.Fatal(err)
	}

	if c := whole.Choices[0]; c.Message.Content != reply || c.FinishReason != "stop" {
		t.Errorf("answered %+v", c)
	}

	usage := map[string]any{
		"prompt_tokens": inTokens, "completion_tokens": outTokens, "total_tokens": inTokens + outTokens,
		"prompt_tokens_details": map[string]any{"cached_tokens": 0.0}, "completion_tokens_details": map[string]any{"reasoning_tokens": 0.0},
	}
	if diff := cmp.Diff(usage, whole.Usage); diff != "" {
		t.Errorf("usage: -want, +got:\n%s", diff)
	}

	for name, option := range map[string]string{"WithUsage": `,"stream_options":{"include_usage":true}`, "WithoutUsage": ""} {
		t.Run(name, func(t *testing.T) {
			rsp := do(t, srv, call{path: "/chat/completions", body: openAI + `,"stream":true` + option + "}"})
			if rsp.err != nil || !strings.HasSuffix(rsp.body, "data: [DONE]\n\n") {
				t.Fatalf("the stream ended with %v: %s", rsp.err, rsp.body)
			}

			text, used := "", 0

			for _, e := range events(t, rsp.body) {
				choices, _ := e["choices"].([]any)
				if u, ok := e["usage"].(map[string]any); ok {
					used++

					if len(choices) != 0 || u["total_tokens"] != inTokens+outTokens {
						t.Errorf("usage came as %v", e)
					}

					continue
				}

				delta, _ := choices[0].(map[string]any)["delta"].(map[string]any)
				content, _ := delta["content"].(string)
				text += content
			}

			if want := strings.Count(option, "true"); text != reply || used != want {
				t.Errorf("streamed %q with usage %d times, want %d", text, used, want)
			}
		})
	}
}

func TestMessages(t *testing.T) {
	srv := httptest.NewServer(newServer("", 0))
	defer srv.Close()

	var whole struct {
		Content []struct{ Text string }
		Usage   map[string]float64
	}

	rsp := do(t, srv, call{path: "/v1/messages", body: anthropic + "}"})
	if err := json.Unmarshal([]byte(rsp.body), &whole); err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(map[string]float64{"input_tokens": inTokens, "cache_read_input_tokens": 0, "output_tokens": outTokens}, whole.Usage); diff != "" || whole.Content[0].Text != reply {
		t.Errorf("answered %s\nusage: -want, +got:\n%s", rsp.body, diff)
	}

	rsp = do(t, srv, call{path: "/v1/messages", body: anthropic + `,"stream":true}`})
	if rsp.err != nil {
		t.Fatal(rsp.err)
	}

	var kinds []string

	text := ""

	for _, e := range events(t, rsp.body) {
		kind, _ := e["type"].(string)
		if len(kinds) == 0 || kinds[len(kinds)-1] != kind {
			kinds = append(kinds, kind)
		}

		if d, ok := e["delta"].(map[string]any); ok && kind == "content_block_delta" {
			s, _ := d["text"].(string)
			text += s
		}

		if u, ok := e["usage"].(map[string]any); ok && u["output_tokens"] != outTokens {
			t.Errorf("the last count is %v", u)
		}
	}

	want := []string{"message_start", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop"}
	if diff := cmp.Diff(want, kinds); diff != "" || text != reply {
		t.Errorf("streamed %q, -want, +got:\n%s", text, diff)
	}
}

func TestTrouble(t *testing.T) {
	srv := httptest.NewServer(newServer("", 0))
	defer srv.Close()

	say := func(model, text string) string {
		return `{"model":"` + model + `","stream":true,"messages":[{"role":"user","content":"` + text + `"}]}`
	}
	cases := map[string]struct {
		reason string
		call   call
		code   int
		after  string
		// took is the least time; cut says that the stream breaks.
		took time.Duration
		cut  bool
	}{
		"None":         {reason: "Nobody asked for trouble.", call: call{body: say("m", "x")}, code: 200},
		"ErrorHeader":  {reason: "A header asks for it.", call: call{body: say("m", "x"), header: map[string]string{"X-Model-Error": "500"}}, code: 500},
		"ErrorWords":   {reason: "Words ask for it.", call: call{body: say("m", "[error 429] x")}, code: 429, after: "1"},
		"ErrorName":    {reason: "The model's name asks for it.", call: call{body: say("error-503", "x")}, code: 503, after: "1"},
		"ErrorUnknown": {reason: "A status that is no error is no trouble.", call: call{body: say("m", "[error 200]")}, code: 200},
		"Delay":        {reason: "An answer can be late.", call: call{body: say("delay-30ms", "x")}, code: 200, took: 30 * time.Millisecond},
		"Pace":         {reason: "A stream can be slow.", call: call{body: say("m", "[pace 2ms]")}, code: 200, took: 20 * time.Millisecond},
		"Cut":          {reason: "A stream can break.", call: call{body: say("m", "x"), header: map[string]string{"X-Model-Cut": "2"}}, code: 200, cut: true},
		"NoJSON":       {reason: "What cannot be read is refused.", call: call{body: "x"}, code: 400},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.call.path = "/v1/chat/completions"
			began := time.Now()

			rsp := do(t, srv, tc.call)
			if rsp.code != tc.code || rsp.header.Get("Retry-After") != tc.after || (rsp.err != nil) != tc.cut || time.Since(began) < tc.took {
				t.Errorf("\n%s\nafter %s: %+v", tc.reason, time.Since(began), rsp)
			}
		})
	}
}

func TestKey(t *testing.T) {
	srv := httptest.NewServer(newServer("k", 0))
	defer srv.Close()

	got := map[string]int{}

	for name, h := range map[string]map[string]string{
		"None": nil, "Wrong": {"Authorization": "Bearer x"}, "OpenAI": {"Authorization": "Bearer k"}, "Anthropic": {"X-Api-Key": "k"},
	} {
		got[name] = do(t, srv, call{method: http.MethodGet, path: "/v1/models", header: h}).code
	}

	if diff := cmp.Diff(map[string]int{"None": 401, "Wrong": 401, "OpenAI": 200, "Anthropic": 200}, got); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

func TestRunEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	if err := run(ctx, "127.0.0.1:0", newServer("", 0), slog.New(slog.DiscardHandler)); err != nil && !strings.Contains(err.Error(), "canceled") {
		t.Errorf("run(...): %v", err)
	}

	if err := run(t.Context(), "nowhere", newServer("", 0), slog.New(slog.DiscardHandler)); err == nil {
		t.Error("run(...) listens on nowhere")
	}
}
