// Package scale decides how many workers a pool should have, and says why. It must not know how load is measured, nor how workers are
// added and removed: what it is told is all there is, and the same is decided each time the same is told.
package scale

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// A Metric is a load and how much of it one worker should carry.
type Metric struct {
	// Name says which load it is: a type such as QueueDepth, or the name of a query.
	Name string
	// Target is the load per worker, above 0. DefaultQueueDepth is QueueDepth's where nobody says another.
	Target float64
}

// DefaultQueueDepth is how many unfinished tasks one worker should have.
const DefaultQueueDepth = 5

// A Policy is what is asked for.
type Policy struct {
	// Min and Max are the bounds of the size, 1 <= Min <= Max.
	Min, Max int32
	// Metrics are the loads that decide; the one that wants most workers wins.
	Metrics []Metric
	// TokensPerMinute is the budget of all workers together, 0 for none. More workers than it feeds are not asked for.
	TokensPerMinute float64
	// Window is how long the load must have been low before a worker is removed.
	Window time.Duration
	// MaxAge is how old a reading may be, above 0.
	MaxAge time.Duration
	// OutStep is how many workers are added at most in one decision, 0 for any number. A want of Panic times the size, or more, is
	// followed at once all the same; 0 is never.
	OutStep int32
	Panic   float64
	// InStep is how many workers fewer are asked for at most in one decision, 0 for any number.
	InStep int32
	// Fallback is what is done when no load has been known for long, nil to keep the size.
	Fallback *Fallback
	// Schedules raise Min for a time.
	Schedules []Schedule
}

// A Fallback is a size for when nothing is known.
type Fallback struct {
	// After is how long nothing must have been known, and Replicas the size.
	After    time.Duration
	Replicas int32
}

// A Reading is a load as it was measured. One that is not known is none, which is not zero.
type Reading struct {
	// Value of the load, when it was measured, and of how many workers out of how many it is the sum.
	Value               float64
	At                  time.Time
	Reporting, Expected int
	// Unknown says why there is none; empty where there is one.
	Unknown string
}

// An Observation is what is known of a pool.
type Observation struct {
	// Current is the size that the pool has been asked to have.
	Current int32
	// Readings by the metrics' names.
	Readings map[string]Reading
	// TokensPerWorker is how many tokens a minute a worker uses that is busy, 0 while that is not known.
	TokensPerWorker float64
	// RollingOut says that the workers are being replaced by others of a newer template.
	RollingOut bool
	// Unsafe says why workers cannot be removed without loss, such as a store that cannot be reached; empty where they can.
	Unsafe string
}

// A History is what decisions remember of those before. It is small, and may be kept as JSON; the zero History is that of a new pool.
type History struct {
	// Wants are the most workers that were wanted in spans of time, the oldest first.
	Wants []Span `json:"wants,omitempty"`
	// Unknown is since when nothing has been known, zero while something is; and Partly since when not all has been, zero while all is.
	Unknown time.Time `json:"unknown,omitzero"`
	Partly  time.Time `json:"partly,omitzero"`
}

// A Span is the most that was wanted from a time on, until the next span begins. It was last wanted at Until.
type Span struct {
	From  time.Time `json:"from"`
	Until time.Time `json:"until"`
	Want  int32     `json:"want"`
}

// spans is how many a window is kept in: the most of each is remembered until its last moment has left the window.
const spans = 16

// The reasons of a decision.
const (
	// ReasonSteady keeps the size, because it is what is wanted.
	ReasonSteady = "Steady"
	// ReasonLoadHigher and ReasonLoadLower follow the load.
	ReasonLoadHigher = "LoadHigher"
	ReasonLoadLower  = "LoadLower"
	// ReasonPanic follows a load that jumped.
	ReasonPanic = "LoadJumped"
	// ReasonWaiting keeps the size, because the load has not been low for long enough.
	ReasonWaiting = "Stabilizing"
	// ReasonVetoed keeps the size, because a worker must not be removed now.
	ReasonVetoed = "Vetoed"
	// ReasonFallback is the size for when nothing is known, and ReasonNoData keeps the size until then.
	ReasonFallback = "Fallback"
	ReasonNoData   = "NoData"
	// ReasonBounds brings a size into its bounds.
	ReasonBounds = "OutOfBounds"
)

