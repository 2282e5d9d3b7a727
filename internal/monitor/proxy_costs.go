package monitor

import (
	"sync"

	"github.com/southwest-ai/agent-operator/internal/monitor/meter"
)

// What a request is taken to cost until some have told: a token has about four letters, and most answers are short.
const (
	firstTokensPerByte = 0.25
	firstOutput        = 512
	// costWeight is the weight of the latest request in the moving averages.
	costWeight = 0.1
)

// costs estimates what requests will cost from what those of the same API did cost. The most that an agent allows for an
// answer, max_tokens, says little: clients send a model's limit and get a hundredth of it. An estimate that is wrong is put
// right when the request is settled, and the average of many is not wrong for long.
type costs struct {
	mu  sync.Mutex
	api [meter.Messages + 1]cost
}

// A cost is a moving average.
type cost struct {
	known                 bool
	tokensPerByte, output float64
}

// estimate returns the tokens a request will cost, by the length of what it sends.
func (c *costs) estimate(r meter.Request, length int64) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()

	a := c.get(r.API)

	output := int64(a.output)
	if r.MaxOutput > 0 {
		output = min(output, r.MaxOutput)
	}

	return int64(a.tokensPerByte*float64(length)) + output + 1
}

// learn takes in what a request did cost.
func (c *costs) learn(api meter.API, length int64, u meter.Usage) {
	c.mu.Lock()
	defer c.mu.Unlock()

	a := c.get(api)
	if length > 0 {
		a.tokensPerByte += costWeight * (float64(u.Input)/float64(length) - a.tokensPerByte)
	}

	a.output += costWeight * (float64(u.Output) - a.output)
}

func (c *costs) get(api meter.API) *cost {
	a := &c.api[api]
	if !a.known {
		*a = cost{known: true, tokensPerByte: firstTokensPerByte, output: firstOutput}

		if api == meter.Embeddings {
			a.output = 0
		}
	}

	return a
}
