package milvustest

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/milvus-io/milvus-proto/go-api/v2/commonpb"
	"github.com/milvus-io/milvus-proto/go-api/v2/milvuspb"
	"github.com/milvus-io/milvus-proto/go-api/v2/schemapb"
	"google.golang.org/protobuf/proto"
)

// LoadCollection implements milvuspb.MilvusServiceServer. It says that all is well before it is done; it needs an index on the
// vectors (proxy: loadCollectionTask). If it is loaded already, the number of replicas changes (querycoordv2).
func (s *Server) LoadCollection(_ context.Context, r *milvuspb.LoadCollectionRequest) (*commonpb.Status, error) {
	c, err := s.find(r.GetCollectionName())
	if err != nil {
		return status(err), nil
	}

	for _, f := range c.schema.GetFields() {
		indexed := false
		for _, i := range c.indexes {
			indexed = indexed || i.field == f.GetName()
		}

		if isVector(f) && !indexed {
			return status(Err(700, "there is no vector index on field: [%s], please create index firstly: index not found", f.GetName())), nil
		}
	}

	n := r.GetReplicaNumber()
	if n <= 0 { // Without a number it is that of the property, or one.
		asked, err := strconv.ParseInt(c.properties["collection.replica.number"], 10, 32)
		if err != nil {
			asked = 1
		}

		n = int32(asked)
	}

	return status(s.setReplicas(c, n)), nil
}

// setReplicas loads a collection with so many replicas, a node for each.
func (s *Server) setReplicas(c *collection, n int32) error {
	if int(n) > s.opts.QueryNodes {
		return Err(12, "when load %d replica count: service resource insufficient[currentQueryNode=%d][expectedQueryNode=%d]", n, s.opts.QueryNodes, n)
	}

	if c.replicas != n {
		c.replicas, c.loaded = n, time.Now().Add(s.opts.LoadTime)
	}

	return nil
}

// ReleaseCollection implements milvuspb.MilvusServiceServer.
func (s *Server) ReleaseCollection(_ context.Context, r *milvuspb.ReleaseCollectionRequest) (*commonpb.Status, error) {
	c, err := s.find(r.GetCollectionName())
	if err != nil {
		return status(err), nil
	}

	c.replicas = 0

	return status(nil), nil
}

// GetReplicas implements milvuspb.MilvusServiceServer. While a collection is loaded its replicas have no nodes yet, which is an
// error of another kind than that it is not loaded (querycoordv2: GetReplicas).
func (s *Server) GetReplicas(_ context.Context, r *milvuspb.GetReplicasRequest) (*milvuspb.GetReplicasResponse, error) {
	c, err := s.find(r.GetCollectionName())
	if err != nil {
		return &milvuspb.GetReplicasResponse{Status: status(err)}, nil
	}

	out := &milvuspb.GetReplicasResponse{Status: status(nil)}

	switch {
	case c.replicas == 0:
		out.Status = status(Err(400, "failed to get replicas by collection: replica not found[collection=%d]", c.id))

		return out, nil
	case time.Now().Before(c.loaded):
		out.Status = status(Err(401, "no available nodes in replica: replica not available[collection=%d]", c.id))

		return out, nil
	}

	for n := range c.replicas {
		info := &milvuspb.ReplicaInfo{ReplicaID: c.id + int64(n) + 1, CollectionID: c.id, NodeIds: []int64{int64(n) + 1}}
		for range c.shards {
			info.ShardReplicas = append(info.ShardReplicas, &milvuspb.ShardReplica{LeaderID: int64(n) + 1, LeaderAddr: "127.0.0.1:21123"})
		}

		out.Replicas = append(out.Replicas, info)
	}

	return out, nil
}

// GetCollectionStatistics implements milvuspb.MilvusServiceServer.
func (s *Server) GetCollectionStatistics(_ context.Context, r *milvuspb.GetCollectionStatisticsRequest) (*milvuspb.GetCollectionStatisticsResponse, error) {
	c, err := s.find(r.GetCollectionName())
	if err != nil {
		return &milvuspb.GetCollectionStatisticsResponse{Status: status(err)}, nil
	}

	return &milvuspb.GetCollectionStatisticsResponse{
		Status: status(nil), Stats: []*commonpb.KeyValuePair{{Key: "row_count", Value: strconv.Itoa(c.rows)}},
	}, nil
}

