package chroma

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCollectionsOf(t *testing.T) {
	type want struct {
		URL  string
		Kind vector.Kind
	}

	const path = "/api/v2/tenants/default_tenant/databases/default_database/collections"

	cases := map[string]struct {
		reason   string
		endpoint string
		want     want
	}{
		"Server":       {"Without a path it is the server's own database.", "http://chroma.memory:8000", want{URL: "http://chroma.memory:8000" + path}},
		"Slash":        {"A slash is no path.", "https://chroma.example.org/", want{URL: "https://chroma.example.org" + path}},
		"IPv6":         {"An address may be one in brackets.", "http://[::1]:8000", want{URL: "http://[::1]:8000" + path}},
		"Database":     {"A path names a tenant and a database.", "https://c:443/team-a/db", want{URL: "https://c:443/api/v2/tenants/team-a/databases/db/collections"}},
		"Escaped":      {"Names are escaped again.", "https://c/team%20a/d%3Fb", want{URL: "https://c/api/v2/tenants/team%20a/databases/d%3Fb/collections"}},
		"NoDatabase":   {"A tenant alone has no collections.", "http://c:8000/team-a", want{Kind: vector.Invalid}},
		"API":          {"The path of the API is ours to know.", "http://c:8000/api/v2", want{Kind: vector.Invalid}},
		"TooDeep":      {"Nothing is below a database.", "http://c:8000/a/b/c", want{Kind: vector.Invalid}},
		"Scheme":       {"Only HTTP is spoken.", "grpc://c:8000", want{Kind: vector.Invalid}},
		"NoScheme":     {"A host alone is not a URL.", "c:8000", want{Kind: vector.Invalid}},
		"NoHost":       {"A URL needs a host.", "http:///a/b", want{Kind: vector.Invalid}},
		"Credentials":  {"Credentials are no part of it.", "http://user:hunter2@c:8000", want{Kind: vector.Invalid}},
		"BadPassword":  {"Nor are they told when it is no URL.", "http://user:hunter2%@c:8000", want{Kind: vector.Invalid}},
		"Query":        {"There are no options.", "http://c:8000/?tenant=a", want{Kind: vector.Invalid}},
		"NotEvenClose": {"It may be nothing at all.", "", want{Kind: vector.Invalid}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			u, err := collectionsOf(tc.endpoint)
			if diff := cmp.Diff(tc.want, want{u, vector.KindOf(err)}); diff != "" {
				t.Errorf("\n%s\n-want, +got:\n%s", tc.reason, diff)
			}

			if err != nil && (strings.Contains(err.Error(), "hunter2") || !strings.Contains(err.Error(), "HOST:PORT")) {
				t.Errorf("\n%s\nThe error tells a password, or not what is right: %v", tc.reason, err)
			}
		})
	}
}

