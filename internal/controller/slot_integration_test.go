//go:build integration

package controller

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/internal/controller/slot"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// newPod returns a worker as a ReplicaSet makes it from the function's template: with a gate.
func newPod(d *appsv1.Deployment, name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: d.GetNamespace(), Name: name, Labels: d.Spec.Template.Labels},
		Spec: corev1.PodSpec{
			SchedulingGates: []corev1.PodSchedulingGate{{Name: monitorapi.SlotGate}},
			Containers:      d.Spec.Template.Spec.Containers,
		},
	}
}

// A worker as a test sees it: "slot N" or "gated", by name.
func workers(t *testing.T, ns string) map[string]string {
	t.Helper()

	l := &corev1.PodList{}
	if err := kube.List(t.Context(), l, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}

	out := map[string]string{}
	slots, epochs := map[string]string{}, map[string]string{}

	for _, p := range l.Items {
		s, e := p.Annotations[monitorapi.AnnotationSlot], p.Annotations[monitorapi.AnnotationEpoch]

		if p.Status.Phase == corev1.PodFailed || p.Status.Phase == corev1.PodSucceeded {
			out[p.Name] = "ended"
			continue
		}

		if len(p.Spec.SchedulingGates) > 0 {
			out[p.Name] = "gated"

			if s != "" {
				t.Errorf("pod %s is gated and has slot %s: gate and slot were not written as one", p.Name, s)
			}

			continue
		}

		out[p.Name] = "slot " + s

		// Slots and epochs are a pool's own.
		s, e = p.Labels[monitorapi.LabelDispatcher]+"/"+s, p.Labels[monitorapi.LabelDispatcher]+"/"+e
		if slots[s] != "" || epochs[e] != "" {
			t.Errorf("pod %s has slot %s under epoch %s, as %s or %s", p.Name, s, e, slots[s], epochs[e])
		}

		slots[s], epochs[e] = p.Name, p.Name

		if got := p.Annotations[monitorapi.AnnotationRestore]; got != monitorapi.RestoreNone {
			t.Errorf("pod %s is told to restore %q", p.Name, got)
		}
	}

	return out
}

// workersAre waits until the namespace has these workers.
func workersAre(t *testing.T, ns string, want map[string]string) {
	t.Helper()
	eventually(t, func() string {
		if diff := cmp.Diff(want, workers(t, ns)); diff != "" {
			return "workers: -want, +got:\n" + diff
		}

		return ""
	})
}

// kill deletes a pod that no kubelet runs.
func kill(t *testing.T, p *corev1.Pod) {
	t.Helper()

	if err := kube.Delete(t.Context(), p, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}
}

func epochOf(t *testing.T, p *corev1.Pod) int {
	t.Helper()

	e, err := strconv.Atoi(get(t, p).Annotations[monitorapi.AnnotationEpoch])
	if err != nil {
		t.Fatal(err)
	}

	return e
}

func TestBinderGivesLowestFreeSlot(t *testing.T) {
	startProvider(t)

	ns := newNamespace(t)
	d, s := newDeployment(ns, "coder"), newScaler(ns, "coder", 3)
	create(t, d, s)
	replicasAre(t, d, 3)

	a, b, c, e := newPod(d, "a"), newPod(d, "b"), newPod(d, "c"), newPod(d, "e")
	create(t, a)
	workersAre(t, ns, map[string]string{"a": "slot 0"})
	create(t, b)
	workersAre(t, ns, map[string]string{"a": "slot 0", "b": "slot 1"})
	create(t, c)
	workersAre(t, ns, map[string]string{"a": "slot 0", "b": "slot 1", "c": "slot 2"})

	// More pods than the pool should have workers: a surge, or the replacement of one that is being removed.
	create(t, e)
	patch(t, s, func() { s.Spec.ForProvider.Replicas = 2 })
	replicasAre(t, d, 2)
	workersAre(t, ns, map[string]string{"a": "slot 0", "b": "slot 1", "c": "slot 2", "e": "gated"})

	// One is gone: that leaves as many as there should be.
	kill(t, b)
	workersAre(t, ns, map[string]string{"a": "slot 0", "c": "slot 2", "e": "gated"})

	// There is room again, and nothing moves.
	patch(t, get(t, s), func() { s.Spec.ForProvider.Replicas = 3 })
	workersAre(t, ns, map[string]string{"a": "slot 0", "c": "slot 2", "e": "slot 1"})

	if first, second := epochOf(t, c), epochOf(t, e); second <= first {
		t.Errorf("the second owner of a slot has epoch %d, not newer than %d", second, first)
	}

	eventually(t, func() string {
		if n := eventsOf(t, get(t, e), "SlotBound"); n != 1 {
			return fmt.Sprintf("pod e has %d events SlotBound, want 1", n)
		}

		return ""
	})
}

