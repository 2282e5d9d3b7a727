package milvustest

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/milvus-io/milvus-proto/go-api/v2/commonpb"
	"github.com/milvus-io/milvus-proto/go-api/v2/milvuspb"
	"github.com/milvus-io/milvus-proto/go-api/v2/schemapb"
	"google.golang.org/protobuf/proto"
)

// A collection is a table of vectors.
type collection struct {
	id          int64
	schema      *schemapb.CollectionSchema
	shards      int32
	consistency commonpb.ConsistencyLevel
	properties  map[string]string
	rows        int
	indexes     map[string]*index
	// replicas it is loaded with, 0 for none, at some time from which on they can be searched.
	replicas int32
	loaded   time.Time
}

// CreateCollection implements milvuspb.MilvusServiceServer.
func (s *Server) CreateCollection(_ context.Context, r *milvuspb.CreateCollectionRequest) (*commonpb.Status, error) {
	return status(s.create(r)), nil
}

func (s *Server) create(r *milvuspb.CreateCollectionRequest) error {
	sc := &schemapb.CollectionSchema{}
	if err := proto.Unmarshal(r.GetSchema(), sc); err != nil {
		return unexpected("cannot read the schema: %v", err)
	}

	if err := checkSchema(r.GetCollectionName(), sc); err != nil {
		return err
	}

	// How many there may be is looked at before whether this one is there (rootcoord: createCollectionTask.Prepare).
	if len(s.collections) >= s.opts.Collections {
		return Err(102, "exceeded the limit number of collections[dbName=default][limit=%d]", s.opts.Collections)
	}

	shards := max(r.GetShardsNum(), 1)
	if shards > 16 {
		return invalid("maximum shards's number should be limited to 16")
	}

	if of, ok := s.aliases[sc.GetName()]; ok {
		return unexpected("collection name [%s] conflicts with an existing alias, please choose a unique name (%s)", sc.GetName(), of)
	}

	c := &collection{
		schema: sc, shards: shards, consistency: r.GetConsistencyLevel(), properties: values(r.GetProperties()), indexes: map[string]*index{},
	}

	if have, ok := s.collections[sc.GetName()]; ok {
		if !have.equal(c) {
			return unexpected("create duplicate collection with different parameters, collection: %s", sc.GetName())
		}

		return nil // A creation with equal parameters is taken for a repetition.
	}

	c.id = s.id()
	s.collections[sc.GetName()] = c

	return nil
}

// equal says whether a creation is a repetition (metastore/model: Collection.Equal).
func (c *collection) equal(o *collection) bool {
	return proto.Equal(c.schema, o.schema) && c.shards == o.shards && c.consistency == o.consistency && maps.Equal(c.properties, o.properties)
}

// DescribeCollection implements milvuspb.MilvusServiceServer. It follows aliases: the schema has the real name.
func (s *Server) DescribeCollection(_ context.Context, r *milvuspb.DescribeCollectionRequest) (*milvuspb.DescribeCollectionResponse, error) {
	c, err := s.find(r.GetCollectionName())
	if err != nil {
		return &milvuspb.DescribeCollectionResponse{Status: status(err)}, nil
	}

	out := &milvuspb.DescribeCollectionResponse{
		Status: status(nil), Schema: proto.CloneOf(c.schema), CollectionID: c.id, ShardsNum: c.shards,
		ConsistencyLevel: c.consistency, CollectionName: r.GetCollectionName(), DbName: "default",
	}

	for _, k := range slices.Sorted(maps.Keys(c.properties)) {
		out.Properties = append(out.Properties, &commonpb.KeyValuePair{Key: k, Value: c.properties[k]})
	}

	out.Aliases = s.aliasesOf(c.schema.GetName())

	return out, nil
}

func (s *Server) aliasesOf(name string) []string {
	var as []string

	for _, a := range slices.Sorted(maps.Keys(s.aliases)) {
		if s.aliases[a] == name {
			as = append(as, a)
		}
	}

	return as
}

// DropCollection implements milvuspb.MilvusServiceServer. One that is not there is dropped; one with aliases is not, nor by an
// alias (rootcoord: dropCollectionTask).
func (s *Server) DropCollection(_ context.Context, r *milvuspb.DropCollectionRequest) (*commonpb.Status, error) {
	name := r.GetCollectionName()

	if _, ok := s.aliases[name]; ok {
		return status(Err(1600, "cannot drop the collection via alias = %s", name)), nil
	}

	if as := s.aliasesOf(name); len(as) > 0 {
		return status(unexpected("unable to drop the collection [%s] because it has associated aliases %v, please remove all aliases before dropping the collection", name, as)), nil
	}

	delete(s.collections, name)

	return status(nil), nil
}

// AlterCollection implements milvuspb.MilvusServiceServer. Properties are set or deleted, not both; mmap not while it is loaded
// (proxy: alterCollectionTask.PreExecute).
func (s *Server) AlterCollection(_ context.Context, r *milvuspb.AlterCollectionRequest) (*commonpb.Status, error) {
	c, err := s.find(r.GetCollectionName())
	if err != nil {
		return status(err), nil
	}

	set := values(r.GetProperties())

	switch _, mmap := set["mmap.enabled"]; {
	case len(set) == 0 && len(r.GetDeleteKeys()) == 0:
		return status(invalid("no properties or delete keys provided")), nil
	case len(set) > 0 && len(r.GetDeleteKeys()) > 0:
		return status(invalid("can not provide properties and deletekeys at the same time")), nil
	case (mmap || slices.Contains(r.GetDeleteKeys(), "mmap.enabled")) && c.replicas > 0:
		return status(Err(104, "can not alter mmap properties if collection loaded: collection already loaded[collection=%s]", r.GetCollectionName())), nil
	}

	maps.Copy(c.properties, set)

	for _, k := range r.GetDeleteKeys() {
		delete(c.properties, k)
	}

	return status(nil), nil
}

// AddCollectionField implements milvuspb.MilvusServiceServer. What is added may be null, since vectors are there that lack it,
// and is no vector and no key (proxy: validateAddFieldRequest).
func (s *Server) AddCollectionField(_ context.Context, r *milvuspb.AddCollectionFieldRequest) (*commonpb.Status, error) {
	c, err := s.find(r.GetCollectionName())
	if err != nil {
		return status(err), nil
	}

	f := &schemapb.FieldSchema{}
	if err := proto.Unmarshal(r.GetSchema(), f); err != nil {
		return status(unexpected("cannot read the field: %v", err)), nil
	}

	switch {
	case c.field(f.GetName()) != nil:
		return status(invalid("duplicate field name: %s", f.GetName())), nil
	case isVector(f):
		return status(invalid("not support to add vector field, field name = %s", f.GetName())), nil
	case f.GetIsPrimaryKey() || f.GetIsPartitionKey() || f.GetIsClusteringKey():
		return status(invalid("not support to add key field, field name = %s", f.GetName())), nil
	case !f.GetNullable():
		return status(invalid("added field must be nullable, please check it, field name = %s", f.GetName())), nil
	case len(c.schema.GetFields()) >= maxFields:
		return status(invalid("the number of fields has reached the maximum value %d", maxFields)), nil
	}

	if err := checkField(f); err != nil {
		return status(err), nil
	}

	c.schema.Fields = append(c.schema.Fields, f)

	return status(nil), nil
}

func (c *collection) field(name string) *schemapb.FieldSchema {
	i := slices.IndexFunc(c.schema.GetFields(), func(f *schemapb.FieldSchema) bool { return f.GetName() == name })
	if i < 0 {
		return nil
	}

	return c.schema.GetFields()[i]
}
