package v1beta1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// PoolOperationKind is the kind of the function's input in an Operation.
const PoolOperationKind = "PoolOperation"

// An Action is what an Operation does to pools.
// +kubebuilder:validation:Enum=CheckpointNow;ScrubNow
type Action string

// The actions.
const (
	// ActionCheckpointNow has every running worker of the pools save its state.
	ActionCheckpointNow Action = "CheckpointNow"
	// ActionScrubNow has everything in the pools' checkpoint repositories read again.
	ActionScrubNow Action = "ScrubNow"
)

// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=crossplane

// A PoolOperation says what an Operation of Crossplane does, once, to the Checkpoints that its step requires. It stands in an
// Operation's pipeline as the function's input and is decoded strictly.
type PoolOperation struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// Action is what to do.
	Action Action `json:"action"`
}
