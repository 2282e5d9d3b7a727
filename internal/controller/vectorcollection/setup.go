// Package vectorcollection reconciles VectorCollections: it makes, watches and lets go of collections in vector stores.
// It must not know any store: those are drivers of internal/vector, which it is given.
package vectorcollection

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
)

// ConfigIndex is the field index of VectorCollections by their provider configuration. Setup adds it.
const ConfigIndex = "spec.providerConfigRef"

const (
	// timeout is how long a reconcile may take: a few calls to a slow store.
	timeout = 5 * time.Minute
	// grace is how long a collection that was just made may be missing where another node of the store answers.
	grace = 3 * time.Second
)

// Setup adds the controller of VectorCollections to a manager, and ConfigIndex to its cache. The extra options are
// applied last.
func Setup(mgr ctrl.Manager, o controller.Options, b Backends, m *Metrics, extra ...managed.ReconcilerOption) error {
	name := managed.ControllerName(v1alpha1.VectorCollectionGroupVersionKind.GroupKind().String())
	kube := mgr.GetClient()
	log := o.Logger.WithValues("controller", name)

	if err := mgr.GetFieldIndexer().IndexField(context.Background(), &v1alpha1.VectorCollection{}, ConfigIndex, indexConfig); err != nil {
		return errors.Wrap(err, "cannot index VectorCollections by their configuration")
	}

	if err := addStateMetrics(mgr, o); err != nil {
		return err
	}

	cluster, err := clusterID(context.Background(), mgr.GetAPIReader())
	if err != nil {
		return err
	}

	woken := make(chan cevent.GenericEvent)
	clients := newClients(kube, b, m, waker(kube, woken))

	if err := mgr.Add(clients); err != nil {
		return errors.Wrap(err, "cannot add the clients of stores")
	}

	c := &connector{
		clients:  clients,
		kube:     kube,
		secrets:  mgr.GetAPIReader(),
		pods:     mgr.GetAPIReader(),
		usage:    resource.NewProviderConfigUsageTracker(kube, &v1alpha1.ProviderConfigUsage{}),
		record:   event.NewAPIRecorder(mgr.GetEventRecorderFor(name), o.EventFilterFunctions...), //nolint:staticcheck // What crossplane-runtime takes.
		log:      log,
		cluster:  cluster,
		policies: o.Features.Enabled(feature.EnableBetaManagementPolicies),
		again: func(ctx context.Context, mg *v1alpha1.VectorCollection) {
			select {
			case <-ctx.Done():
			case woken <- cevent.GenericEvent{Object: mg.DeepCopy()}:
			}
		},
	}

	r := newReconciler(mgr, c, append(reconcilerOptions(o), append([]managed.ReconcilerOption{managed.WithLogger(log)}, extra...)...))

	return ctrl.NewControllerManagedBy(mgr).
		Named(name).
		WithOptions(o.ForControllerRuntime()).
		// Our own writes of the status are no reason to look again.
		For(&v1alpha1.VectorCollection{}, builder.WithPredicates(predicate.Or(resource.DesiredStateChanged(), othersLetGo()))).
		Watches(&v1alpha1.ProviderConfig{}, configHandler(clients, kube), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.ClusterProviderConfig{}, configHandler(clients, kube), builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(collectionOf(kube)), builder.WithPredicates(podEnds())).
		WatchesRawSource(source.Channel(woken, &handler.EnqueueRequestForObject{})).
		Complete(ratelimiter.NewReconciler(name, r, o.GlobalRateLimiter))
}

// newReconciler returns crossplane-runtime's reconciler over a connector. It explains its errors.
func newReconciler(mgr ctrl.Manager, c *connector, opts []managed.ReconcilerOption) reconcile.Reconciler {
	opts = append([]managed.ReconcilerOption{
		managed.WithTypedExternalConnector(c),
		managed.WithInitializers(managed.InitializerFn(initializer(mgr.GetClient()))),
		managed.WithRecorder(c.record),
	}, opts...)

	return reasoning(managed.NewReconciler(reasonManager{mgr}, resource.ManagedKind(v1alpha1.VectorCollectionGroupVersionKind), opts...))
}

func reconcilerOptions(o controller.Options) []managed.ReconcilerOption {
	opts := []managed.ReconcilerOption{
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
		&v1alpha1.VectorCollectionList{}, o.MetricOptions.PollStateMetricInterval)

	return errors.Wrap(mgr.Add(rec), "cannot add the state metrics of VectorCollections")
}

// clusterID returns what tells a cluster from all others.
func clusterID(ctx context.Context, kube client.Reader) (string, error) {
	ns := &corev1.Namespace{}
	err := kube.Get(ctx, types.NamespacedName{Name: "kube-system"}, ns)

	return string(ns.GetUID()), errors.Wrap(err, "cannot get the namespace kube-system, whose UID tells this cluster from others")
}

// initializer returns a function that gives a VectorCollection its external name and the reconciler's finalizer, in one
// write: every write of a composed object costs its composite tokens of Crossplane's circuit breaker. The external name
// is the collection's name in the store, and follows when a released successor has become the collection.
func initializer(kube client.Client) func(context.Context, resource.Managed) error {
	return func(ctx context.Context, o resource.Managed) error {
		mg, ok := o.(*v1alpha1.VectorCollection)
		if !ok {
			return errors.New("cannot initialize what is no VectorCollection")
		}

		if meta.WasDeleted(mg) {
			return nil
		}

		name := meta.GetExternalName(mg)
		if name == "" {
			name = mg.Spec.ForProvider.Collection
		}

		if folded := foldedInto(mg); folded != "" {
			name = folded
		}

		if meta.GetExternalName(mg) == name && meta.FinalizerExists(mg, managed.FinalizerName) {
			return nil
		}

		patch := client.MergeFromWithOptions(mg.DeepCopy(), client.MergeFromWithOptimisticLock{})

		meta.SetExternalName(mg, name)
		meta.AddFinalizer(mg, managed.FinalizerName)

		return errors.Wrap(kube.Patch(ctx, mg, patch), "cannot set external name and finalizer")
	}
}
