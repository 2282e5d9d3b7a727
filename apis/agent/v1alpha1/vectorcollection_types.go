package v1alpha1

import (
	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A Distance is how two vectors are compared.
// +kubebuilder:validation:Enum=Cosine;Dot;L2
type Distance string

// The distances a collection can be made with.
const (
	DistanceCosine Distance = "Cosine"
	DistanceDot    Distance = "Dot"
	DistanceL2     Distance = "L2"
)

// A VectorIndex is how near vectors are found without looking at all of them. What is absent the store chooses.
type VectorIndex struct {
	// Type of the index. Flat looks at all vectors: exact, and slow beyond some ten thousand.
	// +optional
	// +kubebuilder:validation:Enum=HNSW;IVFFlat;DiskANN;Flat
	Type string `json:"type,omitempty"`

	// M is the number of links per node of an HNSW graph: more find better and take more memory.
	// +optional
	// +kubebuilder:validation:Minimum=2
	// +kubebuilder:validation:Maximum=2048
	M *int32 `json:"m,omitempty"`

	// EfConstruction is the number of candidates looked at while an HNSW graph is built: more find better and build slower.
	// +optional
	// +kubebuilder:validation:Minimum=4
	// +kubebuilder:validation:Maximum=4096
	EfConstruction *int32 `json:"efConstruction,omitempty"`

	// Ef is the number of candidates looked at in a search, where the store keeps it with the collection.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4096
	Ef *int32 `json:"ef,omitempty"`
}

// An IndexedField is a payload field by which searches are filtered.
type IndexedField struct {
	// Name of the field.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z_][A-Za-z0-9_]*$`
	Name string `json:"name"`

	// Type of the field.
	// +kubebuilder:validation:Enum=Keyword;Text;Integer;Float;Boolean;Datetime
	Type string `json:"type"`
}

// VectorTuning is what a platform decides of a collection and those who store vectors in it need not know. What is absent
// the store chooses. What a store does not have is refused, with a condition that says so.
type VectorTuning struct {
	// Index is how near vectors are found.
	// +optional
	Index *VectorIndex `json:"index,omitempty"`

	// Shards of the collection. It cannot change.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1024
	Shards *int32 `json:"shards,omitempty"`

	// Replicas of each shard.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=64
	Replicas *int32 `json:"replicas,omitempty"`

	// Quantization is how the index makes vectors smaller.
	// +optional
	// +kubebuilder:validation:Enum=None;Scalar;Binary;Product;Half
	Quantization string `json:"quantization,omitempty"`

	// OnDisk keeps vectors on disk and not in memory.
	// +optional
	OnDisk *bool `json:"onDisk,omitempty"`

	// Tenancy Multi keeps the vectors of several tenants of one collection apart. It cannot change.
	// +optional
	// +kubebuilder:validation:Enum=Single;Multi
	Tenancy string `json:"tenancy,omitempty"`

	// IndexedFields are the payload fields by which searches are filtered.
	// +optional
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=32
	IndexedFields []IndexedField `json:"indexedFields,omitempty"`
}

// A SuccessorStage says how far a collection is replaced by its successor.
// +kubebuilder:validation:Enum=Prepare;Switch;Release
type SuccessorStage string

// The stages of a successor.
const (
	// SuccessorPrepare makes the successor beside the collection. Fill it.
	SuccessorPrepare SuccessorStage = "Prepare"
	// SuccessorSwitch lets the aliases point to the successor. The collection stays: setting Prepare again switches back.
	SuccessorSwitch SuccessorStage = "Switch"
	// SuccessorRelease lets the old collection go: it is kept or deleted as onDelete says. There is no way back.
	SuccessorRelease SuccessorStage = "Release"
)

// A VectorSuccessor is a collection that replaces another one without downtime, because vectors of two embedding models
// cannot be compared: it is made beside the other, filled, and takes over the aliases.
type VectorSuccessor struct {
	// Collection is the successor's name in the store.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:Pattern=`^[A-Za-z][A-Za-z0-9_-]*$`
	Collection string `json:"collection"`

	// Dim is the dimension of the successor's vectors.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Dim int32 `json:"dim"`

	// Distance is how two of them are compared.
	// +optional
	// +kubebuilder:default=Cosine
	Distance Distance `json:"distance,omitempty"`

	// Stage is how far it is to go.
	// +optional
	// +kubebuilder:default=Prepare
	Stage SuccessorStage `json:"stage,omitempty"`
}

// A DataPolicy says what becomes of data when the resource that describes it is deleted.
// +kubebuilder:validation:Enum=Keep;Delete
type DataPolicy string

// The data policies.
const (
	// DataKeep leaves the data where it is, for whoever asks for the same collection next.
	DataKeep DataPolicy = "Keep"
	// DataDelete deletes the data.
	DataDelete DataPolicy = "Delete"
)

// VectorCollectionParameters describe a collection in a vector store.
// +kubebuilder:validation:XValidation:rule="self.collection == oldSelf.collection || (has(oldSelf.successor) && oldSelf.successor.stage == 'Release' && self.collection == oldSelf.successor.collection && self.dim == oldSelf.successor.dim && self.distance == oldSelf.successor.distance)",message="collection cannot change but to that of a released successor, with its dim and distance: a collection is not renamed; set a successor, or make a new VectorCollection"
// +kubebuilder:validation:XValidation:rule="self.dim == oldSelf.dim || self.collection != oldSelf.collection",message="dim cannot change: vectors of two dimensions cannot be compared; set a successor, or make a new VectorCollection, and re-embed"
// +kubebuilder:validation:XValidation:rule="self.distance == oldSelf.distance || self.collection != oldSelf.collection",message="distance cannot change: the index is built for one distance; set a successor, or make a new VectorCollection, and re-embed"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.shards) || (has(self.shards) && self.shards == oldSelf.shards) || self.collection != oldSelf.collection",message="shards cannot change: they are laid out when the collection is made; set a successor, or make a new VectorCollection"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.tenancy) || (has(self.tenancy) && self.tenancy == oldSelf.tenancy) || self.collection != oldSelf.collection",message="tenancy cannot change: it decides how the collection is laid out; set a successor, or make a new VectorCollection"
// +kubebuilder:validation:XValidation:rule="!has(self.successor) || self.successor.collection != self.collection",message="successor.collection must be another collection; once it is released, remove successor"
// +kubebuilder:validation:XValidation:rule="!has(self.successor) || (has(self.aliases) && size(self.aliases) > 0)",message="a successor takes over the aliases, and there is none: set aliases, and let agents use one"
// +kubebuilder:validation:XValidation:rule="!has(self.aliases) || !(self.collection in self.aliases)",message="an alias must not be the name of the collection itself"
// +kubebuilder:validation:XValidation:rule="!has(self.aliases) || !has(self.successor) || !(self.successor.collection in self.aliases)",message="an alias must not be the name of the successor"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.successor) || oldSelf.successor.stage != 'Release' || self.collection != oldSelf.collection || (has(self.successor) && self.successor.stage == 'Release')",message="a released successor cannot be taken back: set collection, dim and distance to the successor's and remove successor"
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

	VectorTuning `json:",inline"`

	// Aliases are further names by which the collection is reached. Agents that use one need not know when a successor
	// takes over.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +kubebuilder:validation:items:Pattern=`^[A-Za-z][A-Za-z0-9_-]*$`
	Aliases []string `json:"aliases,omitempty"`

	// Successor is the collection that replaces this one, for another embedding model.
	// +optional
	Successor *VectorSuccessor `json:"successor,omitempty"`

	// OnDelete says what becomes of the vectors when this resource is deleted.
	// +optional
	// +kubebuilder:default=Keep
	OnDelete DataPolicy `json:"onDelete,omitempty"`
}

