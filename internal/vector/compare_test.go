package vector

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// all is a store that heeds everything, a third of it at any time.
var all = Features{
	Distances: []Distance{Cosine, Dot, L2}, Tenancies: []Tenancy{Single, Multi},
	Index: AtCreation, M: Always, EfConstruction: Growing, Ef: Always, Shards: AtCreation, Replicas: Always,
	Quantization: Growing, OnDisk: Growing, IndexedFields: Growing, Stamp: true,
}

func TestCompare(t *testing.T) {
	unstamped := all
	unstamped.Stamp = false

	cases := map[string]struct {
		reason    string
		features  Features
		want      Spec
		have      State
		diff      Difference
		immutable string
	}{
		"Same": {
			reason: "What is as it should be does not differ.", features: all,
			want: Spec{Owner: "o", Properties: Properties{Dim: 8, M: ptr(int32(4)), IndexedFields: []Field{{"a", Text}, {"b", Text}}}},
			have: State{Owner: "o", Properties: Properties{Dim: 8, M: ptr(int32(4)), IndexedFields: []Field{{"b", Text}, {"a", Text}}}},
		},
		"NoOpinion": {
			reason: "What nobody asked for, and what nobody knows, is no difference.", features: all,
			want: Spec{Properties: Properties{Dim: 8, Distance: Dot, Ef: ptr(int32(4))}},
			have: State{Properties: Properties{Index: HNSW, M: ptr(int32(4)), OnDisk: ptr(true), IndexedFields: []Field{{"a", Text}}}},
		},
		"Immutable": {
			reason: "Both values are named.", features: all,
			want: Spec{Properties: Properties{Dim: 8, Distance: Dot, Index: HNSW, Shards: ptr(int32(2)), Tenancy: Multi}},
			have: State{Properties: Properties{Dim: 16, Distance: L2, Index: Flat, Shards: ptr(int32(1)), Tenancy: Single}},
			diff: Difference{Immutable: []Change{
				{"dim", "8", "16"}, {"distance", "Dot", "L2"}, {"tenancy", "Multi", "Single"}, {"index.type", "HNSW", "Flat"}, {"shards", "2", "1"},
			}},
			immutable: "dim is 16 and should be 8, distance is L2 and should be Dot, tenancy is Single and should be Multi, index.type is Flat and should be HNSW, " +
				"shards is 1 and should be 2, which cannot change: correct the spec, or make another collection and re-embed",
		},
		"Mutable": {
			reason: "What can change is told apart, and so is the owner.", features: all,
			want: Spec{Owner: "me", Properties: Properties{M: ptr(int32(8)), Replicas: ptr(int32(1))}},
			have: State{Properties: Properties{M: ptr(int32(4)), Replicas: ptr(int32(2))}},
			diff: Difference{Mutable: []Change{{"index.m", "8", "4"}, {"replicas", "1", "2"}, {"owner", "me", "nobody"}}},
		},
		"Grows": {
			reason: "What grows can be added to.", features: all,
			want: Spec{Properties: Properties{EfConstruction: ptr(int32(8)), Quantization: Scalar, OnDisk: ptr(true), IndexedFields: []Field{{"a", Text}, {"b", Text}}}},
			have: State{Properties: Properties{EfConstruction: ptr(int32(4)), Quantization: QuantizationNone, OnDisk: ptr(false), IndexedFields: []Field{{"b", Text}}}},
			diff: Difference{Mutable: []Change{
				{"index.efConstruction", "8", "4"}, {"quantization", "Scalar", "None"}, {"onDisk", "true", "false"}, {"indexedFields", "[a:Text b:Text]", "[b:Text]"},
			}},
		},
		"Shrinks": {
			reason: "What grows does not shrink, and a field does not become another.", features: all,
			want: Spec{Properties: Properties{EfConstruction: ptr(int32(4)), Quantization: Binary, OnDisk: ptr(false), IndexedFields: []Field{{"a", Text}, {"b", Text}}}},
			have: State{Properties: Properties{EfConstruction: ptr(int32(8)), Quantization: Scalar, OnDisk: ptr(true), IndexedFields: []Field{{"b", Keyword}}}},
			diff: Difference{Immutable: []Change{
				{"index.efConstruction", "4", "8"}, {"quantization", "Binary", "Scalar"}, {"onDisk", "false", "true"}, {"indexedFields", "[a:Text b:Text]", "[b:Keyword]"},
			}},
			immutable: "index.efConstruction is 8 and should be 4, quantization is Scalar and should be Binary, onDisk is true and should be false, " +
				"indexedFields is [b:Keyword] and should be [a:Text b:Text], which cannot change: correct the spec, or make another collection and re-embed",
		},
		"Unheeded": {
			reason: "What a store does not heed it is not asked for: Check has refused it.", features: Features{},
			want: Spec{Owner: "o", Properties: Properties{M: ptr(int32(8)), Quantization: Scalar}},
			have: State{Properties: Properties{M: ptr(int32(4)), Quantization: QuantizationNone}},
		},
		"Released": {
			reason: "Nobody is an owner like any other.", features: all,
			have: State{Owner: "me"},
			diff: Difference{Mutable: []Change{{"owner", "nobody", "me"}}},
		},
		"Unstamped": {
			reason: "A store without a place for owners has none.", features: unstamped, want: Spec{Owner: "me"},
		},
		"Unfinished": {
			reason: "A creation that was cut short is to be finished.", features: all,
			have: State{Unfinished: true},
			diff: Difference{Mutable: []Change{{"creation", "finished", "unfinished"}}},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := tc.features.Compare(tc.want, tc.have)
			if diff := cmp.Diff(tc.diff, got); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}

			err, text := got.Err(), ""
			if err != nil {
				text = err.Error()
			}

			if diff := cmp.Diff(tc.immutable, text); diff != "" || (err != nil) != Is(err, ImmutableMismatch) {
				t.Errorf("%s\n-want, +got an error of kind %q:\n%s", tc.reason, KindOf(err), diff)
			}
		})
	}
}

