package vector

import (
	"fmt"
	"slices"
	"strings"
)

// Support says whether, and until when, a store heeds a property.
type Support int

// The degrees of support.
const (
	// Never: the store has no such thing.
	Never Support = iota
	// AtCreation: it can be chosen when the collection is made, and not changed.
	AtCreation
	// Growing: it can be added to, and nothing taken from it: further fields, a greater number, a quantization after none.
	Growing
	// Always: it can be changed.
	Always
)

// Features say what a kind of store can do. docs/memory.md shows them as a table.
type Features struct {
	// MaxDim is the largest dimension a collection can have, with or without an index.
	MaxDim int32
	// MaxName is the longest name, in bytes, of a collection or an alias.
	MaxName int

	Distances     []Distance
	Indexes       []IndexType
	Quantizations []Quantization
	Tenancies     []Tenancy
	FieldTypes    []FieldType

	// Whether each property is heeded. Dim, distance and tenancy are immutable everywhere.
	Index, M, EfConstruction, Ef, Shards, Replicas, Quantization, OnDisk, IndexedFields Support

	// Stamp says whether the store has a place for an owner.
	Stamp bool
	// Aliases says that drivers are Aliasers, Grants that they are Granters.
	Aliases, Grants bool

	// Limits returns what a table cannot say of a Spec, a sentence each that says what to do: nil for nothing.
	Limits func(Spec) []string
}

// A property of a collection, by the name it has in the API.
type property struct {
	name    string
	support func(Features) Support
	// text says what it is: "" if a Spec has no opinion, or a State does not know.
	text func(Properties) string
}

// properties in the order in which people are told of them.
var properties = []property{
	{"dim", immutable, func(p Properties) string { return positive(p.Dim) }},
	{"distance", immutable, func(p Properties) string { return string(p.Distance) }},
	{"tenancy", tenancy, func(p Properties) string { return string(p.Tenancy) }},
	{"index.type", func(f Features) Support { return f.Index }, func(p Properties) string { return string(p.Index) }},
	{"index.m", func(f Features) Support { return f.M }, func(p Properties) string { return optional(p.M) }},
	{"index.efConstruction", func(f Features) Support { return f.EfConstruction }, func(p Properties) string { return optional(p.EfConstruction) }},
	{"index.ef", func(f Features) Support { return f.Ef }, func(p Properties) string { return optional(p.Ef) }},
	{"shards", func(f Features) Support { return f.Shards }, func(p Properties) string { return optional(p.Shards) }},
	{"replicas", func(f Features) Support { return f.Replicas }, func(p Properties) string { return optional(p.Replicas) }},
	{"quantization", func(f Features) Support { return f.Quantization }, func(p Properties) string { return string(p.Quantization) }},
	{"onDisk", func(f Features) Support { return f.OnDisk }, func(p Properties) string { return optional(p.OnDisk) }},
	{"indexedFields", func(f Features) Support { return f.IndexedFields }, func(p Properties) string { return fields(p.IndexedFields) }},
}

func immutable(Features) Support { return AtCreation }

func tenancy(f Features) Support {
	if len(f.Tenancies) == 0 {
		return Never
	}

	return AtCreation
}

func positive(n int32) string {
	if n == 0 {
		return ""
	}

	return fmt.Sprint(n)
}

func optional[T any](v *T) string {
	if v == nil {
		return ""
	}

	return fmt.Sprint(*v)
}

func fields(fs []Field) string {
	if fs == nil {
		return ""
	}

	names := make([]string, len(fs))
	for i, f := range fs {
		names[i] = f.Name + ":" + string(f.Type)
	}

	slices.Sort(names)

	return "[" + strings.Join(names, " ") + "]"
}

// Check returns an Unsupported error that names all that a store cannot do of what a Spec and its aliases ask for, or nil.
func (f Features) Check(s Spec, aliases ...string) error {
	var cannot []string

	if s.Dim > f.MaxDim {
		cannot = append(cannot, fmt.Sprintf("dim %d is more than its largest, %d", s.Dim, f.MaxDim))
	}

	for _, n := range append([]string{s.Name}, aliases...) {
		if len(n) > f.MaxName {
			cannot = append(cannot, fmt.Sprintf("the name %q is longer than %d bytes", n, f.MaxName))
		}
	}

	cannot = append(cannot, notAmong("distance", s.Distance, f.Distances)...)
	cannot = append(cannot, notAmong("index.type", s.Index, f.Indexes)...)
	cannot = append(cannot, notAmong("quantization", s.Quantization, f.Quantizations)...)
	cannot = append(cannot, notAmong("tenancy", s.Tenancy, f.Tenancies)...)

	for _, field := range s.IndexedFields {
		if f.IndexedFields != Never {
			cannot = append(cannot, notAmong("the type of indexedFields "+field.Name, field.Type, f.FieldTypes)...)
		}
	}

	for _, p := range properties {
		if p.support(f) == Never && p.text(s.Properties) != "" && !meansNothing(p.name, s.Properties) {
			cannot = append(cannot, p.name+" cannot be chosen")
		}
	}

	if len(aliases) > 0 && !f.Aliases {
		cannot = append(cannot, "it has no aliases")
	}

	if f.Limits != nil && len(cannot) == 0 {
		cannot = append(cannot, f.Limits(s)...)
	}

	if len(cannot) > 0 {
		return Errorf(Unsupported, "the store cannot do what is asked for: %s", strings.Join(cannot, "; "))
	}

	return nil
}

// meansNothing says that a property which a store does not have is asked for in the one way that every store does it.
func meansNothing(name string, p Properties) bool {
	switch name {
	case "quantization":
		return p.Quantization == QuantizationNone
	case "tenancy":
		return p.Tenancy == Single
	case "indexedFields":
		return len(p.IndexedFields) == 0
	case "shards":
		return *p.Shards == 1
	case "replicas":
		return *p.Replicas == 1
	default:
		return false
	}
}

func notAmong[T ~string](name string, v T, all []T) []string {
	if v == "" || len(all) == 0 || slices.Contains(all, v) {
		return nil
	}

	texts := make([]string, len(all))
	for i, a := range all {
		texts[i] = string(a)
	}

	return []string{fmt.Sprintf("%s %s is not one of %s", name, v, strings.Join(texts, ", "))}
}
