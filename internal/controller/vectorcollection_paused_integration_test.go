//go:build integration

package controller

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/vector/memvector"
)

// A collection that is paused, or only observed, is not made, not changed and not removed, until that is over.
func TestCollectionThatIsLeftAlone(t *testing.T) {
	cases := map[string]struct {
		reason string
		forbid func(*v1alpha1.VectorCollection)
		allow  func(*v1alpha1.VectorCollection)
		says   xpv2.ConditionReason
	}{
		"Paused": {
			reason: "Somebody wants it to be as it is.",
			forbid: func(mg *v1alpha1.VectorCollection) {
				meta.AddAnnotations(mg, map[string]string{meta.AnnotationKeyReconciliationPaused: "true"})
			},
			allow: func(mg *v1alpha1.VectorCollection) {
				meta.RemoveAnnotations(mg, meta.AnnotationKeyReconciliationPaused)
			},
			says: xpv2.ReasonReconcilePaused,
		},
		"ObserveOnly": {
			reason: "Who may only look makes nothing.",
			forbid: func(mg *v1alpha1.VectorCollection) {
				mg.SetManagementPolicies(xpv2.ManagementPolicies{xpv2.ManagementActionObserve})
			},
			allow: func(mg *v1alpha1.VectorCollection) {
				mg.SetManagementPolicies(xpv2.ManagementPolicies{xpv2.ManagementActionAll})
			},
			says: xpv2.ReasonReconcileError,
		},
	}

	store := memvector.NewStore()
	startProviderWith(t, inMemory(store))

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ns := newNamespace(t)
			cfg, secret := newConfig(ns)
			mg, beside := newCollection(t, ns, "one", 3), newCollection(t, ns, "beside", 3)

			tc.forbid(mg)
			mg.Spec.ForProvider.OnDelete = v1alpha1.DataDelete
			create(t, secret, cfg, mg)
			conditionIs(t, mg, xpv2.TypeSynced, corev1.ConditionFalse, tc.says)

			// One that was asked for later is there: so the first's turn is over.
			create(t, beside)
			isReady(t, beside)

			if st, there := store.Get(ns + "-one"); there {
				t.Errorf("%s\nit was made: %+v", tc.reason, st)
			}

			patch(t, get(t, mg), func() { tc.allow(mg) })
			isReady(t, mg)

			patch(t, get(t, mg), func() { tc.forbid(mg) })

			if tc.says == xpv2.ReasonReconcilePaused {
				conditionIs(t, mg, xpv2.TypeSynced, corev1.ConditionFalse, tc.says)
			}

			if err := kube.Delete(t.Context(), mg); err != nil {
				t.Fatal(err)
			}

			if err := kube.Delete(t.Context(), beside); err != nil {
				t.Fatal(err)
			}

			isGone(t, beside)

			if _, there := store.Get(ns + "-one"); !there {
				t.Errorf("%s\nit was removed", tc.reason)
			}
		})
	}
}
