package memvector

import (
	"testing"

	"github.com/southwest-ai/agent-operator/internal/vector/vectortest"
)

func TestConformance(t *testing.T) {
	s := NewStore()
	vectortest.Run(t, vectortest.Harness{Backend: s.Backend(), Insert: s.Insert, Search: s.Search, MaxReplicas: 3})
}
