package chroma

import (
	"encoding/json"
	"maps"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// The keys of ours in a collection's metadata.
const (
	keyOwner = "southwest.ai/owner"
	keyDim   = "southwest.ai/dim"
)

// Metadata keeps the values of others as they were written: 1.0 and 1 are not the same to the server.
type metadata map[string]json.RawMessage

// A collection as the server tells of it.
type collection struct {
	ID            string        `json:"id"`
	Metadata      metadata      `json:"metadata"`
	Dimension     int32         `json:"dimension"`
	Configuration configuration `json:"configuration_json"`
}

// A configuration is that of an index, of which there is one.
type configuration struct {
	HNSW *hnsw `json:"hnsw,omitempty"`
}

// An hnsw says how an HNSW index is built and searched. What is absent the server chooses.
type hnsw struct {
	Space          string `json:"space,omitempty"`
	EfConstruction *int32 `json:"ef_construction,omitempty"`
	EfSearch       *int32 `json:"ef_search,omitempty"`
	MaxNeighbors   *int32 `json:"max_neighbors,omitempty"`
}

// A create is the request for a collection.
type create struct {
	Name          string        `json:"name"`
	Metadata      metadata      `json:"metadata"`
	Configuration configuration `json:"configuration"`
}

// An update is the request to change one. What is absent stays.
type update struct {
	Metadata      metadata       `json:"new_metadata,omitempty"`
	Configuration *configuration `json:"new_configuration,omitempty"`
}

// spaces of the server, by distance.
var spaces = map[vector.Distance]string{vector.Cosine: "cosine", vector.Dot: "ip", vector.L2: "l2"}

// distance of a space, "" if it is one that we do not know.
func distance(space string) vector.Distance {
	for d, s := range spaces {
		if s == space {
			return d
		}
	}

	return ""
}

// creation returns the request that makes a collection, stamps included.
func creation(name string, s vector.Spec) create {
	return create{
		Name:     name,
		Metadata: metadata{}.stamped(s.Owner, s.Dim),
		Configuration: configuration{HNSW: &hnsw{
			Space: spaces[s.Distance], MaxNeighbors: s.M, EfConstruction: s.EfConstruction, EfSearch: s.Ef,
		}},
	}
}

// state of a collection but for its vectors.
func (c *collection) state() (vector.State, error) {
	h := c.Configuration.HNSW
	if h == nil {
		return vector.State{}, vector.Errorf(vector.Unsupported, "the collection has no HNSW index: distributed servers, like Chroma Cloud, are not supported")
	}

	if distance(h.Space) == "" {
		return vector.State{}, vector.Errorf(vector.Unsupported, "the collection has a space that is not supported, %q", h.Space)
	}

	s := vector.State{
		Owner: c.owner(),
		Properties: vector.Properties{
			Dim: c.dim(), Distance: distance(h.Space), Tenancy: vector.Single,
			Index: vector.HNSW, M: h.MaxNeighbors, EfConstruction: h.EfConstruction, Ef: h.EfSearch,
		},
		// The newest vectors, which are not yet in the graph, are looked at one by one.
		IndexState: vector.IndexReady,
	}

	return s, nil
}

// owner of a collection. What is not ours to understand is none.
func (c *collection) owner() string {
	var s string
	if json.Unmarshal(c.Metadata[keyOwner], &s) != nil {
		return ""
	}

	return s
}

// dim is what the server knows since it has vectors, else what was asked for.
func (c *collection) dim() int32 {
	if c.Dimension != 0 {
		return c.Dimension
	}

	var n int32
	if json.Unmarshal(c.Metadata[keyDim], &n) != nil {
		return 0
	}

	return n
}

// update returns the request that brings a collection to what is wanted, and whether there is anything to do.
func (c *collection) update(want vector.Spec) (update, bool) {
	var u update

	if _, stamped := c.Metadata[keyDim]; !stamped || c.owner() != want.Owner {
		u.Metadata = c.Metadata.stamped(want.Owner, want.Dim)
	}

	if h := c.Configuration.HNSW; want.Ef != nil && (h == nil || h.EfSearch == nil || *h.EfSearch != *want.Ef) {
		u.Configuration = &configuration{HNSW: &hnsw{EfSearch: want.Ef}}
	}

	return u, u.Metadata != nil || u.Configuration != nil
}

// stamped returns metadata with an owner and, unless there is one already, a dimension. No owner is no key; the dimension
// keeps it from being empty, which the server would refuse.
func (m metadata) stamped(owner string, dim int32) metadata {
	out := maps.Clone(m)
	if out == nil {
		out = metadata{}
	}

	delete(out, keyOwner)

	if owner != "" {
		out[keyOwner] = quote(owner)
	}

	if _, ok := out[keyDim]; !ok {
		out[keyDim] = quote(dim)
	}

	return out
}

func quote[T string | int32](v T) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // A string or a number.
	}

	return b
}
