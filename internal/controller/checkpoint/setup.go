package checkpoint

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
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
	"github.com/southwest-ai/agent-operator/internal/controller/storeconfig"
)

// timeout is how long a reconcile may take: the deletion of a large repository goes on the next time.
const timeout = 5 * time.Minute

// grace is how long a repository that was just made may be missing where another node of the store answers.
const grace = 3 * time.Second

// Options of the keeper of repositories.
type Options struct {
	// Metrics are what it measures.
	Metrics *Metrics
	// Turn is the time between two looks at a repository; DefaultTurn if 0.
	Turn time.Duration
}

// Setup adds the controller of Checkpoints and the keeper of their repositories to a manager. The extra options are applied last.
func Setup(mgr ctrl.Manager, o controller.Options, repos *Repositories, keeping Options, extra ...managed.ReconcilerOption) error {
	name := managed.ControllerName(v1alpha1.CheckpointGroupVersionKind.GroupKind().String())
	kube := mgr.GetClient()
	log := o.Logger.WithValues("controller", name)
	record := event.NewAPIRecorder(mgr.GetEventRecorderFor(name), o.EventFilterFunctions...) //nolint:staticcheck // What crossplane-runtime takes.

	keeper := newKeeper(repos, kube, record, log, keeping)
	if err := mgr.Add(keeper); err != nil {
		return errors.Wrap(err, "cannot add the keeper of repositories")
	}

	if err := addStateMetrics(mgr, o); err != nil {
		return err
	}

	c := &connector{
		repos: repos, keeper: keeper, kube: kube, pods: mgr.GetAPIReader(), record: record,
		usage: resource.NewProviderConfigUsageTracker(kube, &v1alpha1.ProviderConfigUsage{}),
	}

	r := managed.NewReconciler(mgr, resource.ManagedKind(v1alpha1.CheckpointGroupVersionKind), append(reconcilerOptions(o, c, record), extra...)...)

	return ctrl.NewControllerManagedBy(mgr).
		Named(name).
		WithOptions(o.ForControllerRuntime()).
		For(&v1alpha1.Checkpoint{}, builder.WithPredicates(resource.DesiredStateChanged())).
		Watches(&v1alpha1.ProviderConfig{}, handler.EnqueueRequestsFromMapFunc(usersOf(kube)), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.ClusterProviderConfig{}, handler.EnqueueRequestsFromMapFunc(usersOf(kube)), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(checkpointOf(kube)), builder.WithPredicates(podEnds())).
		WatchesRawSource(source.Channel(keeper.wake, &handler.EnqueueRequestForObject{})).
		Complete(ratelimiter.NewReconciler(name, r, o.GlobalRateLimiter))
}

func reconcilerOptions(o controller.Options, c *connector, record event.Recorder) []managed.ReconcilerOption {
	opts := []managed.ReconcilerOption{
		managed.WithTypedExternalConnector(c),
		managed.WithRecorder(record),
		managed.WithLogger(o.Logger),
		managed.WithDeterministicExternalName(true),
		managed.WithPollInterval(o.PollInterval),
		managed.WithTimeout(timeout),
		managed.WithCreationGracePeriod(grace),
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
		&v1alpha1.CheckpointList{}, o.MetricOptions.PollStateMetricInterval)

	return errors.Wrap(mgr.Add(rec), "cannot add the state metrics of Checkpoints")
}

// usersOf returns a function from a configuration to the Checkpoints that use it.
func usersOf(kube client.Reader) handler.MapFunc {
	return func(ctx context.Context, o client.Object) []reconcile.Request {
		l := &v1alpha1.CheckpointList{}
		if err := kube.List(ctx, l); err != nil {
			return nil
		}

		key := storeconfig.Key{Kind: v1alpha1.ProviderConfigGroupVersionKind.Kind, Namespace: o.GetNamespace(), Name: o.GetName()}
		if o.GetNamespace() == "" {
			key.Kind = v1alpha1.ClusterProviderConfigGroupVersionKind.Kind
		}

		var out []reconcile.Request

		for i := range l.Items {
			if storeconfig.Of(&l.Items[i]) == key {
				out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&l.Items[i])})
			}
		}

		return out
	}
}

// checkpointOf returns a function from a pod to the Checkpoint that has its state, if that waits for pods to end.
func checkpointOf(kube client.Reader) handler.MapFunc {
	return func(ctx context.Context, pod client.Object) []reconcile.Request {
		key := types.NamespacedName{Namespace: pod.GetNamespace(), Name: pod.GetLabels()[v1alpha1.LabelCheckpoint]}
		if key.Name == "" {
			return nil
		}

		mg := &v1alpha1.Checkpoint{}
		if err := kube.Get(ctx, key, mg); err != nil || !meta.WasDeleted(mg) {
			return nil
		}

		return []reconcile.Request{{NamespacedName: key}}
	}
}

// podEnds accepts a pod that goes or has ended.
func podEnds() predicate.Predicate {
	over := func(o client.Object) bool {
		p, ok := o.(*corev1.Pod)

		return ok && (p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed)
	}

	return predicate.Funcs{
		CreateFunc:  func(cevent.CreateEvent) bool { return false },
		GenericFunc: func(cevent.GenericEvent) bool { return false },
		DeleteFunc:  func(cevent.DeleteEvent) bool { return true },
		UpdateFunc:  func(e cevent.UpdateEvent) bool { return over(e.ObjectNew) && !over(e.ObjectOld) },
	}
}
