//go:build integration

package weaviate

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/vectortest/servers"
)

var update = flag.Bool("update", false, "write down what the real server answers, for the tests without one")

// TestRecord has the real server play the scenes. So what was recorded is what this version says.
func TestRecord(t *testing.T) {
	s := servers.Weaviate(t, "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED=true")
	a := newAgent(t, s, vector.Access{})

	play(t, a)

	for name, sc := range scenes() {
		if byHand[name] != nil {
			continue
		}

		t.Run(name, func(t *testing.T) {
			es := []exchange{}
			front := httptest.NewServer(before(t, s.REST, nil, func(r *http.Response) error {
				b, err := io.ReadAll(r.Body)
				r.Body = io.NopCloser(bytes.NewReader(b))
				es = append(es, exchange{r.Request.Method + " " + r.Request.URL.RequestURI(), r.StatusCode, b})

				return err
			}))
			t.Cleanup(front.Close)

			check(t, open(t, vector.Config{Endpoint: front.URL}), sc)

			if *update {
				write(t, name, es)
			}
		})
	}
}

func write(t *testing.T, name string, es []exchange) {
	t.Helper()

	b, err := json.MarshalIndent(es, "", "  ")
	if err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(recording(name), append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// play makes what the scenes are about.
func play(t *testing.T, a *agent) {
	t.Helper()

	sc := scenes()
	must := func(err error) {
		t.Helper()

		if err != nil {
			t.Fatal(err)
		}
	}
	post := func(path, body string) {
		t.Helper()
		must(a.do(t.Context(), http.MethodPost, path, json.RawMessage(body), nil))
	}

	chosen := sc["chosen"]
	must(a.Create(t.Context(), vector.Spec{Name: chosen.name, Owner: chosen.want.Owner, Properties: chosen.want.Properties}))
	must(a.insert(t.Context(), chosen.name, vector.Access{}, 4, 2))

	for _, alias := range chosen.want.Aliases {
		must(a.PointAlias(t.Context(), alias, chosen.name))
	}

	must(a.Create(t.Context(), vector.Spec{Name: "Plain", Owner: "o", Properties: vector.Properties{Dim: 3}}))

	tenants := sc["tenants"]
	must(a.Create(t.Context(), vector.Spec{Name: tenants.name, Owner: "o", Properties: vector.Properties{
		Dim: 3, Distance: vector.L2, Index: vector.Flat, Quantization: vector.Binary, Tenancy: vector.Multi,
	}}))
	post("/schema/"+a.StoreName(tenants.name)+"/tenants", `[{"name":"one"},{"name":"two"}]`)

	post("/schema", `{"class":"Documents","description":"Of the archive.","vectorConfig":{"default":{"vectorizer":{"none":{}},
		"vectorIndexType":"hnsw","vectorIndexConfig":{"distance":"manhattan","rq":{"enabled":true,"bits":8}}}}}`)
	post("/objects", `{"class":"Documents","vectors":{"default":[1,2,3,4,5]},"properties":{"title":"x"}}`)

	post("/schema", `{"class":"Several","vectorConfig":{
		"one":{"vectorizer":{"none":{}},"vectorIndexType":"hnsw"},"two":{"vectorizer":{"none":{}},"vectorIndexType":"flat"}}}`)
}
