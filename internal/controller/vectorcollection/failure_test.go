package vectorcollection

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/memvector"
)

// Each failure has its reason, whichever call it befalls, and goes with its cause.
func TestFailures(t *testing.T) {
	kinds := map[vector.Kind]string{
		vector.Unavailable:        "StoreUnavailable",
		vector.CertificateInvalid: "CertificateInvalid",
		vector.Unauthenticated:    "Unauthenticated",
		vector.PermissionDenied:   "PermissionDenied",
		vector.QuotaExceeded:      "QuotaExceeded",
		vector.Invalid:            "ReconcileError",
		vector.Unknown:            "ReconcileError",
	}

	for kind, reason := range kinds {
		for _, call := range []string{"Describe", "Create", "PointAlias", "Grant"} {
			t.Run(fmt.Sprintf("%s of %s", call, kind), func(t *testing.T) {
				w := newWorld(t, nil)
				w.store.Fail(func(c, _ string) error {
					if c == call {
						return vector.Errorf(kind, "the store says no")
					}

					return nil
				})

				// Longer than any driver waits must no test: what cannot be reached is not asked again.
				for range 3 {
					w.reconcile(t)
				}

				if got := w.synced(t); !strings.HasPrefix(got, "False "+reason+": ") || !strings.HasSuffix(got, "the store says no") {
					t.Errorf("Synced is %s, want reason %s and the store's words", got, reason)
				}

				before := w.snapshot(t)
				w.reconcile(t)

				if diff := cmp.Diff(before.Status, w.snapshot(t).Status); diff != "" {
					t.Errorf("the status changes with every attempt: -before, +after:\n%s", diff)
				}

				w.store.Fail(nil)
				w.start()
				w.settle(t)

				if got := w.synced(t); got != "True ReconcileSuccess: " {
					t.Errorf("Synced is %s after the cause went", got)
				}

				if n := w.clients.opened(); n != 1 {
					t.Errorf("%d clients are open, want 1", n)
				}
			})
		}
	}
}

// A collection that is gone is told of, with what is lost, and made again; agents keep their password.
func TestLost(t *testing.T) {
	w := newWorld(t, nil)
	w.settle(t)

	if err := w.store.Insert(t.Context(), "one", vector.Access{}, 3, 42); err != nil {
		t.Fatal(err)
	}

	w.settle(t)

	before := w.details(t)
	w.store.Remove("one")
	w.events = nil
	w.settle(t)

	want := []string{
		`CollectionLost: collection "one" is gone from the store, with the 42 vectors it had: not by us`,
		`CollectionCreated: Created collection "one" with dim 3 and distance Cosine`,
	}
	if diff := cmp.Diff(want, w.events[:min(2, len(w.events))]); diff != "" {
		t.Errorf("events: -want, +got:\n%s", diff)
	}

	if diff := cmp.Diff(before, w.details(t)); diff != "" {
		t.Errorf("connection details: -before, +after:\n%s", diff)
	}
}

// A rotated password is replaced where agents read it, and a login is looked after when its note is gone.
func TestLoginIsKept(t *testing.T) {
	w := newWorld(t, nil)
	w.settle(t)

	before, calls := w.details(t), w.store.Calls()["Grant"]

	w.start()
	w.settle(t)

	if got := w.store.Calls()["Grant"]; got != calls {
		t.Errorf("a restart looked after the login %d times, want none", got-calls)
	}

	s := newSecret("ns", "coder-memory", "")
	if err := w.kube.Delete(t.Context(), s); err != nil {
		t.Fatal(err)
	}

	w.settle(t)

	after := w.details(t)
	if after["password"] == "" || after["password"] == before["password"] {
		t.Error("a lost password was not replaced by a new one")
	}
}

func TestAtRest(t *testing.T) {
	w := newWorld(t, nil)
	w.settle(t)

	before := w.store.Calls()

	for range 10 {
		w.reconcile(t)
	}

	after := w.store.Calls()
	for call, n := range before {
		after[call] -= n
	}

	want := map[string]int{"Describe": 10}
	for call := range before {
		want[call] += 0
	}

	if diff := cmp.Diff(want, after); diff != "" {
		t.Errorf("calls of 10 polls at rest: -want, +got:\n%s", diff)
	}
}

func TestInUse(t *testing.T) {
	pod := func(name string, phase corev1.PodPhase) *corev1.Pod {
		return &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, Labels: map[string]string{v1alpha1.LabelMemory: "coder"}},
			Status:     corev1.PodStatus{Phase: phase},
		}
	}
	w := newWorld(t, nil, pod("e", corev1.PodRunning), pod("b", corev1.PodPending), pod("c", corev1.PodRunning), pod("d", corev1.PodRunning), pod("a", corev1.PodFailed))
	w.settle(t)

	before := w.contents("one")
	w.delete(t)

	for range 3 {
		w.reconcile(t)
	}

	if got, want := w.synced(t), "False InUse: delete failed: pods still use the collection: b, c, d and 1 more"; got != want {
		t.Errorf("Synced is %s, want %s", got, want)
	}

	if diff := cmp.Diff(before, w.contents("one")); diff != "" {
		t.Errorf("it was touched while it was used: -before, +after:\n%s", diff)
	}

	if err := w.kube.DeleteAllOf(t.Context(), &corev1.Pod{}, inNamespace); err != nil {
		t.Fatal(err)
	}

	w.settle(t)

	if !w.gone(t) {
		t.Errorf("it is still there although nobody uses it: %s", w.synced(t))
	}
}

