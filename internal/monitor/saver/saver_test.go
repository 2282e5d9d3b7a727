package saver

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gocloud.dev/blob"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/store"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

func TestMain(m *testing.M) {
	if os.Getenv("CRASH_AT") != "" {
		live()

		return
	}

	goleak.VerifyTestMain(m)
}

var testKey = checkpoint.DataKey{1, 2, 3}

// A home is a repository in a store, and the Secret that leads there.
type home struct {
	config store.Config
	secret string
	repo   *checkpoint.Repository
	// dir is the store's directory, where it is one.
	dir string
}

// newHome makes one in a directory.
func newHome(t *testing.T) *home {
	t.Helper()

	dir := t.TempDir()
	h := newHomeIn(t, store.Config{URL: "file://" + dir, Prefix: "team-a/pool"})
	h.dir = dir

	return h
}

func newHomeIn(t *testing.T, c store.Config) *home {
	t.Helper()

	h := &home{config: c, secret: secretOf(t, c)}

	b, err := store.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = b.Close() })

	h.repo, err = checkpoint.Create(t.Context(), b, testKey, checkpoint.Pool{Chunker: checkpoint.DefaultChunker(0x3DA3358B4DC173)}, checkpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}

	return h
}

// secretOf returns a directory as the Secret of a repository is mounted.
func secretOf(t *testing.T, c store.Config) string {
	t.Helper()

	dir := t.TempDir()
	for name, text := range map[string]string{
		monitorapi.CheckpointURL: c.URL, monitorapi.CheckpointPrefix: c.Prefix, monitorapi.CheckpointKey: hex.EncodeToString(testKey[:]),
		monitorapi.CheckpointCredentials: string(c.Credentials),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	return dir
}

var quiet = slog.New(slog.NewJSONHandler(io.Discard, nil))

// worker returns the place of a new worker that holds slot 0 under an epoch.
func (h *home) worker(t *testing.T, epoch int64) Place {
	t.Helper()

	if _, err := h.repo.ClaimAt(t.Context(), "0", epoch, fmt.Sprint("pod-", epoch)); err != nil {
		t.Fatal(err)
	}

	return Place{Volume: t.TempDir(), Dir: h.secret, Slot: "0", Epoch: epoch}
}

func start(t *testing.T, c Config) (s *Saver, stop func()) {
	t.Helper()

	return startAt(t, c, time.Now, quiet)
}

func startAt(t *testing.T, c Config, now func() time.Time, log *slog.Logger) (s *Saver, stop func()) {
	t.Helper()

	if c.Interval == 0 {
		c.Interval = time.Hour
	}

	c.LastTimeout = 10 * time.Second

	s, err := New(c, now, log)
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())

	var wg sync.WaitGroup

	wg.Go(func() { s.Run(ctx) })

	stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
	})
	t.Cleanup(stop)

	return s, stop
}

func eventually(t *testing.T, what string, check func() bool) {
	t.Helper()

	for end := time.Now().Add(20 * time.Second); !check(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for: %s", what)
		}
	}
}

