package vectorcollection

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/vector"
)

// A chapter of a collection's life is what its owner does, and what the store then has.
type chapter struct {
	name string
	do   func(*testing.T, *world)
	want string
	// details that agents then have, those that say which collection to use.
	details map[string]string
	gone    bool
}

func successor(stage v1alpha1.SuccessorStage) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		w.edit(t, func(mg *v1alpha1.VectorCollection) {
			mg.Spec.ForProvider.Successor = &v1alpha1.VectorSuccessor{Collection: "two", Dim: 4, Distance: v1alpha1.DistanceCosine, Stage: stage}
		})
	}
}

func fold(t *testing.T, w *world) {
	t.Helper()
	w.edit(t, func(mg *v1alpha1.VectorCollection) {
		p := &mg.Spec.ForProvider
		p.Collection, p.Dim, p.Successor = "two", 4, nil
	})
}

// life is the whole life of a collection that is replaced by a successor. The store has 7 vectors of each.
func life(kept bool) []chapter {
	one := `one: dim 3, 7 vectors, owner "", aliases []` + "\n"
	last := one + `two: dim 4, 0 vectors, owner "", aliases []` + "\n"

	if !kept {
		one, last = "one: none\n", "one: none\ntwo: none\n"
	}

	released := one + `two: dim 4, 0 vectors, owner "ns/coder@cluster", aliases [coder]` + "\nlogin: [two] by [coder]\n"

	return []chapter{
		{
			name: "made", do: func(*testing.T, *world) {},
			want:    `one: dim 3, 0 vectors, owner "ns/coder@cluster", aliases [coder]` + "\ntwo: none\nlogin: [one] by [coder]\n",
			details: map[string]string{"collection": "coder", "dim": "3", "reach": "one coder=one"},
		},
		{
			name: "filled and prepared", do: func(t *testing.T, w *world) {
				if err := w.store.Insert(t.Context(), "one", vector.Access{}, 3, 7); err != nil {
					t.Fatal(err)
				}

				successor(v1alpha1.SuccessorPrepare)(t, w)
			},
			want: `one: dim 3, 7 vectors, owner "ns/coder@cluster", aliases [coder]` + "\n" +
				`two: dim 4, 0 vectors, owner "ns/coder@cluster", aliases []` + "\nlogin: [one two] by [coder]\n",
			details: map[string]string{"collection": "coder", "dim": "3", "reach": "one two coder=one", "successor": "two", "successorDim": "4"},
		},
		{
			name: "switched", do: successor(v1alpha1.SuccessorSwitch),
			want: `one: dim 3, 7 vectors, owner "ns/coder@cluster", aliases []` + "\n" +
				`two: dim 4, 0 vectors, owner "ns/coder@cluster", aliases [coder]` + "\nlogin: [one two] by [coder]\n",
			details: map[string]string{"collection": "coder", "dim": "4", "reach": "one two coder=two"},
		},
		{
			name: "switched back", do: successor(v1alpha1.SuccessorPrepare),
			want: `one: dim 3, 7 vectors, owner "ns/coder@cluster", aliases [coder]` + "\n" +
				`two: dim 4, 0 vectors, owner "ns/coder@cluster", aliases []` + "\nlogin: [one two] by [coder]\n",
			details: map[string]string{"collection": "coder", "dim": "3", "reach": "one two coder=one", "successor": "two", "successorDim": "4"},
		},
		{
			name: "released", do: successor(v1alpha1.SuccessorRelease), want: released,
			details: map[string]string{"collection": "coder", "dim": "4", "reach": "two coder=two"},
		},
		{
			name: "folded", do: fold, want: released,
			details: map[string]string{"collection": "coder", "dim": "4", "reach": "two coder=two"},
		},
		{name: "deleted", do: func(t *testing.T, w *world) { w.delete(t) }, want: last, gone: true},
	}
}

func keep(kept bool) func(*v1alpha1.VectorCollection) {
	return func(mg *v1alpha1.VectorCollection) {
		if !kept {
			mg.Spec.ForProvider.OnDelete = v1alpha1.DataDelete
		}
	}
}

