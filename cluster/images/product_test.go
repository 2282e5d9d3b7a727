package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestProductIsThere(t *testing.T) {
	root, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append(append([]program{}, runtimes...), images...) {
		if files, err := filepath.Glob(filepath.Join(root, p.source, "*.go")); err != nil || len(files) == 0 {
			t.Errorf("%s: there is no Go source in %s", p.name, p.source)
		}
	}
	for _, p := range packages {
		if _, err := os.Stat(filepath.Join(root, p.dir, "crossplane.yaml")); err != nil {
			t.Errorf("%s: %v", p.name, err)
		}
	}
}

func TestPlatforms(t *testing.T) {
	cases := map[string]struct {
		reason string
		in     []string
		want   []string
		err    bool
	}{
		"Two":       {reason: "Both are built.", in: []string{"linux/amd64", " linux/arm64"}, want: []string{"linux/amd64", "linux/arm64"}},
		"OtherOS":   {reason: "Pods here run on Linux.", in: []string{"windows/amd64"}, err: true},
		"NoArch":    {reason: "The compiler must be told.", in: []string{"linux"}, err: true},
		"NoneAtAll": {reason: "An empty name is none.", in: []string{""}, err: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := options{Platforms: tc.in}
			platforms, err := o.platforms()
			var got []string
			for _, p := range platforms {
				got = append(got, p.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || (err != nil) != tc.err {
				t.Errorf("\n%s\nplatforms(): error %v, -want, +got:\n%s", tc.reason, err, diff)
			}
		})
	}
}

func TestRef(t *testing.T) {
	o := options{Registry: "registry.example:5000", Version: "v1.2.3"}
	if diff := cmp.Diff("registry.example:5000/southwest-ai/monitor-agent:v2", o.ref("monitor-agent", "v2")); diff != "" {
		t.Errorf("ref(...): -want, +got:\n%s", diff)
	}
}

// Docker's image of the provider has the version that make was given, as the others have.
func TestDockerBuildsTheVersion(t *testing.T) {
	root, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "make", "-C", root, "--dry-run", "docker-build", "VERSION=v9.8.7").Output()
	if err != nil || !strings.Contains(string(out), " --build-arg VERSION=v9.8.7 ") {
		t.Errorf("make docker-build runs %s: %v", out, err)
	}
}
