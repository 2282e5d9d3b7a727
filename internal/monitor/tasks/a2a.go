package tasks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// longestJSON bounds a JSON document.
const longestJSON = 1 << 20

// relisten is how long an agent that cannot list its tasks is not asked to again. It may have been replaced.
const relisten = time.Minute

// errNoList is the error of an agent that does not say how many tasks it has.
var errNoList = errors.New("the agent cannot list its tasks")

// a2a counts the tasks of an A2A server by ListTasks of the HTTP binding of A2A 1.0 (section "List Tasks"): one task at most
// comes back for each state, and with it how many there are. Of a server that has no such thing somebody else may count them.
type a2a struct {
	client *http.Client
	base   string
	// counted is nil where nobody counts them.
	counted Source
	now     func() time.Time
	// lacks is when the server was last found without ListTasks, and why says how.
	lacks time.Time
	why   error
}

// Read implements Source.
func (a *a2a) Read(ctx context.Context) (Load, error) {
	if a.counted == nil || a.why == nil || a.now().Sub(a.lacks) >= relisten {
		l, err := a.list(ctx)
		if !errors.Is(err, errNoList) {
			a.why = nil

			return l, err
		}

		if a.counted == nil {
			return Load{}, fmt.Errorf("%w: set inbound.protocol to A2A, and they are counted there", err)
		}

		a.lacks, a.why = a.now(), err
	}

	l, err := a.counted.Read(ctx)
	if err != nil {
		return Load{}, fmt.Errorf("%w, and %w", a.why, err)
	}

	l.Says = fmt.Sprintf("counted at the inbound proxy, because %v", a.why)

	return l, nil
}

// list asks for the tasks. The states are asked for in the order in which a task passes them, so that one that moves on
// meanwhile is counted twice rather than not at all.
func (a *a2a) list(ctx context.Context) (Load, error) {
	waiting, err := a.sum(ctx, "TASK_STATE_AUTH_REQUIRED", "TASK_STATE_INPUT_REQUIRED")

	// Some servers refuse a state that their tasks are never in.
	var status *statusError
	if err != nil && (!errors.As(err, &status) || status.code != http.StatusBadRequest) {
		return Load{}, err
	}

	submitted, err := a.sum(ctx, "TASK_STATE_SUBMITTED")

	// All tasks are in this one at first: who refuses it for a reason such as these lists none.
	if errors.As(err, &status) && status.code == http.StatusBadRequest && status.unsupported() {
		return Load{}, fmt.Errorf("%w (it answers %d)", errNoList, status.code)
	}

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
	// A server that is not told the version takes the client for one of 0.3.
	rsp, err := get(ctx, a.client, a.base+"/tasks?"+url.Values{"status": {state}, "pageSize": {"1"}, "historyLength": {"0"}}.Encode(), [2]string{"A2A-Version", "1.0"})

	var status *statusError
	if errors.As(err, &status) && (status.code == http.StatusNotFound || status.code == http.StatusMethodNotAllowed || status.code == http.StatusNotImplemented) {
		return 0, fmt.Errorf("%w (it answers %d)", errNoList, status.code)
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
		return 0, fmt.Errorf("%w (its ListTasks does not say how many there are)", errNoList)
	}

	return *page.TotalSize, nil
}

// unsupported says whether an answer is that of a server that does not know the method, or not this version of A2A.
func (e *statusError) unsupported() bool {
	return strings.Contains(e.body, "UNSUPPORTED_OPERATION") || strings.Contains(e.body, "VERSION_NOT_SUPPORTED")
}
