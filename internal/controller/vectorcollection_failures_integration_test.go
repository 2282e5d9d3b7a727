//go:build integration

package controller

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/vectorcollection"
	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/memvector"
)

// locked is a store in memory that lets nobody in but with the right password.
func locked(s *memvector.Store, right string) vectorcollection.Backends {
	b := s.Backend()
	open := b.Open
	b.Open = func(c vector.Config) (vector.Driver, error) {
		d, err := open(c)
		if err != nil || c.Password == right {
			return d, err
		}

		return refusing{d}, nil
	}

	return vectorcollection.Backends{v1alpha1.StoreQdrant: b}
}

// A refusing driver is one of a client with the wrong password.
type refusing struct{ vector.Driver }

func (refusing) Describe(context.Context, string) (vector.State, error) {
	return vector.State{}, vector.Errorf(vector.Unauthenticated, "password authentication failed for user \"admin\"")
}

func TestCollectionWrongPassword(t *testing.T) {
	store := memvector.NewStore()
	startProviderWith(t, locked(store, "right"))

	ns := newNamespace(t)
	cfg, secret := newConfig(ns)
	secret.StringData["key"] = "admin:wrong"
	mg := newCollection(t, ns, "coder", 3)
	create(t, secret, cfg, mg)
	failsFor(t, mg, v1alpha1.ReasonUnauthenticated)

	// It fails for a while, so that its own next turn is seconds away.
	eventually(t, func() string {
		if n := eventsOf(t, mg, "CannotObserveExternalResource"); n < 4 {
			return fmt.Sprintf("it was tried %d times", n)
		}

		return ""
	})

	version := get(t, mg).GetResourceVersion()

	eventually(t, func() string {
		if n := eventsOf(t, mg, "CannotObserveExternalResource"); n < 5 {
			return fmt.Sprintf("it was tried %d times", n)
		}

		return ""
	})

	if got := get(t, mg).GetResourceVersion(); got != version {
		t.Error("another attempt with the same outcome wrote the status")
	}

	patch(t, secret, func() { secret.Data = map[string][]byte{"key": []byte("admin:right")} })

	corrected := time.Now()

	isReady(t, mg)
	t.Logf("a corrected Secret healed the collection after %s", time.Since(corrected).Round(time.Millisecond))
}

func TestCollectionConfigAppears(t *testing.T) {
	store := memvector.NewStore()
	startProviderWith(t, inMemory(store))

	ns := newNamespace(t)
	cfg, secret := newConfig(ns)
	mg := newCollection(t, ns, "coder", 3)
	create(t, mg)
	failsFor(t, mg, v1alpha1.ReasonInvalidConfiguration)

	// Its type has no driver here.
	cfg.Spec.VectorStore.Type = v1alpha1.StoreMilvus
	create(t, secret, cfg)
	eventually(t, func() string {
		if c := get(t, mg).GetCondition(xpv2.TypeSynced); !strings.Contains(c.Message, "no driver for stores of type Milvus") {
			return "the message is " + c.Message
		}

		return ""
	})
	failsFor(t, mg, v1alpha1.ReasonInvalidConfiguration)

	patch(t, cfg, func() { cfg.Spec.VectorStore.Type = v1alpha1.StoreQdrant })
	isReady(t, mg)

	// A configuration that is used stays until it is not.
	if err := kube.Delete(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}

	conditionOf(t, cfg, "InUse")

	if err := kube.Delete(t.Context(), mg); err != nil {
		t.Fatal(err)
	}

	isGone(t, mg)

	// Kubernetes' garbage collector does this, which does not run here.
	if err := kube.DeleteAllOf(t.Context(), &v1alpha1.ProviderConfigUsage{}, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}

	isGone(t, cfg)
}

// conditionOf waits until a configuration's conditions tell of a reason.
func conditionOf(t *testing.T, c *v1alpha1.ProviderConfig, reason xpv2.ConditionReason) {
	t.Helper()
	eventually(t, func() string {
		for _, cond := range get(t, c).Status.Conditions {
			if cond.Reason == reason {
				return ""
			}
		}

		return fmt.Sprintf("conditions are %v, want one for %s", c.Status.Conditions, reason)
	})
}

