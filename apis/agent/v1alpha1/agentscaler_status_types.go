package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// AgentScalerObservation is what was seen of the target. A figure that is absent is unknown, which is not zero.
type AgentScalerObservation struct {
	// Replicas is the size the target has been asked to have.
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`

	// DesiredReplicas is the size the scaler wants.
	// +optional
	DesiredReplicas *int32 `json:"desiredReplicas,omitempty"`

	// LabelSelector selects the target's pods.
	// +optional
	LabelSelector string `json:"labelSelector,omitempty"`

	// ActiveWorkers is the number of workers with a task in flight.
	// +optional
	ActiveWorkers *int32 `json:"activeWorkers,omitempty"`

	// QueueDepth is the number of unfinished tasks, waiting and running.
	// +optional
	QueueDepth *int64 `json:"queueDepth,omitempty"`

	// TokenUsage is the number of tokens used since the scaler was created, input and output.
	// +optional
	TokenUsage *int64 `json:"tokenUsage,omitempty"`

	// TokensPerMinute is the number of tokens used in the last minute.
	// +optional
	TokensPerMinute *int64 `json:"tokensPerMinute,omitempty"`

	// TokenCounters are how far the tokens of each worker that runs have been added to tokenUsage, by worker: so none is added twice.
	// +optional
	TokenCounters map[string]int64 `json:"tokenCounters,omitempty"`

	// Cost is what the tokens cost that were used since there are prices, each at the price of its time.
	// +optional
	Cost *TokenCost `json:"cost,omitempty"`

	// CostCounters are how far the tokens of each worker that runs have been added to the cost, beside tokenCounters.
	// +optional
	CostCounters map[string]PricedTokens `json:"costCounters,omitempty"`

	// LastScale is the last change of the target's size. It is recorded just before the change is made.
	// +optional
	LastScale *LastScale `json:"lastScale,omitempty"`

	// Load is what the size follows, as it was last seen: with a decision, and otherwise every 30 seconds at most.
	// +optional
	Load *ScalingLoad `json:"load,omitempty"`

	// Decisions are the last changes of the size, the newest first, and who was removed by them.
	// +optional
	// +kubebuilder:validation:MaxItems=10
	Decisions []ScalingDecision `json:"decisions,omitempty"`
}

// ScalingLoad is what a size follows, and what follows from it.
type ScalingLoad struct {
	// Time of the look.
	Time metav1.Time `json:"time"`

	// Reason is a CamelCase word for programs: why the size is what it is.
	Reason string `json:"reason"`

	// Message is a sentence for people, with the figures in it.
	Message string `json:"message"`

	// Vetoes are why no worker may be removed now.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	Vetoes []ScalingVeto `json:"vetoes,omitempty"`

	// Triggers are what each trigger asks for.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	Triggers []TriggerLoad `json:"triggers,omitempty"`
}

// A ScalingVeto is why no worker may be removed.
type ScalingVeto struct {
	// Name is a CamelCase word for programs.
	Name string `json:"name"`

	// Message is a sentence for people.
	Message string `json:"message"`
}

// A TriggerLoad is what a trigger asks for.
type TriggerLoad struct {
	// Type of the trigger.
	Type string `json:"type"`

	// Value of the load, absent while it is unknown.
	// +optional
	Value string `json:"value,omitempty"`

	// Target is the load per worker.
	Target string `json:"target"`

	// Want is the number of workers that follows, absent while the load is unknown.
	// +optional
	Want *int32 `json:"want,omitempty"`

	// Unknown says why the load is, while it is.
	// +optional
	Unknown string `json:"unknown,omitempty"`
}

// A ScalingDecision is a change of a size, what it followed, and who was removed by it.
type ScalingDecision struct {
	LastScale `json:",inline"`

	// Triggers are what each trigger asked for.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	Triggers []TriggerLoad `json:"triggers,omitempty"`

	// Removed are the workers that were removed, the last 20.
	// +optional
	// +kubebuilder:validation:MaxItems=20
	Removed []RemovedWorker `json:"removed,omitempty"`
}

// A RemovedWorker is a worker that was removed, and by what its state is safe.
type RemovedWorker struct {
	// Time of its removal.
	Time metav1.Time `json:"time"`

	// Name of its pod.
	Name string `json:"name"`

	// Slot that it held; absent for a worker without.
	// +optional
	Slot *int32 `json:"slot,omitempty"`

	// Checkpoint that was read back before it went, as SLOT/EPOCH-SEQUENCE; absent for a worker that had nothing to save.
	// +optional
	Checkpoint string `json:"checkpoint,omitempty"`

	// Forced says that it did not drain in time.
	// +optional
	Forced bool `json:"forced,omitempty"`
}

// LastScale is a change of a target's size and why it was made.
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

// A TokenCost is what tokens cost.
type TokenCost struct {
	// Amount is a decimal number with six places.
	Amount string `json:"amount"`

	// Currency of the amount.
	Currency string `json:"currency"`
}

// PricedTokens are how far a worker's tokens have been added to the cost.
type PricedTokens struct {
	// Output tokens.
	// +optional
	Output int64 `json:"output,omitempty"`

	// Cached input tokens.
	// +optional
	Cached int64 `json:"cached,omitempty"`
}
