package scale

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Decide returns the size that a pool should be asked to have now, and what the next decision must remember.
//
//	want    = max over the metrics that are known of ceil(value / target)
//	ceiling = floor(TokensPerMinute / TokensPerWorker), at least 1, where both are known
//	desired = clamp(min(want, ceiling), Min, Max)
//
// Out is followed at once, by OutStep at most unless the load jumped. In follows the most that was desired within the window, by InStep
// at most, and not at all while there is a veto. Where a load is not known, what is known is followed out and not in; and when all of it is
// known again after a whole window, nobody knows what was desired in that, so nobody is removed for another.
func Decide(now time.Time, p Policy, o Observation, h History) (Decision, History) {
	low, schedule := p.least(now)
	d := Decision{Replicas: o.Current}

	var known bool

	d.Wants, d.Vetoes, known = wants(now, p, o)
	partly, complete := h.Partly, len(d.Vetoes) == 0
	h = h.noted(now, known, complete)

	if !known {
		return d.blind(now, p, o, h, low), h
	}

	budget := d.demand(p, o, low)
	h = h.with(now, d.Desired, p.Window)

	if complete && !partly.IsZero() && now.Sub(partly) >= p.Window {
		h = h.with(now, max(d.Desired, min(o.Current, p.Max)), p.Window)
	}

	d.vetoed(o)
	d.Wake = earlier(h.expires(p.Window, d.Desired), p.nextSchedule(now))
	most := max(h.most(), d.Desired)

	said := sentences(d.Wants) + budget + schedule

	switch {
	case o.Current < low || o.Current > p.Max:
		d.Replicas = clamp(max(most, low), low, p.Max)
		if o.Current > p.Max {
			d.in(p, o, p.Max, said, ReasonBounds)
		} else {
			d.say(ReasonBounds, "from %d to %d: the size must be %d to %d; %s", o.Current, d.Replicas, low, p.Max, said)
		}
	case d.Desired > o.Current:
		d.out(p, o, said)
	case d.Desired == o.Current:
		d.say(ReasonSteady, "%d is what is wanted: %s", o.Current, said)
	case most >= o.Current:
		d.say(ReasonWaiting, "%d would do, but %d were wanted within the last %s; %s", d.Desired, most, p.Window, said)
	default:
		d.in(p, o, most, said, ReasonLoadLower)
	}

	return d, h
}

// demand fills in what the load asks for, and returns a word about the budget where that is what bounds it.
func (d *Decision) demand(p Policy, o Observation, low int32) string {
	var want int32
	for _, w := range d.Wants {
		want = max(want, w.Want)
	}

	said := ""

	if p.TokensPerMinute > 0 && o.TokensPerWorker > 0 {
		ceiling := int32(math.Max(1, math.Min(math.Floor(p.TokensPerMinute/o.TokensPerWorker), math.MaxInt32)))
		if ceiling < want {
			said = fmt.Sprintf("; %s tokens a minute feed %d workers that use %s each", figure(p.TokensPerMinute), ceiling, figure(o.TokensPerWorker))
			want = ceiling
		}
	}

	d.Desired = clamp(want, low, p.Max)

	return said
}

// vetoed adds the vetoes that do not come of the figures.
func (d *Decision) vetoed(o Observation) {
	if o.RollingOut {
		d.Vetoes = append(d.Vetoes, Veto{VetoRollingOut, "workers are being replaced"})
	}

	if o.Unsafe != "" {
		d.Vetoes = append(d.Vetoes, Veto{VetoUnsafe, o.Unsafe})
	}
}

// out follows a load that is higher.
func (d *Decision) out(p Policy, o Observation, said string) {
	d.Replicas = d.Desired

	jumped := p.Panic > 0 && float64(d.Desired) >= p.Panic*float64(o.Current)
	if jumped {
		d.say(ReasonPanic, "from %d to %d at once: that is %s times the size or more; %s", o.Current, d.Replicas, figure(p.Panic), said)

		return
	}

	if p.OutStep > 0 {
		d.Replicas = min(d.Desired, o.Current+p.OutStep)
	}

	d.say(ReasonLoadHigher, "from %d to %d of %d wanted: %s", o.Current, d.Replicas, d.Desired, said)
}