// What belongs to another is not deleted, whatever onDelete says.
func TestDeleteTouchesOnlyOurs(t *testing.T) {
	n := int64(3)
	st := vector.State{Owner: "x/y@c", Properties: vector.Properties{Dim: 3, Distance: vector.Cosine}, Vectors: &n}

	w := newWorld(t, keep(false))
	w.store.Put("one", st)

	for range 3 {
		w.reconcile(t)
	}

	w.delete(t)
	w.settle(t)

	if diff := cmp.Diff(`one: dim 3, 3 vectors, owner "x/y@c", aliases []`+"\n", w.contents("one")); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}

	if !w.gone(t) {
		t.Error("the resource does not go")
	}
}

// What was never made can be deleted although there is no configuration to delete it with.
func TestDeleteWithoutConfig(t *testing.T) {
	w := newWorld(t, func(mg *v1alpha1.VectorCollection) { mg.Spec.ProviderConfigReference.Name = "typo" })

	for range 3 {
		w.reconcile(t)
	}

	if got, want := w.synced(t), "False InvalidConfiguration: connect failed: there is no ProviderConfig ns/typo"; got != want {
		t.Errorf("Synced is %s, want %s", got, want)
	}

	w.delete(t)
	w.settle(t)

	if !w.gone(t) {
		t.Errorf("it does not go: %s", w.synced(t))
	}
}

// A successor that is given up is let go.
func TestSuccessorGivenUp(t *testing.T) {
	for _, kept := range []bool{true, false} {
		t.Run(fmt.Sprintf("kept=%t", kept), func(t *testing.T) {
			w := newWorld(t, keep(kept))
			w.settle(t)
			successor(v1alpha1.SuccessorSwitch)(t, w)
			w.settle(t)
			w.edit(t, func(mg *v1alpha1.VectorCollection) { mg.Spec.ForProvider.Successor = nil })
			w.settle(t)

			want := `one: dim 3, 0 vectors, owner "ns/coder@cluster", aliases [coder]` + "\n"
			if kept {
				want += `two: dim 4, 0 vectors, owner "", aliases []` + "\n"
			} else {
				want += "two: none\n"
			}

			want += "login: [one] by [coder]\n"
			if diff := cmp.Diff(want, w.contents("one", "two")); diff != "" {
				t.Errorf("-want, +got:\n%s", diff)
			}

			if s := w.get(t).Status.AtProvider.Successor; s != nil {
				t.Errorf("the status still tells of a successor: %+v", s)
			}
		})
	}
}

// Aliases that others set are left alone; those that are not wanted any more are removed.
func TestAliases(t *testing.T) {
	w := newWorld(t, func(mg *v1alpha1.VectorCollection) { mg.Spec.ForProvider.Aliases = []string{"a", "b"} })
	w.settle(t)

	d := mustOpen(t, w.store)
	if err := d.(vector.Aliaser).PointAlias(t.Context(), "theirs", "one"); err != nil {
		t.Fatal(err)
	}

	w.settle(t)
	w.edit(t, func(mg *v1alpha1.VectorCollection) { mg.Spec.ForProvider.Aliases = []string{"b"} })
	w.settle(t)

	want := `one: dim 3, 0 vectors, owner "ns/coder@cluster", aliases [b theirs]` + "\nlogin: [one] by [b]\n"
	if diff := cmp.Diff(want, w.contents("one")); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}

	w.delete(t)
	w.settle(t)

	if diff := cmp.Diff(`one: dim 3, 0 vectors, owner "", aliases [theirs]`+"\n", w.contents("one")); diff != "" {
		t.Errorf("after the end: -want, +got:\n%s", diff)
	}
}

// An alias that another VectorCollection has stays with it: the two would take it from each other for ever.
func TestAliasOfAnother(t *testing.T) {
	other := &v1alpha1.VectorCollection{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "other", UID: "other"}}
	other.SetProviderConfigReference(&xpv2.ProviderConfigReference{Kind: "ProviderConfig", Name: "memory"})
	other.Status.AtProvider.Aliases = []string{"coder"}

	w := newWorld(t, nil, other)

	for range 5 {
		w.reconcile(t)
	}

	want := `False OwnedByAnother: observe failed: alias "coder" belongs to VectorCollection ns/other: choose another, or remove it there`
	if diff := cmp.Diff(want, w.synced(t)); diff != "" {
		t.Errorf("Synced: -want, +got:\n%s", diff)
	}

	if n := w.store.Calls()["PointAlias"]; n != 0 {
		t.Errorf("an alias was pointed %d times", n)
	}
}

// A store without a place for a stamp, aliases and logins is served as far as it goes.
func TestPlainStore(t *testing.T) {
	f := memvector.Features
	f.Stamp, f.Aliases, f.Grants = false, false, false

	for _, kept := range []bool{true, false} {
		t.Run(fmt.Sprintf("kept=%t", kept), func(t *testing.T) {
			w := newWorld(t, func(mg *v1alpha1.VectorCollection) {
				keep(kept)(mg)

				mg.Spec.ForProvider.Aliases = nil
			})
			w.features(f)
			w.settle(t)

			want := map[string]string{
				"store": "Qdrant", "endpoint": "http://store.example.org:6334", "collection": "one", "dim": "3", "distance": "Cosine",
				"username": "admin", "password": "right",
			}
			if diff := cmp.Diff(want, w.details(t)); diff != "" {
				t.Errorf("connection details: -want, +got:\n%s", diff)
			}

			if got := w.get(t).Status.AtProvider.Access; got != v1alpha1.AccessShared {
				t.Errorf("access is %s, want Shared", got)
			}

			w.delete(t)
			w.settle(t)

			if _, there := w.store.Get("one"); there != kept || !w.gone(t) {
				t.Errorf("collection there: %t, resource gone: %t; want %t, true", there, w.gone(t), kept)
			}
		})
	}
}
