package qdranttest

import (
	"strings"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	longestName   = 255
	largestVector = 65536
	leastEf       = 4
	// forbiddenInNames are not allowed in the names of collections (validate_collection_name of lib/common or lib/api).
	forbiddenInNames = "<>:\"/\\|?*\x00\x1f"
)

// validate refuses what the server does before it looks at its collections (the validations that are generated for
// lib/api/src/grpc/proto).
func validate(req any) error {
	if r, ok := req.(interface{ GetCollectionName() string }); ok {
		if n := r.GetCollectionName(); n == "" || len(n) > longestName {
			return unfit("collection_name: length must be 1 to 255")
		}
	}

	switch r := req.(type) {
	case *pb.CreateCollection:
		return validateCreate(r)
	case *pb.UpdateCollection:
		return validateGraph(r.GetHnswConfig(), r.GetVectorsConfig().GetParams().GetHnswConfig())
	case *pb.CreateFieldIndexCollection:
		if r.GetFieldName() == "" {
			return unfit("field_name: must not be empty")
		}
	}

	return nil
}

func validateCreate(r *pb.CreateCollection) error {
	if strings.ContainsAny(r.GetCollectionName(), forbiddenInNames) || r.GetCollectionName() == "." || r.GetCollectionName() == ".." {
		return unfit("collection_name: cannot contain any of " + forbiddenInNames)
	}

	for n, v := range map[string]*uint32{"shard_number": r.ShardNumber, "replication_factor": r.ReplicationFactor} {
		if v != nil && *v == 0 {
			return unfit(n + ": must be at least 1")
		}
	}

	v := r.GetVectorsConfig().GetParams()
	if v == nil {
		return wrong("the fake makes collections of one unnamed vector")
	}

	if v.GetSize() < 1 || v.GetSize() > largestVector {
		return unfit("vectors_config.size: must be 1 to 65536")
	}

	// The conversion from gRPC (lib/collection/src/operations/conversions.rs) takes no distance that it does not know.
	if _, ok := pb.Distance_name[int32(v.GetDistance())]; !ok || v.GetDistance() == pb.Distance_UnknownDistance {
		return status.Error(codes.InvalidArgument, "Unknown distance")
	}

	return validateGraph(r.GetHnswConfig(), v.GetHnswConfig())
}

func validateGraph(cs ...*pb.HnswConfigDiff) error {
	for _, c := range cs {
		if c != nil && c.EfConstruct != nil && c.GetEfConstruct() < leastEf {
			return unfit("hnsw_config.ef_construct: must be at least 4")
		}
	}

	return nil
}

func unfit(what string) error {
	return status.Error(codes.InvalidArgument, "Validation error in body: ["+what+"]")
}

// wrong is StorageError::BadInput (lib/storage/src/content_manager/errors.rs, and error_to_status for the codes).
func wrong(text string) error { return status.Error(codes.InvalidArgument, "Wrong input: "+text) }

// bad is StorageError::BadRequest.
func bad(text string) error { return status.Error(codes.InvalidArgument, "Bad request: "+text) }

// exists is StorageError::AlreadyExists, which has the text of a wrong input and a code of its own.
func exists(name string) error {
	return status.Errorf(codes.AlreadyExists, "Wrong input: Collection `%s` already exists!", name)
}

func missing(name string) error {
	return status.Errorf(codes.NotFound, "Not found: Collection `%s` doesn't exist!", name)
}
