//go:build integration

package examples_test

import (
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
)

const modelKey = "the-platforms-key"

// A gate stands before the model server and holds requests back until it is opened.
type gate struct {
	url string
	// direct is the model server's own address.
	direct string

	mu     sync.Mutex
	closed chan struct{}
}

func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()

	g.closed = make(chan struct{})
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()

	if g.closed != nil {
		close(g.closed)
	}

	g.closed = nil
}

func (g *gate) waits() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()

	return g.closed
}

// newGate starts a model server that takes no key but the platform's, and a gate before it.
func newGate(t *testing.T) *gate {
	t.Helper()

	address := free(t)
	start(t, nil, []string{"MODEL_LISTEN=" + address, "MODEL_API_KEY=" + modelKey}, filepath.Join(bin, "model"))

	g := &gate{direct: "http://" + address}
	to := &url.URL{Scheme: "http", Host: address}
	pass := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, FlushInterval: -1,
		ErrorLog: log.New(io.Discard, "", 0), // Of agents that are killed.
	}

	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c := g.waits(); c != nil {
			select {
			case <-c:
			case <-r.Context().Done():
			}
		}

		pass.ServeHTTP(w, r)
	}))
	t.Cleanup(func() { g.open(); server.Close() })

	g.url = server.URL

	eventually(t, "the model server answers", func() bool { code, _ := ask(t, http.MethodGet, g.direct+"/billing", ""); return code == http.StatusOK })

	return g
}

// billed returns the tokens that the model server billed.
func (g *gate) billed(t *testing.T) (in, out int64) {
	t.Helper()

	var b struct {
		Models map[string]struct{ Input, Output int64 }
	}

	_, body := ask(t, http.MethodGet, g.direct+"/billing", "")
	if err := json.Unmarshal([]byte(body), &b); err != nil {
		t.Fatal(err)
	}

	for _, m := range b.Models {
		in += m.Input
		out += m.Output
	}

	return in, out
}
