package main

import (
	"maps"
	"net/http"
	"sync"
)

// A usage is what a request costs, in tokens. Cached is a part of Input, and Reasoning of Output.
type usage struct {
	Input     int `json:"input"`
	Output    int `json:"output"`
	Cached    int `json:"cached"`
	Reasoning int `json:"reasoning"`
}

// A bill is what was billed of a model: the answers that came to their end.
type bill struct {
	Requests int `json:"requests"`
	usage
}

// bills are what was billed, by model.
type bills struct {
	mu     sync.Mutex
	models map[string]bill
}

func (b *bills) add(model string, u usage) {
	b.mu.Lock()
	defer b.mu.Unlock()

	if b.models == nil {
		b.models = map[string]bill{}
	}

	m := b.models[model]
	m.Requests++
	m.Input += u.Input
	m.Output += u.Output
	m.Cached += u.Cached
	m.Reasoning += u.Reasoning
	b.models[model] = m
}

// ServeHTTP tells what was billed.
func (b *bills) ServeHTTP(rw http.ResponseWriter, _ *http.Request) {
	b.mu.Lock()
	models := maps.Clone(b.models)
	b.mu.Unlock()

	answer(rw, http.StatusOK, map[string]any{"models": models})
}

// openAI is a usage as chat completions, completions and embeddings tell it.
func (u usage) openAI() map[string]any {
	return map[string]any{
		"prompt_tokens": u.Input, "completion_tokens": u.Output, "total_tokens": u.Input + u.Output,
		"prompt_tokens_details":     map[string]int{"cached_tokens": u.Cached},
		"completion_tokens_details": map[string]int{"reasoning_tokens": u.Reasoning},
	}
}

// responses is a usage as responses tell it.
func (u usage) responses() map[string]any {
	return map[string]any{
		"input_tokens": u.Input, "output_tokens": u.Output, "total_tokens": u.Input + u.Output,
		"input_tokens_details":  map[string]int{"cached_tokens": u.Cached},
		"output_tokens_details": map[string]int{"reasoning_tokens": u.Reasoning},
	}
}

// anthropic is a usage as messages tell it: what a cache has is beside the input.
func (u usage) anthropic() map[string]int {
	return map[string]int{"input_tokens": u.Input - u.Cached, "cache_read_input_tokens": u.Cached, "output_tokens": u.Output}
}
