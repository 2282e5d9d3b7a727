package milvus_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/milvus-io/milvus-proto/go-api/v2/commonpb"
	"github.com/milvus-io/milvus-proto/go-api/v2/milvuspb"
	"github.com/milvus-io/milvus-proto/go-api/v2/schemapb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/milvus"
	"github.com/southwest-ai/agent-operator/internal/vector/milvus/milvustest"
)

// TestCrash dies after each request of a creation. Whatever is there carries the owner, says that it is unfinished, and is
// made whole by Alter; nothing is there twice.
func TestCrash(t *testing.T) {
	for _, last := range []string{"CreateCollection", "CreateIndex", "LoadCollection"} {
		t.Run(last, func(t *testing.T) {
			s := milvustest.Start(t, milvustest.Options{})
			d := open(t, vector.Config{Endpoint: "http://" + s.Address()})

			died := false

			s.Fail(func(_ context.Context, method string) error {
				died = died || method == last

				if died && method != "CreateCollection" {
					return status.Error(codes.Unavailable, "we died")
				}

				return nil
			})

			err := d.Create(t.Context(), spec())
			s.Fail(nil)

			if !vector.Is(err, vector.Unavailable) {
				t.Fatalf("Create: %v", err)
			}

			st := describe(t, d)
			if !st.Unfinished || st.Owner != spec().Owner {
				t.Errorf("unfinished %v, owner %q", st.Unfinished, st.Owner)
			}

			if diff := milvus.Features.Compare(spec(), st); diff.Err() != nil || len(diff.Mutable) == 0 {
				t.Errorf("nothing says that there is something to do: %v %v", diff, diff.Err())
			}

			if err := d.Create(t.Context(), spec()); !vector.Is(err, vector.Exists) {
				t.Errorf("Create again: %v", err)
			}

			if err := d.Alter(t.Context(), spec(), st); err != nil {
				t.Fatal(err)
			}

			want := describe(t, d)
			if diff := milvus.Features.Compare(spec(), want); diff.Err() != nil || len(diff.Mutable) > 0 || want.IndexState != vector.IndexReady {
				t.Errorf("after Alter: %v %v, index %s", diff, diff.Err(), want.IndexState)
			}
		})
	}
}

// TestReleased: a collection that somebody released cannot be searched, so it is loaded again, as it was.
func TestReleased(t *testing.T) {
	s := milvustest.Start(t, milvustest.Options{QueryNodes: 2})
	d := open(t, vector.Config{Endpoint: "http://" + s.Address()})
	a := newAgent(t, s)

	sp, two := spec(), int32(2)
	sp.Replicas = &two

	if err := d.Create(t.Context(), sp); err != nil {
		t.Fatal(err)
	}

	before := describe(t, d)

	if err := answer(a.c.ReleaseCollection(t.Context(), &milvuspb.ReleaseCollectionRequest{CollectionName: "coder__memory"})); err != nil {
		t.Fatal(err)
	}

	if st := describe(t, d); !st.Unfinished || st.ShardsReady != 0 || st.IndexState != vector.IndexBuilding {
		t.Errorf("released: unfinished %v, %d shards ready, index %s", st.Unfinished, st.ShardsReady, st.IndexState)
	}

	sp.Replicas = nil // Of which nobody has an opinion any more.
	if err := d.Alter(t.Context(), sp, before); err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(before, describe(t, d)); diff != "" {
		t.Errorf("-before, +after it was loaded again:\n%s", diff)
	}
}

// TestRequests: the poll of each collection and minute is what Milvus has to bear.
func TestRequests(t *testing.T) {
	s := milvustest.Start(t, milvustest.Options{})
	d := open(t, vector.Config{Endpoint: "http://" + s.Address()})

	if _, err := d.Describe(t.Context(), spec().Name); !vector.Is(err, vector.NotFound) {
		t.Fatal(err)
	}

	if diff := cmp.Diff(map[string]int{"DescribeCollection": 1}, s.Calls()); diff != "" {
		t.Errorf("Describe of nothing: -want, +got:\n%s", diff)
	}

	if err := d.Create(t.Context(), spec()); err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(map[string]int{"CreateCollection": 1, "CreateIndex": 2, "LoadCollection": 1}, s.Calls()); diff != "" {
		t.Errorf("Create: -want, +got:\n%s", diff)
	}

	describe(t, d)

	want := map[string]int{"DescribeCollection": 1, "DescribeIndex": 1, "GetReplicas": 1, "GetCollectionStatistics": 1}
	if diff := cmp.Diff(want, s.Calls()); diff != "" {
		t.Errorf("Describe: -want, +got:\n%s", diff)
	}
}

