package main

import (
	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/vectorcollection"
	"github.com/southwest-ai/agent-operator/internal/vector/chroma"
	"github.com/southwest-ai/agent-operator/internal/vector/milvus"
	"github.com/southwest-ai/agent-operator/internal/vector/pgvector"
	"github.com/southwest-ai/agent-operator/internal/vector/qdrant"
	"github.com/southwest-ai/agent-operator/internal/vector/weaviate"
)

// stores returns the vector stores that this provider can reach: a driver each.
func stores() vectorcollection.Backends {
	return vectorcollection.Backends{
		v1alpha1.StorePGVector: {Features: pgvector.Features, Open: pgvector.Open},
		v1alpha1.StoreQdrant:   {Features: qdrant.Features, Open: qdrant.Open},
		v1alpha1.StoreWeaviate: {Features: weaviate.Features, Open: weaviate.Open},
		v1alpha1.StoreMilvus:   {Features: milvus.Features, Open: milvus.Open},
		v1alpha1.StoreChroma:   {Features: chroma.Features, Open: chroma.Open},
	}
}
