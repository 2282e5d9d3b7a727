package v1alpha1

import (
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Retain says how many checkpoints of a slot are kept; a checkpoint kept by any of the rules stays.
type Retain struct {
	// Last is the number of newest checkpoints.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Last *int32 `json:"last,omitempty"`

	// Hourly is the number of hours of which the newest checkpoint is kept.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Hourly *int32 `json:"hourly,omitempty"`

	// Daily is the number of days of which the newest checkpoint is kept.
	// +optional
	// +kubebuilder:validation:Minimum=0
	Daily *int32 `json:"daily,omitempty"`
}

// CheckpointParameters describe a pool's checkpoint repository.
// +kubebuilder:validation:XValidation:rule="self.pool == oldSelf.pool",message="pool cannot change: the repository holds the state of one pool; make a new Checkpoint"
type CheckpointParameters struct {
	// Pool is the repository's prefix in the store.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Pool string `json:"pool"`

	// IntervalSeconds is the time between two saves of a worker whose state changed.
	// +optional
	// +kubebuilder:validation:Minimum=5
	IntervalSeconds *int32 `json:"intervalSeconds,omitempty"`

	// Retain says how many checkpoints of a slot are kept.
	// +optional
	Retain *Retain `json:"retain,omitempty"`
}

// CheckpointObservation is what was seen of the repository.
type CheckpointObservation struct {
	// Exists says whether the repository exists.
	// +optional
	Exists *bool `json:"exists,omitempty"`
}

// CheckpointSpec is the desired state of a Checkpoint.
type CheckpointSpec struct {
	xpv2.ManagedResourceSpec `json:",inline"`

	// ForProvider describes the repository.
	ForProvider CheckpointParameters `json:"forProvider"`
}

// CheckpointStatus is the observed state of a Checkpoint.
type CheckpointStatus struct {
	xpv2.ManagedResourceStatus `json:",inline"`

	// AtProvider is what was seen of the repository.
	// +optional
	AtProvider CheckpointObservation `json:"atProvider,omitempty"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=crossplane;managed;aidispatcher
// +kubebuilder:printcolumn:name="SYNCED",type="string",JSONPath=".status.conditions[?(@.type=='Synced')].status"
// +kubebuilder:printcolumn:name="READY",type="string",JSONPath=".status.conditions[?(@.type=='Ready')].status"
// +kubebuilder:printcolumn:name="POOL",type="string",JSONPath=".spec.forProvider.pool"
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"

// A Checkpoint is a pool's checkpoint repository: a prefix in an object store.
type Checkpoint struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   CheckpointSpec   `json:"spec"`
	Status CheckpointStatus `json:"status,omitempty"`
}

// +kubebuilder:object:root=true

// CheckpointList is a list of Checkpoints.
type CheckpointList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []Checkpoint `json:"items"`
}

func init() {
	SchemeBuilder.Register(&Checkpoint{}, &CheckpointList{})
}
