package milvustest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/milvus-io/milvus-proto/go-api/v2/commonpb"
	"github.com/milvus-io/milvus-proto/go-api/v2/milvuspb"
	"github.com/milvus-io/milvus-proto/go-api/v2/schemapb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"

	"github.com/southwest-ai/agent-operator/internal/vector/milvus/milvustest"
)

// client of a server.
type client struct {
	milvuspb.MilvusServiceClient

	t *testing.T
}

func connect(t *testing.T, s *milvustest.Server) client {
	t.Helper()

	conn, err := grpc.NewClient(s.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { conn.Close() })

	return client{milvuspb.NewMilvusServiceClient(conn), t}
}

// create makes a collection, of two columns unless they are given, and returns the code of the answer.
func (c client) create(name, description string, more ...*schemapb.FieldSchema) int32 {
	c.t.Helper()

	sc := &schemapb.CollectionSchema{Name: name, Description: description, Fields: append([]*schemapb.FieldSchema{
		{Name: "id", DataType: schemapb.DataType_Int64, IsPrimaryKey: true},
		{Name: "v", DataType: schemapb.DataType_FloatVector, TypeParams: kvs("dim", "8")},
	}, more...)}

	b, err := proto.Marshal(sc)
	if err != nil {
		c.t.Fatal(err)
	}

	return c.code(c.CreateCollection(c.t.Context(), &milvuspb.CreateCollectionRequest{CollectionName: name, Schema: b}))
}

func (c client) index(name string, params ...string) int32 {
	c.t.Helper()

	return c.code(c.CreateIndex(c.t.Context(), &milvuspb.CreateIndexRequest{CollectionName: name, FieldName: "v", ExtraParams: kvs(params...)}))
}

func (c client) load(name string, replicas int32) int32 {
	c.t.Helper()

	return c.code(c.LoadCollection(c.t.Context(), &milvuspb.LoadCollectionRequest{CollectionName: name, ReplicaNumber: replicas}))
}

func (c client) alias(alias, name string) int32 {
	c.t.Helper()

	return c.code(c.CreateAlias(c.t.Context(), &milvuspb.CreateAliasRequest{Alias: alias, CollectionName: name}))
}

func (c client) drop(name string) int32 {
	c.t.Helper()

	return c.code(c.DropCollection(c.t.Context(), &milvuspb.DropCollectionRequest{CollectionName: name}))
}

func (c client) add(name string, f *schemapb.FieldSchema) int32 {
	c.t.Helper()

	b, err := proto.Marshal(f)
	if err != nil {
		c.t.Fatal(err)
	}

	return c.code(c.AddCollectionField(c.t.Context(), &milvuspb.AddCollectionFieldRequest{CollectionName: name, Schema: b}))
}

func (c client) set(name string, params ...string) int32 {
	c.t.Helper()

	return c.code(c.AlterCollection(c.t.Context(), &milvuspb.AlterCollectionRequest{CollectionName: name, Properties: kvs(params...)}))
}

func (c client) replicas(ctx context.Context, name string) int32 {
	c.t.Helper()

	r, err := c.GetReplicas(ctx, &milvuspb.GetReplicasRequest{CollectionName: name})

	return c.code(r.GetStatus(), err)
}

func (c client) code(s *commonpb.Status, err error) int32 {
	c.t.Helper()

	if err != nil {
		c.t.Fatal(err)
	}

	return s.GetCode()
}

func kvs(params ...string) []*commonpb.KeyValuePair {
	var out []*commonpb.KeyValuePair
	for i := 0; i+1 < len(params); i += 2 {
		out = append(out, &commonpb.KeyValuePair{Key: params[i], Value: params[i+1]})
	}

	return out
}

