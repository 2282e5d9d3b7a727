package main

import (
	"net/http/httptest"
	"strings"
	"testing"
)

// A tool is called where it is offered and asked for, in each protocol's way; else something is said.
func TestTools(t *testing.T) {
	srv := httptest.NewServer(newServer("", 0))
	defer srv.Close()

	const (
		asks    = `"messages":[{"role":"user","content":"[tool weather] here"}]`
		chat    = `"tools":[{"type":"function","function":{"name":"weather"}}]`
		flat    = `"tools":[{"name":"weather"}]`
		stream  = `"stream":true`
		argText = `{\"said\":\"[tool weather] here\"}`
	)

	cases := map[string]struct {
		reason, path, body string
		has                []string
		calls              bool
	}{
		"Chat":           {"A message has the calls.", "/v1/chat/completions", asks + `,` + chat, []string{`"finish_reason":"tool_calls"`, `"name":"weather"`, argText}, true},
		"ChatStream":     {"A stream has them in pieces.", "/v1/chat/completions", asks + `,` + chat + `,` + stream, []string{`"finish_reason":"tool_calls"`, `"arguments":"{\"said\":\"[tool "`, `"arguments":"here\"}"`}, true},
		"ChatNotOffered": {"What is not offered is not called.", "/v1/chat/completions", asks, []string{`"finish_reason":"stop"`}, false},
		"ChatOther":      {"Nor another tool.", "/v1/chat/completions", asks + `,"tools":[{"name":"clock"}]`, []string{`"finish_reason":"stop"`}, false},
		"ChatNotAsked":   {"Nor what is not asked for.", "/v1/chat/completions", `"messages":[{"role":"user","content":"here"}],` + chat, []string{`"finish_reason":"stop"`}, false},
		"Messages":       {"A block has the call, with its input as an object.", "/v1/messages", asks + `,` + flat, []string{`"stop_reason":"tool_use"`, `"input":{"said":"[tool weather] here"}`}, true},
		"MessagesStream": {"A stream has it in pieces.", "/v1/messages", asks + `,` + flat + `,` + stream, []string{`"stop_reason":"tool_use"`, `"type":"input_json_delta"`, `"partial_json":"here\"}"`}, true},
		"Responses":      {"An item of the output is the call.", "/v1/responses", `"input":"[tool weather] here",` + flat, []string{`"type":"function_call"`, argText}, true},
		"ResponsesStream": {
			"A stream has its arguments in pieces.", "/v1/responses", `"input":"[tool weather] here",` + flat + `,` + stream,
			[]string{"event: response.function_call_arguments.delta", "event: response.function_call_arguments.done", "event: response.completed", argText}, true,
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := do(t, srv, call{path: tc.path, body: `{"model":"m",` + tc.body + `}`}).body
			for _, want := range tc.has {
				if !strings.Contains(got, want) {
					t.Errorf("\n%s\nno %s in %s", tc.reason, want, got)
				}
			}

			if said := strings.Contains(got, "only repeats"); said == tc.calls {
				t.Errorf("\n%s\nsaid %t: %s", tc.reason, said, got)
			}
		})
	}
}
