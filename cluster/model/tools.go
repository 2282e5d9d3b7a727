package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A tool is one that a request offers: chat completions have its name one level deeper than the other protocols.
type tool struct {
	Name     string `json:"name"`
	Function struct {
		Name string `json:"name"`
	} `json:"function"`
}

// A toolCall is an answer that has a tool called instead of saying something.
type toolCall struct{ id, name, arguments string }

// pieces are the arguments as a stream has them.
func (t *toolCall) pieces() []string { return strings.SplitAfter(t.arguments, " ") }

// text is what is billed of it.
func (t *toolCall) text() string { return t.name + " " + t.arguments }

// calls returns the call of the tool that a request asks for, where it offers that; else nil. Its argument is what was said.
func (r *request) calls() *toolCall {
	name := r.trouble.tool
	if name == "" || !slices.ContainsFunc(r.Tools, func(t tool) bool { return t.Name == name || t.Function.Name == name }) {
		return nil
	}

	args, err := json.Marshal(map[string]string{"said": r.last()})
	if err != nil {
		panic(err) // It is a word.
	}

	return &toolCall{id: r.id("call"), name: name, arguments: string(args)}
}

// chatTool has a tool called in the OpenAI protocol.
func chatTool(rw http.ResponseWriter, r *http.Request, req *request, t *toolCall) {
	call := func(args string, first bool) []map[string]any {
		c := map[string]any{"index": 0, "function": map[string]string{"arguments": args}}
		if first {
			c["id"], c["type"], c["function"] = t.id, "function", map[string]string{"name": t.name, "arguments": args}
		}

		return []map[string]any{c}
	}

	if !req.Stream {
		req.whole(rw, "chatcmpl", "chat.completion", func(i int) map[string]any {
			c := call(t.arguments, true)
			delete(c[0], "index")

			return map[string]any{"index": i, "finish_reason": "tool_calls", "message": map[string]any{"role": "assistant", "content": nil, "tool_calls": c}}
		}, t.text())

		return
	}

	delta := func(d map[string]any, finish any) func(int) map[string]any {
		return func(i int) map[string]any { return map[string]any{"index": i, "delta": d, "finish_reason": finish} }
	}
	pieces := []func(int) map[string]any{delta(map[string]any{"role": "assistant", "content": nil, "tool_calls": call("", true)}, nil)}

	for _, p := range t.pieces() {
		pieces = append(pieces, delta(map[string]any{"tool_calls": call(p, false)}, nil))
	}

	req.pieces(rw, r, "chatcmpl", "chat.completion.chunk", append(pieces, delta(map[string]any{}, "tool_calls")), t.text())
}

// messagesTool has a tool called in the Anthropic protocol.
func messagesTool(rw http.ResponseWriter, r *http.Request, req *request, t *toolCall) {
	u := req.usage(t.text())
	message := func(content []any, stop any, usage any) map[string]any {
		return map[string]any{
			"id": req.id("msg"), "type": "message", "role": "assistant", "model": req.Model, "stop_reason": stop, "content": content, "usage": usage,
		}
	}
	block := func(input any) map[string]any {
		return map[string]any{"type": "tool_use", "id": t.id, "name": t.name, "input": input}
	}

	if !req.Stream {
		req.bills.add(req.Model, u)
		answer(rw, http.StatusOK, message([]any{block(json.RawMessage(t.arguments))}, "tool_use", u.anthropic()))

		return
	}

	first := u.anthropic()
	first["output_tokens"] = 1

	s := newStream(rw, r, req.trouble)
	s.event("message_start", map[string]any{"message": message([]any{}, nil, first)})
	s.event("content_block_start", map[string]any{"index": 0, "content_block": block(map[string]any{})})

	for _, p := range t.pieces() {
		s.event("content_block_delta", map[string]any{"index": 0, "delta": map[string]string{"type": "input_json_delta", "partial_json": p}})
	}

	s.event("content_block_stop", map[string]any{"index": 0})
	s.bill(req, u)
	s.event("message_delta", map[string]any{"delta": map[string]string{"stop_reason": "tool_use"}, "usage": map[string]int{"output_tokens": u.Output}})
	s.event("message_stop", map[string]any{})
}

// responsesTool has a tool called in OpenAI's newer protocol.
func responsesTool(rw http.ResponseWriter, r *http.Request, req *request, t *toolCall) {
	u := req.usage(t.text())
	item := func(status, args string) map[string]any {
		return map[string]any{"id": req.id("item"), "type": "function_call", "call_id": t.id, "name": t.name, "arguments": args, "status": status}
	}
	response := func(status string, output []map[string]any, usage any) map[string]any {
		return map[string]any{
			"id": req.id("resp"), "object": "response", "created_at": time.Now().Unix(), "model": req.Model, "status": status,
			"error": nil, "incomplete_details": nil, "output": output, "usage": usage,
		}
	}
	whole := response("completed", []map[string]any{item("completed", t.arguments)}, u.responses())

	if !req.Stream {
		req.bills.add(req.Model, u)
		answer(rw, http.StatusOK, whole)

		return
	}

	s, n := newStream(rw, r, req.trouble), 0
	event := func(name string, body map[string]any) {
		body["sequence_number"] = n
		n++

		s.event("response."+name, body)
	}

	event("created", map[string]any{"response": response("in_progress", []map[string]any{}, nil)})
	event("output_item.added", map[string]any{"output_index": 0, "item": item("in_progress", "")})

	for _, p := range t.pieces() {
		event("function_call_arguments.delta", map[string]any{"item_id": req.id("item"), "output_index": 0, "delta": p})
	}

	event("function_call_arguments.done", map[string]any{"item_id": req.id("item"), "output_index": 0, "name": t.name, "arguments": t.arguments})
	event("output_item.done", map[string]any{"output_index": 0, "item": item("completed", t.arguments)})
	s.bill(req, u)
	event("completed", map[string]any{"response": whole})
}
