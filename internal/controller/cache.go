package controller

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"

	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/customresourcesgate"

	"github.com/southwest-ai/agent-operator/internal/controller/budget"
	"github.com/southwest-ai/agent-operator/internal/controller/slot"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// QueueConfig is what all controllers have in common. They use the plain work queue: the one with priorities of the
// controller-runtime that is linked (0.23.1) was seen to hold its lock while it hands an item to a worker that waits for the
// lock, and then no controller of that queue goes on, nor does its manager end.
func QueueConfig() config.Controller {
	return config.Controller{UsePriorityQueue: new(false)}
}

// CacheOptions keep the cache small: of pods and Deployments only those of pools, and of these only what a controller
// reads. Without it the provider's memory would grow with the cluster and not with the pools.
func CacheOptions(sync time.Duration) cache.Options {
	pools := poolMembers()

	return cache.Options{
		SyncPeriod:       &sync,
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&corev1.Pod{}:        {Label: pools, Transform: slimPod},
			&appsv1.Deployment{}: {Label: pools, Transform: slimDeployment},
			&apiextensionsv1.CustomResourceDefinition{}: {Transform: customresourcesgate.TransformStripCRDSchema},
		},
	}
}

// Uncached are the objects that are read from the API server each time: rarely, and never to be remembered.
func Uncached() []client.Object {
	return []client.Object{&corev1.ConfigMap{}, &corev1.Secret{}}
}

func poolMembers() labels.Selector {
	r, err := labels.NewRequirement(monitorapi.LabelDispatcher, selection.Exists, nil)
	if err != nil {
		panic(err) // The label is a constant.
	}

	return labels.NewSelector().Add(*r)
}

// slimPod keeps of a pod what the binder reads, and what shares the budget.
func slimPod(o any) (any, error) {
	p, ok := o.(*corev1.Pod)
	if !ok {
		return o, nil
	}

	out := &corev1.Pod{
		ObjectMeta: slimMeta(p.ObjectMeta),
		Spec:       corev1.PodSpec{SchedulingGates: p.Spec.SchedulingGates, InitContainers: budget.Starts(p)},
		Status:     corev1.PodStatus{Phase: p.Status.Phase, PodIP: p.Status.PodIP},
	}

	for _, name := range []string{
		monitorapi.AnnotationSlot, monitorapi.AnnotationRestoreFrom, monitorapi.AnnotationTokenShare, monitorapi.AnnotationTokenShareHeld,
	} {
		if v, ok := p.Annotations[name]; ok {
			metav1.SetMetaDataAnnotation(&out.ObjectMeta, name, v)
		}
	}

	for _, c := range p.Status.Conditions {
		if c.Type == slot.ConditionSlot {
			out.Status.Conditions = append(out.Status.Conditions, c)
		}
	}

	return out, nil
}

// slimDeployment keeps of a Deployment what the scaler and the binder read.
func slimDeployment(o any) (any, error) {
	d, ok := o.(*appsv1.Deployment)
	if !ok {
		return o, nil
	}

	return &appsv1.Deployment{
		ObjectMeta: slimMeta(d.ObjectMeta),
		Spec:       appsv1.DeploymentSpec{Replicas: d.Spec.Replicas, Selector: d.Spec.Selector},
		Status:     appsv1.DeploymentStatus{Replicas: d.Status.Replicas, UpdatedReplicas: d.Status.UpdatedReplicas},
	}, nil
}

func slimMeta(m metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Namespace:         m.Namespace,
		Name:              m.Name,
		UID:               m.UID,
		ResourceVersion:   m.ResourceVersion,
		Generation:        m.Generation,
		CreationTimestamp: m.CreationTimestamp,
		DeletionTimestamp: m.DeletionTimestamp,
		Labels:            m.Labels,
	}
}