// The answers are those of a server 1.0.0, and of what stands before one.
func TestRefusal(t *testing.T) {
	type want struct {
		Kind vector.Kind
		Text string
	}

	cases := map[string]struct {
		reason string
		status int
		body   string
		want   want
	}{
		"NotFound": {
			"The server knows no such collection.",
			404, `{"error":"NotFoundError","message":"Collection [c] does not exists"}`,
			want{vector.NotFound, "Collection [c] does not exists"},
		},
		"NoAPI": {
			"Something else answers: that a collection is not there would be a lie.",
			404, "404 page not found\n",
			want{vector.Invalid, "there is no Chroma 1.0 or newer at the endpoint: 404 Not Found 404 page not found"},
		},
		"Exists": {
			"There is one of this name.",
			409, `{"error":"ChromaError","message":"Collection [c] already exists"}`,
			want{vector.Exists, "Collection [c] already exists"},
		},
		"NoDatabase": {
			"Databases are not ours to make.",
			400, `{"error":"InvalidArgumentError","message":"Database [nodb] does not exist"}`,
			want{vector.Invalid, "Database [nodb] does not exist"},
		},
		"UnknownField": {
			"The server does not understand.",
			422, `{"error":"ChromaError","message":"Failed to deserialize the JSON body into the target type"}`,
			want{vector.Invalid, "Failed to deserialize the JSON body into the target type"},
		},
		"Full": {
			"The server's database found no room on its disk.",
			500, `{"error":"InternalError","message":"Database error: error returned from database: (code: 13) database or disk is full"}`,
			want{vector.QuotaExceeded, "Database error: error returned from database: (code: 13) database or disk is full"},
		},
		"Quota": {
			"An account has a limit.",
			422, `{"error":"ChromaError","message":"Quota exceeded: NumCollections"}`,
			want{vector.QuotaExceeded, "Quota exceeded: NumCollections"},
		},
		"OldQuota": {
			"It had another status once.",
			429, `{"error":"ChromaError","message":"Quota exceeded: NumCollections"}`,
			want{vector.QuotaExceeded, "Quota exceeded: NumCollections"},
		},
		"TooFast": {
			"Later it will work.",
			429, `{"error":"ChromaError","message":"Rate limit exceeded"}`,
			want{vector.Unavailable, "Rate limit exceeded"},
		},
		"Internal": {
			"The server is not well.",
			500, `{"error":"InternalError","message":"Database error: database is locked"}`,
			want{vector.Unavailable, "Database error: database is locked"},
		},
		"Gateway": {
			"The server is not there, says who stands before it.",
			502, "<html>Bad Gateway</html>",
			want{vector.Unavailable, "502 Bad Gateway <html>Bad Gateway</html>"},
		},
		"NoKey":     {"Who stands before it does not know us.", 401, "", want{vector.Unauthenticated, "401 Unauthorized"}},
		"Forbidden": {"Who stands before it does not let us.", 403, "", want{vector.PermissionDenied, "403 Forbidden"}},
		"Redirect":  {"The key would go along.", 307, "", want{vector.Invalid, `the endpoint redirects to "https://elsewhere.example.org/", where it should point itself`}},
		"Long":      {"What is not the server's own is not told at length.", 418, strings.Repeat("x", 9999), want{vector.Invalid, "418 I'm a teapot " + strings.Repeat("x", maxWords)}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := refusal(&http.Response{
				StatusCode: tc.status,
				Status:     fmt.Sprint(tc.status, " ", http.StatusText(tc.status)),
				Header:     http.Header{"Location": {"https://elsewhere.example.org/"}},
			}, []byte(tc.body))
			if diff := cmp.Diff(tc.want, want{vector.KindOf(err), err.Error()}); diff != "" {
				t.Errorf("\n%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestCreation(t *testing.T) {
	cases := map[string]struct {
		reason string
		spec   vector.Spec
		want   string
	}{
		"Bare": {
			"What nobody has an opinion on is not said, and the stamps always are.",
			vector.Spec{Name: "c", Properties: vector.Properties{Dim: 3}},
			`{"name":"c.0","metadata":{"southwest.ai/dim":3},"configuration":{"hnsw":{}}}`,
		},
		"Everything": {
			"All there is to choose is chosen at once.",
			vector.Spec{Name: "memory", Owner: `a "b"`, Properties: vector.Properties{
				Dim: 3, Distance: vector.Dot, Index: vector.HNSW, M: number(12), EfConstruction: number(72), Ef: number(96),
			}},
			`{"name":"memory","metadata":{"southwest.ai/dim":3,"southwest.ai/owner":"a \"b\""},` +
				`"configuration":{"hnsw":{"space":"ip","ef_construction":72,"ef_search":96,"max_neighbors":12}}}`,
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := json.Marshal(creation((&driver{}).StoreName(tc.spec.Name), tc.spec))
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(tc.want, string(got)); diff != "" {
				t.Errorf("\n%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestState(t *testing.T) {
	type want struct {
		State vector.State
		Kind  vector.Kind
	}

	state := func(owner string, dim int32) vector.State {
		return vector.State{Owner: owner, IndexState: vector.IndexReady, Properties: vector.Properties{
			Dim: dim, Distance: vector.Cosine, Tenancy: vector.Single,
			Index: vector.HNSW, M: number(16), EfConstruction: number(100), Ef: number(50),
		}}
	}

	const hnsw = `"configuration_json":{"hnsw":{"space":"cosine","ef_construction":100,"ef_search":50,"max_neighbors":16,"resize_factor":1.2},"spann":null}`

	cases := map[string]struct {
		reason string
		answer string
		want   want
	}{
		"Foreign":   {"A collection that is not ours has no owner, and no dimension while it is empty.", `{` + hnsw + `,"metadata":null,"dimension":null}`, want{State: state("", 0)}},
		"Empty":     {"While it is empty, it has the dimension that was asked for.", `{` + hnsw + `,"metadata":{"southwest.ai/owner":"o","southwest.ai/dim":8},"dimension":null}`, want{State: state("o", 8)}},
		"Used":      {"The dimension of the vectors counts.", `{` + hnsw + `,"metadata":{"southwest.ai/owner":"o","southwest.ai/dim":8},"dimension":4}`, want{State: state("o", 4)}},
		"Spoilt":    {"Stamps that somebody spoilt are none.", `{` + hnsw + `,"metadata":{"southwest.ai/owner":7,"southwest.ai/dim":"many"}}`, want{State: state("", 0)}},
		"SPANN":     {"What is not known is not guessed.", `{"configuration_json":{"hnsw":null,"spann":{"space":"cosine"}}}`, want{Kind: vector.Unsupported}},
		"NewMetric": {"Nor is a space of a later version.", `{"configuration_json":{"hnsw":{"space":"hamming"}}}`, want{Kind: vector.Unsupported}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var c collection
			if err := json.Unmarshal([]byte(tc.answer), &c); err != nil {
				t.Fatal(err)
			}

			s, err := c.state()
			if diff := cmp.Diff(tc.want, want{s, vector.KindOf(err)}); diff != "" {
				t.Errorf("\n%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestUpdate(t *testing.T) {
	cases := map[string]struct {
		reason string
		have   string
		want   vector.Spec
		sent   string
	}{
		"Same": {
			"What is as it should be is not written.",
			`{"metadata":{"southwest.ai/owner":"o","southwest.ai/dim":8},"configuration_json":{"hnsw":{"ef_search":50}}}`,
			vector.Spec{Owner: "o", Properties: vector.Properties{Dim: 8, Ef: number(50)}}, `{}`,
		},
		"NoOpinion": {
			"Nor what nobody has an opinion on.",
			`{"metadata":{"southwest.ai/owner":"o","southwest.ai/dim":8},"configuration_json":{"hnsw":{"ef_search":50}}}`,
			vector.Spec{Owner: "o", Properties: vector.Properties{Dim: 8}}, `{}`,
		},
		"Ef": {
			"A change of the index leaves the metadata alone.",
			`{"metadata":{"southwest.ai/owner":"o","southwest.ai/dim":8},"configuration_json":{"hnsw":{"ef_search":50}}}`,
			vector.Spec{Owner: "o", Properties: vector.Properties{Dim: 8, Ef: number(99)}}, `{"new_configuration":{"hnsw":{"ef_search":99}}}`,
		},
		"Import": {
			"What others wrote stays, exactly.",
			`{"metadata":{"by":"hand","n":1.0,"on":true},"configuration_json":{"hnsw":{}}}`,
			vector.Spec{Owner: "o", Properties: vector.Properties{Dim: 8}},
			`{"new_metadata":{"by":"hand","n":1.0,"on":true,"southwest.ai/dim":8,"southwest.ai/owner":"o"}}`,
		},
		"Release": {
			"Without an owner there is still metadata: the server refuses none.",
			`{"metadata":{"southwest.ai/owner":"o"},"configuration_json":{"hnsw":{}}}`,
			vector.Spec{Properties: vector.Properties{Dim: 8}}, `{"new_metadata":{"southwest.ai/dim":8}}`,
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var c collection
			if err := json.Unmarshal([]byte(tc.have), &c); err != nil {
				t.Fatal(err)
			}

			u, needed := c.update(tc.want)

			got, err := json.Marshal(u)
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(tc.sent, string(got)); diff != "" || needed != (tc.sent != "{}") {
				t.Errorf("\n%s\nneeded: %v, -want, +got:\n%s", tc.reason, needed, diff)
			}
		})
	}
}

func TestStoreName(t *testing.T) {
	d := &driver{}
	names := rapid.StringMatching(`[A-Za-z][A-Za-z0-9_-]{0,62}`)
	legal := func(s string) bool {
		last := s[len(s)-1]

		return len(s) >= 3 && len(s) <= 512 && last != '-' && last != '_' && last != '.' && !strings.Contains(s, "..")
	}

	rapid.Check(t, func(t *rapid.T) {
		a, b := names.Draw(t, "a"), names.Draw(t, "b")
		if !legal(d.StoreName(a)) {
			t.Fatalf("%q becomes %q, which the server refuses", a, d.StoreName(a))
		}

		if a != b && d.StoreName(a) == d.StoreName(b) {
			t.Fatalf("%q and %q both become %q", a, b, d.StoreName(a))
		}

		if legal(a) && d.StoreName(a) != a {
			t.Fatalf("%q becomes %q without need", a, d.StoreName(a))
		}
	})
}

func TestOpen(t *testing.T) {
	d, err := Open(vector.Config{Endpoint: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}

	d.Close()

	if _, err = Open(vector.Config{Endpoint: "tcp://127.0.0.1:1"}); !vector.Is(err, vector.Invalid) {
		t.Errorf("an endpoint that is none: got %v, want an error of kind %s", err, vector.Invalid)
	}

	var e *vector.Error
	if !errors.As(err, &e) {
		t.Errorf("got a %T, want a *vector.Error", err)
	}
}

func number(n int32) *int32 { return &n }
