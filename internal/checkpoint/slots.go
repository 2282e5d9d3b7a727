package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Slots returns the names of all slots that were ever claimed or saved, in the order of names.
func (r *Repository) Slots(ctx context.Context) ([]string, error) {
	var out []string
	err := r.store.list(ctx, "slots/", "/", func(o object) error {
		if name := strings.TrimSuffix(o.name, "/"); o.dir && slotName.MatchString(name) {
			out = append(out, name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list the slots: %w", err)
	}
	return out, nil
}

// A Summary is what a slot has, at a glance.
type Summary struct {
	Slot string
	// Owner is the highest claim; its Epoch is 0 for a slot that nobody claimed.
	Owner Epoch
	// Checkpoints is how many there are.
	Checkpoints int
	// Newest is the latest manifest, and Oldest the time of the first that is there. Newest is nil where there is none, or where
	// it is corrupt, which Problem says.
	Newest  *Manifest
	Oldest  time.Time
	Problem error
}

// Summarize looks at a slot. It takes two listings and three reads. What is corrupt is no error, but Problem.
func (r *Repository) Summarize(ctx context.Context, slot string) (Summary, error) {
	out := Summary{Slot: slot}
	var err error
	if out.Owner, err = r.Highest(ctx, slot); err != nil && !errors.Is(err, ErrNotFound) {
		if !errors.Is(err, ErrCorrupt) {
			return out, err
		}
		out.Problem = err
	}
	all, err := r.Positions(ctx, slot)
	if err != nil {
		return out, err
	}
	out.Checkpoints = len(all)
	if len(all) == 0 {
		return out, nil
	}
	newest, err := r.Manifest(ctx, slot, all[0])
	switch {
	case err == nil:
		out.Newest = &newest
	case lostOrCorrupt(err):
		out.Problem = err
	default:
		return out, err
	}
	oldest, err := r.Manifest(ctx, slot, all[len(all)-1])
	switch {
	case err == nil:
		out.Oldest = oldest.Time
	case lostOrCorrupt(err):
		out.Problem = errors.Join(out.Problem, err)
	default:
		return out, err
	}
	return out, nil
}

// lostOrCorrupt says whether an error is about what lies in the store, and not about reaching it.
func lostOrCorrupt(err error) bool { return errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) }
