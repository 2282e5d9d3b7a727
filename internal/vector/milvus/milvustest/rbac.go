package milvustest

import (
	"context"
	"encoding/base64"
	"maps"
	"slices"

	"github.com/milvus-io/milvus-proto/go-api/v2/commonpb"
	"github.com/milvus-io/milvus-proto/go-api/v2/milvuspb"
)

// answers of methods that return more than a status.
var answers = map[string]func(*commonpb.Status) any{
	"DescribeCollection":      func(s *commonpb.Status) any { return &milvuspb.DescribeCollectionResponse{Status: s} },
	"DescribeIndex":           func(s *commonpb.Status) any { return &milvuspb.DescribeIndexResponse{Status: s} },
	"GetReplicas":             func(s *commonpb.Status) any { return &milvuspb.GetReplicasResponse{Status: s} },
	"GetCollectionStatistics": func(s *commonpb.Status) any { return &milvuspb.GetCollectionStatisticsResponse{Status: s} },
	"ListCredUsers":           func(s *commonpb.Status) any { return &milvuspb.ListCredUsersResponse{Status: s} },
	"SelectRole":              func(s *commonpb.Status) any { return &milvuspb.SelectRoleResponse{Status: s} },
	"SelectGrant":             func(s *commonpb.Status) any { return &milvuspb.SelectGrantResponse{Status: s} },
	"GetVersion":              func(s *commonpb.Status) any { return &milvuspb.GetVersionResponse{Status: s} },
	"Insert":                  func(s *commonpb.Status) any { return &milvuspb.MutationResult{Status: s} },
	"Search":                  func(s *commonpb.Status) any { return &milvuspb.SearchResults{Status: s} },
}

// GetVersion implements milvuspb.MilvusServiceServer.
func (s *Server) GetVersion(context.Context, *milvuspb.GetVersionRequest) (*milvuspb.GetVersionResponse, error) {
	return &milvuspb.GetVersionResponse{Status: status(nil), Version: "v2.6.6"}, nil
}

// CreateCredential implements milvuspb.MilvusServiceServer. Names have 32 bytes, passwords 6 to 72, base64 on the way (proxy:
// ValidateUsername, ValidatePassword).
func (s *Server) CreateCredential(_ context.Context, r *milvuspb.CreateCredentialRequest) (*commonpb.Status, error) {
	return status(s.createUser(r.GetUsername(), r.GetPassword())), nil
}

func (s *Server) createUser(name, encoded string) error {
	if !plainName(name) || name[0] == '_' || len(name) > 32 {
		return invalid("invalid user name %s, username must contain only numbers, letters and underscores", name)
	}

	password, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return unexpected("decode password fail")
	}

	if len(password) < 6 || len(password) > 72 {
		return Err(1100, "invalid password length: out of range 6 <= value <= 72")
	}

	if _, ok := s.users[name]; ok {
		return unexpected("user already exists: %s", name)
	}

	s.users[name] = string(password)

	return nil
}

// DeleteCredential implements milvuspb.MilvusServiceServer. It takes the user out of its roles.
func (s *Server) DeleteCredential(_ context.Context, r *milvuspb.DeleteCredentialRequest) (*commonpb.Status, error) {
	if r.GetUsername() == rootUser {
		return status(unexpected("user root cannot be deleted")), nil
	}

	delete(s.users, r.GetUsername())

	for _, role := range s.roles {
		role.users = slices.DeleteFunc(role.users, func(u string) bool { return u == r.GetUsername() })
	}

	return status(nil), nil
}

// ListCredUsers implements milvuspb.MilvusServiceServer.
func (s *Server) ListCredUsers(context.Context, *milvuspb.ListCredUsersRequest) (*milvuspb.ListCredUsersResponse, error) {
	return &milvuspb.ListCredUsersResponse{Status: status(nil), Usernames: slices.Sorted(maps.Keys(s.users))}, nil
}

// CreateRole implements milvuspb.MilvusServiceServer.
func (s *Server) CreateRole(_ context.Context, r *milvuspb.CreateRoleRequest) (*commonpb.Status, error) {
	name := r.GetEntity().GetName()

	switch {
	case !plainName(name):
		return status(invalid("role name %s can only contain numbers, letters and underscores", name)), nil
	case s.roles[name] != nil:
		return status(unexpected("role [name:%q] already exists", name)), nil
	}

	s.roles[name] = &role{}

	return status(nil), nil
}

