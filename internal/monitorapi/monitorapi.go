// Package monitorapi is the contract between the function, the provider and the monitor: what a worker's annotations,
// ports, paths, environment and metrics are called. It knows the standard library only, because the monitor, which runs
// once per agent, links it.
//
// Rule for mixed rollouts: old and new monitors live side by side for hours. So a name keeps its meaning for ever, what
// is new is only added, what is unknown is ignored, and what is absent means what it meant before there was a name for it.
package monitorapi

// The labels of everything that is composed for a pool, and of its workers.
const (
	LabelDispatcher = "southwest.ai/dispatcher"
	LabelRole       = "southwest.ai/role"
)

// SlotGate is the scheduling gate that a worker is born with. The binder removes it when the worker has a slot.
const SlotGate = "southwest.ai/slot"

// The annotations of a worker: the only channel by which it is commanded. Who may patch a pod may command it.
const (
	// AnnotationSlot is the slot the worker holds, a number from 0.
	AnnotationSlot = "southwest.ai/slot"
	// AnnotationEpoch is the fencing epoch under which it holds the slot, a number from 1 that never repeats in a pool.
	AnnotationEpoch = "southwest.ai/epoch"
	// AnnotationRestore is the manifest to restore before the agent starts, or RestoreNone.
	AnnotationRestore = "southwest.ai/restore"
	// AnnotationDrain is the id of a drain: while it is there the worker takes no new tasks.
	AnnotationDrain = "southwest.ai/drain"
)

// RestoreNone is the value of AnnotationRestore for a worker that starts with what its state directory holds.
const RestoreNone = "none"

// Where a worker's monitor listens.
const (
	// Port of the monitor on all the pod's addresses: status, metrics and health, all of them read-only.
	Port = 9797
	// ProxyPort of the model proxy, on loopback only.
	ProxyPort = 9798
	// ProxyURL is the base URL that the agent's client library is given.
	ProxyURL = "http://127.0.0.1:9798"
)

// What the monitor answers on Port.
const (
	PathMetrics = "/metrics"
	PathStatus  = "/v1/status"
	PathDrained = "/v1/drained"
	PathReady   = "/readyz"
	PathLive    = "/livez"
)

// The files of a worker's pod.
const (
	// PodinfoDir is where the downward API volume is mounted.
	PodinfoDir = "/etc/podinfo"
	// PodinfoAnnotations and PodinfoLabels are its files.
	PodinfoAnnotations = "annotations"
	PodinfoLabels      = "labels"
	// ModelKeyFile holds the model server's API key, where there is one.
	ModelKeyFile = "/var/run/southwest.ai/model/key"
)

// The environment the function gives the monitor.
const (
	EnvNamespace     = "MONITOR_NAMESPACE"
	EnvPod           = "MONITOR_POD"
	EnvDispatcher    = "MONITOR_DISPATCHER"
	EnvRole          = "MONITOR_ROLE"
	EnvStateDir      = "MONITOR_STATE_DIR"
	EnvModelEndpoint = "MONITOR_MODEL_ENDPOINT"
	EnvModelProtocol = "MONITOR_MODEL_PROTOCOL"
)
