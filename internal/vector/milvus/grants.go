package milvus

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"

	"github.com/milvus-io/milvus-proto/go-api/v2/milvuspb"
	"google.golang.org/grpc/metadata"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// privileges that a login has on its collections: to read all of them, and to write vectors, which Milvus has no group
// for that would not let them drop an index as well.
var privileges = []string{"CollectionReadOnly", "Insert", "Upsert", "Delete", "Flush"}

// A permission is a privilege on a collection, or an alias: Milvus looks at the name that was asked for.
type permission struct{ name, privilege string }

// Grant implements vector.Granter: a user, and a role of the same name that nobody else has.
func (d *driver) Grant(ctx context.Context, g vector.Grant, last vector.Access) (vector.Access, error) {
	name := loginName(g.Login)

	if err := d.guarded(ctx, name); err != nil {
		return vector.Access{}, err
	}

	a, err := d.ensureUser(ctx, name, last)
	if err != nil {
		return vector.Access{}, err
	}

	return a, d.ensureRole(ctx, name, g)
}

// guarded returns Unsupported unless Milvus asks for passwords, which it does only if it is told to.
func (d *driver) guarded(ctx context.Context, name string) error {
	if !d.anonymous {
		err := d.login(ctx, vector.Access{User: name, Password: rand.Text()})
		if vector.Is(err, vector.Unauthenticated) {
			return nil
		}

		if err != nil {
			return err
		}
	}

	return vector.Errorf(vector.Unsupported, "this Milvus lets everybody in: set common.security.authorizationEnabled, and give us a login that may make others")
}

// login returns Unauthenticated if Milvus does not know a login. Everybody whom it knows may ask for its version.
func (d *driver) login(ctx context.Context, a vector.Access) error {
	v, err := d.c.GetVersion(metadata.AppendToOutgoingContext(ctx, authorization, login(a)), &milvuspb.GetVersionRequest{})

	return d.check(v.GetStatus(), err)
}

// ensureUser returns the last login if it works, else a new one.
func (d *driver) ensureUser(ctx context.Context, name string, last vector.Access) (vector.Access, error) {
	users, err := d.c.ListCredUsers(ctx, &milvuspb.ListCredUsersRequest{})
	if err := d.check(users.GetStatus(), err); err != nil {
		return vector.Access{}, err
	}

	if slices.Contains(users.GetUsernames(), name) {
		if last.User == name && last.Password != "" {
			if err = d.login(ctx, last); err == nil {
				return vector.Access{User: name, Password: last.Password}, nil
			}

			if !vector.Is(err, vector.Unauthenticated) {
				return vector.Access{}, err
			}
		}

		// A password is changed only by who knows it.
		if err := d.check(d.c.DeleteCredential(ctx, &milvuspb.DeleteCredentialRequest{Username: name})); err != nil {
			return vector.Access{}, err
		}
	}

	a := vector.Access{User: name, Password: rand.Text()}
	err = d.check(d.c.CreateCredential(ctx, &milvuspb.CreateCredentialRequest{
		Username: name, Password: base64.StdEncoding.EncodeToString([]byte(a.Password)),
	}))
	if err != nil {
		return vector.Access{}, err
	}

	return a, nil
}

// ensureRole gives the user its role, and the role its permissions and no others.
func (d *driver) ensureRole(ctx context.Context, name string, g vector.Grant) error {
	there, err := d.hasRole(ctx, name)
	if err != nil {
		return err
	}

	if !there {
		err = d.check(d.c.CreateRole(ctx, &milvuspb.CreateRoleRequest{Entity: &milvuspb.RoleEntity{Name: name}}))
		if err != nil {
			return err
		}
	}

	err = d.check(d.c.OperateUserRole(ctx, &milvuspb.OperateUserRoleRequest{
		Username: name, RoleName: name, Type: milvuspb.OperateUserRoleType_AddUserToRole,
	}))
	if err != nil {
		return err
	}

	have, err := d.permissions(ctx, name)
	if err != nil {
		return err
	}

	want := permissionsOf(g)

	for _, p := range without(have, want) {
		if err := d.operate(ctx, name, p, milvuspb.OperatePrivilegeType_Revoke); err != nil {
			return err
		}
	}

	for _, p := range without(want, have) {
		if err := d.operate(ctx, name, p, milvuspb.OperatePrivilegeType_Grant); err != nil {
			return err
		}
	}

	return nil
}

func permissionsOf(g vector.Grant) []permission {
	var ps []permission

	for _, n := range slices.Concat(g.Collections, g.Aliases) {
		for _, p := range privileges {
			ps = append(ps, permission{storeName(n), p})
		}
	}

	return ps
}

// without returns those of a list that are not in another.
func without(of, others []permission) []permission {
	var out []permission

	for _, p := range of {
		if !slices.Contains(others, p) {
			out = append(out, p)
		}
	}

	return out
}

func (d *driver) hasRole(ctx context.Context, name string) (bool, error) {
	roles, err := d.c.SelectRole(ctx, &milvuspb.SelectRoleRequest{})
	if err := d.check(roles.GetStatus(), err); err != nil {
		return false, err
	}

	return slices.ContainsFunc(roles.GetResults(), func(r *milvuspb.RoleResult) bool { return r.GetRole().GetName() == name }), nil
}

// permissions that a role has.
func (d *driver) permissions(ctx context.Context, role string) ([]permission, error) {
	grants, err := d.c.SelectGrant(ctx, &milvuspb.SelectGrantRequest{
		Entity: &milvuspb.GrantEntity{Role: &milvuspb.RoleEntity{Name: role}, DbName: d.databaseName()},
	})
	if err := d.check(grants.GetStatus(), err); err != nil {
		return nil, err
	}

	ps := make([]permission, 0, len(grants.GetEntities()))
	for _, e := range grants.GetEntities() {
		ps = append(ps, permission{e.GetObjectName(), e.GetGrantor().GetPrivilege().GetName()})
	}

	return ps, nil
}

func (d *driver) operate(ctx context.Context, role string, p permission, t milvuspb.OperatePrivilegeType) error {
	return d.check(d.c.OperatePrivilegeV2(ctx, &milvuspb.OperatePrivilegeV2Request{
		Role:    &milvuspb.RoleEntity{Name: role},
		Grantor: &milvuspb.GrantorEntity{User: &milvuspb.UserEntity{}, Privilege: &milvuspb.PrivilegeEntity{Name: p.privilege}},
		DbName:  d.databaseName(), CollectionName: p.name, Type: t,
	}))
}

// databaseName is needed by name where privileges are about.
func (d *driver) databaseName() string {
	if d.database == "" {
		return "default"
	}

	return d.database
}

// Revoke implements vector.Granter.
func (d *driver) Revoke(ctx context.Context, login string) error {
	name := loginName(login)

	users, err := d.c.ListCredUsers(ctx, &milvuspb.ListCredUsersRequest{})
	if err := d.check(users.GetStatus(), err); err != nil {
		return err
	}

	if slices.Contains(users.GetUsernames(), name) {
		if err := d.check(d.c.DeleteCredential(ctx, &milvuspb.DeleteCredentialRequest{Username: name})); err != nil {
			return err
		}
	}

	there, err := d.hasRole(ctx, name)
	if err != nil || !there {
		return err
	}

	return d.check(d.c.DropRole(ctx, &milvuspb.DropRoleRequest{RoleName: name, ForceDrop: true}))
}

// loginName returns the name of a login in Milvus, which has 32 bytes for it, all of them letters, digits and underscores.
func loginName(login string) string {
	sum := sha256.Sum256([]byte(login))

	return "aid_" + hex.EncodeToString(sum[:12])
}
