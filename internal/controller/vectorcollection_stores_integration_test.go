//go:build integration

package controller

import (
	"fmt"
	"testing"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/vectorcollection"
	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/chroma"
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
