package vectortest

import (
	"fmt"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// aliases point to a collection, one at a time, and are none.
func (s *suite) aliases(t *testing.T) {
	d, ok := s.d.Driver.(vector.Aliaser)
	if !ok {
		t.Skip("the store has no aliases")
	}

	blue, green := s.spec(t), s.spec(t)
	alias, second := s.name()+"-alias", s.name()+"_Alias"

	s.mustCreate(t, blue)
	s.mustCreate(t, green)
	s.mustInsert(t, blue.Name, 2)
	s.mustInsert(t, green.Name, 3)

	s.point(t, d, alias, blue.Name)
	s.point(t, d, alias, blue.Name)
	s.point(t, d, second, blue.Name)
	s.reached(t, blue.Name, alias, second)
	s.finds(t, alias, 2)

	_, err := s.d.Describe(within(t), alias)
	wantKind(t, err, vector.NotFound, "Describe of an alias")

	must(t, s.d.Drop(within(t), alias), "Drop of an alias, which is not a collection")
	must(t, s.d.seen(d.DropAlias(within(t), blue.Name)), "DropAlias of a collection, which is not an alias")
	s.count(t, blue.Name, 2)
	s.reached(t, blue.Name, alias, second)

	clash := s.named(t, alias)
	wantKind(t, s.d.Create(within(t), clash), vector.Exists, "Create of what is an alias")
	wantKind(t, s.d.seen(d.PointAlias(within(t), green.Name, blue.Name)), vector.Exists, "PointAlias of what is a collection")
	wantKind(t, s.d.seen(d.PointAlias(within(t), s.name(), s.name())), vector.NotFound, "PointAlias to what is not there")

	s.point(t, d, alias, green.Name)
	s.reached(t, blue.Name, second)
	s.reached(t, green.Name, alias)
	s.finds(t, alias, 3)

	must(t, s.d.seen(d.DropAlias(within(t), second)), "DropAlias")
	must(t, s.d.seen(d.DropAlias(within(t), second)), "DropAlias again")
	s.reached(t, blue.Name)

	must(t, s.d.Drop(within(t), green.Name), "Drop of a collection with an alias")

	_, err = s.d.Describe(within(t), green.Name)
	wantKind(t, err, vector.NotFound, "Describe after Drop")

	// Whether the alias went along is the store's business. It must not stand in the way.
	s.point(t, d, alias, blue.Name)
	s.reached(t, blue.Name, alias)
	must(t, s.d.seen(d.DropAlias(within(t), alias)), "DropAlias")
	s.count(t, blue.Name, 2)

	t.Run("other dimension", s.aliasOfOtherDim)
}

// aliasOfOtherDim moves an alias to a collection of another dimension, as with another embedding model.
func (s *suite) aliasOfOtherDim(t *testing.T) {
	d := s.d.Driver.(vector.Aliaser) //nolint:forcetypeassert // The caller has looked.
	alias := s.name()
	small, large := s.spec(t), s.spec(t, func(p *vector.Properties) { p.Dim = 2 * dim })

	for _, sp := range []vector.Spec{small, large, small} {
		if sp.Name != alias {
			err := s.d.Create(within(t), sp)
			if err != nil && !vector.Is(err, vector.Exists) {
				t.Fatal(err)
			}
		}

		s.point(t, d, alias, sp.Name)
		s.reached(t, sp.Name, alias)

		if err := s.Insert(within(t), sp.Name, vector.Access{}, int(sp.Dim), 1); err != nil {
			t.Fatal(err)
		}

		s.eventually(t, func() error {
			if n, err := s.Search(within(t), alias, vector.Access{}, int(sp.Dim)); err != nil || n == 0 {
				return fmt.Errorf("a search behind the alias finds %d: %w", n, err)
			}

			return nil
		})
	}

	must(t, s.d.seen(d.DropAlias(within(t), alias)), "DropAlias")
}

// point points an alias and removes it with the test.
func (s *suite) point(t *testing.T, d vector.Aliaser, alias, collection string) {
	t.Helper()

	must(t, s.d.seen(d.PointAlias(within(t), alias, collection)), "PointAlias(%q, %q)", alias, collection)
}

// reached fails the test unless a collection has these aliases.
func (s *suite) reached(t *testing.T, collection string, aliases ...string) {
	t.Helper()

	s.eventually(t, func() error {
		st, err := s.d.Describe(within(t), collection)
		if err != nil {
			return err
		}

		if diff := gocmp.Diff(aliases, st.Aliases, cmpopts.EquateEmpty()); diff != "" {
			return fmt.Errorf("-want, +got aliases:\n%s", diff)
		}

		return nil
	})
}

// grants let a login into its own collections and no others.
func (s *suite) grants(t *testing.T) {
	d, ok := s.d.Driver.(vector.Granter)

	switch {
	case !ok:
		t.Skip("the store makes no logins")
	case s.NoGrants != "":
		t.Skip(s.NoGrants)
	}

	mine, other := s.spec(t), s.spec(t)
	s.mustCreate(t, mine)
	s.mustCreate(t, other)
	s.mustInsert(t, other.Name, 1)

	g := vector.Grant{Login: s.name() + "/agent", Collections: []string{mine.Name}}

	t.Cleanup(func() { s.revoke(t, d, g.Login) })

	a := s.grant(t, d, g, vector.Access{})
	s.lets(t, a, mine.Name)
	s.keepsOut(t, a, other.Name)

	if again := s.grant(t, d, g, a); again != a {
		t.Error("the second time there is another secret, though the first works")
	}

	s.lets(t, a, mine.Name)

	// The secret is lost, or was never written down because we died.
	a = s.grant(t, d, g, vector.Access{})
	s.lets(t, a, mine.Name)

	g.Collections = append(g.Collections, other.Name)
	a = s.grant(t, d, g, a)
	s.lets(t, a, mine.Name)
	s.lets(t, a, other.Name)

	g.Collections = g.Collections[1:]
	a = s.grant(t, d, g, a)
	s.keepsOut(t, a, mine.Name)
	s.lets(t, a, other.Name)

	s.grantAlias(t, d, g, a, mine.Name)

	s.revoke(t, d, g.Login)
	s.revoke(t, d, g.Login)

	if !s.TokensOutliveRevoke {
		s.keepsOut(t, a, other.Name)
	}
}

// grantAlias lets a login search behind an alias of its collection.
func (s *suite) grantAlias(t *testing.T, d vector.Granter, g vector.Grant, a vector.Access, mine string) {
	t.Helper()

	al, ok := s.d.Driver.(vector.Aliaser)
	if !ok {
		return
	}

	alias := s.name() + "_alias"
	s.point(t, al, alias, mine)

	defer func() { must(t, s.d.seen(al.DropAlias(within(t), alias)), "DropAlias") }()

	g.Collections = append([]string{mine}, g.Collections...)
	g.Aliases = []string{alias}
	a = s.grant(t, d, g, a)

	s.eventually(t, func() error {
		if n, err := s.Search(within(t), alias, a, dim); err != nil || n == 0 {
			return fmt.Errorf("a search behind the alias finds %d: %w", n, err)
		}

		return nil
	})
}

func (s *suite) grant(t *testing.T, d vector.Granter, g vector.Grant, last vector.Access) vector.Access {
	t.Helper()

	a, err := d.Grant(within(t), g, last)
	must(t, s.d.seen(err), "Grant(%+v)", g)

	if len(secrets(a)) == 0 {
		t.Fatal("a login without a secret")
	}

	return a
}

func (s *suite) revoke(t *testing.T, d vector.Granter, login string) {
	t.Helper()

	ctx, cancel := contextOf(t)
	defer cancel()

	must(t, s.d.seen(d.Revoke(ctx, login)), "Revoke")
}

// lets fails the test unless a login can write and search.
func (s *suite) lets(t *testing.T, a vector.Access, collection string) {
	t.Helper()

	s.eventually(t, func() error { return s.Insert(within(t), collection, a, dim, 1) })
	s.eventually(t, func() error {
		if n, err := s.Search(within(t), collection, a, dim); err != nil || n == 0 {
			return fmt.Errorf("a search finds %d: %w", n, err)
		}

		return nil
	})
}

// keepsOut fails the test if a login can write or search.
func (s *suite) keepsOut(t *testing.T, a vector.Access, collection string) {
	t.Helper()

	s.eventually(t, func() error {
		if s.Insert(within(t), collection, a, dim, 1) == nil {
			return fmt.Errorf("a login wrote to %q, which is not its own", collection)
		}

		if _, err := s.Search(within(t), collection, a, dim); err == nil {
			return fmt.Errorf("a login searched %q, which is not its own", collection)
		}

		return nil
	})
}
