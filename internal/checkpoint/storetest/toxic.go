package storetest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os/exec"
	"testing"
	"time"
)

// A Toxic is what a Toxiproxy does to connections. Its documentation has the types and their attributes.
type Toxic struct {
	Type string `json:"type"`
	// Stream is upstream, from the client, or downstream, which is the default.
	Stream     string         `json:"stream,omitempty"`
	Attributes map[string]int `json:"attributes,omitempty"`
}

// A Proxy stands before a server, and spoils its connections when told to.
type Proxy struct {
	// Address is where it listens, and Endpoint the URL of that.
	Address, Endpoint string

	api string
}

// StartProxy starts a proxy before an address. It lets everything through.
func StartProxy(t testing.TB, upstream string) *Proxy {
	t.Helper()
	port := freePort(t)
	p := &Proxy{Address: "127.0.0.1:" + freePort(t), api: "http://127.0.0.1:" + port}
	p.Endpoint = "http://" + p.Address
	start(t, "127.0.0.1:"+port, exec.CommandContext(context.Background(), inCache(t, "bin", "toxiproxy"), "-host", "127.0.0.1", "-port", port))
	p.call(t, http.MethodPost, "/proxies", map[string]any{"name": "store", "listen": p.Address, "upstream": upstream, "enabled": true})
	return p
}

// Add makes connections suffer from now on.
func (p *Proxy) Add(t testing.TB, toxic Toxic) {
	t.Helper()
	p.call(t, http.MethodPost, "/proxies/store/toxics", toxic)
}

// Heal takes all that was added away.
func (p *Proxy) Heal(t testing.TB) {
	t.Helper()
	p.call(t, http.MethodPost, "/reset", nil)
}

func (p *Proxy) call(t testing.TB, method, path string, body any) {
	t.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, p.api+path, bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if said, _ := io.ReadAll(res.Body); res.StatusCode > 299 { // Only shown.
		t.Fatalf("%s %s: %s: %s", method, path, res.Status, said)
	}
}
