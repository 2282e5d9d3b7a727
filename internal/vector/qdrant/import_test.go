package qdrant_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/qdrant"
	"github.com/southwest-ai/agent-operator/internal/vector/qdrant/qdranttest"
)

// dial returns a connection as other programs have it.
func dial(t *testing.T, s *qdranttest.Server) *grpc.ClientConn {
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

	return conn
}

// TestImport takes over a collection that somebody else made, with what is said of its vectors said of the one vector, and
// leaves alone what has no name here.
func TestImport(t *testing.T) {
	s, d := start(t, qdranttest.Options{})
	conn := dial(t, s)
	cs, ps := pb.NewCollectionsClient(conn), pb.NewPointsClient(conn)

	_, err := cs.Create(t.Context(), &pb.CreateCollection{
		CollectionName: spec().Name,
		VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{
			Size: 8, Distance: pb.Distance_Manhattan, HnswConfig: &pb.HnswConfigDiff{M: pb.PtrOf[uint64](24)},
			QuantizationConfig: pb.NewQuantizationBinary(&pb.BinaryQuantization{}),
		}),
		HnswConfig:         &pb.HnswConfigDiff{EfConstruct: pb.PtrOf[uint64](200)},
		QuantizationConfig: pb.NewQuantizationScalar(&pb.ScalarQuantization{Type: pb.QuantizationType_Int8}),
		Metadata:           map[string]*pb.Value{"theirs": pb.NewValueString("kept")},
	})
	if err != nil {
		t.Fatal(err)
	}

	for name, f := range map[string]*pb.CreateFieldIndexCollection{
		"place": {FieldType: pb.PtrOf(pb.FieldType_FieldTypeGeo)},
		"group": {
			FieldType:        pb.PtrOf(pb.FieldType_FieldTypeKeyword),
			FieldIndexParams: pb.NewPayloadIndexParamsKeyword(&pb.KeywordIndexParams{IsTenant: pb.PtrOf(true)}),
		},
	} {
		f.CollectionName, f.FieldName = spec().Name, name
		if _, err := ps.CreateFieldIndex(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}

	want := vector.State{
		Properties: vector.Properties{
			Dim: 8, Distance: "Manhattan", Index: vector.HNSW, M: pb.PtrOf[int32](24), EfConstruction: pb.PtrOf[int32](200),
			Shards: pb.PtrOf[int32](1), Replicas: pb.PtrOf[int32](1), Quantization: vector.Binary, OnDisk: pb.PtrOf(false),
			Tenancy: vector.Multi, IndexedFields: []vector.Field{{Name: "group", Type: vector.Keyword}},
		},
		Vectors: new(int64), Approximate: true, IndexState: vector.IndexReady, IndexProgress: pb.PtrOf[int32](100),
		ShardsReady: 1, ShardsTotal: 1,
	}

	have := describe(t, d)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Fatalf("-want, +got:\n%s", diff)
	}

	next := vector.Spec{Name: spec().Name, Owner: "team/coder", Properties: vector.Properties{
		Dim: 8, Index: vector.Flat, Quantization: vector.QuantizationNone, IndexedFields: have.IndexedFields,
	}}
	if err := d.Alter(t.Context(), next, have); err != nil {
		t.Fatal(err)
	}

	want.Owner, want.Index, want.M, want.EfConstruction, want.Quantization = "team/coder", vector.Flat, nil, nil, vector.QuantizationNone
	want.IndexState, want.IndexProgress = vector.IndexAbsent, nil

	if diff := cmp.Diff(want, describe(t, d)); diff != "" {
		t.Errorf("-want, +got, after Alter:\n%s", diff)
	}

	r, err := cs.Get(t.Context(), &pb.GetCollectionInfoRequest{CollectionName: spec().Name})
	if err != nil {
		t.Fatal(err)
	}

	if r.GetResult().GetConfig().GetMetadata()["theirs"].GetStringValue() != "kept" || r.GetResult().GetPayloadSchema()["place"] == nil {
		t.Errorf("what is not ours was touched: %v", r.GetResult())
	}
}

