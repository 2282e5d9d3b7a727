package checkpoint

import (
	"context"
	"errors"
	"time"
)

// A Retain says which manifests of a slot are kept. One that any of the rules keeps stays.
type Retain struct {
	// Last is how many of the newest are kept, at least 1.
	Last int
	// Hourly and Daily are for how many hours, and days, that have any the newest of each is kept, in UTC.
	Hourly, Daily int
}

// A Kept is a manifest for retention to judge.
type Kept struct {
	Position Position
	Time     time.Time
	// Never is true for one that stays whatever the rules say: pinned, or unreadable, of which nobody knows what it was.
	Never bool
}

// Removable returns those of a slot's manifests, the latest first, that no rule keeps. The newest readable one is kept by all.
func (r Retain) Removable(all []Kept) []Position {
	last, hours, days := max(r.Last, 1), newest{limit: r.Hourly, unit: time.Hour}, newest{limit: r.Daily, unit: 24 * time.Hour}
	var out []Position
	for _, k := range all {
		if k.Never {
			continue
		}
		// All rules look at each, since each counts what it has seen.
		hourly, daily := hours.keeps(k.Time), days.keeps(k.Time)
		if last > 0 {
			last--
			continue
		}
		if !hourly && !daily {
			out = append(out, k.Position)
		}
	}
	return out
}

// newest keeps the first that it sees of each span of time, for a number of spans.
type newest struct {
	unit  time.Duration
	limit int
	seen  map[int64]bool
}

func (n *newest) keeps(t time.Time) bool {
	span := t.Unix() / int64(n.unit/time.Second)
	if n.seen[span] || len(n.seen) >= n.limit {
		return false
	}
	if n.seen == nil {
		n.seen = map[int64]bool{}
	}
	n.seen[span] = true
	return true
}

// Prune removes the manifests of a slot that no rule keeps, the oldest first, and returns them. What it could not remove is
// there the next time. Chunks are left to Sweep.
func (r *Repository) Prune(ctx context.Context, slot string, rules Retain) ([]Position, error) {
	all, err := r.Positions(ctx, slot)
	if err != nil {
		return nil, err
	}
	kept := make([]Kept, 0, len(all))
	for _, p := range all {
		m, err := r.Manifest(ctx, slot, p)
		if err != nil && !lostOrCorrupt(err) {
			return nil, err
		}
		kept = append(kept, Kept{Position: p, Time: m.Time, Never: err != nil})
	}
	pins, err := r.Pins(ctx, slot)
	if err != nil {
		return nil, err
	}
	for i := range kept {
		_, pinned := pins[kept[i].Position]
		kept[i].Never = kept[i].Never || pinned
	}
	var out []Position
	removable := rules.Removable(kept)
	for i := len(removable) - 1; i >= 0; i-- {
		if err := r.removeUnpinned(ctx, slot, removable[i], pins); err != nil {
			return out, err
		}
		out = append(out, removable[i])
	}
	return out, nil
}

// PruneEpochs removes the claims of a slot but the newest few, which are all that anybody asks for. It never removes the highest.
func (r *Repository) PruneEpochs(ctx context.Context, slot string, keep int) (int, error) {
	var names []string
	if err := checkSlot(slot); err != nil {
		return 0, err
	}
	if err := r.store.list(ctx, epochsPrefix(slot), "", func(o object) error {
		if epochName.MatchString(o.name) {
			names = append(names, o.name)
		}
		return nil
	}); err != nil {
		return 0, err
	}
	n := 0
	for ; n < len(names)-max(keep, 1); n++ { // Listed in the order of names, which is that of epochs.
		if err := r.store.remove(ctx, epochsPrefix(slot)+names[n]); err != nil && !errors.Is(err, ErrNotFound) {
			return n, err
		}
	}
	return n, nil
}
