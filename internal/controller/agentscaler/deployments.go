package agentscaler

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// deployments are the Targets of a cluster.
type deployments struct {
	kube client.Client
}

// Get returns what the cache knows of a Deployment. One that is being deleted has no size that is worth keeping.
func (d *deployments) Get(ctx context.Context, key types.NamespacedName) (target, error) {
	dep := &appsv1.Deployment{}
	if err := d.kube.Get(ctx, key, dep); err != nil {
		return target{}, err
	}

	if dep.GetDeletionTimestamp() != nil {
		return target{}, kerrors.NewNotFound(schema.GroupResource{Group: appsv1.GroupName, Resource: "deployments"}, key.Name)
	}

	return target{
		Name: key.Name, Replicas: sizeOf(dep), Selector: metav1.FormatLabelSelector(dep.Spec.Selector),
		Dispatcher: dep.Labels[monitorapi.LabelDispatcher], RollingOut: dep.Status.UpdatedReplicas < dep.Status.Replicas,
	}, nil
}

// Size returns the size that the API server knows now.
func (d *deployments) Size(ctx context.Context, key types.NamespacedName) (int32, error) {
	s := &autoscalingv1.Scale{}
	if err := d.kube.SubResource("scale").Get(ctx, named(key), s); err != nil {
		return 0, err
	}

	return s.Spec.Replicas, nil
}

func named(key types.NamespacedName) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
}

// sizeOf returns the size a Deployment has been asked to have; the API server makes an absent one 1.
func sizeOf(d *appsv1.Deployment) int32 {
	if d.Spec.Replicas == nil {
		return 1
	}

	return *d.Spec.Replicas
}
