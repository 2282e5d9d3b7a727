//go:build integration

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// kubectl says who a person is, by whatever way that person gets in.
func TestOwnToken(t *testing.T) {
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		t.Fatal("KUBEBUILDER_ASSETS must name a directory with kubectl: run `make integration`, which builds it")
	}

	t.Setenv("PATH", assets+":"+os.Getenv("PATH"))

	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), mode); err != nil {
			t.Fatal(err)
		}

		return file
	}
	plugin := write("plugin", `#!/bin/sh
echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"by-plugin"}}'
`, 0o700)

	cases := map[string]struct{ reason, user, want, err string }{
		"Token":  {"A token in the configuration.", `{token: by-token}`, "Bearer by-token", ""},
		"Plugin": {"One that a plugin fetches.", `{exec: {apiVersion: client.authentication.k8s.io/v1, command: ` + plugin + `, interactiveMode: Never}}`, "Bearer by-plugin", ""},
		"None":   {"Who has none is told what to do.", `{username: a, password: b}`, "", "--service-account"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			config := write(name, `{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1", certificate-authority-data: bm9uZQ==}}], users: [{name: u, user: `+tc.user+`}]}`, 0o600)

			got, err := (&PageCmd{Kubeconfig: config}).askToken(t.Context())
			if got != tc.want || (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s\n%q, error %v", tc.reason, got, err)
			}
		})
	}
}
