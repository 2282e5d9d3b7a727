//go:build integration

package weaviate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/vectortest/servers"
)

func describe(t *testing.T, d *driver, name string) vector.State {
	t.Helper()

	st, err := d.Describe(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}

	return st
}

func number(n int32) *int32 { return &n }

// testDrift: an agent was first with vectors of another dimension, and somebody set another ef.
func testDrift(t *testing.T, a *agent) {
	t.Helper()

	want := vector.Spec{Name: "drift", Owner: "o", Properties: vector.Properties{Dim: 8, Ef: number(77)}}
	if err := a.Create(t.Context(), want); err != nil {
		t.Fatal(err)
	}

	if err := a.insert(t.Context(), want.Name, vector.Access{}, 3, 1); err != nil {
		t.Fatal(err)
	}

	other := want
	other.Ef = number(88)

	if err := a.Alter(t.Context(), other, describe(t, a.driver, want.Name)); err != nil {
		t.Fatal(err)
	}

	diff := gocmp.Diff(vector.Difference{
		Immutable: []vector.Change{{Property: "dim", Want: "8", Have: "3"}},
		Mutable:   []vector.Change{{Property: "index.ef", Want: "77", Have: "88"}},
	}, Features.Compare(want, describe(t, a.driver, want.Name)))
	if diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

// testImport takes over a class of somebody's, with one named vector and properties of all sorts. All that is theirs stays.
func testImport(t *testing.T, a *agent) {
	t.Helper()

	theirs := `{"class":"Theirs","description":"Line one.\nLine two.","vectorConfig":{"default":{"vectorizer":{"none":{}},
		"vectorIndexType":"hnsw","vectorIndexConfig":{"distance":"cosine","vectorCacheMaxObjects":9007199254740993}}},
		"properties":[{"name":"topic","dataType":["text"],"tokenization":"field"},{"name":"other","dataType":["int"]},
			{"name":"many","dataType":["text[]"]}]}`
	if err := a.do(t.Context(), http.MethodPost, "/schema", json.RawMessage(theirs), nil); err != nil {
		t.Fatal(err)
	}

	was := rawClass(t, a)
	want := vector.Spec{Name: "Theirs", Owner: "o", Properties: vector.Properties{
		Dim: 8, Distance: vector.Cosine, Ef: number(77), Quantization: vector.Scalar,
		IndexedFields: []vector.Field{{Name: "New", Type: vector.Integer}, {Name: "topic", Type: vector.Keyword}},
	}}

	if err := a.Alter(t.Context(), want, describe(t, a.driver, want.Name)); err != nil {
		t.Fatal(err)
	}

	if diff := gocmp.Diff(vector.Difference{}, Features.Compare(want, describe(t, a.driver, want.Name))); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}

	now := rawClass(t, a)
	config := was["vectorConfig"].(map[string]any)["default"].(map[string]any)["vectorIndexConfig"].(map[string]any)
	config["ef"] = 77.0
	config["rq"].(map[string]any)["enabled"] = true
	was["description"] = "Line one.\nLine two.\n" + `aidispatcher: {"owner":"o","dim":8,"fields":["New","topic"]}`
	was["properties"] = slices.Insert(was["properties"].([]any), 1, any(map[string]any{
		"dataType": []any{"int"}, "indexFilterable": true, "indexRangeFilters": false, "indexSearchable": false, "name": "new",
	}))

	if diff := gocmp.Diff(was, now); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}

	want.IndexedFields = append(want.IndexedFields, vector.Field{Name: "many", Type: vector.Keyword})
	if err := a.Alter(t.Context(), want, describe(t, a.driver, want.Name)); !vector.Is(err, vector.ImmutableMismatch) {
		t.Errorf("a field of another type: got %v, want an error of kind %s", err, vector.ImmutableMismatch)
	}
}

func rawClass(t *testing.T, a *agent) map[string]any {
	t.Helper()

	var c map[string]any
	if err := a.do(t.Context(), http.MethodGet, "/schema/Theirs", nil, &c); err != nil {
		t.Fatal(err)
	}

	// The server sorts them as it likes.
	slices.SortFunc(c["properties"].([]any), func(a, b any) int {
		return cmp.Compare(a.(map[string]any)["name"].(string), b.(map[string]any)["name"].(string))
	})

	return c
}

