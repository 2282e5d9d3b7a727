package push

import "time"

// maxSeries bounds the memory of the ledger. A monitor has some hundred series, all of whose labels are from bounded sets.
const maxSeries = 4000

// What the ledger knows of a series at the server.
type state int

const (
	// fresh: nothing of it was ever sent.
	fresh state = iota
	// unsure: a sample was sent, and nobody knows whether it was stored.
	unsure
	// known: the newest sample there is entry.bits.
	known
)

type entry struct {
	state state
	bits  uint64
	turn  uint64
}

// A ledger holds, for each series, what the server was last told. It is all that an outage needs: a counter's next sample
// carries its total, and of a gauge only the newest value matters, so no sample waits anywhere and each is made when it is
// sent. Timestamps only grow, because a server refuses a series' older sample after a newer one, and the whole push with it.
type ledger struct {
	entries map[string]*entry
	turn    uint64
	newest  int64
}

// stamp returns the next timestamp in milliseconds: now, or later than all that were used where the clock went back.
func (l *ledger) stamp(now time.Time) int64 {
	// A push uses the millisecond before its own, too, and the last one that after it.
	l.newest = max(now.UnixMilli(), l.newest+3)

	return l.newest
}

// plan returns what to tell the server at a time: all, or what it does not know already, and that what is gone is gone.
// It also returns the number of samples there is no room for.
func (l *ledger) plan(samples []sample, all bool, at int64) (items []item, over int) {
	l.turn++

	for _, s := range samples {
		e := l.entries[s.labels]
		if e == nil {
			if len(l.entries) >= maxSeries {
				over++

				continue
			}

			e = &entry{}
			l.entries[s.labels] = e
		}

		e.turn = l.turn
		if !all && (s.quiet || e.state == known && e.bits == bits(s.value)) {
			continue
		}

		i := item{labels: s.labels}
		// A query sees a counter's growth only between two samples, so a new one that is not zero is told with its beginning.
		// Not twice: a zero after a sample that was stored unseen would be a restart, and count all of it again.
		if s.total && s.value != 0 && e.state == fresh {
			i.add(bits(0), at-1)
		}

		i.add(bits(s.value), at)
		items = append(items, i)
	}

	return l.gone(items, at), over
}

// gone appends the ends of the series that were told and are no more. They stay known, so that one that comes back is not
// taken for a new one.
func (l *ledger) gone(items []item, at int64) []item {
	for labels, e := range l.entries {
		switch {
		case e.turn == l.turn, e.state == known && e.bits == staleNaN:
		case e.state == fresh:
			delete(l.entries, labels)
		default:
			i := item{labels: labels}
			i.add(staleNaN, at)
			items = append(items, i)
		}
	}

	return items
}

// end appends to each series that is still told its end, a millisecond after its value.
func end(items []item) {
	for n := range items {
		if p := items[n].points[items[n].n-1]; p.bits != staleNaN {
			items[n].add(staleNaN, p.at+1)
		}
	}
}

// settle notes what became of items that were sent.
func (l *ledger) settle(items []item, stored bool) {
	for _, i := range items {
		e := l.entries[i.labels]
		if e.state = unsure; stored {
			e.state, e.bits = known, i.points[i.n-1].bits
		}
	}
}
