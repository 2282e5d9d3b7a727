package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// A fakePod is a pod, the monitor and the agent in it.
type fakePod struct {
	name    string
	slot    int // Negative while it waits.
	created time.Time
	version int
	// What the API server knows of it.
	drain       string
	until       time.Time
	refused     time.Time
	matches     bool // Its labels match the ReplicaSet's selector.
	owned       bool
	terminating bool
	proof       string
	// What its monitor knows of it.
	started bool
	obeyed  string
	drained bool
	savedAs string
	// What its agent does: tasks in flight, the state it has and the state that is saved.
	tasks         int
	state, stored int
}

// A world is a cluster with one pool: the API server, the ReplicaSet controller with caches that lag, the binder, and the workers.
type world struct {
	clock time.Time
	pods  []*fakePod
	made  int
	// The ledger: who has a slot, and the cap.
	claims []string
	limit  int
	ledger int
	// The Deployment.
	replicas, deployment int
	// What the ReplicaSet controller sees: its pods as they were, and the size.
	seen     []fakePod
	seenSize int
	// Which Deployment it has seen, and acted on.
	seenDeployment, acted int
	// What the binder has read, if it is about to write.
	read *bound
	// unreadable is a store that does not answer.
	unreadable bool
	fault      string
	want       int
	// asks says that somebody else writes the size: asked is what he is told when he asks, and told what he was told and has not
	// written yet. Both are negative where there is none.
	asks        bool
	asked, told int
}

type bound struct{ ledger, limit, replicas int }

func newWorld(n int) *world {
	w := &world{clock: time.Unix(1000, 0), limit: -1, replicas: n, want: n, asked: -1, told: -1}
	w.watchSize()
	w.watchPods()
	w.replicate()

	for range n {
		w.bind()
		w.bind()
	}

	for _, p := range w.pods {
		w.start(p)
	}

	return w
}

func (w *world) blame(format string, args ...any) {
	if w.fault == "" {
		w.fault = fmt.Sprintf(format, args...)
	}
}

func (w *world) pod(name string) *fakePod {
	i := slices.IndexFunc(w.pods, func(p *fakePod) bool { return p.name == name })
	if i < 0 {
		return nil
	}

	return w.pods[i]
}

// watchSize and watchPods have the ReplicaSet controller's caches catch up, each by itself.
func (w *world) watchSize() { w.seenSize, w.seenDeployment = w.replicas, w.deployment }

func (w *world) watchPods() {
	w.seen = nil
	for _, p := range w.pods {
		w.seen = append(w.seen, *p)
	}
}

// replicate is one turn of the ReplicaSet controller, by what it sees. After it has made or deleted a pod it waits until it sees
// that, as it does by its expectations.
func (w *world) replicate() {
	w.acted = w.seenDeployment

	var mine []fakePod

	for _, p := range w.seen {
		switch is := w.pod(p.name); {
		case p.owned && !p.matches && is != nil:
			is.owned = false
			is.version++
		case p.owned && !p.terminating:
			mine = append(mine, p)
		}
	}

	slices.SortStableFunc(mine, func(a, b fakePod) int { return rank(a) - rank(b) })

	for ; len(mine) > w.seenSize; mine = mine[1:] {
		if is := w.pod(mine[0].name); is != nil && !is.terminating {
			w.end(is, "the ReplicaSet")
		}
	}

	for n := len(mine); n < w.seenSize; n++ {
		w.made++
		w.pods = append(w.pods, &fakePod{name: fmt.Sprint("pod-", w.made), slot: -1, created: w.clock, matches: true, owned: true})
	}

	w.watchPods()
}

// rank is the order in which a ReplicaSet deletes: what is not assigned to a node, what is not ready. Who comes next among the ready
// is left to the order they are in.
func rank(p fakePod) int {
	switch {
	case p.slot < 0:
		return 0
	case !p.started:
		return 1
	case p.obeyed != "":
		return 2
	default:
		return 3
	}
}

// end begins a pod's deletion, gracefully.
func (w *world) end(p *fakePod, by string) {
	if p.started && (p.tasks > 0 || p.state != p.stored) {
		w.blame("%s deletes %s with %d tasks and state %d, of which %d is saved", by, p.name, p.tasks, p.state, p.stored)
	}

	p.terminating = true
	p.version++

	if !p.started {
		w.gone(p)
	}
}

