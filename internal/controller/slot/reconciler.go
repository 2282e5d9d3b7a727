package slot

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	xperrors "github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// Event reasons.
const (
	reasonBound     event.Reason = "SlotBound"
	reasonAmbiguous event.Reason = "AmbiguousPool"
)

// ConditionSlot says, on a worker that waits, why it has no slot.
const ConditionSlot corev1.PodConditionType = "southwest.ai/slot"

// The reasons of ConditionSlot, and of the event that says the same.
const (
	conditionNotBound     event.Reason = "SlotNotBound"
	conditionStateMissing event.Reason = "StateMissing"
)

// conflictWait is how soon an attempt is repeated that another binder got in the way of.
const conflictWait = 50 * time.Millisecond

// cappedWait is how soon a pool is looked at again that may give no more slots for now. Of a cap that is raised no event tells.
const cappedWait = 500 * time.Millisecond

// timeout is how long one attempt may take, all of a large pool's workers together.
const timeout = time.Minute

// A Reconciler gathers what the cache knows of a pool and has the binder act on it.
type Reconciler struct {
	cache   client.Reader
	status  client.StatusWriter
	binder  *Binder
	record  event.Recorder
	log     logging.Logger
	metrics *Metrics
	now     func() time.Time

	// told are the workers by pool that were told their slot and that the cache may still show to wait. Without it they
	// would be told, counted and reported again; it is of no use to safety and may be lost.
	told  map[types.NamespacedName]map[string]bool
	tells sync.Mutex
}

// Reconcile the pool whose workers carry the request's name in their dispatcher label.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	p, err := r.gather(ctx, req.NamespacedName)
	if err != nil || p == nil {
		return reconcile.Result{}, err
	}

	bound, err := r.binder.Bind(ctx, *p)
	r.remember(p, bound)
	r.report(p, bound)

	if errors.Is(err, ErrConflict) || errors.Is(err, ErrVoid) {
		r.metrics.conflicts.Inc()

		return reconcile.Result{RequeueAfter: conflictWait}, nil
	}

	if errors.Is(err, ErrCapped) {
		return reconcile.Result{RequeueAfter: cappedWait}, nil
	}

	if err != nil {
		return reconcile.Result{}, errors.Join(err, r.explain(ctx, p, bound, err))
	}

	// A slot that is lost with its node is free when time has passed, of which no event tells.
	if p.Checkpoint != "" && len(bound) < len(p.Waiting) {
		return reconcile.Result{RequeueAfter: adoptAfter / 2}, nil
	}

	return reconcile.Result{}, nil
}

// explain says on the workers that wait why they do.
func (r *Reconciler) explain(ctx context.Context, p *Pool, bound []Claim, why error) error {
	reason := conditionNotBound

	var missing *LostError
	if errors.As(why, &missing) {
		reason, why = conditionStateMissing, missing
	}

	var errs []error

	for _, w := range p.Waiting {
		if slices.ContainsFunc(bound, func(c Claim) bool { return c.UID == w.UID }) {
			continue
		}

		pod := &corev1.Pod{}
		if err := r.cache.Get(ctx, types.NamespacedName{Namespace: p.Namespace, Name: w.Name}, pod); err != nil || string(pod.UID) != w.UID {
			continue // It has gone meanwhile.
		}

		c := corev1.PodCondition{
			Type: ConditionSlot, Status: corev1.ConditionFalse, Reason: string(reason), Message: why.Error(),
			LastTransitionTime: metav1.NewTime(r.now()),
		}
		if slices.ContainsFunc(pod.Status.Conditions, func(is corev1.PodCondition) bool {
			return is.Type == c.Type && is.Reason == c.Reason && is.Message == c.Message
		}) {
			continue
		}

		patch := client.StrategicMergeFrom(pod.DeepCopy())
		pod.Status.Conditions = append(slices.DeleteFunc(slices.Clone(pod.Status.Conditions), func(is corev1.PodCondition) bool { return is.Type == c.Type }), c)
		errs = append(errs, client.IgnoreNotFound(r.status.Patch(ctx, pod, patch)))

		r.record.Event(pod, event.Warning(reason, why))
	}

	return errors.Join(errs...)
}

// gather returns the pool, or nil when there is nothing to do or nobody to do it for yet; then an event will tell.
func (r *Reconciler) gather(ctx context.Context, key types.NamespacedName) (*Pool, error) {
	p := &Pool{Namespace: key.Namespace, Dispatcher: key.Name, Alive: map[string]bool{}}

	if err := r.gatherPods(ctx, p); err != nil || len(p.Waiting) == 0 {
		return nil, err
	}

	l := &appsv1.DeploymentList{}
	if err := r.cache.List(ctx, l, client.InNamespace(p.Namespace), client.MatchingLabels{monitorapi.LabelDispatcher: p.Dispatcher}); err != nil {
		return nil, xperrors.Wrap(err, "cannot list Deployments")
	}

	found := 0

	for i := range l.Items {
		d := &l.Items[i]
		if d.GetDeletionTimestamp() != nil {
			continue
		}

		scalers, err := scalersOf(ctx, r.cache, d)
		if err != nil {
			return nil, xperrors.Wrap(err, "cannot list AgentScalers")
		}

		for j := range scalers {
			found++
			p.Deployment, p.Owner = d.GetName(), OwnerOf(&scalers[j])
		}
	}

	if found > 1 {
		r.refuse(p, l.Items)

		return nil, nil
	}

	if found == 0 {
		return nil, nil
	}

	return p, nil
}

