package slot

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestAssign(t *testing.T) {
	noon := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	pod := func(name string, after time.Duration) Pod {
		return Pod{Name: name, UID: "uid-" + name, Created: noon.Add(after)}
	}
	claim := func(name string, slot int, epoch int64) Claim {
		return Claim{Slot: slot, Epoch: epoch, Pod: name, UID: "uid-" + name}
	}

	cases := map[string]struct {
		reason  string
		ledger  Ledger
		waiting []Pod
		size    int
		// Slots with a state, in order, and those whose state was lost.
		preferred, withheld []int
		want                []Claim
	}{
		"OldestFirst": {
			reason:  "The oldest pod gets the lowest slot, whatever the order of the list.",
			waiting: []Pod{pod("b", time.Second), pod("a", 2*time.Second), pod("c", 0)},
			size:    3,
			want:    []Claim{claim("c", 0, 1), claim("b", 1, 2), claim("a", 2, 3)},
		},
		"SameSecond": {
			reason:  "Pods of the same second go by name, because creation is known to the second only.",
			waiting: []Pod{pod("b", 0), pod("a", 0)},
			size:    2,
			want:    []Claim{claim("a", 0, 1), claim("b", 1, 2)},
		},
		"Gaps": {
			reason:  "The lowest free slots are filled first, and epochs go on from the newest, not from the claims.",
			ledger:  Ledger{Epoch: 9, Claims: []Claim{claim("x", 1, 4), claim("y", 3, 6)}},
			waiting: []Pod{pod("a", 0), pod("b", 0), pod("c", 0)},
			size:    5,
			want:    []Claim{claim("a", 0, 10), claim("b", 2, 11), claim("c", 4, 12)},
		},
		"Size": {
			reason:  "No more claims than the size leaves room for.",
			ledger:  Ledger{Epoch: 1, Claims: []Claim{claim("x", 0, 1)}},
			waiting: []Pod{pod("a", 0), pod("b", 0)},
			size:    2,
			want:    []Claim{claim("a", 1, 2)},
		},
		"TooMany": {
			reason:  "A pool with more claims than its size gets none; nothing is taken away here.",
			ledger:  Ledger{Epoch: 2, Claims: []Claim{claim("x", 0, 1), claim("y", 7, 2)}},
			waiting: []Pod{pod("a", 0)},
			size:    1,
		},
		"Suspended": {
			reason:  "A pool of size zero gets none.",
			waiting: []Pod{pod("a", 0)},
		},
		"Hibernated": {
			reason:    "Slots with a state come first, in their order, and only then the lowest.",
			ledger:    Ledger{Epoch: 9, Claims: []Claim{claim("x", 4, 4)}},
			waiting:   []Pod{pod("a", 0), pod("b", 1), pod("c", 2), pod("d", 3)},
			size:      5,
			preferred: []int{7, 4, 2},
			want:      []Claim{claim("a", 7, 10), claim("b", 2, 11), claim("c", 0, 12), claim("d", 1, 13)},
		},
		"Lost": {
			reason:    "A slot whose state was lost is nobody's, and nobody takes its room.",
			waiting:   []Pod{pod("a", 0), pod("b", 1), pod("c", 2)},
			size:      3,
			preferred: []int{2},
			withheld:  []int{0},
			want:      []Claim{claim("a", 2, 1), claim("b", 1, 2)},
		},
		"HasOne": {
			reason:  "A pod that has a claim gets no other.",
			ledger:  Ledger{Epoch: 5, Claims: []Claim{claim("a", 2, 5)}},
			waiting: []Pod{pod("a", 0), pod("b", 0)},
			size:    9,
			want:    []Claim{claim("b", 0, 6)},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, assign(tc.ledger, tc.waiting, tc.size, tc.preferred, tc.withheld)); diff != "" {
				t.Errorf("%s\nassign(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func drawLedger(t *rapid.T) Ledger {
	l := Ledger{Version: ledgerVersion}

	var claims []Claim

	for i, slot := range rapid.SliceOfNDistinct(rapid.IntRange(0, 12), 0, 8, rapid.ID[int]).Draw(t, "taken") {
		claims = append(claims, Claim{Slot: slot, Epoch: int64(i) + 1, Pod: fmt.Sprint("old", i), UID: fmt.Sprint("old", i)})
	}

	l = l.with(claims)
	l.Epoch += rapid.Int64Range(0, 100).Draw(t, "epochs of old")

	return l
}

func drawPods(t *rapid.T) []Pod {
	// Few names and times, so that they collide; some pods are in the ledger already.
	names := append([]string{"old0", "old1"}, "a", "b", "c", "d", "e", "f")
	chosen := rapid.SliceOfNDistinct(rapid.SampledFrom(names), 0, len(names), rapid.ID[string]).Draw(t, "waiting")
	pods := make([]Pod, len(chosen))

	for i, n := range chosen {
		pods[i] = Pod{Name: n, UID: n, Created: time.Unix(int64(rapid.IntRange(0, 2).Draw(t, "created")), 0)}
	}

	return pods
}

func TestAssignProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l, waiting, size := drawLedger(t), drawPods(t), rapid.IntRange(0, 15).Draw(t, "size")
		got := assign(l, waiting, size, nil, nil)

		if diff := cmp.Diff(got, assign(l, rapid.Permutation(waiting).Draw(t, "shuffled"), size, nil, nil)); diff != "" {
			t.Fatalf("the order of the list decides:\n%s", diff)
		}

		next := l.with(got)

		b, err := next.encode()
		if err != nil {
			t.Fatal(err)
		}

		// Reading a ledger back checks that no slot, no pod and no epoch contradicts another.
		back, err := parseLedger(b)
		if err != nil {
			t.Fatal(err)
		}

		if diff := cmp.Diff(next.Claims, back.Claims); len(next.Claims) > 0 && diff != "" {
			t.Fatalf("a ledger that is written and read is another:\n%s", diff)
		}

		if len(got) > 0 && len(next.Claims) > size {
			t.Fatalf("%d claims in a pool of size %d", len(next.Claims), size)
		}

		for _, c := range l.Claims {
			if now, ok := next.claimOf(c.UID); !ok || now != c {
				t.Fatalf("claim %v became %v", c, now)
			}
		}

		checkNew(t, l, got)
	})
}

// checkNew checks that claims are under new and growing epochs and that no lower slot was free.
func checkNew(t *rapid.T, l Ledger, claims []Claim) {
	taken := map[int]bool{}
	for _, c := range l.Claims {
		taken[c.Slot] = true
	}

	newest := l.Epoch

	for _, c := range claims {
		if c.Epoch <= newest {
			t.Fatalf("claim %v is not newer than epoch %d", c, newest)
		}

		newest = c.Epoch

		for lower := range c.Slot {
			if !taken[lower] {
				t.Fatalf("claim %v although slot %d is free", c, lower)
			}
		}

		if taken[c.Slot] {
			t.Fatalf("claim %v on a slot that is taken", c)
		}

		taken[c.Slot] = true
	}
}
