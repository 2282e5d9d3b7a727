package checkpoint

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

// process runs f, whose every store operation waits until the scheduler lets it go on.
type process struct {
	step, went chan bool
	ended      bool
}

func start(f func(gate)) *process {
	p := &process{step: make(chan bool), went: make(chan bool)}
	go func() {
		ok := <-p.step
		f(func() (bool, bool) {
			if ok {
				p.went <- true
				ok = <-p.step
			}
			return ok, ok
		})
		p.went <- false
	}()
	p.next(true)
	return p
}

// next lets the process do one operation, or crash.
func (p *process) next(live bool) {
	p.step <- live
	p.ended = !<-p.went
}

// schedule lets processes go on as a prefix says, and then always the first that lives: 'a' is the first, and 'A' crashes it. It
// returns what it did, and the schedules that leave this one behind the prefix.
func schedule(prefix []byte, procs ...*process) (trace []byte, others [][]byte) {
	for {
		var can []byte
		for i, p := range procs {
			if !p.ended {
				can = append(can, byte('a'+i), byte('A'+i))
			}
		}
		if len(can) == 0 {
			return trace, others
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
			procs[pick-'A'].next(false)
		} else {
			procs[pick-'a'].next(true)
		}
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

// Two writers in all interleavings of their operations, a crash of either before any of them included: the code itself
// is the model. The old owner saves; the new one claims, restores and adopts. Without -short this takes most of a minute.
func TestTwoWritersAllInterleavings(t *testing.T) {
	if testing.Short() {
		t.Skip("tens of thousands of interleavings")
	}
	runs := 0
	var walk func(prefix []byte)
	walk = func(prefix []byte) {
		choices := interleave(t, prefix)
		runs++
		// Every other choice after the prefix, at each point where the default was taken.
		for _, c := range choices {
			walk(c)
		}
	}
	walk(nil)
	t.Logf("%d interleavings", runs)
	if runs < 1000 {
		t.Errorf("got %d interleavings: the writers did not interleave", runs)
	}
}

// interleave runs one schedule: the prefix, then always the first process that lives. It returns the schedules
// that leave this one behind the prefix. 'a' and 'b' let a process go on, 'A' and 'B' crash it.
func interleave(t *testing.T, prefix []byte) (others [][]byte) {
	t.Helper()
	mem := memblob.OpenBucket(nil)
	defer mem.Close()
	r, err := Create(t.Context(), mem, testKey, testPool, quick())
	if err != nil {
		t.Fatal(err)
	}
	old := mustClaim(t, r)
	if _, err := save(t.Context(), old, "1"); err != nil {
		t.Fatal(err)
	}
	acked := "1"
	done := func(text string, err error) {
		if err == nil {
			acked = max(acked, text)
		}
	}
	a := start(func(g gate) {
		s := *old.repo
		s.store.bucket = gatedBucket(mem, g)
		old.repo = &s
		_, err := save(t.Context(), old, "2")
		done("2", err)
	})
	b := start(func(g gate) { takeOver(t.Context(), *r, gatedBucket(mem, g), done) })
	trace, others := schedule(prefix, a, b)
	if got := state(t, mem); got < acked {
		t.Fatalf("schedule %s: acknowledged %q, restored %q", trace, acked, got)
	}
	return others
}

// takeOver is the new owner's life. What it is acknowledged is what it restored.
func takeOver(ctx context.Context, r Repository, b *blob.Bucket, done func(string, error)) {
	plain := r.store.bucket
	r.store.bucket = b
	e, err := r.Claim(ctx, "w-0", "new")
	if err != nil {
		return
	}
	s := &Session{repo: &r, slot: "w-0", epoch: e.Epoch, writer: "new", next: 1}
	got, err := r.Restore(ctx, "w-0", e.Epoch, func(context.Context, Manifest) error { return nil })
	if err != nil {
		return
	}
	if _, err := s.Adopt(ctx, got.Manifest, "Restored"); err != nil {
		return
	}
	r.store.bucket = plain // What it restored is looked at by the test, not by the process.
	text, err := r.Get(ctx, got.Manifest.Tree[0])
	if err != nil {
		return
	}
	done(string(text), nil)
}

// Three writers in all interleavings with at most so many changes from one to another, a crash counted as two. The old owner
// saves. A binder that is late claims under an epoch that its ledger gave long ago, another under a later one; both restore,
// adopt, and save on. Each state is the one before with a letter more, so that what was acknowledged must begin what is restored.
func TestThreeWritersInterleavings(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of interleavings")
	}
	const most = 3
	runs := 0
	var walk func(prefix []byte)
	walk = func(prefix []byte) {
		runs++
		for _, c := range threeWriters(t, prefix) {
			if changes(c) <= most {
				walk(c)
			}
		}
	}
	walk(nil)
	t.Logf("%d interleavings", runs)
	if runs < 5000 {
		t.Errorf("got %d interleavings: the writers did not interleave", runs)
	}
}

func threeWriters(t *testing.T, prefix []byte) (others [][]byte) {
	t.Helper()
	mem := memblob.OpenBucket(nil)
	defer mem.Close()
	r, err := Create(t.Context(), mem, testKey, testPool, quick())
	if err != nil {
		t.Fatal(err)
	}
	old := mustClaim(t, r)
	if _, err := save(t.Context(), old, "1"); err != nil {
		t.Fatal(err)
	}
	acked := []string{"1"}
	var fenced error
	view := func(g gate) *Repository {
		out := *r
		out.store.bucket = gatedBucket(mem, g)
		return &out
	}
	grow := func(s *Session, text string) error {
		_, err := save(t.Context(), s, text)
		if err == nil {
			acked = append(acked, text)
		}
		return err
	}
	trace, others := schedule(prefix,
		start(func(g gate) {
			old.repo = view(g)
			_ = grow(old, "1a") // Fenced, or not: that is seen in what is acknowledged.
		}),
		start(func(g gate) { _ = bindAt(t.Context(), view(g), r, 5, "b", grow) }),
		start(func(g gate) { fenced = bindAt(t.Context(), view(g), r, 9, "c", grow) }),
	)
	if errors.Is(fenced, ErrFenced) || errors.Is(fenced, ErrExists) {
		t.Fatalf("schedule %s: the highest epoch was fenced: %v", trace, fenced)
	}
	got := state(t, mem)
	for _, a := range acked {
		if !strings.HasPrefix(got, a) {
			t.Fatalf("schedule %s: acknowledged %q, restored %q", trace, acked, got)
		}
	}
	return others
}

// bindAt is the life of a worker whose epoch comes from a ledger. What the test looks at it reads beside the schedule.
func bindAt(ctx context.Context, r, beside *Repository, epoch int64, letter string, grow func(*Session, string) error) error {
	if _, err := r.ClaimAt(ctx, "w-0", epoch, letter); err != nil {
		return err
	}
	got, err := r.Restore(ctx, "w-0", epoch+1, func(context.Context, Manifest) error { return nil })
	if err != nil {
		return err
	}
	s := &Session{repo: r, slot: "w-0", epoch: epoch, writer: letter, next: 1}
	if _, err := s.Adopt(ctx, got.Manifest, "Restored"); err != nil {
		return err
	}
	text, err := beside.Get(ctx, got.Manifest.Tree[0])
	if err != nil {
		return err
	}
	return grow(s, string(text)+letter)
}
