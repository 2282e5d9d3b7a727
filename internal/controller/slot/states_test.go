package slot

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// newWorld returns a pool of one worker with a wish, whose slots' state is in a store.
func newWorld(wish string) *world {
	w := &world{owners: map[int]int64{}, size: 1, largest: 1, stateful: true, claims: map[int]map[int64]string{}, saved: map[int]int64{}}
	w.come("a", wish)

	return w
}

func (w *world) come(name, wish string) *fakePod {
	p := &fakePod{Pod: Pod{Name: name, UID: name, Created: time.Unix(int64(len(w.pods)), 0), Wish: wish}}
	w.pods = append(w.pods, p)
	w.look()

	return p
}

// bind lets a binder that knows all do what it can.
func (w *world) bind() error {
	w.look()

	r := &runner{}
	r.start(w, w.views[len(w.views)-1])
	r.finish(answered)

	return r.err
}

func (w *world) claimed(slot int, epoch int64, by string) {
	if w.claims[slot] == nil {
		w.claims[slot] = map[int64]string{}
	}

	w.claims[slot][epoch] = by
}

func TestWishes(t *testing.T) {
	const at = "0000000003-0000000009"

	cases := map[string]struct {
		reason string
		wish   string
		had    bool
		want   string
	}{
		"None":       {reason: "Without a wish a worker begins with the newest.", had: true, want: "latest"},
		"Time":       {reason: "A time is a checkpoint of each slot.", wish: "2026-01-02T03:04:05Z", had: true, want: "0/" + at},
		"This":       {reason: "A checkpoint of this slot is followed.", wish: "0/0000000002-0000000001", had: true, want: "0/0000000002-0000000001"},
		"Another":    {reason: "One of another slot is not this worker's.", wish: "1/0000000002-0000000001", had: true, want: "latest"},
		"NothingYet": {reason: "A slot without a state has no earlier one.", wish: "2026-01-02T03:04:05Z", want: "latest"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(tc.wish)
			w.earlier = at

			if tc.had {
				w.claimed(0, 3, "old")
				w.saved[0] = 3
			}

			if err := w.bind(); err != nil {
				t.Fatal(err)
			}

			epoch := int64(1)
			if tc.had {
				epoch = 4
			}

			if diff := cmp.Diff(&Claim{Slot: 0, Epoch: epoch, Pod: "a", UID: "a", Restore: tc.want}, w.pods[0].told); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// A wish is followed once: whoever comes later goes on from there. But what was given to a worker that died before it had
// saved anything was not given.
func TestWishIsFollowedOnce(t *testing.T) {
	const wish = "0/0000000002-0000000001"

	w := newWorld(wish)
	w.claimed(0, 3, "old")
	w.saved[0] = 3

	told := func(p *fakePod) string {
		t.Helper()

		if err := w.bind(); err != nil {
			t.Fatal(err)
		}

		return p.told.Restore
	}

	if got := told(w.pods[0]); got != wish {
		t.Fatalf("the first worker begins with %s", got)
	}

	w.pods[0].gone = true

	second := w.come("b", wish)
	if got := told(second); got != wish {
		t.Errorf("after a worker that saved nothing the next begins with %s, want %s", got, wish)
	}

	w.saved[0] = second.told.Epoch
	second.gone = true

	if got := told(w.come("c", wish)); got != "latest" {
		t.Errorf("after the wish was followed the next begins with %s", got)
	}

	w.saved[0] = 6
	w.pods[2].gone = true

	if got, other := told(w.come("d", "0/0000000003-0000000001")), "0/0000000003-0000000001"; got != other {
		t.Errorf("another wish is followed by %s", got)
	}
}

// A slot that had a state and has none keeps its worker waiting, and takes nobody else's place.
func TestLostState(t *testing.T) {
	w := newWorld("")
	w.ledger = Ledger{Epoch: 4, Kept: []int{0}}
	w.newest = 4
	w.size, w.largest = 2, 2
	b := w.come("b", "")
	w.claimed(1, 4, "old")
	w.saved[1] = 4

	err := w.bind()

	var missing *LostError
	if !errors.As(err, &missing) || !cmp.Equal(missing.Slots, []int{0}) {
		t.Errorf("the binder says %v, want that slot 0 has lost its state", err)
	}

	if w.pods[0].told == nil || w.pods[0].told.Slot != 1 || b.told != nil {
		t.Errorf("worker a was told %v, and b %v; want slot 1 and nothing", w.pods[0].told, b.told)
	}

	if diff := cmp.Diff([]int{0, 1}, w.ledger.Kept); diff != "" {
		t.Errorf("slots that had a state: -want, +got:\n%s", diff)
	}
}

// A ledger that was lost may give a claim that the store knows to be over. It is given up for a higher one.
func TestVoidClaim(t *testing.T) {
	w := newWorld("")
	w.ledger = Ledger{}.with([]Claim{{Slot: 0, Epoch: 2, Pod: "a", UID: "a", Restore: "latest"}})
	w.newest = 2
	w.claimed(0, 7, "old")

	if err := w.bind(); !errors.Is(err, ErrVoid) || w.pods[0].told != nil {
		t.Fatalf("the binder says %v and told %v, want a void claim and nothing", err, w.pods[0].told)
	}

	if err := w.bind(); err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(&Claim{Slot: 0, Epoch: 8, Pod: "a", UID: "a", Restore: "latest"}, w.pods[0].told); diff != "" {
		t.Errorf("the claim after it: -want, +got:\n%s", diff)
	}
}

// Workers that wait because their pool is being made smaller are looked at again, for of a cap that is raised no event tells; workers of
// whom there are more than were asked for are not.
func TestCap(t *testing.T) {
	cases := map[string]struct {
		reason string
		cap    *int
		size   int
		want   error
		told   int
	}{
		"None":       {"Without a cap there is nothing to wait for.", nil, 2, nil, 2},
		"Below":      {"A cap below the size keeps one waiting.", new(1), 2, ErrCapped, 1},
		"NotBelow":   {"A cap that is not below the size keeps nobody waiting.", new(2), 2, nil, 2},
		"OneTooMany": {"Who is more than was asked for will go.", new(1), 1, nil, 1},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld("")
			w.come("b", "")
			w.size, w.largest, w.ledger = tc.size, 2, Ledger{Cap: tc.cap}

			if err := w.bind(); !errors.Is(err, tc.want) || (err != nil && tc.want == nil) {
				t.Errorf("%s\nerror %v, want %v", tc.reason, err, tc.want)
			}

			told := 0

			for _, p := range w.pods {
				if p.told != nil {
					told++
				}
			}

			if told != tc.told {
				t.Errorf("%s\n%d workers were told a slot, want %d", tc.reason, told, tc.told)
			}
		})
	}
}
