// Package agentscaler reconciles AgentScalers: it says how many workers a pool has, and has it brought there. It must not know how a
// worker is removed, nor which pod holds which slot.
package agentscaler

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	cevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/feature"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/ratelimiter"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	"github.com/crossplane/crossplane-runtime/v2/pkg/statemetrics"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

// TargetIndex is the field index of AgentScalers by the name of the Deployment they scale. Setup adds it.
const TargetIndex = "spec.forProvider.scaleTargetRef.name"

// Setup adds the controller of AgentScalers to a manager, and TargetIndex to its cache. The extra options are applied
// after its own, but when it looks again is its own affair.
func Setup(mgr ctrl.Manager, o controller.Options, pools Pools, meter Meter, asks Asks, m *Metrics, extra ...managed.ReconcilerOption) error {
	name := managed.ControllerName(v1alpha1.AgentScalerGroupVersionKind.GroupKind().String())
	kube := mgr.GetClient()

	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &v1alpha1.AgentScaler{}, TargetIndex, indexTarget); err != nil {
		return errors.Wrap(err, "cannot index AgentScalers by their target")
	}

	if err := addStateMetrics(mgr, o); err != nil {
		return err
	}

	record := event.NewAPIRecorder(mgr.GetEventRecorderFor(name), o.EventFilterFunctions...) //nolint:staticcheck // What crossplane-runtime takes.
	c := &connector{
		targets: &deployments{kube: kube},
		pools:   pools,
		meter:   meter,
		asks:    asks,
		metrics: m,
		work:    newWork(),
		status:  kube.Status(),
		record:  record,
		log:     o.Logger.WithValues("controller", name),
		now:     metav1.Now,
	}

	opts := append(reconcilerOptions(o),
		managed.WithTypedExternalConnector(c),
		managed.WithInitializers(managed.InitializerFn(initializer(kube))),
		managed.WithLogger(o.Logger.WithValues("controller", name)),
		managed.WithRecorder(record),
	)
	// Last, because who removes workers is not to wait for the next poll.
	opts = append(append(opts, extra...), managed.WithPollIntervalHook(c.work.again))
	r := managed.NewReconciler(mgr, resource.ManagedKind(v1alpha1.AgentScalerGroupVersionKind), opts...)

	return ctrl.NewControllerManagedBy(mgr).
		Named(name).
		WithOptions(o.ForControllerRuntime()).
		// Our own writes of the status are no reason to look again.
		For(&v1alpha1.AgentScaler{}, builder.WithPredicates(predicate.Or(resource.DesiredStateChanged(), othersLetGo()))).
		WatchesRawSource(source.Channel(meter.Wakes(), &handler.EnqueueRequestForObject{})).
		Watches(&appsv1.Deployment{}, handler.EnqueueRequestsFromMapFunc(scalersOf(kube)), builder.WithPredicates(sizeChanged())).
		Complete(ratelimiter.NewReconciler(name, r, o.GlobalRateLimiter))
}

func reconcilerOptions(o controller.Options) []managed.ReconcilerOption {
	opts := []managed.ReconcilerOption{
		managed.WithDeterministicExternalName(true),
		managed.WithPollInterval(o.PollInterval),
	}

	if o.Features.Enabled(feature.EnableBetaManagementPolicies) {
		opts = append(opts, managed.WithManagementPolicies())
	}

	if o.MetricOptions != nil {
		opts = append(opts, managed.WithMetricRecorder(o.MetricOptions.MRMetrics))
	}

	if o.ChangeLogOptions != nil {
		opts = append(opts, managed.WithChangeLogger(o.ChangeLogOptions.ChangeLogger))
	}

	return opts
}

func addStateMetrics(mgr ctrl.Manager, o controller.Options) error {
	if o.MetricOptions == nil || o.MetricOptions.MRStateMetrics == nil {
		return nil
	}

	rec := statemetrics.NewMRStateRecorder(mgr.GetClient(), o.Logger, o.MetricOptions.MRStateMetrics,
		&v1alpha1.AgentScalerList{}, o.MetricOptions.PollStateMetricInterval)

	return errors.Wrap(mgr.Add(rec), "cannot add the state metrics of AgentScalers")
}

// initializer returns a function that gives a scaler its external name, which is its target's, and the reconciler's
// finalizer. Both go in one write: every write of a composed object costs its composite tokens of Crossplane's circuit
// breaker, and a finalizer added later would have the reconciler forget what it observed.
func initializer(kube client.Client) func(context.Context, resource.Managed) error {
	return func(ctx context.Context, mg resource.Managed) error {
		s, ok := mg.(*v1alpha1.AgentScaler)
		if !ok {
			return errors.New("cannot initialize what is no AgentScaler")
		}

		if meta.WasDeleted(s) || (meta.GetExternalName(s) != "" && meta.FinalizerExists(s, managed.FinalizerName)) {
			return nil
		}

		patch := client.MergeFromWithOptions(s.DeepCopy(), client.MergeFromWithOptimisticLock{})

		if meta.GetExternalName(s) == "" {
			meta.SetExternalName(s, targetOf(s).Name)
		}

		meta.AddFinalizer(s, managed.FinalizerName)

		return errors.Wrap(kube.Patch(ctx, s, patch), "cannot set external name and finalizer")
	}
}

func indexTarget(o client.Object) []string {
	s, ok := o.(*v1alpha1.AgentScaler)
	if !ok {
		return nil
	}

	return []string{s.Spec.ForProvider.ScaleTargetRef.Name}
}

// scalersOf returns a function from a Deployment to the AgentScalers that scale it.
func scalersOf(kube client.Reader) handler.MapFunc {
	return func(ctx context.Context, d client.Object) []reconcile.Request {
		l := &v1alpha1.AgentScalerList{}
		if err := kube.List(ctx, l, client.InNamespace(d.GetNamespace()), client.MatchingFields{TargetIndex: d.GetName()}); err != nil {
			return nil
		}

		reqs := make([]reconcile.Request, len(l.Items))
		for i := range l.Items {
			reqs[i] = reconcile.Request{NamespacedName: types.NamespacedName{Namespace: l.Items[i].GetNamespace(), Name: l.Items[i].GetName()}}
		}

		return reqs
	}
}

// othersLetGo accepts a scaler that is being deleted and lost a finalizer. The reconciler waits for all the others to
// go, such as that of a foreground deletion, which is how Crossplane deletes; polling for it would take seconds.
func othersLetGo() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(cevent.CreateEvent) bool { return false },
		DeleteFunc:  func(cevent.DeleteEvent) bool { return false },
		GenericFunc: func(cevent.GenericEvent) bool { return false },
		UpdateFunc: func(e cevent.UpdateEvent) bool {
			return meta.WasDeleted(e.ObjectNew) && len(e.ObjectNew.GetFinalizers()) < len(e.ObjectOld.GetFinalizers())
		},
	}
}

// sizeChanged accepts what can make a scaler act: a Deployment that appears, goes, or asks for another size.
func sizeChanged() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(e cevent.UpdateEvent) bool {
			was, ok := e.ObjectOld.(*appsv1.Deployment)
			is, ok2 := e.ObjectNew.(*appsv1.Deployment)

			return ok && ok2 && (sizeOf(was) != sizeOf(is) || (was.DeletionTimestamp == nil) != (is.DeletionTimestamp == nil))
		},
	}
}
