package v1alpha1

import (
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	"k8s.io/apimachinery/pkg/api/resource"
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
	// Pool is the repository's prefix in the store: letters, digits, '.', '_' and '-', in parts that '/' separates.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*$`
	Pool string `json:"pool"`

	// IntervalSeconds is the time between two saves of a worker whose state changed.
	// +optional
	// +kubebuilder:default=60
	// +kubebuilder:validation:Minimum=5
	// +kubebuilder:validation:Maximum=86400
	IntervalSeconds *int32 `json:"intervalSeconds,omitempty"`

	// Retain says how many checkpoints of a slot are kept.
	// +optional
	Retain *Retain `json:"retain,omitempty"`

	// Quota is how much the repository may store before the resource says QuotaExceeded. Nothing is refused by it: a state that
	// cannot be saved would be lost with its worker.
	// +optional
	Quota *resource.Quantity `json:"quota,omitempty"`

	// ScrubHours is the time in which everything in the repository is read again once, and compared with what was written.
	// 0 is never.
	// +optional
	// +kubebuilder:default=168
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=8760
	ScrubHours *int32 `json:"scrubHours,omitempty"`

	// OnDelete says what becomes of the checkpoints when this resource is deleted. With Keep, the Secret with the data key stays
	// too: whoever asks for the same pool next finds its state.
	// +optional
	// +kubebuilder:default=Keep
	OnDelete DataPolicy `json:"onDelete,omitempty"`
}

// A SlotObservation is what was seen of one slot of a pool, where something is to be said of it.
type SlotObservation struct {
	// Slot is the slot's number.
	Slot string `json:"slot"`

	// Problem is what is wrong, in a sentence.
	Problem string `json:"problem"`
}

// CheckpointObservation is what was seen of the repository.
type CheckpointObservation struct {
	// Exists says whether the repository exists.
	// +optional
	Exists *bool `json:"exists,omitempty"`

	// ID of the repository, as its pool.json says.
	// +optional
	ID string `json:"id,omitempty"`

	// Store is the bucket's URL.
	// +optional
	Store string `json:"store,omitempty"`

	// Slots is the number of slots with a checkpoint.
	// +optional
	Slots *int32 `json:"slots,omitempty"`

	// Bound is the number of slots that a worker holds, and Hibernated that of slots with a checkpoint and no worker.
	// +optional
	Bound *int32 `json:"bound,omitempty"`
	// +optional
	Hibernated *int32 `json:"hibernated,omitempty"`

	// Checkpoints is the number of checkpoints of all slots.
	// +optional
	Checkpoints *int64 `json:"checkpoints,omitempty"`

	// NewestTime and OldestTime are the times of the newest and oldest checkpoint.
	// +optional
	NewestTime *metav1.Time `json:"newestTime,omitempty"`
	// +optional
	OldestTime *metav1.Time `json:"oldestTime,omitempty"`

	// StateBytes is the size of the newest state of all slots together; StoredBytes what the repository takes in the store.
	// +optional
	StateBytes *int64 `json:"stateBytes,omitempty"`
	// +optional
	StoredBytes *int64 `json:"storedBytes,omitempty"`

	// Verified is the number of slots of which the newest checkpoint was read back, every byte of it, by the provider.
	// +optional
	Verified *int32 `json:"verified,omitempty"`

	// RPOMet says whether each bound worker's state was in a checkpoint within the last two intervals. Absent while that is not
	// known of every worker.
	// +optional
	RPOMet *bool `json:"rpoMet,omitempty"`

	// ScrubbedTime is when everything was last read again without finding anything corrupt, and SweptTime when what no
	// checkpoint needs was last removed.
	// +optional
	ScrubbedTime *metav1.Time `json:"scrubbedTime,omitempty"`
	// +optional
	SweptTime *metav1.Time `json:"sweptTime,omitempty"`

	// CheckpointedFor is the last AnnotationCheckpointNow that every running worker has answered with a checkpoint of its state, and
	// ScrubbedFor the last AnnotationScrubNow for which everything was read again, whatever was found.
	// +optional
	CheckpointedFor string `json:"checkpointedFor,omitempty"`
	// +optional
	ScrubbedFor string `json:"scrubbedFor,omitempty"`

	// Corrupt is the number of objects that are lost or are not what was written. Events and the log name them.
	// +optional
	Corrupt *int32 `json:"corrupt,omitempty"`

	// Problems are the slots with a problem, at most 16 of them.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	// +listType=map
	// +listMapKey=slot
	Problems []SlotObservation `json:"problems,omitempty"`
}

