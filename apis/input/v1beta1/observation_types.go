package v1beta1

import corev1 "k8s.io/api/core/v1"

// A TaskSource is where the monitor of a worker reads what the agent has to do.
// +kubebuilder:validation:Enum=A2A;Prometheus;LangGraph;HTTP;Inbound
type TaskSource string

// The sources of a worker's tasks.
const (
	// TasksA2A asks an A2A server for its tasks.
	TasksA2A TaskSource = "A2A"
	// TasksPrometheus reads metrics that the agent serves.
	TasksPrometheus TaskSource = "Prometheus"
	// TasksLangGraph reads the metrics of a LangGraph server.
	TasksLangGraph TaskSource = "LangGraph"
	// TasksHTTP reads figures in a JSON document that the agent serves.
	TasksHTTP TaskSource = "HTTP"
	// TasksInbound counts the requests that are open at the inbound proxy.
	TasksInbound TaskSource = "Inbound"
)

// Tasks say where the monitor reads what an agent has to do. It asks on loopback, each second.
type Tasks struct {
	// Source that is asked.
	Source TaskSource `json:"source"`

	// Port of the agent that is asked, 1 to 65535. The first of the role's ports where it is empty.
	// +optional
	Port int32 `json:"port,omitempty"`

	// Path that is asked. The server's root for A2A, /metrics for Prometheus and LangGraph; required for HTTP.
	// +optional
	Path string `json:"path,omitempty"`

	// QueueDepth is where the number of unfinished tasks is, waiting and in flight: a metric for Prometheus, such as
	// sum:jobs{state="waiting"}, and a JSON pointer for HTTP, such as /queue/length. Required for both.
	// +optional
	QueueDepth string `json:"queueDepth,omitempty"`

	// InFlight is where the number of tasks is that the agent works on.
	// +optional
	InFlight string `json:"inFlight,omitempty"`

	// WaitingForInput is where the number of tasks is that wait for somebody else than the agent.
	// +optional
	WaitingForInput string `json:"waitingForInput,omitempty"`

	// Sessions is where the number of open conversations is.
	// +optional
	Sessions string `json:"sessions,omitempty"`
}

// An InboundProtocol is what the inbound proxy passes on.
// +kubebuilder:validation:Enum=HTTP;A2A
type InboundProtocol string

// The protocols of the inbound proxy.
const (
	InboundHTTP InboundProtocol = "HTTP"
	InboundA2A  InboundProtocol = "A2A"
)

// Inbound puts the monitor's inbound proxy before a port of the agent: the pool's Service leads to the proxy, which
// refuses new tasks while the worker drains and lets those that are open end.
type Inbound struct {
	// Port of the agent, one of the role's ports. The first of them where it is empty.
	// +optional
	Port int32 `json:"port,omitempty"`

	// Protocol that is spoken there. HTTP where it is empty.
	// +optional
	Protocol InboundProtocol `json:"protocol,omitempty"`
}

// Drain says how a worker is taken out of service.
type Drain struct {
	// TimeoutSeconds is how long a drain waits for tasks in flight. What a pod's deletion leaves, less 10 seconds for the
	// agent to end, where it is empty: so a worker never drains longer than its grace period lets it.
	// +optional
	// +kubebuilder:validation:Minimum=1
	TimeoutSeconds *int64 `json:"timeoutSeconds,omitempty"`

	// Hook of the agent that is told of a drain and of its withdrawal.
	// +optional
	Hook *DrainHook `json:"hook,omitempty"`
}

// A DrainHook is told of a drain and of its withdrawal, by a POST on loopback.
type DrainHook struct {
	// Port of the agent, 1 to 65535. The first of the role's ports where it is empty.
	// +optional
	Port int32 `json:"port,omitempty"`

	// Path of the hook.
	Path string `json:"path"`

	// TimeoutSeconds of one call. 5 where it is empty.
	// +optional
	// +kubebuilder:validation:Minimum=1
	TimeoutSeconds *int64 `json:"timeoutSeconds,omitempty"`
}

// A Metering is who counts the tokens of a model.
// +kubebuilder:validation:Enum=Proxy;Gateway
type Metering string

// Who counts tokens.
const (
	// MeteringProxy is the worker's own monitor.
	MeteringProxy Metering = "Proxy"
	// MeteringGateway is a gateway of the platform's: agents speak to it themselves, and no proxy runs in the pod.
	MeteringGateway Metering = "Gateway"
)

// Metrics say how the figures of the workers get out.
type Metrics struct {
	// Annotations mark the workers for a Prometheus that scrapes by annotation. True where it is empty.
	// +optional
	Annotations *bool `json:"annotations,omitempty"`

	// PodMonitor composes a PodMonitor with each pool, for the Prometheus Operator, whose kinds must be installed: without
	// them no pool could be composed.
	// +optional
	PodMonitor bool `json:"podMonitor,omitempty"`

	// OTelNames tells the model's figures by OpenTelemetry's names, too.
	// +optional
	OTelNames bool `json:"otelNames,omitempty"`

	// Push has the monitors write their figures to a server, too, for workers that nobody can scrape.
	// +optional
	Push *Push `json:"push,omitempty"`
}

// Push is a server that takes Prometheus remote write.
type Push struct {
	// URL that is written to, http or https.
	URL string `json:"url"`

	// TokenSecretRef names the key of a Secret in the claim's namespace that holds a bearer token.
	// +optional
	TokenSecretRef *corev1.SecretKeySelector `json:"tokenSecretRef,omitempty"`

	// CASecretRef names the key of a Secret in the claim's namespace that holds the certificates to trust, in PEM.
	// +optional
	CASecretRef *corev1.SecretKeySelector `json:"caSecretRef,omitempty"`

	// Headers to send, such as X-Scope-OrgID. They are no place for secrets.
	// +optional
	Headers map[string]string `json:"headers,omitempty"`
}
