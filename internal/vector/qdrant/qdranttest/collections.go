package qdranttest

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/protobuf/proto"
)

// A collection is what the server keeps of one. Nothing changes the size and the distance of its vectors: no request can say
// another.
type collection struct {
	config *pb.CollectionConfig
	fields map[string]field
	points map[string]bool
	// indexed of the points when the optimizers were done the last time; they work until busy.
	indexed int
	busy    time.Time
	// placed replicas of each shard, of which all but the first are in a state.
	placed uint32
	others pb.ReplicaState
}

// A field is a payload index, which is there from a moment on.
type field struct {
	info *pb.PayloadSchemaInfo
	from time.Time
}

// find returns a collection by its name or an alias (resolve_name of toc/mod.rs): nearly all requests take either.
func (s *Server) find(name string) (*collection, error) {
	if target, ok := s.aliases[name]; ok {
		name = target
	}

	c, ok := s.collections[name]
	if !ok {
		return nil, missing(name)
	}

	return c, nil
}

// Create implements pb.CollectionsServer (toc/create_collection.rs).
func (s *Server) Create(_ context.Context, r *pb.CreateCollection) (*pb.CollectionOperationResponse, error) {
	name := r.GetCollectionName()
	_, taken := s.collections[name]
	_, alias := s.aliases[name]

	switch {
	case taken:
		return nil, exists(name)
	case s.opts.Collections > 0 && len(s.collections) >= s.opts.Collections:
		return nil, bad("Can't create collection with name " + name + ". Max collections limit reached: " + strconv.Itoa(s.opts.Collections))
	case alias:
		return nil, wrong("Can't create collection with name " + name + ". Alias with the same name already exists")
	}

	r = proto.CloneOf(r)
	hnsw := &pb.HnswConfigDiff{
		M: pb.PtrOf[uint64](16), EfConstruct: pb.PtrOf[uint64](100), FullScanThreshold: pb.PtrOf[uint64](10000),
		MaxIndexingThreads: pb.PtrOf[uint64](0), OnDisk: pb.PtrOf(false),
	}
	mergeSet(hnsw, r.GetHnswConfig())

	c := &collection{
		fields: map[string]field{}, points: map[string]bool{},
		config: &pb.CollectionConfig{
			Params: &pb.CollectionParams{
				ShardNumber:            orDefault(r.ShardNumber, s.opts.Nodes),
				ReplicationFactor:      pb.PtrOf(orDefault(r.ReplicationFactor, 1)),
				WriteConsistencyFactor: pb.PtrOf[uint32](1),
				OnDiskPayload:          true,
				VectorsConfig:          r.GetVectorsConfig(),
			},
			HnswConfig:         hnsw,
			OptimizerConfig:    &pb.OptimizersConfigDiff{IndexingThreshold: &s.opts.IndexingThreshold},
			QuantizationConfig: r.GetQuantizationConfig(),
		},
	}
	c.placed = min(c.config.GetParams().GetReplicationFactor(), s.opts.Nodes)

	if s.hasMetadata() {
		c.config.Metadata = r.GetMetadata()
	}

	s.collections[name] = c

	return &pb.CollectionOperationResponse{Result: true}, nil
}

// hasMetadata says whether this version keeps metadata. A server that does not know a field does not see it.
func (s *Server) hasMetadata() bool {
	return !strings.HasPrefix(s.opts.Version, "1.15.") && !strings.HasPrefix(s.opts.Version, "1.14.")
}