func (w *world) gone(p *fakePod) {
	w.pods = slices.DeleteFunc(w.pods, func(q *fakePod) bool { return q == p })
}

// ask and write are the two calls of who writes the size in the provider's place: he asks which, and writes it a while later.
func (w *world) ask() {
	if w.asks && w.told < 0 {
		w.told = w.asked
	}
}

func (w *world) write() {
	if w.told >= 0 && w.told != w.replicas {
		w.replicas = w.told
		w.deployment++
	}

	w.told = -1
}

// policy is that of a provider that begins now.
func (w *world) policy() Policy {
	p := policy(w.want)
	p.Asks = w.asks

	for _, n := range []int{w.asked, w.told} {
		if n >= 0 {
			p.Asked = append(p.Asked, n)
		}
	}

	return p
}

// bind is one of the two calls of the binder: it reads, and writes what follows from that if the ledger is still the same.
func (w *world) bind() {
	if w.read == nil {
		w.read = &bound{ledger: w.ledger, limit: w.limit, replicas: w.replicas}

		return
	}

	r := *w.read
	w.read = nil

	room := r.replicas
	if r.limit >= 0 {
		room = min(room, r.limit)
	}

	i := slices.IndexFunc(w.pods, func(p *fakePod) bool { return p.slot < 0 && !p.terminating })
	claims := slices.DeleteFunc(slices.Clone(w.claims), func(name string) bool { return w.pod(name) == nil })

	if r.ledger != w.ledger || i < 0 || len(claims) >= room {
		return
	}

	taken := map[int]bool{}
	for _, c := range claims {
		taken[w.pod(c).slot] = true
	}

	p := w.pods[i]
	for p.slot = 0; taken[p.slot]; p.slot++ {
	}

	p.version++
	claims = append(claims, p.name)
	w.claims = claims
	w.ledger++
}

// start starts the agent of a worker that has a slot. That takes longer than caches lag.
func (w *world) start(p *fakePod) {
	if p.slot >= 0 && !p.started {
		w.watchSize()
		w.watchPods()

		p.started = true
		p.version++
		// Its monitor reads what it is told before it can be asked anything.
		p.obeyed = p.drain
	}
}

// obey has a monitor hear of its annotations and act on them: it drains when its agent is idle, and saves.
func (w *world) obey(p *fakePod) {
	if !p.started {
		return
	}

	if p.obeyed != p.drain {
		p.obeyed, p.drained = p.drain, false
	}

	if p.obeyed != "" && p.tasks == 0 && !p.drained && !w.unreadable {
		p.drained, p.savedAs, p.stored = true, p.obeyed, p.state
	}
}

// settled says whether the pool is what is wanted, with nothing left over.
func (w *world) settled() error {
	if w.replicas != w.want || len(w.pods) != w.want {
		return fmt.Errorf("%d replicas and %d pods, want %d", w.replicas, len(w.pods), w.want)
	}

	for _, p := range w.pods {
		if p.slot < 0 || !p.started || p.drain != "" || !p.matches || p.terminating || p.obeyed != "" {
			return fmt.Errorf("%+v is left", *p)
		}
	}

	return nil
}

// What becomes of a call: it is made and answered, made without an answer, or the provider dies before it.
type fate int

const (
	answered fate = iota
	unanswered
	dead
)

var (
	errDead       = errors.New("the provider is dead")
	errUnanswered = errors.New("no answer")
)

// A worldCluster is one provider's way to the world. Each call waits for its turn.
type worldCluster struct {
	w     *world
	ready chan struct{}
	turn  chan fate
}

func (c *worldCluster) do(call func() error) error {
	c.ready <- struct{}{}

	f := <-c.turn
	if f == dead {
		return errDead
	}

	if err := call(); err != nil || f == answered {
		return err
	}

	return errUnanswered
}

