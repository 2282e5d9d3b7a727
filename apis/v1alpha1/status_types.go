package v1alpha1

import (
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

// A Phase is the pool's state in one word.
// +kubebuilder:validation:Enum=Initializing;Ready;Processing;Failed;Suspended
type Phase string

// The phases of a pool.
const (
	// PhaseInitializing is a pool that has not yet had all its workers available.
	PhaseInitializing Phase = "Initializing"
	// PhaseReady is a pool whose workers serve.
	PhaseReady Phase = "Ready"
	// PhaseProcessing is a ready pool of which at least one worker is known to have a task in flight.
	PhaseProcessing Phase = "Processing"
	// PhaseFailed is a pool that needs somebody: its conditions say what for.
	PhaseFailed Phase = "Failed"
	// PhaseSuspended is a pool without workers, on request.
	PhaseSuspended Phase = "Suspended"
)

// A State is one word finer than the phase.
type State string

// The states of a pool.
const (
	// StateWaitingForMemory is a pool whose memory or checkpoint repository has not been ready yet.
	StateWaitingForMemory State = "WaitingForMemory"
	// StateMemoryRefused is a pool without workers whose memory cannot become what the claim asks for: somebody has to
	// change the claim, the catalog or the store.
	StateMemoryRefused State = "MemoryRefused"
	// StateStarting is a pool whose first workers start.
	StateStarting State = "Starting"
	// StateSteady is a pool with as many available workers as it should have.
	StateSteady State = "Steady"
	// StateScalingOut is a pool to which workers are being added.
	StateScalingOut State = "ScalingOut"
	// StateScalingIn is a pool from which workers are being removed.
	StateScalingIn State = "ScalingIn"
	// StateRollingOut is a pool whose workers are being replaced, a few at a time, because what they run has changed.
	StateRollingOut State = "RollingOut"
	// StateDegraded is a pool with fewer available workers than it should have and no change under way that explains it, or
	// one whose memory has failed since.
	StateDegraded State = "Degraded"
	// StateSuspending is a pool on its way to no workers.
	StateSuspending State = "Suspending"
	// StateSuspended is a pool without workers, on request.
	StateSuspended State = "Suspended"
	// StateStuck is a pool whose workers do not start.
	StateStuck State = "Stuck"
)

// The condition types of an AIDispatcher beside Crossplane's own Ready and Synced.
const (
	// ConditionAccepted says whether the catalog has what the claim names.
	ConditionAccepted xpv2.ConditionType = "Accepted"
	// ConditionMemoryReady says whether the memory exists as asked for. Where it does not, its reason and message are those
	// of the VectorCollection's condition Synced. Only on a pool that asks for memory.
	ConditionMemoryReady xpv2.ConditionType = "MemoryReady"
	// ConditionCheckpointReady says whether the checkpoint repository can be used. Only on a pool that asks for it.
	ConditionCheckpointReady xpv2.ConditionType = "CheckpointReady"
	// ConditionWorkersAvailable says whether as many workers serve as should.
	ConditionWorkersAvailable xpv2.ConditionType = "WorkersAvailable"
	// ConditionScalingActive says whether the pool's size is being kept or changed as asked.
	ConditionScalingActive xpv2.ConditionType = "ScalingActive"
)

// The reasons of an AIDispatcher's conditions.
const (
	// ReasonAccepted is a claim the catalog can serve.
	ReasonAccepted xpv2.ConditionReason = "Accepted"
	// ReasonInvalidClaim is a claim that contradicts itself.
	ReasonInvalidClaim xpv2.ConditionReason = "InvalidClaim"
	// ReasonInvalidCatalog is a catalog that cannot be used as it is written.
	ReasonInvalidCatalog xpv2.ConditionReason = "InvalidCatalog"
	// ReasonUnknownRole is a role the catalog does not have.
	ReasonUnknownRole xpv2.ConditionReason = "UnknownRole"
	// ReasonUnknownModel is a model the catalog does not have.
	ReasonUnknownModel xpv2.ConditionReason = "UnknownModel"
	// ReasonUnsupported is a request this version cannot serve.
	ReasonUnsupported xpv2.ConditionReason = "Unsupported"
	// ReasonWaiting is something that is not there yet.
	ReasonWaiting xpv2.ConditionReason = "Waiting"
	// ReasonReady is something that is there.
	ReasonReady xpv2.ConditionReason = "Ready"
	// ReasonAllAvailable is a pool with as many available workers as it should have.
	ReasonAllAvailable xpv2.ConditionReason = "AllAvailable"
	// ReasonSomeUnavailable is a pool with fewer available workers than it should have.
	ReasonSomeUnavailable xpv2.ConditionReason = "SomeUnavailable"
	// ReasonWorkersStuck is a pool whose workers made no progress for too long.
	ReasonWorkersStuck xpv2.ConditionReason = "WorkersStuck"
	// ReasonSuspended is a pool without workers, on request.
	ReasonSuspended xpv2.ConditionReason = "Suspended"
	// ReasonKEDANotInstalled is a claim that wants KEDA in a cluster without it.
	ReasonKEDANotInstalled xpv2.ConditionReason = "KEDANotInstalled"
	// ReasonSizedByKEDA is a pool whose size KEDA writes, and ReasonKEDANotReady one whose size it does not write as it should.
	ReasonSizedByKEDA  xpv2.ConditionReason = "SizedByKEDA"
	ReasonKEDANotReady xpv2.ConditionReason = "KEDANotReady"
)

// AIDispatcherStatus is what was observed of a pool. A figure that is absent is unknown, which is not zero.
type AIDispatcherStatus struct {
	xpv2.ConditionedStatus `json:",inline"`

	// CurrentPhase is the pool's state in one word.
	// +optional
	CurrentPhase Phase `json:"currentPhase,omitempty"`

	// State is one word finer than CurrentPhase.
	// +optional
	State State `json:"state,omitempty"`

	// Replicas is the number of workers that exist.
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`

	// AvailableReplicas is the number of workers that serve.
	// +optional
	AvailableReplicas *int32 `json:"availableReplicas,omitempty"`

	// ActiveWorkers is the number of workers with a task in flight.
	// +optional
	ActiveWorkers *int32 `json:"activeWorkers,omitempty"`

	// QueueDepth is the number of unfinished tasks, waiting and running.
	// +optional
	QueueDepth *int64 `json:"queueDepth,omitempty"`

	// TokenUsage is the number of tokens used since the pool was created, input and output. It survives every pod.
	// +optional
	TokenUsage *int64 `json:"tokenUsage,omitempty"`

	// TokensPerMinute is the number of tokens used in the last minute.
	// +optional
	TokensPerMinute *int64 `json:"tokensPerMinute,omitempty"`

	// Cost is what the tokens cost, where the catalog has the model's prices.
	// +optional
	Cost *agentv1alpha1.TokenCost `json:"cost,omitempty"`

	// LabelSelector selects the pool's workers, in the form the scale subresource wants.
	// +optional
	LabelSelector string `json:"labelSelector,omitempty"`

	// Memory is what was observed of the pool's vector collection.
	// +optional
	Memory *MemoryStatus `json:"memory,omitempty"`

	// Checkpoint is what was observed of the pool's checkpoint repository.
	// +optional
	Checkpoint *CheckpointStatus `json:"checkpoint,omitempty"`

	// LastScale is the last change of the pool's size.
	// +optional
	LastScale *LastScale `json:"lastScale,omitempty"`
}

// MemoryStatus is what was observed of a pool's vector collection. How many vectors there are is said by the
// VectorCollection only: a number that changes all the time is no matter of the pool's status.
type MemoryStatus struct {
	// Collection is the collection's name in the store.
	// +optional
	Collection string `json:"collection,omitempty"`

	// Store is the type of the store.
	// +optional
	Store agentv1alpha1.VectorStoreType `json:"store,omitempty"`

	// Dim is the dimension that the collection has, which is another than asked for where somebody else made it.
	// +optional
	Dim *int32 `json:"dim,omitempty"`

	// Ready says whether the collection exists as asked.
	Ready bool `json:"ready"`

	// FirstReadyTime is when the collection was first ready. From then on workers may exist.
	// +optional
	FirstReadyTime *metav1.Time `json:"firstReadyTime,omitempty"`

	// Serving is the collection that the aliases point to, where there is a successor.
	// +optional
	Serving string `json:"serving,omitempty"`

	// Successor is the stage that the successor has reached: Prepared, Switched or Released.
	// +optional
	Successor string `json:"successor,omitempty"`
}

// CheckpointStatus is what was observed of a pool's checkpoint repository.
type CheckpointStatus struct {
	// Ready says whether the repository can be used.
	Ready bool `json:"ready"`

	// FirstReadyTime is when the repository was first ready. From then on workers may exist.
	// +optional
	FirstReadyTime *metav1.Time `json:"firstReadyTime,omitempty"`

	// Slots is the number of slots with a checkpoint, and Hibernated that of those without a worker.
	// +optional
	Slots *int32 `json:"slots,omitempty"`
	// +optional
	Hibernated *int32 `json:"hibernated,omitempty"`

	// RPOMet says whether each worker's state was in a checkpoint within the last two intervals.
	// +optional
	RPOMet *bool `json:"rpoMet,omitempty"`

	// Corrupt is the number of stored objects that are lost or are not what was written.
	// +optional
	Corrupt *int32 `json:"corrupt,omitempty"`
}

// LastScale is a change of a pool's size and why it was made.
type LastScale struct {
	// Time of the change.
	Time metav1.Time `json:"time"`

	// From is the size before.
	From int32 `json:"from"`

	// To is the size after.
	To int32 `json:"to"`

	// Reason is a CamelCase word for programs.
	Reason string `json:"reason"`

	// Message is a sentence for people.
	// +optional
	Message string `json:"message,omitempty"`
}