func TestCollectionStoreFails(t *testing.T) {
	cases := map[string]struct {
		reason string
		kind   vector.Kind
		call   string
		want   xpv2.ConditionReason
	}{
		"DownAtCreate":   {reason: "A store that goes away is waited for.", kind: vector.Unavailable, call: "Create", want: v1alpha1.ReasonStoreUnavailable},
		"DownAtFirst":    {reason: "So is one that was never there.", kind: vector.Unavailable, call: "Describe", want: v1alpha1.ReasonStoreUnavailable},
		"Certificate":    {reason: "A certificate can expire.", kind: vector.CertificateInvalid, call: "Describe", want: v1alpha1.ReasonCertificateInvalid},
		"MayNotCreate":   {reason: "Credentials may not be allowed to create.", kind: vector.PermissionDenied, call: "Create", want: v1alpha1.ReasonPermissionDenied},
		"MayNotGrant":    {reason: "Nor to make logins.", kind: vector.PermissionDenied, call: "Grant", want: v1alpha1.ReasonPermissionDenied},
		"QuotaExhausted": {reason: "A store may have no room.", kind: vector.QuotaExceeded, call: "Create", want: v1alpha1.ReasonQuotaExceeded},
	}

	store := memvector.NewStore()
	startProviderWith(t, inMemory(store))

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ns := newNamespace(t)
			cfg, secret := newConfig(ns)
			mg := newCollection(t, ns, "coder", 3)
			store.Fail(func(call, _ string) error {
				if call == tc.call {
					return vector.Errorf(tc.kind, "the store says no")
				}

				return nil
			})
			create(t, secret, cfg, mg)
			failsFor(t, mg, tc.want)

			if c := get(t, mg).GetCondition(xpv2.TypeReady); c.Status == corev1.ConditionTrue {
				t.Errorf("%s\nit is ready", tc.reason)
			}

			store.Fail(nil)
			isReady(t, mg)

			if _, ok := store.Get(ns + "-coder"); !ok {
				t.Errorf("%s\nthere is no collection", tc.reason)
			}
		})
	}
}

// A provider that died right after the store had made the collection finds it its own, and makes no second one.
func TestCollectionAfterCrash(t *testing.T) {
	store := memvector.NewStore()
	stop := startProviderWith(t, inMemory(store))

	ns := newNamespace(t)
	cfg, secret := newConfig(ns)
	first := newCollection(t, ns, "first", 3)
	create(t, secret, cfg, first)
	isReady(t, first)

	owner := get(t, first).Status.AtProvider.Owner
	stop()

	// What such a provider leaves behind.
	three := int64(3)
	mg := newCollection(t, ns, "coder", 3)
	meta.SetExternalName(mg, ns+"-coder")
	meta.SetExternalCreatePending(mg, time.Now())
	store.Put(ns+"-coder", vector.State{
		Owner:      strings.Replace(owner, "/first@", "/coder@", 1),
		Properties: vector.Properties{Dim: 3, Distance: vector.Cosine}, Vectors: &three,
	})
	create(t, mg)

	store.Fail(func(call, name string) error {
		if call == "Create" && name == ns+"-coder" {
			t.Error("a second collection was made")
		}

		return nil
	})
	startProviderWith(t, inMemory(store))
	isReady(t, mg)

	if got := *get(t, mg).Status.AtProvider.VectorCount; got != 3 {
		t.Errorf("it has %d vectors, want the 3 there were", got)
	}
}

func TestCollectionMismatchHeals(t *testing.T) {
	store := memvector.NewStore()
	startProviderWith(t, inMemory(store))

	ns := newNamespace(t)
	store.Put(ns+"-coder", vector.State{Properties: vector.Properties{Dim: 8, Distance: vector.Cosine}, Vectors: new(int64)})

	cfg, secret := newConfig(ns)
	mg := newCollection(t, ns, "coder", 3)
	create(t, secret, cfg, mg)
	failsFor(t, mg, v1alpha1.ReasonImmutableMismatch)
	conditionIs(t, mg, xpv2.TypeReady, corev1.ConditionFalse, xpv2.ReasonUnavailable)

	if got, want := get(t, mg).GetCondition(xpv2.TypeSynced).Message, "dim is 8 and should be 3"; !strings.Contains(got, want) {
		t.Errorf("the message is %q, want both dimensions: %q", got, want)
	}

	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "coder-memory"}}
	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(s), s); !kerrors.IsNotFound(err) {
		t.Errorf("agents were told of a collection that is not theirs: %v", err)
	}

	store.Remove(ns + "-coder")
	isReady(t, mg)
}
