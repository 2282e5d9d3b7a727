// Package slot gives each worker of a pool a slot, its durable identity, and an epoch that fences whoever held the slot
// before. It must not know how many workers a pool needs: it only keeps to the size that it finds.
package slot

import (
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	cevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/ratelimiter"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/agentscaler"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

const name = "slot"

// Setup adds the binder to a manager whose cache has agentscaler.TargetIndex.
func Setup(mgr ctrl.Manager, o controller.Options, repos Repositories, m *Metrics) error {
	kube := mgr.GetClient()
	r := &Reconciler{
		cache:   kube,
		status:  kube.Status(),
		binder:  &Binder{store: &cluster{live: mgr.GetAPIReader(), kube: kube, now: time.Now}, states: &stored{repos: repos}},
		record:  event.NewAPIRecorder(mgr.GetEventRecorderFor(name), o.EventFilterFunctions...), //nolint:staticcheck // What crossplane-runtime takes.
		log:     o.Logger.WithValues("controller", name),
		metrics: m,
		now:     time.Now,
		told:    map[types.NamespacedName]map[string]bool{},
	}

	return ctrl.NewControllerManagedBy(mgr).
		Named(name).
		WithOptions(o.ForControllerRuntime()).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(poolOf), builder.WithPredicates(slotsMatter())).
		Watches(&appsv1.Deployment{}, handler.EnqueueRequestsFromMapFunc(poolOf), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.AgentScaler{}, handler.EnqueueRequestsFromMapFunc(poolOfScaler(kube)), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
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

// slotsMatter accepts what can make the binder act: a worker that waits, and one that goes or ends and so frees a slot.
func slotsMatter() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e cevent.CreateEvent) bool {
			p, ok := e.Object.(*corev1.Pod)

			return ok && gated(p)
		},
		UpdateFunc: func(e cevent.UpdateEvent) bool {
			was, ok := e.ObjectOld.(*corev1.Pod)
			is, ok2 := e.ObjectNew.(*corev1.Pod)

			return ok && ok2 && (gated(is) || (over(is) && !over(was)))
		},
	}
}

// OwnerOf returns a scaler as the owner of its ledger.
func OwnerOf(s *v1alpha1.AgentScaler) Owner {
	gvk := v1alpha1.AgentScalerGroupVersionKind

	return Owner{APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind, Name: s.GetName(), UID: string(s.GetUID())}
}

// scalersOf returns the scalers of a Deployment that are not being deleted.
func scalersOf(ctx context.Context, kube client.Reader, d metav1.Object) ([]v1alpha1.AgentScaler, error) {
	l := &v1alpha1.AgentScalerList{}
	if err := kube.List(ctx, l, client.InNamespace(d.GetNamespace()), client.MatchingFields{agentscaler.TargetIndex: d.GetName()}); err != nil {
		return nil, err
	}

	var out []v1alpha1.AgentScaler

	for i := range l.Items {
		if l.Items[i].GetDeletionTimestamp() == nil {
			out = append(out, l.Items[i])
		}
	}

	return out, nil
}