// An IndexObservation is what was seen of a collection's index.
type IndexObservation struct {
	// Type of the index.
	// +optional
	Type string `json:"type,omitempty"`

	// State of the index: Ready, Building, Failed or Absent.
	// +optional
	State string `json:"state,omitempty"`

	// ProgressPercent is what part of the vectors is indexed, 0 to 100, where the store says so.
	// +optional
	ProgressPercent *int32 `json:"progressPercent,omitempty"`
}

// A ShardObservation is what was seen of a collection's shards, replicas counted.
type ShardObservation struct {
	// Total number of shards.
	Total int32 `json:"total"`

	// Ready is how many of them can serve.
	Ready int32 `json:"ready"`
}

// A CollectionObservation is what was seen of one collection.
type CollectionObservation struct {
	// Exists says whether the collection exists.
	// +optional
	Exists *bool `json:"exists,omitempty"`

	// Dim is the dimension the collection has.
	// +optional
	Dim *int32 `json:"dim,omitempty"`

	// Distance is the distance the collection has.
	// +optional
	Distance Distance `json:"distance,omitempty"`

	// VectorCount is the number of vectors in the collection.
	// +optional
	VectorCount *int64 `json:"vectorCount,omitempty"`

	// VectorCountApproximate says that the store only estimates it.
	// +optional
	VectorCountApproximate bool `json:"vectorCountApproximate,omitempty"`

	// Index is what was seen of the index.
	// +optional
	Index *IndexObservation `json:"index,omitempty"`

	// Shards are what was seen of the shards, where the store has them.
	// +optional
	Shards *ShardObservation `json:"shards,omitempty"`
}

