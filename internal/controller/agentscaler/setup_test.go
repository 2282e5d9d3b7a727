package agentscaler

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	cevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

func TestPredicates(t *testing.T) {
	now := metav1.Now()
	sized := func(n *int32, change ...func(*appsv1.Deployment)) *appsv1.Deployment {
		d := &appsv1.Deployment{Spec: appsv1.DeploymentSpec{Replicas: n}}
		for _, c := range change {
			c(d)
		}

		return d
	}
	deleted := func(finalizers ...string) *v1alpha1.AgentScaler {
		return &v1alpha1.AgentScaler{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &now, Finalizers: finalizers}}
	}

	cases := map[string]struct {
		reason  string
		accepts predicate.Predicate
		was, is client.Object
		want    bool
	}{
		"Resized": {
			reason:  "Drift is put back at once.",
			accepts: sizeChanged(),
			was:     sized(ptr[int32](3)), is: sized(ptr[int32](4)),
			want: true,
		},
		"DefaultedSize": {
			reason:  "An absent size is 1.",
			accepts: sizeChanged(),
			was:     sized(nil), is: sized(ptr[int32](1)),
		},
		"RolledOut": {
			reason:  "A rollout changes a Deployment many times and its size never.",
			accepts: sizeChanged(),
			was:     sized(ptr[int32](3)), is: sized(ptr[int32](3), func(d *appsv1.Deployment) { d.Generation = 2 }),
		},
		"Deleted": {
			reason:  "A target that is being deleted is no target any more.",
			accepts: sizeChanged(),
			was:     sized(ptr[int32](3)), is: sized(ptr[int32](3), func(d *appsv1.Deployment) { d.DeletionTimestamp = &now }),
			want: true,
		},
		"OthersLetGo": {
			reason:  "A deleted scaler goes when the last finalizer but ours has gone.",
			accepts: othersLetGo(),
			was:     deleted("ours", "foregroundDeletion"), is: deleted("ours"),
			want: true,
		},
		"NobodyLetGo": {
			reason:  "A deleted scaler that others still hold is waited for.",
			accepts: othersLetGo(),
			was:     deleted("ours", "foregroundDeletion"), is: deleted("ours", "foregroundDeletion"),
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tc.accepts.Update(cevent.UpdateEvent{ObjectOld: tc.was, ObjectNew: tc.is}); got != tc.want {
				t.Errorf("%s\naccepted: %t, want %t", tc.reason, got, tc.want)
			}
		})
	}
}
