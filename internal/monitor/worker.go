package monitor

import (
	"fmt"
	"sync"
	"time"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A Worker is what its monitor knows of it. Its methods may be called by many goroutines at once.
//
// A drain begins when the annotation commands it or when the agent's preStop hook asks whether it is over. It is over when
// new requests have had the time to go elsewhere and none of the agent's tasks is in flight. Of an agent whose tasks nobody
// observes only the first is known; finishing what it has begun is then its own part, upon SIGTERM.
type Worker struct {
	identity monitorapi.Status
	times    Times
	senses   Senses
	now      func() time.Time

	mu      sync.Mutex
	slot    string
	epoch   string
	restore string
	drainID string
	// hooks is the number of preStop hooks that wait; endedAt is when the last of them ended.
	hooks   int
	endedAt time.Time
	// since is when the present drain began; zero when there is none.
	since time.Time
	// idle is since when nothing has been in flight in it, or nobody waits for that any more; zero while something is.
	idle time.Time
	// drained says that it is over, and stays so until it is withdrawn: a worker that has handed over takes nothing back.
	drained bool
	// held is why it is not over, or why it was over with tasks in flight, and late says that it was.
	held string
	late bool
}

// Times of a worker's drain.
type Times struct {
	// Grace is the time that new requests get to go elsewhere.
	Grace time.Duration
	// Timeout is when the drain is over whatever is in flight.
	Timeout time.Duration
	// Lapse is the time after which a worker serves again whose agent was restarted.
	Lapse time.Duration
}

// Senses are what a worker learns of its agent. A nil one tells nothing.
type Senses struct {
	// Tasks returns the agent's load and when that was read.
	Tasks func() (monitorapi.Tasks, time.Time)
	// Open returns the number of requests with a task that are open at the inbound proxy.
	Open func() int64
	// Ended returns when the last of them ended; the zero time where there was none.
	Ended func() time.Time
	// Tokens returns what the model server billed, and Budget the worker's share.
	Tokens func() monitorapi.Tokens
	Budget func() *monitorapi.Budget
	// Share takes over the worker's share of the budget, as its annotation says it. One that cannot be read changes nothing.
	Share func(annotation string) error
	// Checkpoint returns what is known of the checkpoints. Saved says whether the state has been saved for a drain since a time,
	// why not if not, and sees to it that it is. Withdraw says that no drain goes on any more.
	Checkpoint func() monitorapi.Checkpoint
	Saved      func(drain string, since time.Time) (saved bool, why string)
	Withdraw   func()
	// Save has the state saved at once, for a request that has a name.
	Save func(request string)
}

// NewWorker returns an active worker.
//
// The kubelet calls the preStop hook when the pod is being deleted, but also before it restarts an agent that failed its
// liveness probe, and it does not say which. So a drain begun by the hook lapses some time after the hook ended: after a
// restart the worker serves again, and in a pod that is being deleted nobody looks at its readiness any more.
func NewWorker(identity monitorapi.Status, times Times, now func() time.Time) *Worker {
	identity.Version = monitorapi.StatusVersion
	identity.StartedAt = now().UTC().Truncate(time.Second)

	return &Worker{identity: identity, times: times, now: now}
}

// Sense gives the worker its senses, before anybody else has it.
func (w *Worker) Sense(s Senses) { w.senses = s }

// Obey takes over what the pod's annotations say, and returns whether that changed anything.
func (w *Worker) Obey(annotations map[string]string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()

	before := [...]string{w.slot, w.epoch, w.restore, w.drainID}
	if id := annotations[monitorapi.AnnotationDrain]; id != "" && id != w.drainID {
		// Another drain has a time of its own, and is not over because the last one was, nor because a preStop hook's was.
		w.end()
	}

	w.slot, w.epoch = annotations[monitorapi.AnnotationSlot], annotations[monitorapi.AnnotationEpoch]
	w.restore, w.drainID = annotations[monitorapi.AnnotationRestore], annotations[monitorapi.AnnotationDrain]
	w.update()

	if w.senses.Share != nil {
		// Status tells the share that is kept, which is how who wrote the annotation sees it.
		_ = w.senses.Share(annotations[monitorapi.AnnotationTokenShare])
	}

	if request := annotations[monitorapi.AnnotationCheckpointNow]; request != "" && w.senses.Save != nil {
		w.senses.Save(request)
	}

	return before != [...]string{w.slot, w.epoch, w.restore, w.drainID}
}

// Stop begins the drain of a worker whose agent is about to be told to end. The caller calls done when its hook has ended.
func (w *Worker) Stop() (done func()) {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.hooks++
	w.update()

	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()

		w.hooks--
		w.endedAt = w.now()
	}
}

// stopping says whether the agent is about to end, as far as anybody can know.
func (w *Worker) stopping() bool {
	return w.hooks > 0 || !w.endedAt.IsZero() && w.now().Before(w.endedAt.Add(w.times.Lapse))
}

