package checkpoint

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"
)

// old is beyond the safety window.
const old = 30 * time.Hour

func names(t *testing.T, b *blob.Bucket, prefix string) []string {
	t.Helper()
	var out []string
	it := b.List(&blob.ListOptions{Prefix: prefix})
	for {
		o, err := it.Next(t.Context())
		if err != nil {
			return out
		}
		out = append(out, o.Key)
	}
}

// aging returns a repository over one whose chunks are all old, until they are written again.
func aging(t *testing.T, r *Repository, mem *blob.Bucket, ask gate) *Repository {
	t.Helper()
	ages := map[string]time.Duration{}
	for _, n := range names(t, mem, chunksPrefix) {
		ages[n] = old
	}
	out := *r
	out.store.bucket = blob.NewBucket(&gated{to: mem, ask: ask, ages: ages})
	return &out
}

func always() (bool, bool) { return true, true }

func TestSweep(t *testing.T) {
	mem := memblob.OpenBucket(nil)
	defer mem.Close()
	r, err := Create(t.Context(), mem, testKey, testPool, quick())
	if err != nil {
		t.Fatal(err)
	}
	s := mustClaim(t, r)
	for _, text := range []string{"one", "two", "three"} {
		if _, err := save(t.Context(), s, text); err != nil {
			t.Fatal(err)
		}
	}
	all := len(names(t, mem, chunksPrefix))
	if err := mem.WriteAll(t.Context(), "chunks/zz/somebody's", []byte("x"), nil); err != nil {
		t.Fatal(err)
	}
	positions, err := r.Positions(t.Context(), "w-0")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(t.Context(), "w-0", positions[2], false); err != nil {
		t.Fatal(err)
	}
	got, err := r.Sweep(t.Context())
	if err != nil || got.Removed != 0 || got.Young != int64(all) {
		t.Errorf("a sweep of young chunks: %+v, %v", got, err)
	}
	aged := aging(t, r, mem, always)
	got, err = aged.Sweep(t.Context())
	// A state of one chunk is that and its list.
	if err != nil || got.Removed != 2 || got.Needed != 4 || got.Left != 0 || got.Freed == 0 {
		t.Errorf("a sweep of old chunks: %+v, %v", got, err)
	}
	for _, p := range positions[:2] {
		m, err := r.Manifest(t.Context(), "w-0", p)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Verify(t.Context(), m); err != nil {
			t.Error(err)
		}
	}
	if got := names(t, mem, chunksPrefix); len(got) != all-2+1 {
		t.Errorf("after the sweep there are %q", got)
	}
	if s, err := r.lastSweep(t.Context()); err != nil || !s.Done || s.Token == "" {
		t.Errorf("after the sweep it is announced as %+v, %v", s, err)
	}
	// A manifest that cannot be read may need anything.
	if err := r.Remove(t.Context(), "w-0", positions[1], false); err != nil {
		t.Fatal(err)
	}
	if err := mem.WriteAll(t.Context(), manifestName("w-0", Position{Epoch: 1, Sequence: 9}), []byte("{}\n"), nil); err != nil {
		t.Fatal(err)
	}
	if got, err := aged.Sweep(t.Context()); !errors.Is(err, ErrCorrupt) || got.Removed != 0 {
		t.Errorf("a sweep beside a corrupt manifest: %+v, %v, want ErrCorrupt and nothing removed", got, err)
	}
}

// losing is a store that removes, and then loses the answer.
type losing struct {
	gated
	then func()
}

func (l *losing) Delete(ctx context.Context, key string) error {
	err := l.to.Delete(ctx, key)
	delete(l.ages, key)
	l.then()
	return errors.Join(err, errLost)
}

// When the answer to a removal is lost, and a save stores the same chunk before the sweep tries again, the chunk stays.
func TestSweepLosesAnswer(t *testing.T) {
	mem := memblob.OpenBucket(nil)
	defer mem.Close()
	r, err := Create(t.Context(), mem, testKey, testPool, quick())
	if err != nil {
		t.Fatal(err)
	}
	s := mustClaim(t, r)
	if _, err := s.Put(t.Context(), []byte("again")); err != nil { // Nobody commits it.
		t.Fatal(err)
	}
	ages := map[string]time.Duration{}
	for _, n := range names(t, mem, chunksPrefix) {
		ages[n] = old
	}
	other := mustClaim(t, r)
	var saved Manifest
	sweeper := *r
	sweeper.store.opts.Attempts = 4
	sweeper.store.opts.Pause = time.Nanosecond
	sweeper.opts.Attempts = 4
	sweeper.store.bucket = blob.NewBucket(&losing{gated: gated{to: mem, ask: always, ages: ages}, then: func() {
		if saved, err = save(t.Context(), other, "again"); err != nil {
			t.Error(err)
		}
	}})
	got, err := sweeper.Sweep(t.Context())
	if err != nil || got.Removed != 0 || got.Young != 1 {
		t.Errorf("Sweep: %+v, %v, want the chunk to be young", got, err)
	}
	if err := r.Verify(t.Context(), saved); err != nil {
		t.Errorf("what was saved meanwhile is torn: %v", err)
	}
}

