package v1alpha1

import (
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

// A Role says what the pool's agents do. What a role runs is the platform team's catalog.
// +kubebuilder:validation:Enum=coder;reviewer;planner
type Role string

// The roles a claim can name.
const (
	RoleCoder    Role = "coder"
	RoleReviewer Role = "reviewer"
	RolePlanner  Role = "planner"
)

// AIDispatcherSpec is what a team asks for.
// +kubebuilder:validation:XValidation:rule="(has(self.modelRef) && self.modelRef != \"\") || (has(self.modelEndpoint) && self.modelEndpoint != \"\")",message="name a model: set spec.modelRef to a model of the platform's catalog, or spec.modelEndpoint to the URL of one"
type AIDispatcherSpec struct {
	// Role of the agents in this pool. What each role runs is the platform team's catalog.
	Role Role `json:"role"`

	// ModelRef names a model of the platform team's catalog.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	ModelRef string `json:"modelRef,omitempty"`

	// ModelEndpoint is the base URL of a model server, http or https. It overrides the endpoint of ModelRef.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['http', 'https'] && url(self).getHost() != \"\"",message="modelEndpoint must be a URL such as https://models.example.org/v1"
	ModelEndpoint string `json:"modelEndpoint,omitempty"`

	// Replicas is the number of workers without scaling, and the first number of workers with it.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:XValidation:rule="self >= 1",message="replicas must be at least 1; to run no worker for a while set suspend: true"
	// +kubebuilder:validation:XValidation:rule="self <= 1000",message="replicas must be at most 1000; split a larger pool into several AIDispatchers"
	Replicas *int32 `json:"replicas,omitempty"`

	// Suspend removes all workers and keeps everything else, so that the pool can be resumed.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// MemoryConfig asks for a vector collection, which exists with the right dimension before an agent starts.
	// +optional
	MemoryConfig *MemoryConfig `json:"memoryConfig,omitempty"`

	// Scaling lets the pool's size follow its load. Without it the pool has exactly Replicas workers.
	// +optional
	Scaling *Scaling `json:"scaling,omitempty"`

	// Checkpoint asks for a checkpoint repository, in which each slot's state is kept.
	// +optional
	Checkpoint *Checkpoint `json:"checkpoint,omitempty"`

	// TokenBudget bounds what the pool may spend.
	// +optional
	TokenBudget *TokenBudget `json:"tokenBudget,omitempty"`
}

// MemoryConfig describes a pool's vector collection. Its rules are those of a VectorCollection.
// +kubebuilder:validation:XValidation:rule="self.collection == oldSelf.collection || (has(oldSelf.successor) && oldSelf.successor.stage == 'Release' && self.collection == oldSelf.successor.collection && self.dim == oldSelf.successor.dim && self.distance == oldSelf.successor.distance)",message="memoryConfig.collection cannot change but to that of a released successor, with its dim and distance: a collection is not renamed; set memoryConfig.successor, or make a new AIDispatcher for another collection"
// +kubebuilder:validation:XValidation:rule="self.dim == oldSelf.dim || self.collection != oldSelf.collection",message="memoryConfig.dim cannot change: vectors of two dimensions cannot be compared; set memoryConfig.successor, or make a new collection, and re-embed"
// +kubebuilder:validation:XValidation:rule="self.distance == oldSelf.distance || self.collection != oldSelf.collection",message="memoryConfig.distance cannot change: the index is built for one distance; set memoryConfig.successor, or make a new collection, and re-embed"
// +kubebuilder:validation:XValidation:rule="!has(self.successor) || self.successor.collection != self.collection",message="memoryConfig.successor.collection must be another collection; once it is released, remove memoryConfig.successor"
// +kubebuilder:validation:XValidation:rule="!has(self.successor) || (has(self.aliases) && size(self.aliases) > 0)",message="a successor takes over the aliases, and there is none: set memoryConfig.aliases, and let agents use one"
// +kubebuilder:validation:XValidation:rule="!has(self.aliases) || !(self.collection in self.aliases)",message="an alias of memoryConfig.aliases must not be the name of the collection itself"
// +kubebuilder:validation:XValidation:rule="!has(self.aliases) || !has(self.successor) || !(self.successor.collection in self.aliases)",message="an alias of memoryConfig.aliases must not be the name of the successor"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.successor) || oldSelf.successor.stage != 'Release' || self.collection != oldSelf.collection || (has(self.successor) && self.successor.stage == 'Release')",message="a released successor cannot be taken back: set memoryConfig.collection, dim and distance to the successor's and remove memoryConfig.successor"
type MemoryConfig struct {
	// Collection is the collection's name in the store.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9_-]*$`
	Collection string `json:"collection"`

	// Dim is the dimension of the vectors: the length of what the embedding model returns.
	// +kubebuilder:validation:XValidation:rule="self >= 1 && self <= 65535",message="memoryConfig.dim must be the embedding model's dimension, 1 to 65535 (1536 for many models)"
	Dim int32 `json:"dim"`

	// Distance is how two vectors are compared.
	// +optional
	// +kubebuilder:default=Cosine
	Distance agentv1alpha1.Distance `json:"distance,omitempty"`

	// Aliases are further names of the collection. Agents are told the first one, if there is one, and so need not know
	// when a successor takes over.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z][A-Za-z0-9_-]*$`
	Aliases []string `json:"aliases,omitempty"`

	// Successor is the collection that replaces this one, for another embedding model.
	// +optional
	Successor *agentv1alpha1.VectorSuccessor `json:"successor,omitempty"`

	// OnDelete says what becomes of the vectors when the AIDispatcher is deleted, or its memoryConfig removed.
	// +optional
	// +kubebuilder:default=Keep
	OnDelete agentv1alpha1.DataPolicy `json:"onDelete,omitempty"`

	// ProviderConfigRef names the configuration that says where the store is. Without it the platform's catalog says
	// which, and without that the ClusterProviderConfig "default" does.
	// +optional
	ProviderConfigRef *xpv2.ProviderConfigReference `json:"providerConfigRef,omitempty"`
}

// A MetricType is a load a pool can be scaled on.
// +kubebuilder:validation:Enum=QueueDepth;PendingTasks;TokensPerMinute;Prometheus
type MetricType string

// The loads a pool can be scaled on.
const (
	MetricQueueDepth      MetricType = "QueueDepth"
	MetricPendingTasks    MetricType = "PendingTasks"
	MetricTokensPerMinute MetricType = "TokensPerMinute"
	MetricPrometheus      MetricType = "Prometheus"
)

// A Metric is a load and how much of it one worker should carry.
// +kubebuilder:validation:XValidation:rule="(self.type == 'Prometheus') == has(self.query)",message="type Prometheus needs a query, and no other type has one"
type Metric struct {
	// Type of the load.
	Type MetricType `json:"type"`

	// Target is the load per worker: tasks, tokens per minute, or what the query counts.
	// +kubebuilder:validation:Minimum=1
	Target int64 `json:"target"`

	// Query in PromQL, of type Prometheus: it must return one value, the load of all workers together.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Query string `json:"query,omitempty"`
}

// A DrainTimeoutAction says what becomes of a worker that did not finish its drain in time.
// +kubebuilder:validation:Enum=Keep;Force
type DrainTimeoutAction string

// What becomes of a worker that did not finish its drain in time.
const (
	// DrainTimeoutKeep lets the worker serve again.
	DrainTimeoutKeep DrainTimeoutAction = "Keep"
	// DrainTimeoutForce removes the worker with the state it last committed.
	DrainTimeoutForce DrainTimeoutAction = "Force"
)

// ScaleDown says how carefully workers are removed.
type ScaleDown struct {
	// StabilizationSeconds is how long the load must have been low before a worker is removed.
	// +optional
	// +kubebuilder:default=300
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	StabilizationSeconds *int32 `json:"stabilizationSeconds,omitempty"`

	// DrainTimeoutSeconds is how long a chosen worker may take to finish its tasks and save its state.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=604800
	DrainTimeoutSeconds *int32 `json:"drainTimeoutSeconds,omitempty"`

	// OnDrainTimeout says what becomes of a worker that took longer.
	// +optional
	OnDrainTimeout DrainTimeoutAction `json:"onDrainTimeout,omitempty"`
}

// A ScalingEngine is what changes the pool's size.
// +kubebuilder:validation:Enum=Native;KEDA
type ScalingEngine string

// The scaling engines.
const (
	// EngineNative is AIDispatcher's own scaler.
	EngineNative ScalingEngine = "Native"
	// EngineKEDA is a ScaledObject of KEDA, which must be installed.
	EngineKEDA ScalingEngine = "KEDA"
)

// A KEDAScaler is what a ScaledObject asks for the load.
// +kubebuilder:validation:Enum=External;Prometheus
type KEDAScaler string

// What a ScaledObject asks.
const (
	// KEDAScalerExternal is the provider: it decides as the Native engine does, and removes workers as carefully. KEDA only writes the
	// size.
	KEDAScalerExternal KEDAScaler = "External"
	// KEDAScalerPrometheus is the Prometheus of the platform's catalog: KEDA decides, and which worker goes is the cluster's choice.
	KEDAScalerPrometheus KEDAScaler = "Prometheus"
)

// KEDA is what is decided of engine: KEDA.
type KEDA struct {
	// Scaler is what the ScaledObject asks.
	// +optional
	// +kubebuilder:default=External
	Scaler KEDAScaler `json:"scaler,omitempty"`
}

// Scaling lets a pool's size follow its load.
// +kubebuilder:validation:XValidation:rule="self.minReplicas <= self.maxReplicas",message="scaling.minReplicas must not be larger than scaling.maxReplicas: lower the one or raise the other"
// +kubebuilder:validation:XValidation:rule="!has(self.keda) || self.engine == 'KEDA'",message="scaling.keda is for the KEDA engine: remove it or set engine: KEDA"
// +kubebuilder:validation:XValidation:rule="!has(self.keda) || self.keda.scaler != 'Prometheus' || !has(self.scaleDown) || (!has(self.scaleDown.drainTimeoutSeconds) && !has(self.scaleDown.onDrainTimeout))",message="scaling.scaleDown.drainTimeoutSeconds and onDrainTimeout are for an engine that chooses the worker, which KEDA with Prometheus does not: remove them or set keda.scaler: External"
// +kubebuilder:validation:XValidation:rule="!has(self.keda) || self.keda.scaler != 'Prometheus' || !has(self.schedules)",message="KEDA with Prometheus has no scaling.schedules: remove them or set keda.scaler: External"
type Scaling struct {
	// MinReplicas is the least number of workers.
	// +optional
	// +kubebuilder:default=1
	// +kubebuilder:validation:XValidation:rule="self >= 1 && self <= 1000",message="scaling.minReplicas must be 1 to 1000; to run no worker for a while set suspend: true"
	MinReplicas *int32 `json:"minReplicas,omitempty"`

	// MaxReplicas is the largest number of workers.
	// +optional
	// +kubebuilder:default=100
	// +kubebuilder:validation:XValidation:rule="self >= 1 && self <= 1000",message="scaling.maxReplicas must be 1 to 1000"
	MaxReplicas *int32 `json:"maxReplicas,omitempty"`

	// Metrics are the loads that decide; the one that wants most workers wins.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	Metrics []Metric `json:"metrics,omitempty"`

	// Schedules raise minReplicas for a time, so that workers are there before the work is.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	Schedules []agentv1alpha1.ScalingSchedule `json:"schedules,omitempty"`

	// ScaleUp says how quickly workers are added. At once, where it is empty.
	// +optional
	ScaleUp *agentv1alpha1.ScaleUp `json:"scaleUp,omitempty"`

	// ScaleDown says how carefully workers are removed.
	// +optional
	ScaleDown *ScaleDown `json:"scaleDown,omitempty"`

	// Fallback is the size when the load has been unknown for long. The size stays where it is empty.
	// +optional
	Fallback *agentv1alpha1.Fallback `json:"fallback,omitempty"`

	// Engine is what changes the pool's size.
	// +optional
	// +kubebuilder:default=Native
	Engine ScalingEngine `json:"engine,omitempty"`

	// KEDA is what is decided of engine: KEDA.
	// +optional
	KEDA *KEDA `json:"keda,omitempty"`
}

// Checkpoint describes a pool's checkpoint repository.
type Checkpoint struct {
	// IntervalSeconds is the time between two saves of a worker whose state changed.
	// +optional
	// +kubebuilder:default=60
	// +kubebuilder:validation:Minimum=5
	// +kubebuilder:validation:Maximum=86400
	IntervalSeconds *int32 `json:"intervalSeconds,omitempty"`

	// Retain says how many checkpoints of a slot are kept.
	// +optional
	Retain *Retain `json:"retain,omitempty"`

	// Quota is how much the pool's checkpoints may take in the store before the pool says so. Nothing is refused by it: a state
	// that cannot be saved would be lost with its worker.
	// +optional
	Quota *resource.Quantity `json:"quota,omitempty"`

	// OnDelete says what becomes of the checkpoints when the AIDispatcher is deleted, or its checkpoint removed.
	// +optional
	// +kubebuilder:default=Keep
	OnDelete agentv1alpha1.DataPolicy `json:"onDelete,omitempty"`

	// ProviderConfigRef names the configuration that says where the store is.
	// +optional
	ProviderConfigRef *xpv2.ProviderConfigReference `json:"providerConfigRef,omitempty"`
}

// Retain says how many checkpoints of a slot are kept; a checkpoint kept by any of the rules stays.
type Retain struct {
	// Last is the number of newest checkpoints.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	Last *int32 `json:"last,omitempty"`

	// Hourly is the number of hours of which the newest checkpoint is kept.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Hourly *int32 `json:"hourly,omitempty"`

	// Daily is the number of days of which the newest checkpoint is kept.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Daily *int32 `json:"daily,omitempty"`
}

// TokenBudget bounds what a pool may spend.
type TokenBudget struct {
	// TokensPerMinute of all workers together, input and output.
	// +kubebuilder:validation:Minimum=1
	TokensPerMinute int64 `json:"tokensPerMinute"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:subresource:scale:specpath=.spec.replicas,statuspath=.status.replicas,selectorpath=.status.labelSelector
// +kubebuilder:resource:scope=Namespaced,shortName=ad,categories=crossplane
// +kubebuilder:printcolumn:name="ROLE",type="string",JSONPath=".spec.role"
// +kubebuilder:printcolumn:name="REPLICAS",type="integer",JSONPath=".status.replicas"
// +kubebuilder:printcolumn:name="PHASE",type="string",JSONPath=".status.currentPhase"
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"
// +kubebuilder:printcolumn:name="STATE",type="string",JSONPath=".status.state",priority=1
// +kubebuilder:printcolumn:name="AVAILABLE",type="integer",JSONPath=".status.availableReplicas",priority=1
// +kubebuilder:printcolumn:name="ACTIVE",type="integer",JSONPath=".status.activeWorkers",priority=1
// +kubebuilder:printcolumn:name="QUEUE",type="integer",JSONPath=".status.queueDepth",priority=1
// +kubebuilder:printcolumn:name="TOKENS",type="integer",JSONPath=".status.tokenUsage",priority=1
// +kubebuilder:printcolumn:name="TOKENS/MIN",type="integer",JSONPath=".status.tokensPerMinute",priority=1
// +kubebuilder:printcolumn:name="COST",type="string",JSONPath=".status.cost.amount",priority=1
// +kubebuilder:printcolumn:name="WHY",type="string",JSONPath=".status.lastScale.reason",priority=1

// An AIDispatcher is a pool of AI agents: stateful, long-lived workers that share a role, a model and a memory.
type AIDispatcher struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   AIDispatcherSpec   `json:"spec"`
	Status AIDispatcherStatus `json:"status,omitempty"`
}

// +kubebuilder:object:root=true

// AIDispatcherList is a list of AIDispatchers.
type AIDispatcherList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []AIDispatcher `json:"items"`
}

func init() {
	SchemeBuilder.Register(&AIDispatcher{}, &AIDispatcherList{})
}