func (w *Worker) update() {
	switch draining := w.drainID != "" || w.stopping(); {
	case draining && w.since.IsZero():
		w.since = w.now()
	case !draining && !w.since.IsZero():
		w.end()
	}

	if !w.since.IsZero() && !w.drained {
		w.drained = w.over()
	}
}

// end ends the present drain, if there is one, and what is known of it.
func (w *Worker) end() {
	if !w.since.IsZero() && w.senses.Withdraw != nil {
		w.senses.Withdraw()
	}

	w.since, w.idle, w.drained, w.held, w.late = time.Time{}, time.Time{}, false, "", false
}

// over says whether the present drain is over, and keeps why not.
func (w *Worker) over() bool {
	// What was read earlier may not have seen the last task that came in.
	quiet := w.since.Add(w.times.Grace)
	if w.now().Before(quiet) {
		return false
	}

	w.held = w.inFlight(quiet)
	if w.held != "" {
		if w.now().Before(w.since.Add(w.times.Timeout)) {
			w.idle = time.Time{}

			return false
		}

		w.held, w.late = "its time was over, and "+w.held, true
	}

	return w.handedOver()
}

// handedOver says whether the state of a worker that is idle is where its successor finds it.
func (w *Worker) handedOver() bool {
	if w.idle.IsZero() {
		w.idle = w.now()
	}

	if w.senses.Saved == nil {
		return true
	}

	saved, why := w.senses.Saved(w.drainID, w.idle)
	if !saved {
		w.held = why
	}

	return saved
}

// fenced says whether another worker owns the slot. Such a worker takes nothing on, because nothing of it would be kept.
func (w *Worker) fenced() bool {
	return w.senses.Checkpoint != nil && w.senses.Checkpoint().Fenced
}

// inFlight says what the agent still works on, as far as was read since a time; nothing where it is idle. No data is not
// zero: an agent whose load is not known is taken to be at work.
func (w *Worker) inFlight(since time.Time) string {
	if w.senses.Open != nil {
		if n := w.senses.Open(); n > 0 {
			return fmt.Sprintf("%d requests are open", n)
		}
	}

	if w.senses.Tasks == nil {
		return ""
	}

	// A request that was open meanwhile may have begun a task and have been answered after the reading.
	if w.senses.Ended != nil {
		if at := w.senses.Ended(); at.After(since) {
			since = at
		}
	}

	t, at := w.senses.Tasks()

	n := t.InFlight
	if n == nil {
		n = t.QueueDepth
	}

	switch {
	case !t.Known || n == nil:
		return "its load is not known: " + t.Reason
	case *n > 0:
		return fmt.Sprintf("%d tasks are in flight", *n)
	case at.Before(since):
		return "its load was not read yet"
	default:
		return ""
	}
}

// Draining says whether the worker takes no new tasks.
func (w *Worker) Draining() bool {
	_, deadline := w.Drain()

	return !deadline.IsZero() || w.fenced()
}

// Drain returns the id of the drain that was commanded, and when the present drain is over whatever is in flight. The time
// is zero when there is no drain.
func (w *Worker) Drain() (id string, deadline time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()

	if w.update(); w.since.IsZero() {
		return "", time.Time{}
	}

	return w.drainID, w.since.Add(w.times.Timeout)
}

// Status returns what is known of the worker.
func (w *Worker) Status() monitorapi.Status {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.update()

	s := w.identity
	s.Slot, s.Epoch, s.Restore, s.DrainID = w.slot, w.epoch, w.restore, w.drainID
	s.State, s.Ready = monitorapi.StateActive, true
	w.sense(&s)

	if w.since.IsZero() {
		return s
	}

	s.State, s.Ready, s.Reason = monitorapi.StateDraining, false, "the worker was told to drain"
	if w.stopping() {
		s.Reason = "the agent is about to be ended"
	}

	if w.drained {
		s.State, s.Late = monitorapi.StateDrained, w.late
	}

	if w.held != "" {
		s.Reason += ": " + w.held
	}

	return s
}

func (w *Worker) sense(s *monitorapi.Status) {
	s.Tasks = monitorapi.Tasks{UnknownSince: &s.StartedAt}
	if w.senses.Tasks != nil {
		s.Tasks, _ = w.senses.Tasks()
	}

	if w.senses.Tokens != nil {
		t := w.senses.Tokens()
		s.Tokens = &t
	}

	if w.senses.Budget != nil {
		s.Budget = w.senses.Budget()
	}

	if w.senses.Checkpoint != nil {
		c := w.senses.Checkpoint()
		s.Checkpoint = &c

		if c.Fenced {
			s.Ready, s.Reason = false, "another worker owns slot "+s.Slot
		}
	}
}