// TestRequests: what each call costs, and that an alias is known for one whoever made its collection.
func TestRequests(t *testing.T) {
	s, d := start(t, qdranttest.Options{Nodes: 2})
	al := d.(vector.Aliaser)
	two := int32(2)

	plain := vector.Spec{Name: "plain", Owner: "team/plain", Properties: vector.Properties{Dim: 8}}
	sharded := vector.Spec{Name: "sharded", Owner: "team/sharded", Properties: vector.Properties{Dim: 8, Shards: &two}}
	plain.Shards = pb.PtrOf[int32](1)

	_, err := pb.NewCollectionsClient(dial(t, s)).Create(t.Context(), &pb.CreateCollection{
		CollectionName: "foreign", ShardNumber: pb.PtrOf[uint32](1), VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{Size: 8, Distance: pb.Distance_Dot}),
	})
	if err != nil {
		t.Fatal(err)
	}

	s.Calls()

	look := func(name string) func() error {
		return func() error {
			_, err := d.Describe(t.Context(), name)

			return err
		}
	}

	steps := []struct {
		name string
		call func() error
		kind vector.Kind
		want map[string]int
	}{
		{"create", func() error { return d.Create(t.Context(), plain) }, "", map[string]int{"Qdrant/HealthCheck": 1, "Collections/Create": 1}},
		{"create another", func() error { return d.Create(t.Context(), sharded) }, "", map[string]int{"Collections/Create": 1}},
		{"describe", look("plain"), "", map[string]int{"Collections/Get": 1, "Collections/ListCollectionAliases": 1}},
		{"describe shards", look("sharded"), "", map[string]int{"Collections/Get": 1, "Collections/ListCollectionAliases": 1, "Collections/CollectionClusterInfo": 1}},
		{"describe another's", look("foreign"), "", map[string]int{"Collections/Get": 1, "Collections/ListAliases": 1}},
		{"describe nothing", look("nothing"), vector.NotFound, map[string]int{"Collections/Get": 1}},
		{"alias", func() error { return al.PointAlias(t.Context(), "alias", "plain") }, "", map[string]int{"Collections/UpdateAliases": 1}},
		{"describe an alias", look("alias"), vector.NotFound, map[string]int{"Collections/Get": 1, "Collections/ListAliases": 1}},
		{"alias of another's", func() error { return al.PointAlias(t.Context(), "alias", "foreign") }, "", map[string]int{"Collections/UpdateAliases": 1}},
		{"describe that", look("alias"), vector.NotFound, map[string]int{"Collections/Get": 1, "Collections/ListAliases": 1}},
		{"no alias of nothing", func() error { return al.PointAlias(t.Context(), "alias", "nothing") }, vector.NotFound, map[string]int{"Collections/UpdateAliases": 1}},
		{"it is still there", look("alias"), vector.NotFound, map[string]int{"Collections/Get": 1, "Collections/ListAliases": 1}},
		{"alter", func() error {
			next := plain
			next.M, next.OnDisk, next.Owner, next.Replicas, next.Quantization = &two, pb.PtrOf(true), "team/next", &two, vector.Product

			return d.Alter(t.Context(), next, vector.State{Owner: plain.Owner, Properties: plain.Properties})
		}, "", map[string]int{"Collections/Update": 1}},
		{"alter nothing", func() error {
			return d.Alter(t.Context(), plain, vector.State{Owner: plain.Owner, Properties: plain.Properties})
		}, "", map[string]int{}},
		{"drop", func() error { return d.Drop(t.Context(), "plain") }, "", map[string]int{"Collections/Delete": 1}},
	}

	for _, st := range steps {
		if err := st.call(); vector.KindOf(err) != st.kind {
			t.Errorf("%s: %v (%s), want %q", st.name, err, vector.KindOf(err), st.kind)
		}

		if diff := cmp.Diff(st.want, s.Calls()); diff != "" {
			t.Errorf("%s: -want, +got requests:\n%s", st.name, diff)
		}
	}
}

