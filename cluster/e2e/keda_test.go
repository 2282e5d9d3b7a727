//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	kmeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
)

// withKEDA skips a test where KEDA is not installed: `make keda` does that.
func withKEDA(t *testing.T) {
	t.Helper()

	if _, err := kube.RESTMapper().RESTMapping(schema.GroupKind{Group: "keda.sh", Kind: "ScaledObject"}); kmeta.IsNoMatchError(err) {
		t.Skip("KEDA is not installed: run make keda")
	} else if err != nil {
		t.Fatal(err)
	}
}

// sizedByKEDA has KEDA write the size of a pool, and ask the provider which.
func sizedByKEDA(ad *v1alpha1.AIDispatcher) { ad.Spec.Scaling.Engine = v1alpha1.EngineKEDA }

// A pool that KEDA sizes grows with its tasks and shrinks when they are done, but never by the one that is still at work.
func TestKEDAAsksTheProvider(t *testing.T) {
	withKEDA(t)

	ns := namespace(t)
	startObjects(t, ns)

	const most = 8

	ad := create(t, ns, "quickstart", scaled(most), saving, sizedByKEDA)
	first := settled(t, ad, 1)["0"]
	since := time.Now()

	for range most + 3 {
		hand(t, first, 4)
	}

	eventually(t, fmt.Sprintf("the Deployment asks for %d workers", most), func(ctx context.Context) error {
		d := &appsv1.Deployment{}
		if err := kube.Get(ctx, client.ObjectKeyFromObject(ad), d); err != nil {
			return err
		}

		if n := ptr.Deref(d.Spec.Replicas, 0); n != most {
			return fmt.Errorf("it asks for %d", n)
		}

		return nil
	})
	t.Logf("from the first task to %d asked for: %s", most, time.Since(since).Round(100*time.Millisecond))

	all := settled(t, ad, most)
	long := occupy(t, all["5"], 240)

	wanted(t, ad, 1)

	after := settled(t, ad, 1)
	if after["5"].UID != all["5"].UID {
		t.Errorf("the busy worker of slot 5 was removed, or another was kept: %v", slotsOf(after))
	}

	completed(t, all["5"], long)
	nothingLeft(t, ad, 1)
}