// SelectRole implements milvuspb.MilvusServiceServer. That there is no such role is an error.
func (s *Server) SelectRole(_ context.Context, r *milvuspb.SelectRoleRequest) (*milvuspb.SelectRoleResponse, error) {
	out := &milvuspb.SelectRoleResponse{Status: status(nil)}

	if r.GetRole() != nil && s.roles[r.GetRole().GetName()] == nil {
		out.Status = status(unexpected("fail to select the role"))

		return out, nil
	}

	for _, name := range slices.Sorted(maps.Keys(s.roles)) {
		if r.GetRole() == nil || r.GetRole().GetName() == name {
			out.Results = append(out.Results, &milvuspb.RoleResult{Role: &milvuspb.RoleEntity{Name: name}})
		}
	}

	return out, nil
}

// DropRole implements milvuspb.MilvusServiceServer. A role with permissions is dropped by force only.
func (s *Server) DropRole(_ context.Context, r *milvuspb.DropRoleRequest) (*commonpb.Status, error) {
	role := s.roles[r.GetRoleName()]

	switch {
	case role == nil:
		return status(unexpected("not found the role, maybe the role isn't existed or internal system error")), nil
	case len(role.permissions) > 0 && !r.GetForceDrop():
		return status(unexpected("fail to drop the role that it has privileges. Use REVOKE API to revoke privileges")), nil
	}

	delete(s.roles, r.GetRoleName())

	return status(nil), nil
}

// OperateUserRole implements milvuspb.MilvusServiceServer. Doing it again is no error.
func (s *Server) OperateUserRole(_ context.Context, r *milvuspb.OperateUserRoleRequest) (*commonpb.Status, error) {
	role := s.roles[r.GetRoleName()]
	if _, ok := s.users[r.GetUsername()]; !ok || role == nil {
		return status(unexpected("not found the user or the role, maybe it isn't existed or internal system error")), nil
	}

	role.users = slices.DeleteFunc(role.users, func(u string) bool { return u == r.GetUsername() })
	if r.GetType() == milvuspb.OperateUserRoleType_AddUserToRole {
		role.users = append(role.users, r.GetUsername())
	}

	return status(nil), nil
}

// SelectGrant implements milvuspb.MilvusServiceServer.
func (s *Server) SelectGrant(_ context.Context, r *milvuspb.SelectGrantRequest) (*milvuspb.SelectGrantResponse, error) {
	e := r.GetEntity()

	role := s.roles[e.GetRole().GetName()]
	if role == nil {
		return &milvuspb.SelectGrantResponse{Status: status(unexpected("not found the role, maybe the role isn't existed"))}, nil
	}

	out := &milvuspb.SelectGrantResponse{Status: status(nil)}

	for _, p := range role.permissions {
		if e.GetDbName() != "*" && e.GetDbName() != p.database {
			continue
		}

		out.Entities = append(out.Entities, &milvuspb.GrantEntity{
			Role: e.GetRole(), Object: &milvuspb.ObjectEntity{Name: "Collection"}, ObjectName: p.object, DbName: p.database,
			Grantor: &milvuspb.GrantorEntity{User: &milvuspb.UserEntity{Name: rootUser}, Privilege: &milvuspb.PrivilegeEntity{Name: p.privilege}},
		})
	}

	return out, nil
}

// OperatePrivilegeV2 implements milvuspb.MilvusServiceServer. The object need not exist. Doing it again is no error.
func (s *Server) OperatePrivilegeV2(_ context.Context, r *milvuspb.OperatePrivilegeV2Request) (*commonpb.Status, error) {
	role, name := s.roles[r.GetRole().GetName()], r.GetGrantor().GetPrivilege().GetName()
	_, known := commonpb.ObjectPrivilege_value["Privilege"+name]

	switch {
	case role == nil:
		return status(unexpected("not found the role, maybe the role isn't existed or internal system error")), nil
	case !known && commonpb.ObjectPrivilege_value["PrivilegeGroup"+name] == 0:
		return status(invalid("not found the privilege name[%s]", name)), nil
	case r.GetGrantor().GetUser() == nil:
		return status(invalid("the user entity in the grantor entity is nil")), nil
	case r.GetCollectionName() == "" || r.GetDbName() == "":
		return status(invalid("collection and database of the privilege must be named")), nil
	}

	p := permission{r.GetDbName(), r.GetCollectionName(), name}

	role.permissions = slices.DeleteFunc(role.permissions, func(q permission) bool { return q == p })
	if r.GetType() == milvuspb.OperatePrivilegeType_Grant {
		role.permissions = append(role.permissions, p)
	}

	return status(nil), nil
}
