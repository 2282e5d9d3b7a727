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
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
)

// A heap is a store of chunks in memory.
type heap struct {
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

			if linkCount(info) > 1 {
				if first, ok := links[st.inode]; ok {
					line += " is " + first
				} else {
					links[st.inode] = rel
				}
			}
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}

			line += " -> " + target
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

// Of a change only what changed is stored, and what did not change is not read.
func TestUnchangedCostsNothing(t *testing.T) {
	dir := t.TempDir()
	for i := range 1000 {
		write(t, fmt.Sprintf("%s/%d/%d", dir, i%10, i), noise(2000, uint64(i)))
	}

	write(t, dir+"/large", noise(20<<20, 7))
	time.Sleep(2 * tick) //nolint:forbidigo // Until the files are old enough to be taken for unchanged.

	h := newHeap()
	first, _ := save(t, dir, h, nil)

	if h.puts > 120 {
		t.Errorf("a thousand small files and a large one are %d chunks", h.puts)
	}

	// A file that cannot be read would be noted.
	if os.Getuid() != 0 {
		t.Log("as root any file can be read, so this is seen by puts alone")
	}

	puts := h.puts
	second, _ := save(t, dir, h, first)

	if !first.Same(second) || h.puts != puts {
		t.Errorf("an unchanged directory made %d chunks", h.puts-puts)
	}

	stored := h.bytes

	for i := range 10 {
		write(t, fmt.Sprintf("%s/%d/%d", dir, i%10, i), noise(2000, uint64(5000+i)))
	}

	f, err := os.OpenFile(dir+"/large", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}

	if _, err := f.WriteAt([]byte("another"), 10<<20); err != nil {
		t.Fatal(err)
	}

	_ = f.Close()

	third, _ := save(t, dir, h, second)
	if third.Same(second) {
		t.Error("a change was not seen")
	}

	if added := h.bytes - stored; added > 5<<20 {
		t.Errorf("a change of 1 %% stored %d bytes anew", added)
	}

	if diff := cmp.Diff(describe(t, dir), describe(t, restore(t, third, h))); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

// After a restore the next save goes on from there, and sees what was changed to look the same.
func TestLoadSeesChanges(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a", []byte("before"))
	write(t, dir+"/b", []byte("before"))

	h := newHeap()
	s, _ := save(t, dir, h, nil)
	got := restore(t, s, h)

	time.Sleep(3 * tick) //nolint:forbidigo // Until the restored files are older than what comes.

	until := time.Now()

	info, err := os.Stat(got + "/a")
	if err != nil {
		t.Fatal(err)
	}

	// Other bytes of the same length and time.
	write(t, got+"/a", []byte("after!"))

	if err := os.Chtimes(got+"/a", time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}

	loaded, err := Load(t.Context(), got, until, s.Tree, h.get)
	if err != nil {
		t.Fatal(err)
	}

	next, _ := save(t, got, h, loaded)
	if b, _ := os.ReadFile(restore(t, next, h) + "/a"); string(b) != "after!" {
		t.Errorf("a file that was changed to look the same was saved as %q", b)
	}
}

// After a restore the next save goes on from there.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	ugly(t, dir)

	h := newHeap()
	s, _ := save(t, dir, h, nil)
	got := restore(t, s, h)

	for name, until := range map[string]time.Time{"Untouched": time.Now().Add(time.Minute), "PerhapsTouched": {}} {
		t.Run(name, func(t *testing.T) {
			loaded, err := Load(t.Context(), got, until, s.Tree, h.get)
			if err != nil {
				t.Fatal(err)
			}

			if loaded.Files != s.Files || loaded.Bytes != s.Bytes {
				t.Errorf("loaded %d files of %d bytes, and %d of %d were saved", loaded.Files, loaded.Bytes, s.Files, s.Bytes)
			}

			puts := h.puts
			next, _ := save(t, got, h, loaded)

			if !next.Same(s) || h.puts != puts {
				t.Errorf("what was restored and not changed is saved as another, in %d chunks", h.puts-puts)
			}

			var listed int64

			if err := List(t.Context(), s.Tree, h.get, func(e Entry) error {
				if e.Mode.IsRegular() && e.Target == "" {
					listed++
				}

				return nil
			}); err != nil || listed != s.Files {
				t.Errorf("listed %d files of %d: %v", listed, s.Files, err)
			}
		})
	}
}

// A file that is written all the time is never half of one moment and half of another: it is as it was, or not there.
func TestTorn(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/calm", []byte("calm"))
	write(t, dir+"/busy", make([]byte, 1<<20))
	time.Sleep(2 * tick) //nolint:forbidigo // Until the files are old enough.

	h := newHeap()
	first, _ := save(t, dir, h, nil)

	var stop atomic.Bool

	done := make(chan struct{})

	go func() {
		defer close(done)

		f, err := os.OpenFile(dir+"/busy", os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)

			return
		}
		defer f.Close()

		for n := byte(1); !stop.Load(); n++ {
			if n == 0 {
				n = 1
			}

			// Each generation begins at both ends.
			for _, at := range []int64{0, 1<<20 - 1, 1 << 19} {
				if _, err := f.WriteAt([]byte{n}, at); err != nil {
					t.Error(err)
				}
			}
		}
	}()

	for range 5 {
		s, notes := save(t, dir, h, first)
		got := restore(t, s, h)

		b, err := os.ReadFile(got + "/busy")
		if err != nil {
			t.Fatal(err)
		}

		if len(notes) == 1 && notes[0].Path == "busy" {
			if b[0] != 0 {
				t.Error("what is said to be as it was saved before is not")
			}

			continue
		}

		if b[0] != b[1<<20-1] || b[0] != b[1<<19] {
			t.Errorf("a torn file was saved: %d, %d, %d", b[0], b[1<<19], b[1<<20-1])
		}
	}

	fresh, notes := save(t, dir, h, nil)
	if _, ok := describe(t, restore(t, fresh, h))["busy"]; ok == (len(notes) == 1) {
		t.Errorf("a file that was never read in one piece: there %t, notes %v", ok, notes)
	}

	stop.Store(true)
	<-done
}