// testStolen: between our looking and our writing somebody else made the collection theirs.
func testStolen(t *testing.T, a *agent) {
	t.Helper()

	if err := a.Create(t.Context(), vector.Spec{Name: "stolen", Owner: "thief", Properties: vector.Properties{Dim: 8}}); err != nil {
		t.Fatal(err)
	}

	want := vector.Spec{Name: "stolen", Owner: "us", Properties: vector.Properties{Dim: 8}}
	if err := a.Alter(t.Context(), want, vector.State{Owner: ""}); !vector.Is(err, vector.Owned) {
		t.Errorf("got %v, want an error of kind %s", err, vector.Owned)
	}

	if have := describe(t, a.driver, "stolen"); have.Owner != "thief" {
		t.Errorf("the owner is %q, want the one that was first", have.Owner)
	}
}

// testFlatLater: a flat index has its quantization from the beginning or never.
func testFlatLater(t *testing.T, a *agent) {
	t.Helper()

	want := vector.Spec{Name: "flat", Owner: "o", Properties: vector.Properties{Dim: 8, Index: vector.Flat}}
	if err := a.Create(t.Context(), want); err != nil {
		t.Fatal(err)
	}

	want.Quantization = vector.Binary
	if err := a.Alter(t.Context(), want, describe(t, a.driver, want.Name)); !vector.Is(err, vector.ImmutableMismatch) {
		t.Errorf("got %v, want an error of kind %s", err, vector.ImmutableMismatch)
	}

	if have := describe(t, a.driver, want.Name); have.Quantization != vector.QuantizationNone {
		t.Errorf("the quantization is %s, want it as it was", have.Quantization)
	}
}

// testOtherCase: of two classes that differ in case only, the server has one.
func testOtherCase(t *testing.T, a *agent) {
	t.Helper()

	if err := a.Create(t.Context(), vector.Spec{Name: "Docs", Properties: vector.Properties{Dim: 8}}); err != nil {
		t.Fatal(err)
	}

	if err := a.Create(t.Context(), vector.Spec{Name: "DOCS", Properties: vector.Properties{Dim: 8}}); !vector.Is(err, vector.Exists) {
		t.Errorf("got %v, want an error of kind %s", err, vector.Exists)
	}
}

// testTooManyReplicas: there is one node.
func testTooManyReplicas(t *testing.T, a *agent) {
	t.Helper()

	err := a.Create(t.Context(), vector.Spec{Name: "replicated", Properties: vector.Properties{Dim: 8, Replicas: number(2)}})
	if !vector.Is(err, vector.QuotaExceeded) {
		t.Errorf("got %v, want an error of kind %s", err, vector.QuotaExceeded)
	}
}

// testGrants: what a login may do beside its collection, what it costs to look, and how it heals.
func testGrants(t *testing.T, s servers.WeaviateServer, a *agent) {
	t.Helper()

	for _, name := range []string{"mem", "mem2"} { // The one name begins the other.
		if err := a.Create(t.Context(), vector.Spec{Name: name, Owner: "o", Properties: vector.Properties{Dim: 8}}); err != nil {
			t.Fatal(err)
		}
	}

	var requests atomic.Int32

	front := httptest.NewServer(before(t, s.REST, nil, func(*http.Response) error { requests.Add(1); return nil }))
	t.Cleanup(front.Close)

	d := open(t, vector.Config{Endpoint: front.URL, Access: root})
	g := vector.Grant{Login: "team-a/coder", Collections: []string{"mem"}}
	grant := func(last vector.Access) vector.Access {
		t.Helper()

		got, err := d.Grant(t.Context(), g, last)
		if err != nil {
			t.Fatal(err)
		}

		return got
	}

	first := grant(vector.Access{})
	requests.Store(0)

	if again := grant(first); again != first || requests.Load() != 1 {
		t.Errorf("the second time it took %d requests and the access is the same: %v; want 1 and true", requests.Load(), again == first)
	}

	errs := calls(t.Context(), open(t, vector.Config{Endpoint: s.REST, Access: first}))
	for call, err := range errs {
		if !vector.Is(err, vector.PermissionDenied) {
			t.Errorf("%s of a login: got %v, want an error of kind %s", call, err, vector.PermissionDenied)
		}
	}

	agent := newAgent(t, s, first)
	if err := agent.insert(t.Context(), "mem", vector.Access{}, 8, 1); err != nil {
		t.Errorf("a login cannot write into its collection: %v", err)
	}

	if err := agent.insert(t.Context(), "mem2", vector.Access{}, 8, 1); err == nil {
		t.Error("a login wrote into another collection")
	}

	if err := agent.Drop(t.Context(), "mem"); !vector.Is(err, vector.PermissionDenied) {
		t.Errorf("a login dropped its collection: %v", err)
	}

	for what, path := range map[string]string{"role": "/authz/roles/", "user": "/users/db/"} {
		if err := a.do(t.Context(), http.MethodDelete, path+userName(g.Login), nil, nil); err != nil {
			t.Fatal(err)
		}

		healed := grant(first)
		if what == "role" && healed != first {
			t.Error("the key was replaced though only the role was lost")
		}

		if err := newAgent(t, s, healed).insert(t.Context(), "mem", vector.Access{}, 8, 1); err != nil {
			t.Errorf("without its %s a login does not heal: %v", what, err)
		}

		first = healed
	}
}

