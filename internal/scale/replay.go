package scale

import (
	"slices"
	"time"
)

// A Point is what was known of a pool from a time on, until the next point. Of its readings all but the time count: what holds is fresh.
type Point struct {
	At              time.Time
	Readings        map[string]Reading
	TokensPerWorker float64
	RollingOut      bool
	Unsafe          string
}

// A Replay follows a policy over what was. It does not know what another size would have made of the load: a queue that more workers
// would have emptied is as long as it was.
type Replay struct {
	Policy Policy
	// Size is the pool's at the beginning.
	Size int32
	// Interval is the time between two looks at the pool, above 0.
	Interval time.Duration
	// Startup is how long a worker takes until it serves.
	Startup time.Duration
}

// A Step is what is so from a time on, until the next step.
type Step struct {
	At time.Time
	// Size is what is asked for, Serving how many of them have started, Desired what the decision wants within its bounds, and Wanted
	// what the load does, whatever the bounds; negative while nothing is known.
	Size, Serving, Desired, Wanted int32
	Reason                         string
	Vetoes                         []Veto
}

// A Change is a change of the size.
type Change struct {
	At              time.Time
	From, To        int32
	Reason, Message string
}

// A Course is how it went.
type Course struct {
	From, To time.Time
	Steps    []Step
	Changes  []Change
	Totals   Totals
}

// Totals are sums over a course.
type Totals struct {
	// Worker is the time of all workers together, and Spare what of it was not wanted by the load.
	Worker, Spare time.Duration
	// Short is how long fewer served than the load wanted, and Missing the time of all those together that were missing.
	Short, Missing time.Duration
	// Unknown is how long nothing was known of the load, Vetoed how long a veto alone kept workers, and Stabilizing how long the window did.
	Unknown, Vetoed, Stabilizing time.Duration
	// Most and Least are the largest and the smallest size.
	Most, Least int32
}

// Run replays points, which are in the order of their times and not none. The last one is the end: it holds for no time.
//
// It looks at the pool when something can be another: at each point, when a decision asks to be woken, and an interval after each change;
// and just before each of these, so that what was wanted until then is remembered as if there had been looks all along.
func (r Replay) Run(points []Point) Course {
	var (
		c        = Course{From: points[0].At, To: points[len(points)-1].At, Totals: Totals{Most: r.Size, Least: r.Size}}
		size     = r.Size
		h        = History{Wants: []Span{{From: c.From, Until: c.From, Want: size}}}
		starting []start
		i        int
	)

	for now := c.From; !now.After(c.To); {
		for i+1 < len(points) && !points[i+1].At.After(now) {
			i++
		}

		var d Decision

		d, h = Decide(now, r.Policy, points[i].observation(now, size), h)
		starting = r.started(starting, now, d.Replicas-size)

		c.decided(now, size, d, serving(d.Replicas, starting))

		wake := now.Add(r.Interval)
		if d.Replicas == size && (d.Wake.IsZero() || d.Wake.After(now)) {
			wake = d.Wake
		}

		size = d.Replicas
		next := r.next(now, wake, points, i)

		for _, s := range starting {
			next = earlier(next, s.ready)
		}

		if next.IsZero() {
			break
		}

		c.Totals.add(c.Steps[len(c.Steps)-1], min(next.Sub(now), c.To.Sub(now)))
		now = next
	}

	return c
}

// A start is of n workers that will serve when they are ready.
type start struct {
	ready time.Time
	n     int32
}

// started returns who still starts, when the size has changed by n. Who has not started goes before who has.
func (r Replay) started(all []start, now time.Time, n int32) []start {
	all = slices.DeleteFunc(all, func(s start) bool { return !s.ready.After(now) })

	if n > 0 && r.Startup > 0 {
		return append(all, start{now.Add(r.Startup), n})
	}

	for ; n < 0 && len(all) > 0; n++ {
		if last := &all[len(all)-1]; last.n > 1 {
			last.n--
		} else {
			all = all[:len(all)-1]
		}
	}

	return all
}

func serving(size int32, starting []start) int32 {
	for _, s := range starting {
		size -= s.n
	}

	return size
}

// next returns when the pool is looked at again; zero for never.
func (r Replay) next(now, wake time.Time, points []Point, i int) time.Time {
	var out time.Time

	if i+1 < len(points) {
		out = r.before(now, points[i+1].At)
	}

	if !wake.IsZero() {
		out = earlier(out, r.before(now, wake))
	}

	return out
}

// before returns a moment just before what is to happen, if there is one.
func (r Replay) before(now, then time.Time) time.Time {
	if t := then.Add(-r.Interval); t.After(now) {
		return t
	}

	return then
}

// observation is what a point says at a time.
func (p Point) observation(now time.Time, size int32) Observation {
	o := Observation{
		Current: size, Readings: make(map[string]Reading, len(p.Readings)), TokensPerWorker: p.TokensPerWorker, RollingOut: p.RollingOut, Unsafe: p.Unsafe,
	}

	for name, r := range p.Readings {
		r.At = now
		o.Readings[name] = r
	}

	return o
}

func (c *Course) decided(now time.Time, size int32, d Decision, serving int32) {
	s := Step{At: now, Size: d.Replicas, Serving: serving, Desired: d.Desired, Wanted: -1, Reason: d.Reason, Vetoes: d.Vetoes}

	for _, w := range d.Wants {
		if w.Unknown == "" {
			s.Wanted = max(s.Wanted, w.Want)
		}
	}

	c.Steps = append(c.Steps, s)
	c.Totals.Most, c.Totals.Least = max(c.Totals.Most, s.Size), min(c.Totals.Least, s.Size)

	if d.Replicas != size {
		c.Changes = append(c.Changes, Change{At: now, From: size, To: d.Replicas, Reason: d.Reason, Message: d.Message})
	}
}

// add adds the time for which a step holds.
func (t *Totals) add(s Step, d time.Duration) {
	t.Worker += time.Duration(s.Size) * d

	switch s.Reason {
	case ReasonVetoed:
		t.Vetoed += d
	case ReasonWaiting:
		t.Stabilizing += d
	}

	if s.Wanted < 0 {
		t.Unknown += d

		return
	}

	t.Spare += time.Duration(max(0, s.Size-s.Wanted)) * d

	if missing := s.Wanted - s.Serving; missing > 0 {
		t.Short += d
		t.Missing += time.Duration(missing) * d
	}
}
