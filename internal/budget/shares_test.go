package budget

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestShares(t *testing.T) {
	cases := map[string]struct {
		reason  string
		budget  int64
		workers []Worker
		want    []int64
	}{
		"Nobody": {reason: "A budget without workers is given to nobody.", budget: 1000, want: []int64{}},
		"New": {
			reason: "Idle workers have equal shares, and a tenth is kept for those who come.", budget: 1000,
			workers: []Worker{{Name: "a"}, {Name: "b"}}, want: []int64{451, 451},
		},
		"Comer": {
			reason: "One that comes has its floor of what is nobody's, and nobody else is told.", budget: 1000,
			workers: []Worker{{Name: "a", Share: 460, Has: 460}, {Name: "b", Share: 460, Has: 460}, {Name: "c"}}, want: []int64{460, 460, 80},
		},
		"Rest": {
			reason: "Who needs nothing is told nothing, although its share is not the ideal one.", budget: 1000,
			workers: []Worker{{Name: "a", Share: 100, Has: 100, Demand: 90}, {Name: "b", Share: 800, Has: 800}}, want: []int64{100, 800},
		},
		"ShrinkFirst": {
			reason: "Who is to give up is told first; nobody has it yet.", budget: 1000,
			workers: []Worker{{Name: "a", Share: 100, Has: 100, Demand: 100, Waiting: true}, {Name: "b", Share: 900, Has: 900, Demand: 100}},
			want:    []int64{100, 418},
		},
		"StillHas": {
			reason: "What somebody still has is nobody else's, whatever it was told.", budget: 1000,
			workers: []Worker{{Name: "a", Share: 100, Has: 100, Demand: 100, Waiting: true}, {Name: "b", Share: 400, Has: 900, Demand: 100}},
			want:    []int64{100, 400},
		},
		"GrowThen": {
			reason: "When it was seen to have less, the other has it.", budget: 1000,
			workers: []Worker{{Name: "a", Share: 100, Has: 100, Demand: 100, Waiting: true}, {Name: "b", Share: 400, Has: 400, Demand: 100}},
			want:    []int64{513, 400},
		},
		"WaitsForLittle": {
			reason: "One for whom little waits needs little more.", budget: 1000,
			workers: []Worker{{Name: "a", Share: 300, Has: 300, Demand: 300, Waiting: true, Backlog: 10}, {Name: "b", Share: 640, Has: 640, Demand: 5000, Waiting: true}},
			want:    []int64{337, 663},
		},
		"WaitsForMuch": {
			reason: "One for whom much waits may need as much again.", budget: 1000,
			workers: []Worker{{Name: "a", Share: 300, Has: 300, Demand: 300, Waiting: true, Backlog: 1 << 40}, {Name: "b", Share: 300, Has: 300, Demand: 300, Waiting: true, Backlog: 10}},
			want:    []int64{628, 366},
		},
		"Begins": {
			reason: "One that begins is given what it waits for, and not a quarter of an equal part for a single request.", budget: 1000,
			workers: []Worker{{Name: "a", Share: 20, Has: 20, Waiting: true, Backlog: 15}, {Name: "b", Share: 900, Has: 900, Demand: 5000, Waiting: true}},
			want:    []int64{50, 950},
		},
		"Keeps": {
			reason: "One that waited not long ago keeps what it has, and gets no more.", budget: 1000,
			workers: []Worker{{Name: "a", Share: 300, Has: 300, Demand: 100, Keeps: true}, {Name: "b", Share: 640, Has: 640, Demand: 5000, Waiting: true}},
			want:    []int64{300, 700},
		},
		"Fair": {
			reason: "Who needs little has that, and the others have equal parts of the rest.", budget: 1000,
			workers: []Worker{
				{Name: "a", Demand: 95}, {Name: "b", Demand: 5000}, {Name: "c", Demand: 5000}, {Name: "d", Demand: 100000},
			},
			want: []int64{99, 300, 300, 301},
		},
		"Silent": {
			reason: "What one has that does not answer stays reserved.", budget: 1000,
			workers: []Worker{{Name: "a", Share: 300, Has: 700, Fixed: true}, {Name: "b", Share: 100, Has: 100, Demand: 5000}},
			want:    []int64{300, 300},
		},
		"SilentComer": {
			reason: "One that has not started yet has its floor when it does.", budget: 1000,
			workers: []Worker{{Name: "a", Share: 0, Fixed: true}, {Name: "b", Share: 500, Has: 500, Demand: 5000}},
			want:    []int64{10, 990},
		},
		"Lowered": {
			reason: "A budget that was lowered is kept by all, also by those who do not answer.", budget: 100,
			workers: []Worker{{Name: "a", Share: 300, Has: 300, Fixed: true}, {Name: "b", Share: 100, Has: 100, Demand: 5000}},
			want:    []int64{1, 99},
		},
		"Unaware": {
			reason: "One that keeps to no budget is told of it, also where there is nothing for it yet.", budget: 1000,
			workers: []Worker{{Name: "a", Share: None}, {Name: "b", Share: 1000, Has: 1000, Demand: 5000}}, want: []int64{0, 990},
		},
		"Tolerance": {
			reason: "A share that is a little too small is not worth a word.", budget: 110,
			workers: []Worker{{Name: "a", Share: 100, Has: 100, Demand: 98}}, want: []int64{100},
		},
		"Little": {
			reason: "Who has little and answers is given some of what nobody needs, before it has to wait.", budget: 1000,
			workers: []Worker{{Name: "a", Share: 50, Has: 50}, {Name: "b", Share: 50, Has: 50, Fixed: true}}, want: []int64{856, 50},
		},
		"TooMany": {
			reason: "Where there is not a token for each, there is none for some.", budget: 2,
			workers: []Worker{{Name: "a"}, {Name: "b"}, {Name: "c", Demand: 10}}, want: []int64{0, 0, 2},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, Shares(tc.budget, tc.workers)); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func genWorkers(t *rapid.T) []Worker {
	ws := make([]Worker, rapid.IntRange(0, 12).Draw(t, "workers"))
	for i := range ws {
		ws[i] = Worker{
			Name: fmt.Sprint("w", i), Share: rapid.Int64Range(None, 3000).Draw(t, "share"), Has: rapid.Int64Range(0, 3000).Draw(t, "has"),
			Fixed: rapid.Bool().Draw(t, "fixed"), Demand: rapid.Int64Range(0, 9000).Draw(t, "demand"),
			Keeps: rapid.Bool().Draw(t, "keeps"), Waiting: rapid.Bool().Draw(t, "waiting"), Backlog: rapid.Int64Range(0, 3000).Draw(t, "backlog"),
		}
	}

	return ws
}

func sum(shares []int64) (n int64) {
	for _, s := range shares {
		n += s
	}

	return n
}

func reserved(ws []Worker) (n int64) {
	for _, w := range ws {
		n += w.reserved()
	}

	return n
}

func tell(ws []Worker, shares []int64) []Worker {
	ws = slices.Clone(ws)
	for i := range ws {
		ws[i].Share = shares[i]
	}

	return ws
}

// From wherever it is: what workers are told is never more than the budget, and what they may use is not more by it unless
// it was before, and then nobody gets more.
func TestSumStaysWithinTheBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		budget, ws := rapid.Int64Range(0, 20000).Draw(t, "budget"), genWorkers(t)
		next := Shares(budget, ws)

		if got := sum(next); got > budget {
			t.Fatalf("workers are told %d tokens of %d: %v", got, budget, next)
		}

		before, after := reserved(ws), reserved(tell(ws, next))
		if after > max(before, budget) {
			t.Fatalf("workers may use %d tokens of %d, after %d: %v", after, budget, before, next)
		}

		for i, w := range ws {
			if before >= budget && next[i] > max(w.Share, 0) {
				t.Fatalf("worker %s is told %d after %d although %d tokens of %d were given out", w.Name, next[i], w.Share, before, budget)
			}

			if w.Fixed && w.reserved() > 0 && sum(toldOf(ws)) <= budget && next[i] != max(w.Share, 0) {
				t.Fatalf("worker %s cannot be seen and is told %d after %d", w.Name, next[i], w.Share)
			}
		}
	})
}