// TestRules: the rules that a driver may run into, by the codes that Milvus has for them; 0 is success.
func TestRules(t *testing.T) {
	hnsw := []string{"index_type", "HNSW", "metric_type", "COSINE", "M", "16", "efConstruction", "64"}

	cases := map[string]struct {
		reason string
		do     func(c client) []int32
		want   []int32
	}{
		"Again":   {"A creation with equal parameters is a repetition.", func(c client) []int32 { return []int32{c.create("a", "x"), c.create("a", "x")} }, []int32{0, 0}},
		"Another": {"One with others is refused, without a code of its own.", func(c client) []int32 { return []int32{c.create("a", "x"), c.create("a", "y")} }, []int32{0, 65535}},
		"Dash":    {"A name has no dash.", func(c client) []int32 { return []int32{c.create("a-b", "")} }, []int32{1100}},
		"OneDim":  {"A vector has two dimensions at least.", func(c client) []int32 { return []int32{c.create("a", "", vectors("w", "1"))} }, []int32{1100}},
		"MaxDim": {"And 32768 at most.", func(c client) []int32 {
			return []int32{c.create("a", "", vectors("w", "32768")), c.create("b", "", vectors("w", "32769"))}
		}, []int32{0, 1100}},
		"Keyword": {"Some names are words of the filter language.", func(c client) []int32 {
			return []int32{c.create("a", "", &schemapb.FieldSchema{Name: "like", DataType: schemapb.DataType_Bool})}
		}, []int32{1701}},
		"NoLength": {"A text has a length.", func(c client) []int32 {
			return []int32{c.create("a", "", &schemapb.FieldSchema{Name: "x", DataType: schemapb.DataType_VarChar})}
		}, []int32{1100}},
		"Bare":  {"Without an index on the vectors nothing is loaded.", func(c client) []int32 { return []int32{c.create("a", ""), c.load("a", 1)} }, []int32{0, 700}},
		"Nodes": {"A replica takes a node.", func(c client) []int32 { return []int32{c.create("a", ""), c.index("a", hnsw...), c.load("a", 3)} }, []int32{0, 0, 12}},
		"Indexed": {"The same index again is no error, another is.", func(c client) []int32 {
			return []int32{c.create("a", ""), c.index("a", hnsw...), c.index("a", hnsw...), c.index("a", "index_type", "FLAT", "metric_type", "COSINE")}
		}, []int32{0, 0, 0, 65535}},
		"Param": {"A parameter has a range, and belongs to an index.", func(c client) []int32 {
			return []int32{c.create("a", ""), c.index("a", "index_type", "HNSW", "metric_type", "L2", "M", "1"), c.index("a", "index_type", "FLAT", "metric_type", "L2", "M", "16")}
		}, []int32{0, 1100, 1100}},
		"Product": {"The parts of product quantization are equal.", func(c client) []int32 {
			return []int32{c.create("a", ""), c.index("a", "index_type", "IVF_PQ", "metric_type", "L2", "m", "3"), c.index("a", "index_type", "IVF_PQ", "metric_type", "L2", "m", "4")}
		}, []int32{0, 1100, 0}},
		"DiskMap": {"An index on disk is not mapped into memory.", func(c client) []int32 {
			return []int32{c.create("a", ""), c.index("a", "index_type", "DISKANN", "metric_type", "L2", "mmap.enabled", "true")}
		}, []int32{0, 1100}},
		"Clash": {"An alias has no name of a collection.", func(c client) []int32 { return []int32{c.create("a", ""), c.create("b", ""), c.alias("b", "a")} }, []int32{0, 0, 1601}},
		"Moved": {"An alias is not moved by creating it again.", func(c client) []int32 {
			return []int32{c.create("a", ""), c.create("b", ""), c.alias("x", "a"), c.alias("x", "a"), c.alias("x", "b")}
		}, []int32{0, 0, 0, 0, 1602}},
		"Nothing": {"An alias is for what there is.", func(c client) []int32 { return []int32{c.alias("x", "a")} }, []int32{100}},
		"Taken":   {"A collection has no name of an alias.", func(c client) []int32 { return []int32{c.create("a", ""), c.alias("x", "a"), c.create("x", "")} }, []int32{0, 0, 65535}},
		"Aliased": {"A collection is not dropped while it has an alias, nor by that.", func(c client) []int32 {
			return []int32{c.create("a", ""), c.alias("x", "a"), c.drop("a"), c.drop("x"), c.drop("never")}
		}, []int32{0, 0, 65535, 1600, 0}},
		"Added": {"A column that is added may be null and is no vector.", func(c client) []int32 {
			return []int32{
				c.create("a", ""), c.add("a", &schemapb.FieldSchema{Name: "x", DataType: schemapb.DataType_Bool}),
				c.add("a", vectors("w", "8")), c.add("a", &schemapb.FieldSchema{Name: "x", DataType: schemapb.DataType_Bool, Nullable: true}),
				c.add("a", &schemapb.FieldSchema{Name: "x", DataType: schemapb.DataType_Bool, Nullable: true}),
			}
		}, []int32{0, 1100, 1100, 0, 1100}},
		"Mapped": {"What is loaded is not mapped otherwise.", func(c client) []int32 {
			return []int32{c.create("a", ""), c.set("a", "mmap.enabled", "true"), c.index("a", hnsw...), c.load("a", 1), c.set("a", "mmap.enabled", "false"), c.set("a", "other", "1")}
		}, []int32{0, 0, 0, 0, 104, 0}},
		"Loaded": {"What is not loaded has no replicas, and what is loaded keeps its index.", func(c client) []int32 {
			codes := []int32{c.create("a", ""), c.index("a", hnsw...), c.replicas(c.t.Context(), "a"), c.load("a", 2), c.replicas(c.t.Context(), "a")}

			return append(codes, c.code(c.DropIndex(c.t.Context(), &milvuspb.DropIndexRequest{CollectionName: "a", IndexName: "v"})))
		}, []int32{0, 0, 400, 0, 0, 1100}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := tc.do(connect(t, milvustest.Start(t, milvustest.Options{QueryNodes: 2})))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want, +got codes:\n%s", tc.reason, diff)
			}
		})
	}
}

