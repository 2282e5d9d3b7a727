package milvustest

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/milvus-io/milvus-proto/go-api/v2/commonpb"
	"github.com/milvus-io/milvus-proto/go-api/v2/milvuspb"
	"github.com/milvus-io/milvus-proto/go-api/v2/schemapb"
)

// An index is built some time after it was asked for, or after there are vectors to build it of.
type index struct {
	name, field string
	id          int64
	params      map[string]string
	built       time.Time
}

// CreateIndex implements milvuspb.MilvusServiceServer. It says that all is well before it is built. The same again is no error;
// another on the same column is (datacoord: indexMeta.CanCreateIndex).
func (s *Server) CreateIndex(_ context.Context, r *milvuspb.CreateIndexRequest) (*commonpb.Status, error) {
	return status(s.createIndex(r)), nil
}

func (s *Server) createIndex(r *milvuspb.CreateIndexRequest) error {
	c, err := s.find(r.GetCollectionName())
	if err != nil {
		return err
	}

	f := c.field(r.GetFieldName())
	if f == nil {
		return unexpected("cannot create index on non-exist field: %s", r.GetFieldName())
	}

	name := r.GetIndexName()
	if name == "" {
		name = f.GetName()
	}

	params := values(r.GetExtraParams())
	if err := s.checkIndex(f, params); err != nil {
		return err
	}

	for _, i := range c.indexes {
		switch {
		case i.name == name && i.field == f.GetName() && maps.Equal(i.params, params):
			return nil
		case i.name == name || i.field == f.GetName():
			return unexpected("CreateIndex failed: at most one distinct index is allowed per field")
		}
	}

	c.indexes[name] = &index{name: name, field: f.GetName(), id: s.id(), params: params, built: time.Now().Add(s.opts.BuildTime)}

	return nil
}

// A check of a parameter of an index.
type check func(value string, dim int) bool

func between(from, to int) check {
	return func(v string, _ int) bool {
		n, err := strconv.Atoi(v)

		return err == nil && from <= n && n <= to
	}
}

func among(vs ...string) check {
	return func(v string, _ int) bool { return slices.Contains(vs, strings.ToUpper(v)) }
}

func divides(v string, dim int) bool {
	n, err := strconv.Atoi(v)

	return err == nil && n > 0 && dim%n == 0
}

// vectorIndexes and their parameters, those with a question mark optional (knowhere's configurations, by way of
// internal/util/indexparamcheck).
var vectorIndexes = map[string]map[string]check{
	"FLAT":       {},
	"IVF_FLAT":   {"nlist?": between(1, 65536)},
	"IVF_SQ8":    {"nlist?": between(1, 65536)},
	"IVF_PQ":     {"nlist?": between(1, 65536), "m": divides, "nbits?": between(1, 24)},
	"IVF_RABITQ": {"nlist?": between(1, 65536)},
	"HNSW":       {"M?": between(2, 2048), "efConstruction?": between(1, 1<<31-1)},
	"HNSW_SQ":    {"M?": between(2, 2048), "efConstruction?": between(1, 1<<31-1), "sq_type?": among("SQ4U", "SQ6", "SQ8", "BF16", "FP16")},
	"HNSW_PQ":    {"M?": between(2, 2048), "efConstruction?": between(1, 1<<31-1), "m?": divides, "nbits?": between(1, 24)},
	"DISKANN":    {},
}

// checkIndex is about the type and the parameters of an index.
func (s *Server) checkIndex(f *schemapb.FieldSchema, params map[string]string) error {
	kind := params["index_type"]

	if !isVector(f) {
		if kind != "INVERTED" && kind != "AUTOINDEX" && (kind != "STL_SORT" || f.GetDataType() == schemapb.DataType_Bool) {
			return invalid("invalid index params: %s is not for the field %s of type %s", kind, f.GetName(), f.GetDataType())
		}

		return nil
	}

	checks, ok := vectorIndexes[kind]
	if !ok {
		return invalid("invalid index type: %s", kind)
	}

	if !among("COSINE", "IP", "L2")(params["metric_type"], 0) {
		return invalid("float vector index does not support metric type: %s", params["metric_type"])
	}

	dim, _ := strconv.Atoi(values(f.GetTypeParams())["dim"])

	for key, ok := range checks {
		name, optional := strings.CutSuffix(key, "?")
		if v, given := params[name]; !given && !optional || given && !ok(v, dim) {
			return invalid("param %s of %s cannot be %q, dim %d", name, kind, v, dim)
		}
	}

	for name := range params {
		_, needed := checks[name]
		_, optional := checks[name+"?"]

		if !needed && !optional && !slices.Contains([]string{"index_type", "metric_type", "mmap.enabled"}, name) {
			return invalid("index %s has no param %s", kind, name)
		}
	}

	if kind == "DISKANN" {
		if _, ok := params["mmap.enabled"]; ok {
			return invalid("invalid mmap index params: index type %s does not support mmap", kind)
		}

		if s.opts.NoDisk {
			return Err(701, "all DataNodes do not support disk indexes, please verify: index type not supported[indexType=DISKANN]")
		}
	}

	return nil
}

// DescribeIndex implements milvuspb.MilvusServiceServer. Without a field it tells of all; that there is none is an error.
func (s *Server) DescribeIndex(_ context.Context, r *milvuspb.DescribeIndexRequest) (*milvuspb.DescribeIndexResponse, error) {
	c, err := s.find(r.GetCollectionName())
	if err != nil {
		return &milvuspb.DescribeIndexResponse{Status: status(err)}, nil
	}

	out := &milvuspb.DescribeIndexResponse{Status: status(nil)}

	for _, name := range slices.Sorted(maps.Keys(c.indexes)) {
		i := c.indexes[name]
		if r.GetFieldName() != "" && r.GetFieldName() != i.field {
			continue
		}

		out.IndexDescriptions = append(out.IndexDescriptions, c.describeIndex(i))
	}

	if len(out.GetIndexDescriptions()) == 0 {
		out.Status = status(Err(700, "index not found[collection=%s]", r.GetCollectionName()))
	}

	return out, nil
}

// describeIndex tells how far an index is: of no vectors it is finished at once.
func (c *collection) describeIndex(i *index) *milvuspb.IndexDescription {
	d := &milvuspb.IndexDescription{
		IndexName: i.name, IndexID: i.id, FieldName: i.field, State: commonpb.IndexState_Finished,
		TotalRows: int64(c.rows), IndexedRows: int64(c.rows),
	}

	if c.rows > 0 && time.Now().Before(i.built) {
		d.State, d.IndexedRows, d.PendingIndexRows = commonpb.IndexState_InProgress, 0, int64(c.rows)
	}

	for _, k := range slices.Sorted(maps.Keys(i.params)) {
		d.Params = append(d.Params, &commonpb.KeyValuePair{Key: k, Value: i.params[k]})
	}

	return d
}

// DropIndex implements milvuspb.MilvusServiceServer. The index on the vectors stays while the collection is loaded; that there is
// none is no error.
func (s *Server) DropIndex(_ context.Context, r *milvuspb.DropIndexRequest) (*commonpb.Status, error) {
	c, err := s.find(r.GetCollectionName())
	if err != nil {
		return status(err), nil
	}

	for name, i := range c.indexes {
		if name != r.GetIndexName() && i.field != r.GetFieldName() {
			continue
		}

		if isVector(c.field(i.field)) && c.replicas > 0 {
			return status(invalid("vector index cannot be dropped on loaded collection: %d", c.id)), nil
		}

		delete(c.indexes, name)
	}

	return status(nil), nil
}