// A SuccessorObservation is what was seen of a successor.
type SuccessorObservation struct {
	CollectionObservation `json:",inline"`

	// Collection is its name.
	Collection string `json:"collection"`

	// Stage it has reached: Prepared, Switched or Released.
	// +optional
	Stage string `json:"stage,omitempty"`
}

// How agents get into the store.
const (
	// AccessScoped: by a login that reaches this collection only.
	AccessScoped = "Scoped"
	// AccessShared: by the credentials that the configuration gives to all agents.
	AccessShared = "Shared"
	// AccessNone: without credentials.
	AccessNone = "None"
)

// VectorCollectionObservation is what was seen of the collection.
type VectorCollectionObservation struct {
	CollectionObservation `json:",inline"`

	// Store is the type of the store.
	// +optional
	Store VectorStoreType `json:"store,omitempty"`

	// Owner is the stamp that the collection carries in the store: namespace/name of its VectorCollection, and the cluster.
	// +optional
	Owner string `json:"owner,omitempty"`

	// Aliases that were set here and point to the collection that serves.
	// +optional
	Aliases []string `json:"aliases,omitempty"`

	// Access is how agents get in: Scoped, Shared or None.
	// +optional
	Access string `json:"access,omitempty"`

	// Serving is the collection that agents should use: the collection itself, or its successor once that has taken over.
	// +optional
	Serving string `json:"serving,omitempty"`

	// Successor is what was seen of the successor.
	// +optional
	Successor *SuccessorObservation `json:"successor,omitempty"`
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

// Why a VectorCollection is not in sync, as the reason of its Synced condition. Others are Crossplane's.
const (
	// ReasonImmutableMismatch: the collection in the store is not what is asked for, and cannot become it.
	ReasonImmutableMismatch xpv2.ConditionReason = "ImmutableMismatch"
	// ReasonOwnedByAnother: the collection carries the stamp of another VectorCollection.
	ReasonOwnedByAnother xpv2.ConditionReason = "OwnedByAnother"
	// ReasonUnsupported: the store cannot do what is asked for.
	ReasonUnsupported xpv2.ConditionReason = "Unsupported"
	// ReasonInvalidConfiguration: the provider configuration, or what it refers to, is missing or wrong.
	ReasonInvalidConfiguration xpv2.ConditionReason = "InvalidConfiguration"
	// ReasonStoreUnavailable: the store cannot be reached, or did not answer in time.
	ReasonStoreUnavailable xpv2.ConditionReason = "StoreUnavailable"
	// ReasonCertificateInvalid: the store's certificate is not trusted, expired, or for another name.
	ReasonCertificateInvalid xpv2.ConditionReason = "CertificateInvalid"
	// ReasonUnauthenticated: the store does not accept the password or key.
	ReasonUnauthenticated xpv2.ConditionReason = "Unauthenticated"
	// ReasonPermissionDenied: the store does not let these credentials do what is needed.
	ReasonPermissionDenied xpv2.ConditionReason = "PermissionDenied"
	// ReasonQuotaExceeded: the store has no room, or allows no more collections.
	ReasonQuotaExceeded xpv2.ConditionReason = "QuotaExceeded"
	// ReasonInUse: it is being deleted and waits for the workers that use it to end.
	ReasonInUse xpv2.ConditionReason = "InUse"
)

// AnnotationTakeOver lets a VectorCollection take over a collection from another owner: its value is the stamp that the
// collection carries now, so that an old permission is not taken for a new one.
const AnnotationTakeOver = "southwest.ai/take-over"

// LabelMemory is the label of pods that use a VectorCollection of their namespace, which is its value: the VectorCollection
// is not deleted while there is one.
const LabelMemory = "southwest.ai/memory"

// The keys of a VectorCollection's connection secret. Those that do not apply are absent.
const (
	// ConnectionStore is the type of the store: pgvector, Qdrant, Weaviate, Milvus or Chroma.
	ConnectionStore = "store"
	// ConnectionEndpoint is the URL of the store, without credentials.
	ConnectionEndpoint = "endpoint"
	// ConnectionCollection is the name that agents use: the first alias if there is one, else the collection.
	ConnectionCollection = "collection"
	// ConnectionDim is the dimension of the vectors of the collection that serves.
	ConnectionDim = "dim"
	// ConnectionDistance is its distance: Cosine, Dot or L2.
	ConnectionDistance = "distance"
	// ConnectionUser and ConnectionPassword are the login, ConnectionAPIKey is the key.
	ConnectionUser     = "username"
	ConnectionPassword = "password"
	ConnectionAPIKey   = "apiKey"
	// ConnectionCA is the certificate authority of the store, PEM.
	ConnectionCA = "ca.crt"
	// ConnectionSuccessor and ConnectionSuccessorDim are the successor's name and dimension while there is one.
	ConnectionSuccessor    = "successor"
	ConnectionSuccessorDim = "successorDim"
	// ConnectionReach tells which collections a login of its own reaches, and by which aliases. It is the provider's note.
	ConnectionReach = "reach"
)

// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Namespaced,categories=crossplane;managed;aidispatcher
// +kubebuilder:printcolumn:name="SYNCED",type="string",JSONPath=".status.conditions[?(@.type=='Synced')].status"
// +kubebuilder:printcolumn:name="READY",type="string",JSONPath=".status.conditions[?(@.type=='Ready')].status"
// +kubebuilder:printcolumn:name="STORE",type="string",JSONPath=".status.atProvider.store"
// +kubebuilder:printcolumn:name="COLLECTION",type="string",JSONPath=".spec.forProvider.collection"
// +kubebuilder:printcolumn:name="DIM",type="integer",JSONPath=".spec.forProvider.dim"
// +kubebuilder:printcolumn:name="VECTORS",type="integer",JSONPath=".status.atProvider.vectorCount"
// +kubebuilder:printcolumn:name="REASON",type="string",JSONPath=".status.conditions[?(@.type=='Synced')].reason",priority=1
// +kubebuilder:printcolumn:name="INDEX",type="string",JSONPath=".status.atProvider.index.state",priority=1
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
