package milvus

import (
	"fmt"
	"slices"
	"strings"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// Features of Milvus.
var Features = vector.Features{
	MaxDim: 32768,
	// In Milvus it is 255, in which a name has room however it is spelled (see StoreName).
	MaxName:       100,
	Distances:     []vector.Distance{vector.Cosine, vector.Dot, vector.L2},
	Indexes:       []vector.IndexType{vector.HNSW, vector.IVFFlat, vector.DiskANN, vector.Flat},
	Quantizations: []vector.Quantization{vector.QuantizationNone, vector.Scalar, vector.Binary, vector.Product, vector.Half},
	Tenancies:     []vector.Tenancy{vector.Single, vector.Multi},
	FieldTypes:    []vector.FieldType{vector.Keyword, vector.Text, vector.Integer, vector.Float, vector.Boolean},
	Index:         vector.AtCreation, M: vector.AtCreation, EfConstruction: vector.AtCreation, Ef: vector.Never,
	Shards: vector.AtCreation, Replicas: vector.Always, Quantization: vector.AtCreation, OnDisk: vector.AtCreation,
	IndexedFields: vector.Growing,
	Stamp:         true, Aliases: true, Grants: true,
	Limits: limits,
}

// Columns that each collection has, and that of several tenants.
const (
	idColumn     = "id"
	vectorColumn = "embedding"
	tenantColumn = "tenant"
)

// product is how many dimensions product quantization makes one byte of.
const product = 4

// limits returns what Milvus cannot do of a Spec that the table of features allows.
func limits(s vector.Spec) []string {
	var cannot []string

	p := complete(s.Properties)

	if p.Dim == 1 {
		cannot = append(cannot, "dim 1 is less than its smallest, 2")
	}

	if _, ok := typeOf(p.Index, p.Quantization); !ok {
		cannot = append(cannot, fmt.Sprintf("index.type %s does not go with quantization %s, but %s", p.Index, p.Quantization, together(p.Index)))
	}

	if p.Index != vector.HNSW && (s.M != nil || s.EfConstruction != nil) {
		cannot = append(cannot, fmt.Sprintf("index.m and index.efConstruction are for index.type HNSW, not %s", p.Index))
	}

	if p.Quantization == vector.Product && p.Dim%product != 0 {
		cannot = append(cannot, fmt.Sprintf("quantization Product needs a dim that is a multiple of %d, not %d", product, p.Dim))
	}

	if p.Index == vector.DiskANN && !*p.OnDisk {
		cannot = append(cannot, "index.type DiskANN is on disk: onDisk cannot be false")
	}

	for _, f := range s.IndexedFields {
		if f.Name == idColumn || f.Name == vectorColumn || f.Name == tenantColumn {
			cannot = append(cannot, fmt.Sprintf("indexedFields %s is the name of a column of its own: choose another", f.Name))
		}
	}

	return cannot
}

// together returns the quantizations that go with an index, in words.
func together(i vector.IndexType) string {
	var qs []string

	for _, t := range types {
		if t.index == i && !slices.Contains(qs, string(t.quantization)) {
			qs = append(qs, string(t.quantization))
		}
	}

	return strings.Join(qs, ", ")
}
