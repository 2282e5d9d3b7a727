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
	// Ready says whether the worker takes tasks; Reason says why not.
	Ready  bool   `json:"ready"`
	Reason string `json:"reason,omitempty"`

	Tasks     Tasks     `json:"tasks"`
	StartedAt time.Time `json:"startedAt"`
}

// Tasks are what is known of a worker's tasks. While Known is false the figures are absent, which is not zero.
type Tasks struct {
	Known bool `json:"known"`
	// UnknownSince is when the monitor last stopped knowing.
	UnknownSince *time.Time `json:"unknownSince,omitempty"`
}

// The names of the monitor's own metrics. None has a label for a slot, a session or a task.
const (
	MetricProxyRequests = "aidispatcher_monitor_proxy_requests_total"
	MetricProxySeconds  = "aidispatcher_monitor_proxy_first_byte_seconds"
	MetricDraining      = "aidispatcher_monitor_draining"
	MetricInfo          = "aidispatcher_monitor_info"
)
