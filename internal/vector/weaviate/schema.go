package weaviate

import (
	"slices"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// A class is a collection in the server's words.
type class struct {
	Class       string     `json:"class"`
	Description string     `json:"description,omitempty"`
	Properties  []property `json:"properties,omitempty"`
	// Vectorizer is always "none": agents bring their vectors, and a server may have another default.
	Vectorizer string `json:"vectorizer,omitempty"`

	index
	// Named are indexes of vectors that have a name. A class has either these or the one above.
	Named map[string]index `json:"vectorConfig,omitempty"`

	MultiTenancy *multiTenancy `json:"multiTenancyConfig,omitempty"`
	Replication  *replication  `json:"replicationConfig,omitempty"`
	Sharding     *sharding     `json:"shardingConfig,omitempty"`
}

type index struct {
	Type   string       `json:"vectorIndexType,omitempty"`
	Config *indexConfig `json:"vectorIndexConfig,omitempty"`
}

type indexConfig struct {
	Distance       string        `json:"distance,omitempty"`
	MaxConnections *int32        `json:"maxConnections,omitempty"`
	EfConstruction *int32        `json:"efConstruction,omitempty"`
	Ef             *int32        `json:"ef,omitempty"`
	DynamicEfMin   *int32        `json:"dynamicEfMin,omitempty"`
	SQ             *quantization `json:"sq,omitempty"`
	BQ             *quantization `json:"bq,omitempty"`
	PQ             *quantization `json:"pq,omitempty"`
	RQ             *quantization `json:"rq,omitempty"`
	// SkipDefault turns off the quantization that a server may have for those who say nothing.
	SkipDefault bool `json:"skipDefaultQuantization,omitempty"`
}

type quantization struct {
	Enabled bool  `json:"enabled"`
	Bits    int32 `json:"bits,omitempty"`
}

type multiTenancy struct {
	Enabled bool `json:"enabled"`
}

type replication struct {
	Factor int32 `json:"factor"`
}

type sharding struct {
	DesiredCount int32 `json:"desiredCount"`
}

type property struct {
	Name            string   `json:"name"`
	DataType        []string `json:"dataType"`
	Tokenization    string   `json:"tokenization,omitempty"`
	IndexFilterable *bool    `json:"indexFilterable,omitempty"`
	IndexSearchable *bool    `json:"indexSearchable,omitempty"`
}

// An alias is another name of a class.
type alias struct {
	Alias string `json:"alias,omitempty"`
	Class string `json:"class"`
}

// A word is one of ours and the server's for the same.
type word[T comparable] struct {
	ours   T
	theirs string
}

var (
	distances = []word[vector.Distance]{{vector.Cosine, "cosine"}, {vector.Dot, "dot"}, {vector.L2, "l2-squared"}}
	indexes   = []word[vector.IndexType]{{vector.HNSW, "hnsw"}, {vector.Flat, "flat"}}
	// quantizations by the part of an index's configuration that turns them on. rq has 8 bits unless told otherwise.
	quantizations = []word[vector.Quantization]{{vector.Scalar, "rq"}, {vector.Binary, "bq"}, {vector.Product, "pq"}}
	types         = []word[vector.FieldType]{
		{vector.Keyword, "text"}, {vector.Text, "text"}, {vector.Integer, "int"},
		{vector.Float, "number"}, {vector.Boolean, "boolean"}, {vector.Datetime, "date"},
	}
)

// theirs returns the server's word for one of ours, "" for none.
func theirs[T comparable](ws []word[T], ours T) string {
	for _, w := range ws {
		if w.ours == ours {
			return w.theirs
		}
	}

	return ""
}

// creation returns the class to create for a collection.
func creation(name string, s vector.Spec) class {
	st := stamp{Owner: s.Owner, Dim: s.Dim, Fields: []string{}}
	c := class{Class: name, Vectorizer: "none", index: index{Type: "hnsw", Config: configOf(s.Properties)}}

	if s.Index != "" {
		c.Type = theirs(indexes, s.Index)
	}

	if s.Tenancy == vector.Multi {
		c.MultiTenancy = &multiTenancy{Enabled: true}
	}

	if s.Shards != nil {
		c.Sharding = &sharding{DesiredCount: *s.Shards}
	}

	if s.Replicas != nil {
		c.Replication = &replication{Factor: *s.Replicas}
	}

	for _, f := range s.IndexedFields {
		c.Properties = append(c.Properties, propertyOf(f))
		st.Fields = append(st.Fields, f.Name)
	}

	c.Description = st.under("")

	return c
}

func configOf(p vector.Properties) *indexConfig {
	c := &indexConfig{MaxConnections: p.M, EfConstruction: p.EfConstruction, Ef: p.Ef, Distance: theirs(distances, p.Distance)}
	on := &quantization{Enabled: true}

	switch p.Quantization {
	case vector.Scalar:
		c.RQ = &quantization{Enabled: true, Bits: 8}
	case vector.Binary:
		c.BQ = on
	case vector.Product:
		c.PQ = on
	case vector.QuantizationNone:
		c.SkipDefault = true
	default: // The server chooses.
	}

	return c
}

// propertyOf returns the property of an indexed field.
func propertyOf(f vector.Field) property {
	yes, words := true, f.Type == vector.Text
	p := property{Name: propertyName(f.Name), DataType: []string{theirs(types, f.Type)}, IndexFilterable: &yes}

	if p.DataType[0] == "text" {
		p.IndexSearchable = &words
		p.Tokenization = "field"
	}

	if words {
		p.Tokenization = "word"
	}

	return p
}

// fieldType returns what a property is as an indexed field, "" if it is none.
func (p property) fieldType() vector.FieldType {
	switch {
	case len(p.DataType) != 1, p.IndexFilterable != nil && !*p.IndexFilterable:
		return ""
	case p.DataType[0] == "text" && p.Tokenization == "field":
		return vector.Keyword
	case p.DataType[0] == "text":
		return vector.Text
	}

	for _, w := range types {
		if w.theirs == p.DataType[0] {
			return w.ours
		}
	}

	return ""
}

// vectors returns the index of a class's vectors, and their name, "" for none. Unsupported if there are several, since
// then it is not one collection of vectors.
func (c class) vectors() (name string, i index, err error) {
	if len(c.Named) > 1 {
		return "", index{}, vector.Errorf(vector.Unsupported, "class %s has %d vectors for each object, and a collection here has one", c.Class, len(c.Named))
	}

	i = c.index
	for n, named := range c.Named {
		name, i = n, named
	}

	if i.Config == nil {
		i.Config = &indexConfig{}
	}

	return name, i, nil
}

// properties returns what a class is in our words.
func (c class) properties() (vector.Properties, error) {
	_, i, err := c.vectors()
	if err != nil {
		return vector.Properties{}, err
	}

	st, _ := stampOf(c.Description)
	p := vector.Properties{Dim: st.Dim, Quantization: i.Config.quantization(), Tenancy: vector.Single, IndexedFields: c.fields(st)}

	// A distance of which we know nothing is told in the server's word, so that it is another than what is wanted.
	p.Distance = vector.Distance(i.Config.Distance)

	for _, w := range distances {
		if w.theirs == i.Config.Distance {
			p.Distance = w.ours
		}
	}

	for _, w := range indexes {
		if w.theirs == i.Type {
			p.Index = w.ours
		}
	}

	if p.Index == vector.HNSW {
		p.M, p.EfConstruction, p.Ef = i.Config.MaxConnections, i.Config.EfConstruction, i.Config.Ef
		if p.Ef != nil && *p.Ef < 1 {
			p.Ef = i.Config.DynamicEfMin
		}
	}

	if c.Replication != nil {
		p.Replicas = &c.Replication.Factor
	}

	switch {
	case c.MultiTenancy != nil && c.MultiTenancy.Enabled:
		p.Tenancy = vector.Multi
	case c.Sharding != nil:
		p.Shards = &c.Sharding.DesiredCount
	}

	return p, nil
}

func (c indexConfig) quantization() vector.Quantization {
	on := func(q *quantization) bool { return q != nil && q.Enabled }

	switch {
	case on(c.SQ), on(c.RQ) && c.RQ.Bits != 1:
		return vector.Scalar
	case on(c.BQ), on(c.RQ):
		return vector.Binary
	case on(c.PQ):
		return vector.Product
	default:
		return vector.QuantizationNone
	}
}

// fields returns those that were asked for and are there, nil if nobody has asked so far: then who knows which the server
// added for what agents stored.
func (c class) fields(st stamp) []vector.Field {
	if st.Fields == nil {
		return nil
	}

	fields := []vector.Field{}

	for _, name := range st.Fields {
		i := slices.IndexFunc(c.Properties, func(p property) bool { return p.Name == propertyName(name) })
		if i < 0 {
			continue
		}

		if t := c.Properties[i].fieldType(); t != "" {
			fields = append(fields, vector.Field{Name: name, Type: t})
		}
	}

	slices.SortFunc(fields, byName)

	return fields
}
