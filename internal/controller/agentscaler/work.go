package agentscaler

import (
	"cmp"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/worker"
)

const (
	// atOnce is how many workers of a pool drain at a time.
	atOnce = 10
	// defaultDrainTimeout is how long a worker may take to drain where nobody says so: long enough for most tasks.
	defaultDrainTimeout = 10 * time.Minute
	// rest is how long a worker is left alone that did not drain in time.
	rest = 5 * time.Minute

	// soon is when a pool is looked at again that was just changed, and later when nothing has come of that for a while.
	soon  = 500 * time.Millisecond
	later = 5 * time.Second
	// jitter is by which part the time between two polls is lengthened at most, so that they do not all come at once.
	jitter = 0.1
	// settledPolls is how many polls a pool is left alone that is as it should be: of its Deployment a watch tells, of its load the meter,
	// and each look writes a status.
	settledPolls = 5
	// patient is how many looks in vain make a while.
	patient = 60
)

// The reasons of the events that tell what becomes of workers.
const (
	eventDrains    event.Reason = "WorkerDrains"
	eventServes    event.Reason = "WorkerServesAgain"
	eventRefused   event.Reason = "WorkerNotDrained"
	eventHandsOver event.Reason = "WorkerHandsOver"
	eventForced    event.Reason = "WorkerForced"
	eventRemoved   event.Reason = "WorkerRemoved"
)

// policyOf returns how carefully a scaler removes workers.
func policyOf(p v1alpha1.AgentScalerParameters, want int32) worker.Policy {
	out := worker.Policy{Want: int(want), AtOnce: atOnce, DrainTimeout: defaultDrainTimeout, Rest: rest, Abrupt: p.Suspend}

	if d := p.ScaleDown; d != nil {
		if d.DrainTimeoutSeconds != nil {
			out.DrainTimeout = time.Duration(*d.DrainTimeoutSeconds) * time.Second
		}

		out.Force = d.OnDrainTimeout == v1alpha1.DrainTimeoutForce
	}

	return out
}

// A job is how far a pool is brought to its size.
type job struct {
	// want is the size to which it was brought, if settled.
	want    int32
	settled bool
	// vain is how many looks in a row changed nothing.
	vain int
}

// work remembers which pools have been brought to their size, so that they are not looked at again until something happens. It is
// of no use to safety and may be lost: a pool that is not known is looked at once.
type work struct {
	mu   sync.Mutex
	jobs map[types.UID]job
}

func newWork() *work { return &work{jobs: map[types.UID]job{}} }

func (w *work) settled(mg *v1alpha1.AgentScaler, want int32) bool {
	w.mu.Lock()
	defer w.mu.Unlock()

	j := w.jobs[mg.GetUID()]

	return j.settled && j.want == want
}

func (w *work) advanced(mg *v1alpha1.AgentScaler, want int32, r worker.Result) {
	w.mu.Lock()
	defer w.mu.Unlock()

	j := w.jobs[mg.GetUID()]
	j.want, j.settled, j.vain = want, r.Quiet() && r.View.Replicas == int(want), j.vain+1

	if len(r.Done) > 0 {
		j.vain = 0
	}

	w.jobs[mg.GetUID()] = j
}

// released is the size to which a pool is brought that is left to others: there is none.
const released = -1

// done says that a pool is as it should be.
func (w *work) done(mg *v1alpha1.AgentScaler, want int32) {
	w.mu.Lock()
	defer w.mu.Unlock()

	w.jobs[mg.GetUID()] = job{want: want, settled: true}
}

// failed says that a pool has to be looked at again.
func (w *work) failed(mg *v1alpha1.AgentScaler) {
	w.mu.Lock()
	defer w.mu.Unlock()

	delete(w.jobs, mg.GetUID())
}

// forget says that there is no such pool any longer.
func (w *work) forget(mg *v1alpha1.AgentScaler) { w.failed(mg) }

// again returns when a pool is looked at again.
func (w *work) again(mg resource.Managed, poll time.Duration) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()

	switch j, known := w.jobs[mg.GetUID()]; {
	case !known:
		return wait.Jitter(poll, jitter)
	case j.settled:
		return wait.Jitter(settledPolls*poll, jitter)
	case j.vain > patient:
		return min(later, poll)
	default:
		return min(soon, poll)
	}
}

// tell says what became of workers.
func (e *external) tell(mg *v1alpha1.AgentScaler, r worker.Result) {
	for _, s := range r.Done {
		reason, normal := eventDrains, true

		switch {
		case s.Act == worker.Withdraw && s.Refused:
			reason, normal = eventRefused, false
		case s.Act == worker.Withdraw:
			reason = eventServes
		case s.Act == worker.Detach && s.Forced:
			reason, normal = eventForced, false
		case s.Act == worker.Detach:
			reason = eventHandsOver
		case s.Act == worker.Delete:
			reason = eventRemoved
		case s.Act != worker.Drain:
			e.log.Debug("Resizes", "namespace", mg.GetNamespace(), "scaler", mg.GetName(), "step", s.Act, "size", s.Size, "why", s.Why)

			continue
		}

		e.metrics.workers.WithLabelValues(string(reason)).Inc()
		e.log.Info("Removes", "namespace", mg.GetNamespace(), "scaler", mg.GetName(), "step", reason, "worker", s.Worker.Name, "slot", s.Worker.Slot, "checkpoint", cmp.Or(s.Checkpoint, "none"), "why", s.Why)

		ev := event.Normal(reason, s.Why)
		if !normal {
			ev.Type = event.TypeWarning
		}

		e.record.Event(mg, ev)
	}
}
