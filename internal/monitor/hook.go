package monitor

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

const (
	// drainAttempts bounds how often in a row an agent is told of one drain. The drain goes on without.
	drainAttempts = 5
	// withdrawAttempts bounds how often it is told of a withdrawal: a quarter of an hour, because an agent that does not hear
	// of it takes no tasks, while its worker does.
	withdrawAttempts = 20
	// hookPause is the time after the first attempt. It doubles with each for a withdrawal, up to longestHookPause.
	hookPause        = time.Second
	longestHookPause = time.Minute
	// hookRepeat is how often an agent is told of a drain that goes on: one that was restarted has forgotten it.
	hookRepeat = time.Minute
)

// A hookCall is what an agent's drain hook is POSTed, as JSON.
type hookCall struct {
	// Drain says whether the agent is to begin nothing new, or to go on after all.
	Drain bool `json:"drain"`
	// ID of the drain that was commanded; absent for an agent that is about to be ended.
	ID string `json:"id,omitempty"`
	// Deadline is when the drain is over whatever is in flight.
	Deadline *time.Time `json:"deadline,omitempty"`
}

// A drainHook tells an agent of its worker's drains, and of their withdrawal. A hook that fails holds nothing up: a drain
// waits for the tasks, not for the hook.
type drainHook struct {
	url    string
	client *http.Client
	log    *slog.Logger
}

// newDrainHook returns the hook at a URL of the worker's own pod.
func newDrainHook(at string, timeout time.Duration, log *slog.Logger) (*drainHook, error) {
	u, err := url.Parse(at)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("cannot tell %q of a drain: want a URL such as http://127.0.0.1:8080/drain", at)
	}

	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("cannot tell %s of a drain: want the agent itself, on loopback", u.Host)
	}

	return &drainHook{url: at, log: log, client: &http.Client{
		Timeout: timeout, Transport: &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// run tells the agent until the context is done: of each drain, also of one that takes the place of another, and of their
// withdrawal.
func (h *drainHook) run(ctx context.Context, w *Worker) {
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()

	var (
		told hookCall
		at   time.Time
	)

	for {
		if call := callFor(w); !call.same(told) || call.Drain && time.Since(at) >= hookRepeat {
			h.tell(ctx, call, w)

			told, at = call, time.Now()
		}

		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// callFor returns what an agent is to know of its worker.
func callFor(w *Worker) hookCall {
	id, deadline := w.Drain()
	if deadline.IsZero() {
		return hookCall{}
	}

	return hookCall{Drain: true, ID: id, Deadline: &deadline}
}

// same says whether two calls say the same.
func (c hookCall) same(o hookCall) bool {
	return c.Drain == o.Drain && c.ID == o.ID && (c.Deadline == nil || o.Deadline == nil || c.Deadline.Equal(*o.Deadline))
}

// tell tells the agent, again where it fails, as long as that is still so.
func (h *drainHook) tell(ctx context.Context, call hookCall, w *Worker) {
	most := withdrawAttempts
	if call.Drain {
		most = drainAttempts
	}

	pause := hookPause

	for attempt := 1; ; attempt++ {
		err := h.post(ctx, call)
		if err == nil {
			h.log.Info("the agent was told", "drain", call.Drain)

			return
		}

		if attempt == most || ctx.Err() != nil || !call.same(callFor(w)) {
			h.log.Warn("the agent could not be told", "drain", call.Drain, "attempts", attempt, "error", err.Error())

			return
		}

		if !h.wait(ctx, pause, call, w) {
			return
		}

		if !call.Drain {
			pause = min(2*pause, longestHookPause)
		}
	}
}

// wait waits between two attempts, and says whether the agent is to be told that still.
func (h *drainHook) wait(ctx context.Context, pause time.Duration, call hookCall, w *Worker) bool {
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()

	for end := time.After(pause); ; {
		select {
		case <-ctx.Done():
			return false
		case <-end:
			return call.same(callFor(w))
		case <-tick.C:
			// A worker that drains anew must not wait for the word that it does not.
			if !call.same(callFor(w)) {
				return false
			}
		}
	}
}

func (h *drainHook) post(ctx context.Context, call hookCall) error {
	body, err := json.Marshal(call)
	if err != nil {
		return fmt.Errorf("cannot encode the call: %w", err)
	}

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("cannot make the call: %w", err)
	}

	req.Header.Set("Content-Type", "application/json")

	rsp, err := h.client.Do(req)
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
