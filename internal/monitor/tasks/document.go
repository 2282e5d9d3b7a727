package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// document reads figures in a JSON document, by JSON pointers (RFC 6901).
type document struct {
	client *http.Client
	url    string
	// pointers are those to queue depth, in flight, waiting for input and sessions; nil for a figure that is not told.
	pointers [4][]string
}

func newDocument(client *http.Client, c Config) (*document, error) {
	d := &document{client: client, url: c.URL}

	for i, p := range []string{c.QueueDepth, c.InFlight, c.WaitingForInput, c.Sessions} {
		var err error
		if d.pointers[i], err = parsePointer(p); err != nil {
			return nil, err
		}
	}

	if d.pointers[0] == nil {
		return nil, errors.New("cannot read tasks: say where the number of unfinished tasks is")
	}

	return d, nil
}

// parsePointer returns the tokens of a JSON pointer, or nil for none.
func parsePointer(p string) ([]string, error) {
	if p == "" {
		return nil, nil
	}

	tokens := strings.Split(p, "/")
	if tokens[0] != "" {
		return nil, fmt.Errorf("cannot use %q as a JSON pointer: want one such as /queue/length", p)
	}

	tokens = tokens[1:]
	for i, t := range tokens {
		if strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(t), "~") {
			return nil, fmt.Errorf("cannot use %q as a JSON pointer: ~ is written ~0", p)
		}

		tokens[i] = strings.ReplaceAll(strings.ReplaceAll(t, "~1", "/"), "~0", "~")
	}

	return tokens, nil
}

// Read implements Source.
func (d *document) Read(ctx context.Context) (Load, error) {
	rsp, err := get(ctx, d.client, d.url)
	if err != nil {
		return Load{}, err
	}

	defer func() { _ = rsp.Body.Close() }()

	dec := json.NewDecoder(io.LimitReader(rsp.Body, longestJSON))
	dec.UseNumber()

	var doc any
	if err := dec.Decode(&doc); err != nil {
		return Load{}, fmt.Errorf("cannot read the agent's figures: %w", err)
	}

	var l Load
	for i, into := range []**int64{&l.QueueDepth, &l.InFlight, &l.WaitingForInput, &l.Sessions} {
		if d.pointers[i] == nil {
			continue
		}

		n, err := figure(doc, d.pointers[i])
		if err != nil {
			return Load{}, fmt.Errorf("cannot read /%s: %w", strings.Join(d.pointers[i], "/"), err)
		}

		*into = &n
	}

	return l, nil
}

// figure returns the number at a pointer, or the length of the list there.
func figure(doc any, pointer []string) (int64, error) {
	for _, token := range pointer {
		switch v := doc.(type) {
		case map[string]any:
			next, ok := v[token]
			if !ok {
				return 0, errors.New("it is not in the document")
			}

			doc = next
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || strconv.Itoa(i) != token || i < 0 || i >= len(v) {
				return 0, errors.New("it is not in the document")
			}

			doc = v[i]
		default:
			return 0, errors.New("it is not in the document")
		}
	}

	switch v := doc.(type) {
	case []any:
		return int64(len(v)), nil
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return 0, errNoCount
		}

		return count(f)
	default:
		return 0, errNoCount
	}
}
