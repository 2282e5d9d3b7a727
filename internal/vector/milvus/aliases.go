package milvus

import (
	"context"

	"github.com/milvus-io/milvus-proto/go-api/v2/milvuspb"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// PointAlias implements vector.Aliaser.
func (d *driver) PointAlias(ctx context.Context, alias, collection string) error {
	a, c := storeName(alias), storeName(collection)

	err := d.check(d.c.CreateAlias(ctx, &milvuspb.CreateAliasRequest{Alias: a, CollectionName: c}))
	if !has(err, aliasExists) {
		return err
	}

	return d.check(d.c.AlterAlias(ctx, &milvuspb.AlterAliasRequest{Alias: a, CollectionName: c}))
}

// DropAlias implements vector.Aliaser.
func (d *driver) DropAlias(ctx context.Context, alias string) error {
	return d.dropAlias(ctx, storeName(alias))
}

func (d *driver) dropAlias(ctx context.Context, stored string) error {
	err := d.check(d.c.DropAlias(ctx, &milvuspb.DropAliasRequest{Alias: stored}))
	if vector.Is(err, vector.NotFound) {
		return nil
	}

	return err
}
