package tree

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
)

// A heap is a store of chunks in memory.
type heap struct {
	mu     sync.Mutex
	chunks map[checkpoint.ID][]byte
	puts   int
	bytes  int64
}

func newHeap() *heap { return &heap{chunks: map[checkpoint.ID][]byte{}} }

func (h *heap) put(_ context.Context, b []byte) (checkpoint.ID, error) {
	if len(b) == 0 || len(b) > checkpoint.MaxChunk {
		return checkpoint.ID{}, fmt.Errorf("a chunk of %d bytes", len(b))
	}

	id := checkpoint.ID(sha256.Sum256(b))

	h.mu.Lock()
	defer h.mu.Unlock()

	if _, ok := h.chunks[id]; !ok {
		h.chunks[id] = bytes.Clone(b)
		h.puts++
		h.bytes += int64(len(b))
	}

	return id, nil
}

func (h *heap) get(_ context.Context, id checkpoint.ID) ([]byte, error) {
	b, ok := h.chunks[id]
	if !ok {
		return nil, checkpoint.ErrNotFound
	}

	return b, nil
}

var options = Options{Chunker: checkpoint.DefaultChunker(0x3DA3358B4DC173)}

func save(t testing.TB, dir string, h *heap, before *Snapshot) (*Snapshot, []Note) {
	t.Helper()

	s, notes, err := Save(t.Context(), dir, h.put, before, options)
	if err != nil {
		t.Fatal(err)
	}

	return s, notes
}

func restore(t testing.TB, s *Snapshot, h *heap) string {
	t.Helper()

	dir := filepath.Join(t.TempDir(), "restored")
	if notes, err := Restore(t.Context(), dir, s.Tree, h.get, Options{}); err != nil || len(notes) > 0 {
		t.Fatal(err, notes)
	}

	return dir
}

// describe tells all that must be equal of two directories.
func describe(t testing.TB, dir string) map[string]string {
	t.Helper()

	out := map[string]string{}
	links := map[uint64]string{}

	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == dir {
			return err
		}

		info, err := d.Info()
		if err != nil {
			return err
		}

		rel, st := strings.TrimPrefix(p, dir+"/"), stampOf(info)
		line := fmt.Sprintf("%s %d", info.Mode(), st.mtime)

		switch {
		case info.Mode().IsRegular():
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}

			line += fmt.Sprintf(" %d %x", len(b), sha256.Sum256(b))
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}

			line += " -> " + target
		}

		if !info.IsDir() && linkCount(info) > 1 {
			if first, ok := links[st.inode]; ok {
				line += " is " + first
			} else {
				links[st.inode] = rel
			}
		}

		if info.Mode()&fs.ModeSymlink == 0 {
			line += attrsIn(t, p)
		}

		out[rel] = line

		return nil
	})
	if err != nil {
		t.Fatal(err)
	}

	return out
}

func attrsIn(t testing.TB, p string) string {
	t.Helper()

	f, err := os.Open(p)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()

	attrs, err := readAttrs(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}

	return fmt.Sprint(attrs)
}

func write(t testing.TB, p string, b []byte) {
	t.Helper()

	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(p, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// noise returns bytes that cannot be compressed or cut alike.
func noise(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), 1})
	_, _ = r.Read(b)

	return b
}

