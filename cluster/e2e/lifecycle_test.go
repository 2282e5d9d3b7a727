//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// Deleting a pool removes everything that was made for it, of whatever kind.
func TestDeleteLeavesNothing(t *testing.T) {
	t.Parallel()

	ns := namespace(t)
	untouched := inventory(t, ns)
	ad := create(t, ns, "quickstart", sized(2))
	settled(t, ad, 2)

	if made := inventory(t, ns); len(made) < 5 {
		t.Fatalf("the inventory sees only %v: it could not tell what is left behind", made)
	}

	command(t, "kubectl", "delete", "-n", ns, "ad/coder-agent-pool", "--timeout=90s")
	eventually(t, "nothing is left", func(context.Context) error {
		if left := inventory(t, ns); !slices.Equal(left, untouched) {
			return fmt.Errorf("left: %s", strings.Join(left, ", "))
		}

		return nil
	})
}

// inventory lists everything in a namespace but its events, and the composites of the cluster.
func inventory(t *testing.T, ns string) []string {
	t.Helper()

	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}

	var out []string

	for _, gvr := range listable(t) {
		list, err := dyn.Resource(gvr).Namespace(ns).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			continue // Kinds of a group that is just going away.
		}

		for _, o := range list.Items {
			out = append(out, gvr.Resource+"/"+o.GetName())
		}
	}

	composites, err := dyn.Resource(schema.GroupVersionResource{Group: "southwest.ai", Version: "v1alpha1", Resource: "xaidispatchers"}).List(t.Context(), metav1.ListOptions{LabelSelector: "crossplane.io/claim-namespace=" + ns})
	if err == nil {
		for _, o := range composites.Items {
			out = append(out, "xaidispatchers/"+o.GetName())
		}
	}

	slices.Sort(out)

	return slices.Compact(out)
}

func listable(t *testing.T) []schema.GroupVersionResource {
	t.Helper()

	d, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		t.Fatal(err)
	}

	lists, err := d.ServerPreferredNamespacedResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		t.Fatal(err)
	}

	var out []schema.GroupVersionResource

	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}

		for _, r := range l.APIResources {
			if slices.Contains(r.Verbs, "list") && r.Kind != "Event" {
				out = append(out, gv.WithResource(r.Name))
			}
		}
	}

	return out
}

// A claim that the catalog cannot serve says why, and changes nothing that runs.
func TestRefusedClaimChangesNothing(t *testing.T) {
	t.Parallel()

	ad := create(t, namespace(t), "quickstart", sized(2))
	before := settled(t, ad, 2)

	edit(t, ad, func(ad *v1alpha1.AIDispatcher) { ad.Spec.ModelRef = "gpt-99" })
	eventually(t, "the claim says why it is refused", func(ctx context.Context) error {
		now := &v1alpha1.AIDispatcher{}
		if err := kube.Get(ctx, client.ObjectKeyFromObject(ad), now); err != nil {
			return err
		}

		if c := now.Status.GetCondition(v1alpha1.ConditionAccepted); c.Status != corev1.ConditionFalse || c.Reason != v1alpha1.ReasonUnknownModel || !strings.Contains(c.Message, "claude, gpt-4") {
			return fmt.Errorf("condition Accepted is %q, %q: %s", c.Status, c.Reason, c.Message)
		}

		return nil
	})

	after, err := workers(t.Context(), ad, 2)
	if err != nil {
		t.Fatal(err)
	}

	for slot, p := range before {
		if q := after[slot]; q.GetUID() != p.GetUID() {
			t.Errorf("slot %s went from %s to %s", slot, p.GetName(), q.GetName())
		}
	}

	edit(t, ad, func(ad *v1alpha1.AIDispatcher) { ad.Spec.ModelRef = "gpt-4" })
	settled(t, ad, 2)
}

// A pool whose name is as long as names may be works like any other.
func TestLongName(t *testing.T) {
	t.Parallel()

	name := strings.Repeat("a", 63)
	ad := create(t, namespace(t), "quickstart", sized(1), func(ad *v1alpha1.AIDispatcher) { ad.SetName(name) })
	phase(t, ad, v1alpha1.PhaseReady)

	pods := &corev1.PodList{}
	if err := kube.List(t.Context(), pods, client.InNamespace(ad.GetNamespace()), client.MatchingLabels{monitorapi.LabelDispatcher: name}); err != nil || len(pods.Items) != 1 {
		t.Errorf("want one worker labelled with the whole name, got %d, %v", len(pods.Items), err)
	}
}

// A worker has no more rights than it needs, which is none: no token, no root, nothing to write but its state.
func TestWorkersAreRestricted(t *testing.T) {
	t.Parallel()

	ns := namespace(t)
	command(t, "kubectl", "label", "namespace", ns, "pod-security.kubernetes.io/enforce=restricted", "pod-security.kubernetes.io/enforce-version=latest")
	ad := create(t, ns, "quickstart", sized(1))
	p := settled(t, ad, 1)["0"]

	for _, v := range p.Spec.Volumes {
		if v.Projected != nil {
			t.Errorf("the worker mounts %s, which holds a token", v.Name)
		}
	}
}
