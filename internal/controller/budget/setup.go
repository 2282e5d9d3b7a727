// Package budget has a pool's workers keep to its tokens per minute together: it looks at what each uses and tells each its
// share. It must not know how many workers a pool needs, nor how shares are worked out.
package budget

import (
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	cevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	xperrors "github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/ratelimiter"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/agentscaler"
	"github.com/southwest-ai/agent-operator/internal/controller/monitors"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

const name = "budget"

// Setup adds the sharing of budgets to a manager whose cache has agentscaler.TargetIndex.
func Setup(mgr ctrl.Manager, o controller.Options, asked *monitors.Client, m *Metrics) error {
	kube := mgr.GetClient()
	r := &Reconciler{
		cache: kube, live: mgr.GetAPIReader(), kube: kube,
		workers: &workers{monitors: asked},
		log:     o.Logger.WithValues("controller", name),
		metrics: m,
		now:     time.Now,
		pools:   map[types.NamespacedName]*memory{},
	}

	return ctrl.NewControllerManagedBy(mgr).
		Named(name).
		WithOptions(o.ForControllerRuntime()).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(poolOf), builder.WithPredicates(workersMatter())).
		Watches(&appsv1.Deployment{}, handler.EnqueueRequestsFromMapFunc(poolOf), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.AgentScaler{}, handler.EnqueueRequestsFromMapFunc(poolOfScaler(kube)),
			builder.WithPredicates(predicate.Or[client.Object](predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Complete(ratelimiter.NewReconciler(name, r, o.GlobalRateLimiter))
}

// poolOf returns the pool of a pod or Deployment: a request's name is the value of the dispatcher label.
func poolOf(_ context.Context, o client.Object) []reconcile.Request {
	d := o.GetLabels()[monitorapi.LabelDispatcher]
	if d == "" {
		return nil
	}

	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: d}}}
}

// poolOfScaler returns the pool that a scaler belongs to by the Deployment it scales.
func poolOfScaler(kube client.Reader) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []reconcile.Request {
		s, ok := o.(*v1alpha1.AgentScaler)
		if !ok {
			return nil
		}

		d := &appsv1.Deployment{}
		if err := kube.Get(ctx, types.NamespacedName{Namespace: s.GetNamespace(), Name: s.Spec.ForProvider.ScaleTargetRef.Name}, d); err != nil {
			return nil
		}

		return poolOf(ctx, d)
	}
}

// workersMatter accepts what makes a look worth while before its time: a worker that comes, that can be asked now, that is
// about to go, and that has gone and leaves its share to others.
func workersMatter() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e cevent.CreateEvent) bool {
			p, ok := e.Object.(*corev1.Pod)

			return ok && takesPart(p)
		},
		UpdateFunc: func(e cevent.UpdateEvent) bool {
			was, ok := e.ObjectOld.(*corev1.Pod)
			is, ok2 := e.ObjectNew.(*corev1.Pod)

			return ok && ok2 && (takesPart(was) != takesPart(is) || answers(was) != answers(is))
		},
	}
}

// scalerOf returns the scaler of a pool that is not being deleted; nil where there is none, or more than one.
func scalerOf(ctx context.Context, kube client.Reader, pool types.NamespacedName) (*v1alpha1.AgentScaler, error) {
	ds := &appsv1.DeploymentList{}
	if err := kube.List(ctx, ds, client.InNamespace(pool.Namespace), client.MatchingLabels{monitorapi.LabelDispatcher: pool.Name}); err != nil {
		return nil, xperrors.Wrap(err, "cannot list Deployments")
	}

	var found []v1alpha1.AgentScaler

	for i := range ds.Items {
		l := &v1alpha1.AgentScalerList{}
		if err := kube.List(ctx, l, client.InNamespace(pool.Namespace), client.MatchingFields{agentscaler.TargetIndex: ds.Items[i].GetName()}); err != nil {
			return nil, xperrors.Wrap(err, "cannot list AgentScalers")
		}

		for j := range l.Items {
			if l.Items[j].GetDeletionTimestamp() == nil {
				found = append(found, l.Items[j])
			}
		}
	}

	// The binder says so where there is more than one.
	if len(found) != 1 {
		return nil, nil //nolint:nilnil // Nobody to say what the budget is.
	}

	return &found[0], nil
}
