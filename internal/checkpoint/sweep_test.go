package checkpoint

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
	"pgregory.net/rapid"
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

// A sweep beside a save, in all interleavings of their operations with at most six changes from one to the other, a crash of
// either counted as two: whatever manifest there is is whole.
func TestSweepAllInterleavings(t *testing.T) {
	if testing.Short() {
		t.Skip("tens of thousands of interleavings")
	}
	scenarios := map[string]func(context.Context, *testing.T, *Session, Manifest) error{
		"TheSameAgain": func(ctx context.Context, _ *testing.T, s *Session, _ Manifest) error {
			// What a manifest had that is gone: the chunk is old, and nobody needs it.
			_, err := save(ctx, s, "gone")
			return err
		},
		"HeldAndPruned": func(ctx context.Context, _ *testing.T, s *Session, before Manifest) error {
			// What the last manifest has is not looked for again, and then that manifest goes.
			if _, err := save(ctx, s, "kept"); err != nil {
				return err
			}
			return s.repo.Remove(ctx, "w-0", before.Position, false)
		},
	}
	for name, act := range scenarios {
		t.Run(name, func(t *testing.T) {
			runs := 0
			var walk func(prefix []byte)
			walk = func(prefix []byte) {
				if t.Failed() {
					return
				}
				runs++
				for _, c := range sweepBeside(t, prefix, act) {
					if changes(c) <= 6 {
						walk(c)
					}
				}
			}
			walk(nil)
			t.Logf("%d interleavings", runs)
			if runs < 500 {
				t.Errorf("got %d interleavings: the two did not interleave", runs)
			}
		})
	}
}

// changes is how often a schedule goes from one process to the other; a crash is two.
func changes(schedule []byte) (n int) {
	last := byte('a')
	for _, c := range schedule {
		if c < 'a' {
			n += 2
			c += 'a' - 'A'
		}
		if c != last {
			n++
			last = c
		}
	}
	return n
}

// sweepBeside runs one schedule as interleave does: 'a' saves, 'b' sweeps.
func sweepBeside(t *testing.T, prefix []byte, act func(context.Context, *testing.T, *Session, Manifest) error) (others [][]byte) {
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
		_ = act(t.Context(), t, s, before) // What is acknowledged is what is newest in the end.
	})
	b := start(func(g gate) { _, _ = view(g).Sweep(t.Context()) })
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

// schedule lets two processes go on as a prefix says, and then always the first that lives. It returns what it did, and the
// schedules that leave this one behind the prefix.
func schedule(prefix []byte, a, b *process) (trace []byte, others [][]byte) {
	for procs := (map[byte]*process{'a': a, 'b': b}); !a.ended || !b.ended; {
		var can []byte
		for _, c := range []byte("ab") {
			if !procs[c].ended {
				can = append(can, c, c-'a'+'A')
			}
		}
		pick := can[0]
		if len(trace) < len(prefix) {
			pick = prefix[len(trace)]
		} else {
			for _, c := range can[1:] {
				others = append(others, append(slices.Clone(trace), c))
			}
		}
		trace = append(trace, pick)
		if pick < 'a' {
			procs[pick-'A'+'a'].next(false)
		} else {
			procs[pick].next(true)
		}
	}
	return trace, others
}

