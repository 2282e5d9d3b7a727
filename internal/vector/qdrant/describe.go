package qdrant

import (
	"cmp"
	"context"
	"math"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// Describe implements vector.Driver.
func (d *driver) Describe(ctx context.Context, name string) (vector.State, error) {
	r, err := d.collections.Get(ctx, &pb.GetCollectionInfoRequest{CollectionName: name})
	if err != nil {
		return vector.State{}, failed(err)
	}

	info := r.GetResult()

	aliases, err := d.aliases(ctx, name, stampOf(info).collection == name)
	if err != nil {
		return vector.State{}, err
	}

	st, err := state(info)
	if err != nil {
		return vector.State{}, err
	}

	st.Aliases = aliases

	if st.ShardsTotal > 1 {
		c, err := d.collections.CollectionClusterInfo(ctx, &pb.CollectionClusterInfoRequest{CollectionName: name})
		if err != nil {
			return vector.State{}, failed(err)
		}

		st.ShardsReady, st.ShardsTotal = health(c, st.ShardsTotal)
	}

	return st, nil
}

// aliases of a collection. If what was found by a name may be an alias' collection, NotFound if it is.
func (d *driver) aliases(ctx context.Context, name string, certain bool) ([]string, error) {
	var (
		r   *pb.ListAliasesResponse
		err error
	)

	if certain {
		r, err = d.collections.ListCollectionAliases(ctx, &pb.ListCollectionAliasesRequest{CollectionName: name})
	} else {
		r, err = d.collections.ListAliases(ctx, &pb.ListAliasesRequest{})
	}

	if err != nil {
		return nil, failed(err)
	}

	var names []string

	for _, a := range r.GetAliases() {
		if a.GetAliasName() == name {
			return nil, vector.Errorf(vector.NotFound, "there is no collection %q, but an alias of %q", name, a.GetCollectionName())
		}

		if a.GetCollectionName() == name {
			names = append(names, a.GetAliasName())
		}
	}

	slices.Sort(names)

	return names, nil
}

// state returns what Qdrant tells of a collection. Unsupported if its vectors have names.
func state(info *pb.CollectionInfo) (vector.State, error) {
	c := info.GetConfig()

	v := c.GetParams().GetVectorsConfig().GetParams()
	if v == nil {
		return vector.State{}, vector.Errorf(vector.Unsupported, "the vectors of the collection have names: only collections of one unnamed vector can be managed")
	}

	s := stampOf(info)
	count := clamp[int64](info.GetPointsCount())
	shards, replicas := clamp[int32](max(c.GetParams().GetShardNumber(), 1)), clamp[int32](max(c.GetParams().GetReplicationFactor(), 1))

	st := vector.State{
		Owner: s.owner,
		Properties: vector.Properties{
			Dim:           clamp[int32](v.GetSize()),
			Distance:      distanceOf(v.GetDistance()),
			Shards:        &shards,
			Replicas:      &replicas,
			Quantization:  quantizationOf(cmp.Or(v.GetQuantizationConfig(), c.GetQuantizationConfig())),
			OnDisk:        pb.PtrOf(v.GetOnDisk()),
			IndexedFields: fieldsOf(info.GetPayloadSchema()),
		},
		Vectors: &count, Approximate: true,
		// Qdrant asks each shard before it answers. If that is one, it is there.
		ShardsReady: shards * replicas, ShardsTotal: shards * replicas,
	}

	st.Index, st.M, st.EfConstruction = graph(c.GetHnswConfig(), v.GetHnswConfig())
	st.Tenancy, st.Unfinished = tenancyOf(info.GetPayloadSchema(), s.tenancy)
	st.IndexState, st.IndexProgress = progress(info, st.Index)

	return st, nil
}

// graph returns an index by what is said of all vectors of a collection and, going before it, of the one.
func graph(all, one *pb.HnswConfigDiff) (vector.IndexType, *int32, *int32) {
	pick := func(get func(*pb.HnswConfigDiff) *uint64) *uint64 {
		for _, c := range []*pb.HnswConfigDiff{one, all} {
			if c != nil && get(c) != nil {
				return get(c)
			}
		}

		return nil
	}

	m := pick(func(c *pb.HnswConfigDiff) *uint64 { return c.M })
	if m == nil || *m == 0 {
		// Without a graph of all vectors there may be one for each value of an indexed field.
		m = pick(func(c *pb.HnswConfigDiff) *uint64 { return c.PayloadM })
	}

	if m == nil || *m == 0 {
		return vector.Flat, nil, nil
	}

	links, ef := clamp[int32](*m), pick(func(c *pb.HnswConfigDiff) *uint64 { return c.EfConstruct })
	if ef == nil {
		return vector.HNSW, &links, nil
	}

	return vector.HNSW, &links, pb.PtrOf(clamp[int32](*ef))
}

// progress returns how far the index is. Grey is what a restart leaves: there is work, and nobody began it.
func progress(info *pb.CollectionInfo, index vector.IndexType) (vector.IndexState, *int32) {
	switch {
	case info.GetStatus() == pb.CollectionStatus_Red, info.GetOptimizerStatus() != nil && !info.GetOptimizerStatus().GetOk():
		return vector.IndexFailed, nil
	case index == vector.Flat:
		return vector.IndexAbsent, nil
	case info.GetStatus() == pb.CollectionStatus_Green:
		return vector.IndexReady, pb.PtrOf[int32](100)
	case info.GetPointsCount() == 0:
		return vector.IndexBuilding, nil
	default:
		done := 100 * min(info.GetIndexedVectorsCount(), info.GetPointsCount()) / info.GetPointsCount()

		return vector.IndexBuilding, pb.PtrOf(clamp[int32](min(done, 99)))
	}
}

// health returns how many shards can serve, of how many there are or should be.
func health(c *pb.CollectionClusterInfoResponse, wanted int32) (ready, total int32) {
	count := func(s pb.ReplicaState) {
		total++

		if s == pb.ReplicaState_Active || s == pb.ReplicaState_ActiveRead {
			ready++
		}
	}

	for _, s := range c.GetLocalShards() {
		count(s.GetState())
	}

	for _, s := range c.GetRemoteShards() {
		count(s.GetState())
	}

	return ready, max(total, wanted)
}

// clamp converts a number to one that may be smaller.
func clamp[T int32 | int64, F uint32 | uint64](v F) T {
	most := uint64(math.MaxInt64)
	if _, small := any(T(0)).(int32); small {
		most = math.MaxInt32
	}

	return T(min(uint64(v), most))
}
