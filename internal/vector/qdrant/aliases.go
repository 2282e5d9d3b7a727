package qdrant

import (
	"context"

	pb "github.com/qdrant/go-client/qdrant"
)

// PointAlias implements vector.Aliaser. Qdrant moves an alias that is created again, under one lock. Deleting it before, in
// the same request, as its documentation has it, is not better: if the collection is not there, the alias is gone.
func (d *driver) PointAlias(ctx context.Context, alias, collection string) error {
	return d.change(ctx, pb.NewAliasCreate(alias, collection))
}

// DropAlias implements vector.Aliaser.
func (d *driver) DropAlias(ctx context.Context, alias string) error {
	return d.change(ctx, pb.NewAliasDelete(alias))
}

func (d *driver) change(ctx context.Context, op *pb.AliasOperations) error {
	_, err := d.collections.UpdateAliases(ctx, &pb.ChangeAliases{Actions: []*pb.AliasOperations{op}})

	return failed(err)
}
