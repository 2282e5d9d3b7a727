package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
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

// attempts bounds how often a model is asked anew.
const attempts = 5

// A model answers conversations over the OpenAI chat completions protocol, read as a stream.
type model struct {
	url, key, name string
	// embedder is the name of the model that makes vectors of texts.
	embedder string
	client   *http.Client
	// firstWait is the wait before the second attempt. It is doubled for each one after, or is what the model asked for,
	// and is never longer than maxWait.
	firstWait, maxWait time.Duration
	// patience bounds one attempt: a model that says nothing for ever would hold a task for ever.
	patience time.Duration
}

func newModel(c config) *model {
	return &model{
		url: strings.TrimSuffix(c.modelURL, "/"), key: c.modelKey, name: c.model, embedder: c.memory.model, client: &http.Client{},
		firstWait: time.Second, maxWait: 30 * time.Second, patience: c.patience,
	}
}

// An errRetry is a failure after which the same request may do better later.
type errRetry struct {
	after time.Duration
	err   error
}

func (e *errRetry) Error() string { return e.err.Error() }

func (e *errRetry) Unwrap() error { return e.err }

// ask returns the model's answer to a conversation.
func (m *model) ask(ctx context.Context, turns []turn) (string, error) {
	var answer string

	err := m.call(ctx, "/chat/completions", chatRequest(m.name, turns), func(r io.Reader) (err error) {
		answer, err = readStream(r)

		return err
	})

	return answer, err
}

// embed returns the vector of a text.
func (m *model) embed(ctx context.Context, text string) ([]float32, error) {
	var out struct {
		Data []struct{ Embedding []float32 }
	}

	err := m.call(ctx, "/embeddings", map[string]any{"model": m.embedder, "input": text, "encoding_format": "float"}, func(r io.Reader) error {
		return json.NewDecoder(r).Decode(&out)
	})
	if err == nil && (len(out.Data) != 1 || len(out.Data[0].Embedding) == 0) {
		err = errors.New("the answer has no vector")
	}

	if err != nil {
		return nil, fmt.Errorf("cannot make a vector: %w", err)
	}

	return out.Data[0].Embedding, nil
}

// call sends a request until its answer can be read, or will never be.
func (m *model) call(ctx context.Context, path string, request any, read func(io.Reader) error) error {
	body, err := json.Marshal(request)
	if err != nil {
		return fmt.Errorf("cannot write the request: %w", err)
	}

	wait := m.firstWait

	for n := 1; ; n++ {
		err := m.once(ctx, path, body, read)

		var again *errRetry
		if !errors.As(err, &again) || n == attempts {
			return err
		}

		// Jitter, so that a pool does not come back as one.
		pause := max(again.after, wait/2+rand.N(wait)) //nolint:gosec // Not a secret.

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(pause, m.maxWait)):
		}

		wait *= 2
	}
}

func chatRequest(name string, turns []turn) any {
	type said struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}

	messages := make([]said, 0, len(turns))
	for _, t := range turns {
		messages = append(messages, said{t.Role, t.Content})
	}

	return struct {
		Model    string `json:"model"`
		Messages []said `json:"messages"`
		Stream   bool   `json:"stream"`
	}{name, messages, true}
}

// once asks the model once.
func (m *model) once(ctx context.Context, path string, body []byte, read func(io.Reader) error) error {
	ctx, cancel := context.WithTimeout(ctx, m.patience)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url+path, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("cannot ask the model: %w", err)
	}

	req.Header.Set("Content-Type", "application/json")

	if m.key != "" {
		req.Header.Set("Authorization", "Bearer "+m.key)
	}

	rsp, err := m.client.Do(req)
	if err != nil {
		return &errRetry{err: fmt.Errorf("cannot reach the model: %w", err)}
	}
	defer rsp.Body.Close()

	if rsp.StatusCode == http.StatusOK {
		return read(rsp.Body)
	}

	b, _ := io.ReadAll(io.LimitReader(rsp.Body, 1<<10))
	err = fmt.Errorf("the model answered %s: %s", rsp.Status, strings.TrimSpace(string(b)))

	if rsp.StatusCode == http.StatusTooManyRequests || rsp.StatusCode >= http.StatusInternalServerError {
		return &errRetry{after: retryAfter(rsp.Header.Get("Retry-After"), time.Now()), err: err}
	}

	return err
}

// retryAfter reads the header of that name: seconds or a date.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(s); err == nil {
		return time.Duration(n) * time.Second
	}

	if at, err := http.ParseTime(s); err == nil {
		return at.Sub(now)
	}

	return 0
}

// readStream puts a streamed answer together. A stream that ends without saying so was cut, and may be asked for anew.
func readStream(r io.Reader) (string, error) {
	var out strings.Builder

	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)

	for sc.Scan() {
		data, ok := strings.CutPrefix(sc.Text(), "data:")
		if !ok {
			continue
		}

		if data = strings.TrimSpace(data); data == "[DONE]" {
			return out.String(), nil
		}

		var chunk struct {
			Choices []struct {
				Delta struct{ Content string }
			}
			Error json.RawMessage
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			return "", fmt.Errorf("cannot read the model's answer: %w", err)
		}

		if len(chunk.Error) > 0 && string(chunk.Error) != "null" {
			return "", &errRetry{err: fmt.Errorf("the model failed: %s", chunk.Error)}
		}

		for _, c := range chunk.Choices {
			out.WriteString(c.Delta.Content)
		}
	}

	return "", &errRetry{err: fmt.Errorf("the model's answer was cut: %w", cmp.Or(sc.Err(), io.ErrUnexpectedEOF))}
}
