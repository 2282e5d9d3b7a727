package inbound

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// mostTasks bounds the tasks that are kept, and longestName each word of one: 4 MiB at the very most, and a tenth of that
	// with the names that agents give. A worker with more at once has another trouble than its count.
	mostTasks   = 4096
	longestName = 256
	// askAfter is how long a task may be silent before its agent is asked for it: an agent that pushes to its clients, or
	// whose client has gone, tells nothing by itself. One that does not work on it is asked sooner, because a drain may end
	// on that. At once it is asked for no more than mostAsked.
	askAfter     = 5 * time.Second
	askIdleAfter = 500 * time.Millisecond
	mostAsked    = 16
	// blindness is how long the count is unknown once a task may have begun that nobody can name. No data is not zero; but
	// a worker whose count is never known again could never be drained in time.
	blindness = time.Hour
	// lookEvery is how often it is looked whether the agent has ended. One that is restarted is away for longer.
	lookEvery = 250 * time.Millisecond
)

// A Tally counts the tasks of an A2A agent that cannot list them, by what it tells its clients of them. It keeps those that
// have not ended. What began without a word to a client, such as a task that an agent takes up from its disk, it counts from
// when somebody asks for it. Its methods may be called by many at once.
type Tally struct {
	target *url.URL
	client *http.Client
	now    func() time.Time

	// room is what answers may take that are read.
	room *room

	mu    sync.Mutex
	tasks map[string]*task
	// unnamed is the number of open messages whose task the agent has not named yet.
	unnamed int64
	// blind is until when the count is unknown, and why.
	blind time.Time
	why   string
}

// A task that has not ended, as it was last heard of.
type task struct {
	state state
	// by is the open message that the task is taken to be worked on for, of which the agent has said nothing yet. before is
	// what the task was before there was one, and ended where it was not known.
	by     *listener
	before state
	// heard is when the agent last told of it, and asked when it was last asked for it.
	heard, asked time.Time
	from         origin
}

// due says since when the agent should have been asked for a task.
func (k *task) due() time.Time {
	after := askIdleAfter
	if k.state == working {
		after = askAfter
	}

	if k.asked.After(k.heard) {
		return k.asked.Add(after)
	}

	return k.heard.Add(after)
}

// A state of a task, as far as it matters to a worker.
type state int

const (
	ended state = iota
	submitted
	working
	waiting
)

// states are those of tasks, as A2A 0.3 writes them, by HTTP with one l more. A state that is not here is one that the task has not ended in.
var states = map[string]state{
	"submitted": submitted, "input-required": waiting, "auth-required": waiting,
	"completed": ended, "failed": ended, "canceled": ended, "cancelled": ended, "rejected": ended,
}

// readState reads a state as A2A 1.0 or 0.3 writes it.
func readState(s string) state {
	if st, ok := states[strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(s, "TASK_STATE_")), "_", "-")]; ok {
		return st
	}

	return working
}

