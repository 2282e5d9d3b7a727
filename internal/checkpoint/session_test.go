package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

// save commits one chunk as a whole state.
func save(ctx context.Context, s *Session, text string) (Manifest, error) {
	id, err := s.Put(ctx, []byte(text))
	if err != nil {
		return Manifest{}, err
	}
	return s.Commit(ctx, Save{Reason: "Test", Tree: []ID{id}, Files: 1, Bytes: int64(len(text))})
}

// state returns what a new owner would see.
func state(t *testing.T, b *blob.Bucket) string {
	t.Helper()
	r, err := Open(t.Context(), b, testKey, quick())
	if err != nil {
		t.Fatal(err)
	}
	e, err := r.Claim(t.Context(), "w-0", "look")
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Restore(t.Context(), "w-0", e.Epoch, r.Verify)
	if errors.Is(err, ErrNotFound) {
		return ""
	}
	if err != nil || len(got.Rejected) > 0 {
		t.Fatalf("Restore: got %v, rejected %v", err, got.Rejected)
	}
	text, err := r.Get(t.Context(), got.Manifest.Tree[0])
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSaveAndRestore(t *testing.T) {
	for name, b := range buckets(t) {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			r, err := Create(ctx, b, testKey, testPool, quick())
			if err != nil {
				t.Fatal(err)
			}
			old := mustClaim(t, r)
			if _, err := save(ctx, old, "one"); err != nil {
				t.Fatal(err)
			}
			two, err := save(ctx, old, "two")
			if err != nil {
				t.Fatal(err)
			}
			owner := mustClaim(t, r)
			if _, err := owner.Adopt(ctx, two, "Restored"); err != nil {
				t.Fatal(err)
			}
			if _, err := save(ctx, old, "zombie"); !errors.Is(err, ErrFenced) {
				t.Errorf("a save of the former owner: got %v, want ErrFenced", err)
			}
			if got := state(t, b); got != "two" {
				t.Errorf("state: got %q, want what the owner adopted", got)
			}
			if err := b.Delete(ctx, chunkName(two.Tree[0])); err != nil {
				t.Fatal(err)
			}
			got, err := r.Restore(ctx, "w-0", maxNumber, r.Verify)
			// The owner's is rejected. The one before it is the zombie's, which is whole.
			if want := (Position{Epoch: 1, Sequence: 3}); err != nil || got.Manifest.Position != want || len(got.Rejected) != 1 {
				t.Errorf("Restore after a loss: got %s, %v, rejected %v, want %s and one rejected", got.Manifest.Position, err, got.Rejected, want)
			}
		})
	}
}

func mustClaim(t *testing.T, r *Repository) *Session {
	t.Helper()
	e, err := r.Claim(t.Context(), "w-0", "test")
	if err != nil {
		t.Fatal(err)
	}
	s, err := r.Session(t.Context(), "w-0", e.Epoch)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSlowSave(t *testing.T) {
	now := time.Now()
	o := quick()
	o.Now = func() time.Time { return now }
	b := memblob.OpenBucket(nil)
	defer b.Close()
	r, err := Create(t.Context(), b, testKey, testPool, o)
	if err != nil {
		t.Fatal(err)
	}
	s := mustClaim(t, r)
	now = now.Add(100 * time.Hour) // An idle session is not a slow save.
	id, err := s.Put(t.Context(), []byte("slow"))
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(7 * time.Hour)
	if _, err := s.Commit(t.Context(), Save{Tree: []ID{id}}); !errors.Is(err, ErrSlow) {
		t.Errorf("Commit after 7 hours of a window of 24: got %v, want ErrSlow", err)
	}
	if _, err := save(t.Context(), s, "slow"); err != nil {
		t.Errorf("saving again: %v", err)
	}
}

// Every single operation of a life fails before it is done, loses its answer, or is the last before a crash. What was
// acknowledged is seen by the next owner, or something that was saved after it; never anything torn.
func TestEveryFault(t *testing.T) {
	for _, kind := range []string{"Fails", "LosesAnswer", "CrashBefore", "CrashAfter"} {
		t.Run(kind, func(t *testing.T) {
			for at := 1; ; at++ {
				if at > 1000 {
					t.Fatal("the life does not end")
				}
				if n := lifeWithFault(t, kind, at); n < at {
					t.Logf("%d operations", n)
					return
				}
			}
		})
	}
}

func lifeWithFault(t *testing.T, kind string, at int) (operations int) {
	t.Helper()
	mem := memblob.OpenBucket(nil)
	defer mem.Close()
	if _, err := Create(t.Context(), mem, testKey, testPool, quick()); err != nil {
		t.Fatal(err)
	}
	b := gatedBucket(mem, func() (bool, bool) {
		operations++
		switch {
		case operations < at || operations > at && kind[0] != 'C':
			return true, true
		case operations > at:
			return false, false
		}
		return kind == "LosesAnswer" || kind == "CrashAfter", false
	})
	acked, tried := -1, -1
	ctx := t.Context()
	r, err := Open(ctx, b, testKey, quick())
	if err != nil {
		return operations
	}
	e, err := r.Claim(ctx, "w-0", "test")
	if err != nil {
		return operations
	}
	s, err := r.Session(ctx, "w-0", e.Epoch)
	if err != nil {
		return operations
	}
	for n := range 4 {
		tried = n
		if _, err := save(ctx, s, fmt.Sprint(n)); err == nil {
			acked = n
		} else if errors.Is(err, ErrFenced) {
			t.Fatalf("%s at %d: the only writer was fenced", kind, at)
		}
	}
	if kind[0] != 'C' && acked != 3 {
		tried = 4 // The fault hit the last save: the next one goes through.
		if _, err := save(ctx, s, "4"); err == nil {
			acked = 4
		}
	}
	if kind[0] != 'C' && acked < 3 {
		t.Errorf("%s at %d: the last save, long after the fault, was not acknowledged", kind, at)
	}
	seen := -1
	if text := state(t, mem); text != "" {
		seen = int(text[0] - '0')
	}
	if seen < acked || seen > tried {
		t.Errorf("%s at %d: acknowledged %d, tried %d, restored %d", kind, at, acked, tried, seen)
	}
	return operations
}