// check compares the store, and what agents know, with what a chapter wants.
func (c chapter) check(t *testing.T, w *world) {
	t.Helper()

	if diff := cmp.Diff(c.want, w.contents("one", "two")); diff != "" {
		t.Errorf("%s: the store: -want, +got:\n%s", c.name, diff)
	}

	if got := w.gone(t); got != c.gone {
		t.Fatalf("%s: resource gone: %t, want %t", c.name, got, c.gone)
	}

	if c.gone {
		return
	}

	if got := w.synced(t); got != "True ReconcileSuccess: " {
		t.Errorf("%s: Synced is %s", c.name, got)
	}

	d := w.details(t)
	for _, k := range []string{"store", "endpoint", "distance", "username", "password"} {
		if d[k] == "" {
			t.Errorf("%s: agents are not told the %s", c.name, k)
		}

		delete(d, k)
	}

	if diff := cmp.Diff(c.details, d); diff != "" {
		t.Errorf("%s: connection details: -want, +got:\n%s", c.name, diff)
	}
}

// A collection, its successor, and all that becomes of them.
func TestLife(t *testing.T) {
	for _, kept := range []bool{true, false} {
		t.Run(fmt.Sprintf("kept=%t", kept), func(t *testing.T) {
			w := newWorld(t, keep(kept))

			for _, c := range life(kept) {
				c.do(t, w)
				w.settle(t)
				c.check(t, w)
			}
		})
	}
}

// Whatever change of the store was the last before the provider died, its next start finds the way.
func TestLifeWithCrashes(t *testing.T) {
	for _, kept := range []bool{true, false} {
		// changes is how many there are in a life without a crash.
		changes := 1

		for n := 0; n < changes; n++ {
			t.Run(fmt.Sprintf("kept=%t/after change %d", kept, n), func(t *testing.T) {
				w := newWorld(t, keep(kept))
				i := 0
				w.after = func(string) {
					if i++; i == n+1 {
						panic(errCrash)
					}
				}

				for _, c := range life(kept) {
					c.do(t, w)
					w.settle(t)
					c.check(t, w)
				}

				changes = max(changes, i)
			})
		}

		if changes < 12 {
			t.Errorf("a life has %d changes of the store: that is not a whole one", changes)
		}
	}
}

// Folding before the old collection was released is released all the same.
func TestFoldEarly(t *testing.T) {
	w := newWorld(t, nil)
	w.settle(t)
	successor(v1alpha1.SuccessorSwitch)(t, w)
	w.settle(t)
	fold(t, w)
	w.settle(t)

	want := `one: dim 3, 0 vectors, owner "", aliases []` + "\n" + `two: dim 4, 0 vectors, owner "ns/coder@cluster", aliases [coder]` + "\nlogin: [two] by [coder]\n"
	if diff := cmp.Diff(want, w.contents("one", "two")); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}

	if o := w.get(t).Status.AtProvider; o.Successor != nil || o.Serving != "two" {
		t.Errorf("status of a folded successor: %+v", o)
	}
}

