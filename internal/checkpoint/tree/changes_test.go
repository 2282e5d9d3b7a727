package tree

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
)

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

			// Each generation begins at both ends. The writer may be held up anywhere in it for as long as a save takes.
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

		if !moment(b[0], b[1<<20-1], b[1<<19]) {
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

// moment says whether a file that is written in this order has ever been so: where it was written last it has the last generation, or
// the one before.
func moment(first, second, third byte) bool {
	before := func(b byte) bool { return b == first-1 || first == 1 && b == 255 }

	return second == first && (third == first || before(third)) || before(second) && third == second
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

	var (
		mu   sync.Mutex
		peak uint64
	)

	put := func(_ context.Context, b []byte) (checkpoint.ID, error) {
		var m runtime.MemStats

		mu.Lock()
		defer mu.Unlock()

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
