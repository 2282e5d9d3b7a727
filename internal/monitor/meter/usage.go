package meter

import (
	"encoding/json"
	"errors"
)

// Usage is what a model server billed for a request, in tokens.
type Usage struct {
	// Input is all that the model read, and Output all that it wrote.
	Input, Output int64
	// Cached is the part of Input that a cache served; Reasoning the part of Output that nobody is shown.
	Cached, Reasoning int64
}

// A tally is a usage object, of any API. What is absent is nil.
type tally struct {
	PromptTokens     *int64 `json:"prompt_tokens"`
	CompletionTokens *int64 `json:"completion_tokens"`
	PromptDetails    struct {
		Cached int64 `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
	CompletionDetails struct {
		Reasoning int64 `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`

	InputTokens  *int64 `json:"input_tokens"`
	OutputTokens *int64 `json:"output_tokens"`
	InputDetails struct {
		Cached int64 `json:"cached_tokens"`
	} `json:"input_tokens_details"`
	OutputDetails struct {
		Reasoning int64 `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`

	Total *int64 `json:"total_tokens"`

	CacheRead     *int64 `json:"cache_read_input_tokens"`
	CacheCreation *int64 `json:"cache_creation_input_tokens"`
}

var errNoUsage = errors.New("the usage has no counts, or impossible ones")

// read adds a usage object to the tally: what it has replaces what was there, what it lacks, or has as null, stays. So the
// counts of an Anthropic stream, which are totals so far and not all repeated, end at the last of each.
func (t *tally) read(raw []byte) error {
	before := *t

	if err := json.Unmarshal(raw, t); err != nil {
		return err
	}

	then := before.counts()
	for i, now := range t.counts() {
		if *now == nil {
			*now = *then[i]
		}
	}

	return nil
}

// counts are those of the tally that may be absent.
func (t *tally) counts() [7]**int64 {
	return [...]**int64{&t.PromptTokens, &t.CompletionTokens, &t.InputTokens, &t.OutputTokens, &t.Total, &t.CacheRead, &t.CacheCreation}
}

// usage returns the tally in one form for all APIs.
func (t *tally) usage(api API) (Usage, error) {
	var u Usage

	in, out := t.InputTokens, t.OutputTokens

	switch api {
	case Messages:
		// What a cache read or wrote is beside the input here, and part of it elsewhere.
		u.Cached = value(t.CacheRead)
		u.Input = u.Cached + value(t.CacheCreation)
	case Responses:
		u.Cached, u.Reasoning = t.InputDetails.Cached, t.OutputDetails.Reasoning
	default:
		in, out = t.PromptTokens, t.CompletionTokens
		u.Cached, u.Reasoning = t.PromptDetails.Cached, t.CompletionDetails.Reasoning
	}

	u.Input += value(in)
	u.Output = value(out)

	// Some servers count reasoning beside the output. Their total tells.
	if t.Total != nil && api != Messages && u.Reasoning > 0 && *t.Total == u.Input+u.Output+u.Reasoning {
		u.Output += u.Reasoning
	}

	// An embedding has no output. No request has this many tokens, and sums of what is below cannot overflow.
	const most = 1 << 40
	if in == nil || *in < 0 || u.Output < 0 || u.Cached < 0 || u.Reasoning < 0 || value(t.CacheCreation) < 0 ||
		u.Input > most || u.Output > most || u.Cached > u.Input || u.Reasoning > u.Output {
		return Usage{}, errNoUsage
	}

	return u, nil
}

func value(n *int64) int64 {
	if n == nil {
		return 0
	}

	return *n
}
