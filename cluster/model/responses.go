package main

import (
	"net/http"
	"strings"
	"time"
)

// responses answers in OpenAI's newer protocol, whose last event has the whole response.
func responses(rw http.ResponseWriter, r *http.Request, req *request) {
	if t := req.calls(); t != nil {
		responsesTool(rw, r, req, t)

		return
	}

	text := req.reply()
	u := req.usage(text)
	part := func(text string) map[string]any {
		return map[string]any{"type": "output_text", "text": text, "annotations": []any{}}
	}
	item := func(status string, content ...map[string]any) map[string]any {
		if content == nil {
			content = []map[string]any{}
		}

		return map[string]any{"id": req.id("item"), "type": "message", "role": "assistant", "status": status, "content": content}
	}
	response := func(status string, output []map[string]any, usage any) map[string]any {
		return map[string]any{
			"id": req.id("resp"), "object": "response", "created_at": time.Now().Unix(), "model": req.Model, "status": status,
			"error": nil, "incomplete_details": nil, "output": output, "usage": usage,
		}
	}
	whole := response("completed", []map[string]any{item("completed", part(text))}, u.responses())

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
	at := func(more map[string]any) map[string]any {
		more["item_id"], more["output_index"], more["content_index"] = req.id("item"), 0, 0

		return more
	}

	event("created", map[string]any{"response": response("in_progress", []map[string]any{}, nil)})
	event("output_item.added", map[string]any{"output_index": 0, "item": item("in_progress")})
	event("content_part.added", at(map[string]any{"part": part("")}))

	for _, w := range strings.SplitAfter(text, " ") {
		event("output_text.delta", at(map[string]any{"delta": w, "logprobs": []any{}}))
	}

	event("output_text.done", at(map[string]any{"text": text, "logprobs": []any{}}))
	event("content_part.done", at(map[string]any{"part": part(text)}))
	event("output_item.done", map[string]any{"output_index": 0, "item": item("completed", part(text))})
	s.bill(req, u)
	event("completed", map[string]any{"response": whole})
}
