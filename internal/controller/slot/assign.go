package slot

import (
	"cmp"
	"slices"
	"time"
)

// A Pod is a worker that waits for a slot.
type Pod struct {
	Name    string
	UID     string
	Created time.Time
}

// assign returns the claims that waiting pods get: the oldest pod first (then by name), the lowest free slot first, each
// under an epoch of its own that is newer than any before. A pod that has a claim gets no other, and no claim moves.
//
// It gives out no more claims than size leaves room for. Claims that exist are counted whatever became of their pods,
// because a pod that is still terminating holds its slot.
func assign(l Ledger, waiting []Pod, size int) []Claim {
	room := size - len(l.Claims)
	if room <= 0 {
		return nil
	}

	taken := make(map[int]bool, len(l.Claims))
	for _, c := range l.Claims {
		taken[c.Slot] = true
	}

	waiting = slices.Clone(waiting)
	slices.SortFunc(waiting, func(a, b Pod) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})

	var out []Claim

	next := 0
	given := make(map[string]bool, len(waiting))

	for _, p := range waiting {
		if len(out) == room {
			break
		}

		if _, has := l.claimOf(p.UID); has || given[p.UID] {
			continue
		}

		for taken[next] {
			next++
		}

		given[p.UID] = true
		out = append(out, Claim{Slot: next, Epoch: l.Epoch + int64(len(out)) + 1, Pod: p.Name, UID: p.UID})
		next++
	}

	return out
}
