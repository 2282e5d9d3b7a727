package vector

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// small is a store that can do little.
var small = Features{
	MaxDim: 100, MaxName: 5,
	Distances:     []Distance{Cosine, L2},
	Indexes:       []IndexType{HNSW, Flat},
	Quantizations: []Quantization{QuantizationNone, Scalar},
	Tenancies:     []Tenancy{Single},
	FieldTypes:    []FieldType{Keyword},
	Index:         AtCreation, M: Always, Quantization: Growing, IndexedFields: Growing,
	Stamp: true,
	Limits: func(s Spec) []string {
		if s.Index == Flat && s.Quantization == Scalar {
			return []string{"a flat index has no quantization: leave one out"}
		}

		return nil
	},
}

func ptr[T any](v T) *T { return &v }

func TestCheck(t *testing.T) {
	const cannot = "the store cannot do what is asked for: "

	bare := small
	bare.Tenancies, bare.IndexedFields, bare.Quantization, bare.Index = nil, Never, Never, Never

	cases := map[string]struct {
		reason   string
		features Features
		spec     Spec
		aliases  []string
		want     string
	}{
		"NoOpinion": {
			reason: "Who asks for nothing gets what the store does.", features: small, spec: Spec{Name: "a"},
		},
		"AllItCan": {
			reason: "The largest is not too large.", features: small,
			spec: Spec{Name: "abcde", Properties: Properties{
				Dim: 100, Distance: L2, Index: HNSW, M: ptr(int32(8)), Quantization: Scalar, Tenancy: Single, IndexedFields: []Field{{"f", Keyword}},
			}},
		},
		"NothingInOneWord": {
			reason: "What every store does the same way may be said to a store that has no such thing.", features: bare,
			spec: Spec{Properties: Properties{
				Shards: ptr(int32(1)), Replicas: ptr(int32(1)), Quantization: QuantizationNone, Tenancy: Single, IndexedFields: []Field{},
			}},
		},
		"NothingOfThat": {
			reason: "What a store does not have is never left out in silence, and all of it is told at once.", features: bare,
			spec: Spec{Properties: Properties{
				Index: HNSW, EfConstruction: ptr(int32(8)), Ef: ptr(int32(8)), Shards: ptr(int32(2)), Replicas: ptr(int32(2)),
				Quantization: Scalar, OnDisk: ptr(false), Tenancy: Multi, IndexedFields: []Field{{"f", Keyword}},
			}},
			want: cannot + "tenancy cannot be chosen; index.type cannot be chosen; index.efConstruction cannot be chosen; index.ef cannot be chosen; " +
				"shards cannot be chosen; replicas cannot be chosen; quantization cannot be chosen; onDisk cannot be chosen; indexedFields cannot be chosen",
		},
		"NotAmong": {
			reason: "Who asks for what there is not is told what there is.", features: small,
			spec: Spec{Properties: Properties{Distance: Dot, Index: DiskANN, Quantization: Half, Tenancy: Multi, IndexedFields: []Field{{"f", Text}}}},
			want: cannot + "distance Dot is not one of Cosine, L2; index.type DiskANN is not one of HNSW, Flat; quantization Half is not one of None, Scalar; " +
				"tenancy Multi is not one of Single; the type of indexedFields f Text is not one of Keyword",
		},
		"TooLarge": {
			reason: "Dimensions and names have an end.", features: small,
			spec: Spec{Name: "abcdef", Properties: Properties{Dim: 101}}, aliases: []string{"ghijkl"},
			want: cannot + `dim 101 is more than its largest, 100; the name "abcdef" is longer than 5 bytes; the name "ghijkl" is longer than 5 bytes; it has no aliases`,
		},
		"Limits": {
			reason: "What no table can say, the driver says.", features: small,
			spec: Spec{Properties: Properties{Index: Flat, Quantization: Scalar}},
			want: cannot + "a flat index has no quantization: leave one out",
		},
		"LimitsLast": {
			reason: "Limits may rely on it that the rest is right.", features: small,
			spec: Spec{Properties: Properties{Dim: 101, Index: Flat, Quantization: Scalar}},
			want: cannot + "dim 101 is more than its largest, 100",
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := tc.features.Check(tc.spec, tc.aliases...)

			got := ""
			if err != nil {
				got = err.Error()
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}

			if (err != nil) != Is(err, Unsupported) {
				t.Errorf("%s\nthe kind is %q", tc.reason, KindOf(err))
			}
		})
	}
}