func TestRemovable(t *testing.T) {
	at := func(s string) time.Time {
		out, err := time.Parse("2006-01-02 15:04", "2026-01-"+s)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	all := []Kept{
		{Position: Position{2, 4}, Time: at("03 10:50")},
		{Position: Position{2, 3}, Time: at("03 10:40")},
		{Position: Position{2, 2}, Time: at("03 09:50")},
		{Position: Position{2, 1}, Time: at("03 09:40")},
		{Position: Position{1, 3}, Time: at("02 23:59"), Never: true},
		{Position: Position{1, 2}, Time: at("02 23:50")},
		{Position: Position{1, 1}, Time: at("01 12:00")},
	}
	cases := map[string]struct {
		reason string
		rules  Retain
		want   []Position
	}{
		"None":   {reason: "The newest stays, and what is pinned.", want: []Position{{2, 3}, {2, 2}, {2, 1}, {1, 2}, {1, 1}}},
		"Last":   {reason: "The newest few stay; what is pinned does not count.", rules: Retain{Last: 5}, want: []Position{{1, 1}}},
		"Hourly": {reason: "The newest of each of the last hours that have any.", rules: Retain{Hourly: 3}, want: []Position{{2, 3}, {2, 1}, {1, 1}}},
		"Daily":  {reason: "The newest of each day.", rules: Retain{Daily: 3}, want: []Position{{2, 3}, {2, 2}, {2, 1}}},
		"All":    {reason: "What any rule keeps stays.", rules: Retain{Last: 2, Hourly: 2, Daily: 2}, want: []Position{{2, 1}, {1, 1}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.rules.Removable(all)); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestRemovableProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []Kept
		at := time.Unix(1e9, 0)
		for i := range rapid.IntRange(0, 60).Draw(t, "manifests") {
			// Clocks of two workers may differ.
			at = at.Add(-time.Duration(rapid.IntRange(-100, 30000).Draw(t, "seconds")) * time.Second)
			all = append(all, Kept{Position: Position{Epoch: 1, Sequence: int64(100 - i)}, Time: at, Never: rapid.Bool().Draw(t, "never")})
		}
		rules := Retain{Last: rapid.IntRange(0, 9).Draw(t, "last"), Hourly: rapid.IntRange(0, 9).Draw(t, "hourly"), Daily: rapid.IntRange(0, 9).Draw(t, "daily")}
		gone := rules.Removable(all)
		more := rules
		more.Hourly++
		for _, p := range more.Removable(all) {
			if !slices.Contains(gone, p) {
				t.Fatalf("a rule that keeps more lets %s go", p)
			}
		}
		left := slices.DeleteFunc(slices.Clone(all), func(k Kept) bool { return slices.Contains(gone, k.Position) })
		for _, k := range all {
			if k.Never && slices.Contains(gone, k.Position) {
				t.Fatalf("%s goes although it never may", k.Position)
			}
		}
		if again := rules.Removable(left); len(again) > 0 {
			t.Fatalf("what was kept goes the next time: %v", again)
		}
		if i := slices.IndexFunc(all, func(k Kept) bool { return !k.Never }); i >= 0 && slices.Contains(gone, all[i].Position) {
			t.Fatal("the newest goes")
		}
	})
}

func TestPinsAndPrune(t *testing.T) {
	for name, b := range buckets(t) {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			r, err := Create(ctx, b, testKey, testPool, quick())
			if err != nil {
				t.Fatal(err)
			}
			s := mustClaim(t, r)
			for _, text := range []string{"1", "2", "3", "4"} {
				if _, err := save(ctx, s, text); err != nil {
					t.Fatal(err)
				}
			}
			second := Position{Epoch: 1, Sequence: 2}
			if err := r.Pin(ctx, "w-0", second, "before the upgrade"); err != nil {
				t.Fatal(err)
			}
			if err := r.Pin(ctx, "w-0", second, "again"); !errors.Is(err, ErrExists) {
				t.Errorf("Pin of what is pinned: %v", err)
			}
			if err := r.Pin(ctx, "w-0", Position{Epoch: 7, Sequence: 7}, "nothing"); !errors.Is(err, ErrNotFound) {
				t.Errorf("Pin of what is not there: %v", err)
			}
			pins, err := r.Pins(ctx, "w-0")
			if diff := cmp.Diff(map[Position]string{second: "before the upgrade"}, pins); err != nil || diff != "" {
				t.Errorf("Pins: %v, -want, +got:\n%s", err, diff)
			}
			gone, err := r.Prune(ctx, "w-0", Retain{Last: 1})
			if diff := cmp.Diff([]Position{{1, 1}, {1, 3}}, gone); err != nil || diff != "" {
				t.Errorf("Prune: %v, -want, +got:\n%s", err, diff)
			}
			if err := r.Remove(ctx, "w-0", second, true); !errors.Is(err, ErrPinned) {
				t.Errorf("Remove of what is pinned: %v", err)
			}
			if err := r.Remove(ctx, "w-0", Position{Epoch: 1, Sequence: 4}, false); !errors.Is(err, ErrInvalid) {
				t.Errorf("Remove of the newest: %v", err)
			}
			if err := r.Unpin(ctx, "w-0", second); err != nil {
				t.Fatal(err)
			}
			if err := r.Unpin(ctx, "w-0", second); !errors.Is(err, ErrNotFound) {
				t.Errorf("Unpin of what is not pinned: %v", err)
			}
			if got := state(t, b); got != "4" {
				t.Errorf("the state is %q", got)
			}
			sum, err := r.Summarize(ctx, "w-0")
			if err != nil || sum.Checkpoints != 2 || sum.Newest == nil || sum.Newest.Sequence != 4 || sum.Owner.Epoch != 2 || sum.Owner.Holder != "look" || sum.Problem != nil {
				t.Errorf("Summarize: %+v, %v", sum, err)
			}
			slots, err := r.Slots(ctx)
			if diff := cmp.Diff([]string{"w-0"}, slots); err != nil || diff != "" {
				t.Errorf("Slots: %v, -want, +got:\n%s", err, diff)
			}
			if n, err := r.PruneEpochs(ctx, "w-0", 1); n != 1 || err != nil {
				t.Errorf("PruneEpochs: %d, %v", n, err)
			}
			if e, err := r.Highest(ctx, "w-0"); e.Epoch != 2 || err != nil {
				t.Errorf("after it the highest is %d, %v", e.Epoch, err)
			}
		})
	}
}

