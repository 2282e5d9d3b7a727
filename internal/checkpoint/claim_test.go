package checkpoint

import (
	"context"
	"errors"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/gcerrors"
)

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

// A racing store answers some creates with a conflict, because another create of that name goes on, which then comes to nothing.
type racing struct {
	gated
	conflicts int
}

var errConflict = errors.New("another create goes on")

func (r *racing) ErrorCode(err error) gcerrors.ErrorCode {
	if errors.Is(err, errConflict) {
		return gcerrors.FailedPrecondition
	}
	return r.gated.ErrorCode(err)
}

func (r *racing) NewTypedWriter(ctx context.Context, key, kind string, o *driver.WriterOptions) (driver.Writer, error) {
	if o.IfNotExist && r.conflicts > 0 {
		r.conflicts--
		return &gatedWriter{g: &r.gated, done: func([]byte) error { return errConflict }}, nil
	}
	return r.gated.NewTypedWriter(ctx, key, kind, o)
}

// A conflict with a create that comes to nothing is no claim of another's, and no loss: it is asked again.
func TestClaimBesideAnothersAttempt(t *testing.T) {
	ctx := t.Context()
	b := memblob.OpenBucket(nil)
	defer b.Close()
	if _, err := Create(ctx, b, DataKey{1}, newPool(), quick()); err != nil {
		t.Fatal(err)
	}
	store := &racing{gated: gated{to: b, ask: func() (bool, bool) { return true, true }}, conflicts: 1}
	r, err := Open(ctx, blob.NewBucket(store), DataKey{1}, Options{Attempts: 3, Pause: time.Nanosecond})
	if err != nil {
		t.Fatal(err)
	}
	e, err := r.Claim(ctx, "0", "a")
	if err != nil || e.Epoch != 1 || store.conflicts != 0 {
		t.Errorf("got epoch %d, %v, and %d conflicts are left", e.Epoch, err, store.conflicts)
	}
	store.conflicts = 100
	if _, err := r.Claim(ctx, "0", "a"); err == nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrExists) {
		t.Errorf("conflicts without an end: got %v, want that the store is to blame", err)
	}
}
