package weaviate

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// An exchange is a request, and what a real server answered. TestRecord writes them down.
type exchange struct {
	Request string          `json:"request"`
	Status  int             `json:"status"`
	Answer  json.RawMessage `json:"answer,omitempty"`
}

// A scene is a collection on a real server, and what is to be made of what it says.
type scene struct {
	reason string
	name   string
	want   vector.State
	err    vector.Kind
}

func scenes() map[string]scene {
	n := func(v int32) *int32 { return &v }
	count := func(v int64) *int64 { return &v }

	return map[string]scene{
		"chosen": {
			reason: "Everything that can be chosen is told as it was chosen.",
			name:   "coder-memory",
			want: vector.State{
				Owner: "team-a/coder@1",
				Properties: vector.Properties{
					Dim: 4, Distance: vector.Dot, Index: vector.HNSW, M: n(12), EfConstruction: n(72), Ef: n(96), Shards: n(2), Replicas: n(1),
					Quantization: vector.Product, Tenancy: vector.Single,
					IndexedFields: []vector.Field{
						{Name: "Topic", Type: vector.Keyword}, {Name: "at", Type: vector.Datetime}, {Name: "by", Type: vector.Integer},
						{Name: "done", Type: vector.Boolean}, {Name: "text", Type: vector.Text}, {Name: "weight", Type: vector.Float},
					},
				},
				Vectors: count(2), IndexState: vector.IndexReady, ShardsReady: 2, ShardsTotal: 2, Aliases: []string{"Another", "coder", "coder-now"},
			},
		},
		"untold": {
			reason: "Without an opinion it is what the server chooses. The least ef stands for one that it chooses for each search.",
			name:   "Plain",
			want: vector.State{
				Owner: "o",
				Properties: vector.Properties{
					Dim: 3, Distance: vector.Cosine, Index: vector.HNSW, M: n(32), EfConstruction: n(128), Ef: n(100), Shards: n(1), Replicas: n(1),
					Quantization: vector.QuantizationNone, Tenancy: vector.Single, IndexedFields: []vector.Field{},
				},
				Vectors: count(0), IndexState: vector.IndexReady, ShardsReady: 1, ShardsTotal: 1,
			},
		},
		"tenants": {
			reason: "Tenants are shards, however many. How many vectors they have nobody says before they are on disk.",
			name:   "shared",
			want: vector.State{
				Owner: "o",
				Properties: vector.Properties{
					Dim: 3, Distance: vector.L2, Index: vector.Flat, Replicas: n(1), Quantization: vector.Binary, Tenancy: vector.Multi,
					IndexedFields: []vector.Field{},
				},
				IndexState: vector.IndexReady, ShardsReady: 2, ShardsTotal: 2,
			},
		},
		"named": {
			reason: "One named vector, as clients make it, is as good as one without a name. What it is nobody of ours has asked for.",
			name:   "Documents",
			want: vector.State{
				Properties: vector.Properties{
					Dim: 5, Distance: "manhattan", Index: vector.HNSW, M: n(32), EfConstruction: n(128), Ef: n(100), Shards: n(1), Replicas: n(1),
					Quantization: vector.Scalar, Tenancy: vector.Single,
				},
				Vectors: count(1), IndexState: vector.IndexReady, ShardsReady: 1, ShardsTotal: 1,
			},
		},
		"several":      {reason: "Objects with several vectors are no collection of ours.", name: "Several", err: vector.Unsupported},
		"alias":        {reason: "An alias is no collection, though the server answers as if it were.", name: "Another", err: vector.NotFound},
		"other-case":   {reason: "Nor is one of another case.", name: "PLAIN", err: vector.NotFound},
		"not-found":    {reason: "The server says nothing of what is not there.", name: "missing", err: vector.NotFound},
		"wrong-port":   {reason: "Its gRPC port, or another server.", name: "elsewhere", err: vector.Invalid},
		"other-server": {reason: "Some servers answer everything.", name: "anything", err: vector.Invalid},
	}
}

// byHand are scenes that no server played.
var byHand = map[string]http.HandlerFunc{
	"wrong-port": func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) },
	"other-server": func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte("<html>welcome</html>"))
	},
}

func recording(name string) string { return filepath.Join("testdata", name+".json") }

// TestRecorded makes of what a real server answered what is wanted of it.
func TestRecorded(t *testing.T) {
	for name, sc := range scenes() {
		t.Run(name, func(t *testing.T) {
			h := byHand[name]
			if h == nil {
				h = replay(t, name)
			}

			s := httptest.NewServer(h)
			t.Cleanup(s.Close)

			check(t, open(t, vector.Config{Endpoint: s.URL}), sc)
		})
	}
}

// check fails the test unless a scene is described as wanted.
func check(t *testing.T, d *driver, sc scene) {
	t.Helper()

	got, err := d.Describe(t.Context(), sc.name)
	if vector.KindOf(err) != sc.err {
		t.Errorf("\n%s\ngot %v, want an error of kind %q", sc.reason, err, sc.err)
	}

	if diff := cmp.Diff(sc.want, got); diff != "" {
		t.Errorf("\n%s\n-want, +got:\n%s", sc.reason, diff)
	}
}

// replay answers as the real server did, to the same requests only, in the same order.
func replay(t *testing.T, name string) http.HandlerFunc {
	t.Helper()

	b, err := os.ReadFile(recording(name))
	if err != nil {
		t.Fatal(err)
	}

	var es []exchange
	if err := json.Unmarshal(b, &es); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if len(es) > 0 {
			t.Errorf("%d recorded requests were not sent, from %q on", len(es), es[0].Request)
		}
	})

	return func(w http.ResponseWriter, r *http.Request) {
		if got := r.Method + " " + r.URL.RequestURI(); len(es) == 0 || es[0].Request != got {
			t.Errorf("an unexpected request: %s", got)
			w.WriteHeader(http.StatusTeapot)

			return
		}

		e := es[0]
		es = es[1:]

		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(e.Status)
		w.Write(e.Answer)
	}
}
