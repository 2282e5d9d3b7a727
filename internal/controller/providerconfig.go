package controller

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/ratelimiter"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/providerconfig"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

// providerConfigKinds returns the kinds of configuration. Both count their users by the same kind of usage.
func providerConfigKinds() []resource.ProviderConfigKinds {
	return []resource.ProviderConfigKinds{
		{
			Config:    v1alpha1.ProviderConfigGroupVersionKind,
			Usage:     v1alpha1.ProviderConfigUsageGroupVersionKind,
			UsageList: v1alpha1.ProviderConfigUsageListGroupVersionKind,
		},
		{
			Config:    v1alpha1.ClusterProviderConfigGroupVersionKind,
			Usage:     v1alpha1.ProviderConfigUsageGroupVersionKind,
			UsageList: v1alpha1.ProviderConfigUsageListGroupVersionKind,
		},
	}
}

// setupProviderConfig adds a controller that keeps a configuration from being deleted while it is used.
func setupProviderConfig(mgr ctrl.Manager, o controller.Options, kinds resource.ProviderConfigKinds) error {
	name := providerconfig.ControllerName(kinds.Config.GroupKind().String())
	r := providerconfig.NewReconciler(mgr, kinds,
		providerconfig.WithLogger(o.Logger.WithValues("controller", name)),
		providerconfig.WithRecorder(event.NewAPIRecorder(mgr.GetEventRecorderFor(name), o.EventFilterFunctions...))) //nolint:staticcheck // What crossplane-runtime takes.

	config, ok := resource.MustCreateObject(kinds.Config, mgr.GetScheme()).(client.Object)
	if !ok {
		panic("a provider configuration is an object")
	}

	return ctrl.NewControllerManagedBy(mgr).
		Named(name).
		WithOptions(o.ForControllerRuntime()).
		For(config).
		Watches(&v1alpha1.ProviderConfigUsage{}, handler.EnqueueRequestsFromMapFunc(userOf(kinds.Config.Kind))).
		Complete(ratelimiter.NewReconciler(name, r, o.GlobalRateLimiter))
}

// userOf returns a function from a usage to the configuration of the given kind that is used, if it is of that kind.
func userOf(kind string) handler.MapFunc {
	return func(_ context.Context, o client.Object) []reconcile.Request {
		u, ok := o.(*v1alpha1.ProviderConfigUsage)
		if !ok || u.ProviderConfigReference.Kind != kind {
			return nil
		}

		key := types.NamespacedName{Name: u.ProviderConfigReference.Name}
		if kind == v1alpha1.ProviderConfigGroupVersionKind.Kind {
			key.Namespace = u.GetNamespace()
		}

		return []reconcile.Request{{NamespacedName: key}}
	}
}
