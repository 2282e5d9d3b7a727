package storetest

import (
	"context"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/southwest-ai/agent-operator/internal/checkpoint/store"
)

// GCS is fake-gcs-server, a program of others with the API of Google Cloud Storage. It asks for no token.
type GCS struct{ endpoint string }

// StartGCS starts a server that keeps its objects in memory.
func StartGCS(t testing.TB) *GCS {
	t.Helper()
	port := freePort(t)
	g := &GCS{endpoint: "http://127.0.0.1:" + port}
	cmd := exec.CommandContext(context.Background(), inCache(t, "bin", "fake-gcs-server"),
		"-scheme", "http", "-host", "127.0.0.1", "-port", port, "-backend", "memory", "-public-host", "127.0.0.1:"+port)
	cmd.Dir = t.TempDir()
	start(t, "127.0.0.1:"+port, cmd)
	return g
}

// Config of a bucket, or of what is below a prefix in it.
func (g *GCS) Config(bucket, prefix string) store.Config {
	return store.Config{URL: "gs://" + bucket + "?endpoint=" + g.endpoint, Prefix: prefix}
}

// MakeBucket makes a bucket.
func (g *GCS) MakeBucket(t testing.TB, name string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.endpoint+"/storage/v1/b?project=test", strings.NewReader(`{"name":"`+name+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("cannot make bucket %s: %s", name, res.Status)
	}
}