// The vetoes: why no worker may be removed now.
const (
	VetoNoData     = "NoData"
	VetoStale      = "Stale"
	VetoPartial    = "Partial"
	VetoRollingOut = "RolloutInProgress"
	VetoUnsafe     = "CheckpointUnhealthy"
)

// A Veto is a reason to remove nobody.
type Veto struct{ Name, Why string }

// A Want is what one metric asks for.
type Want struct {
	Metric Metric
	Value  float64
	Want   int32
	// Unknown says why it asks for nothing; empty where it does.
	Unknown string
}

// A Decision is a size, and why.
type Decision struct {
	// Desired is what the load asks for, within bounds and budget; Replicas the size that the pool should be asked to have now.
	Desired, Replicas int32
	Reason, Message   string
	Vetoes            []Veto
	Wants             []Want
	// Wake is when the decision may be another although nothing else is learned; zero for never.
	Wake time.Time
}

// wants returns what each metric asks for, the vetoes that follow from what is not known, and whether anything is.
func wants(now time.Time, p Policy, o Observation) (out []Want, vetoes []Veto, known bool) {
	for _, m := range p.Metrics {
		w, veto := want(now, p, m, o.Readings[m.Name], o.Readings)
		out = append(out, w)
		known = known || w.Unknown == ""

		if veto.Name != "" {
			vetoes = append(vetoes, veto)
		}
	}

	return out, vetoes, known
}

// want returns what one metric asks for. What only a part of the workers told is a lower bound: it is followed up, and not down.
func want(now time.Time, p Policy, m Metric, r Reading, all map[string]Reading) (Want, Veto) {
	w := Want{Metric: m}

	switch _, told := all[m.Name]; {
	case !told:
		w.Unknown = "nobody told it"
	case r.Unknown != "":
		w.Unknown = r.Unknown
	case math.IsNaN(r.Value) || math.IsInf(r.Value, 0) || r.Value < 0:
		w.Unknown = fmt.Sprintf("%v is no load", r.Value)
	case now.Sub(r.At) > p.MaxAge:
		w.Unknown = fmt.Sprintf("it was last measured %s ago", now.Sub(r.At).Round(time.Second))

		return w, Veto{VetoStale, fmt.Sprintf("%s: %s, and may be %s old", m.Name, w.Unknown, p.MaxAge)}
	}

	if w.Unknown != "" {
		return w, Veto{VetoNoData, fmt.Sprintf("%s is not known: %s", m.Name, w.Unknown)}
	}

	w.Value = r.Value
	// A size is at most a number that an int32 holds.
	w.Want = int32(math.Min(math.Ceil(r.Value/m.Target), math.MaxInt32))

	if r.Reporting < r.Expected {
		return w, Veto{VetoPartial, fmt.Sprintf("%s: %d of %d workers reported", m.Name, r.Reporting, r.Expected)}
	}

	return w, Veto{}
}

// sentence puts a want into words.
func (w Want) sentence() string {
	if w.Unknown != "" {
		return fmt.Sprintf("%s is not known (%s)", w.Metric.Name, w.Unknown)
	}

	return fmt.Sprintf("%s %s at %s per worker wants %d", w.Metric.Name, figure(w.Value), figure(w.Metric.Target), w.Want)
}

func sentences(all []Want) string {
	out := make([]string, len(all))
	for i, w := range all {
		out[i] = w.sentence()
	}

	return strings.Join(out, ", ")
}

func figure(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1e15 {
		return fmt.Sprintf("%.0f", f)
	}

	return fmt.Sprintf("%.3g", f)
}