// Insert implements milvuspb.MilvusServiceServer. A collection need not be loaded for it.
func (s *Server) Insert(_ context.Context, r *milvuspb.InsertRequest) (*milvuspb.MutationResult, error) {
	c, err := s.find(r.GetCollectionName())
	if err != nil {
		return &milvuspb.MutationResult{Status: status(err)}, nil
	}

	if err := c.checkRows(r); err != nil {
		return &milvuspb.MutationResult{Status: status(err)}, nil
	}

	c.rows += int(r.GetNumRows())

	for _, i := range c.indexes {
		i.built = time.Now().Add(s.opts.BuildTime)
	}

	return &milvuspb.MutationResult{Status: status(nil), InsertCnt: int64(r.GetNumRows())}, nil
}

// checkRows is about columns that are there and full (proxy: checkFieldsDataBySchema, validateUtil).
func (c *collection) checkRows(r *milvuspb.InsertRequest) error {
	if r.GetNumRows() == 0 {
		return invalid("num_rows should be greater than 0")
	}

	for _, f := range c.schema.GetFields() {
		i := slices.IndexFunc(r.GetFieldsData(), func(d *schemapb.FieldData) bool { return d.GetFieldName() == f.GetName() })

		switch {
		case i >= 0 && f.GetDataType() == schemapb.DataType_FloatVector:
			v, dim := r.GetFieldsData()[i].GetVectors(), values(f.GetTypeParams())["dim"]
			if strconv.FormatInt(v.GetDim(), 10) != dim {
				return invalid("the dim (%d) of field data(%s) is not equal to schema dim (%s)", v.GetDim(), f.GetName(), dim)
			}

			if int64(len(v.GetFloatVector().GetData())) != v.GetDim()*int64(r.GetNumRows()) {
				return invalid("the num_rows of field (%s) is not equal to passed num_rows (%d)", f.GetName(), r.GetNumRows())
			}
		case i < 0 && !f.GetNullable() && !f.GetIsDynamic():
			return invalid("fieldSchema(%s) has no corresponding fieldData pass in", f.GetName())
		}
	}

	for _, d := range r.GetFieldsData() {
		if c.field(d.GetFieldName()) == nil && !d.GetIsDynamic() {
			return invalid("fieldName %s not exist in collection schema", d.GetFieldName())
		}
	}

	return nil
}

// Search implements milvuspb.MilvusServiceServer. A collection that is not loaded is not searched, nor by vectors of another
// dimension.
func (s *Server) Search(_ context.Context, r *milvuspb.SearchRequest) (*milvuspb.SearchResults, error) {
	n, err := s.search(r)
	if err != nil {
		return &milvuspb.SearchResults{Status: status(err)}, nil
	}

	return &milvuspb.SearchResults{
		Status: status(nil), Results: &schemapb.SearchResultData{NumQueries: 1, TopK: n, Topks: []int64{n}, Scores: make([]float32, n)},
	}, nil
}

func (s *Server) search(r *milvuspb.SearchRequest) (int64, error) {
	c, err := s.find(r.GetCollectionName())
	if err != nil {
		return 0, err
	}

	switch {
	case c.replicas == 0:
		return 0, Err(101, "collection not loaded[collection=%s]", r.GetCollectionName())
	case time.Now().Before(c.loaded):
		return 0, Err(103, "collection not fully loaded[collection=%s]", r.GetCollectionName())
	}

	params := values(r.GetSearchParams())

	f := c.field(params["anns_field"])
	if f == nil || !isVector(f) {
		return 0, Err(1700, "failed to get field schema by name: fieldName(%s) not found", params["anns_field"])
	}

	k, err := strconv.Atoi(params["topk"])
	if err != nil || k < 1 || k > 16384 {
		return 0, invalid("topk [%s] is invalid, it should be in range [1, 16384]", params["topk"])
	}

	group := &commonpb.PlaceholderGroup{}
	if err := proto.Unmarshal(r.GetPlaceholderGroup(), group); err != nil || len(group.GetPlaceholders()) != 1 || len(group.GetPlaceholders()[0].GetValues()) != 1 {
		return 0, invalid("one vector is searched for here")
	}

	if got, dim := len(group.GetPlaceholders()[0].GetValues()[0])/4, values(f.GetTypeParams())["dim"]; strconv.Itoa(got) != dim {
		return 0, unexpected("vector dimension mismatch, expected vector size(byte) of dim %s, actual dim %d", dim, got)
	}

	return int64(min(k, c.rows)), nil
}
