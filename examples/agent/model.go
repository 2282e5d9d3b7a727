package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// attempts bounds how often a model is asked anew; between two of them lies a second, doubled each time, or what the
// model asked for, at most maxWait.
const (
	attempts = 5
	maxWait  = 30 * time.Second
)

// A model answers conversations over the OpenAI chat completions protocol, read as a stream.
type model struct {
	url, key, name string
	client         *http.Client
	// firstWait is the wait before the second attempt.
	firstWait time.Duration
}

func newModel(c config) *model {
	return &model{url: strings.TrimSuffix(c.modelURL, "/") + "/chat/completions", key: c.modelKey, name: c.model, client: &http.Client{}, firstWait: time.Second}
}

// errRetry is an answer after which the same request may do better later.
type errRetry struct {
	after time.Duration
	err   error
}

func (e *errRetry) Error() string { return e.err.Error() }

// ask returns the model's answer to a conversation.
func (m *model) ask(ctx context.Context, turns []turn) (string, error) {
	wait := m.firstWait

	for n := 1; ; n++ {
		answer, err := m.once(ctx, turns)

		var again *errRetry
		if err == nil || !errors.As(err, &again) || n == attempts {
			return answer, err
		}

		// Jitter, so that a pool does not come back as one.
		pause := max(again.after, wait/2+rand.N(wait)) //nolint:gosec // Not a secret.

		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(min(pause, maxWait)):
		}

		wait *= 2
	}
}

func (m *model) once(ctx context.Context, turns []turn) (string, error) {
	body, err := json.Marshal(map[string]any{"model": m.name, "messages": turns, "stream": true})
	if err != nil {
		return "", err
	}

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}

	req.Header.Set("Content-Type", "application/json")

	if m.key != "" {
		req.Header.Set("Authorization", "Bearer "+m.key)
	}

	rsp, err := m.client.Do(req)
	if err != nil {
		return "", &errRetry{err: fmt.Errorf("cannot reach the model: %w", err)}
	}
	defer rsp.Body.Close() //nolint:errcheck // Read to its end, or given up.

	if rsp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(rsp.Body, 1<<10))
		err := fmt.Errorf("the model answered %s: %s", rsp.Status, strings.TrimSpace(string(b)))

		if rsp.StatusCode == http.StatusTooManyRequests || rsp.StatusCode >= http.StatusInternalServerError {
			after, _ := strconv.Atoi(rsp.Header.Get("Retry-After"))

			return "", &errRetry{after: time.Duration(after) * time.Second, err: err}
		}

		return "", err
	}

	return readStream(rsp.Body)
}

// readStream puts a streamed answer together. A stream that ends without saying so was cut, and may be asked for anew.
func readStream(r io.Reader) (string, error) {
	var out strings.Builder

	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)

	for sc.Scan() {
		data, ok := strings.CutPrefix(sc.Text(), "data: ")
		if !ok {
			continue
		}

		if data == "[DONE]" {
			return out.String(), nil
		}

		var chunk struct {
			Choices []struct {
				Delta struct {
					Content string `json:"content"`
				} `json:"delta"`
			} `json:"choices"`
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			return "", fmt.Errorf("cannot read the model's answer: %w", err)
		}

		for _, c := range chunk.Choices {
			out.WriteString(c.Delta.Content)
		}
	}

	return "", &errRetry{err: fmt.Errorf("the model's answer was cut: %w", errors.Join(sc.Err(), io.ErrUnexpectedEOF))}
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))

	return hex.EncodeToString(sum[:])
}
