package qdrant

import (
	"fmt"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// Features of Qdrant.
var Features = vector.Features{
	MaxDim:        65536,
	MaxName:       255,
	Distances:     []vector.Distance{vector.Cosine, vector.Dot, vector.L2},
	Indexes:       []vector.IndexType{vector.HNSW, vector.Flat},
	Quantizations: []vector.Quantization{vector.QuantizationNone, vector.Scalar, vector.Binary, vector.Product},
	Tenancies:     []vector.Tenancy{vector.Single, vector.Multi},
	FieldTypes:    []vector.FieldType{vector.Keyword, vector.Text, vector.Integer, vector.Float, vector.Boolean, vector.Datetime},
	Index:         vector.Always, M: vector.Always, EfConstruction: vector.Always, Ef: vector.Never,
	Shards: vector.AtCreation, Replicas: vector.Always, Quantization: vector.Always, OnDisk: vector.Always, IndexedFields: vector.Always,
	Stamp: true, Aliases: true, Grants: true,
	Limits: limits,
}

const (
	// tenantField has the payload index of collections of several tenants.
	tenantField = "tenant"
	// leastEf is the smallest ef_construct that Qdrant takes.
	leastEf = 4
	// defaultM is Qdrant's, for a graph in a collection that had none.
	defaultM = 16
)

// limits returns what Qdrant cannot do of a Spec that the table of features allows.
func limits(s vector.Spec) []string {
	var cannot []string

	if s.Index == vector.Flat && (s.M != nil || s.EfConstruction != nil) {
		cannot = append(cannot, "index.m and index.efConstruction are for index.type HNSW, not Flat")
	}

	if s.M != nil && *s.M < 1 {
		cannot = append(cannot, "index.m must be at least 1: for no graph choose index.type Flat")
	}

	if s.EfConstruction != nil && *s.EfConstruction < leastEf {
		cannot = append(cannot, fmt.Sprintf("index.efConstruction must be at least %d", leastEf))
	}

	for _, f := range s.IndexedFields {
		if f.Name == tenantField && s.Tenancy == vector.Multi {
			cannot = append(cannot, fmt.Sprintf("indexedFields %s is indexed already, with tenancy Multi: leave it out", tenantField))
		}
	}

	return cannot
}
