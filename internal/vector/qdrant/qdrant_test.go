package qdrant

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "github.com/qdrant/go-client/qdrant"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// TestTokenBytes makes a token of which another implementation (a script of Python's hmac) made the same.
func TestTokenBytes(t *testing.T) {
	got, err := token("secret-of-16-bytes", []string{"coder-memory"})
	if err != nil {
		t.Fatal(err)
	}

	const want = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJhY2Nlc3MiOlt7ImNvbGxlY3Rpb24iOiJjb2Rlci1tZW1vcnkiLCJhY2Nlc3MiOiJydyJ9XX0.sTN8P5LoLT8f8KnZ7Ml8rN5zUqc4LPS6uhvf2CZW8Ow"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

func TestState(t *testing.T) {
	n := func(v uint64) *uint64 { return &v }
	i := func(v int32) *int32 { return &v }

	cases := map[string]struct {
		reason        string
		hnsw, one     *pb.HnswConfigDiff
		index         vector.IndexType
		m, efc        *int32
		status        pb.CollectionStatus
		points, ready uint64
		broken        bool
		state         vector.IndexState
		progress      *int32
	}{
		"Green":        {reason: "All is done.", hnsw: &pb.HnswConfigDiff{M: n(16), EfConstruct: n(100)}, index: vector.HNSW, m: i(16), efc: i(100), status: pb.CollectionStatus_Green, points: 9, state: vector.IndexReady, progress: i(100)},
		"Yellow":       {reason: "It is worked on.", hnsw: &pb.HnswConfigDiff{M: n(16)}, index: vector.HNSW, m: i(16), status: pb.CollectionStatus_Yellow, points: 300, ready: 100, state: vector.IndexBuilding, progress: i(33)},
		"MoreThanAll":  {reason: "Both numbers are estimates.", hnsw: &pb.HnswConfigDiff{M: n(16)}, index: vector.HNSW, m: i(16), status: pb.CollectionStatus_Yellow, points: 300, ready: 400, state: vector.IndexBuilding, progress: i(99)},
		"Grey":         {reason: "It waits for the first write after a restart.", hnsw: &pb.HnswConfigDiff{M: n(16)}, index: vector.HNSW, m: i(16), status: pb.CollectionStatus_Grey, state: vector.IndexBuilding},
		"Red":          {reason: "It gave up.", hnsw: &pb.HnswConfigDiff{M: n(16)}, index: vector.HNSW, m: i(16), status: pb.CollectionStatus_Red, state: vector.IndexFailed},
		"Optimizer":    {reason: "Those who build gave up.", hnsw: &pb.HnswConfigDiff{M: n(16)}, index: vector.HNSW, m: i(16), status: pb.CollectionStatus_Green, broken: true, state: vector.IndexFailed},
		"OfTheVector":  {reason: "What is said of the vector goes before.", hnsw: &pb.HnswConfigDiff{M: n(16), EfConstruct: n(100)}, one: &pb.HnswConfigDiff{M: n(0), PayloadM: n(0)}, index: vector.Flat, status: pb.CollectionStatus_Green, state: vector.IndexAbsent},
		"PerTenant":    {reason: "There is a graph for each tenant.", hnsw: &pb.HnswConfigDiff{M: n(0), PayloadM: n(16)}, index: vector.HNSW, m: i(16), status: pb.CollectionStatus_Green, state: vector.IndexReady, progress: i(100)},
		"NothingKnown": {reason: "It is not told.", index: vector.Flat, status: pb.CollectionStatus_Green, state: vector.IndexAbsent},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := state(&pb.CollectionInfo{
				Status: tc.status, OptimizerStatus: &pb.OptimizerStatus{Ok: !tc.broken}, PointsCount: &tc.points, IndexedVectorsCount: &tc.ready,
				Config: &pb.CollectionConfig{
					HnswConfig: tc.hnsw,
					Params:     &pb.CollectionParams{ShardNumber: 1, VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{Size: 8, Distance: pb.Distance_Euclid, HnswConfig: tc.one})},
				},
			})
			if err != nil {
				t.Fatal(err)
			}

			count, off := clamp[int64](tc.points), false
			want := vector.State{
				Properties: vector.Properties{
					Dim: 8, Distance: vector.L2, Index: tc.index, M: tc.m, EfConstruction: tc.efc, Shards: i(1), Replicas: i(1),
					Quantization: vector.QuantizationNone, OnDisk: &off, Tenancy: vector.Single, IndexedFields: []vector.Field{},
				},
				Vectors: &count, Approximate: true, IndexState: tc.state, IndexProgress: tc.progress, ShardsReady: 1, ShardsTotal: 1,
			}

			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}

	named := &pb.CollectionInfo{Config: &pb.CollectionConfig{Params: &pb.CollectionParams{
		VectorsConfig: pb.NewVectorsConfigMap(map[string]*pb.VectorParams{"title": {Size: 8}}),
	}}}
	if _, err := state(named); !vector.Is(err, vector.Unsupported) {
		t.Errorf("vectors with names: %v (%s)", err, vector.KindOf(err))
	}
}

func TestOld(t *testing.T) {
	cases := map[string]struct {
		reason, version string
		want            bool
	}{
		"Before":  {"Metadata came after it.", "1.15.5", true},
		"First":   {"It has them.", "1.16.0", false},
		"Later":   {"They stay.", "1.20.0-dev", false},
		"Next":    {"They stay.", "2.0.1", false},
		"Ancient": {"A version before versions were serious.", "0.11.7", true},
		"Odd":     {"Somebody's own build knows best.", "dev", false},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := old(tc.version); got != tc.want {
				t.Errorf("%s\nold(%q) = %v", tc.reason, tc.version, got)
			}
		})
	}
}
