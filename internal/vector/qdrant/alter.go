package qdrant

import (
	"context"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// Alter implements vector.Driver.
func (d *driver) Alter(ctx context.Context, want vector.Spec, have vector.State) error {
	if err := d.stamps(ctx); err != nil {
		return err
	}

	if u := update(want, have); u != nil {
		if _, err := d.collections.Update(ctx, u); err != nil {
			return failed(err)
		}
	}

	if have.Unfinished && have.Tenancy == vector.Multi {
		if err := d.indexTenants(ctx, want.Name, false); err != nil {
			return err
		}
	}

	if want.IndexedFields == nil {
		return nil
	}

	// What changes its type goes first, and comes again.
	for _, f := range without(have.IndexedFields, want.IndexedFields) {
		_, err := d.points.DeleteFieldIndex(ctx, &pb.DeleteFieldIndexCollection{CollectionName: want.Name, FieldName: f.Name, Wait: pb.PtrOf(false)})
		if err != nil {
			return failed(err)
		}
	}

	return d.indexFields(ctx, want.Name, without(want.IndexedFields, have.IndexedFields), false)
}

// update returns the request that changes what is not as it is wanted, nil if all is. What Qdrant knows of all vectors of
// a collection, and of each, is said twice: whoever made the collection may have said it either way, and the latter
// goes before the former.
func update(want vector.Spec, have vector.State) *pb.UpdateCollection {
	u, v := &pb.UpdateCollection{CollectionName: want.Name}, &pb.VectorParamsDiff{}
	needed, ofVector := false, false

	if c := graphDiff(want.Properties, have.Properties); c != nil {
		u.HnswConfig, v.HnswConfig, needed, ofVector = c, c, true, true
	}

	if want.Quantization != "" && want.Quantization != have.Quantization {
		c := quantizationDiff(want.Quantization)
		u.QuantizationConfig, v.QuantizationConfig, needed, ofVector = c, c, true, true
	}

	if differs(want.OnDisk, have.OnDisk) {
		v.OnDisk, needed, ofVector = want.OnDisk, true, true
	}

	if differs(want.Replicas, have.Replicas) {
		u.Params, needed = &pb.CollectionParamsDiff{ReplicationFactor: small(want.Replicas)}, true
	}

	if want.Owner != have.Owner {
		u.Metadata, needed = stamp{owner: want.Owner, collection: want.Name, tenancy: have.Tenancy}.metadata(), true
	}

	if !needed {
		return nil
	}

	if ofVector {
		u.VectorsConfig = pb.NewVectorsConfigDiff(v)
	}

	return u
}

// graphDiff returns what is to change of the graph, nil for nothing.
func graphDiff(want, have vector.Properties) *pb.HnswConfigDiff {
	var (
		p     vector.Properties
		index vector.IndexType
	)

	if want.Index != "" && want.Index != have.Index {
		index, p.M = want.Index, want.M
	}

	if differs(want.M, have.M) {
		p.M = want.M
	}

	if differs(want.EfConstruction, have.EfConstruction) {
		p.EfConstruction = want.EfConstruction
	}

	return hnsw(p, index)
}

// differs says that a value is wanted which is not there.
func differs[T comparable](want, have *T) bool {
	return want != nil && (have == nil || *want != *have)
}

// without returns the fields that are not among others.
func without(fields, others []vector.Field) []vector.Field {
	return slices.DeleteFunc(slices.Clone(fields), func(f vector.Field) bool { return slices.Contains(others, f) })
}
