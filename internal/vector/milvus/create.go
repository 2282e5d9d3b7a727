package milvus

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/milvus-io/milvus-proto/go-api/v2/commonpb"
	"github.com/milvus-io/milvus-proto/go-api/v2/milvuspb"
	"google.golang.org/protobuf/proto"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// Create implements vector.Driver.
func (d *driver) Create(ctx context.Context, s vector.Spec) error {
	p, name := complete(s.Properties), storeName(s.Name)

	// Milvus takes a creation with equal parameters for a repetition. Nobody else has this description.
	columns, err := proto.Marshal(schema(name, "Memory of agents, made by AIDispatcher "+rand.Text(), p))
	if err != nil {
		return vector.Errorf(vector.Invalid, "cannot write the schema: %w", err)
	}

	props := map[string]string{mmapKey: fmt.Sprint(*p.OnDisk), replicasKey: fmt.Sprint(*p.Replicas)}
	if s.Owner != "" {
		props[ownerKey] = s.Owner
	}

	err = d.check(d.c.CreateCollection(ctx, &milvuspb.CreateCollectionRequest{
		CollectionName: name, Schema: columns, ShardsNum: *p.Shards, Properties: pairs(props),
		ConsistencyLevel: commonpb.ConsistencyLevel_Bounded, // The default of Milvus' clients; a search may ask for another.
	}))
	if err != nil {
		return d.taken(ctx, name, err)
	}

	if err := d.createIndex(ctx, name, vectorColumn, p); err != nil {
		return err
	}

	for _, f := range p.IndexedFields {
		if err := d.createFieldIndex(ctx, name, f.Name); err != nil {
			return err
		}
	}

	return d.load(ctx, name, *p.Replicas)
}

// taken makes Exists of a creation that Milvus refused if there is a collection or an alias of this name: it refuses so
// without a code of its own, and may refuse for another reason first.
func (d *driver) taken(ctx context.Context, name string, err error) error {
	if !refused(err) || vector.Is(err, vector.Unavailable) {
		return err
	}

	c, look := d.c.DescribeCollection(ctx, &milvuspb.DescribeCollectionRequest{CollectionName: name})
	if d.check(c.GetStatus(), look) != nil {
		return err
	}

	return &vector.Error{Kind: vector.Exists, Err: err}
}

// createIndex makes the index on the vectors. It is built in the background. The properties are complete.
func (d *driver) createIndex(ctx context.Context, name, column string, p vector.Properties) error {
	params, err := indexParams(p)
	if err != nil {
		return err
	}

	return d.check(d.c.CreateIndex(ctx, &milvuspb.CreateIndexRequest{
		CollectionName: name, FieldName: column, IndexName: column, ExtraParams: params,
	}))
}

func (d *driver) createFieldIndex(ctx context.Context, name, column string) error {
	return d.check(d.c.CreateIndex(ctx, &milvuspb.CreateIndexRequest{
		CollectionName: name, FieldName: column, IndexName: column, ExtraParams: pairs(map[string]string{indexTypeKey: "INVERTED"}),
	}))
}

// load lets a collection be searched, by so many replicas. It goes on in the background. If it is loaded with another
// number of replicas, some are added or taken away, and searches go on.
func (d *driver) load(ctx context.Context, name string, replicas int32) error {
	return d.check(d.c.LoadCollection(ctx, &milvuspb.LoadCollectionRequest{CollectionName: name, ReplicaNumber: replicas}))
}

// Drop implements vector.Driver. Milvus drops no collection that has aliases, so these go first.
func (d *driver) Drop(ctx context.Context, name string) error {
	c, err := d.describe(ctx, storeName(name))
	if vector.Is(err, vector.NotFound) {
		return nil
	}

	if err != nil {
		return err
	}

	for _, a := range c.GetAliases() {
		if err := d.dropAlias(ctx, a); err != nil {
			return err
		}
	}

	err = d.check(d.c.DropCollection(ctx, &milvuspb.DropCollectionRequest{CollectionName: storeName(name)}))
	if vector.Is(err, vector.NotFound) {
		return nil
	}

	return err
}
