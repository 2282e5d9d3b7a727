//go:build integration

package controller

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A saving worker is a pod on an address of this machine, whose monitor answers as the one there would once it has saved.
type savingWorker struct {
	pod   *corev1.Pod
	saves atomic.Bool
}

func newSavingWorker(t *testing.T, ns, name, ip string) *savingWorker {
	t.Helper()

	w := &savingWorker{pod: &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: ns, Name: name, Labels: map[string]string{v1alpha1.LabelCheckpoint: "pool", monitorapi.LabelDispatcher: "pool"},
			Annotations: map[string]string{monitorapi.AnnotationSlot: name},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "agent"}}},
	}}
	create(t, w.pod)

	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(ip, strconv.Itoa(monitorapi.Port)))
	if err != nil {
		t.Fatal(err)
	}

	s := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		p := &corev1.Pod{}
		if err := kube.Get(r.Context(), client.ObjectKeyFromObject(w.pod), p); err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)

			return
		}

		c := &monitorapi.Checkpoint{CurrentAt: ptr(time.Now())}
		if w.saves.Load() {
			c.Asked = p.GetAnnotations()[monitorapi.AnnotationCheckpointNow]
		}

		_ = json.NewEncoder(rw).Encode(monitorapi.Status{Version: monitorapi.StatusVersion, StartedAt: time.Now(), Checkpoint: c})
	}))
	s.Listener = lis
	s.Start()
	t.Cleanup(s.Close)

	w.pod.Status.Phase, w.pod.Status.PodIP = corev1.PodRunning, ip
	if err := kube.Status().Update(t.Context(), w.pod); err != nil {
		t.Fatal(err)
	}

	return w
}

func (w *savingWorker) told(t *testing.T) string {
	t.Helper()

	return get(t, w.pod).GetAnnotations()[monitorapi.AnnotationCheckpointNow]
}

// Who asks a Checkpoint for one now has all its workers told, and is answered when the last of them has saved. An observer tells
// nobody.
func TestCheckpointNow(t *testing.T) {
	startProvider(t)

	ns := newNamespace(t)
	pc, c := newCheckpoint(ns, "pool", t.TempDir())
	create(t, pc, c)
	conditionIs(t, c, xpv2.TypeReady, corev1.ConditionTrue, xpv2.ReasonAvailable)

	first, second := newSavingWorker(t, ns, "0", "127.0.97.1"), newSavingWorker(t, ns, "1", "127.0.97.2")
	first.saves.Store(true)

	ask := func(request string) {
		t.Helper()
		patch(t, get(t, c), func() {
			c.SetAnnotations(map[string]string{v1alpha1.AnnotationCheckpointNow: request})
		})
	}

	ask("before the upgrade")
	eventually(t, func() string {
		if a, b := first.told(t), second.told(t); a != "before the upgrade" || b != a {
			return fmt.Sprintf("workers were told %q and %q; %s", a, b, saidOf(t, c))
		}

		return ""
	})

	if done := get(t, c).Status.AtProvider.CheckpointedFor; done != "" {
		t.Errorf("one worker has not saved, and %q is said to be done", done)
	}

	second.saves.Store(true)
	eventually(t, func() string {
		if done := get(t, c).Status.AtProvider.CheckpointedFor; done != "before the upgrade" {
			return fmt.Sprintf("done is %q", done)
		}

		return ""
	})

	patch(t, get(t, c), func() { c.Spec.ManagementPolicies = xpv2.ManagementPolicies{xpv2.ManagementActionObserve} })
	ask("by an observer")
	eventually(t, func() string {
		if m := get(t, c).GetCondition(xpv2.TypeSynced); m.ObservedGeneration != c.GetGeneration() {
			return "the observer was not seen yet"
		}

		return ""
	})

	if got := first.told(t); got != "before the upgrade" {
		t.Errorf("an observer had a worker told %q", got)
	}
}
