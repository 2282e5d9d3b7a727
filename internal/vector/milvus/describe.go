package milvus

import (
	"context"
	"slices"
	"strconv"

	"github.com/milvus-io/milvus-proto/go-api/v2/commonpb"
	"github.com/milvus-io/milvus-proto/go-api/v2/milvuspb"
	"github.com/milvus-io/milvus-proto/go-api/v2/schemapb"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// A look is what Milvus says of a collection, the number of vectors apart.
type look struct {
	collection *milvuspb.DescribeCollectionResponse
	indexes    []*milvuspb.IndexDescription
	// loaded says that searches are, or will soon be, possible, with these replicas.
	loaded   bool
	replicas []*milvuspb.ReplicaInfo
	// settled says that these are all replicas, and not those that are there already.
	settled bool
}

// Describe implements vector.Driver.
func (d *driver) Describe(ctx context.Context, name string) (vector.State, error) {
	l, err := d.look(ctx, storeName(name))
	if err != nil {
		return vector.State{}, err
	}

	st, err := l.state()
	if err != nil {
		return vector.State{}, err
	}

	stats, err := d.c.GetCollectionStatistics(ctx, &milvuspb.GetCollectionStatisticsRequest{CollectionName: storeName(name)})
	if err := d.check(stats.GetStatus(), err); err != nil {
		return vector.State{}, err
	}

	if n, err := strconv.ParseInt(values(stats.GetStats())["row_count"], 10, 64); err == nil {
		st.Vectors, st.Approximate = &n, true
	}

	return st, nil
}

// describe asks for a collection by its name in the store. NotFound if that is an alias, which Milvus would follow.
func (d *driver) describe(ctx context.Context, stored string) (*milvuspb.DescribeCollectionResponse, error) {
	c, err := d.c.DescribeCollection(ctx, &milvuspb.DescribeCollectionRequest{CollectionName: stored})
	if err := d.check(c.GetStatus(), err); err != nil {
		return nil, err
	}

	if c.GetSchema().GetName() != stored || slices.Contains(c.GetAliases(), stored) {
		return nil, vector.Errorf(vector.NotFound, "%s is an alias, of the collection %s", stored, c.GetSchema().GetName())
	}

	return c, nil
}

func (d *driver) look(ctx context.Context, stored string) (look, error) {
	var (
		l   look
		err error
	)

	if l.collection, err = d.describe(ctx, stored); err != nil {
		return l, err
	}

	indexes, err := d.c.DescribeIndex(ctx, &milvuspb.DescribeIndexRequest{CollectionName: stored})
	if err = d.check(indexes.GetStatus(), err); err != nil && !has(err, indexNotFound) {
		return l, err
	}

	l.indexes = indexes.GetIndexDescriptions()

	replicas, err := d.c.GetReplicas(ctx, &milvuspb.GetReplicasRequest{
		CollectionName: stored, CollectionID: l.collection.GetCollectionID(), WithShardNodes: true,
	})
	err = d.check(replicas.GetStatus(), err)
	l.replicas = replicas.GetReplicas()

	switch {
	case err == nil:
		l.loaded, l.settled = len(l.replicas) > 0, true
	case has(err, replicaNotFound):
	case has(err, replicaNotAvailable, channelNotFound, channelLack, channelNotAvailable, nodeNotAvailable):
		l.loaded = true
	default:
		return l, err
	}

	return l, nil
}

// index returns the index on a column, nil if there is none.
func (l look) index(column string) *milvuspb.IndexDescription {
	i := slices.IndexFunc(l.indexes, func(i *milvuspb.IndexDescription) bool { return i.GetFieldName() == column })
	if i < 0 {
		return nil
	}

	return l.indexes[i]
}

// owner that a collection carries.
func (l look) owner() string { return values(l.collection.GetProperties())[ownerKey] }

// state returns what was seen as a State.
func (l look) state() (vector.State, error) {
	s := l.collection.GetSchema()
	props := values(l.collection.GetProperties())
	st := vector.State{Owner: l.owner(), IndexState: vector.IndexAbsent}

	if err := describe(&st.Properties, s, props); err != nil {
		return st, err
	}

	st.Shards, st.IndexedFields = ptr(l.collection.GetShardsNum()), l.fields(s)

	for _, a := range l.collection.GetAliases() {
		st.Aliases = append(st.Aliases, givenName(a))
	}

	slices.Sort(st.Aliases)
	l.shards(&st, props)

	i := l.index(vectors(s).GetName())
	if i != nil {
		readIndex(&st.Properties, i.GetParams())
		progress(&st, i)
	}

	st.Unfinished = i == nil || !l.loaded

	return st, nil
}

// fields that are indexed, sorted: columns that Milvus needs for itself are none of them.
func (l look) fields(s *schemapb.CollectionSchema) []vector.Field {
	fs := []vector.Field{}

	for _, c := range s.GetFields() {
		t := fieldType(c)
		if t == "" || c.GetIsPrimaryKey() || c.GetIsPartitionKey() || l.index(c.GetName()) == nil {
			continue
		}

		fs = append(fs, vector.Field{Name: c.GetName(), Type: t})
	}

	slices.SortFunc(fs, func(a, b vector.Field) int {
		if a.Name < b.Name {
			return -1
		}

		return 1
	})

	return fs
}

// shards counts replicas, and those shards of them that have a leader, which are those that serve. Until all replicas are
// there their number is the one that was asked for.
func (l look) shards(st *vector.State, props map[string]string) {
	st.Replicas = number(props[replicasKey])
	if l.settled {
		st.Replicas = ptr(int32(len(l.replicas))) //nolint:gosec // There are at most as many as query nodes.
	}

	st.ShardsTotal = *st.Shards
	if st.Replicas != nil {
		st.ShardsTotal *= *st.Replicas
	}

	for _, r := range l.replicas {
		for _, s := range r.GetShardReplicas() {
			if s.GetLeaderAddr() != "" {
				st.ShardsReady++
			}
		}
	}
}

// progress tells how far an index is. While no shard serves nothing is found by it.
func progress(st *vector.State, i *milvuspb.IndexDescription) {
	switch i.GetState() {
	case commonpb.IndexState_Finished:
		st.IndexState = vector.IndexReady
	case commonpb.IndexState_Failed:
		st.IndexState = vector.IndexFailed
	default:
		st.IndexState = vector.IndexBuilding
	}

	if st.IndexState == vector.IndexReady && st.ShardsReady == 0 {
		st.IndexState = vector.IndexBuilding
	}

	if total := i.GetTotalRows(); total > 0 {
		st.IndexProgress = ptr(int32(min(100, 100*i.GetIndexedRows()/total))) //nolint:gosec // A percentage.
	}
}
