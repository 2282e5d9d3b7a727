package worker

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// A Policy says how many workers a pool should have, and how careful removals are.
type Policy struct {
	// Want is the number of workers that the pool should have.
	Want int
	// From is the size that the Deployment asked for when Want was decided, nil for any. If it asks for another by now nothing is
	// done: why it should change has to be found anew, and be recorded first.
	From *int
	// AtOnce is how many workers are drained at a time, at least 1.
	AtOnce int
	// DrainTimeout is how long a worker may take to drain and save.
	DrainTimeout time.Duration
	// Force removes a worker that took longer, with the state that it last committed. Otherwise it serves again, and is left
	// alone for Rest.
	Force bool
	Rest  time.Duration
	// Abrupt asks for Want at once. The cluster then says who goes; each of them drains and saves as it ends, for as long as its
	// pod's grace period is.
	Abrupt bool
	// Asks says that somebody else writes the size, who is told what it should be: no Resize is made, and Result.Ask says what it
	// would have made of the size.
	Asks bool
	// Asked are the sizes that were asked for lately: each of them may be written yet, if it is another than the present one.
	Asked []int
}

// least returns n, or the least size that was asked for lately if that is less.
func (p Policy) least(n int) int { return slices.Min(append(slices.Clone(p.Asked), n)) }

// An Act is a kind of step.
type Act string

// The steps, in the order in which a worker goes through them.
const (
	// Drain tells a worker to take no new tasks, to finish those it has, and to save.
	Drain Act = "Drain"
	// Withdraw lets a worker serve again.
	Withdraw Act = "Withdraw"
	// Detach reads the worker's last checkpoint back, and takes the worker out of its ReplicaSet, which so has no say in who
	// goes.
	Detach Act = "Detach"
	// Cap lets no more workers than Size have a slot.
	Cap Act = "Cap"
	// Resize has the Deployment ask for Size workers.
	Resize Act = "Resize"
	// Delete deletes the pod of a worker that was detached and is missed by nobody.
	Delete Act = "Delete"
)

// A Step is one change of the cluster. It is made only if what it changes is still what was looked at.
type Step struct {
	Act    Act
	Worker Worker
	// ID and Until of a Drain.
	ID    string
	Until time.Time
	// Refused marks a Withdraw of a worker that did not drain in time, and Forced a Detach of one.
	Refused, Forced bool
	// Checkpoint that was read back for a Detach, as SLOT/EPOCH-SEQUENCE.
	Checkpoint string
	// Size of a Cap or Resize.
	Size int
	// Why, in a sentence with the figures in it.
	Why string
}

// Plan returns the steps that bring a pool nearer to what is wanted, in the order in which they must be made: when one fails, none
// of those behind it may be. What was done before is found in the view alone, so a Plan after a crash goes on where the last one
// stopped.
//
// The size that the Deployment asks for is never less than the number of workers that have a slot and have not been detached. So
// its ReplicaSet, when it is asked for less, finds more pods than it wants only among those that wait for a slot, and these go
// first. For this the cap comes before the size, and the size shrinks only when the ReplicaSet has acted on the size before and has as
// many pods as that: so it has heard of every pod that was detached or is gone, for it has made another. Its cache must not lag by
// longer than a worker takes to start.
//
// Who writes the size in our place may do so a while after he was told, and after he was told another. So the cap is never above a size
// that was asked for lately: whichever of them is written, and when, is not less than the number of workers that have a slot.
func Plan(now time.Time, p Policy, v View) []Step {
	if p.Abrupt {
		return abrupt(p, v)
	}

	kept := v.kept()
	draining, serving := split(kept)
	surplus := max(len(kept)-p.Want, 0)

	// A ReplicaSet without slots to go by removes those that have drained, and may be about to.
	steps := withdrawals(&draining, max(surplus, v.promised(p, draining)))

	gone, refused := over(now, p, draining)
	if !v.Slotless {
		steps = append(steps, detachments(gone)...)
	}

	steps = append(steps, refused...)

	if !v.RollingOut {
		n := min(surplus, max(p.AtOnce, 1)) - len(draining)
		steps = append(steps, drains(now, p, serving, n, surplus)...)
	}

	if v.Slotless {
		return append(steps, shrink(p, v, len(kept), len(gone))...)
	}

	size := resizes
	if p.Asks {
		size = asks
	}

	resized, final := size(p, v, len(kept))
	steps = append(steps, resized...)

	if final {
		steps = append(steps, deletions(v)...)
	}

	return steps
}