// TestRequests counts what a look costs.
func TestRequests(t *testing.T) {
	s := servers.Weaviate(t, "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED=true")

	var requests atomic.Int32

	front := httptest.NewServer(before(t, s.REST, nil, func(*http.Response) error { requests.Add(1); return nil }))
	t.Cleanup(front.Close)

	d := open(t, vector.Config{Endpoint: front.URL})
	want := vector.Spec{Name: "counted", Owner: "o", Properties: vector.Properties{Dim: 8, IndexedFields: []vector.Field{{Name: "f", Type: vector.Text}}}}

	took := func(what string, n int32, err error) {
		t.Helper()

		if got := requests.Swap(0); err != nil || got != n {
			t.Errorf("%s took %d requests, want %d: %v", what, got, n, err)
		}
	}

	took("Create", 1, d.Create(t.Context(), want))

	have, err := d.Describe(t.Context(), want.Name)
	took("Describe", 4, err)

	for i := range 2 {
		want.IndexedFields = append(want.IndexedFields, vector.Field{Name: fmt.Sprint("g", i), Type: vector.Integer})
	}

	took("Alter", 4, d.Alter(t.Context(), want, have))
	took("Alter again", 1, d.Alter(t.Context(), want, have))
	took("PointAlias", 2, d.PointAlias(t.Context(), "alias", want.Name))
	took("PointAlias again", 1, d.PointAlias(t.Context(), "alias", want.Name))
	took("DropAlias", 1, d.DropAlias(t.Context(), "alias"))
	took("Drop", 1, d.Drop(t.Context(), want.Name))
}

// TestQuantized looks whether the server does what it was told, and not only says so.
func TestQuantized(t *testing.T) {
	a := newAgent(t, servers.Weaviate(t, "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED=true"), vector.Access{})

	cases := map[string]struct {
		reason      string
		first, then vector.Quantization
		want        bool
	}{
		"None":      {"Vectors are kept as they are.", vector.QuantizationNone, "", false},
		"Scalar":    {"They are compressed from the first on.", vector.Scalar, "", true},
		"Binary":    {"They are compressed from the first on.", vector.Binary, "", true},
		"Product":   {"There is nothing to learn from, and later nobody does.", vector.Product, "", false},
		"ToScalar":  {"Those that are there are compressed.", vector.QuantizationNone, vector.Scalar, true},
		"ToBinary":  {"Those that are there are compressed.", vector.QuantizationNone, vector.Binary, true},
		"ToProduct": {"Those that are there are learned from.", vector.QuantizationNone, vector.Product, true},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			sp := vector.Spec{Name: "quantized-" + name, Properties: vector.Properties{Dim: 8, Quantization: tc.first}}
			if err := a.Create(t.Context(), sp); err != nil {
				t.Fatal(err)
			}

			if err := a.insert(t.Context(), sp.Name, vector.Access{}, 8, 300); err != nil {
				t.Fatal(err)
			}

			if tc.then != "" {
				sp.Quantization = tc.then
				if err := a.Alter(t.Context(), sp, describe(t, a.driver, sp.Name)); err != nil {
					t.Fatal(err)
				}
			}

			var got bool
			for end := time.Now().Add(time.Minute); ; <-time.After(50 * time.Millisecond) {
				if got = compressed(t, a, sp.Name); got == tc.want || time.Now().After(end) {
					break
				}
			}

			if got != tc.want {
				t.Errorf("\n%s\ncompressed: got %v, want %v", tc.reason, got, tc.want)
			}
		})
	}
}

func compressed(t *testing.T, a *agent, name string) bool {
	t.Helper()

	var n struct {
		Nodes []struct {
			Shards []struct {
				Compressed bool `json:"compressed"`
			} `json:"shards"`
		} `json:"nodes"`
	}
	if err := a.do(t.Context(), http.MethodGet, "/nodes/"+a.StoreName(name)+"?output=verbose", nil, &n); err != nil {
		t.Fatal(err)
	}

	return n.Nodes[0].Shards[0].Compressed
}