func TestSettles(t *testing.T) {
	three, zero := int64(3), int64(0)
	p := func(dim int32) vector.Properties {
		return vector.Properties{Dim: dim, Distance: vector.Cosine, Index: vector.HNSW, Tenancy: vector.Single}
	}

	cases := map[string]struct {
		reason string
		change func(*v1alpha1.VectorCollection)
		before func(*world)
		synced string
		store  string
		event  string
	}{
		"Adopted": {
			reason: "A collection that nobody owns is taken with its data.",
			before: func(w *world) { w.store.Put("one", vector.State{Properties: p(3), Vectors: &three}) },
			synced: "True ReconcileSuccess: ",
			store:  `one: dim 3, 3 vectors, owner "ns/coder@cluster", aliases [coder]` + "\nlogin: [one] by [coder]\n",
			event:  "CollectionAdopted: ",
		},
		"Imported": {
			reason: "The external name is the collection's name in the store, whatever the spec calls it.",
			change: func(mg *v1alpha1.VectorCollection) {
				mg.Annotations = map[string]string{"crossplane.io/external-name": "one"}
				mg.Spec.ForProvider.Collection = "other"
			},
			before: func(w *world) { w.store.Put("one", vector.State{Properties: p(3), Vectors: &three}) },
			synced: "True ReconcileSuccess: ",
			store:  `one: dim 3, 3 vectors, owner "ns/coder@cluster", aliases [coder]` + "\nlogin: [one] by [coder]\n",
			event:  "CollectionAdopted: ",
		},
		"Owned": {
			reason: "What another owns is left alone, and the message tells how to get it.",
			before: func(w *world) {
				w.store.Put("one", vector.State{Owner: "x/y@c", Properties: p(3), Vectors: &three})
			},
			synced: `False OwnedByAnother: observe failed: collection "one" belongs to x/y@c, as it is stamped in the store: to take it over, annotate this VectorCollection with southwest.ai/take-over: "x/y@c"`,
			store:  `one: dim 3, 3 vectors, owner "x/y@c", aliases []` + "\n",
		},
		"TakenOver": {
			reason: "The annotation names the owner from whom it may be taken.",
			change: func(mg *v1alpha1.VectorCollection) {
				mg.Annotations = map[string]string{"southwest.ai/take-over": "x/y@c"}
			},
			before: func(w *world) {
				w.store.Put("one", vector.State{Owner: "x/y@c", Properties: p(3), Vectors: &three})
			},
			synced: "True ReconcileSuccess: ",
			store:  `one: dim 3, 3 vectors, owner "ns/coder@cluster", aliases [coder]` + "\nlogin: [one] by [coder]\n",
			event:  `CollectionTakenOver: Changed collection "one": owner from x/y@c to ns/coder@cluster`,
		},
		"TakenOverFromAnother": {
			reason: "An old permission is none for the next owner.",
			change: func(mg *v1alpha1.VectorCollection) {
				mg.Annotations = map[string]string{"southwest.ai/take-over": "a/b@c"}
			},
			before: func(w *world) {
				w.store.Put("one", vector.State{Owner: "x/y@c", Properties: p(3), Vectors: &three})
			},
			synced: `False OwnedByAnother: observe failed: collection "one" belongs to x/y@c, as it is stamped in the store: to take it over, annotate this VectorCollection with southwest.ai/take-over: "x/y@c"`,
			store:  `one: dim 3, 3 vectors, owner "x/y@c", aliases []` + "\n",
		},
		"OtherDim": {
			reason: "A collection of another dimension stays, and both are named.",
			before: func(w *world) { w.store.Put("one", vector.State{Properties: p(8), Vectors: &three}) },
			synced: `False ImmutableMismatch: observe failed: collection "one": dim is 8 and should be 3, which cannot change: correct the spec, or make another collection and re-embed`,
			store:  `one: dim 8, 3 vectors, owner "", aliases []` + "\n",
		},
		"Unsupported": {
			reason: "What the store cannot do is said without asking it.",
			change: func(mg *v1alpha1.VectorCollection) { mg.Spec.ForProvider.Quantization = "Product" },
			before: func(w *world) {
				w.store.Fail(func(string, string) error { return vector.Errorf(vector.Unknown, "it was asked") })
			},
			synced: "False Unsupported: observe failed: the store cannot do what is asked for: quantization Product is not one of None, Scalar, Half",
			store:  "one: none\n",
		},
		"Observed": {
			reason: "Who only observes stamps nothing, grants nothing, and does not mind another owner.",
			change: func(mg *v1alpha1.VectorCollection) {
				mg.Spec.ManagementPolicies = xpv2.ManagementPolicies{xpv2.ManagementActionObserve}
			},
			before: func(w *world) {
				w.store.Put("one", vector.State{Owner: "x/y@c", Properties: p(3), Vectors: &zero})
			},
			synced: "True ReconcileSuccess: ",
			store:  `one: dim 3, 0 vectors, owner "x/y@c", aliases []` + "\n",
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, tc.change)
			if tc.before != nil {
				tc.before(w)
			}

			for range 8 {
				w.reconcile(t)
			}

			if diff := cmp.Diff(tc.synced, w.synced(t)); diff != "" {
				t.Errorf("%s\nSynced: -want, +got:\n%s", tc.reason, diff)
			}

			if diff := cmp.Diff(tc.store, w.contents("one")); diff != "" {
				t.Errorf("%s\nstore: -want, +got:\n%s", tc.reason, diff)
			}

			if tc.event != "" && !strings.Contains(strings.Join(w.events, "\n"), tc.event) {
				t.Errorf("%s\nevents %q, want %q among them", tc.reason, w.events, tc.event)
			}

			before := w.snapshot(t)
			w.reconcile(t)

			if diff := cmp.Diff(before, w.snapshot(t)); diff != "" {
				t.Errorf("%s\nit changed although nothing had happened: -before, +after:\n%s", tc.reason, diff)
			}
		})
	}
}