// A sweep beside a save, in all interleavings of their operations with at most six changes from one to the other, a crash of
// either counted as two: whatever manifest there is is whole.
func TestSweepAllInterleavings(t *testing.T) {
	if testing.Short() {
		t.Skip("tens of thousands of interleavings")
	}
	sweeps := func(ctx context.Context, r *Repository, _ ID) { _, _ = r.Sweep(ctx) }
	scenarios := map[string]besides{
		"TheSameAgain": {remove: sweeps, act: func(ctx context.Context, s *Session, _ Manifest) error {
			// What a manifest had that is gone: the chunk is old, and nobody needs it.
			_, err := save(ctx, s, "gone")
			return err
		}},
		"HeldAndPruned": {remove: sweeps, act: func(ctx context.Context, s *Session, before Manifest) error {
			// What the last manifest has is not looked for again, and then that manifest goes.
			if _, err := save(ctx, s, "kept"); err != nil {
				return err
			}
			return s.repo.Remove(ctx, "w-0", before.Position, false)
		}},
		"RenewedAndDiscarded": {corrupt: true, remove: func(ctx context.Context, r *Repository, id ID) { _ = r.Discard(ctx, id) },
			act: func(ctx context.Context, s *Session, _ Manifest) error {
				// The chunk is old and corrupt: it is stored over, while somebody takes it away.
				_, err := save(ctx, s, "gone")
				return err
			}},
	}
	for name, scenario := range scenarios {
		t.Run(name, func(t *testing.T) {
			runs := 0
			var walk func(prefix []byte)
			walk = func(prefix []byte) {
				if t.Failed() {
					return
				}
				runs++
				for _, c := range sweepBeside(t, prefix, scenario) {
					if changes(c) <= 6 {
						walk(c)
					}
				}
			}
			walk(nil)
			t.Logf("%d interleavings", runs)
			if runs < 300 {
				t.Errorf("got %d interleavings: the two did not interleave", runs)
			}
		})
	}
}

// besides is what two processes do: one saves, the other removes chunks.
type besides struct {
	act    func(context.Context, *Session, Manifest) error
	remove func(context.Context, *Repository, ID)
	// corrupt is whether the chunk is that the removed manifest had.
	corrupt bool
}

// sweepBeside runs one schedule as interleave does: 'a' saves, 'b' removes.
func sweepBeside(t *testing.T, prefix []byte, do besides) (others [][]byte) {
	t.Helper()
	mem := memblob.OpenBucket(nil)
	defer mem.Close()
	r, err := Create(t.Context(), mem, testKey, testPool, quick())
	if err != nil {
		t.Fatal(err)
	}
	s := mustClaim(t, r)
	gone, err := save(t.Context(), s, "gone")
	if err != nil {
		t.Fatal(err)
	}
	before, err := save(t.Context(), s, "kept")
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Remove(t.Context(), "w-0", gone.Position, false); err != nil {
		t.Fatal(err)
	}
	if do.corrupt {
		flip(t, mem, chunkName(gone.Tree[0]))
	}
	ages := map[string]time.Duration{}
	for _, n := range names(t, mem, chunksPrefix) {
		ages[n] = old
	}
	view := func(g gate) *Repository {
		out := *r
		out.store.bucket = blob.NewBucket(&gated{to: mem, ask: g, ages: ages})
		return &out
	}
	a := start(func(g gate) {
		s.repo = view(g)
		_ = do.act(t.Context(), s, before) // What is acknowledged is what is newest in the end.
	})
	b := start(func(g gate) { do.remove(t.Context(), view(g), gone.Tree[0]) })
	trace, others := schedule(prefix, a, b)
	// Whatever manifest there is was committed over chunks that must be there.
	all, err := r.Positions(t.Context(), "w-0")
	if err != nil || len(all) == 0 {
		t.Fatalf("schedule %s: manifests %v, %v", trace, all, err)
	}
	for _, p := range all {
		m, err := r.Manifest(t.Context(), "w-0", p)
		if err != nil {
			t.Fatalf("schedule %s: %v", trace, err)
		}
		if err := r.Verify(t.Context(), m); err != nil {
			t.Fatalf("schedule %s: %v", trace, err)
		}
	}
	return others
}

// looked counts who looks which sweep was the last, and takes its time for it.
type looked struct {
	gated
	times atomic.Int32
}

func (l *looked) NewRangeReader(ctx context.Context, key string, from, n int64, o *driver.ReaderOptions) (driver.Reader, error) {
	if key == sweepName {
		l.times.Add(1)
		time.Sleep(20 * time.Millisecond)
	}
	return l.gated.NewRangeReader(ctx, key, from, n, o)
}

// Of many chunks that are renewed at once all are under the sweep that is remembered: the first one looks, and the others wait for it.
func TestRenewLooksOnce(t *testing.T) {
	mem := memblob.OpenBucket(nil)
	defer mem.Close()
	if _, err := Create(t.Context(), mem, testKey, testPool, quick()); err != nil {
		t.Fatal(err)
	}
	l := &looked{gated: gated{to: mem, ask: always}}
	r, err := Open(t.Context(), blob.NewBucket(l), testKey, quick())
	if err != nil {
		t.Fatal(err)
	}
	s := mustClaim(t, r)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := s.renew(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := l.times.Load(); n != 1 || s.sweep == nil {
		t.Errorf("%d looked, and %v is remembered", n, s.sweep)
	}
}