func (c *worldCluster) View(context.Context) (v View, err error) {
	err = c.do(func() error {
		v.Ledger, v.Cap, v.Claims = fmt.Sprint(c.w.ledger), c.w.limit, slices.Clone(c.w.claims)

		return nil
	})
	if err != nil {
		return v, err
	}

	if err := c.do(func() error {
		v.Deployment, v.Replicas, v.Acted = fmt.Sprint(c.w.deployment), c.w.replicas, c.w.acted == c.w.deployment

		return nil
	}); err != nil {
		return v, err
	}

	if err := c.do(func() error {
		for _, p := range c.w.pods {
			if p.matches && !p.terminating {
				v.Pods++
			}
		}

		for _, name := range v.Claims {
			if p := c.w.pod(name); p != nil {
				v.Workers = append(v.Workers, Worker{
					Name: p.name, UID: p.name, Version: fmt.Sprint(p.version), Slot: p.slot, Created: p.created, Drain: p.drain, Until: p.until,
					Refused: p.refused, Detached: !p.matches, Owned: p.owned, Terminating: p.terminating,
					Stateful: true, Unstarted: !p.started,
				})
			}
		}

		return nil
	}); err != nil {
		return v, err
	}

	return v, c.do(func() error {
		for i := range v.Workers {
			if p := c.w.pod(v.Workers[i].Name); p != nil && p.started {
				v.Workers[i].Report = &Report{
					Ready: p.obeyed == "", Drain: p.obeyed, Drained: p.drained, Saved: p.savedAs, Known: true, InFlight: int64(p.tasks),
				}
			}
		}

		return nil
	})
}

// change changes a pod that is still what it was.
func (c *worldCluster) change(w Worker, f func(*fakePod)) error {
	return c.do(func() error {
		p := c.w.pod(w.Name)
		if p == nil || fmt.Sprint(p.version) != w.Version {
			return ErrConflict
		}

		f(p)
		p.version++

		return nil
	})
}

func (c *worldCluster) Drain(_ context.Context, w Worker, id string, until time.Time) error {
	return c.change(w, func(p *fakePod) { p.drain, p.until = id, until })
}

func (c *worldCluster) Withdraw(_ context.Context, w Worker, refused time.Time) error {
	return c.change(w, func(p *fakePod) { p.drain, p.refused = "", refused })
}

func (c *worldCluster) Verify(_ context.Context, w Worker, _ bool) (at string, err error) {
	return w.Drain, c.do(func() error {
		p := c.w.pod(w.Name)
		if c.w.unreadable || p == nil || p.savedAs != w.Drain {
			return errors.New("it is not there")
		}

		return nil
	})
}

func (c *worldCluster) Detach(_ context.Context, w Worker, checkpoint string) error {
	return c.change(w, func(p *fakePod) { p.matches, p.proof = false, checkpoint })
}

func (c *worldCluster) Cap(_ context.Context, v View, n int) error {
	return c.do(func() error {
		if fmt.Sprint(c.w.ledger) != v.Ledger {
			return ErrConflict
		}

		c.w.limit = n
		c.w.ledger++

		return nil
	})
}

func (c *worldCluster) Resize(_ context.Context, v View, n int) error {
	return c.do(func() error {
		if fmt.Sprint(c.w.deployment) != v.Deployment {
			return ErrConflict
		}

		c.w.replicas = n
		c.w.deployment++

		return nil
	})
}

func (c *worldCluster) Delete(_ context.Context, w Worker) error {
	return c.do(func() error {
		if p := c.w.pod(w.Name); p != nil && !p.terminating {
			c.w.end(p, "the protocol")
		}

		return nil
	})
}

// A provider at work, or at rest when cluster is nil.
type provider struct {
	cluster *worldCluster
	done    chan Result
}

func (r *provider) start(w *world, p Policy) {
	r.cluster = &worldCluster{w: w, ready: make(chan struct{}), turn: make(chan fate)}
	r.done = make(chan Result, 1)

	go func(c *worldCluster, done chan Result) {
		res, _ := Advance(context.Background(), c, func() time.Time { return w.clock }, p)
		done <- res
	}(r.cluster, r.done)

	r.settle()
}

// settle waits until the provider wants to make its next call, or has ended.
func (r *provider) settle() {
	select {
	case <-r.cluster.ready:
	case res := <-r.done:
		if res.Ask >= 0 {
			r.cluster.w.asked = res.Ask
		}

		r.cluster = nil
	}
}

func (r *provider) step(f fate) {
	r.cluster.turn <- f
	r.settle()
}

func (r *provider) finish(f fate) {
	for r.cluster != nil {
		r.step(f)
	}
}
