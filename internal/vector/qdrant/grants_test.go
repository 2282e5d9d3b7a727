package qdrant_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	pb "github.com/qdrant/go-client/qdrant"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/qdrant/qdranttest"
)

func grant(t *testing.T, d vector.Driver, collections ...string) (vector.Access, error) {
	t.Helper()

	g, ok := d.(vector.Granter)
	if !ok {
		t.Fatal("the driver grants nothing")
	}

	return g.Grant(t.Context(), vector.Grant{Login: "team/coder", Collections: collections, Aliases: []string{"alias"}}, vector.Access{})
}

// TestToken: it opens what it says and nothing else, in the same bytes each time, and the server is tried once.
func TestToken(t *testing.T) {
	s, d := start(t, qdranttest.Options{APIKey: apiKey, Tokens: true})

	a, err := grant(t, d, "b", "a", "b")
	if err != nil {
		t.Fatal(err)
	}

	claims, err := base64.RawURLEncoding.DecodeString(strings.Split(a.APIKey, ".")[1])
	if err != nil {
		t.Fatal(err)
	}

	want := `{"access":[{"collection":"a","access":"rw"},{"collection":"alias","access":"rw"},{"collection":"b","access":"rw"}]}`
	if diff := cmp.Diff(want, string(claims)); diff != "" {
		t.Errorf("-want, +got claims:\n%s", diff)
	}

	again, err := grant(t, d, "a", "b")
	if err != nil || again != a {
		t.Errorf("the second token is another one (%v)", err)
	}

	if diff := cmp.Diff(map[string]int{"Collections/CollectionExists": 2}, s.Calls()); diff != "" {
		t.Errorf("-want, +got requests:\n%s", diff)
	}
}

// TestNoTokens: where a token would not be taken, or keeps nobody out, or gives the key away, there is none.
func TestNoTokens(t *testing.T) {
	cases := map[string]struct {
		reason string
		opts   qdranttest.Options
		key    string
		says   string
	}{
		"NoRBAC":   {"The server does not know tokens.", qdranttest.Options{APIKey: apiKey}, apiKey, "service.jwt_rbac"},
		"ReadOnly": {"Tokens are signed with the other key.", qdranttest.Options{APIKey: apiKey, ReadOnlyKey: "the-key-for-reading", Tokens: true}, "the-key-for-reading", "signed with this API key"},
		"Open":     {"The server asks nobody.", qdranttest.Options{}, apiKey, "lets everybody in"},
		"NoKey":    {"There is nothing to sign with.", qdranttest.Options{}, "", "no API key"},
		"Short":    {"It can be guessed from a token.", qdranttest.Options{APIKey: "short", Tokens: true}, "short", "shorter"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := qdranttest.Start(t, tc.opts)
			d := open(t, vector.Config{Endpoint: "http://" + s.Address(), Access: vector.Access{APIKey: tc.key}})

			for range 2 {
				_, err := grant(t, d, "mine")
				if !vector.Is(err, vector.Unsupported) || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("%s\nGrant: %v (%s), want %q", tc.reason, err, vector.KindOf(err), tc.says)
				}
			}
		})
	}
}

// TestLeastPrivilege: a login reads and writes its collection, by its name and its alias, and does nothing else.
func TestLeastPrivilege(t *testing.T) {
	s, d := start(t, qdranttest.Options{APIKey: apiKey, Tokens: true})
	a := newAgent(t, s)

	if err := d.Create(t.Context(), spec()); err != nil {
		t.Fatal(err)
	}

	if err := d.(vector.Aliaser).PointAlias(t.Context(), "alias", spec().Name); err != nil {
		t.Fatal(err)
	}

	access, err := grant(t, d, spec().Name)
	if err != nil {
		t.Fatal(err)
	}

	for _, name := range []string{spec().Name, "alias"} {
		if err := a.insert(t.Context(), name, access, 8, 1); err != nil {
			t.Errorf("insert into %s: %v", name, err)
		}
	}

	scoped := open(t, vector.Config{Endpoint: "http://" + s.Address(), Access: access})
	other := spec()
	other.Name, other.Owner = "other", "somebody"
	taken := spec()
	taken.Owner = "somebody"

	tries := map[string]error{
		"create": scoped.Create(t.Context(), other),
		"drop":   scoped.Drop(t.Context(), spec().Name),
		"alter":  scoped.Alter(t.Context(), taken, describe(t, d)),
		"alias":  scoped.(vector.Aliaser).PointAlias(t.Context(), "mine", spec().Name),
	}

	for what, err := range tries {
		if !vector.Is(err, vector.PermissionDenied) {
			t.Errorf("%s: %v (%s)", what, err, vector.KindOf(err))
		}
	}

	if err := a.insert(t.Context(), "other", access, 8, 1); status.Code(err) != codes.PermissionDenied {
		t.Errorf("insert elsewhere: %v", err)
	}

	if st := describe(t, d); st.Owner != spec().Owner || *st.Vectors != 2 {
		t.Errorf("what was not allowed was done: %+v", st)
	}

	// An agent may see what its collection is like.
	if _, err := pb.NewCollectionsClient(dial(t, s)).Get(as(t.Context(), access), &pb.GetCollectionInfoRequest{CollectionName: "alias"}); err != nil {
		t.Error(err)
	}
}
