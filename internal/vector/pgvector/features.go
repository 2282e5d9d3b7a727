package pgvector

import (
	"fmt"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// The largest dimensions: of a column, and of one with an index (pgvector's README, for vector and for halfvec).
const (
	maxDim        = 16000
	maxIndexed    = 2000
	maxIndexedFor = 4000 // halfvec
)

// Features of PostgreSQL with pgvector.
var Features = vector.Features{
	MaxDim: maxDim, MaxName: 63,
	Distances:     []vector.Distance{vector.Cosine, vector.Dot, vector.L2},
	Indexes:       []vector.IndexType{vector.HNSW, vector.IVFFlat, vector.Flat},
	Quantizations: []vector.Quantization{vector.QuantizationNone, vector.Half},
	Tenancies:     []vector.Tenancy{vector.Single, vector.Multi},
	FieldTypes:    []vector.FieldType{vector.Keyword, vector.Text, vector.Integer, vector.Float, vector.Boolean},
	Index:         vector.Always, M: vector.Always, EfConstruction: vector.Always,
	Quantization: vector.AtCreation, IndexedFields: vector.Always,
	Stamp: true, Aliases: true, Grants: true,
	Limits: limits,
}

// limits says what an index cannot do at a dimension.
func limits(s vector.Spec) []string {
	switch {
	case s.Index == vector.Flat, s.Index == "" && s.Dim > maxIndexedFor:
		return nil
	case s.Dim > maxIndexedFor:
		return []string{fmt.Sprintf("an index holds at most %d dimensions, and dim is %d: set index.type: Flat", maxIndexedFor, s.Dim)}
	case s.Dim > maxIndexed && s.Quantization == vector.QuantizationNone:
		return []string{fmt.Sprintf("an index holds at most %d dimensions of 32 bits, and dim is %d: set quantization: Half, or index.type: Flat", maxIndexed, s.Dim)}
	default:
		return nil
	}
}

// resolve chooses what a Spec has no opinion on.
func resolve(s vector.Spec) vector.Spec {
	if s.Index == "" {
		s.Index = vector.HNSW
		if s.Dim > maxIndexedFor {
			s.Index = vector.Flat
		}
	}

	if s.Quantization == "" {
		s.Quantization = vector.QuantizationNone
		if s.Index != vector.Flat && s.Dim > maxIndexed {
			s.Quantization = vector.Half
		}
	}

	if s.Distance == "" {
		s.Distance = vector.Cosine
	}

	if s.Tenancy == "" {
		s.Tenancy = vector.Single
	}

	if s.Index != vector.HNSW {
		return s
	}

	if s.M == nil {
		s.M = number(defaultM)
	}

	if s.EfConstruction == nil {
		s.EfConstruction = number(max(defaultEfConstruction, 2**s.M))
	}

	return s
}

// pgvector's defaults for HNSW. Its efConstruction must be at least twice m.
const (
	defaultM              = 16
	defaultEfConstruction = 64
)

func number(n int32) *int32 { return &n }
