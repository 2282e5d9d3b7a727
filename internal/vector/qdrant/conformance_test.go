package qdrant_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/qdrant"
	"github.com/southwest-ai/agent-operator/internal/vector/qdrant/qdranttest"
	"github.com/southwest-ai/agent-operator/internal/vector/vectortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const apiKey = "the-api-key-of-the-tests"

// TestConformance runs the suite that all drivers pass, over a cluster that indexes when it has time.
func TestConformance(t *testing.T) {
	s := qdranttest.Start(t, qdranttest.Options{
		APIKey: apiKey, Tokens: true, Nodes: 2, IndexTime: 20 * time.Millisecond, IndexingThreshold: 1,
	})
	a := newAgent(t, s)

	vectortest.Run(t, vectortest.Harness{
		Backend: vector.Backend{Features: qdrant.Features, Open: qdrant.Open},
		Config:  vector.Config{Endpoint: "http://" + s.Address(), Access: vector.Access{APIKey: apiKey}},
		Insert:  a.insert,
		Search:  a.search,
		// Payload indexes that are added later are built in the background.
		Settle:              5 * time.Second,
		MaxReplicas:         2,
		TokensOutliveRevoke: true,
	})
}

// An agent writes and searches as agents do, with a client of its own.
type agent struct {
	points pb.PointsClient
	last   atomic.Uint64
}

func newAgent(t *testing.T, s *qdranttest.Server) *agent {
	t.Helper()

	conn, err := grpc.NewClient(s.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})

	return &agent{points: pb.NewPointsClient(conn)}
}

func as(ctx context.Context, a vector.Access) context.Context {
	if a.APIKey == "" {
		a.APIKey = apiKey
	}

	return metadata.AppendToOutgoingContext(ctx, "api-key", a.APIKey)
}

func (a *agent) insert(ctx context.Context, collection string, who vector.Access, dim, n int) error {
	r := &pb.UpsertPoints{CollectionName: collection, Wait: pb.PtrOf(true)}
	for range n {
		r.Points = append(r.Points, &pb.PointStruct{Id: pb.NewIDNum(a.last.Add(1)), Vectors: pb.NewVectors(make([]float32, dim)...)})
	}

	_, err := a.points.Upsert(as(ctx, who), r)

	return err
}

func (a *agent) search(ctx context.Context, name string, who vector.Access, dim int) (int, error) {
	r, err := a.points.Query(as(ctx, who), &pb.QueryPoints{CollectionName: name, Query: pb.NewQuery(make([]float32, dim)...)})

	return len(r.GetResult()), err
}
