package monitor

import (
	"sync"
	"time"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A Worker is what its monitor knows of it. Its methods may be called by many goroutines at once.
//
// A drain begins when the annotation commands it or when the agent's preStop hook asks whether it is over. In this form the
// monitor does not see the agent's tasks, so drained means that new requests have had the time to go elsewhere; finishing
// what it has begun is the agent's part, upon SIGTERM.
type Worker struct {
	identity monitorapi.Status
	grace    time.Duration
	lapse    time.Duration
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
}

// NewWorker returns an active worker. A drain of it takes the grace period.
//
// The kubelet calls the preStop hook when the pod is being deleted, but also before it restarts an agent that failed its
// liveness probe, and it does not say which. So a drain begun by the hook lapses some time after the hook ended: after a
// restart the worker serves again, and in a pod that is being deleted nobody looks at its readiness any more.
func NewWorker(identity monitorapi.Status, grace, lapse time.Duration, now func() time.Time) *Worker {
	identity.Version = monitorapi.StatusVersion
	identity.StartedAt = now().UTC().Truncate(time.Second)

	return &Worker{identity: identity, grace: grace, lapse: lapse, now: now}
}

// Obey takes over what the pod's annotations say, and returns whether that changed anything.
func (w *Worker) Obey(annotations map[string]string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()

	before := [...]string{w.slot, w.epoch, w.restore, w.drainID}
	w.slot, w.epoch = annotations[monitorapi.AnnotationSlot], annotations[monitorapi.AnnotationEpoch]
	w.restore, w.drainID = annotations[monitorapi.AnnotationRestore], annotations[monitorapi.AnnotationDrain]
	w.update()

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
	return w.hooks > 0 || !w.endedAt.IsZero() && w.now().Before(w.endedAt.Add(w.lapse))
}

func (w *Worker) update() {
	switch draining := w.drainID != "" || w.stopping(); {
	case draining && w.since.IsZero():
		w.since = w.now()
	case !draining:
		w.since = time.Time{}
	}
}

// Left returns how long a drain that has begun still takes; 0 when it is done.
func (w *Worker) Left() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()

	return max(0, w.since.Add(w.grace).Sub(w.now()))
}

// Status returns what is known of the worker.
func (w *Worker) Status() monitorapi.Status {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.update()

	s := w.identity
	s.Slot, s.Epoch, s.Restore, s.DrainID = w.slot, w.epoch, w.restore, w.drainID
	s.State, s.Ready = monitorapi.StateActive, true
	s.Tasks = monitorapi.Tasks{UnknownSince: &s.StartedAt}

	if w.since.IsZero() {
		return s
	}

	s.State, s.Ready, s.Reason = monitorapi.StateDraining, false, "the worker was told to drain"
	if w.stopping() {
		s.Reason = "the agent is about to be ended"
	}

	if !w.now().Before(w.since.Add(w.grace)) {
		s.State = monitorapi.StateDrained
	}

	return s
}
