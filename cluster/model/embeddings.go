package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"net/http"
	"strings"
	"unicode"
)

const (
	defaultDimensions = 1536
	maxDimensions     = 4096
)

// embeddings answers in the OpenAI protocol: a vector of length one for each text.
func embeddings(rw http.ResponseWriter, _ *http.Request, r *request) {
	dim := r.Dimensions
	if dim == 0 {
		dim = defaultDimensions
	}

	if dim < 1 || dim > maxDimensions {
		fail(rw, http.StatusBadRequest, "invalid_request_error", fmt.Sprintf("dimensions must be 1 to %d", maxDimensions))

		return
	}

	texts := []any{r.Input}
	if l, ok := r.Input.([]any); ok {
		texts = l
	}

	data, n := make([]map[string]any, 0, len(texts)), 0

	for i, t := range texts {
		s, ok := t.(string)
		if !ok || s == "" {
			fail(rw, http.StatusBadRequest, "invalid_request_error", "input must be a text, or a list of texts, that are not empty")

			return
		}

		n += tokens(s)
		data = append(data, map[string]any{"object": "embedding", "index": i, "embedding": encode(embed(s, dim), r.Encoding)})
	}

	r.bills.add(r.Model, usage{Input: n})
	answer(rw, http.StatusOK, map[string]any{"object": "list", "model": r.Model, "data": data, "usage": map[string]int{"prompt_tokens": n, "total_tokens": n}})
}

// embed returns the direction of a text: the sum of its words' directions. So equal texts are equal vectors, and texts that
// share words are nearer to one another than those that do not, whatever the words mean.
func embed(s string, dim int) []float32 {
	sum := make([]float64, dim)
	words := strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })

	if len(words) == 0 {
		words = []string{s}
	}

	for _, w := range words {
		h := fnv.New64a()
		_, _ = h.Write([]byte(w)) // A hash takes everything.

		// A word's direction is random, and the same each time.
		r := rand.New(rand.NewPCG(h.Sum64(), uint64(dim))) //nolint:gosec // It must be the same each time.
		for i := range sum {
			sum[i] += r.NormFloat64()
		}
	}

	norm := 0.0
	for _, x := range sum {
		norm += x * x
	}

	v := make([]float32, dim)
	for i, x := range sum {
		v[i] = float32(x / math.Sqrt(norm))
	}

	return v
}

// encode writes a vector as numbers, or in base64 where a client asks for that, as OpenAI's own do.
func encode(v []float32, format string) any {
	if format != "base64" {
		return v
	}

	b := make([]byte, 0, 4*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}

	return base64.StdEncoding.EncodeToString(b)
}