// abrupt sets the size, and brings to an end what was begun.
func abrupt(p Policy, v View) []Step {
	var out []Step

	if p.Want != v.Replicas {
		out = append(out, Step{Act: Resize, Size: p.Want, Why: fmt.Sprintf("from %d replicas to %d at once", v.Replicas, p.Want)})
	}

	return append(out, deletions(v)...)
}

// split returns the workers that were told to drain, the most likely to be done first, and those that were not, the best victim
// first.
func split(kept []Worker) (draining, serving []Worker) {
	for _, w := range kept {
		if w.Drain != "" {
			draining = append(draining, w)
		} else {
			serving = append(serving, w)
		}
	}

	slices.SortFunc(draining, func(a, b Worker) int { return cmp.Or(first(a.drained(), b.drained()), Compare(a, b)) })
	slices.SortFunc(serving, Compare)

	return draining, serving
}

// withdrawals lets those serve again that are not needed to go any longer, the busiest first.
func withdrawals(draining *[]Worker, surplus int) []Step {
	var out []Step

	for d := *draining; len(d) > surplus; *draining = d {
		w := d[len(d)-1]
		d = d[:len(d)-1]
		out = append(out, Step{Act: Withdraw, Worker: w, Why: fmt.Sprintf("worker %s serves again: the pool needs it", w.Name)})
	}

	return out
}

// promised returns how many workers of a pool without slots must not serve again, because a size was asked for without them.
func (v View) promised(p Policy, draining []Worker) int {
	if !v.Slotless {
		return 0
	}

	n := 0

	for _, w := range draining {
		if w.drained() {
			n++
		}
	}

	return min(n, v.Replicas-p.least(v.Replicas))
}

// over returns the workers whose drains are over and who may go, and what becomes of those that may not.
func over(now time.Time, p Policy, draining []Worker) (gone []Worker, refused []Step) {
	for _, w := range draining {
		switch {
		case w.drained() || p.Force && !now.Before(w.Until):
			gone = append(gone, w)
		case !now.Before(w.Until):
			refused = append(refused, Step{Act: Withdraw, Worker: w, Refused: true, Why: fmt.Sprintf("worker %s did not drain until %s and serves again (%s)", w.Name, stamp(w.Until), w.burden())})
		case w.gaveUp() && !p.Force:
			refused = append(refused, Step{Act: Withdraw, Worker: w, Refused: true, Why: fmt.Sprintf("worker %s gave its drain up and serves again (%s)", w.Name, w.burden())})
		}
	}

	return gone, refused
}

// detachments takes workers out of their pool.
func detachments(gone []Worker) []Step {
	out := make([]Step, 0, len(gone))

	for _, w := range gone {
		s := Step{Act: Detach, Worker: w, Why: fmt.Sprintf("worker %s is idle, and the state of slot %d is saved", w.Name, w.Slot)}

		switch {
		case !w.drained():
			s.Forced, s.Why = true, fmt.Sprintf("worker %s did not drain until %s and is removed with the state it last saved (%s)", w.Name, stamp(w.Until), w.burden())
		case w.Unstarted:
			s.Why = fmt.Sprintf("worker %s has never started its agent", w.Name)
		case !w.Stateful:
			s.Why = fmt.Sprintf("worker %s is idle", w.Name)
		}

		out = append(out, s)
	}

	return out
}

