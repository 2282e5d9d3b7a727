package v1alpha1

import (
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A ScaleTargetReference names what is scaled, in the scaler's own namespace.
type ScaleTargetReference struct {
	// APIVersion of the target.
	// +optional
	// +kubebuilder:default="apps/v1"
	// +kubebuilder:validation:Enum="apps/v1"
	APIVersion string `json:"apiVersion,omitempty"`

	// Kind of the target.
	// +optional
	// +kubebuilder:default=Deployment
	// +kubebuilder:validation:Enum=Deployment
	Kind string `json:"kind,omitempty"`

	// Name of the target.
	// +kubebuilder:validation:MinLength=1
	Name string `json:"name"`
}

// A TriggerType is a load a target can be scaled on.
// +kubebuilder:validation:Enum=QueueDepth;PendingTasks;TokensPerMinute;Prometheus
type TriggerType string

// The loads.
const (
	// TriggerQueueDepth is the number of unfinished tasks: waiting, and in flight.
	TriggerQueueDepth TriggerType = "QueueDepth"
	// TriggerPendingTasks is the number of tasks that wait for a worker.
	TriggerPendingTasks TriggerType = "PendingTasks"
	// TriggerTokensPerMinute is the number of tokens that were used in the last minute.
	TriggerTokensPerMinute TriggerType = "TokensPerMinute"
	// TriggerPrometheus is what a query returns.
	TriggerPrometheus TriggerType = "Prometheus"
)

// A Trigger is a load and how much of it one worker should carry.
// +kubebuilder:validation:XValidation:rule="(self.type == 'Prometheus') == has(self.query)",message="type Prometheus needs a query, and no other type has one"
type Trigger struct {
	// Type of the load.
	Type TriggerType `json:"type"`

	// Target is the load per worker: tasks, tokens per minute, or what the query counts.
	// +kubebuilder:validation:Minimum=1
	Target int64 `json:"target"`

	// Query in PromQL, of type Prometheus: it must return one value, the load of all workers together.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Query string `json:"query,omitempty"`
}

// A ScalingSchedule raises the least size for a time, so that workers are there before the work is.
type ScalingSchedule struct {
	// Schedule is when it begins: the five fields of cron, such as 0 8 * * MON-FRI.
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=256
	Schedule string `json:"schedule"`

	// TimeZone of the schedule, such as Europe/Berlin. UTC where it is empty.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`

	// DurationSeconds is how long it lasts.
	// +kubebuilder:validation:Minimum=60
	// +kubebuilder:validation:Maximum=2678400
	DurationSeconds int32 `json:"durationSeconds"`

	// MinReplicas is the least size meanwhile.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MinReplicas int32 `json:"minReplicas"`
}

// ScaleUp says how quickly workers are added.
type ScaleUp struct {
	// MaxStep is how many workers are added at most in one decision. A load that wants twice the size or more is followed at once all
	// the same.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1000
	MaxStep *int32 `json:"maxStep,omitempty"`
}

// Fallback is the size a target gets when its load has been unknown for long.
type Fallback struct {
	// AfterSeconds is how long nothing must have been known.
	// +kubebuilder:validation:Minimum=10
	// +kubebuilder:validation:Maximum=86400
	AfterSeconds int32 `json:"afterSeconds"`

	// Replicas is the size.
	// +kubebuilder:validation:Minimum=0
	Replicas int32 `json:"replicas"`
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
	// +kubebuilder:validation:Minimum=0
	StabilizationSeconds *int32 `json:"stabilizationSeconds,omitempty"`

	// DrainTimeoutSeconds is how long a chosen worker may take to finish its tasks and save its state.
	// +optional
	// +kubebuilder:validation:Minimum=1
	DrainTimeoutSeconds *int32 `json:"drainTimeoutSeconds,omitempty"`

	// OnDrainTimeout says what becomes of a worker that took longer.
	// +optional
	OnDrainTimeout DrainTimeoutAction `json:"onDrainTimeout,omitempty"`
}

// A SizeWriter is who writes a target's size.
// +kubebuilder:validation:Enum=Scaler;KEDA;Others
type SizeWriter string

// Who writes a target's size.
const (
	// SizedByScaler is the AgentScaler itself.
	SizedByScaler SizeWriter = "Scaler"
	// SizedByKEDA is a ScaledObject of the scaler's name, which asks the provider which size that is. The scaler decides, and sees to
	// it that workers leave when their state is safe.
	SizedByKEDA SizeWriter = "KEDA"
	// SizedByOthers is somebody who does not ask. The scaler measures the load, says what it would do, and removes nobody.
	SizedByOthers SizeWriter = "Others"
)

// TokenPrices are what a model's tokens cost.
type TokenPrices struct {
	// Currency of the prices: three letters, such as USD.
	// +kubebuilder:validation:Pattern=`^[A-Z]{3}$`
	Currency string `json:"currency"`

	// InputPerMillion is the price of a million input tokens, such as "2.50".
	// +kubebuilder:validation:Pattern=`^[0-9]{1,6}(\.[0-9]{1,6})?$`
	InputPerMillion string `json:"inputPerMillion"`

	// OutputPerMillion is the price of a million output tokens, those of reasoning included.
	// +kubebuilder:validation:Pattern=`^[0-9]{1,6}(\.[0-9]{1,6})?$`
	OutputPerMillion string `json:"outputPerMillion"`

	// CachedInputPerMillion is the price of a million input tokens that the model server had cached. InputPerMillion where it is empty.
	// +optional
	// +kubebuilder:validation:Pattern=`^[0-9]{1,6}(\.[0-9]{1,6})?$`
	CachedInputPerMillion string `json:"cachedInputPerMillion,omitempty"`
}

// AgentScalerParameters are what the scaler is asked to do. The words are KEDA's where KEDA has one.
// +kubebuilder:validation:XValidation:rule="!has(self.minReplicaCount) || !has(self.maxReplicaCount) || self.minReplicaCount <= self.maxReplicaCount",message="minReplicaCount must not be larger than maxReplicaCount: lower the one or raise the other"
// +kubebuilder:validation:XValidation:rule="self.scaleTargetRef == oldSelf.scaleTargetRef",message="scaleTargetRef cannot change: make a new AgentScaler for another target"
type AgentScalerParameters struct {
	// ScaleTargetRef names what is scaled.
	ScaleTargetRef ScaleTargetReference `json:"scaleTargetRef"`

	// Replicas is the size without triggers, and the first size with them.
	// +kubebuilder:validation:Minimum=0
	Replicas int32 `json:"replicas"`

	// SizedBy says who writes the target's size.
	// +optional
	// +kubebuilder:default=Scaler
	SizedBy SizeWriter `json:"sizedBy,omitempty"`

	// Suspend keeps the target at no workers whatever the other fields say.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// MinReplicaCount is the least size with triggers.
	// +optional
	// +kubebuilder:validation:Minimum=0
	MinReplicaCount *int32 `json:"minReplicaCount,omitempty"`

	// MaxReplicaCount is the largest size with triggers.
	// +optional
	// +kubebuilder:validation:Minimum=1
	MaxReplicaCount *int32 `json:"maxReplicaCount,omitempty"`

	// PollingInterval is the number of seconds between two looks at the load.
	// +optional
	// +kubebuilder:validation:Minimum=1
	PollingInterval *int32 `json:"pollingInterval,omitempty"`

	// Triggers are the loads that decide; the one that wants most workers wins.
	// +optional
	// +listType=map
	// +listMapKey=type
	Triggers []Trigger `json:"triggers,omitempty"`

	// Fallback is the size when the load has been unknown for long.
	// +optional
	Fallback *Fallback `json:"fallback,omitempty"`

	// Schedules raise minReplicaCount for a time.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	Schedules []ScalingSchedule `json:"schedules,omitempty"`

	// ScaleUp says how quickly workers are added.
	// +optional
	ScaleUp *ScaleUp `json:"scaleUp,omitempty"`

	// ScaleDown says how carefully workers are removed.
	// +optional
	ScaleDown *ScaleDown `json:"scaleDown,omitempty"`

	// TokensQuery is where the tokens are counted that the workers do not count themselves: PromQL that returns one number, the tokens
	// that they all ever used.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	TokensQuery string `json:"tokensQuery,omitempty"`

	// TokenPrices are what the tokens cost that the workers count. Without it nobody knows.
	// +optional
	TokenPrices *TokenPrices `json:"tokenPrices,omitempty"`

	// TokensPerMinute is the budget of all workers together.
	// +optional
	// +kubebuilder:validation:Minimum=1
	TokensPerMinute *int64 `json:"tokensPerMinute,omitempty"`
}

// The condition type of an AgentScaler beside Crossplane's own Ready and Synced, and its reasons.
const (
	// ConditionScalingActive says whether the target's size is being kept or changed as asked.
	ConditionScalingActive xpv2.ConditionType = "ScalingActive"

	// ReasonFixedSize is a target that is kept at a fixed size.
	ReasonFixedSize xpv2.ConditionReason = "FixedSize"
	// ReasonSuspended is a target that is kept at no workers.
	ReasonSuspended xpv2.ConditionReason = "Suspended"
	// ReasonLoadKnown is a target whose size follows its load, and ReasonLoadUnknown one of which the load, or a part of it, is not
	// known: no worker is removed meanwhile.
	ReasonLoadKnown   xpv2.ConditionReason = "LoadKnown"
	ReasonLoadUnknown xpv2.ConditionReason = "LoadUnknown"
	// ReasonTargetNotFound is a scaler whose target does not exist.
	ReasonTargetNotFound xpv2.ConditionReason = "TargetNotFound"
	// ReasonRecommendOnly is a scaler whose management policies do not let it write: it says what it would do.
	ReasonRecommendOnly xpv2.ConditionReason = "RecommendOnly"
	// ReasonSizedByOthers is a scaler whose target gets its size from somebody who does not ask it.
	ReasonSizedByOthers xpv2.ConditionReason = "SizedByOthers"
)

// The reasons of a LastScale.
const (
	// ScaleReasonInitialSize is a target's first size.
	ScaleReasonInitialSize = "InitialSize"
	// ScaleReasonSizeChanged is another size being asked for.
	ScaleReasonSizeChanged = "SizeChanged"
	// ScaleReasonDriftCorrected is a size that somebody else had changed.
	ScaleReasonDriftCorrected = "DriftCorrected"
	// ScaleReasonSuspended is a pool being suspended.
	ScaleReasonSuspended = "Suspended"
	// ScaleReasonResumed is a pool being resumed.
	ScaleReasonResumed = "Resumed"
)

// AgentScalerSpec is the desired state of an AgentScaler.
type AgentScalerSpec struct {
	xpv2.ManagedResourceSpec `json:",inline"`

	// ForProvider is what the scaler is asked to do.
	ForProvider AgentScalerParameters `json:"forProvider"`
}

// AgentScalerStatus is the observed state of an AgentScaler.
type AgentScalerStatus struct {
	xpv2.ManagedResourceStatus `json:",inline"`

	// AtProvider is what was seen of the target.
	// +optional
	AtProvider AgentScalerObservation `json:"atProvider,omitempty"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=crossplane;managed;aidispatcher
// +kubebuilder:printcolumn:name="SYNCED",type="string",JSONPath=".status.conditions[?(@.type=='Synced')].status"
// +kubebuilder:printcolumn:name="READY",type="string",JSONPath=".status.conditions[?(@.type=='Ready')].status"
// +kubebuilder:printcolumn:name="TARGET",type="string",JSONPath=".spec.forProvider.scaleTargetRef.name"
// +kubebuilder:printcolumn:name="REPLICAS",type="integer",JSONPath=".status.atProvider.replicas"
// +kubebuilder:printcolumn:name="DESIRED",type="integer",JSONPath=".status.atProvider.desiredReplicas"
// +kubebuilder:printcolumn:name="WHY",type="string",JSONPath=".status.atProvider.lastScale.reason"
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"

// An AgentScaler owns the size of a pool's Deployment. When it is deleted it lets go: the size stays.
type AgentScaler struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   AgentScalerSpec   `json:"spec"`
	Status AgentScalerStatus `json:"status,omitempty"`
}

// +kubebuilder:object:root=true

// AgentScalerList is a list of AgentScalers.
type AgentScalerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []AgentScaler `json:"items"`
}

func init() {
	SchemeBuilder.Register(&AgentScaler{}, &AgentScalerList{})
}
