package budget

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	xperrors "github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"

	sharing "github.com/southwest-ai/agent-operator/internal/budget"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

const (
	// timeout is how long one look at a pool may take, with all that is told.
	timeout = 30 * time.Second
	// look is the time between two looks at a pool, and soon that while a worker is about to take over its share, which takes
	// the kubelet a fifth of a second. Between any two is gap, however much happens to the pods.
	look = 5 * time.Second
	soon = time.Second
	gap  = 200 * time.Millisecond
)

// A Reconciler gathers what workers use and tells them their shares. It alone writes monitorapi.AnnotationTokenShare.
type Reconciler struct {
	cache client.Reader
	// live reads from the API server.
	live    client.Reader
	kube    client.Writer
	workers *workers
	log     logging.Logger
	metrics *Metrics
	now     func() time.Time

	mu    sync.Mutex
	pools map[types.NamespacedName]*memory
}

// Reconcile the pool whose workers carry the request's name in their dispatcher label. A scaler that only recommends a size shares all
// the same: a worker without a share could not begin.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	s, err := scalerOf(ctx, r.cache, req.NamespacedName)
	if err != nil {
		return reconcile.Result{}, err
	}

	if s == nil || meta.IsPaused(s) {
		r.forget(req.NamespacedName)

		return reconcile.Result{}, nil
	}

	if s.Spec.ForProvider.TokensPerMinute == nil {
		r.forget(req.NamespacedName)

		return reconcile.Result{}, r.release(ctx, req.NamespacedName)
	}

	return r.share(ctx, req.NamespacedName, *s.Spec.ForProvider.TokensPerMinute)
}

// share looks at a pool once and tells its workers what is to change.
func (r *Reconciler) share(ctx context.Context, pool types.NamespacedName, budget int64) (reconcile.Result, error) {
	m := r.remember(pool)

	now := r.now()
	if since := now.Sub(m.looked); since >= 0 && since < gap {
		return reconcile.Result{RequeueAfter: gap - since}, nil
	}

	m.looked = now

	from := r.cache
	if m.written {
		from = r.live
	}

	pods, err := podsOf(ctx, from, pool)
	if err != nil {
		return reconcile.Result{}, err
	}

	workers := byName(pods)
	r.workers.ask(ctx, workers)

	are := m.take(now, workers)
	next := sharing.Shares(budget, are)

	// Also where it is not known whether a telling arrived.
	m.written = false
	for i := range are {
		m.written = m.written || next[i] != are[i].Share
	}

	err = r.tell(ctx, workers, are, next)
	r.metrics.set(pool, figures{budget: budget, given: sum(next), silent: silent(are)})

	if err != nil {
		return reconcile.Result{}, err
	}

	return reconcile.Result{RequeueAfter: pause(are, next)}, nil
}

// pause is the time until the next look.
func pause(are []sharing.Worker, next []int64) time.Duration {
	for i, w := range are {
		// One that does not answer will not do so sooner for being asked more often.
		if !w.Fixed && w.Has != next[i] {
			return soon
		}
	}

	return look
}

// tell writes the shares that change. Who is to have less is told before who is to have more, which the sharing does not
// rely on, but a person who looks on might.
func (r *Reconciler) tell(ctx context.Context, workers []worker, are []sharing.Worker, next []int64) error {
	var errs []error

	for _, grows := range []bool{false, true} {
		for i, w := range workers {
			if next[i] == are[i].Share || grows != (next[i] > are[i].Share) {
				continue
			}

			// What it may have until it has the smaller share.
			held := max(are[i].Share, are[i].Has)
			if held <= next[i] {
				held = sharing.None
			}

			if err := r.annotate(ctx, w.pod, next[i], held); err != nil {
				errs = append(errs, xperrors.Wrapf(err, "cannot tell pod %s its share of the budget", w.pod.Name))

				continue
			}

			r.metrics.told.Inc()
			r.log.Debug("Told a share", "namespace", w.pod.Namespace, "pod", w.pod.Name, "from", are[i].Share, "to", next[i])
		}
	}

	return errors.Join(errs...)
}

// release takes the shares of a pool without a budget away. A worker that started with a share would keep to that one
// without its annotation, and is about to be replaced by one that does not: it keeps what it has.
func (r *Reconciler) release(ctx context.Context, pool types.NamespacedName) error {
	pods, err := podsOf(ctx, r.cache, pool)
	if err != nil {
		return err
	}

	var errs []error

	for i := range pods {
		p := &pods[i]

		_, has := p.Annotations[monitorapi.AnnotationTokenShare]
		if !has || Starts(p) != nil {
			continue
		}

		if err := r.annotate(ctx, p, sharing.None, sharing.None); err != nil {
			errs = append(errs, xperrors.Wrapf(err, "cannot take the share of the budget from pod %s", p.Name))
		}
	}

	return errors.Join(errs...)
}

// annotate writes a share and what is held for it; none of either removes it. Another pod of that name is left alone, and
// one that has gone needs nothing.
func (r *Reconciler) annotate(ctx context.Context, p *corev1.Pod, share, held int64) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": p.UID,
		"annotations": map[string]any{
			monitorapi.AnnotationTokenShare: text(share), monitorapi.AnnotationTokenShareHeld: text(held),
		},
	}})
	if err != nil {
		return err
	}

	err = r.kube.Patch(ctx, &corev1.Pod{ObjectMeta: *p.ObjectMeta.DeepCopy()}, client.RawPatch(types.MergePatchType, patch))
	if kerrors.IsNotFound(err) || kerrors.IsConflict(err) {
		return nil
	}

	return err
}

func text(share int64) any {
	if share < 0 {
		return nil
	}

	return strconv.FormatInt(share, 10)
}

func podsOf(ctx context.Context, kube client.Reader, pool types.NamespacedName) ([]corev1.Pod, error) {
	l := &corev1.PodList{}
	// We only read what we get, so the cache need not copy it.
	err := kube.List(ctx, l, client.InNamespace(pool.Namespace), client.MatchingLabels{monitorapi.LabelDispatcher: pool.Name}, client.UnsafeDisableDeepCopy)

	return l.Items, xperrors.Wrap(err, "cannot list the pool's workers")
}

// remember returns what is known of a pool. One pool is reconciled once at a time, so its memory needs no lock.
func (r *Reconciler) remember(pool types.NamespacedName) *memory {
	r.mu.Lock()
	defer r.mu.Unlock()

	m := r.pools[pool]
	if m == nil {
		m = newMemory()
		r.pools[pool] = m
	}

	return m
}

func (r *Reconciler) forget(pool types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()

	delete(r.pools, pool)
	r.metrics.forget(pool)
}

func sum(shares []int64) (n int64) {
	for _, s := range shares {
		n += s
	}

	return n
}

func silent(workers []sharing.Worker) (n int) {
	for _, w := range workers {
		if w.Fixed {
			n++
		}
	}

	return n
}
