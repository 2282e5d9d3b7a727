package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// chat answers in the OpenAI protocol.
func chat(rw http.ResponseWriter, r *http.Request, req *request) {
	text := req.reply()
	in, out := req.usage(text)
	usage := map[string]int{"prompt_tokens": in, "completion_tokens": out, "total_tokens": in + out}

	if !req.Stream {
		answer(rw, http.StatusOK, map[string]any{
			"id": req.id("chatcmpl"), "object": "chat.completion", "created": time.Now().Unix(), "model": req.Model, "usage": usage,
			"choices": []map[string]any{{"index": 0, "finish_reason": "stop", "message": map[string]string{"role": "assistant", "content": text}}},
		})

		return
	}

	chunk := func(choices []map[string]any) map[string]any {
		c := map[string]any{"id": req.id("chatcmpl"), "object": "chat.completion.chunk", "created": time.Now().Unix(), "model": req.Model, "choices": choices}
		if req.StreamOptions.IncludeUsage {
			c["usage"] = nil
		}

		return c
	}
	s := newStream(rw, r, req.trouble)
	s.send("", chunk([]map[string]any{{"index": 0, "delta": map[string]string{"role": "assistant", "content": ""}, "finish_reason": nil}}))

	for _, w := range strings.SplitAfter(text, " ") {
		s.send("", chunk([]map[string]any{{"index": 0, "delta": map[string]string{"content": w}, "finish_reason": nil}}))
	}

	s.send("", chunk([]map[string]any{{"index": 0, "delta": map[string]string{}, "finish_reason": "stop"}}))

	// Usage comes in one extra chunk without choices, and only where it was asked for.
	if req.StreamOptions.IncludeUsage {
		c := chunk([]map[string]any{})
		c["usage"] = usage
		s.send("", c)
	}

	s.raw("data: [DONE]\n\n")
}

// messages answers in the Anthropic protocol, in which the counts of a message's deltas are totals so far.
func messages(rw http.ResponseWriter, r *http.Request, req *request) {
	text := req.reply()
	in, out := req.usage(text)

	if !req.Stream {
		answer(rw, http.StatusOK, map[string]any{
			"id": req.id("msg"), "type": "message", "role": "assistant", "model": req.Model, "stop_reason": "end_turn",
			"content": []map[string]string{{"type": "text", "text": text}}, "usage": map[string]int{"input_tokens": in, "output_tokens": out},
		})

		return
	}

	s := newStream(rw, r, req.trouble)
	s.event("message_start", map[string]any{"message": map[string]any{
		"id": req.id("msg"), "type": "message", "role": "assistant", "model": req.Model, "content": []any{}, "usage": map[string]int{"input_tokens": in, "output_tokens": 1},
	}})
	s.event("content_block_start", map[string]any{"index": 0, "content_block": map[string]string{"type": "text", "text": ""}})

	for _, w := range strings.SplitAfter(text, " ") {
		s.event("content_block_delta", map[string]any{"index": 0, "delta": map[string]string{"type": "text_delta", "text": w}})
	}

	s.event("content_block_stop", map[string]any{"index": 0})
	s.event("message_delta", map[string]any{"delta": map[string]string{"stop_reason": "end_turn"}, "usage": map[string]int{"output_tokens": out}})
	s.event("message_stop", map[string]any{})
}

// A stream sends events as they come about.
type stream struct {
	rw   http.ResponseWriter
	r    *http.Request
	t    trouble
	sent int
	gone bool
}

func newStream(rw http.ResponseWriter, r *http.Request, t trouble) *stream {
	rw.Header().Set("Content-Type", "text/event-stream")
	rw.WriteHeader(http.StatusOK)

	return &stream{rw: rw, r: r, t: t}
}

// event sends an event that is named and carries its name.
func (s *stream) event(name string, body map[string]any) {
	body["type"] = name
	s.send(name, body)
}

func (s *stream) send(name string, body any) {
	b, err := json.Marshal(body)
	if err != nil {
		panic(err) // What is sent is made of maps and words.
	}

	if name != "" {
		name = "event: " + name + "\n"
	}

	s.raw(name + "data: " + string(b) + "\n\n")
}

func (s *stream) raw(text string) {
	if s.gone || (s.sent > 0 && !pause(s.r, s.t.pace)) {
		s.gone = true

		return
	}

	if s.t.cut > 0 && s.sent == s.t.cut {
		// The server's own way to end a connection in the middle.
		panic(http.ErrAbortHandler)
	}

	s.sent++

	if _, err := fmt.Fprint(s.rw, text); err != nil {
		s.gone = true
	}

	if err := http.NewResponseController(s.rw).Flush(); err != nil {
		s.gone = true
	}
}