func TestBinderWaitsForTheOldOwner(t *testing.T) {
	startProvider(t)

	ns := newNamespace(t)
	d, s := newDeployment(ns, "coder"), newScaler(ns, "coder", 1)
	create(t, d, s)
	conditionIs(t, s, "Ready", corev1.ConditionTrue, "Available")

	old, fresh := newPod(d, "old"), newPod(d, "fresh")
	old.Finalizers = []string{"southwest.ai/test"}
	create(t, old)
	workersAre(t, ns, map[string]string{"old": "slot 0"})

	// It is terminating for as long as it has a finalizer.
	kill(t, old)
	create(t, fresh)

	// A second pool that came later is served: the first's turn is over.
	d2, s2 := newDeployment(ns, "other"), newScaler(ns, "other", 1)
	create(t, d2, s2, newPod(d2, "o"))
	eventually(t, func() string {
		if got := workers(t, ns)["o"]; got != "slot 0" {
			return "pod o of another pool is " + got
		}

		return ""
	})

	if got := workers(t, ns)["fresh"]; got != "gated" {
		t.Fatalf("the new pod is %s while the old one is still terminating", got)
	}

	// Ended but not gone: the slot is free.
	old = get(t, old)
	old.Status.Phase = corev1.PodFailed
	if err := kube.Status().Update(t.Context(), old); err != nil {
		t.Fatal(err)
	}

	eventually(t, func() string {
		if got := get(t, fresh).Annotations[monitorapi.AnnotationSlot]; got != "0" {
			return fmt.Sprintf("the new pod has slot %q after the old one has ended, want 0", got)
		}

		return ""
	})

	patch(t, get(t, old), func() { old.Finalizers = nil })
}

func TestBinderIgnoresPodsWithoutGate(t *testing.T) {
	startProvider(t)

	ns := newNamespace(t)
	d, s := newDeployment(ns, "coder"), newScaler(ns, "coder", 3)
	stateless, gated := newPod(d, "a"), newPod(d, "b")
	stateless.Spec.SchedulingGates = nil
	// A gate of somebody else stays.
	gated.Spec.SchedulingGates = append(gated.Spec.SchedulingGates, corev1.PodSchedulingGate{Name: "example.org/quota"})
	create(t, d, s, stateless, gated)

	eventually(t, func() string {
		want := []corev1.PodSchedulingGate{{Name: "example.org/quota"}}

		return cmp.Diff(want, get(t, gated).Spec.SchedulingGates)
	})

	if got := get(t, gated).Annotations[monitorapi.AnnotationSlot]; got != "0" {
		t.Errorf("the gated pod has slot %q, want 0", got)
	}

	if got, ok := get(t, stateless).Annotations[monitorapi.AnnotationSlot]; ok {
		t.Errorf("the pod without a gate was given slot %s", got)
	}
}

// A binder that stopped after it had saved a claim and before the pod heard of it.
func TestBinderCompletesWhatWasBegun(t *testing.T) {
	stop := startProvider(t)

	ns := newNamespace(t)
	d, s := newDeployment(ns, "coder"), newScaler(ns, "coder", 3)
	create(t, d, s)
	replicasAre(t, d, 3)

	a := newPod(d, "a")
	create(t, a)
	workersAre(t, ns, map[string]string{"a": "slot 0"})
	stop()

	b, c := newPod(d, "b"), newPod(d, "c")
	create(t, b)

	cm := get(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: slot.LedgerName("coder")}})
	if owner := metav1.GetControllerOf(cm); owner == nil || owner.UID != s.GetUID() {
		t.Errorf("the ledger's controller is %v, want the AgentScaler", owner)
	}

	// The claim is on a slot that nobody would choose now, so that it is seen to be the one completed. Another is of a
	// pod that is gone.
	cm.Data["ledger.json"] = fmt.Sprintf(`{"version":1,"epoch":9,"claims":[
		{"slot":0,"epoch":1,"pod":"a","uid":%q},{"slot":1,"epoch":8,"pod":"gone","uid":"u"},{"slot":5,"epoch":9,"pod":"b","uid":%q}]}`, a.UID, b.UID)
	if err := kube.Update(t.Context(), cm); err != nil {
		t.Fatal(err)
	}

	startProvider(t)
	workersAre(t, ns, map[string]string{"a": "slot 0", "b": "slot 5"})
	create(t, c)
	workersAre(t, ns, map[string]string{"a": "slot 0", "b": "slot 5", "c": "slot 1"})

	if got := epochOf(t, c); got != 10 {
		t.Errorf("the next epoch is %d, want 10", got)
	}
}

