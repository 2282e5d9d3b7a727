package qdranttest

import (
	"context"
	"maps"
	"slices"

	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// UpdateAliases implements pb.CollectionsServer (update_aliases of toc/collection_meta_ops.rs): nobody sees the aliases between
// two actions, but each is kept at once, so that one which fails does not undo those before.
func (s *Server) UpdateAliases(_ context.Context, r *pb.ChangeAliases) (*pb.CollectionOperationResponse, error) {
	for _, a := range r.GetActions() {
		if err := s.change(a); err != nil {
			return nil, err
		}
	}

	return &pb.CollectionOperationResponse{Result: true}, nil
}

func (s *Server) change(a *pb.AliasOperations) error {
	switch op := a.GetAction().(type) {
	case *pb.AliasOperations_CreateAlias:
		alias, target := op.CreateAlias.GetAliasName(), op.CreateAlias.GetCollectionName()

		// Another alias is no target, and one that points elsewhere is moved.
		if _, ok := s.collections[target]; !ok {
			return missing(target)
		}

		if _, ok := s.collections[alias]; ok {
			return exists(alias)
		}

		s.aliases[alias] = target
	case *pb.AliasOperations_DeleteAlias:
		delete(s.aliases, op.DeleteAlias.GetAliasName())
	case *pb.AliasOperations_RenameAlias:
		was := op.RenameAlias.GetOldAliasName()

		target, ok := s.aliases[was]
		if !ok {
			return status.Errorf(codes.NotFound, "Not found: Alias %s does not exists!", was)
		}

		delete(s.aliases, was)
		s.aliases[op.RenameAlias.GetNewAliasName()] = target
	default:
		return status.Error(codes.InvalidArgument, "Malformed AliasOperation type")
	}

	return nil
}

// ListCollectionAliases implements pb.CollectionsServer. What is no collection, or an alias, has none, which is no error
// (collection_aliases of toc/mod.rs).
func (s *Server) ListCollectionAliases(_ context.Context, r *pb.ListCollectionAliasesRequest) (*pb.ListAliasesResponse, error) {
	return s.list(func(target string) bool { return target == r.GetCollectionName() }), nil
}

// ListAliases implements pb.CollectionsServer.
func (s *Server) ListAliases(ctx context.Context, _ *pb.ListAliasesRequest) (*pb.ListAliasesResponse, error) {
	return s.list(func(target string) bool { return sees(ctx, target) }), nil
}

func (s *Server) list(include func(target string) bool) *pb.ListAliasesResponse {
	out := &pb.ListAliasesResponse{}

	for _, alias := range slices.Sorted(maps.Keys(s.aliases)) {
		if include(s.aliases[alias]) {
			out.Aliases = append(out.Aliases, &pb.AliasDescription{AliasName: alias, CollectionName: s.aliases[alias]})
		}
	}

	return out
}
