package argocd_test

import (
	"testing"

	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// An action changes its one field of a pool and nothing else, and is offered where it would change something.
func TestActions(t *testing.T) {
	vm := lua.VM{ResourceOverrides: overrides(t)}
	suspended := set(true, "spec", "suspend")
	resumed := set(false, "spec", "suspend")
	paused := set("true", "metadata", "annotations", "crossplane.io/paused")

	for name, tc := range map[string]struct {
		reason string
		action string
		before func(*testing.T, *unstructured.Unstructured)
		after  func(*testing.T, *unstructured.Unstructured)
		// Whether it is offered before; afterwards it never is.
		offered bool
	}{
		"Suspend":  {reason: "A pool that works is suspended.", action: "suspend", before: resumed, after: suspended, offered: true},
		"Resume":   {reason: "A suspended pool is resumed.", action: "resume", before: suspended, after: resumed, offered: true},
		"Pause":    {reason: "Crossplane leaves the pool alone.", action: "pause", before: remove("metadata", "annotations", "crossplane.io/paused"), after: paused, offered: true},
		"Unpause":  {reason: "Crossplane goes on.", action: "unpause", before: paused, after: remove("metadata", "annotations", "crossplane.io/paused"), offered: true},
		"Needless": {reason: "What is so already is not offered.", action: "resume", before: resumed, after: resumed},
		"FirstAnnotation": {
			reason: "A pool may have no annotation at all.", action: "pause", offered: true,
			before: remove("metadata", "annotations"), after: paused,
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := read(t, "testdata/health/pool/ready.yaml")
			tc.before(t, o)

			want := o.DeepCopy()
			tc.after(t, want)

			if got := offered(t, vm, o, tc.action); got != tc.offered {
				t.Errorf("%s It is offered: %t, want %t", tc.reason, got, tc.offered)
			}

			a, err := vm.GetResourceAction(o, tc.action)
			if err != nil {
				t.Fatal(err)
			}

			got, err := vm.ExecuteResourceAction(o, a.ActionLua, nil)
			if err != nil {
				t.Fatal(err)
			}

			if len(got) != 1 || got[0].K8SOperation != lua.PatchOperation {
				t.Fatalf("want one patch, got %+v", got)
			}

			if diff := cmp.Diff(want.Object, got[0].UnstructuredObj.Object); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}

			if got := offered(t, vm, got[0].UnstructuredObj, tc.action); got {
				t.Errorf("%s It is offered afterwards still", tc.reason)
			}
		})
	}
}

// offered says whether the UI lets somebody run an action.
func offered(t *testing.T, vm lua.VM, o *unstructured.Unstructured, action string) bool {
	t.Helper()

	scripts, err := vm.GetResourceActionDiscovery(o)
	if err != nil {
		t.Fatal(err)
	}

	actions, err := vm.ExecuteResourceActionDiscovery(o, scripts)
	if err != nil {
		t.Fatal(err)
	}

	for _, a := range actions {
		if a.Name == action {
			return !a.Disabled
		}
	}

	t.Fatalf("there is no action %s in %v", action, actions)

	return false
}