func vectors(name, dim string) *schemapb.FieldSchema {
	return &schemapb.FieldSchema{Name: name, DataType: schemapb.DataType_FloatVector, TypeParams: kvs("dim", dim)}
}

// TestLater: loading and building say that all is well before they are done.
func TestLater(t *testing.T) {
	c := connect(t, milvustest.Start(t, milvustest.Options{LoadTime: 50 * time.Millisecond, BuildTime: 50 * time.Millisecond}))
	if got := []int32{c.create("a", ""), c.index("a", "index_type", "FLAT", "metric_type", "IP"), c.load("a", 1), c.replicas(t.Context(), "a")}; !cmp.Equal(got, []int32{0, 0, 0, 401}) {
		t.Fatalf("while it is loaded: %v", got)
	}

	r, err := c.Insert(t.Context(), &milvuspb.InsertRequest{CollectionName: "a", NumRows: 1, FieldsData: []*schemapb.FieldData{
		{FieldName: "id"}, {FieldName: "v", Field: &schemapb.FieldData_Vectors{Vectors: &schemapb.VectorField{
			Dim: 8, Data: &schemapb.VectorField_FloatVector{FloatVector: &schemapb.FloatArray{Data: make([]float32, 8)}},
		}}},
	}})
	if code := c.code(r.GetStatus(), err); code != 0 {
		t.Fatal(r.GetStatus())
	}

	states := map[commonpb.IndexState]bool{}

	for end := time.Now().Add(5 * time.Second); !states[commonpb.IndexState_Finished] && time.Now().Before(end); {
		i, err := c.DescribeIndex(t.Context(), &milvuspb.DescribeIndexRequest{CollectionName: "a"})
		if err != nil || len(i.GetIndexDescriptions()) != 1 {
			t.Fatal(i, err)
		}

		states[i.GetIndexDescriptions()[0].GetState()] = true
	}

	want := map[commonpb.IndexState]bool{commonpb.IndexState_InProgress: true, commonpb.IndexState_Finished: true}
	if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(states)); diff != "" || c.replicas(t.Context(), "a") != 0 {
		t.Errorf("states of the index, and replicas %d: -want, +got:\n%s", c.replicas(t.Context(), "a"), diff)
	}
}
