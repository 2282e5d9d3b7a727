//go:build bench

package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
)

const (
	fakeNode = "kwok"
	trickled = 100
)

// A hundred workers become ready over a time that is drawn out more and more. What counts is whether Crossplane stops
// listening to the pool (its condition Responsive), for how long the pool's status is then behind, and that it is right
// in the end.
func TestTrickle(t *testing.T) {
	c := connect(t)
	playNode(t, c)
	placeOnFakeNode(t, c)

	fmt.Println("| workers become ready within | circuit breaker | all ready, by the Deployment | said by the pool after further |")
	fmt.Println("| --- | --- | --- | --- |")

	for _, s := range strings.Fields(cmp.Or(os.Getenv("TRICKLES"), "10s 100s")) {
		over, err := time.ParseDuration(s)
		if err != nil {
			t.Fatal(err)
		}

		t.Run(over.String(), func(t *testing.T) {
			playPods(t, over)

			ad := pool(t, c, 1)
			settledWithin(t, c, ad, 1, over+time.Minute)
			// The bucket fills again: what is measured is the trickle, not the creation before it.
			time.Sleep(45 * time.Second)

			start := time.Now()
			patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, trickled))

			if err := c.Patch(t.Context(), ad.DeepCopy(), patch); err != nil {
				t.Fatal(err)
			}

			opened, ready, said := follow(t, c, ad, start, over+5*time.Minute)
			fmt.Printf("| %s | %s | after %.0f s | %.1f s |\n", over, opened, ready.Seconds(), (said - ready).Seconds())
		})
	}
}

// follow watches a pool grow: whether its breaker opened, when the Deployment had all workers ready, and when the pool
// said so.
func follow(t *testing.T, c client.Client, ad *v1alpha1.AIDispatcher, start time.Time, within time.Duration) (opened string, ready, said time.Duration) {
	t.Helper()

	opened = "stayed closed"

	for time.Since(start) < within {
		d := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apps/v1", "kind": "Deployment"}}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(ad), d); err != nil {
			t.Fatal(err)
		}

		if n, _, _ := unstructured.NestedInt64(d.Object, "status", "readyReplicas"); n == trickled && ready == 0 {
			ready = time.Since(start)
		}

		now := &v1alpha1.AIDispatcher{}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(ad), now); err != nil {
			t.Fatal(err)
		}

		if now.Status.GetCondition("Responsive").Status == corev1.ConditionFalse && opened == "stayed closed" {
			opened = fmt.Sprintf("open after %.0f s", time.Since(start).Seconds())
		}

		if ready > 0 && now.Status.State == v1alpha1.StateSteady && *now.Status.AvailableReplicas == trickled {
			return opened, ready, time.Since(start)
		}

		time.Sleep(100 * time.Millisecond)
	}

	t.Fatalf("the pool did not say that it has %d workers in %s", trickled, within)

	return opened, ready, said
}

func settledWithin(t *testing.T, c client.Client, ad *v1alpha1.AIDispatcher, n int32, within time.Duration) {
	t.Helper()

	deadline := time.Now().Add(within)
	for time.Now().Before(deadline) {
		now := &v1alpha1.AIDispatcher{}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(ad), now); err == nil && now.Status.State == v1alpha1.StateSteady {
			return
		}

		time.Sleep(200 * time.Millisecond)
	}

	t.Fatalf("the pool did not settle at %d in %s", n, within)
}

// playNode makes a node that KWOK plays, which nothing is scheduled on by accident.
func playNode(t *testing.T, c client.Client) {
	t.Helper()

	n := &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: fakeNode, Labels: map[string]string{"type": fakeNode}, Annotations: map[string]string{"kwok.x-k8s.io/node": "fake"}},
		Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: fakeNode, Effect: corev1.TaintEffectNoSchedule}}},
	}
	if err := c.Create(t.Context(), n); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = c.Delete(context.Background(), n) })
}

// placeOnFakeNode sends all workers of the catalog there, until the test ends.
func placeOnFakeNode(t *testing.T, c client.Client) {
	t.Helper()

	comp := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "apiextensions.crossplane.io/v1", "kind": "Composition"}}
	if err := c.Get(t.Context(), types.NamespacedName{Name: "aidispatcher"}, comp); err != nil {
		t.Fatal(err)
	}

	was := comp.DeepCopy()
	pipeline, _, _ := unstructured.NestedSlice(comp.Object, "spec", "pipeline")
	roles, _, _ := unstructured.NestedSlice(pipeline[0].(map[string]any), "input", "roles")

	for i := range roles {
		r := roles[i].(map[string]any)
		r["nodeSelector"] = map[string]any{"type": fakeNode}
		r["tolerations"] = []any{map[string]any{"key": fakeNode, "operator": "Exists"}}
	}

	if err := unstructured.SetNestedSlice(pipeline[0].(map[string]any), roles, "input", "roles"); err != nil {
		t.Fatal(err)
	}

	if err := unstructured.SetNestedSlice(comp.Object, pipeline, "spec", "pipeline"); err != nil {
		t.Fatal(err)
	}

	if err := c.Update(t.Context(), comp); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		comp.Object["spec"] = was.Object["spec"]
		_ = c.Update(context.Background(), comp)
	})
}

// playPods runs KWOK with its own fast stages, but for this: a pod becomes ready at a random time within over.
func playPods(t *testing.T, over time.Duration) {
	t.Helper()

	module := os.Getenv("KWOK_MODULE")
	if module == "" {
		t.Fatal("KWOK_MODULE is not set: run `make kwok`")
	}

	args := []string{"--kubeconfig", os.Getenv("KUBECONFIG"), "--manage-nodes-with-annotation-selector", "kwok.x-k8s.io/node=fake", "--server-address", "127.0.0.1:0", "--node-lease-duration-seconds", "40"}

	for _, f := range []string{"node/fast/node-initialize.yaml", "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml", "pod/fast/pod-delete.yaml", "pod/fast/pod-ready.yaml"} {
		b, err := os.ReadFile(filepath.Join(module, "kustomize/stage", f))
		if err != nil {
			t.Fatal(err)
		}

		stage := map[string]any{}
		if err := yaml.Unmarshal(b, &stage); err != nil {
			t.Fatal(err)
		}

		if filepath.Base(f) == "pod-ready.yaml" {
			stage["spec"].(map[string]any)["delay"] = map[string]any{"durationMilliseconds": 500, "jitterDurationMilliseconds": over.Milliseconds()}
		}

		file := filepath.Join(t.TempDir(), filepath.Base(f))

		b, err = json.Marshal(stage)
		if err != nil {
			t.Fatal(err)
		}

		if err := os.WriteFile(file, b, 0o600); err != nil {
			t.Fatal(err)
		}

		args = append(args, "--config", file)
	}

	start(t, "kwok", args...)
}