// ugly fills a directory with all that a directory may hold.
func ugly(t testing.TB, dir string) {
	t.Helper()

	must := func(err error) {
		t.Helper()

		if err != nil {
			t.Fatal(err)
		}
	}

	write(t, dir+"/empty", nil)
	write(t, dir+"/small", []byte("small"))
	write(t, dir+"/exactly-small", noise(small, 1))
	write(t, dir+"/above-small", noise(small+1, 2))
	write(t, dir+"/large", noise(5<<20, 3))
	write(t, dir+"/ümläut/日本語", []byte("unicode"))
	write(t, dir+"/\xff\xfe not utf8", []byte("bytes"))
	write(t, dir+"/"+strings.Repeat("n", 255), []byte("long"))
	write(t, dir+"/new\nline", []byte("line"))
	write(t, dir+"/"+strings.Repeat("d/", 60)+"deep", []byte("deep"))
	must(os.Mkdir(dir+"/empty-dir", 0o700))
	must(os.Symlink("small", dir+"/link"))
	must(os.Symlink("../../../etc/passwd", dir+"/outside"))
	must(os.Symlink("nowhere", dir+"/dangling"))
	must(os.Link(dir+"/large", dir+"/large-too"))
	must(os.Link(dir+"/small", dir+"/ümläut/small-too"))
	must(os.Link(dir+"/dangling", dir+"/ümläut/dangling-too"))
	write(t, dir+"/executable", []byte("#!/bin/sh\n"))
	must(os.Chmod(dir+"/executable", 0o755))
	write(t, dir+"/readonly-dir/file", []byte("x"))
	must(os.Chmod(dir+"/readonly-dir", 0o555))
	must(os.Chmod(dir+"/small", 0o400))
	must(os.Chmod(dir+"/empty-dir", 0o1777))
	must(unix.Setxattr(dir+"/small", "user.color", []byte("blue\x00"), 0))
	must(unix.Setxattr(dir+"/empty-dir", "user.empty", nil, 0))

	f, err := os.Create(dir + "/sparse")
	must(err)
	_, err = f.WriteAt([]byte("in the middle"), 8<<20)
	must(err)
	must(f.Truncate(64 << 20))
	must(f.Close())
	must(os.Chtimes(dir+"/small", time.Time{}, time.Unix(1234567890, 123456789)))
	must(os.Chtimes(dir+"/large", time.Time{}, time.Unix(-1, 999999999)))
}

func TestEverythingComesBack(t *testing.T) {
	dir := t.TempDir()
	ugly(t, dir)

	h := newHeap()
	s, notes := save(t, dir, h, nil)

	if len(notes) > 0 {
		t.Errorf("notes: %v", notes)
	}

	got := restore(t, s, h)
	if diff := cmp.Diff(describe(t, dir), describe(t, got)); diff != "" {
		t.Errorf("the restored directory: -want, +got:\n%s", diff)
	}

	if blocks := blocksOf(t, got+"/sparse"); blocks > 1<<20 {
		t.Errorf("a file of holes takes %d bytes", blocks)
	}

	again, _ := save(t, dir, h, s)
	if !s.Same(again) {
		t.Error("a directory that did not change is saved as another")
	}

	// What was restored is what was saved, but for what is no part of it.
	back, _ := save(t, got, newHeap(), nil)
	if !slices.Equal(back.Tree, firstSave(t, dir).Tree) || back.Files != s.Files || back.Bytes != s.Bytes {
		t.Error("a restored directory is saved as another")
	}
}

func firstSave(t testing.TB, dir string) *Snapshot {
	t.Helper()

	s, _ := save(t, dir, newHeap(), nil)

	return s
}

func blocksOf(t *testing.T, p string) int64 {
	t.Helper()

	var st unix.Stat_t
	if err := unix.Stat(p, &st); err != nil {
		t.Fatal(err)
	}

	return st.Blocks * 512
}

func TestLeftOut(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", []byte("x"))

	if err := unix.Mkfifo(dir+"/fifo", 0o600); err != nil {
		t.Fatal(err)
	}

	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)

	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: dir + "/socket"}); err != nil {
		t.Fatal(err)
	}

	h := newHeap()
	s, notes := save(t, dir, h, nil)

	var noted []string
	for _, n := range notes {
		noted = append(noted, n.Path)
	}

	if diff := cmp.Diff([]string{"fifo", "socket"}, noted); diff != "" {
		t.Errorf("notes: -want, +got:\n%s", diff)
	}

	if diff := cmp.Diff([]string{"file"}, slices.Sorted(mapKeys(describe(t, restore(t, s, h))))); diff != "" {
		t.Errorf("restored: -want, +got:\n%s", diff)
	}
}

func mapKeys(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func TestRestoreWritesOverNothing(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", []byte("saved"))

	h := newHeap()
	s, _ := save(t, dir, h, nil)
	write(t, dir+"/file", []byte("newer"))

	if _, err := Restore(t.Context(), dir, s.Tree, h.get, Options{}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a restore over a file: %v", err)
	}

	if b, _ := os.ReadFile(dir + "/file"); string(b) != "newer" {
		t.Errorf("the file is %q", b)
	}
}
