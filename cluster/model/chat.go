package main

import (
	"net/http"
	"strings"
	"time"
)

// chat answers in the OpenAI protocol.
func chat(rw http.ResponseWriter, r *http.Request, req *request) {
	if t := req.calls(); t != nil {
		chatTool(rw, r, req, t)

		return
	}

	text := req.reply()
	finish := func(whole bool, i int) map[string]any {
		c := map[string]any{"index": i, "finish_reason": "stop"}
		if whole {
			c["message"] = map[string]string{"role": "assistant", "content": text}
		} else {
			c["delta"] = map[string]string{}
		}

		return c
	}

	if !req.Stream {
		req.whole(rw, "chatcmpl", "chat.completion", func(i int) map[string]any { return finish(true, i) }, text)

		return
	}

	delta := func(d map[string]string) func(int) map[string]any {
		return func(i int) map[string]any { return map[string]any{"index": i, "delta": d, "finish_reason": nil} }
	}
	pieces := []func(int) map[string]any{delta(map[string]string{"role": "assistant", "content": ""})}

	for _, w := range strings.SplitAfter(text, " ") {
		pieces = append(pieces, delta(map[string]string{"content": w}))
	}

	req.pieces(rw, r, "chatcmpl", "chat.completion.chunk", append(pieces, func(i int) map[string]any { return finish(false, i) }), text)
}

// completions answers in the older OpenAI protocol.
func completions(rw http.ResponseWriter, r *http.Request, req *request) {
	text := req.reply()
	piece := func(text string, finish any) func(int) map[string]any {
		return func(i int) map[string]any {
			return map[string]any{"index": i, "text": text, "logprobs": nil, "finish_reason": finish}
		}
	}

	if !req.Stream {
		req.whole(rw, "cmpl", "text_completion", piece(text, "stop"), text)

		return
	}

	var pieces []func(int) map[string]any
	for _, w := range strings.SplitAfter(text, " ") {
		pieces = append(pieces, piece(w, nil))
	}

	req.pieces(rw, r, "cmpl", "text_completion", append(pieces, piece("", "stop")), text)
}

// whole answers in one piece, with as many choices as were asked for.
func (r *request) whole(rw http.ResponseWriter, id, object string, choice func(int) map[string]any, text string) {
	u := r.usage(text)
	body := map[string]any{"id": r.id(id), "object": object, "created": time.Now().Unix(), "model": r.Model, "choices": r.choices(choice)}

	if r.trouble.usage != "none" {
		body["usage"] = u.openAI()
	}

	r.bills.add(r.Model, u)
	answer(rw, http.StatusOK, body)
}

// pieces answers in chunks. Usage comes in one more without choices, and only where it was asked for.
func (r *request) pieces(rw http.ResponseWriter, in *http.Request, id, object string, pieces []func(int) map[string]any, text string) {
	s := newStream(rw, in, r.trouble)
	chunk := func(choices []map[string]any, usage any) {
		c := map[string]any{"id": r.id(id), "object": object, "created": time.Now().Unix(), "model": r.Model, "choices": choices}
		if r.includeUsage() {
			c["usage"] = usage
		}

		s.send("", c)
	}

	for _, p := range pieces {
		chunk(r.choices(p), nil)
	}

	u := r.usage(text)
	s.bill(r, u)

	if r.includeUsage() {
		chunk([]map[string]any{}, u.openAI())
	}

	s.raw("data: [DONE]\n\n")
}

func (r *request) choices(choice func(int) map[string]any) []map[string]any {
	out := make([]map[string]any, 0, 1)
	for i := range min(max(1, r.N), 128) {
		out = append(out, choice(i))
	}

	return out
}
