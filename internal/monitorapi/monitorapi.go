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
	// AnnotationRestore is what to restore before the agent starts: RestoreNone, RestoreLatest or a checkpoint.
	AnnotationRestore = "southwest.ai/restore"
	// AnnotationDrain is the id of a drain: while it is there the worker takes no new tasks.
	AnnotationDrain = "southwest.ai/drain"
	// AnnotationDrainUntil is when the drain is given up, as of RFC 3339, and AnnotationDrainRefused when one last was. They are the
	// provider's own notes: a monitor does not read them.
	AnnotationDrainUntil   = "southwest.ai/drain-until"
	AnnotationDrainRefused = "southwest.ai/drain-refused"
	// AnnotationCheckpointNow asks for a save at once. Its value names the request, and each new one asks anew.
	AnnotationCheckpointNow = "southwest.ai/checkpoint-now"
	// AnnotationHandedOver is the checkpoint by which the state of a worker is safe that has left its pool, as SLOT/EPOCH-SEQUENCE.
	AnnotationHandedOver = "southwest.ai/handed-over"
)

// RestoreNone is the value of AnnotationRestore for a worker that starts with what its state directory holds.
const RestoreNone = "none"

// Where a worker's monitor listens.
const (
	// Port of the monitor on all the pod's addresses: status, metrics and health, all of them read-only.
	Port = 9797
	// ProxyPort of the model proxy, on loopback only.
	ProxyPort = 9798
	// InboundPort of the inbound proxy, on all the pod's addresses: it stands before the agent's own port.
	InboundPort = 9799
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
	// PushTokenFile holds the bearer token of remote write, and PushCAFile the certificates it trusts, where there are any.
	PushTokenFile = "/var/run/southwest.ai/push/token"
	PushCAFile    = "/var/run/southwest.ai/push/ca.crt"
)

// How a worker's tokens are counted.
const (
	// MeteringProxy counts them at the model proxy.
	MeteringProxy = "proxy"
	// MeteringOff starts no model proxy: a gateway of the platform's counts.
	MeteringOff = "off"
)

// Where a worker's load is read.
const (
	SourceNone       = "none"
	SourceA2A        = "a2a"
	SourcePrometheus = "prometheus"
	SourceLangGraph  = "langgraph"
	SourceHTTP       = "http"
	SourceInbound    = "inbound"
)

// What the inbound proxy passes on.
const (
	InboundHTTP = "http"
	InboundA2A  = "a2a"
)

// The environment the function gives the monitor.
const (
	EnvNamespace     = "MONITOR_NAMESPACE"
	EnvPod           = "MONITOR_POD"
	EnvDispatcher    = "MONITOR_DISPATCHER"
	EnvRole          = "MONITOR_ROLE"
	EnvModelEndpoint = "MONITOR_MODEL_ENDPOINT"
	EnvModelProtocol = "MONITOR_MODEL_PROTOCOL"

	// EnvMetering is MeteringProxy or MeteringOff. MeteringProxy where it is not set.
	EnvMetering = "MONITOR_METERING"
	// EnvAskForUsage is "false" for a model server that is not to be asked for a stream's usage.
	EnvAskForUsage = "MONITOR_ASK_FOR_USAGE"
	// EnvOTelNames is "true" where the model's figures are told by OpenTelemetry's names, too.
	EnvOTelNames = "MONITOR_OTEL_NAMES"

	// EnvTasksSource is one of the Source constants. SourceNone where it is not set.
	EnvTasksSource = "MONITOR_TASKS_SOURCE"
	// EnvTasksURL is what the source reads, on loopback: a page of metrics, a JSON document, an A2A server's base URL.
	EnvTasksURL = "MONITOR_TASKS_URL"
	// What each figure is in that document: for SourcePrometheus a metric, such as sum:jobs{state="waiting"} or max:jobs, and
	// for SourceHTTP a JSON pointer, such as /queue/length. A figure without one is not told. Queue depth is required.
	EnvTasksQueueDepth      = "MONITOR_TASKS_QUEUE_DEPTH"
	EnvTasksInFlight        = "MONITOR_TASKS_IN_FLIGHT"
	EnvTasksWaitingForInput = "MONITOR_TASKS_WAITING_FOR_INPUT"
	EnvTasksSessions        = "MONITOR_TASKS_SESSIONS"

	// EnvInboundUpstream is the agent's own address behind the inbound proxy, such as http://127.0.0.1:8080. Without it there
	// is no inbound proxy.
	EnvInboundUpstream = "MONITOR_INBOUND_UPSTREAM"
	// EnvInboundProtocol is InboundHTTP or InboundA2A: how a new task is told from others and how it is refused.
	EnvInboundProtocol = "MONITOR_INBOUND_PROTOCOL"

	// EnvDrainTimeout is how long a drain waits for tasks in flight, as a Go duration.
	EnvDrainTimeout = "MONITOR_DRAIN_TIMEOUT"
	// EnvStopTimeout is how long the agent's preStop hook waits at most, as a Go duration: less than the pod's grace period,
	// of which the agent needs the rest to end.
	EnvStopTimeout = "MONITOR_STOP_TIMEOUT"
	// EnvDrainHookURL is the agent's own hook, on loopback, and EnvDrainHookTimeout its deadline.
	EnvDrainHookURL     = "MONITOR_DRAIN_HOOK_URL"
	EnvDrainHookTimeout = "MONITOR_DRAIN_HOOK_TIMEOUT"

	// EnvPushURL is where the figures are pushed by remote write; nowhere where it is not set.
	EnvPushURL = "MONITOR_PUSH_URL"
	// EnvPushHeaders are further headers of a push, such as X-Scope-OrgID=team-a, separated by commas. They are no secrets.
	EnvPushHeaders = "MONITOR_PUSH_HEADERS"
)