// newTally returns a tally that is blind until the agent was seen not to run, such as now: of what an agent does that ran
// before its monitor nobody has told it.
func newTally(target *url.URL, transport http.RoundTripper, r *room, now func() time.Time) *Tally {
	t := &Tally{
		target: target, now: now, room: r, tasks: map[string]*task{},
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	t.lose("the agent ran before its monitor")

	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()

	t.look(ctx)

	return t
}

// hear takes in what the agent says of a task.
func (t *Tally) hear(id string, s state, from origin) {
	t.mu.Lock()
	defer t.mu.Unlock()

	t.take(id, s, from)
}

// take is hear, with the lock held.
func (t *Tally) take(id string, s state, from origin) {
	switch known := t.tasks[id]; {
	case s == ended:
		delete(t.tasks, id)
	case known != nil:
		known.state, known.heard, known.by = s, t.now(), nil
	case len(t.tasks) == mostTasks:
		t.lose("it has more tasks than can be kept")
	case len(id) > longestName || from.long():
		t.lose("its tasks have names that are too long to be kept")
	default:
		// Its own copy: the other is a part of a whole answer.
		t.tasks[strings.Clone(id)] = &task{state: s, heard: t.now(), from: from}
	}
}

// assume takes a task to be worked on, until something else is heard, because a message goes on with it.
func (t *Tally) assume(l *listener) {
	t.mu.Lock()
	defer t.mu.Unlock()

	before := ended
	if k := t.tasks[l.kind.on]; k != nil {
		before = k.state
		if k.by != nil {
			before = k.before
		}
	}

	t.take(l.kind.on, working, l.kind.from)

	if k := t.tasks[l.kind.on]; k != nil {
		k.by, k.before = l, before
	}
}

// settle ends what was assumed for a message: it was so, or the agent refused it and the task is what it was. Whoever is a
// stranger to the agent can name tasks at will.
func (t *Tally) settle(l *listener) {
	t.mu.Lock()
	defer t.mu.Unlock()

	k := t.tasks[l.kind.on]

	switch {
	case k == nil || k.by == nil:
	case !l.refused:
		k.by = nil
	case k.by == l && k.before == ended:
		delete(t.tasks, l.kind.on)
	case k.by == l:
		k.state, k.by = k.before, nil
	}
}

// lose says that a task may have begun that is not counted. The caller holds the lock, or nobody else has the tally yet.
func (t *Tally) lose(why string) { t.blind, t.why = t.now().Add(blindness), why }

// Count returns the number of unfinished tasks, of those the agent works on, and of those that wait for their client. It asks
// the agent for those that nothing was heard of for a while; one that waited for the agent then, and of which it does not
// tell now, it may have begun to work on. An error means that the count is not known.
func (t *Tally) Count(ctx context.Context) (unfinished, inFlight, waits int64, err error) {
	began := t.now()

	for id, from := range t.silent() {
		t.ask(ctx, id, from)
	}

	t.mu.Lock()
	defer t.mu.Unlock()

	if t.now().Before(t.blind) {
		return 0, 0, 0, errors.New("the inbound proxy may not have seen all of its tasks: " + t.why)
	}

	inFlight = t.unnamed

	for _, k := range t.tasks {
		switch {
		case k.state == waiting:
			waits++
		case k.state == submitted && !k.heard.Before(began.Add(-askIdleAfter)):
			unfinished++
		default:
			inFlight++
		}
	}

	return unfinished + inFlight, inFlight, waits, nil
}

// Run looks whether the agent has ended, as long as the count is unknown and the context is not done: with the agent those
// tasks have ended that nobody can name.
func (t *Tally) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()

	for {
		t.look(ctx)

		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (t *Tally) look(ctx context.Context) {
	t.mu.Lock()
	blind := t.now().Before(t.blind)
	t.mu.Unlock()

	if !blind || !t.down(ctx) {
		return
	}

	t.mu.Lock()
	defer t.mu.Unlock()

	t.blind = time.Time{}
}

// down says whether nobody listens at the agent's address: what it worked on has ended with it.
func (t *Tally) down(ctx context.Context) bool {
	c, err := (&net.Dialer{Timeout: dialTimeout}).DialContext(ctx, "tcp", t.target.Host)
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED)
	}

	_ = c.Close() // Nothing was said.

	return false
}

// silent returns the tasks to ask for, those first that are due for the longest.
func (t *Tally) silent() map[string]origin {
	t.mu.Lock()
	defer t.mu.Unlock()

	var ids []string

	for id, k := range t.tasks {
		if !t.now().Before(k.due()) {
			ids = append(ids, id)
		}
	}

	slices.SortFunc(ids, func(a, b string) int { return t.tasks[a].due().Compare(t.tasks[b].due()) })

	out := map[string]origin{}

	for _, id := range ids[:min(len(ids), mostAsked)] {
		t.tasks[id].asked = t.now()
		out[id] = t.tasks[id].from
	}

	return out
}
