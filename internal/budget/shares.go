// Package budget shares a pool's tokens per minute among its workers. It must not know who the workers are, nor how they
// are asked and told.
package budget

import (
	"cmp"
	"slices"
)

// None is the share of a worker that does not know of a budget, and keeps to none.
const None = -1

// A Worker is what is known of one that has a part in the budget. All figures are tokens per minute.
type Worker struct {
	// Name orders workers that are alike, so that the same question has the same answer.
	Name string
	// Share is what the worker was told last: by whom it was started, 0, or None where it was not told that there is a budget.
	Share int64
	// Has is the most that the worker may use at this moment, whatever it was told: the share it was seen to have, or, where
	// nobody sees it, the largest that it may still have. 0 for one that cannot use anything yet.
	Has int64
	// Fixed is a worker of which nobody would see that its share became smaller: one that does not answer, or is about to
	// end. What it has stays reserved.
	Fixed bool
	// Demand is what the worker needs, by what it used. Keeps says that it needs what it has, however little that is.
	Demand int64
	Keeps  bool
	// Waiting says that requests wait for the budget, so that it needs more than it has; Backlog is how many tokens those need
	// together, 0 where nobody tells.
	Waiting bool
	Backlog int64
}

// What is reserved for a worker is not anybody else's.
func (w Worker) reserved() int64 { return max(w.Share, w.Has, 0) }

func (w Worker) told() int64 { return max(w.Share, 0) }

const (
	// headroom is the part of its demand that a worker gets beyond it, and tolerance the part of its share by which a share
	// may be too small before somebody is told; impatience is that of one that waits. Together they bound what is left unused
	// while somebody waits.
	headroom   = 20
	tolerance  = 25
	impatience = 100
	// least is the part of an equal share that also an idle worker has, so that it can begin: so much of the budget may be left
	// unused by those who are idle. comeback is the part that one gets at once for whom much waits.
	least    = 50
	comeback = 4
	// hurry is how often in a minute what waits is to be done, and step the part of what it has by which one needs more at
	// least that waits.
	hurry = 2
	step  = 8
	// spare is the part of what nobody needs that is given to nobody, so that a worker that comes need not wait until
	// others have given something up.
	spare = 10
)

// Shares returns what each worker is to be told: the share it has, mostly, because each telling is a write.
//
// What is reserved never exceeds the budget by it: a share grows only by what is nobody else's, so a worker that is to give
// up tokens is told first, and who needs them once it was seen to have given them up. Who does not need more is told
// nothing, and who has too much is told only where others need it. Where the budget itself was lowered, shares shrink until
// they fit.
//
// The shares it leads to are fair by max and min: nobody who needs more than an equal part has less than it, but for what
// others are slow to give up. Every worker has a floor, where there is at least a token for each.
func Shares(budget int64, workers []Worker) []int64 {
	budget = max(budget, 0)
	order := sorted(workers)
	next := make([]int64, len(workers))

	var told int64
	for i, w := range workers {
		next[i] = w.Share
		told += w.told()
	}

	// Also of those that do not answer, who can be told all the same.
	all := told > budget

	p := plan{budget: budget, workers: workers, order: order, all: all}
	p.aim()
	p.shrink(next, told)
	p.grow(next)

	// Whoever keeps to no budget is told that there is one, if need be before there is anything for it.
	for i := range next {
		next[i] = max(next[i], 0)
	}

	return next
}

// Ideal returns the shares that workers would have if telling were free and immediate.
func Ideal(budget int64, workers []Worker) []int64 {
	p := plan{budget: max(budget, 0), workers: workers, order: sorted(workers)}
	p.aim()

	return p.ideal
}

// A plan is a sharing being made.
type plan struct {
	budget  int64
	workers []Worker
	// order is that in which workers are served that are alike.
	order []int
	// all says that also the shares of fixed workers change.
	all bool

	// want is what each worker needs, ideal what it is to have, and floor the least of it.
	want, ideal []int64
	floor       int64
	// spare is what is kept of what nobody needs.
	spare int64
}

func sorted(workers []Worker) []int {
	order := make([]int, len(workers))
	for i := range order {
		order[i] = i
	}

	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(workers[a].Name, workers[b].Name), cmp.Compare(a, b))
	})

	return order
}

// moves says whether a worker's share is to be thought about. One that has nothing can only gain.
func (p *plan) moves(w Worker) bool { return p.all || !w.Fixed || w.reserved() == 0 }

// gives says whether a worker's share may become smaller. One that was not seen yet to have what it was told last is left to
// get it: who sees it have less then does not know whether more is still under way.
func (p *plan) gives(w Worker) bool { return p.all || !w.Fixed && w.Has >= w.Share }

