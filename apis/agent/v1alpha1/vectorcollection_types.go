package v1alpha1

import (
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Distance is how two vectors are compared.
// +kubebuilder:validation:Enum=Cosine;Dot;L2
type Distance string

// VectorCollectionParameters describe a collection in a vector store.
// +kubebuilder:validation:XValidation:rule="self.collection == oldSelf.collection",message="collection cannot change: a collection is not renamed; make a new VectorCollection"
// +kubebuilder:validation:XValidation:rule="self.dim == oldSelf.dim",message="dim cannot change: vectors of two dimensions cannot be compared; make a new VectorCollection and re-embed"
// +kubebuilder:validation:XValidation:rule="self.distance == oldSelf.distance",message="distance cannot change: the index is built for one distance; make a new VectorCollection and re-embed"
type VectorCollectionParameters struct {
	// Collection is the collection's name in the store.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9_-]*$`
	Collection string `json:"collection"`

	// Dim is the dimension of the vectors, 1 to 65535.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Dim int32 `json:"dim"`

	// Distance is how two vectors are compared.
	// +optional
	// +kubebuilder:default=Cosine
	Distance Distance `json:"distance,omitempty"`
}

// VectorCollectionObservation is what was seen of the collection.
type VectorCollectionObservation struct {
	// Exists says whether the collection exists.
	// +optional
	Exists *bool `json:"exists,omitempty"`

	// Dim is the dimension the collection has.
	// +optional
	Dim *int32 `json:"dim,omitempty"`

	// Distance is the distance the collection has.
	// +optional
	Distance Distance `json:"distance,omitempty"`
}

// VectorCollectionSpec is the desired state of a VectorCollection.
type VectorCollectionSpec struct {
	xpv2.ManagedResourceSpec `json:",inline"`

	// ForProvider describes the collection.
	ForProvider VectorCollectionParameters `json:"forProvider"`
}

// VectorCollectionStatus is the observed state of a VectorCollection.
type VectorCollectionStatus struct {
	xpv2.ManagedResourceStatus `json:",inline"`

	// AtProvider is what was seen of the collection.
	// +optional
	AtProvider VectorCollectionObservation `json:"atProvider,omitempty"`
}

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=crossplane;managed;aidispatcher
// +kubebuilder:printcolumn:name="SYNCED",type="string",JSONPath=".status.conditions[?(@.type=='Synced')].status"
// +kubebuilder:printcolumn:name="READY",type="string",JSONPath=".status.conditions[?(@.type=='Ready')].status"
// +kubebuilder:printcolumn:name="COLLECTION",type="string",JSONPath=".spec.forProvider.collection"
// +kubebuilder:printcolumn:name="DIM",type="integer",JSONPath=".spec.forProvider.dim"
// +kubebuilder:printcolumn:name="AGE",type="date",JSONPath=".metadata.creationTimestamp"

// A VectorCollection is a collection in a vector store: a pool's memory.
type VectorCollection struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   VectorCollectionSpec   `json:"spec"`
	Status VectorCollectionStatus `json:"status,omitempty"`
}

// +kubebuilder:object:root=true

// VectorCollectionList is a list of VectorCollections.
type VectorCollectionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []VectorCollection `json:"items"`
}

func init() {
	SchemeBuilder.Register(&VectorCollection{}, &VectorCollectionList{})
}
