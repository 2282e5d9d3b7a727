package worker

import (
	"cmp"
	"fmt"
)

// Compare orders workers by how well they can be spared: those that never started and those that do not take tasks anyway, then
// those with the fewest tasks in flight, the fewest sessions, the freshest checkpoint, and the youngest. One whose load is not known comes after all whose load
// is, for no data is not zero.
func Compare(a, b Worker) int {
	x, y := a.report(), b.report()

	return cmp.Or(
		first(a.Unstarted, b.Unstarted),
		first(!x.Ready, !y.Ready),
		first(x.Known, y.Known),
		cmp.Compare(x.InFlight, y.InFlight),
		cmp.Compare(x.Sessions, y.Sessions),
		y.SavedAt.Compare(x.SavedAt),
		b.Created.Compare(a.Created),
		cmp.Compare(a.UID, b.UID),
	)
}

// report returns what is known, which of a worker that did not answer is nothing: not even that it takes no tasks.
func (w Worker) report() Report {
	if w.Report == nil {
		return Report{Ready: true}
	}

	return *w.Report
}

// burden says what a worker has to do.
func (w Worker) burden() string {
	switch r := w.report(); {
	case w.Unstarted:
		return "its agent has not started"
	case w.Report == nil:
		return "its monitor does not answer"
	case !r.Known:
		return "its load is not known"
	default:
		return fmt.Sprintf("%d tasks in flight, %d sessions", r.InFlight, r.Sessions)
	}
}

// first orders what is true before what is not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}