// The conditions of a Checkpoint beside Ready and Synced.
const (
	// ConditionIntact says whether everything that was read again is what was written.
	ConditionIntact xpv2.ConditionType = "Intact"
	// ConditionRPOMet says whether each bound worker's state was in a checkpoint within the last two intervals.
	ConditionRPOMet xpv2.ConditionType = "RPOMet"
	// ConditionWithinQuota says whether the repository stores less than its quota. Only on one that has a quota.
	ConditionWithinQuota xpv2.ConditionType = "WithinQuota"
)

// The reasons of those conditions, and of Ready=False and Synced=False of a Checkpoint, beside those of a VectorCollection.
const (
	// ReasonIntact: nothing that was read again is corrupt.
	ReasonIntact xpv2.ConditionReason = "Intact"
	// ReasonCorrupt: something in the store is lost or not what was written.
	ReasonCorrupt xpv2.ConditionReason = "Corrupt"
	// ReasonUntrustworthy: the store does not keep what checkpoints need of it.
	ReasonUntrustworthy xpv2.ConditionReason = "UntrustworthyStore"
	// ReasonKeyLost: the repository is there, and the Secret with its data key is not.
	ReasonKeyLost xpv2.ConditionReason = "DataKeyLost"
	// ReasonCurrent, ReasonBehind and ReasonUnknown are those of RPOMet.
	ReasonCurrent xpv2.ConditionReason = "Current"
	ReasonBehind  xpv2.ConditionReason = "Behind"
	ReasonUnknown xpv2.ConditionReason = "Unknown"
	// ReasonWithinQuota: the repository stores less than its quota. ReasonQuotaExceeded is the other.
	ReasonWithinQuota xpv2.ConditionReason = "WithinQuota"
)

// LabelCheckpoint names, on a worker, the Checkpoint that keeps its state. A Checkpoint that is deleted with its data waits
// for the last of them to go.
const LabelCheckpoint = "southwest.ai/checkpoint"

// The annotations by which a Checkpoint is asked for something once. The value names the request, as a time does, and a new value asks
// anew; status.atProvider says which request was last done.
const (
	// AnnotationCheckpointNow has every running worker save its state at once.
	AnnotationCheckpointNow = "southwest.ai/checkpoint-now"
	// AnnotationScrubNow has everything in the repository read again at once, and not over scrubHours.
	AnnotationScrubNow = "southwest.ai/scrub-now"
)

// SuffixDataKey follows a Checkpoint's name in the name of the Secret with the pool's data key. Nothing owns that Secret: it
// goes only with the data.
const SuffixDataKey = "-checkpoint-key"

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
// +kubebuilder:printcolumn:name="SLOTS",type="integer",JSONPath=".status.atProvider.slots"
// +kubebuilder:printcolumn:name="HIBERNATED",type="integer",JSONPath=".status.atProvider.hibernated"
// +kubebuilder:printcolumn:name="NEWEST",type="date",JSONPath=".status.atProvider.newestTime"
// +kubebuilder:printcolumn:name="INTACT",type="string",JSONPath=".status.conditions[?(@.type=='Intact')].status"
// +kubebuilder:printcolumn:name="RPO-MET",type="string",JSONPath=".status.conditions[?(@.type=='RPOMet')].status",priority=1
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
