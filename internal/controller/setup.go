// Package controller puts the provider's controllers together. It must not know how a process is run: flags, addresses
// and signals are the command's.
package controller

import (
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/customresourcesgate"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/agentscaler"
	"github.com/southwest-ai/agent-operator/internal/controller/budget"
	"github.com/southwest-ai/agent-operator/internal/controller/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/controller/keda"
	"github.com/southwest-ai/agent-operator/internal/controller/load"
	"github.com/southwest-ai/agent-operator/internal/controller/monitors"
	"github.com/southwest-ai/agent-operator/internal/controller/removal"
	"github.com/southwest-ai/agent-operator/internal/controller/slot"
	"github.com/southwest-ai/agent-operator/internal/controller/vectorcollection"
)

// Parts are what the controllers are given beside a manager: what they measure, how checkpoints are looked after, and the vector
// stores there are.
type Parts struct {
	Sizes       *agentscaler.Metrics
	Slots       *slot.Metrics
	Budgets     *budget.Metrics
	Memory      *vectorcollection.Metrics
	Checkpoints checkpoint.Options
	Stores      vectorcollection.Backends
	// Demands are what KEDA is told.
	Demands *keda.Demands
}

// SetupGated adds all controllers to a manager. Each starts when the kinds it works on are served, which may be long
// after the manager did: kinds of a package with the safe-start capability are activated one by one. A controller
// that cannot be set up then is reported to failed, which must not block.
func SetupGated(mgr ctrl.Manager, o controller.Options, p Parts, failed func(error), extra ...managed.ReconcilerOption) error {
	repos := checkpoint.NewRepositories(mgr.GetClient(), mgr.GetAPIReader())

	gated := func(setup func() error, what string, kinds ...schema.GroupVersionKind) {
		o.Gate.Register(func() {
			if err := discovered(mgr.GetRESTMapper(), kinds); err != nil {
				failed(errors.Wrapf(err, "cannot set up the controllers of %s", what))

				return
			}

			if err := setup(); err != nil {
				failed(errors.Wrapf(err, "cannot set up the controllers of %s", what))
			}
		}, kinds...)
	}

	gated(func() error {
		asked := monitors.NewClient(nil)
		pools := removal.NewPools(mgr.GetClient(), mgr.GetAPIReader(), repos, asked)
		meter := load.NewMeter(mgr.GetClient(), asked)

		for _, r := range []manager.Runnable{pools, meter} {
			if err := mgr.Add(r); err != nil {
				return err
			}
		}

		if err := agentscaler.Setup(mgr, o, pools, meter, p.Demands, p.Sizes, extra...); err != nil {
			return err
		}

		if err := slot.Setup(mgr, o, repos, p.Slots); err != nil {
			return err
		}

		return budget.Setup(mgr, o, asked, p.Budgets)
	}, "AgentScalers, slots and budgets", v1alpha1.AgentScalerGroupVersionKind)

	gated(func() error {
		return checkpoint.Setup(mgr, o, repos, p.Checkpoints, extra...)
	}, "Checkpoints", v1alpha1.CheckpointGroupVersionKind, v1alpha1.ProviderConfigGroupVersionKind,
		v1alpha1.ClusterProviderConfigGroupVersionKind, v1alpha1.ProviderConfigUsageGroupVersionKind)

	gated(func() error {
		return vectorcollection.Setup(mgr, o, p.Stores, p.Memory, extra...)
	}, "VectorCollections", v1alpha1.VectorCollectionGroupVersionKind, v1alpha1.ProviderConfigGroupVersionKind,
		v1alpha1.ClusterProviderConfigGroupVersionKind, v1alpha1.ProviderConfigUsageGroupVersionKind)

	for _, kinds := range providerConfigKinds() {
		gated(func() error { return setupProviderConfig(mgr, o, kinds) }, kinds.Config.Kind, kinds.Config, kinds.Usage)
	}

	return errors.Wrap(customresourcesgate.Setup(mgr, o), "cannot set up the gate of custom resources")
}

// discoverable is how long the API server may take to list a kind of which the definition says that it is served.
const discoverable = time.Minute

// discovered waits until the API server lists kinds: it does so a moment after their definitions are established, and a
// controller that is set up in between would find that there is no such kind.
func discovered(mapper meta.RESTMapper, kinds []schema.GroupVersionKind) error {
	return wait.PollUntilContextTimeout(context.Background(), 100*time.Millisecond, discoverable, true, func(context.Context) (bool, error) {
		for _, k := range kinds {
			if _, err := mapper.RESTMapping(k.GroupKind(), k.Version); meta.IsNoMatchError(err) {
				return false, nil
			} else if err != nil {
				return false, errors.Wrapf(err, "cannot find out whether %s is served", k.Kind)
			}
		}

		return true, nil
	})
}

// NewScheme returns the kinds the controllers work with, and no others.
func NewScheme() *runtime.Scheme {
	s := runtime.NewScheme()

	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, autoscalingv1.AddToScheme, apiextensionsv1.AddToScheme, v1alpha1.AddToScheme,
	} {
		if err := add(s); err != nil {
			panic(err) // The kinds are compiled in.
		}
	}

	return s
}
