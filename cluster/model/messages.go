package main

import (
	"net/http"
	"strings"
)

// messages answers in the Anthropic protocol, in which the counts of a message's deltas are totals so far.
func messages(rw http.ResponseWriter, r *http.Request, req *request) {
	if t := req.calls(); t != nil {
		messagesTool(rw, r, req, t)

		return
	}

	text := req.reply()
	u := req.usage(text)

	if !req.Stream {
		req.bills.add(req.Model, u)
		answer(rw, http.StatusOK, map[string]any{
			"id": req.id("msg"), "type": "message", "role": "assistant", "model": req.Model, "stop_reason": "end_turn",
			"content": []map[string]string{{"type": "text", "text": text}}, "usage": u.anthropic(),
		})

		return
	}

	first := u.anthropic()
	first["output_tokens"] = 1

	s := newStream(rw, r, req.trouble)
	s.event("message_start", map[string]any{"message": map[string]any{
		"id": req.id("msg"), "type": "message", "role": "assistant", "model": req.Model, "content": []any{}, "usage": first,
	}})
	s.event("content_block_start", map[string]any{"index": 0, "content_block": map[string]string{"type": "text", "text": ""}})

	for _, w := range strings.SplitAfter(text, " ") {
		s.event("content_block_delta", map[string]any{"index": 0, "delta": map[string]string{"type": "text_delta", "text": w}})
	}

	s.event("content_block_stop", map[string]any{"index": 0})
	s.bill(req, u)
	s.event("message_delta", map[string]any{"delta": map[string]string{"stop_reason": "end_turn"}, "usage": map[string]int{"output_tokens": u.Output}})
	s.event("message_stop", map[string]any{})
}

// countTokens tells what a request would read. It costs nothing.
func countTokens(rw http.ResponseWriter, _ *http.Request, req *request) {
	answer(rw, http.StatusOK, map[string]int{"input_tokens": req.usage("").Input})
}