// A ledger that was deleted is made again from what the workers were told.
func TestBinderRebuildsItsLedger(t *testing.T) {
	startProvider(t)

	ns := newNamespace(t)
	d, s := newDeployment(ns, "coder"), newScaler(ns, "coder", 3)
	create(t, d, s)
	replicasAre(t, d, 3)

	a, b, c := newPod(d, "a"), newPod(d, "b"), newPod(d, "c")
	create(t, a)
	workersAre(t, ns, map[string]string{"a": "slot 0"})
	create(t, b)
	workersAre(t, ns, map[string]string{"a": "slot 0", "b": "slot 1"})

	if err := kube.Delete(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: slot.LedgerName("coder")}}); err != nil {
		t.Fatal(err)
	}

	create(t, c)
	workersAre(t, ns, map[string]string{"a": "slot 0", "b": "slot 1", "c": "slot 2"})

	if got, newest := epochOf(t, c), epochOf(t, b); got <= newest {
		t.Errorf("after the ledger was lost the next epoch is %d, not newer than %d", got, newest)
	}
}

// Two providers that both believe to be the only one, of which one is stopped and started while workers come and go.
func TestTwoBindersAtOnce(t *testing.T) {
	startProvider(t)
	stop := startProvider(t)

	ns := newNamespace(t)
	d, s := newDeployment(ns, "coder"), newScaler(ns, "coder", 20)
	create(t, d, s)

	const n = 20

	pods := make([]*corev1.Pod, 0, 2*n)
	want := map[string]string{}

	for i := range n {
		p := newPod(d, fmt.Sprintf("p%02d", i))
		create(t, p)
		pods = append(pods, p)

		switch i {
		case n / 3:
			stop()
		case 2 * n / 3:
			startProvider(t)
		}
	}

	allBound := func() string {
		bound := 0

		for _, w := range workers(t, ns) {
			if w != "gated" {
				bound++
			}
		}

		if bound != n {
			return fmt.Sprintf("%d workers have a slot, want %d", bound, n)
		}

		return ""
	}
	eventually(t, allBound)

	// Every third is replaced.
	for i := 0; i < n; i += 3 {
		kill(t, pods[i])
		create(t, newPod(d, fmt.Sprintf("r%02d", i)))
	}

	eventually(t, allBound)

	for _, w := range workers(t, ns) {
		want[w] = ""
	}

	for i := range n {
		if _, ok := want[fmt.Sprintf("slot %d", i)]; !ok {
			t.Errorf("slot %d of %d is held by nobody", i, n)
		}
	}
}

// Nobody binds workers of a pool whose scaler is gone, and nobody makes a ledger for it.
func TestBinderNeedsAScaler(t *testing.T) {
	startProvider(t)

	ns := newNamespace(t)
	d := newDeployment(ns, "coder")
	a := newPod(d, "a")
	create(t, d, a)

	d2, s2 := newDeployment(ns, "other"), newScaler(ns, "other", 1)
	create(t, d2, s2, newPod(d2, "o"))
	eventually(t, func() string {
		if got := workers(t, ns)["o"]; got != "slot 0" {
			return "pod o of another pool is " + got
		}

		return ""
	})

	if got := workers(t, ns)["a"]; got != "gated" {
		t.Errorf("the worker of a pool without a scaler is %s", got)
	}

	cm := &corev1.ConfigMap{}
	if err := kube.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: slot.LedgerName("coder")}, cm); !kerrors.IsNotFound(err) {
		t.Errorf("there is a ledger for a pool without a scaler (%v)", err)
	}

	create(t, newScaler(ns, "coder", 1))
	eventually(t, func() string {
		if got := workers(t, ns)["a"]; got != "slot 0" {
			return "the worker is " + got + " although its scaler came"
		}

		return ""
	})
}