func put(t *testing.T, p Place, name, text string) {
	t.Helper()

	if err := os.WriteFile(filepath.Join(p.state(), name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, p Place, name string) string {
	t.Helper()

	b, err := os.ReadFile(filepath.Join(p.state(), name))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}

	return string(b)
}

func mustRestore(t *testing.T, p Place, what string) {
	t.Helper()

	if err := Restore(t.Context(), p, what, quiet); err != nil {
		t.Fatal(err)
	}
}

// What a worker had is what its successor begins with, whatever ended it.
func TestStateFollowsTheSlot(t *testing.T) {
	h := newHome(t)

	first := h.worker(t, 1)
	mustRestore(t, first, monitorapi.RestoreLatest)

	s, stop := start(t, Config{Place: first})
	put(t, first, "session", "one")
	stop() // The agent has ended: the last save.

	if st := s.Status(); st.Reason != monitorapi.SaveStop || st.Position != "0000000001-0000000001" || st.CurrentAt == nil {
		t.Errorf("after the last save: %+v", st)
	}

	second := h.worker(t, 2)
	mustRestore(t, second, monitorapi.RestoreLatest)

	if got := read(t, second, "session"); got != "one" {
		t.Fatalf("the successor begins with %q", got)
	}

	s, stop = start(t, Config{Place: second, Interval: 20 * time.Millisecond})
	eventually(t, "the restored state is known to be saved", func() bool { return s.Status().CurrentAt != nil })

	if st := s.Status(); st.Position != "0000000002-0000000001" || st.RestoredFrom != "0/0000000001-0000000001" || st.Reason != monitorapi.SaveRestored {
		t.Errorf("a successor that has changed nothing: %+v", st)
	}

	put(t, second, "session", "two")
	eventually(t, "a change is saved", func() bool { return s.Status().Reason == monitorapi.SaveInterval })
	stop()

	// An earlier state of the slot, by name.
	third := h.worker(t, 3)
	mustRestore(t, third, "0/0000000001-0000000001")

	if got := read(t, third, "session"); got != "one" {
		t.Errorf("asked for the first checkpoint the worker begins with %q", got)
	}

	fourth := h.worker(t, 4)
	mustRestore(t, fourth, monitorapi.RestoreLatest)

	if got := read(t, fourth, "session"); got != "one" {
		t.Errorf("after a worker that went back the next begins with %q", got)
	}
}

// A drain is over when the state is saved under its id, and not before.
func TestDrain(t *testing.T) {
	h := newHome(t)
	p := h.worker(t, 1)
	mustRestore(t, p, monitorapi.RestoreLatest)

	s, _ := start(t, Config{Place: p})
	put(t, p, "session", "one")

	idle := time.Now()
	eventually(t, "the drain's save", func() bool { saved, _ := s.Saved("d1", idle); return saved })

	m, err := h.repo.Manifest(t.Context(), "0", checkpoint.Position{Epoch: 1, Sequence: 1})
	if err != nil || m.Drain != "d1" || m.Reason != monitorapi.SaveDrain {
		t.Errorf("the drain's manifest: %+v, %v", m, err)
	}

	// Another drain of a state that did not change has a manifest of its own; the agent's end needs none.
	eventually(t, "another drain's save", func() bool { saved, _ := s.Saved("d2", idle); return saved })
	eventually(t, "the save before the agent's end", func() bool { saved, _ := s.Saved("", idle); return saved })

	all, err := h.repo.Positions(t.Context(), "0")
	if err != nil || len(all) != 2 {
		t.Errorf("there are %v, %v", all, err)
	}

	// A drain that begins anew is another, whatever it is called.
	put(t, p, "session", "two")

	again := time.Now()
	eventually(t, "the same drain, later", func() bool { saved, _ := s.Saved("d2", again); return saved })

	if all, err := h.repo.Positions(t.Context(), "0"); err != nil || len(all) != 3 {
		t.Errorf("after the third there are %v, %v", all, err)
	}
}

// What a worker saves after it was saved for a drain is that drain's, too, as long as the drain goes on: its removal looks at the
// newest checkpoint, and an agent may write without a task.
func TestDrainStands(t *testing.T) {
	h := newHome(t)
	p := h.worker(t, 1)
	mustRestore(t, p, monitorapi.RestoreLatest)

	s, _ := start(t, Config{Place: p, Interval: 10 * time.Millisecond})
	newest := func() checkpoint.Manifest {
		t.Helper()

		all, err := h.repo.Positions(t.Context(), "0")
		if err != nil || len(all) == 0 {
			t.Fatalf("%v, %v", all, err)
		}

		m, err := h.repo.Manifest(t.Context(), "0", all[0])
		if err != nil {
			t.Fatal(err)
		}

		return m
	}
	later := func(text string) checkpoint.Manifest {
		t.Helper()

		before := s.Status().Position
		put(t, p, "session", text)
		eventually(t, "a save by itself", func() bool { return s.Status().Position != before })

		return newest()
	}

	idle := time.Now()
	eventually(t, "the drain's save", func() bool { saved, _ := s.Saved("d1", idle); return saved })

	if m := later("more"); m.Drain != "d1" || m.Reason != monitorapi.SaveInterval || s.Status().Drain != "d1" {
		t.Errorf("while the drain goes on: %+v, %+v", m, s.Status())
	}

	s.Withdraw()

	if m := later("and more"); m.Drain != "" || s.Status().Drain != "" {
		t.Errorf("after it was withdrawn: %+v, %+v", m, s.Status())
	}

	// It may be withdrawn at any time, also while the state is being saved.
	for range 100 {
		s.Withdraw()
		time.Sleep(time.Millisecond)
	}

	// The same again is another drain.
	if saved, _ := s.Saved("d1", idle); saved {
		t.Error("a drain that was withdrawn is taken for done")
	}
}

// A worker that lost its slot saves nothing any more and says so.
func TestFenced(t *testing.T) {
	h := newHome(t)
	old := h.worker(t, 1)
	mustRestore(t, old, monitorapi.RestoreLatest)

	s, stop := start(t, Config{Place: old, Interval: 20 * time.Millisecond})
	put(t, old, "session", "old")
	eventually(t, "the first save", func() bool { return s.Status().Position != "" })

	next := h.worker(t, 2)
	mustRestore(t, next, monitorapi.RestoreLatest)
	put(t, old, "session", "zombie")
	eventually(t, "the old worker hears that it is fenced", func() bool { return s.Status().Fenced })
	stop()

	last := h.worker(t, 3)
	mustRestore(t, last, monitorapi.RestoreLatest)

	if got := read(t, last, "session"); got != "old" {
		t.Errorf("after the zombie the slot's state is %q", got)
	}
}

// A store that cannot be reached is said, and the state is saved when it can.
func TestFailingStore(t *testing.T) {
	h := newHome(t)
	p := h.worker(t, 1)
	mustRestore(t, p, monitorapi.RestoreLatest)

	var down atomic.Bool

	down.Store(true)

	p.open = func(ctx context.Context, c store.Config) (*blob.Bucket, error) {
		if down.Load() {
			return nil, errors.New("it is down")
		}

		return store.Open(ctx, c)
	}

	s, _ := start(t, Config{Place: p, Interval: 20 * time.Millisecond})
	put(t, p, "session", "one")
	eventually(t, "the failure is said", func() bool { return s.Status().FailingSince != nil })

	if saved, why := s.Saved("d1", time.Now()); saved || !strings.Contains(why, "it is down") {
		t.Errorf("while the store is down a drain is told %t, %q", saved, why)
	}

	down.Store(false)
	eventually(t, "the state is saved", func() bool { st := s.Status(); return st.Position != "" && st.Failing == "" })
}

// What the volume holds of this worker is newer than any checkpoint; what it holds of another is none of its business.
func TestVolumeOfAnotherLife(t *testing.T) {
	h := newHome(t)
	p := h.worker(t, 1)
	mustRestore(t, p, monitorapi.RestoreLatest)
	put(t, p, "session", "not saved yet")

	// The node was started again, and the pod's sandbox made anew.
	mustRestore(t, p, monitorapi.RestoreLatest)

	if got := read(t, p, "session"); got != "not saved yet" {
		t.Errorf("after a reboot the state is %q", got)
	}

	p.Epoch = 2
	if _, err := h.repo.ClaimAt(t.Context(), "0", 2, "pod-2"); err != nil {
		t.Fatal(err)
	}

	mustRestore(t, p, monitorapi.RestoreLatest)

	if got := read(t, p, "session"); got != "" {
		t.Errorf("another worker on the same volume finds %q", got)
	}
}

// A slot may begin with what another one had, under an epoch of the same number too; its own successor goes on from there.
func TestBeginsWithAnotherSlotsState(t *testing.T) {
	h := newHome(t)
	p := h.worker(t, 1)
	mustRestore(t, p, monitorapi.RestoreLatest)

	_, stop := start(t, Config{Place: p})
	put(t, p, "session", "one")
	stop()

	if _, err := h.repo.ClaimAt(t.Context(), "7", 1, "pod-7"); err != nil {
		t.Fatal(err)
	}

	mustRestore(t, Place{Volume: t.TempDir(), Dir: h.secret, Slot: "7", Epoch: 1}, "0/0000000001-0000000001")

	if _, err := h.repo.ClaimAt(t.Context(), "7", 2, "pod-8"); err != nil {
		t.Fatal(err)
	}

	next := Place{Volume: t.TempDir(), Dir: h.secret, Slot: "7", Epoch: 2}
	mustRestore(t, next, monitorapi.RestoreLatest)

	if got := read(t, next, "session"); got != "one" {
		t.Errorf("the clone's successor begins with %q", got)
	}

	if err := Restore(t.Context(), Place{Volume: t.TempDir(), Dir: h.secret, Slot: "7", Epoch: 2}, "yesterday", quiet); err == nil {
		t.Error("a name that is no checkpoint's was taken")
	}
}

func TestRestoreFallsBack(t *testing.T) {
	h := newHome(t)
	p := h.worker(t, 1)
	mustRestore(t, p, monitorapi.RestoreLatest)

	s, _ := start(t, Config{Place: p})

	for _, text := range []string{"one", "two"} {
		put(t, p, "session", text)

		at := time.Now()
		eventually(t, "a save", func() bool { saved, _ := s.Saved(text, at); return saved })
	}

	newest, err := h.repo.Manifest(t.Context(), "0", checkpoint.Position{Epoch: 1, Sequence: 2})
	if err != nil {
		t.Fatal(err)
	}

	id := newest.Tree[0].String()
	if err := os.Remove(filepath.Join(h.dir, "team-a/pool/chunks", id[:2], id)); err != nil {
		t.Fatal(err)
	}

	var log bytes.Buffer

	next := h.worker(t, 2)
	if err := Restore(t.Context(), next, monitorapi.RestoreLatest, slog.New(slog.NewJSONHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}

	if got := read(t, next, "session"); got != "one" {
		t.Errorf("beside a checkpoint that is not whole the worker begins with %q", got)
	}

	if !strings.Contains(log.String(), "not valid") || !strings.Contains(log.String(), newest.Position.String()) {
		t.Errorf("it does not say what it left: %s", log.String())
	}

	if err := Restore(t.Context(), h.worker(t, 3), "0/"+newest.Position.String(), quiet); !errors.Is(err, checkpoint.ErrNotFound) {
		t.Errorf("a checkpoint that was asked for and is not whole: %v", err)
	}
}

func TestQuiesce(t *testing.T) {
	var (
		mu    sync.Mutex
		heard []string
	)

	agent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)

		mu.Lock()
		defer mu.Unlock()

		heard = append(heard, strings.SplitN(string(b), ",", 2)[0])
	}))
	defer agent.Close()

	h := newHome(t)
	p := h.worker(t, 1)
	mustRestore(t, p, monitorapi.RestoreLatest)

	s, stop := start(t, Config{Place: p, QuiesceURL: agent.URL + "/quiesce", QuiesceTimeout: time.Second})
	put(t, p, "session", "one")

	at := time.Now()
	eventually(t, "a save", func() bool { saved, _ := s.Saved("d", at); return saved })
	stop()

	mu.Lock()
	defer mu.Unlock()

	// When the agent has ended nobody asks it anything.
	if want := []string{`{"quiesce":true`, `{"quiesce":false}`}; !slices.Equal(heard, want) {
		t.Errorf("the agent heard %q, want %q", heard, want)
	}

	if _, err := New(Config{Place: p, QuiesceURL: "http://example.org/x"}, time.Now, quiet); err == nil {
		t.Error("a hook elsewhere than on loopback was taken")
	}
}
