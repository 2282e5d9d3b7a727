package weaviate

import (
	"context"
	"net/http"
	"slices"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// A permission lets do one thing with one collection.
type permission struct {
	Action      string     `json:"action"`
	Collections collection `json:"collections,omitzero"`
	Data        data       `json:"data,omitzero"`
	Tenants     tenants    `json:"tenants,omitzero"`
}

type collection struct {
	Collection string `json:"collection"`
}

type data struct {
	Collection string `json:"collection"`
	Object     string `json:"object"`
	Tenant     string `json:"tenant"`
}

type tenants struct {
	Collection string `json:"collection"`
	Tenant     string `json:"tenant"`
}

// A role is a name for permissions.
type role struct {
	Name        string       `json:"name,omitempty"`
	Permissions []permission `json:"permissions"`
}

// A self is what a user may know of itself.
type self struct {
	Username string `json:"username"`
	Roles    []role `json:"roles"`
}

// permissions returns what an agent may do with its collections. What is asked for by an alias the server looks up first:
// aliases need no permission. That it may change a class is for the properties that the server adds for what is stored.
func permissions(collections []string) []permission {
	var ps []permission

	for _, name := range collections {
		c := storeName(name)

		ps = append(ps,
			permission{Action: "read_collections", Collections: collection{c}},
			permission{Action: "update_collections", Collections: collection{c}})

		for _, verb := range []string{"create", "read", "update", "delete"} {
			ps = append(ps,
				permission{Action: verb + "_data", Data: data{c, "*", "*"}},
				permission{Action: verb + "_tenants", Tenants: tenants{c, "*"}})
		}
	}

	return ps
}

// Grant implements vector.Granter. While all is as it should be that is one request.
func (d *driver) Grant(ctx context.Context, g vector.Grant, last vector.Access) (vector.Access, error) {
	if d.key == "" {
		return vector.Access{}, vector.Errorf(vector.Unsupported, "a server that does not ask for a key makes no logins")
	}

	name := userName(g.Login)
	want := role{Name: name, Permissions: permissions(g.Collections)}

	me, err := d.whoIs(ctx, last.APIKey)
	if err != nil {
		return vector.Access{}, err
	}

	known := me.Username == name
	if known && slices.ContainsFunc(me.Roles, want.same) {
		return last, nil
	}

	if err := d.makeRole(ctx, want); err != nil {
		return vector.Access{}, err
	}

	key := last.APIKey
	if !known {
		if key, err = d.makeUser(ctx, name); err != nil {
			return vector.Access{}, err
		}
	}

	in := map[string]any{"roles": []string{name}, "userType": "db"}
	if err := d.do(ctx, http.MethodPost, "/authz/users/"+name+"/assign", in, nil); err != nil {
		return vector.Access{}, err
	}

	return vector.Access{APIKey: key}, nil
}

// same says whether a role lets do the same.
func (r role) same(other role) bool {
	add, remove := r.changes(other)

	return r.Name == other.Name && len(add)+len(remove) == 0
}

// changes returns what another role lacks, and what it has too much.
func (r role) changes(other role) (add, remove []permission) {
	without := func(ps, all []permission) []permission {
		return slices.DeleteFunc(slices.Clone(ps), func(p permission) bool { return slices.Contains(all, p) })
	}

	return without(r.Permissions, other.Permissions), without(other.Permissions, r.Permissions)
}

// whoIs returns whose key it is: nobody's, if there is none or it opens nothing.
func (d *driver) whoIs(ctx context.Context, key string) (self, error) {
	if key == "" {
		return self{}, nil
	}

	var me self

	err := d.doAs(ctx, key, http.MethodGet, "/users/own-info", nil, &me)
	if vector.Is(err, vector.Unauthenticated) {
		return self{}, nil
	}

	return me, err
}

// makeRole makes sure that there is a role, and that it lets do this and nothing else.
func (d *driver) makeRole(ctx context.Context, want role) error {
	err := d.do(ctx, http.MethodPost, "/authz/roles", want, nil)
	if err != nil && !vector.Is(err, vector.Exists) {
		return err
	}

	var have role

	err = d.do(ctx, http.MethodGet, "/authz/roles/"+want.Name, nil, &have)
	if vector.Is(err, vector.NotFound) {
		return d.roleless(ctx)
	}

	if err != nil {
		return err
	}

	// A role without permissions goes, so they are added first.
	add, remove := want.changes(have)
	if len(add) > 0 {
		if err := d.do(ctx, http.MethodPost, "/authz/roles/"+want.Name+"/add-permissions", role{Permissions: add}, nil); err != nil {
			return err
		}
	}

	if len(remove) > 0 {
		return d.do(ctx, http.MethodPost, "/authz/roles/"+want.Name+"/remove-permissions", role{Permissions: remove}, nil)
	}

	return nil
}

// roleless says why a role is not there that was made: without RBAC the server makes none, and says that it did. With it
// there are always some of its own.
func (d *driver) roleless(ctx context.Context) error {
	var all []role

	switch err := d.do(ctx, http.MethodGet, "/authz/roles", nil, &all); {
	case err != nil:
		return err
	case len(all) == 0:
		return vector.Errorf(vector.Unsupported, "the server makes no roles: its RBAC is off")
	default:
		return vector.Errorf(vector.Unavailable, "a role that was made is not seen yet")
	}
}

// makeUser makes a user, or a new key for one whose key is lost, and returns the key.
func (d *driver) makeUser(ctx context.Context, name string) (string, error) {
	var made struct {
		Key string `json:"apikey"`
	}

	err := d.do(ctx, http.MethodPost, "/users/db/"+name, nil, &made)
	if vector.Is(err, vector.Exists) {
		err = d.do(ctx, http.MethodPost, "/users/db/"+name+"/rotate-key", nil, &made)
	}

	return made.Key, err
}

// Revoke implements vector.Granter.
func (d *driver) Revoke(ctx context.Context, login string) error {
	if d.key == "" {
		return nil
	}

	name := userName(login)

	for _, path := range []string{"/users/db/" + name, "/authz/roles/" + name} {
		err := d.do(ctx, http.MethodDelete, path, nil, nil)
		if err != nil && !vector.Is(err, vector.NotFound) && !vector.Is(err, vector.Unsupported) {
			return err
		}
	}

	return nil
}
