package monitorapi

import "time"

// StatusVersion is the version of Status. Fields are only ever added to a version; a reader ignores what it does not know.
const StatusVersion = 1

// A State of a worker, as its monitor sees it.
type State string

// The states of a worker.
const (
	// StateActive is a worker that takes tasks.
	StateActive State = "Active"
	// StateDraining is a worker that takes no new tasks, because it was told to or is being deleted.
	StateDraining State = "Draining"
	// StateDrained is a worker that has drained.
	StateDrained State = "Drained"
)

// Status is what a monitor answers on PathStatus.
type Status struct {
	Version    int    `json:"version"`
	Namespace  string `json:"namespace"`
	Dispatcher string `json:"dispatcher"`
	Role       string `json:"role"`
	Pod        string `json:"pod"`

	// Slot and Epoch are what the binder gave the worker; empty for a worker without state.
	Slot  string `json:"slot,omitempty"`
	Epoch string `json:"epoch,omitempty"`
	// Restore is what the worker was told to restore before its agent started.
	Restore string `json:"restore,omitempty"`

	State State `json:"state"`
	// DrainID is the id of the drain the worker was told to do. Empty when nobody told it to.
	DrainID string `json:"drainID,omitempty"`
	// Late says that the drain is over because its time was, with tasks in flight or a load that nobody knows.
	Late bool `json:"late,omitempty"`
	// Ready says whether the worker takes tasks; Reason says why not.
	Ready  bool   `json:"ready"`
	Reason string `json:"reason,omitempty"`

	Tasks Tasks `json:"tasks"`
	// Tokens are what the model server billed since StartedAt; absent where nothing is counted in the pod.
	Tokens *Tokens `json:"tokens,omitempty"`
	// Budget is the worker's share of its pool's token budget; absent where there is none.
	Budget *Budget `json:"budget,omitempty"`
	// Checkpoint is what is known of the worker's checkpoints; absent where its pool has no repository.
	Checkpoint *Checkpoint `json:"checkpoint,omitempty"`

	StartedAt time.Time `json:"startedAt"`
}

// Tasks are what is known of a worker's tasks. While Known is false the figures are absent, which is not zero. While it is
// true, a figure that the worker's source does not tell is absent.
type Tasks struct {
	Known bool `json:"known"`
	// UnknownSince is when the monitor last stopped knowing, and Reason why; or, where it knows, how, if that is not as it was
	// told to.
	UnknownSince *time.Time `json:"unknownSince,omitempty"`
	Reason       string     `json:"reason,omitempty"`

	// QueueDepth is the number of unfinished tasks: waiting for the agent, and in flight.
	QueueDepth *int64 `json:"queueDepth,omitempty"`
	// InFlight is the number of tasks the agent works on.
	InFlight *int64 `json:"inFlight,omitempty"`
	// WaitingForInput is the number of tasks that wait for somebody else than the agent. They are not in QueueDepth.
	WaitingForInput *int64 `json:"waitingForInput,omitempty"`
	// Sessions is the number of conversations that are open.
	Sessions *int64 `json:"sessions,omitempty"`
}

// Tokens are what a model server billed. Cached is a part of Input, and Reasoning of Output.
type Tokens struct {
	Input     int64 `json:"input"`
	Output    int64 `json:"output"`
	Cached    int64 `json:"cached"`
	Reasoning int64 `json:"reasoning"`
	// Requests is the number of requests to the model server; Missing that of answers whose usage never came.
	Requests int64 `json:"requests"`
	Missing  int64 `json:"missing"`
}

// A Budget is a worker's share of its pool's token budget.
type Budget struct {
	// TokensPerMinute is the share.
	TokensPerMinute int64 `json:"tokensPerMinute"`
	// Waiting is the number of requests that wait for it now, and HeldBack that of all that ever had to.
	Waiting  int64 `json:"waiting"`
	HeldBack int64 `json:"heldBack"`
	// WaitingTokens is what those that wait are thought to need together. Absent of a monitor that does not tell, and where none
	// waits.
	WaitingTokens int64 `json:"waitingTokens,omitempty"`
}

// The names of the monitor's own metrics. None has a label for a slot, a session or a task.
const (
	MetricProxyRequests = "aidispatcher_monitor_proxy_requests_total"
	MetricProxySeconds  = "aidispatcher_monitor_proxy_first_byte_seconds"
	MetricDraining      = "aidispatcher_monitor_draining"
	MetricInfo          = "aidispatcher_monitor_info"
)
