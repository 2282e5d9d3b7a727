package milvus_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/milvus-io/milvus-proto/go-api/v2/commonpb"
	"github.com/milvus-io/milvus-proto/go-api/v2/milvuspb"
	"github.com/milvus-io/milvus-proto/go-api/v2/schemapb"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/milvus"
	"github.com/southwest-ai/agent-operator/internal/vector/milvus/milvustest"
	"github.com/southwest-ai/agent-operator/internal/vector/vectortest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const rootPassword = "Milvus-of-the-tests"

var root = vector.Access{User: "root", Password: rootPassword}

// TestConformance runs the suite that all drivers pass, over a server that loads and builds when it has time.
func TestConformance(t *testing.T) {
	s := milvustest.Start(t, milvustest.Options{
		RootPassword: rootPassword, QueryNodes: 2, LoadTime: 5 * time.Millisecond, BuildTime: 20 * time.Millisecond,
	})
	a := newAgent(t, s)

	vectortest.Run(t, vectortest.Harness{
		Backend: vector.Backend{Features: milvus.Features, Open: milvus.Open},
		Config:  vector.Config{Endpoint: "http://" + s.Address(), Access: root},
		Insert:  a.insert,
		Search:  a.search,
		// It is loaded a moment after it is made.
		Settle:      5 * time.Second,
		MaxReplicas: 2,
	})
}

// An agent writes and searches as agents do, with a client of its own.
type agent struct {
	c    milvuspb.MilvusServiceClient
	name func(string) string
}

func newAgent(t *testing.T, s *milvustest.Server) *agent {
	t.Helper()

	conn, err := grpc.NewClient(s.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { conn.Close() })

	d, err := milvus.Open(vector.Config{Endpoint: "http://" + s.Address()})
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(d.Close)

	return &agent{c: milvuspb.NewMilvusServiceClient(conn), name: d.(vector.Namer).StoreName}
}

func as(ctx context.Context, a vector.Access) context.Context {
	if a == (vector.Access{}) {
		a = root
	}

	return metadata.AppendToOutgoingContext(ctx, "authorization", base64.StdEncoding.EncodeToString([]byte(a.User+":"+a.Password)))
}

func (a *agent) insert(ctx context.Context, collection string, who vector.Access, dim, n int) error {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s-%d", collection, time.Now().UnixNano()+int64(i))
	}

	r, err := a.c.Insert(as(ctx, who), &milvuspb.InsertRequest{
		CollectionName: a.name(collection), NumRows: uint32(n),
		FieldsData: []*schemapb.FieldData{
			{
				FieldName: "id", Type: schemapb.DataType_VarChar,
				Field: &schemapb.FieldData_Scalars{Scalars: &schemapb.ScalarField{Data: &schemapb.ScalarField_StringData{StringData: &schemapb.StringArray{Data: ids}}}},
			},
			{
				FieldName: "embedding", Type: schemapb.DataType_FloatVector,
				Field: &schemapb.FieldData_Vectors{Vectors: &schemapb.VectorField{
					Dim: int64(dim), Data: &schemapb.VectorField_FloatVector{FloatVector: &schemapb.FloatArray{Data: make([]float32, dim*n)}},
				}},
			},
		},
	})

	return answer(r.GetStatus(), err)
}

func (a *agent) search(ctx context.Context, name string, who vector.Access, dim int) (int, error) {
	v := make([]byte, 4*dim)
	for i := range dim {
		binary.LittleEndian.PutUint32(v[4*i:], math.Float32bits(1))
	}

	group, err := proto.Marshal(&commonpb.PlaceholderGroup{Placeholders: []*commonpb.PlaceholderValue{
		{Tag: "$0", Type: commonpb.PlaceholderType_FloatVector, Values: [][]byte{v}},
	}})
	if err != nil {
		return 0, err
	}

	r, err := a.c.Search(as(ctx, who), &milvuspb.SearchRequest{
		CollectionName: a.name(name), Nq: 1, DslType: commonpb.DslType_BoolExprV1,
		SearchInput:  &milvuspb.SearchRequest_PlaceholderGroup{PlaceholderGroup: group},
		SearchParams: []*commonpb.KeyValuePair{{Key: "anns_field", Value: "embedding"}, {Key: "topk", Value: "10"}},
	})

	return int(r.GetResults().GetTopK()), answer(r.GetStatus(), err)
}

func answer(s *commonpb.Status, err error) error {
	if err == nil && s.GetCode() != 0 {
		err = errors.New(s.GetReason())
	}

	return err
}
