package milvustest

import (
	"context"

	"github.com/milvus-io/milvus-proto/go-api/v2/commonpb"
	"github.com/milvus-io/milvus-proto/go-api/v2/milvuspb"
)

// CreateAlias implements milvuspb.MilvusServiceServer. Again for the same collection is no error (rootcoord: MetaTable).
func (s *Server) CreateAlias(_ context.Context, r *milvuspb.CreateAliasRequest) (*commonpb.Status, error) {
	a := r.GetAlias()

	c, err := s.aliasable(a, r.GetCollectionName())
	if err != nil {
		return status(err), nil
	}

	if of, ok := s.aliases[a]; ok && of != c {
		return status(Err(1602, "%s is alias to another collection: %s: alias already exist[database=default][alias=%s]", a, of, a)), nil
	}

	s.aliases[a] = c

	return status(nil), nil
}

// AlterAlias implements milvuspb.MilvusServiceServer. One that is not there cannot be altered.
func (s *Server) AlterAlias(_ context.Context, r *milvuspb.AlterAliasRequest) (*commonpb.Status, error) {
	c, err := s.aliasable(r.GetAlias(), r.GetCollectionName())
	if err != nil {
		return status(err), nil
	}

	if _, ok := s.aliases[r.GetAlias()]; !ok {
		return status(Err(1600, "alias not found[database=default][alias=%s]", r.GetAlias())), nil
	}

	s.aliases[r.GetAlias()] = c

	return status(nil), nil
}

// aliasable returns the real name of the collection that an alias is for.
func (s *Server) aliasable(alias, name string) (string, error) {
	if !plainName(alias) {
		return "", invalid("Invalid collection alias: %s. collection alias can only contain numbers, letters and underscores", alias)
	}

	if _, ok := s.collections[alias]; ok {
		return "", Err(1601, "alias and collection name conflict[database=default][alias=%s]", alias)
	}

	c, err := s.find(name)
	if err != nil {
		return "", err
	}

	return c.schema.GetName(), nil
}

// DropAlias implements milvuspb.MilvusServiceServer.
func (s *Server) DropAlias(_ context.Context, r *milvuspb.DropAliasRequest) (*commonpb.Status, error) {
	if _, ok := s.aliases[r.GetAlias()]; !ok {
		return status(Err(1600, "alias not found[database=default][alias=%s]", r.GetAlias())), nil
	}

	delete(s.aliases, r.GetAlias())

	return status(nil), nil
}
