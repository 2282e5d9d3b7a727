package vector

import (
	"fmt"
	"slices"
	"strings"
)

// A Change is a property that is not as it is wanted.
type Change struct {
	// Property is its name in the API.
	Property   string
	Want, Have string
}

// String tells of a change in words.
func (c Change) String() string {
	return fmt.Sprintf("%s is %s and should be %s", c.Property, c.Have, c.Want)
}

// A Difference is what separates a collection from what is wanted of it.
type Difference struct {
	// Immutable differences cannot be removed: the collection stays as it is.
	Immutable []Change
	// Mutable differences can.
	Mutable []Change
}

// Compare returns in what a collection differs from a Spec. What the Spec has no opinion on, and what the State does not
// know, is no difference.
func (f Features) Compare(want Spec, have State) Difference {
	var d Difference

	for _, p := range properties {
		c := Change{Property: p.name, Want: p.text(want.Properties), Have: p.text(have.Properties)}

		switch {
		case c.Want == "" || c.Have == "" || c.Want == c.Have:
		case p.support(f) == Always, p.support(f) == Growing && grows(have.Properties, want.Properties, p.name):
			d.Mutable = append(d.Mutable, c)
		case p.support(f) != Never:
			d.Immutable = append(d.Immutable, c)
		}
	}

	if have.Unfinished {
		d.Mutable = append(d.Mutable, Change{Property: "creation", Want: "finished", Have: "unfinished"})
	}

	if f.Stamp && want.Owner != have.Owner {
		d.Mutable = append(d.Mutable, Change{Property: "owner", Want: orNobody(want.Owner), Have: orNobody(have.Owner)})
	}

	return d
}

// grows says that a property becomes another by adding to it.
func grows(from, to Properties, name string) bool {
	switch name {
	case "index.type":
		return from.Index == Flat
	case "index.m":
		return *to.M > *from.M
	case "index.efConstruction":
		return *to.EfConstruction > *from.EfConstruction
	case "index.ef":
		return *to.Ef > *from.Ef
	case "shards":
		return *to.Shards > *from.Shards
	case "replicas":
		return *to.Replicas > *from.Replicas
	case "quantization":
		return from.Quantization == QuantizationNone
	case "onDisk":
		return *to.OnDisk
	case "indexedFields":
		return !slices.ContainsFunc(from.IndexedFields, func(f Field) bool { return !slices.Contains(to.IndexedFields, f) })
	default:
		return false
	}
}

func orNobody(owner string) string {
	if owner == "" {
		return "nobody"
	}

	return owner
}

// Err returns an ImmutableMismatch that names what is wanted and what is there, or nil.
func (d Difference) Err() error {
	if len(d.Immutable) == 0 {
		return nil
	}

	return Errorf(ImmutableMismatch, "%s, which cannot change: correct the spec, or make another collection and re-embed", list(d.Immutable))
}

// String tells of the mutable differences in words, for a log or a change log.
func (d Difference) String() string { return list(d.Mutable) }

func list(cs []Change) string {
	texts := make([]string, len(cs))
	for i, c := range cs {
		texts[i] = c.String()
	}

	return strings.Join(texts, ", ")
}

// LateInit returns wanted properties completed by what the store chose where they have no opinion.
func LateInit(want, have Properties) Properties {
	out := want

	fill(&out.Distance, have.Distance)
	fill(&out.Index, have.Index)
	fill(&out.M, have.M)
	fill(&out.EfConstruction, have.EfConstruction)
	fill(&out.Ef, have.Ef)
	fill(&out.Shards, have.Shards)
	fill(&out.Replicas, have.Replicas)
	fill(&out.Quantization, have.Quantization)
	fill(&out.OnDisk, have.OnDisk)
	fill(&out.Tenancy, have.Tenancy)

	return out
}

func fill[T comparable](into *T, v T) {
	var zero T
	if *into == zero {
		*into = v
	}
}
