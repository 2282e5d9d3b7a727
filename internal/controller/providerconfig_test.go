package controller

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

func TestUserOf(t *testing.T) {
	usage := func(kind string) *v1alpha1.ProviderConfigUsage {
		return &v1alpha1.ProviderConfigUsage{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "u"},
			TypedProviderConfigUsage: xpv2.TypedProviderConfigUsage{
				ProviderConfigReference: xpv2.ProviderConfigReference{Kind: kind, Name: "default"},
			},
		}
	}

	cases := map[string]struct {
		reason string
		kind   string
		usage  *v1alpha1.ProviderConfigUsage
		want   []reconcile.Request
	}{
		"Namespaced": {
			reason: "A ProviderConfig is in the namespace of its user.",
			kind:   "ProviderConfig",
			usage:  usage("ProviderConfig"),
			want:   []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: "ns", Name: "default"}}},
		},
		"Cluster": {
			reason: "A ClusterProviderConfig is in no namespace.",
			kind:   "ClusterProviderConfig",
			usage:  usage("ClusterProviderConfig"),
			want:   []reconcile.Request{{NamespacedName: types.NamespacedName{Name: "default"}}},
		},
		"OtherKind": {
			reason: "A configuration of one name and another kind is another one.",
			kind:   "ProviderConfig",
			usage:  usage("ClusterProviderConfig"),
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, userOf(tc.kind)(t.Context(), tc.usage)); diff != "" {
				t.Errorf("%s\nuserOf(%s)(...): -want, +got:\n%s", tc.reason, tc.kind, diff)
			}
		})
	}
}

// What is thrown away to save memory must not be what a controller reads.
func TestSlim(t *testing.T) {
	now := metav1.Now()
	full := metav1.ObjectMeta{
		Namespace: "ns", Name: "n", UID: "u", ResourceVersion: "7", Generation: 3, CreationTimestamp: now, DeletionTimestamp: &now,
		Labels:        map[string]string{"southwest.ai/dispatcher": "coder"},
		Annotations:   map[string]string{"big": "blob"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubelet"}},
	}
	kept := full
	kept.Annotations, kept.ManagedFields = nil, nil

	gates := []corev1.PodSchedulingGate{{Name: "southwest.ai/slot"}}
	sel := &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}}
	n := int32(3)

	cases := map[string]struct {
		reason    string
		transform func(any) (any, error)
		in, want  any
	}{
		"Pod": {
			reason:    "Of a pod the binder reads its identity, its gates and whether it has ended.",
			transform: slimPod,
			in: &corev1.Pod{
				ObjectMeta: full,
				Spec:       corev1.PodSpec{SchedulingGates: gates, Containers: []corev1.Container{{Name: "agent"}}},
				Status:     corev1.PodStatus{Phase: corev1.PodFailed, Message: "long"},
			},
			want: &corev1.Pod{ObjectMeta: kept, Spec: corev1.PodSpec{SchedulingGates: gates}, Status: corev1.PodStatus{Phase: corev1.PodFailed}},
		},
		"Deployment": {
			reason:    "Of a Deployment the scaler reads its size, its selector and whether it rolls out.",
			transform: slimDeployment,
			in: &appsv1.Deployment{
				ObjectMeta: full,
				Spec:       appsv1.DeploymentSpec{Replicas: &n, Selector: sel, MinReadySeconds: 5},
				Status:     appsv1.DeploymentStatus{Replicas: 2, UpdatedReplicas: 1, ReadyReplicas: 1},
			},
			want: &appsv1.Deployment{
				ObjectMeta: kept, Spec: appsv1.DeploymentSpec{Replicas: &n, Selector: sel},
				Status: appsv1.DeploymentStatus{Replicas: 2, UpdatedReplicas: 1},
			},
		},
		"Other": {
			reason:    "What is of another kind, such as the mark of a deletion that was missed, is passed on.",
			transform: slimPod,
			in:        "mark",
			want:      "mark",
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := tc.transform(tc.in)
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
