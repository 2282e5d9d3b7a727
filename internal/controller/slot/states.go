package slot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// ErrVoid is what States return for a claim that somebody else's has overtaken.
var ErrVoid = errors.New("another claim of the slot is there")

// A State is what a store has of a slot.
type State struct {
	Slot int
	// Epoch is the highest under which anybody claimed the slot, and Saved the one of its newest checkpoint; 0 where there is none.
	Epoch, Saved int64
	// Time of the newest checkpoint.
	Time time.Time
}

// States are the states of a pool's slots in an object store, and where the right to write one is claimed.
type States interface {
	// Look returns the slots of which the store has anything, in any order.
	Look(ctx context.Context, p Pool) ([]State, error)

	// At returns the newest checkpoint of a slot that is not later than a time, as EPOCH-SEQUENCE; empty where there is none.
	At(ctx context.Context, p Pool, slot int, t time.Time) (string, error)

	// Claim makes a claim known to all who write the slot's state: from then on nobody with a lower epoch is heard. To make a
	// claim again is no error. ErrVoid says that a higher one is there, or another's of that epoch.
	Claim(ctx context.Context, p Pool, c Claim) error
}

// A LostError says which slots had a state that the store has no more. Their workers wait: to start one without its state is
// not a binder's decision.
type LostError struct {
	Slots []int
}

// Error says what was lost and what to do.
func (e *LostError) Error() string {
	return fmt.Sprintf("slots %v had checkpoints and the store has none of them: bring the store's objects back, or delete the pool's ConfigMap of slots to let them begin with nothing", e.Slots)
}

// preferred returns the order in which free slots are given: those with a state first, the newest state first.
func preferred(known []State) []int {
	with := slices.DeleteFunc(slices.Clone(known), func(s State) bool { return s.Saved == 0 })
	slices.SortFunc(with, func(a, b State) int { return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.Slot, b.Slot)) })

	out := make([]int, 0, len(with))
	for _, s := range with {
		out = append(out, s.Slot)
	}

	return out
}

// lost returns the free slots that had a state and have none.
func lost(l Ledger, known []State) []int {
	return slices.DeleteFunc(slices.Clone(l.Kept), func(slot int) bool {
		return slices.ContainsFunc(known, func(s State) bool { return s.Slot == slot && s.Saved > 0 }) ||
			slices.ContainsFunc(l.Claims, func(c Claim) bool { return c.Slot == slot })
	})
}

// highest returns the highest epoch that was ever claimed of any slot.
func highest(known []State) int64 {
	var out int64
	for _, s := range known {
		out = max(out, s.Epoch, s.Saved)
	}

	return out
}

// restores says in new claims what each worker begins with, and returns the ledger that remembers it.
func (b *Binder) restores(ctx context.Context, p Pool, l Ledger, claims []Claim, known []State) (Ledger, error) {
	kept := preferred(known)

	for i := range claims {
		c := &claims[i]
		c.Restore = monitorapi.RestoreLatest

		w := p.Waiting[slices.IndexFunc(p.Waiting, func(w Pod) bool { return w.UID == c.UID })]
		if w.Wish == "" || !slices.Contains(kept, c.Slot) {
			continue
		}

		saved := known[slices.IndexFunc(known, func(s State) bool { return s.Slot == c.Slot })].Saved
		if l.followed(c.Slot, w.Wish, saved) {
			continue
		}

		from, err := b.earlier(ctx, p, c.Slot, w.Wish)
		if err != nil {
			return l, fmt.Errorf("cannot find the earlier state of slot %d: %w", c.Slot, err)
		}

		if from != "" {
			c.Restore = from
			l = l.following(*c, w.Wish)
		}
	}

	return l.keeping(kept), nil
}

// earlier returns the checkpoint that a wish means for a slot, or nothing where it means none of this slot's.
func (b *Binder) earlier(ctx context.Context, p Pool, slot int, wish string) (string, error) {
	name := strconv.Itoa(slot)

	f, err := monitorapi.ParseRestoreFrom(wish)
	if err != nil {
		return "", err
	}

	if f.Slot != "" {
		if f.Slot != name {
			return "", nil
		}

		return wish, nil
	}

	at, err := b.states.At(ctx, p, slot, f.Time)
	if err != nil || at == "" {
		return "", err
	}

	return name + "/" + at, nil
}