// Update implements pb.CollectionsServer (update_collection of toc/collection_meta_ops.rs). What it says of all vectors and
// of the one are two places. A replication factor is noted, and nobody acts on it.
func (s *Server) Update(_ context.Context, r *pb.UpdateCollection) (*pb.CollectionOperationResponse, error) {
	c, err := s.find(r.GetCollectionName())
	if err != nil {
		return nil, err
	}

	for name := range r.GetVectorsConfig().GetParamsMap().GetMap() {
		if name != "" {
			return nil, wrong("Not existing vector name error: " + name)
		}
	}

	r = proto.CloneOf(r)
	v := c.config.GetParams().GetVectorsConfig().GetParams()

	diff := r.GetVectorsConfig().GetParams()
	if diff == nil {
		diff = r.GetVectorsConfig().GetParamsMap().GetMap()[""]
	}

	mergeSet(c.config.GetHnswConfig(), r.GetHnswConfig())

	if d := diff.GetHnswConfig(); d != nil {
		if v.GetHnswConfig() == nil {
			v.HnswConfig = &pb.HnswConfigDiff{}
		}

		mergeSet(v.GetHnswConfig(), d)
	}

	c.config.QuantizationConfig = requantize(c.config.GetQuantizationConfig(), r.GetQuantizationConfig())
	v.QuantizationConfig = requantize(v.GetQuantizationConfig(), diff.GetQuantizationConfig())

	if diff != nil && diff.OnDisk != nil {
		v.OnDisk = diff.OnDisk
	}

	if f := r.GetParams(); f != nil && f.ReplicationFactor != nil {
		c.config.Params.ReplicationFactor = f.ReplicationFactor
	}

	c.annotate(r.GetMetadata(), s.hasMetadata())
	c.work(s.opts)

	return &pb.CollectionOperationResponse{Result: true}, nil
}

// annotate merges metadata, key by key and no deeper; null removes one (Payload::merge of lib/segment/src/types.rs).
func (c *collection) annotate(m map[string]*pb.Value, kept bool) {
	if !kept {
		return
	}

	for k, v := range m {
		if c.config.GetMetadata() == nil {
			c.config.Metadata = map[string]*pb.Value{}
		}

		if _, null := v.GetKind().(*pb.Value_NullValue); null {
			delete(c.config.GetMetadata(), k)
		} else {
			c.config.Metadata[k] = v
		}
	}
}

func requantize(have *pb.QuantizationConfig, d *pb.QuantizationConfigDiff) *pb.QuantizationConfig {
	switch {
	case d.GetScalar() != nil:
		return pb.NewQuantizationScalar(d.GetScalar())
	case d.GetBinary() != nil:
		return pb.NewQuantizationBinary(d.GetBinary())
	case d.GetProduct() != nil:
		return pb.NewQuantizationProduct(d.GetProduct())
	case d.GetDisabled() != nil:
		return nil
	default:
		return have
	}
}

// Delete implements pb.CollectionsServer. It takes no alias, says false for what is not there, and the aliases go along
// (delete_collection of toc/collection_meta_ops.rs).
func (s *Server) Delete(_ context.Context, r *pb.DeleteCollection) (*pb.CollectionOperationResponse, error) {
	maps.DeleteFunc(s.aliases, func(_, target string) bool { return target == r.GetCollectionName() })

	_, ok := s.collections[r.GetCollectionName()]
	delete(s.collections, r.GetCollectionName())

	return &pb.CollectionOperationResponse{Result: ok}, nil
}

// List implements pb.CollectionsServer.
func (s *Server) List(ctx context.Context, _ *pb.ListCollectionsRequest) (*pb.ListCollectionsResponse, error) {
	out := &pb.ListCollectionsResponse{}

	for _, name := range slices.Sorted(maps.Keys(s.collections)) {
		if sees(ctx, name) {
			out.Collections = append(out.Collections, &pb.CollectionDescription{Name: name})
		}
	}

	return out, nil
}

// CollectionExists implements pb.CollectionsServer.
func (s *Server) CollectionExists(_ context.Context, r *pb.CollectionExistsRequest) (*pb.CollectionExistsResponse, error) {
	_, err := s.find(r.GetCollectionName())

	return &pb.CollectionExistsResponse{Result: &pb.CollectionExists{Exists: err == nil}}, nil
}
