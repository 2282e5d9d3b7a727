// Package vector makes, watches and removes collections in vector stores, the same way whatever the store. It must not
// know Kubernetes, nor any store: those are drivers, one package each, which never import one another.
package vector

// A Distance is how two vectors are compared.
type Distance string

// The distances.
const (
	Cosine Distance = "Cosine"
	Dot    Distance = "Dot"
	L2     Distance = "L2"
)

// An IndexType is how a collection finds near vectors without looking at all of them.
type IndexType string

// The index types. Flat looks at all of them.
const (
	HNSW    IndexType = "HNSW"
	IVFFlat IndexType = "IVFFlat"
	DiskANN IndexType = "DiskANN"
	Flat    IndexType = "Flat"
)

// A Quantization is how an index makes vectors smaller.
type Quantization string

// The quantizations: none, 8 bits per dimension, 1 bit, product quantization, 16 bit floats.
const (
	QuantizationNone Quantization = "None"
	Scalar           Quantization = "Scalar"
	Binary           Quantization = "Binary"
	Product          Quantization = "Product"
	Half             Quantization = "Half"
)

// A Tenancy says whether a collection keeps the vectors of several tenants apart.
type Tenancy string

// The tenancies.
const (
	Single Tenancy = "Single"
	Multi  Tenancy = "Multi"
)

// A FieldType is the type of a payload field that is indexed for filters.
type FieldType string

// The field types.
const (
	Keyword  FieldType = "Keyword"
	Text     FieldType = "Text"
	Integer  FieldType = "Integer"
	Float    FieldType = "Float"
	Boolean  FieldType = "Boolean"
	Datetime FieldType = "Datetime"
)

// A Field is a payload field that is indexed for filters.
type Field struct {
	Name string
	Type FieldType
}

// Properties are what a collection can be asked to be, and is. In a Spec the zero value, or nil, means no opinion: the
// store chooses. In a State it means unknown, or that the store has no such thing.
type Properties struct {
	// Dim is the dimension of the vectors, from 1. A State has 0 where the store does not know it before the first vector.
	Dim      int32
	Distance Distance

	Index IndexType
	// M is the number of links per node of an HNSW graph, EfConstruction the candidates looked at while it is built, Ef
	// those looked at in a search.
	M, EfConstruction, Ef *int32

	// Shards and Replicas are numbers from 1.
	Shards, Replicas *int32
	Quantization     Quantization
	// OnDisk keeps vectors on disk and not in memory.
	OnDisk  *bool
	Tenancy Tenancy

	// IndexedFields are sorted by name. A Spec without opinion has nil.
	IndexedFields []Field
}

// A Spec is a collection as it is wanted.
type Spec struct {
	// Name of the collection in the store.
	Name string
	// Owner is the stamp that the collection carries in the store, "" for none. It is free of quotes and control
	// characters and at most 256 bytes long.
	Owner string

	Properties
}

// A State is a collection as it was seen in the store.
type State struct {
	// Owner is the stamp the collection carries, "" for none.
	Owner string

	Properties

	// Vectors is the number of vectors, or nil where the store was not able to say. Approximate says that it is an estimate.
	Vectors     *int64
	Approximate bool

	IndexState IndexState
	// IndexProgress is what part of the vectors is indexed, in percent, or nil where it is unknown.
	IndexProgress *int32

	// ShardsReady of ShardsTotal shards, replicas counted, can serve. Both are 0 where the store has no shards.
	ShardsReady, ShardsTotal int32

	// Unfinished says that the collection is not yet whole, where it takes a store several requests to make one and the last
	// of them did not come: Alter sends what is missing.
	Unfinished bool

	// Aliases that point to the collection, sorted.
	Aliases []string
}

// An IndexState says whether searches use the index.
type IndexState string

// The index states.
const (
	// IndexReady: the index is there, and all vectors are in it or will be in a moment.
	IndexReady IndexState = "Ready"
	// IndexBuilding: searches are right but slow, or miss what is not yet indexed, until it is built.
	IndexBuilding IndexState = "Building"
	// IndexFailed: the store gave up; somebody must look.
	IndexFailed IndexState = "Failed"
	// IndexAbsent: there is no index, and none is wanted.
	IndexAbsent IndexState = "Absent"
)