// TestProgress: an index is built some time after the vectors came, and it is said how far it is.
func TestProgress(t *testing.T) {
	s, d := start(t, qdranttest.Options{IndexTime: 300 * time.Millisecond, IndexingThreshold: 1})
	a := newAgent(t, s)

	if err := d.Create(t.Context(), spec()); err != nil {
		t.Fatal(err)
	}

	if err := a.insert(t.Context(), spec().Name, vector.Access{}, 8, 40); err != nil {
		t.Fatal(err)
	}

	if st := describe(t, d); st.IndexState != vector.IndexBuilding || *st.IndexProgress != 0 || *st.Vectors != 40 {
		t.Errorf("just after the vectors came: %+v", st)
	}

	for end := time.Now().Add(10 * time.Second); describe(t, d).IndexState != vector.IndexReady; {
		if time.Now().After(end) {
			t.Fatal("the index is never ready")
		}
	}

	if st := describe(t, d); *st.IndexProgress != 100 {
		t.Errorf("when the index is there: %+v", st)
	}
}

// TestHealth: shards that cannot serve are counted, and so are those that nobody made.
func TestHealth(t *testing.T) {
	s, d := start(t, qdranttest.Options{Nodes: 2})
	two, three := int32(2), int32(3)

	sp := vector.Spec{Name: spec().Name, Properties: vector.Properties{Dim: 8, Shards: &two, Replicas: &two}}
	if err := d.Create(t.Context(), sp); err != nil {
		t.Fatal(err)
	}

	check := func(when string, ready, total int32) {
		t.Helper()

		if st := describe(t, d); st.ShardsReady != ready || st.ShardsTotal != total {
			t.Errorf("%s: %d of %d are ready, want %d of %d", when, st.ShardsReady, st.ShardsTotal, ready, total)
		}
	}

	check("at first", 4, 4)
	s.SetReplica(sp.Name, pb.ReplicaState_Dead)
	check("when a node died", 2, 4)
	s.SetReplica(sp.Name, pb.ReplicaState_Active)

	more := sp
	more.Replicas = &three

	if err := d.Alter(t.Context(), more, describe(t, d)); err != nil {
		t.Fatal(err)
	}

	check("when more are wanted, and nobody makes them", 4, 6)
}

// TestLimits: what the table of features allows, and Qdrant does not.
func TestLimits(t *testing.T) {
	number := func(n int32) *int32 { return &n }

	cases := map[string]struct {
		reason string
		spec   vector.Properties
		says   string
	}{
		"Graph":     {reason: "A graph of its smallest.", spec: vector.Properties{Index: vector.HNSW, M: number(1), EfConstruction: number(4)}},
		"FlatM":     {reason: "Flat is without links.", spec: vector.Properties{Index: vector.Flat, M: number(16)}, says: "index.m and index.efConstruction"},
		"NoLinks":   {reason: "Zero links is Flat by another name.", spec: vector.Properties{M: number(0)}, says: "choose index.type Flat"},
		"SmallEf":   {reason: "Qdrant takes 4 at least.", spec: vector.Properties{EfConstruction: number(3)}, says: "at least 4"},
		"Tenant":    {reason: "It is indexed already.", spec: vector.Properties{Tenancy: vector.Multi, IndexedFields: []vector.Field{{Name: "tenant", Type: vector.Keyword}}}, says: "leave it out"},
		"NoTenants": {reason: "It is a field like others.", spec: vector.Properties{IndexedFields: []vector.Field{{Name: "tenant", Type: vector.Integer}}}},
		"Ef":        {reason: "It is said in each search.", spec: vector.Properties{Ef: number(64)}, says: "index.ef cannot be chosen"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.spec.Dim = 8

			err := qdrant.Features.Check(vector.Spec{Name: "x", Properties: tc.spec})
			if (err != nil) != (tc.says != "") || err != nil && (!vector.Is(err, vector.Unsupported) || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("%s\nCheck: %v, want %q", tc.reason, err, tc.says)
			}
		})
	}
}
