package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const root = "../.."

// What is committed is what the types say. The whole is generated from a copy of the types, as a fresh checkout would.
func TestGeneratedFilesAreFresh(t *testing.T) {
	work := t.TempDir()

	for _, part := range []string{"apis", "go.mod", "go.sum", "cluster/tools"} {
		copyTree(t, filepath.Join(root, part), filepath.Join(work, part))
	}

	if err := generate(work, work); err != nil {
		t.Fatal(err)
	}

	want, got := generated(t, root), generated(t, work)
	if len(want) == 0 {
		t.Fatal("nothing is generated: the test looks in the wrong place")
	}

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("generated files are stale: run make generate and commit what it changes\n-committed, +generated:\n%s", diff)
	}
}

// generated returns every generated file below dir by its path.
func generated(t *testing.T, dir string) map[string]string {
	t.Helper()

	out := map[string]string{}

	for _, top := range []string{"apis", "package", "docs"} {
		err := filepath.WalkDir(filepath.Join(dir, top), func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}

			b, err := os.ReadFile(filepath.Clean(p))
			if err == nil && (strings.HasPrefix(d.Name(), "zz_generated") || strings.HasPrefix(string(b), notice) || strings.Contains(string(b), pageNotice)) {
				rel, _ := filepath.Rel(dir, p)
				out[rel] = string(b)
			}

			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}

	return out
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()

	if err := os.MkdirAll(filepath.Dir(to), 0o750); err != nil {
		t.Fatal(err)
	}

	if b, err := exec.CommandContext(t.Context(), "cp", "-r", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cannot copy: %v: %s", err, b)
	}
}