// TestImport: a collection that somebody made otherwise is described as far as we have words for it, and its owner is set
// without anything else being touched.
func TestImport(t *testing.T) {
	s := milvustest.Start(t, milvustest.Options{})
	d := open(t, vector.Config{Endpoint: "http://" + s.Address()})
	a := newAgent(t, s)

	columns, err := proto.Marshal(&schemapb.CollectionSchema{
		Name: "legacy", Description: "of the data team",
		Fields: []*schemapb.FieldSchema{
			{Name: "pk", DataType: schemapb.DataType_Int64, IsPrimaryKey: true, AutoID: true},
			{Name: "vec", DataType: schemapb.DataType_FloatVector, TypeParams: []*commonpb.KeyValuePair{{Key: "dim", Value: "768"}}},
			{Name: "title", DataType: schemapb.DataType_VarChar, TypeParams: []*commonpb.KeyValuePair{{Key: "max_length", Value: "100"}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}

	for _, err := range []error{
		answer(a.c.CreateCollection(t.Context(), &milvuspb.CreateCollectionRequest{CollectionName: "legacy", Schema: columns, ShardsNum: 2})),
		answer(a.c.CreateIndex(t.Context(), &milvuspb.CreateIndexRequest{CollectionName: "legacy", FieldName: "vec", ExtraParams: []*commonpb.KeyValuePair{
			{Key: "index_type", Value: "IVF_FLAT"}, {Key: "metric_type", Value: "L2"}, {Key: "nlist", Value: "1024"},
		}})),
		answer(a.c.LoadCollection(t.Context(), &milvuspb.LoadCollectionRequest{CollectionName: "legacy"})),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}

	one, two := int32(1), int32(2)
	want := vector.State{
		Properties: vector.Properties{
			Dim: 768, Distance: vector.L2, Index: vector.IVFFlat, Quantization: vector.QuantizationNone, Shards: &two, Replicas: &one,
			Tenancy: vector.Single, IndexedFields: []vector.Field{},
		},
		Vectors: new(int64), Approximate: true, IndexState: vector.IndexReady, ShardsReady: 2, ShardsTotal: 2,
	}

	got, err := d.Describe(t.Context(), "legacy")
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Fatalf("-want, +got: %v\n%s", err, diff)
	}

	sp := vector.Spec{Name: "legacy", Owner: "team/coder", Properties: vector.LateInit(vector.Properties{Dim: 768}, got.Properties)}
	if err := d.Alter(t.Context(), sp, got); err != nil {
		t.Fatal(err)
	}

	sp.IndexedFields = []vector.Field{{Name: "title", Type: vector.Integer}}
	if err := d.Alter(t.Context(), sp, got); !vector.Is(err, vector.ImmutableMismatch) {
		t.Errorf("a field of another type than the column: %v", err)
	}

	sp.IndexedFields[0].Type = vector.Keyword
	if err := d.Alter(t.Context(), sp, got); err != nil {
		t.Errorf("a field of the column's type: %v", err)
	}

	want.Owner, want.IndexedFields = sp.Owner, sp.IndexedFields
	got, err = d.Describe(t.Context(), "legacy")

	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("-want, +got: %v\n%s", err, diff)
	}
}

// TestReplicas: they are those that are there, and not those that were asked for, whether there are nodes for them or not.
func TestReplicas(t *testing.T) {
	s := milvustest.Start(t, milvustest.Options{QueryNodes: 2})
	d := open(t, vector.Config{Endpoint: "http://" + s.Address()})

	sp := spec()
	if err := d.Create(t.Context(), sp); err != nil {
		t.Fatal(err)
	}

	steps := []struct {
		want, have int32
		kind       vector.Kind
	}{{2, 2, ""}, {3, 2, vector.QuotaExceeded}, {1, 1, ""}}

	for _, step := range steps {
		sp.Replicas = &step.want

		err := d.Alter(t.Context(), sp, describe(t, d))
		if got := vector.KindOf(err); got != step.kind {
			t.Errorf("Alter to %d replicas: %v (%s), want %q", step.want, err, got, step.kind)
		}

		st := describe(t, d)
		if *st.Replicas != step.have || st.ShardsReady != step.have || st.Unfinished {
			t.Errorf("after %d replicas were asked for: %d, %d of %d ready, unfinished %v", step.want, *st.Replicas, st.ShardsReady, st.ShardsTotal, st.Unfinished)
		}
	}
}

// TestReplicasWhileLoading: another number of replicas is asked for while those before are still being loaded.
func TestReplicasWhileLoading(t *testing.T) {
	s := milvustest.Start(t, milvustest.Options{QueryNodes: 2, LoadTime: time.Hour})
	d := open(t, vector.Config{Endpoint: "http://" + s.Address()})

	sp := spec()
	if err := d.Create(t.Context(), sp); err != nil {
		t.Fatal(err)
	}

	for _, n := range []int32{2, 1} {
		s.Calls()

		sp.Replicas = &n
		for range 2 {
			if err := d.Alter(t.Context(), sp, describe(t, d)); err != nil {
				t.Fatal(err)
			}
		}

		st := describe(t, d)
		if *st.Replicas != n || st.Unfinished || st.ShardsReady != 0 || st.IndexState != vector.IndexBuilding {
			t.Errorf("of %d replicas: %+v", n, st)
		}

		if got := s.Calls()["LoadCollection"]; got != 1 {
			t.Errorf("%d replicas were asked for %d times", n, got)
		}
	}
}
