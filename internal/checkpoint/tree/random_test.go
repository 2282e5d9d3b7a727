package tree

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
)

// Random trees and random edits: what is restored is what was saved, each time.
func TestRandomTrees(t *testing.T) {
	rsync, err := exec.LookPath("rsync")
	if err != nil {
		t.Log("rsync is not installed, so its idea of equality is not asked for")
	}

	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		h := newHeap()

		var before *Snapshot

		for range rapid.IntRange(1, 4).Draw(rt, "saves") {
			for range rapid.IntRange(0, 12).Draw(rt, "edits") {
				edit(t, rt, dir)
			}

			s, _ := save(t, dir, h, before)
			if diff := cmp.Diff(describe(t, dir), describe(t, restore(t, s, h))); diff != "" {
				rt.Fatalf("-want, +got:\n%s", diff)
			}

			same(rt, rsync, dir, restore(t, s, h))

			// Every chunk that was used is named.
			named := slices.Concat(s.Tree, s.Chunks)
			only := &heap{chunks: map[checkpoint.ID][]byte{}}

			for _, id := range named {
				only.chunks[id] = h.chunks[id]
			}

			restore(t, s, only)

			before = s
		}
	})
}

// same has rsync look for anything that it would change to make one tree of the other, by content and not by size and time.
func same(t *rapid.T, rsync, a, b string) {
	if rsync == "" {
		return
	}

	out, err := exec.Command(rsync, "--archive", "--hard-links", "--xattrs", "--checksum", "--delete", "--dry-run", "--itemize-changes", a+"/", b+"/").CombinedOutput()
	if err != nil {
		t.Fatalf("cannot ask rsync: %s %v", out, err)
	}

	for line := range strings.Lines(string(out)) {
		// The directory itself is whoever's made it.
		if !strings.HasSuffix(line, " ./\n") {
			t.Fatalf("rsync would change: %s", out)
		}
	}
}

// edit changes something in a directory. Few names, so that edits meet.
func edit(t *testing.T, rt *rapid.T, dir string) {
	t.Helper()

	name := rapid.SampledFrom([]string{"a", "b", "c", "d/a", "d/b", "d/e/f", "ü", "a b"}).Draw(rt, "name")
	p := filepath.Join(dir, name)

	switch rapid.SampledFrom([]string{"write", "write", "large", "append", "remove", "chmod", "symlink", "link", "dir", "rename", "hole"}).Draw(rt, "what") {
	case "write":
		_ = os.RemoveAll(p)
		_ = os.MkdirAll(filepath.Dir(p), 0o755)
		_ = os.WriteFile(p, noise(rapid.IntRange(0, 3000).Draw(rt, "size"), rapid.Uint64Range(0, 9).Draw(rt, "seed")), 0o644)
	case "large":
		_ = os.RemoveAll(p)
		_ = os.MkdirAll(filepath.Dir(p), 0o755)
		_ = os.WriteFile(p, noise(rapid.IntRange(small-1, 1<<20).Draw(rt, "size"), rapid.Uint64Range(0, 9).Draw(rt, "seed")), 0o600)
	case "append":
		if f, err := os.OpenFile(p, os.O_WRONLY|os.O_APPEND, 0); err == nil {
			_, _ = f.WriteString("more")
			_ = f.Close()
		}
	case "remove":
		_ = os.RemoveAll(p)
	case "chmod":
		_ = os.Chmod(p, fs.FileMode(rapid.SampledFrom([]uint32{0o600, 0o644, 0o755, 0o700}).Draw(rt, "mode")))
	case "symlink":
		_ = os.Symlink(rapid.SampledFrom([]string{"a", "../b", "/nowhere"}).Draw(rt, "target"), p)
	case "link":
		_ = os.Link(filepath.Join(dir, rapid.SampledFrom([]string{"a", "b", "d/a"}).Draw(rt, "of")), p)
	case "dir":
		_ = os.MkdirAll(p, 0o755)
	case "rename":
		_ = os.Rename(filepath.Join(dir, rapid.SampledFrom([]string{"a", "b", "d"}).Draw(rt, "of")), p)
	case "hole":
		if f, err := os.OpenFile(p, os.O_WRONLY, 0); err == nil {
			_, _ = f.WriteAt([]byte("after a hole"), 1<<20)
			_ = f.Close()
		}
	}
}
