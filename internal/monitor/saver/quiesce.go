package saver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"
)

// A quiesce asks an agent to hold still while its state is read. A hook that fails holds no save up: what the agent writes
// meanwhile is read again.
type quiesce struct {
	url     string
	timeout time.Duration
	client  *http.Client
	log     *slog.Logger
}

// A quiesceCall is what the hook is POSTed, as JSON.
type quiesceCall struct {
	// Quiesce says whether to hold still, or to go on.
	Quiesce bool `json:"quiesce"`
	// Deadline is until when to hold still at most, if nobody says to go on.
	Deadline *time.Time `json:"deadline,omitempty"`
}

// holdMost is how long an agent is asked to hold still at most.
const holdMost = 5 * time.Minute

// newQuiesce returns the hook at a URL of the worker's own pod, nil for none.
func newQuiesce(at string, timeout time.Duration, log *slog.Logger) (*quiesce, error) {
	if at == "" {
		return nil, nil //nolint:nilnil // None is one of the choices.
	}

	u, err := url.Parse(at)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("cannot ask %q to hold still: want a URL such as http://127.0.0.1:8080/quiesce", at)
	}

	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("cannot ask %s to hold still: want the agent itself, on loopback", u.Host)
	}

	return &quiesce{url: at, timeout: timeout, log: log, client: &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// hold asks the agent to hold still, and returns what lets it go on.
func (q *quiesce) hold(ctx context.Context) (resume func()) {
	if q == nil {
		return func() {}
	}

	deadline := time.Now().Add(holdMost).UTC()

	if err := q.post(ctx, quiesceCall{Quiesce: true, Deadline: &deadline}); err != nil {
		q.log.Warn("the agent was not asked to hold still: its state is saved as it is", "error", err.Error())
	}

	// Even one whose answer was lost may hold still.
	return func() {
		if err := q.post(context.WithoutCancel(ctx), quiesceCall{}); err != nil {
			q.log.Warn("the agent was not told to go on: it does so at the deadline it was given", "error", err.Error())
		}
	}
}

func (q *quiesce) post(ctx context.Context, call quiesceCall) error {
	ctx, cancel := context.WithTimeout(ctx, q.timeout)
	defer cancel()

	body, err := json.Marshal(call)
	if err != nil {
		return fmt.Errorf("cannot encode the call: %w", err)
	}

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, q.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("cannot make the call: %w", err)
	}

	req.Header.Set("Content-Type", "application/json")

	rsp, err := q.client.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}

		return fmt.Errorf("the agent does not answer: %w", err)
	}

	defer func() { _ = rsp.Body.Close() }()

	_, _ = io.Copy(io.Discard, io.LimitReader(rsp.Body, 64<<10)) // What it says does not matter.

	if rsp.StatusCode/100 != 2 {
		return fmt.Errorf("the agent answers %d", rsp.StatusCode)
	}

	return nil
}