func TestClaimAt(t *testing.T) {
	for name, b := range buckets(t) {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			r, err := Create(ctx, b, testKey, testPool, quick())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := r.Highest(ctx, "3"); !errors.Is(err, ErrNotFound) {
				t.Errorf("Highest of a slot that nobody claimed: %v", err)
			}
			first, err := r.ClaimAt(ctx, "3", 5, "a")
			if err != nil || first.Epoch != 5 {
				t.Fatal(first, err)
			}
			if again, err := r.ClaimAt(ctx, "3", 5, "a"); err != nil || again != first {
				t.Errorf("the same claim again: %+v, %v, want the first", again, err)
			}
			if _, err := r.ClaimAt(ctx, "3", 5, "b"); !errors.Is(err, ErrExists) {
				t.Errorf("another's claim of that epoch: %v, want ErrExists", err)
			}
			if _, err := r.ClaimAt(ctx, "3", 9, "b"); err != nil {
				t.Error(err)
			}
			for holder, epoch := range map[string]int64{"a": 5, "c": 7} {
				if _, err := r.ClaimAt(ctx, "3", epoch, holder); !errors.Is(err, ErrFenced) {
					t.Errorf("a late claim of epoch %d: %v, want ErrFenced", epoch, err)
				}
			}
			if e, err := r.Highest(ctx, "3"); err != nil || e.Epoch != 9 || e.Holder != "b" {
				t.Errorf("the owner is %+v, %v", e, err)
			}
		})
	}
}

// A writer that was started again goes on without writing anything anew.
func TestResume(t *testing.T) {
	mem := memblob.OpenBucket(nil)
	defer mem.Close()
	r, err := Create(t.Context(), mem, testKey, testPool, quick())
	if err != nil {
		t.Fatal(err)
	}
	m, err := save(t.Context(), mustClaim(t, r), "state")
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Session(t.Context(), "w-0", m.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Resume(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	asked := 0
	counting := *r
	counting.store.bucket = gatedBucket(mem, func() (bool, bool) { asked++; return true, true })
	s.repo = &counting
	if _, err := s.Put(t.Context(), []byte("state")); err != nil || asked != 0 {
		t.Errorf("Put of what is there: %d requests, %v", asked, err)
	}
	next, err := save(t.Context(), s, "state")
	if err != nil || next.Sequence != 2 || next.Parent == nil || *next.Parent != m.Position {
		t.Errorf("the next manifest is %+v, %v", next, err)
	}
	other := mustClaim(t, r)
	if err := other.Resume(t.Context(), m); !errors.Is(err, ErrInvalid) {
		t.Errorf("Resume of another epoch's: %v", err)
	}
}