func toldOf(ws []Worker) []int64 {
	out := make([]int64, len(ws))
	for i, w := range ws {
		out[i] = w.told()
	}

	return out
}

// Where all answer: after a few looks nothing changes any more, everybody has the floor, who waits has an equal part or
// nobody has more than it by more than what is not worth a word, and little is unused while somebody waits.
func TestNobodyStarves(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		budget, ws := rapid.Int64Range(0, 20000).Draw(t, "budget"), genWorkers(t)
		for i := range ws {
			ws[i].Fixed = false
		}

		for look := 0; ; look++ {
			next := Shares(budget, ws)
			again := tell(ws, next)

			for i := range again {
				again[i].Has = next[i]
			}

			if slices.Equal(again, ws) {
				break
			}

			if look > 100 {
				t.Fatalf("shares do not settle: %+v, then %v", ws, next)
			}

			ws = again
		}

		n := int64(len(ws))
		if n == 0 || budget < n {
			return
		}

		floor := min(max(budget/n/least, 1), budget/n)
		ideal := Ideal(budget, ws)

		for i, w := range ws {
			if w.Share < floor {
				t.Fatalf("worker %s has %d tokens and the floor is %d: %+v", w.Name, w.Share, floor, ws)
			}

			need := w.Demand
			if w.Waiting {
				need = budget
			}

			if fair := min(need, ideal[i], budget/n); w.Share+w.Share/tolerance < fair {
				t.Fatalf("worker %s has %d tokens, and %d are its part: %+v", w.Name, w.Share, fair, ws)
			}
		}
	})
}

// The order in which workers are named changes nothing, and the same question has the same answer.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		budget, ws := rapid.Int64Range(0, 20000).Draw(t, "budget"), genWorkers(t)
		other := rapid.Permutation(ws).Draw(t, "other")

		byName := func(ws []Worker, shares []int64) map[string]int64 {
			out := map[string]int64{}
			for i, w := range ws {
				out[w.Name] = shares[i]
			}

			return out
		}

		if diff := cmp.Diff(byName(ws, Shares(budget, ws)), byName(other, Shares(budget, other))); diff != "" {
			t.Fatal(diff)
		}
	})
}

// Who needs more is not given less for it.
func TestMoreDemandIsNotLess(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		budget, ws := rapid.Int64Range(0, 20000).Draw(t, "budget"), genWorkers(t)
		if len(ws) == 0 {
			return
		}

		i := rapid.IntRange(0, len(ws)-1).Draw(t, "which")
		before := Ideal(budget, ws)[i]
		ws[i].Demand += rapid.Int64Range(0, 9000).Draw(t, "more")

		if after := Ideal(budget, ws)[i]; after < before {
			t.Fatalf("worker %d has %d, and %d where it needs less", i, after, before)
		}
	})
}
