package qdranttest

import (
	"context"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Get implements pb.CollectionsServer: it takes an alias for its collection, and does not say so.
func (s *Server) Get(_ context.Context, r *pb.GetCollectionInfoRequest) (*pb.GetCollectionInfoResponse, error) {
	c, err := s.find(r.GetCollectionName())
	if err != nil {
		return nil, err
	}

	state := pb.CollectionStatus_Green
	if time.Now().Before(c.busy) {
		state = pb.CollectionStatus_Yellow
	} else {
		c.indexed = c.large(s.opts)
	}

	schema := map[string]*pb.PayloadSchemaInfo{}

	for name, f := range c.fields {
		if !time.Now().Before(f.from) {
			schema[name] = f.info
		}
	}

	info := &pb.CollectionInfo{
		Status: state, OptimizerStatus: &pb.OptimizerStatus{Ok: true}, SegmentsCount: 2, Config: c.config, PayloadSchema: schema,
		PointsCount: count(len(c.points)), IndexedVectorsCount: count(c.indexed),
	}

	return &pb.GetCollectionInfoResponse{Result: proto.CloneOf(info)}, nil
}

// CollectionClusterInfo implements pb.CollectionsServer. This node is the first.
func (s *Server) CollectionClusterInfo(_ context.Context, r *pb.CollectionClusterInfoRequest) (*pb.CollectionClusterInfoResponse, error) {
	c, err := s.find(r.GetCollectionName())
	if err != nil {
		return nil, err
	}

	out := &pb.CollectionClusterInfoResponse{PeerId: 1, ShardCount: uint64(c.config.GetParams().GetShardNumber())}

	for shard := range c.config.GetParams().GetShardNumber() {
		out.LocalShards = append(out.LocalShards, &pb.LocalShardInfo{ShardId: shard, State: pb.ReplicaState_Active})

		for peer := uint32(2); peer <= c.placed; peer++ {
			out.RemoteShards = append(out.RemoteShards, &pb.RemoteShardInfo{ShardId: shard, PeerId: uint64(peer), State: c.others})
		}
	}

	return out, nil
}

// large returns how many points are worth an index: all, or none if there are few or nobody wants one.
func (c *collection) large(o Options) int {
	v := c.config.GetParams().GetVectorsConfig().GetParams()

	m := c.config.GetHnswConfig().GetM()
	if d := v.GetHnswConfig(); d != nil && d.M != nil {
		m = d.GetM()
	}

	const bytesOfNumber, kB = 4, 1024

	if m == 0 || *count(len(c.points))*v.GetSize()*bytesOfNumber < o.IndexingThreshold*kB {
		return 0
	}

	return len(c.points)
}

// work lets the optimizers begin, if there is anything for them.
func (c *collection) work(o Options) {
	if c.large(o) > 0 {
		c.busy = time.Now().Add(o.IndexTime)
	}
}

// mergeSet sets what is set in another message, presence and not value deciding.
func mergeSet(into, from *pb.HnswConfigDiff) {
	if from == nil {
		return
	}

	from.ProtoReflect().Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		into.ProtoReflect().Set(f, v)

		return true
	})
}

func orDefault[T any](v *T, otherwise T) T {
	if v == nil {
		return otherwise
	}

	return *v
}

func count(n int) *uint64 {
	return pb.PtrOf(uint64(max(n, 0)))
}
