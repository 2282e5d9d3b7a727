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
	// Wish is the earlier state that is asked for, or empty.
	Wish string
}

// assign returns the claims that waiting pods get: the oldest pod first (then by name), the preferred free slots first and
// then the lowest, each under an epoch of its own that is newer than any before. A pod that has a claim gets no other, and
// no claim moves. Withheld slots are given to nobody, and take the room of one worker each.
//
// It gives out no more claims than size leaves room for. Claims that exist are counted whatever became of their pods,
// because a pod that is still terminating holds its slot.
func assign(l Ledger, waiting []Pod, size int, preferred, withheld []int) []Claim {
	room := size - len(l.Claims) - len(withheld)
	if room <= 0 {
		return nil
	}

	taken := make(map[int]bool, len(l.Claims))
	for _, c := range l.Claims {
		taken[c.Slot] = true
	}

	for _, s := range withheld {
		taken[s] = true
	}

	waiting = slices.Clone(waiting)
	slices.SortFunc(waiting, func(a, b Pod) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name), cmp.Compare(a.UID, b.UID))
	})

	var out []Claim

	free := free(taken, preferred)
	given := make(map[string]bool, len(waiting))

	for _, p := range waiting {
		if len(out) == room {
			break
		}

		if _, has := l.claimOf(p.UID); has || given[p.UID] {
			continue
		}

		given[p.UID] = true
		out = append(out, Claim{Slot: free(), Epoch: l.Epoch + int64(len(out)) + 1, Pod: p.Name, UID: p.UID})
	}

	return out
}

// free returns a function that returns one free slot after the other: the preferred ones, and then the lowest.
func free(taken map[int]bool, preferred []int) func() int {
	next := 0

	return func() int {
		slot := -1

		for slot < 0 || taken[slot] {
			if len(preferred) > 0 {
				slot, preferred = preferred[0], preferred[1:]
				continue
			}

			slot = next
			next++
		}

		taken[slot] = true

		return slot
	}
}
