package slot

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// Two binders, each as late as it likes, on one pool, with pods that come and go: after every single call the promises
// hold. And when both have died at any point, a third that is left alone completes everything.
func TestTwoBindersNeverShareASlot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{owners: map[int]int64{}, size: 2, largest: 2, claims: map[int]map[int64]string{}, saved: map[int]int64{}}
		w.stateful = rapid.Bool().Draw(t, "stateful")
		w.look()

		binders := []*runner{{}, {}}
		// A binder that is left over holds a goroutine.
		defer func() {
			for _, r := range binders {
				r.finish(dead)
			}
		}()

		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			if r := rapid.SampledFrom(binders).Draw(t, "binder"); rapid.Bool().Draw(t, "binder acts") {
				act(t, w, r)
			} else {
				happen(t, w)
			}

			w.check(t)
		}

		for _, r := range binders {
			r.finish(dead)
		}

		w.look()

		last := &runner{}
		last.start(w, w.views[len(w.views)-1])
		last.finish(answered)
		w.check(t)
		checkComplete(t, w)
	})
}

func act(t *rapid.T, w *world, r *runner) {
	if r.store == nil {
		r.start(w, rapid.SampledFrom(w.views).Draw(t, "view"))
		return
	}

	f := rapid.SampledFrom([]fate{answered, answered, answered, answered, unanswered, dead}).Draw(t, "fate")
	if f == dead {
		r.finish(dead)
		return
	}

	r.step(f)
}

// happen lets something happen to the pool.
func happen(t *rapid.T, w *world) {
	events := map[string]func(p *fakePod){
		"resize": func(*fakePod) {
			w.size = rapid.IntRange(0, 4).Draw(t, "size")
			w.largest = max(w.largest, w.size)
		},
		"create": func(*fakePod) {
			n := fmt.Sprintf("p%02d", len(w.pods))
			w.pods = append(w.pods, &fakePod{Pod: Pod{Name: n, UID: n, Created: time.Unix(int64(len(w.pods)), 0)}})
		},
		"terminate": func(p *fakePod) { p.terminating = true },
		"end":       func(p *fakePod) { p.ended = p.told != nil || p.ended },
		"save": func(p *fakePod) {
			// Only the owner is heard.
			if p.told != nil {
				if epoch, _ := w.owner(p.told.Slot); epoch == p.told.Epoch {
					w.saved[p.told.Slot] = epoch
				}
			}
		},
		"go": func(p *fakePod) { p.gone = true },
	}

	what := rapid.SampledFrom(append(slices.Sorted(maps.Keys(events)), "create", "create")).Draw(t, "event")

	var p *fakePod
	if what != "resize" && what != "create" {
		if len(w.pods) == 0 {
			return
		}

		p = rapid.SampledFrom(w.pods).Draw(t, "pod")
	}

	events[what](p)
	w.look()
}

// checkComplete checks that nobody waits who could have a slot.
func checkComplete(t *rapid.T, w *world) {
	holding, waiting := 0, 0

	for _, p := range w.pods {
		_, claimed := w.ledger.claimOf(p.UID)

		switch {
		case p.alive() && claimed:
			holding++
		case p.alive() && !p.terminating:
			waiting++
		}

		if p.alive() && !p.terminating && claimed && p.told == nil {
			t.Fatalf("pod %s has a claim that it was not told of", p.Name)
		}
	}

	if waiting > 0 && holding < w.size {
		t.Fatalf("%d workers wait although only %d of %d slots are held", waiting, holding, w.size)
	}
}

// A carelessStore takes a pod that the cache does not show for one that is gone.
type carelessStore struct{ Store }

func (carelessStore) Ended(context.Context, Pool, Claim) (bool, error) { return true, nil }

// The search above is worth something only if what it looks for can be seen.
func TestWorldSeesASharedSlot(t *testing.T) {
	w := &world{owners: map[int]int64{}, size: 1, largest: 1}
	a := &fakePod{Pod: Pod{Name: "a", UID: "a"}, told: &Claim{Slot: 0, Epoch: 1, Pod: "a", UID: "a"}}
	b := &fakePod{Pod: Pod{Name: "b", UID: "b"}}
	w.pods = []*fakePod{a, b}
	w.ledger, w.newest = Ledger{}.with([]Claim{*a.told}), 1

	// A cache that has not heard of pod a.
	late := Pool{Waiting: []Pod{b.Pod}, Alive: map[string]bool{"b": true}}

	for name, tc := range map[string]struct {
		reason string
		wrap   func(Store) Store
		broken bool
	}{
		"Careful":  {reason: "The store is asked for what the cache does not show.", wrap: func(s Store) Store { return s }},
		"Careless": {reason: "A binder that trusts its cache gives the slot of a live pod away.", wrap: func(s Store) Store { return carelessStore{s} }, broken: true},
	} {
		t.Run(name, func(t *testing.T) {
			world := *w
			pods := []*fakePod{{Pod: a.Pod, told: a.told}, {Pod: b.Pod}}
			world.pods, world.owners = pods, map[int]int64{}
			s := &worldStore{w: &world, ready: make(chan struct{}), turn: make(chan fate)}
			done := make(chan error, 1)

			go func() {
				_, err := (&Binder{store: tc.wrap(s)}).Bind(t.Context(), late)
				done <- err
			}()

			for running := true; running; {
				select {
				case <-s.ready:
					s.turn <- answered
				case err := <-done:
					if err != nil {
						t.Error(err)
					}

					running = false
				}
			}

			if why := world.broken(); (why != "") != tc.broken {
				t.Errorf("%s\nbroken promise: %q", tc.reason, why)
			}
		})
	}
}