func (r *Reconciler) gatherPods(ctx context.Context, p *Pool) error {
	l := &corev1.PodList{}
	// We only read what we get, so the cache need not copy it.
	if err := r.cache.List(ctx, l, client.InNamespace(p.Namespace), client.MatchingLabels{monitorapi.LabelDispatcher: p.Dispatcher}, client.UnsafeDisableDeepCopy); err != nil {
		return xperrors.Wrap(err, "cannot list the pool's workers")
	}

	var waiting []*corev1.Pod

	for i := range l.Items {
		pod := &l.Items[i]
		if over(pod) {
			continue
		}

		p.Alive[string(pod.UID)] = !overdue(pod, r.now())

		if gated(pod) && pod.DeletionTimestamp == nil {
			waiting = append(waiting, pod)
		}
	}

	p.Waiting = r.untold(p, p.comers(waiting))

	return nil
}

// comers returns the workers that wait. Where some of them have their state in a store and others do not, because the pool
// has just been given one, the others are about to be replaced and wait on.
func (p *Pool) comers(waiting []*corev1.Pod) []Pod {
	for _, w := range waiting {
		p.Checkpoint = cmp.Or(p.Checkpoint, w.Labels[v1alpha1.LabelCheckpoint])
	}

	var out []Pod

	for _, w := range waiting {
		if w.Labels[v1alpha1.LabelCheckpoint] == p.Checkpoint {
			out = append(out, Pod{Name: w.Name, UID: string(w.UID), Created: w.CreationTimestamp.Time, Wish: w.Annotations[monitorapi.AnnotationRestoreFrom]})
		}
	}

	return out
}

// untold returns the workers that were not told their slot yet, and forgets those of which the cache knows it by now.
func (r *Reconciler) untold(p *Pool, waiting []Pod) []Pod {
	r.tells.Lock()
	defer r.tells.Unlock()

	key := types.NamespacedName{Namespace: p.Namespace, Name: p.Dispatcher}
	still := map[string]bool{}

	var out []Pod

	for _, w := range waiting {
		if r.told[key][w.UID] {
			still[w.UID] = true
		} else {
			out = append(out, w)
		}
	}

	if len(still) == 0 {
		delete(r.told, key)
	} else {
		r.told[key] = still
	}

	return out
}

func (r *Reconciler) remember(p *Pool, bound []Claim) {
	r.tells.Lock()
	defer r.tells.Unlock()

	key := types.NamespacedName{Namespace: p.Namespace, Name: p.Dispatcher}
	if r.told[key] == nil {
		r.told[key] = make(map[string]bool, len(bound))
	}

	for _, c := range bound {
		r.told[key][c.UID] = true
	}
}

// refuse says that it cannot be told which Deployment the workers belong to. It waits for an event: somebody has to
// change something.
func (r *Reconciler) refuse(p *Pool, deps []appsv1.Deployment) {
	err := fmt.Errorf("more than one pair of Deployment and AgentScaler carries %s=%s: no slots are given until only one does", monitorapi.LabelDispatcher, p.Dispatcher)
	r.log.Info("Cannot tell the pool of waiting workers", "namespace", p.Namespace, "dispatcher", p.Dispatcher)

	for i := range deps {
		r.record.Event(&deps[i], event.Warning(reasonAmbiguous, err))
	}
}

func (r *Reconciler) report(p *Pool, bound []Claim) {
	created := make(map[string]time.Time, len(p.Waiting))
	for _, w := range p.Waiting {
		created[w.UID] = w.Created
	}

	for _, c := range bound {
		r.metrics.bound.Inc()
		r.metrics.waited.Observe(r.now().Sub(created[c.UID]).Seconds())
		r.log.Debug("Bound", "namespace", p.Namespace, "pod", c.Pod, "slot", c.Slot, "epoch", c.Epoch)

		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: c.Pod, UID: types.UID(c.UID)}}
		r.record.Event(pod, event.Normal(reasonBound, fmt.Sprintf("Bound to slot %d of %s under epoch %d", c.Slot, p.Deployment, c.Epoch),
			"slot", strconv.Itoa(c.Slot), "epoch", strconv.FormatInt(c.Epoch, 10)))
	}
}
