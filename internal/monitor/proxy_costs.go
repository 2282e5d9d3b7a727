package monitor

import (
	"sync"

	"github.com/southwest-ai/agent-operator/internal/monitor/meter"
)

// What a request is taken to cost until some have told: a token has about four letters, an image is a screen's, and most answers
// are short.
const (
	firstTokensPerByte  = 0.25
	firstTokensPerPiece = 1500
	firstOutput         = 512
	// costWeight is the weight of the latest request in the moving averages.
	costWeight = 0.1
	// shortestInlined is as many bytes in a row of what base64 is made of that they are no words: an image, a sound, a document.
	shortestInlined = 1 << 10
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
	known                                 bool
	tokensPerByte, tokensPerPiece, output float64
}

// An extent is how much a request sends: the bytes of what is worded in it, and how many pieces are inlined, which cost a
// model server some hundreds of tokens each, however long they are.
type extent struct{ words, inlined int64 }

// estimate returns the tokens that a request of an extent will cost.
func (c *costs) estimate(r meter.Request, e extent) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()

	a := c.get(r.API)

	output := int64(a.output)
	if r.MaxOutput > 0 {
		output = min(output, r.MaxOutput)
	}

	return int64(a.tokensPerByte*float64(e.words)+a.tokensPerPiece*float64(e.inlined)) + output + 1
}

// learn takes in what a request did cost.
func (c *costs) learn(api meter.API, e extent, u meter.Usage) {
	c.mu.Lock()
	defer c.mu.Unlock()

	a := c.get(api)

	switch {
	case e.inlined > 0:
		pieces := max(0, float64(u.Input)-a.tokensPerByte*float64(e.words))
		a.tokensPerPiece += costWeight * (pieces/float64(e.inlined) - a.tokensPerPiece)
	case e.words > 0:
		a.tokensPerByte += costWeight * (float64(u.Input)/float64(e.words) - a.tokensPerByte)
	}

	a.output += costWeight * (float64(u.Output) - a.output)
}

func (c *costs) get(api meter.API) *cost {
	a := &c.api[api]
	if !a.known {
		*a = cost{known: true, tokensPerByte: firstTokensPerByte, tokensPerPiece: firstTokensPerPiece, output: firstOutput}

		if api == meter.Embeddings {
			a.output = 0
		}
	}

	return a
}

// measure returns the extent of a request of which the beginning is known, and the length.
func measure(begin []byte, length int64) extent {
	var e extent

	run := int64(0)
	end := func() {
		if run >= shortestInlined {
			e.inlined++
		} else {
			e.words += run
		}

		run = 0
	}

	for i, b := range begin {
		// Some clients write a slash with a backslash before it.
		if base64Byte[b] || b == '\\' && i+1 < len(begin) && begin[i+1] == '/' {
			run++

			continue
		}

		end()

		e.words++
	}

	end()

	switch known := int64(len(begin)); {
	case known == 0:
		e.words = length
	case known < length:
		// The rest is taken to be like the beginning.
		like := float64(length-known) / float64(known)
		e.words += int64(like * float64(e.words))
		e.inlined += int64(like * float64(e.inlined))
	}

	return e
}

var base64Byte = func() (is [256]bool) {
	for _, b := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=") {
		is[b] = true
	}

	return is
}()
