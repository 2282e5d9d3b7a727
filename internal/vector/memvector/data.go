package memvector

import (
	"context"
	"slices"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// Insert adds n vectors to a collection, as an agent does. Access is how it logs in: empty is whoever may do everything.
func (s *Store) Insert(ctx context.Context, collection string, a vector.Access, dim, n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()

	if err := s.admit(ctx, a, collection); err != nil {
		return err
	}

	st, ok := s.collections[collection]

	switch {
	case !ok:
		return vector.Errorf(vector.NotFound, "there is no collection %q", collection)
	case int(st.Dim) != dim:
		return vector.Errorf(vector.Invalid, "a vector of %d dimensions does not fit into %q, which has %d", dim, collection, st.Dim)
	}

	count := int64(n)
	if st.Vectors != nil {
		count += *st.Vectors
	}

	st.Vectors = &count
	s.collections[collection] = st

	return nil
}

// Search returns how many vectors are found in a collection, or behind an alias: up to 10.
func (s *Store) Search(ctx context.Context, name string, a vector.Access, dim int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if err := s.admit(ctx, a, name); err != nil {
		return 0, err
	}

	if c, ok := s.aliases[name]; ok {
		name = c
	}

	st, ok := s.collections[name]

	switch {
	case !ok:
		return 0, vector.Errorf(vector.NotFound, "there is no collection %q", name)
	case int(st.Dim) != dim:
		return 0, vector.Errorf(vector.Invalid, "a vector of %d dimensions cannot be compared with those of %q, which have %d", dim, name, st.Dim)
	case st.Vectors == nil:
		return 0, nil
	}

	return int(min(*st.Vectors, 10)), nil
}

// admit lets a login to its own collections and aliases.
func (s *Store) admit(ctx context.Context, a vector.Access, name string) error {
	if err := ctx.Err(); err != nil {
		return &vector.Error{Kind: vector.Unavailable, Err: err}
	}

	if a == (vector.Access{}) {
		return nil
	}

	l, ok := s.logins[a.User]

	switch {
	case !ok || l.password != a.Password:
		return vector.Errorf(vector.Unauthenticated, "the password of %q is wrong", a.User)
	case !slices.Contains(l.Collections, name) && !slices.Contains(l.Aliases, name):
		return vector.Errorf(vector.PermissionDenied, "%q may not use %q", a.User, name)
	}

	return nil
}
