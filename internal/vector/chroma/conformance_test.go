//go:build integration

package chroma

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/vectortest"
	"github.com/southwest-ai/agent-operator/internal/vector/vectortest/servers"
)

func TestConformance(t *testing.T) {
	endpoint := servers.Chroma(t, t.TempDir())
	a := newAgent(t, endpoint)

	vectortest.Run(t, vectortest.Harness{
		Backend: vector.Backend{Features: Features, Open: Open},
		Config:  vector.Config{Endpoint: endpoint},
		Insert: func(ctx context.Context, collection string, _ vector.Access, dim, n int) error {
			return a.insert(ctx, collection, dim, n)
		},
		Search: func(ctx context.Context, name string, _ vector.Access, dim int) (int, error) {
			return a.search(ctx, name, dim)
		},
		DimLate: true,
	})
}

// An agent writes and searches vectors.
type agent struct {
	*driver

	ids atomic.Int64
}

func newAgent(t *testing.T, endpoint string) *agent {
	t.Helper()

	return &agent{driver: open(t, vector.Config{Endpoint: endpoint})}
}

func open(t *testing.T, c vector.Config) *driver {
	t.Helper()

	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(d.Close)

	return d.(*driver)
}

func (a *agent) insert(ctx context.Context, collection string, dim, n int) error {
	c, err := a.get(ctx, collection)
	if err != nil {
		return err
	}

	var records struct {
		IDs        []string    `json:"ids"`
		Embeddings [][]float32 `json:"embeddings"`
	}

	for range n {
		id := a.ids.Add(1)
		v := make([]float32, dim)
		v[0], v[dim-1] = float32(id), 1
		records.IDs = append(records.IDs, strconv.FormatInt(id, 10))
		records.Embeddings = append(records.Embeddings, v)
	}

	return a.do(ctx, http.MethodPost, "/"+c.ID+"/add", records, nil)
}

func (a *agent) search(ctx context.Context, name string, dim int) (int, error) {
	c, err := a.get(ctx, name)
	if err != nil {
		return 0, err
	}

	q := map[string]any{"query_embeddings": [][]float32{make([]float32, dim)}, "n_results": 10, "include": []string{}}

	var found struct {
		IDs [][]string `json:"ids"`
	}

	if err := a.do(ctx, http.MethodPost, "/"+c.ID+"/query", q, &found); err != nil {
		return 0, err
	}

	if len(found.IDs) != 1 {
		return 0, fmt.Errorf("one search has %d results", len(found.IDs))
	}

	return len(found.IDs[0]), nil
}
