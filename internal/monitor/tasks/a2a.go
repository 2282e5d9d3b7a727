package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// longestJSON bounds a JSON document.
const longestJSON = 1 << 20

// a2a counts the tasks of an A2A server by ListTasks of the HTTP binding of A2A 1.0 (section "List Tasks"): one task at most
// comes back for each state, and with it how many there are.
type a2a struct {
	client *http.Client
	base   string
}

// Read implements Source. The states are asked for in the order in which a task passes them, so that one that moves on
// meanwhile is counted twice rather than not at all.
func (a *a2a) Read(ctx context.Context) (Load, error) {
	waiting, err := a.sum(ctx, "TASK_STATE_AUTH_REQUIRED", "TASK_STATE_INPUT_REQUIRED")

	// Some servers refuse a state that their tasks are never in.
	var status *statusError
	if err != nil && (!errors.As(err, &status) || status.code != http.StatusBadRequest) {
		return Load{}, err
	}

	submitted, err := a.sum(ctx, "TASK_STATE_SUBMITTED")
	if err != nil {
		return Load{}, err
	}

	working, err := a.sum(ctx, "TASK_STATE_WORKING")
	if err != nil {
		return Load{}, err
	}

	depth := *submitted + *working

	return Load{QueueDepth: &depth, InFlight: working, WaitingForInput: waiting}, nil
}

// sum returns the number of tasks in some states, and nil with an error.
func (a *a2a) sum(ctx context.Context, states ...string) (*int64, error) {
	var sum int64

	for _, s := range states {
		n, err := a.count(ctx, s)
		if err != nil {
			return nil, err
		}

		sum += n
	}

	return &sum, nil
}

func (a *a2a) count(ctx context.Context, state string) (int64, error) {
	rsp, err := get(ctx, a.client, a.base+"/tasks?"+url.Values{"status": {state}, "pageSize": {"1"}, "historyLength": {"0"}}.Encode())

	var status *statusError
	if errors.As(err, &status) && (status.code == http.StatusNotFound || status.code == http.StatusMethodNotAllowed || status.code == http.StatusNotImplemented) {
		return 0, fmt.Errorf("the agent has no ListTasks (it answers %d): set tasks.source to Inbound", status.code)
	}

	if err != nil {
		return 0, err
	}

	defer func() { _ = rsp.Body.Close() }()

	var page struct {
		TotalSize *int64 `json:"totalSize"`
	}

	if err := json.NewDecoder(io.LimitReader(rsp.Body, longestJSON)).Decode(&page); err != nil {
		return 0, fmt.Errorf("cannot read the agent's tasks: %w", err)
	}

	if page.TotalSize == nil || *page.TotalSize < 0 {
		return 0, errors.New("the agent's ListTasks does not say how many tasks there are: set tasks.source to Inbound")
	}

	return *page.TotalSize, nil
}