// Random trees and random edits: what is restored is what was saved, each time.
func TestRandomTrees(t *testing.T) {
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

// Saving needs little memory, whatever the size.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 256 MiB")
	}

	dir := t.TempDir()

	f, err := os.Create(dir + "/large")
	if err != nil {
		t.Fatal(err)
	}

	for i := range 64 {
		if _, err := f.Write(noise(4<<20, uint64(i))); err != nil {
			t.Fatal(err)
		}
	}

	_ = f.Close()

	var peak uint64

	put := func(_ context.Context, b []byte) (checkpoint.ID, error) {
		var m runtime.MemStats

		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapInuse)

		return checkpoint.ID(sha256.Sum256(b)), nil
	}

	runtime.GC()

	if _, _, err := Save(t.Context(), dir, put, nil, options); err != nil {
		t.Fatal(err)
	}

	t.Logf("%.1f MiB of heap in use at most", float64(peak)/(1<<20))

	if peak > 48<<20 {
		t.Errorf("saving took %d bytes of heap", peak)
	}
}

func TestHostileTrees(t *testing.T) {
	file := func(name string) node { return node{kind: kindFile, name: name, mode: 0o644} }
	cases := map[string]struct {
		reason string
		nodes  []node
	}{
		"Up":        {reason: "A name never leads up.", nodes: []node{file("..")}},
		"Slash":     {reason: "A name is one part of a path.", nodes: []node{file("a/b")}},
		"Absolute":  {reason: "A name is not a path.", nodes: []node{file("/etc/passwd")}},
		"Zero":      {reason: "A name has no zero byte.", nodes: []node{file("a\x00b")}},
		"Empty":     {reason: "A name is not empty.", nodes: []node{file("")}},
		"Twice":     {reason: "A name is there once.", nodes: []node{file("a"), file("a")}},
		"Unsorted":  {reason: "A tree has one form.", nodes: []node{file("b"), file("a")}},
		"Leave":     {reason: "Nothing is above the root.", nodes: []node{{kind: kindLeave}}},
		"Open":      {reason: "A directory ends.", nodes: []node{{kind: kindDir, name: "d", mode: 0o755}}},
		"Through":   {reason: "Nothing is written through a link.", nodes: []node{{kind: kindSymlink, name: "d", mode: 0o777, target: "/tmp"}, {kind: kindLink, name: "e", target: "d/x"}}},
		"LinkOut":   {reason: "A hard link is to a file of the tree.", nodes: []node{{kind: kindLink, name: "e", target: "../../../etc/passwd"}}},
		"LinkAbs":   {reason: "As above.", nodes: []node{{kind: kindLink, name: "e", target: "/etc/passwd"}}},
		"Size":      {reason: "A file is as long as its parts.", nodes: []node{{kind: kindFile, name: "a", size: 5}}},
		"Setuid":    {reason: "Nobody becomes another by a file that was restored.", nodes: []node{{kind: kindFile, name: "a", mode: 0o4755}}},
		"Attribute": {reason: "Attributes of the system's give rights.", nodes: []node{{kind: kindFile, name: "a", mode: 0o755, attrs: []attr{{name: "security.capability", value: []byte("x")}}}}},
		"WrongHash": {reason: "A file's bytes are those that were saved.", nodes: []node{{kind: kindFile, name: "a", size: 5, refs: []ref{{hole: true, length: 5}}}}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var buf bytes.Buffer

			e := newEncoder(&buf)
			for _, n := range tc.nodes {
				_ = e.node(n)
			}

			_ = e.close()

			h := newHeap()
			id, _ := h.put(t.Context(), buf.Bytes())

			if _, err := Restore(t.Context(), filepath.Join(t.TempDir(), "d"), []checkpoint.ID{id}, h.get, Options{}); err == nil {
				t.Errorf("%s\nthe tree was restored", tc.reason)
			}
		})
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

func FuzzDecode(f *testing.F) {
	dir := f.TempDir()
	write(f, dir+"/a/b", []byte("x"))
	write(f, dir+"/c", noise(200<<10, 1))

	h := newHeap()
	s, _ := save(f, dir, h, nil)

	f.Add(h.chunks[s.Tree[0]])
	f.Add([]byte("TREE\x01\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := newDecoder(bytes.NewReader(b))
		if err != nil {
			return
		}

		var buf bytes.Buffer

		e := newEncoder(&buf)

		for {
			n, err := d.next()
			if err != nil {
				return
			}

			if n.kind == kindEnd {
				break
			}

			if err := e.node(n); err != nil {
				t.Fatal(err)
			}
		}

		if err := e.close(); err != nil {
			t.Fatal(err)
		}

		// Numbers have longer forms than the shortest, which are read and not written: so it is the second time that counts.
		again, err := newDecoder(bytes.NewReader(buf.Bytes()))
		if err != nil {
			t.Fatal(err)
		}

		for {
			n, err := again.next()
			if err != nil {
				t.Fatalf("what was written is not read: %v", err)
			}

			if n.kind == kindEnd {
				return
			}
		}
	})
}
