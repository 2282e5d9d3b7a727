package builder

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// hello is a module to build: small, and without dependences, so that it needs no network.
func hello(t *testing.T) (Builder, Program, string) {
	t.Helper()
	dir := t.TempDir()
	src := filepath.Join(dir, "cluster", "third_party", "hello")
	if err := os.MkdirAll(src, 0o755); err != nil {
		t.Fatal(err)
	}
	main := filepath.Join(src, "main.go")
	for path, content := range map[string]string{
		filepath.Join(src, "go.mod"): "module hello\n\ngo 1.24\n",
		main:                         "package main\n\nvar version = \"unstamped\"\n\nfunc main() { println(version) }\n",
	} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return Builder{Cluster: filepath.Join(dir, "cluster"), Bin: filepath.Join(dir, "bin")},
		Program{
			Name: "hello", Module: "third_party/hello", Package: ".",
			Stamp: map[string]string{"main.version": "v1"}, Links: []string{"hi"},
		}, main
}

func quiet(string, ...any) {}

func TestBuild(t *testing.T) {
	b, p, main := hello(t)
	if b.UpToDate(p) {
		t.Error("UpToDate(...): want false before the first build")
	}
	if err := b.Build(context.Background(), p, quiet); err != nil {
		t.Fatal(err)
	}
	if !b.UpToDate(p) {
		t.Error("UpToDate(...): want true after a build")
	}
	for _, name := range []string{"hello", "hi"} {
		out, err := exec.Command(b.Path(name)).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != "v1" {
			t.Errorf("%s: want the stamped version v1, got %q, %v", name, out, err)
		}
	}

	stamped := p
	stamped.Stamp = map[string]string{"main.version": "v2"}
	if b.UpToDate(stamped) {
		t.Error("UpToDate(...): want false when what is stamped changed")
	}
	if err := os.WriteFile(main, []byte("package main\n\nfunc main() { undefined() }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if b.UpToDate(p) {
		t.Error("UpToDate(...): want false when a source changed")
	}
	err := b.Build(context.Background(), p, quiet)
	if err == nil || !strings.Contains(err.Error(), "undefined") {
		t.Errorf("Build(...): want the compiler's words, got %v", err)
	}
	if _, err := os.Stat(b.Path("hello")); err != nil {
		t.Errorf("a failed build took the last good binary away: %v", err)
	}
}

func TestProgramsAreThere(t *testing.T) {
	cluster, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, p := range append(Programs(), Extras()...) {
		lock := "go.mod"
		if p.NPM {
			lock = "package-lock.json"
		}
		if _, err := os.Stat(filepath.Join(cluster, p.Module, lock)); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		for _, name := range append([]string{p.Name}, p.Links...) {
			if seen[name] {
				t.Errorf("two programs are called %s", name)
			}
			seen[name] = true
		}
	}
}
