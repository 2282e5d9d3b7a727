package monitor

import (
	"sync"
	"time"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A Worker is what its monitor knows of it. Its methods may be called by many goroutines at once.
//
// A drain begins when the annotation commands it or when the pod is being deleted. The first can be withdrawn; the second
// cannot. In this form the monitor does not see the agent's tasks, so drained means that new requests have had the time
// to go elsewhere; finishing what it has begun is the agent's part, upon SIGTERM.
type Worker struct {
	identity monitorapi.Status
	grace    time.Duration
	now      func() time.Time

	mu       sync.Mutex
	slot     string
	epoch    string
	drainID  string
	deleting bool
	// since is when the present drain began; zero when there is none.
	since time.Time
}

// NewWorker returns an active worker. A drain of it takes the grace period.
func NewWorker(identity monitorapi.Status, grace time.Duration, now func() time.Time) *Worker {
	identity.Version = monitorapi.StatusVersion
	identity.StartedAt = now().UTC().Truncate(time.Second)

	return &Worker{identity: identity, grace: grace, now: now}
}

// Obey takes over what the pod's annotations say.
func (w *Worker) Obey(annotations map[string]string) {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.slot, w.epoch = annotations[monitorapi.AnnotationSlot], annotations[monitorapi.AnnotationEpoch]
	w.drainID = annotations[monitorapi.AnnotationDrain]
	w.update()
}

// Delete begins the drain of a worker whose pod is being deleted.
func (w *Worker) Delete() {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.deleting = true
	w.update()
}

func (w *Worker) update() {
	switch draining := w.deleting || w.drainID != ""; {
	case draining && w.since.IsZero():
		w.since = w.now()
	case !draining:
		w.since = time.Time{}
	}
}

// Draining says whether the worker takes no new tasks.
func (w *Worker) Draining() bool { return w.Status().State != monitorapi.StateActive }

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

	s := w.identity
	s.Slot, s.Epoch, s.DrainID = w.slot, w.epoch, w.drainID
	s.State, s.Ready = monitorapi.StateActive, true
	s.Tasks = monitorapi.Tasks{UnknownSince: &s.StartedAt}

	if w.since.IsZero() {
		return s
	}

	s.State, s.Ready, s.Reason = monitorapi.StateDraining, false, "the worker was told to drain"
	if w.deleting {
		s.Reason = "the worker is being deleted"
	}

	if !w.now().Before(w.since.Add(w.grace)) {
		s.State = monitorapi.StateDrained
	}

	return s
}