// aim finds the ideal shares: the budget without what is fixed, filled into what each wants, and most of what is left over
// in equal parts on top.
func (p *plan) aim() {
	n := len(p.workers)
	p.want, p.ideal = make([]int64, n), make([]int64, n)
	free := p.budget
	moving := make([]int, 0, n)

	for _, i := range p.order {
		if w := p.workers[i]; p.moves(w) {
			moving = append(moving, i)
		} else {
			p.want[i], p.ideal[i] = w.told(), w.told()
			free -= w.reserved()
		}
	}

	if len(moving) == 0 {
		return
	}

	free = max(free, 0)
	equal := p.budget / int64(n)
	p.floor = min(max(equal/least, 1), free/int64(len(moving)))

	for _, i := range moving {
		p.want[i] = min(p.wants(p.workers[i], equal), p.budget)
	}

	left := free - fill(free, moving, p.want, p.ideal)
	p.spare = left / spare
	left -= p.spare

	for k, i := range moving {
		part := left / int64(len(moving)-k)
		p.ideal[i] += part
		left -= part
	}
}

// wants is what a worker needs. One that waits needs more than it has until it does not: by what waits, and at most as much
// again, because what waits now tells little of what will.
func (p *plan) wants(w Worker, equal int64) int64 {
	need := w.Demand + w.Demand/headroom

	// Without any headroom: what it has would grow with each look.
	if w.Keeps {
		need = max(need, w.told())
	}

	if w.Waiting {
		has := w.told()
		if !w.Fixed {
			// What it was told a moment ago has not helped it yet.
			has = min(has, w.Has)
		}

		more, atOnce := has, equal/comeback
		if w.Backlog > 0 {
			more = min(max(w.Backlog*hurry, has/step), has)
			atOnce = min(atOnce, has+w.Backlog*hurry)
		}

		need = max(need, has+more, atOnce)
	}

	return max(need, p.floor)
}

// fill gives each of some what it wants as far as there is enough, and the same to all for whom there is not. It returns
// what was given.
func fill(free int64, some []int, want, out []int64) int64 {
	some = slices.Clone(some)
	slices.SortStableFunc(some, func(a, b int) int { return cmp.Compare(want[a], want[b]) })

	left := free

	for k, i := range some {
		out[i] = min(want[i], left/int64(len(some)-k))
		left -= out[i]
	}

	return free - left
}

// need is by how much a worker's share is too small; 0 where it is not worth a word.
func (p *plan) need(i int) int64 {
	w := p.workers[i]
	need := min(p.want[i], p.ideal[i]) - w.told()

	if !p.moves(w) || need <= 0 {
		return 0
	}

	enough := w.Share / tolerance
	if w.Waiting {
		enough = w.Share / impatience
	}

	// One without a share, or below the floor, is not made to wait for the sake of a write.
	if need <= enough && w.Share >= p.floor {
		return 0
	}

	return need
}

// shrink takes from those who have most beyond their ideal, as many as it takes.
func (p *plan) shrink(next []int64, told int64) {
	// What was taken earlier comes free without anybody's being told again.
	short := told - p.budget

	for i, w := range p.workers {
		short += p.need(i)

		if !p.moves(w) {
			short += w.reserved() - w.told()
		}
	}

	// As many as it takes, the largest excess first.
	order := slices.Clone(p.order)
	excess := func(i int) int64 { return p.workers[i].told() - p.ideal[i] }
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(excess(b), excess(a)) })

	for _, i := range order {
		if short <= 0 || excess(i) <= 0 {
			return
		}

		if p.gives(p.workers[i]) {
			next[i] = p.ideal[i]
			short -= excess(i)
		}
	}
}

// grow gives what is nobody's to those who need it, then to them what of their ideal goes beyond it, and then to those who
// have little, so that they need not wait when they begin. Who does not answer gets what it needs: it may be long until
// anybody could take more back.
func (p *plan) grow(next []int64) {
	free := p.budget
	needs, beyond, little := make([]int64, len(next)), make([]int64, len(next)), make([]int64, len(next))

	for i, w := range p.workers {
		// What it was told before may reach it before what it is told now.
		free -= w.reserved()

		switch room := p.ideal[i] - w.told(); {
		case p.need(i) > 0:
			needs[i] = p.need(i)

			if !w.Fixed {
				beyond[i] = room - needs[i]
			}
		case !w.Fixed && room > w.told():
			little[i] = room
		}
	}

	free -= p.give(free, needs, next, func(i int) bool {
		return next[i] >= p.floor && next[i]-p.workers[i].told() > p.workers[i].told()/tolerance
	})
	free -= p.give(free, only(beyond, func(i int) bool { return next[i] > p.workers[i].told() }), next, always)
	p.give(free-p.spare, little, next, func(i int) bool { return next[i] >= p.ideal[i]/2 })
}

func always(int) bool { return true }

func only(shares []int64, which func(int) bool) []int64 {
	for i := range shares {
		if !which(i) {
			shares[i] = 0
		}
	}

	return shares
}

// give adds to shares what workers are to have, as far as there is enough. Who gets only a part of it does so if that helps:
// a telling is a write, and the rest is about to come free. It returns what was given.
func (p *plan) give(free int64, what, next []int64, helps func(int) bool) (given int64) {
	var some []int

	for _, i := range p.order {
		if what[i] > 0 {
			some = append(some, i)
		}
	}

	if free <= 0 || len(some) == 0 {
		return 0
	}

	parts := make([]int64, len(next))
	fill(free, some, what, parts)

	for _, i := range some {
		was := max(next[i], 0)

		next[i] = was + parts[i]
		if parts[i] < what[i] && !helps(i) {
			next[i] = was

			continue
		}

		given += parts[i]
	}

	return given
}