// shrink brings the size of a pool without slots to what is wanted, but not below the workers that may not go yet. It waits until
// the ReplicaSet has as many pods as it was asked for: so none is missing that would be made up for by one that may not go.
func shrink(p Policy, v View, kept, gone int) []Step {
	size := max(p.Want, kept-gone)
	if size == v.Replicas || size < v.Replicas && kept > 0 && (v.RollingOut || !v.heard()) {
		return nil
	}

	return []Step{{Act: Resize, Size: size, Why: fmt.Sprintf("from %d replicas to %d: %d workers have drained and %d are wanted", v.Replicas, size, gone, p.Want)}}
}

// drains tells n more workers to drain. One that refused lately is left alone.
func drains(now time.Time, p Policy, serving []Worker, n, surplus int) []Step {
	var out []Step

	for _, w := range serving {
		if len(out) >= n {
			break
		}

		if !w.Refused.IsZero() && now.Before(w.Refused.Add(p.Rest)) {
			continue
		}

		out = append(out, Step{
			Act: Drain, Worker: w, ID: fmt.Sprintf("%s-%d", w.Name, now.UnixNano()), Until: now.Add(p.DrainTimeout),
			Why: fmt.Sprintf("worker %s drains: %d of the pool's workers are to go, and it has least to do (%s)", w.Name, surplus, w.burden()),
		})
	}

	return out
}

// resizes brings cap and size to what is wanted, but not below the workers that are kept. Final says that the size is there
// already or will be when the steps are made: then who was detached is missed by nobody.
//
// A cap is lowered before the size and raised after it, when the ReplicaSet has acted on it: else it might still be about to remove,
// for the size before, one that waits for a slot and is just being given one.
func resizes(p Policy, v View, kept int) (out []Step, final bool) {
	size := max(p.Want, kept)
	limit := capAt(size)

	switch {
	case size > v.Replicas:
		return []Step{{Act: Resize, Size: size, Why: fmt.Sprintf("from %d replicas to %d", v.Replicas, size)}}, true
	case size == v.Replicas:
		if v.Cap > size || v.Cap >= 0 && v.Cap < size && (v.Acted || v.Refused || v.RollingOut) {
			out = append(out, limit)
		}
	case kept > 0 && (v.RollingOut || !v.heard()):
		return nil, false
	default:
		if v.Cap != size {
			out = append(out, limit)
		}

		out = append(out, Step{Act: Resize, Size: size, Why: fmt.Sprintf("from %d replicas to %d: %d workers have a slot and %d are wanted", v.Replicas, size, kept, p.Want)})
	}

	return out, true
}

// asks is resizes where somebody else writes the size: whatever he is told must be within the cap first, also if it is the present size.
func asks(p Policy, v View, kept int) (out []Step, final bool) {
	size, held := max(p.Want, kept), false

	if size < v.Replicas && kept > 0 && (v.RollingOut || !v.heard()) {
		size, held = v.Replicas, true
	}

	most := min(size, v.Replicas)

	switch low := p.least(most); {
	case v.Cap < 0 || v.Cap > most:
		out = append(out, capAt(most))
	case v.Cap < low && (v.Acted || v.Refused || v.RollingOut):
		out = append(out, capAt(low))
	}

	if size != v.Replicas {
		out = append(out, Step{Act: Resize, Size: size, Why: fmt.Sprintf("from %d replicas to %d: %d workers have a slot and %d are wanted", v.Replicas, size, kept, p.Want)})
	}

	return out, !held
}

func capAt(n int) Step {
	return Step{Act: Cap, Size: n, Why: fmt.Sprintf("at most %d workers have a slot", n)}
}

// heard says whether the ReplicaSet has heard of all pods that are not in its pool any longer.
func (v View) heard() bool {
	owned := slices.ContainsFunc(v.Workers, func(w Worker) bool { return w.Detached && w.Owned })

	return !owned && (v.Acted && v.Pods >= v.Replicas || v.Refused)
}

// deletions deletes who was detached.
func deletions(v View) []Step {
	var out []Step

	for _, w := range v.detached() {
		if !w.Owned && !w.Terminating {
			out = append(out, Step{Act: Delete, Worker: w, Why: fmt.Sprintf("worker %s has handed slot %d over", w.Name, w.Slot)})
		}
	}

	return out
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
