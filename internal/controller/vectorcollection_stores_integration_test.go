//go:build integration

package controller

import (
	"fmt"
	"testing"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/vectorcollection"
	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/chroma"
	"github.com/southwest-ai/agent-operator/internal/vector/memvector"
	"github.com/southwest-ai/agent-operator/internal/vector/pgvector"
	"github.com/southwest-ai/agent-operator/internal/vector/vectortest/servers"
)

// A collection in a real store is made, comes to rest, and is there again for whoever asks for it next.
func TestCollectionInRealStore(t *testing.T) {
	cases := map[v1alpha1.VectorStoreType]struct {
		backend vector.Backend
		serve   func(*testing.T) string
	}{
		v1alpha1.StoreChroma: {
			backend: vector.Backend{Features: chroma.Features, Open: chroma.Open},
			serve:   func(t *testing.T) string { t.Helper(); return servers.Chroma(t, t.TempDir()) },
		},
		v1alpha1.StorePGVector: {
			backend: vector.Backend{Features: pgvector.Features, Open: pgvector.Open},
			serve:   func(t *testing.T) string { t.Helper(); return servers.PGlite(t) },
		},
	}

	for typ, tc := range cases {
		t.Run(string(typ), func(t *testing.T) {
			endpoint := tc.serve(t)
			stores := vectorcollection.Backends{typ: tc.backend}
			stop := startProviderWith(t, stores)

			ns := newNamespace(t)
			cfg, secret := newConfig(ns)
			cfg.Spec.VectorStore.Type, cfg.Spec.VectorStore.Endpoint = typ, endpoint
			mg := newCollection(t, ns, "coder", 3)
			create(t, secret, cfg, mg)
			isReady(t, mg)

			if d := detailsOf(t, mg); d["endpoint"] != endpoint || d["dim"] != "3" || d["store"] != string(typ) {
				t.Errorf("agents are told store %q, endpoint %q, dim %q", d["store"], d["endpoint"], d["dim"])
			}

			// Another provider finds nothing to do.
			eventually(t, func() string {
				if c := get(t, mg).GetCondition(xpv2.TypeSynced); c.ObservedGeneration != mg.GetGeneration() {
					return fmt.Sprintf("generation %d was seen, want %d", c.ObservedGeneration, mg.GetGeneration())
				}

				return ""
			})
			stop()

			settled := get(t, mg).GetResourceVersion()
			startProviderWith(t, stores)

			// Its turn is over when one that is asked for later is ready.
			other := newCollection(t, ns, "other", 3)
			create(t, other)
			isReady(t, other)

			if got := get(t, mg).GetResourceVersion(); got != settled {
				t.Errorf("it was written although nothing had changed: %+v", get(t, mg).Status)
			}

			if err := kube.Delete(t.Context(), mg); err != nil {
				t.Fatal(err)
			}

			isGone(t, mg)

			again := newCollection(t, ns, "again", 3)
			again.Spec.ForProvider.Collection = mg.Spec.ForProvider.Collection
			create(t, again)
			isReady(t, again)

			if n := eventsOf(t, again, "CollectionCreated"); n != 0 {
				t.Errorf("what was kept was made again, %d times", n)
			}
		})
	}
}

// The whole way of another embedding model, as the API server's rules let a person go it.
func TestCollectionSuccessor(t *testing.T) {
	memory := memvector.NewStore()
	cases := map[string]struct {
		typ     v1alpha1.VectorStoreType
		backend vector.Backend
		serve   func(*testing.T) string
	}{
		"InMemory": {
			typ: v1alpha1.StoreQdrant, backend: memory.Backend(),
			serve: func(*testing.T) string { return "http://store.example.org:6334" },
		},
		"PGVector": {
			typ: v1alpha1.StorePGVector, backend: vector.Backend{Features: pgvector.Features, Open: pgvector.Open},
			serve: func(t *testing.T) string { t.Helper(); return servers.PGlite(t) },
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			endpoint := tc.serve(t)
			startProviderWith(t, vectorcollection.Backends{tc.typ: tc.backend})

			d, err := tc.backend.Open(vector.Config{Endpoint: endpoint, Access: vector.Access{User: "admin", Password: "right"}})
			if err != nil {
				t.Fatal(err)
			}

			t.Cleanup(d.Close)
			succeed(t, tc.typ, endpoint, d)
		})
	}
}

// succeed has a collection of a store replaced by its successor, step by step.
func succeed(t *testing.T, typ v1alpha1.VectorStoreType, endpoint string, store vector.Driver) {
	t.Helper()

	ns := newNamespace(t)
	cfg, secret := newConfig(ns)
	cfg.Spec.VectorStore.Type, cfg.Spec.VectorStore.Endpoint = typ, endpoint
	mg := newCollection(t, ns, "coder", 3)
	mg.Spec.ForProvider.Aliases = []string{"coder"}
	create(t, secret, cfg, mg)
	isReady(t, mg)

	reaches := func(stage, collection string) {
		t.Helper()
		eventually(t, func() string {
			o := get(t, mg).Status.AtProvider
			if o.Successor == nil || o.Successor.Stage != stage || o.Serving != collection {
				return fmt.Sprintf("serving %s with successor %+v, want %s with it %s", o.Serving, o.Successor, collection, stage)
			}

			return ""
		})
	}
	stage := func(s v1alpha1.SuccessorStage) {
		t.Helper()
		patch(t, get(t, mg), func() {
			mg.Spec.ForProvider.Successor = &v1alpha1.VectorSuccessor{Collection: ns + "-v2", Dim: 4, Distance: v1alpha1.DistanceCosine, Stage: s}
		})
	}

	stage(v1alpha1.SuccessorPrepare)
	reaches("Prepared", ns+"-coder")
	stage(v1alpha1.SuccessorSwitch)
	reaches("Switched", ns+"-v2")

	if d := detailsOf(t, mg); d["collection"] != "coder" || d["dim"] != "4" {
		t.Errorf("agents are told collection %s and dim %s, want coder and 4", d["collection"], d["dim"])
	}

	stage(v1alpha1.SuccessorRelease)
	reaches("Released", ns+"-v2")

	if st, err := store.Describe(t.Context(), ns+"-coder"); err != nil || st.Owner != "" || len(st.Aliases) > 0 {
		t.Errorf("the old collection: %v, stamped %q, reached as %q: want it to be there, and nobody's", err, st.Owner, st.Aliases)
	}

	if st, err := store.Describe(t.Context(), ns+"-v2"); err != nil || st.Dim != 4 || len(st.Aliases) != 1 {
		t.Errorf("the new collection: %v, of dim %d, reached as %q: want 4 and the alias", err, st.Dim, st.Aliases)
	}

	patch(t, get(t, mg), func() {
		p := &mg.Spec.ForProvider
		p.Collection, p.Dim, p.Successor = ns+"-v2", 4, nil
	})
	eventually(t, func() string {
		if got := get(t, mg); meta.GetExternalName(got) != ns+"-v2" || got.Status.AtProvider.Successor != nil {
			return fmt.Sprintf("external name %s, successor %+v", meta.GetExternalName(got), got.Status.AtProvider.Successor)
		}

		return ""
	})
	isReady(t, mg)
}