func TestLateInit(t *testing.T) {
	chosen := Properties{
		Dim: 8, Distance: Cosine, Index: HNSW, M: ptr(int32(1)), EfConstruction: ptr(int32(2)), Ef: ptr(int32(3)), Shards: ptr(int32(4)),
		Replicas: ptr(int32(5)), Quantization: Scalar, OnDisk: ptr(true), Tenancy: Single, IndexedFields: []Field{{"f", Text}},
	}
	asked := Properties{
		Dim: 9, Distance: Dot, Index: Flat, M: ptr(int32(6)), EfConstruction: ptr(int32(6)), Ef: ptr(int32(6)), Shards: ptr(int32(6)),
		Replicas: ptr(int32(6)), Quantization: Half, OnDisk: ptr(false), Tenancy: Multi, IndexedFields: []Field{},
	}
	taken := chosen
	taken.Dim, taken.IndexedFields = 0, nil

	cases := map[string]struct {
		reason           string
		asks, have, want Properties
	}{
		"NoOpinion": {
			reason: "What the store chose is taken over, but for the dimension, which nobody leaves to it, and for fields, which it does not choose.",
			have:   chosen, want: taken,
		},
		"Opinion": {reason: "What was asked for stays.", asks: asked, have: chosen, want: asked},
		"Unknown": {reason: "What nobody knows stays open.", asks: Properties{Dim: 3}, want: Properties{Dim: 3}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, LateInit(tc.asks, tc.have)); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// anyProperties draws properties, of few values each so that two of them often agree.
func anyProperties(t *rapid.T, label string) Properties {
	number := func(name string) *int32 { return rapid.Ptr(rapid.Int32Range(1, 3), true).Draw(t, label+name) }

	return Properties{
		Dim:      rapid.Int32Range(0, 2).Draw(t, label+"dim"),
		Distance: rapid.SampledFrom([]Distance{"", Cosine, Dot}).Draw(t, label+"distance"),
		Index:    rapid.SampledFrom([]IndexType{"", HNSW, Flat}).Draw(t, label+"index"),
		M:        number("m"), EfConstruction: number("efConstruction"), Ef: number("ef"), Shards: number("shards"), Replicas: number("replicas"),
		Quantization: rapid.SampledFrom([]Quantization{"", QuantizationNone, Scalar}).Draw(t, label+"quantization"),
		OnDisk:       rapid.Ptr(rapid.Bool(), true).Draw(t, label+"onDisk"),
		Tenancy:      rapid.SampledFrom([]Tenancy{"", Single, Multi}).Draw(t, label+"tenancy"),
		IndexedFields: rapid.SampledFrom([][]Field{
			nil, {}, {{"a", Text}}, {{"b", Text}}, {{"a", Text}, {"b", Text}}, {{"a", Keyword}},
		}).Draw(t, label+"fields"),
	}
}

// anyFeatures draws what a store heeds.
func anyFeatures(t *rapid.T) Features {
	support := func(name string) Support {
		return rapid.SampledFrom([]Support{Never, AtCreation, Growing, Always}).Draw(t, name)
	}

	return Features{
		Index: support("Index"), M: support("M"), EfConstruction: support("EfConstruction"), Ef: support("Ef"), Shards: support("Shards"),
		Replicas: support("Replicas"), Quantization: support("Quantization"), OnDisk: support("OnDisk"), IndexedFields: support("IndexedFields"),
		Tenancies: []Tenancy{Single, Multi}, Stamp: rapid.Bool().Draw(t, "stamp"),
	}
}

// TestLateInitAddsNoDifference: completing a spec by what there is neither makes a difference nor hides one, so that
// nothing that was left to the store is ever altered.
func TestLateInitAddsNoDifference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := anyFeatures(t)
		want := Spec{Owner: rapid.SampledFrom([]string{"", "me"}).Draw(t, "owner"), Properties: anyProperties(t, "want ")}
		have := State{Properties: anyProperties(t, "have ")}

		before := f.Compare(want, have)
		want.Properties = LateInit(want.Properties, have.Properties)

		if diff := cmp.Diff(before, f.Compare(want, have)); diff != "" {
			t.Fatalf("-before, +after:\n%s", diff)
		}

		if diff := cmp.Diff(want.Properties, LateInit(want.Properties, have.Properties)); diff != "" {
			t.Fatalf("the second time it is another:\n%s", diff)
		}
	})
}

// TestFewerOpinionsFewerDifferences: who asks for less differs in less, and who asks for what there is differs in nothing.
func TestFewerOpinionsFewerDifferences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := anyFeatures(t)
		want, have := Spec{Properties: anyProperties(t, "want ")}, State{Properties: anyProperties(t, "have ")}
		d := f.Compare(want, have)

		less := want
		less.M, less.Index, less.IndexedFields = nil, "", nil
		fewer := f.Compare(less, have)

		for _, c := range fewer.Mutable {
			if !slices.Contains(d.Mutable, c) {
				t.Fatalf("%v came with an opinion that went", c)
			}
		}

		for _, c := range fewer.Immutable {
			if !slices.Contains(d.Immutable, c) {
				t.Fatalf("%v came with an opinion that went", c)
			}
		}

		if d := f.Compare(Spec{Properties: have.Properties}, have); len(d.Mutable)+len(d.Immutable) > 0 {
			t.Fatalf("a collection differs from itself: %v %v", d.Immutable, d.Mutable)
		}
	})
}
