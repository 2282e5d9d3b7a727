package qdrant

import (
	"context"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// Create implements vector.Driver.
func (d *driver) Create(ctx context.Context, s vector.Spec) error {
	if err := d.stamps(ctx); err != nil {
		return err
	}

	if _, err := d.collections.Create(ctx, create(s)); err != nil {
		return failed(err)
	}

	if s.Tenancy == vector.Multi {
		if err := d.indexTenants(ctx, s.Name, true); err != nil {
			return err
		}
	}

	// In an empty collection an index is there at once.
	return d.indexFields(ctx, s.Name, s.IndexedFields, true)
}

// create returns the request for a collection. The distance must be said: Cosine, if nobody has an opinion, and a
// tenancy Single, is what it gets.
func create(s vector.Spec) *pb.CreateCollection {
	distance, ok := distances[s.Distance]
	if !ok {
		distance = pb.Distance_Cosine
	}

	return &pb.CreateCollection{
		CollectionName: s.Name,
		VectorsConfig: pb.NewVectorsConfig(&pb.VectorParams{
			Size: unsigned(s.Dim), Distance: distance, OnDisk: s.OnDisk,
		}),
		HnswConfig:         hnsw(s.Properties, s.Index),
		QuantizationConfig: quantization(s.Quantization),
		ShardNumber:        small(s.Shards),
		ReplicationFactor:  small(s.Replicas),
		Metadata:           stamp{owner: s.Owner, collection: s.Name, tenancy: s.Tenancy}.metadata(),
	}
}

// hnsw returns what is wanted of the graph, nil for no opinion. Links within a field's values are as many as those of all
// vectors, which is Qdrant's default, said because it would not follow otherwise when the other changes.
func hnsw(p vector.Properties, index vector.IndexType) *pb.HnswConfigDiff {
	c := &pb.HnswConfigDiff{}

	switch {
	case index == vector.Flat:
		c.M, c.PayloadM = new(uint64), new(uint64)
	case p.M != nil:
		c.M, c.PayloadM = pb.PtrOf(unsigned(*p.M)), pb.PtrOf(unsigned(*p.M))
	case index == vector.HNSW:
		c.M, c.PayloadM = pb.PtrOf[uint64](defaultM), pb.PtrOf[uint64](defaultM)
	}

	if p.EfConstruction != nil {
		c.EfConstruct = pb.PtrOf(unsigned(*p.EfConstruction))
	}

	if c.M == nil && c.EfConstruct == nil {
		return nil
	}

	return c
}

// indexFields makes payload indexes, and waits for them if told to. Making one again is no error, and does nothing.
func (d *driver) indexFields(ctx context.Context, collection string, fields []vector.Field, wait bool) error {
	for _, f := range fields {
		_, err := d.points.CreateFieldIndex(ctx, &pb.CreateFieldIndexCollection{
			CollectionName: collection, FieldName: f.Name, FieldType: pb.PtrOf(fieldKinds[f.Type].take), Wait: &wait,
		})
		if err != nil {
			return failed(err)
		}
	}

	return nil
}

// indexTenants makes the index that keeps tenants apart.
func (d *driver) indexTenants(ctx context.Context, collection string, wait bool) error {
	_, err := d.points.CreateFieldIndex(ctx, &pb.CreateFieldIndexCollection{
		CollectionName: collection, FieldName: tenantField, Wait: &wait,
		FieldType:        pb.PtrOf(pb.FieldType_FieldTypeKeyword),
		FieldIndexParams: pb.NewPayloadIndexParamsKeyword(&pb.KeywordIndexParams{IsTenant: pb.PtrOf(true)}),
	})

	return failed(err)
}

// Drop implements vector.Driver. Qdrant takes no alias for a collection here, and its aliases go with a collection.
func (d *driver) Drop(ctx context.Context, name string) error {
	_, err := d.collections.Delete(ctx, &pb.DeleteCollection{CollectionName: name})
	if err = failed(err); vector.Is(err, vector.NotFound) {
		return nil
	}

	return err
}

func unsigned(n int32) uint64 { return uint64(max(n, 0)) }

func small(n *int32) *uint32 {
	if n == nil {
		return nil
	}

	return pb.PtrOf(uint32(max(*n, 0)))
}
