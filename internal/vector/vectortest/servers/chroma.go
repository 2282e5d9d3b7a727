package servers

import (
	"context"
	"fmt"
	"net/http"
	"testing"
)

// Chroma starts a Chroma server that keeps its data in a directory, and returns its endpoint.
func Chroma(t testing.TB, dir string) string {
	t.Helper()

	port := freePort(t)
	endpoint := "http://127.0.0.1:" + port

	start(t, answers(endpoint+"/api/v2/heartbeat"), inCache(t, "npm", "chroma", "node_modules", ".bin", "chroma"),
		[]string{"run", "--host", "127.0.0.1", "--port", port, "--path", dir}, []string{"ANONYMIZED_TELEMETRY=False"})

	return endpoint
}

// answers says that a server is ready when it answers a GET with 200.
func answers(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}

		// The connection is not kept: it would be one that the test did not make.
		req.Close = true

		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}

		res.Body.Close() //nolint:errcheck // Only its status counts.

		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("GET %s: %s", url, res.Status)
		}

		return nil
	}
}
