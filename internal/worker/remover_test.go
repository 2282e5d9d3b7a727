package worker

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

const testTimeout = 10 * time.Minute

func policy(want int) Policy {
	return Policy{Want: want, AtOnce: 2, DrainTimeout: testTimeout, Rest: time.Minute}
}

// Whatever happens in whatever order, with two providers at once that die at any call: nobody deletes a worker that is busy or
// whose state is not saved, and when all is quiet the pool is what was wanted, with nothing left over.
func TestRemovalHolds(t *testing.T) { holds(t, false, 2) }

// So it is where somebody else writes the size, some time after he was told which: of these only one provider is asked at a time.
func TestRemovalHoldsWhereOthersWriteTheSize(t *testing.T) { holds(t, true, 1) }

func holds(t *testing.T, asks bool, atOnce int) {
	t.Helper()

	var reached reach

	hold := func(t *rapid.T) {
		w := newWorld(rapid.IntRange(2, 5).Draw(t, "size"))
		w.want, w.asks = rapid.IntRange(1, 3).Draw(t, "want"), asks
		providers := [2]provider{}

		for range rapid.IntRange(10, 150).Draw(t, "turns") {
			if i := rapid.IntRange(0, 9).Draw(t, "provider"); i < 5 {
				advance(t, w, &providers[i%atOnce])
			} else {
				happen(t, w)
			}

			if reached.see(w); w.fault != "" {
				t.Fatal(w.fault)
			}
		}

		for i := range providers {
			providers[i].finish(dead)
		}

		if quiet(t, w); w.fault != "" {
			t.Fatal(w.fault)
		}
	}

	// It takes many turns to get where it matters.
	for range 20 {
		rapid.Check(t, hold)
	}

	if t.Logf("%+v", reached); reached.Detached == 0 || reached.Both == 0 || reached.Deleted == 0 {
		t.Error("the model does not go where it matters")
	}
}

// reach counts how often the model was where it matters.
type reach struct{ Draining, Detached, Both, Deleted int }

func (r *reach) see(w *world) {
	drains, detached := false, false

	for _, p := range w.pods {
		drains = drains || p.drain != "" && p.matches
		detached = detached || !p.matches

		if !p.matches && p.terminating {
			r.Deleted++
		}
	}

	if drains {
		r.Draining++
	}

	if detached {
		r.Detached++
	}

	if drains && detached {
		r.Both++
	}
}

// advance has a provider make its next call, mostly with an answer.
func advance(t *rapid.T, w *world, p *provider) {
	if p.cluster == nil {
		p.start(w, w.policy())

		return
	}

	fates := map[int]fate{0: unanswered, 1: dead}
	if f, ok := fates[rapid.IntRange(0, 29).Draw(t, "fate")]; ok {
		p.step(f)
	} else {
		p.step(answered)
	}
}

// happen has something happen to the pool that is none of a provider's making.
func happen(t *rapid.T, w *world) {
	type event struct {
		weight int
		do     func(*fakePod)
	}

	events := []event{
		{4, func(*fakePod) { w.replicate() }},
		{4, func(*fakePod) { w.watchSize() }},
		{3, func(*fakePod) { w.watchPods() }},
		{6, func(*fakePod) { w.bind() }},
		{4, w.start},
		{10, w.obey},
		{4, func(p *fakePod) {
			if p.started && p.obeyed == "" {
				p.tasks++
				p.state++
			}
		}},
		{6, func(p *fakePod) {
			if p.tasks > 0 {
				p.tasks = 0
				p.state++
			}
		}},
		{2, func(p *fakePod) {
			if p.started && !w.unreadable {
				p.stored = p.state
			}
		}},
		{4, func(p *fakePod) {
			if p.terminating {
				w.gone(p)
			}
		}},
		// A worker dies of something else; its last checkpoint bounds the loss.
		{1, w.gone},
		{1, func(*fakePod) { w.unreadable = !w.unreadable }},
		{1, func(*fakePod) { w.clock = w.clock.Add(testTimeout / 3) }},
		{4, func(*fakePod) { w.ask() }},
		{1, func(*fakePod) { w.write() }},
		{2, func(*fakePod) { w.want = rapid.IntRange(1, 6).Draw(t, "want") }},
	}

	var weighted []event
	for _, e := range events {
		for range e.weight {
			weighted = append(weighted, e)
		}
	}

	e := rapid.SampledFrom(weighted).Draw(t, "event")
	if len(w.pods) > 0 {
		e.do(rapid.SampledFrom(w.pods).Draw(t, "pod"))
	}
}

// quiet lets everything go on in turn, without a fault, until the pool is settled.
func quiet(t *rapid.T, w *world) {
	w.unreadable, w.read = false, nil

	for range 100 {
		w.clock = w.clock.Add(time.Minute)
		w.watchSize()
		w.watchPods()
		w.replicate()

		for range 2 * len(w.pods) {
			w.bind()
		}

		for _, p := range append([]*fakePod(nil), w.pods...) {
			w.start(p)

			p.tasks = 0

			w.obey(p)

			if p.terminating {
				w.gone(p)
			}
		}

		if w.settled() == nil {
			return
		}

		p := provider{}
		p.start(w, w.policy())
		p.finish(answered)

		w.ask()
		w.write()
	}

	t.Fatal(w.settled())
}

// A size that somebody changed since it was decided on is left to the next decision.
func TestAdvanceFromAnotherSize(t *testing.T) {
	w := newWorld(3)
	from := func(n int) {
		p := policy(5)
		p.From = &n

		one := &provider{}
		one.start(w, p)
		one.finish(answered)
	}

	if from(4); w.replicas != 3 {
		t.Errorf("what was decided from 4 is done where 3 are asked for: %d", w.replicas)
	}

	if from(3); w.replicas != 5 {
		t.Errorf("the size is %d after a decision from 3 to 5", w.replicas)
	}
}