// in follows a load that has been lower for the whole window, unless there is a veto.
func (d *Decision) in(p Policy, o Observation, to int32, said, reason string) {
	d.Replicas = o.Current

	if len(d.Vetoes) > 0 {
		d.say(ReasonVetoed, "%d would do, but %s; %s", to, because(d.Vetoes), said)

		return
	}

	d.Replicas = to
	if p.InStep > 0 {
		d.Replicas = max(to, o.Current-p.InStep)
	}

	d.say(reason, "from %d to %d of %d wanted: %s", o.Current, d.Replicas, to, said)
}

// blind decides while nothing is known: nobody is removed, unless that is what the fallback says.
func (d Decision) blind(now time.Time, p Policy, o Observation, h History, low int32) Decision {
	d.Desired, d.Wake = clamp(o.Current, low, p.Max), p.nextSchedule(now)
	said := sentences(d.Wants)

	if len(p.Metrics) == 0 {
		said = "there is no metric"
	}

	if f := p.Fallback; f != nil {
		if due := h.Unknown.Add(f.After); !now.Before(due) {
			d.Desired = clamp(f.Replicas, low, p.Max)
			d.Replicas = d.Desired
			d.say(ReasonFallback, "from %d to %d: nothing has been known for %s; %s", o.Current, d.Replicas, now.Sub(h.Unknown).Round(time.Second), said)

			return d
		} else if d.Wake = earlier(due, d.Wake); o.Current >= low {
			d.say(ReasonNoData, "the size stays at %d until %s, when it falls back to %d; %s", o.Current, due.UTC().Format(time.RFC3339), f.Replicas, said)

			return d
		}
	}

	d.Replicas = max(o.Current, low)
	d.say(ReasonNoData, "the size stays at %d, because no data is not zero; %s", d.Replicas, said)

	return d
}

func (d *Decision) say(reason, format string, args ...any) {
	d.Reason, d.Message = reason, fmt.Sprintf(format, args...)
}

func because(all []Veto) string {
	out := make([]string, len(all))
	for i, v := range all {
		out[i] = v.Why
	}

	return strings.Join(out, ", and ")
}

// noted remembers since when nothing has been known, and since when not all has been.
func (h History) noted(now time.Time, known, complete bool) History {
	h.Unknown, h.Partly = since(h.Unknown, now, !known), since(h.Partly, now, !complete)

	return h
}

// since returns since when something is so.
func since(before, now time.Time, is bool) time.Time {
	switch {
	case !is:
		return time.Time{}
	case before.IsZero():
		return now
	default:
		return before
	}
}

// with remembers what is desired now and forgets what has left the window.
func (h History) with(now time.Time, want int32, window time.Duration) History {
	kept := slices.DeleteFunc(slices.Clone(h.Wants), func(s Span) bool { return now.Sub(s.Until) >= window || s.From.After(now) })

	if n := len(kept); n > 0 && now.Sub(kept[n-1].From) < window/spans {
		last := &kept[n-1]
		last.Until, last.Want = now, max(last.Want, want)
	} else if window > 0 {
		kept = append(kept, Span{From: now, Until: now, Want: want})
	}

	// As many as there can be, should a clock have gone back.
	h.Wants = kept[max(0, len(kept)-2*spans):]

	return h
}

func (h History) most() (most int32) {
	for _, s := range h.Wants {
		most = max(most, s.Want)
	}

	return most
}

// expires returns when the next span leaves the window in which more was wanted than now; zero for none.
func (h History) expires(window time.Duration, want int32) time.Time {
	var out time.Time

	for _, s := range h.Wants {
		if s.Want > want {
			out = earlier(out, s.Until.Add(window))
		}
	}

	return out
}

// earlier returns the earlier of two times, of which either may be zero for never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}

	return a
}

func clamp(n, low, high int32) int32 { return min(max(n, low), high) }
