package qdranttest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// points is what the server does with points and the indexes of their payload.
type points struct {
	pb.UnimplementedPointsServer

	s *Server
}

// Upsert implements pb.PointsServer.
func (p points) Upsert(_ context.Context, r *pb.UpsertPoints) (*pb.PointsOperationResponse, error) {
	c, err := p.s.find(r.GetCollectionName())
	if err != nil {
		return nil, err
	}

	for _, pt := range r.GetPoints() {
		if pt.GetId() == nil {
			return nil, status.Error(codes.InvalidArgument, "Empty ID is not allowed")
		}

		v := pt.GetVectors().GetVector()
		if v == nil {
			return nil, wrong("Not existing vector name error")
		}

		if err := c.fits(v.GetDense().GetData()); err != nil {
			return nil, err
		}
	}

	for _, pt := range r.GetPoints() {
		c.points[pt.GetId().String()] = true
	}

	c.work(p.s.opts)

	return done(r.GetWait()), nil
}

// fits refuses a vector of another size, as all requests with vectors do (lib/segment/src/common/operation_error.rs).
func (c *collection) fits(v []float32) error {
	if size := c.config.GetParams().GetVectorsConfig().GetParams().GetSize(); size != *count(len(v)) {
		return wrong(fmt.Sprintf("Vector dimension error: expected dim: %d, got %d", size, len(v)))
	}

	return nil
}

// Query implements pb.PointsServer, for the points next to a vector.
func (p points) Query(_ context.Context, r *pb.QueryPoints) (*pb.QueryResponse, error) {
	c, err := p.s.find(r.GetCollectionName())
	if err != nil {
		return nil, err
	}

	if err := c.fits(r.GetQuery().GetNearest().GetDense().GetData()); err != nil {
		return nil, err
	}

	const usual = 10

	out := &pb.QueryResponse{}
	for range min(*count(len(c.points)), orDefault(r.Limit, usual)) {
		out.Result = append(out.Result, &pb.ScoredPoint{Score: 1})
	}

	return out, nil
}

// Count implements pb.PointsServer.
func (p points) Count(_ context.Context, r *pb.CountPoints) (*pb.CountResponse, error) {
	c, err := p.s.find(r.GetCollectionName())
	if err != nil {
		return nil, err
	}

	return &pb.CountResponse{Result: &pb.CountResult{Count: *count(len(c.points))}}, nil
}

// schemas of field types.
var schemas = map[pb.FieldType]pb.PayloadSchemaType{
	pb.FieldType_FieldTypeKeyword:  pb.PayloadSchemaType_Keyword,
	pb.FieldType_FieldTypeInteger:  pb.PayloadSchemaType_Integer,
	pb.FieldType_FieldTypeFloat:    pb.PayloadSchemaType_Float,
	pb.FieldType_FieldTypeGeo:      pb.PayloadSchemaType_Geo,
	pb.FieldType_FieldTypeText:     pb.PayloadSchemaType_Text,
	pb.FieldType_FieldTypeBool:     pb.PayloadSchemaType_Bool,
	pb.FieldType_FieldTypeDatetime: pb.PayloadSchemaType_Datetime,
	pb.FieldType_FieldTypeUuid:     pb.PayloadSchemaType_Uuid,
}

// CreateFieldIndex implements pb.PointsServer. An index that is there stays, unless it is another: then it is made anew. Whoever
// does not wait is told that the request was heard.
func (p points) CreateFieldIndex(_ context.Context, r *pb.CreateFieldIndexCollection) (*pb.PointsOperationResponse, error) {
	c, err := p.s.find(r.GetCollectionName())
	if err != nil {
		return nil, err
	}

	t, ok := schemas[r.GetFieldType()]

	switch {
	case !ok || r.FieldType == nil && r.GetFieldIndexParams() == nil:
		return nil, status.Error(codes.InvalidArgument, "Cannot convert field type: none")
	case !matches(r.GetFieldType(), r.GetFieldIndexParams()):
		return nil, status.Error(codes.InvalidArgument, "field type and index params do not match")
	case p.s.opts.FieldIndexes > 0 && len(c.fields) >= p.s.opts.FieldIndexes:
		// The strict mode asks how many there are, and not which (lib/collection/src/operations/verification).
		return nil, bad(fmt.Sprintf("Collection already has the maximum number of payload indices (%d)", p.s.opts.FieldIndexes))
	}

	info := &pb.PayloadSchemaInfo{DataType: t, Params: r.GetFieldIndexParams()}

	if was, ok := c.fields[r.GetFieldName()]; ok && was.info.GetDataType() == t && was.info.GetParams().String() == info.GetParams().String() {
		return done(r.GetWait()), nil
	}

	f := field{info: info, from: time.Now()}
	if !r.GetWait() {
		f.from = f.from.Add(p.s.opts.IndexTime)
	}

	c.fields[r.GetFieldName()] = f

	return done(r.GetWait()), nil
}

// matches says whether the parameters of an index are for its type.
func matches(t pb.FieldType, params *pb.PayloadIndexParams) bool {
	if params == nil {
		return true
	}

	switch params.GetIndexParams().(type) {
	case *pb.PayloadIndexParams_KeywordIndexParams:
		return t == pb.FieldType_FieldTypeKeyword
	case *pb.PayloadIndexParams_IntegerIndexParams:
		return t == pb.FieldType_FieldTypeInteger
	case *pb.PayloadIndexParams_TextIndexParams:
		return t == pb.FieldType_FieldTypeText
	default:
		return !slices.Contains([]pb.FieldType{pb.FieldType_FieldTypeKeyword, pb.FieldType_FieldTypeInteger, pb.FieldType_FieldTypeText}, t)
	}
}

// DeleteFieldIndex implements pb.PointsServer. That there is none is no error.
func (p points) DeleteFieldIndex(_ context.Context, r *pb.DeleteFieldIndexCollection) (*pb.PointsOperationResponse, error) {
	c, err := p.s.find(r.GetCollectionName())
	if err != nil {
		return nil, err
	}

	maps.DeleteFunc(c.fields, func(name string, _ field) bool { return name == r.GetFieldName() })

	return done(r.GetWait()), nil
}

func done(waited bool) *pb.PointsOperationResponse {
	st := pb.UpdateStatus_Acknowledged
	if waited {
		st = pb.UpdateStatus_Completed
	}

	return &pb.PointsOperationResponse{Result: &pb.UpdateResult{Status: st}}
}
