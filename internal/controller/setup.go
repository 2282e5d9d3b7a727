// Package controller puts the provider's controllers together. It must not know how a process is run: flags, addresses
// and signals are the command's.
package controller

import (
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/customresourcesgate"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/agentscaler"
	"github.com/southwest-ai/agent-operator/internal/controller/slot"
	"github.com/southwest-ai/agent-operator/internal/controller/vectorcollection"
)

// Parts are what the controllers are given beside a manager: what they measure, and the vector stores there are.
type Parts struct {
	Slots  *slot.Metrics
	Memory *vectorcollection.Metrics
	Stores vectorcollection.Backends
}

// SetupGated adds all controllers to a manager. Each starts when the kinds it works on are served, which may be long
// after the manager did: kinds of a package with the safe-start capability are activated one by one. A controller
// that cannot be set up then is reported to failed, which must not block.
func SetupGated(mgr ctrl.Manager, o controller.Options, p Parts, failed func(error), extra ...managed.ReconcilerOption) error {
	gated := func(setup func() error, what string) func() {
		return func() {
			if err := setup(); err != nil {
				failed(errors.Wrapf(err, "cannot set up the controllers of %s", what))
			}
		}
	}

	o.Gate.Register(gated(func() error {
		if err := agentscaler.Setup(mgr, o, extra...); err != nil {
			return err
		}

		return slot.Setup(mgr, o, p.Slots)
	}, "AgentScalers and slots"), v1alpha1.AgentScalerGroupVersionKind)

	o.Gate.Register(gated(func() error {
		return vectorcollection.Setup(mgr, o, p.Stores, p.Memory, extra...)
	}, "VectorCollections"), v1alpha1.VectorCollectionGroupVersionKind, v1alpha1.ProviderConfigGroupVersionKind,
		v1alpha1.ClusterProviderConfigGroupVersionKind, v1alpha1.ProviderConfigUsageGroupVersionKind)

	for _, kinds := range providerConfigKinds() {
		o.Gate.Register(gated(func() error { return setupProviderConfig(mgr, o, kinds) }, kinds.Config.Kind),
			kinds.Config, kinds.Usage)
	}

	return errors.Wrap(customresourcesgate.Setup(mgr, o), "cannot set up the gate of custom resources")
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
