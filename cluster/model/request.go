package main

import (
	"crypto/sha256"
	"fmt"
	"strings"
)

// A request is what the protocols have in common, with the trouble it asks for.
type request struct {
	Model        string    `json:"model"`
	Stream       bool      `json:"stream"`
	N            int       `json:"n"`
	Dimensions   int       `json:"dimensions"`
	Encoding     string    `json:"encoding_format"`
	Input        any       `json:"input"`
	Prompt       any       `json:"prompt"`
	Instructions string    `json:"instructions"`
	System       any       `json:"system"`
	Messages     []message `json:"messages"`
	Tools        []tool    `json:"tools"`

	StreamOptions *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`

	trouble trouble
	bills   *bills
}

type message struct {
	Role    string `json:"role"`
	Content any    `json:"content"`
}

// includeUsage says whether a stream is to tell its usage.
func (r *request) includeUsage() bool {
	return r.StreamOptions != nil && r.StreamOptions.IncludeUsage && r.trouble.usage != "none"
}

// turns are the request's messages, whichever protocol brought them.
func (r *request) turns() []message {
	switch in := r.Input.(type) {
	case string:
		return []message{{"user", in}}
	case []any:
		var out []message

		for _, item := range in {
			if m, ok := item.(map[string]any); ok {
				role, _ := m["role"].(string)
				out = append(out, message{role, m["content"]})
			}
		}

		return out
	}

	if p, ok := r.Prompt.(string); ok {
		return []message{{"user", p}}
	}

	return r.Messages
}

// last returns what the last message says.
func (r *request) last() string {
	turns := r.turns()
	if len(turns) == 0 {
		return ""
	}

	return textOf(turns[len(turns)-1].Content)
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

// usage returns what a request costs that is answered with a text, as often as it asks for. Reasoning is asked for and
// comes on top; a cache has what is asked for, as far as there was so much to read.
func (r *request) usage(out string) usage {
	u := usage{Input: tokens(textOf(r.System)) + tokens(r.Instructions), Output: tokens(out)*max(1, r.N) + r.trouble.reasoning, Reasoning: r.trouble.reasoning}
	for _, m := range r.turns() {
		u.Input += tokens(textOf(m.Content))
	}

	u.Cached = min(r.trouble.cached, u.Input)

	return u
}

// reply is the answer to a request: the same for the same request.
func (r *request) reply() string {
	turns := 0

	for _, m := range r.turns() {
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
