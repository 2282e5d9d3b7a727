//go:build integration

package controller

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/vectorcollection"
	"github.com/southwest-ai/agent-operator/internal/vector/memvector"
)

// inMemory is a provider's only kind of store: one in memory, under the name of a real one.
func inMemory(s *memvector.Store) vectorcollection.Backends {
	return vectorcollection.Backends{v1alpha1.StoreQdrant: s.Backend()}
}

// newConfig returns a namespace's configuration, and the Secret it refers to.
func newConfig(ns string) (*v1alpha1.ProviderConfig, *corev1.Secret) {
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "store"}, StringData: map[string]string{"key": "admin:right"}}

	return &v1alpha1.ProviderConfig{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "memory"},
		Spec: v1alpha1.ProviderConfigSpec{VectorStore: &v1alpha1.VectorStore{
			Type: v1alpha1.StoreQdrant, Endpoint: "http://store.example.org:6334",
			Credentials: &v1alpha1.Credentials{
				Source: xpv2.CredentialsSourceSecret,
				CommonCredentialSelectors: xpv2.CommonCredentialSelectors{
					SecretRef: &xpv2.SecretKeySelector{SecretReference: xpv2.SecretReference{Namespace: ns, Name: "store"}, Key: "key"},
				},
			},
		}},
	}, s
}

// newCollection returns a VectorCollection that uses its namespace's configuration. After the test it is removed, so that
// the next test's provider does not make its collection in another store.
func newCollection(t *testing.T, ns, name string, dim int32) *v1alpha1.VectorCollection {
	t.Helper()

	mg := &v1alpha1.VectorCollection{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: v1alpha1.VectorCollectionSpec{ForProvider: v1alpha1.VectorCollectionParameters{
			Collection: ns + "-" + name, Dim: dim, Distance: v1alpha1.DistanceCosine,
		}},
	}
	mg.SetProviderConfigReference(&xpv2.ProviderConfigReference{Kind: "ProviderConfig", Name: "memory"})
	mg.SetWriteConnectionSecretToReference(&xpv2.LocalSecretReference{Name: name + "-memory"})
	t.Cleanup(func() { remove(t, mg) })

	return mg
}

// remove removes a VectorCollection whatever holds it.
func remove(t *testing.T, mg *v1alpha1.VectorCollection) {
	t.Helper()

	ctx := context.WithoutCancel(t.Context())
	o := &v1alpha1.VectorCollection{ObjectMeta: metav1.ObjectMeta{Namespace: mg.GetNamespace(), Name: mg.GetName()}}

	if err := client.IgnoreNotFound(kube.Delete(ctx, o)); err != nil {
		t.Errorf("cannot delete VectorCollection %s: %v", mg.GetName(), err)
	}

	p := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`))
	if err := client.IgnoreNotFound(kube.Patch(ctx, o, p)); err != nil {
		t.Errorf("cannot let go of VectorCollection %s: %v", mg.GetName(), err)
	}
}

// detailsOf returns a connection secret's content.
func detailsOf(t *testing.T, mg *v1alpha1.VectorCollection) map[string]string {
	t.Helper()

	s := &corev1.Secret{}
	key := types.NamespacedName{Namespace: mg.GetNamespace(), Name: mg.GetWriteConnectionSecretToReference().Name}

	if err := kube.Get(t.Context(), key, s); err != nil {
		t.Fatal(err)
	}

	out := map[string]string{}
	for k, v := range s.Data {
		out[k] = string(v)
	}

	return out
}

func isReady(t *testing.T, mg resource.Managed) {
	t.Helper()
	conditionIs(t, mg, xpv2.TypeReady, corev1.ConditionTrue, xpv2.ReasonAvailable)
	conditionIs(t, mg, xpv2.TypeSynced, corev1.ConditionTrue, xpv2.ReasonReconcileSuccess)
}

func failsFor(t *testing.T, mg resource.Managed, reason xpv2.ConditionReason) {
	t.Helper()
	conditionIs(t, mg, xpv2.TypeSynced, corev1.ConditionFalse, reason)
}

func isGone(t *testing.T, o client.Object) {
	t.Helper()
	eventually(t, func() string {
		if err := kube.Get(t.Context(), client.ObjectKeyFromObject(o), o); !kerrors.IsNotFound(err) {
			return fmt.Sprintf("%T %s is still there (%v)", o, o.GetName(), err)
		}

		return ""
	})
}

func TestCollectionIsMade(t *testing.T) {
	store := memvector.NewStore()
	startProviderWith(t, inMemory(store))

	ns := newNamespace(t)
	cfg, secret := newConfig(ns)
	mg := newCollection(t, ns, "coder", 3)
	mg.Spec.ForProvider.Aliases = []string{"coder"}
	create(t, secret, cfg, mg)
	isReady(t, mg)

	name := ns + "-coder"
	if got := meta.GetExternalName(mg); got != name {
		t.Errorf("external name is %q, want the collection's", got)
	}

	zero, three, hundred, no := int64(0), int32(3), int32(100), false
	want := v1alpha1.VectorCollectionObservation{
		CollectionObservation: v1alpha1.CollectionObservation{
			Exists: ptr(true), Dim: &three, Distance: "Cosine", VectorCount: &zero,
			Index:  &v1alpha1.IndexObservation{Type: "HNSW", State: "Ready"},
			Shards: &v1alpha1.ShardObservation{Total: 1, Ready: 1},
		},
		Store: v1alpha1.StoreQdrant, Aliases: []string{"coder"}, Access: v1alpha1.AccessScoped, Serving: name,
	}

	mg = get(t, mg)
	if diff := cmp.Diff(want, mg.Status.AtProvider, cmpopts.IgnoreFields(v1alpha1.VectorCollectionObservation{}, "Owner")); diff != "" {
		t.Errorf("atProvider: -want, +got:\n%s", diff)
	}

	wantTuning := v1alpha1.VectorTuning{
		Index:  &v1alpha1.VectorIndex{Type: "HNSW", M: ptr[int32](16), EfConstruction: &hundred, Ef: ptr[int32](40)},
		Shards: ptr[int32](1), Replicas: ptr[int32](1), Quantization: "None", OnDisk: &no, Tenancy: "Single",
	}
	if diff := cmp.Diff(wantTuning, mg.Spec.ForProvider.VectorTuning); diff != "" {
		t.Errorf("late initialized spec: -want, +got:\n%s", diff)
	}

	d := detailsOf(t, mg)
	if d["username"] == "" || d["password"] == "" {
		t.Errorf("agents got no login of their own")
	}

	wantDetails := map[string]string{
		"store": "Qdrant", "endpoint": "http://store.example.org:6334", "collection": "coder", "dim": "3", "distance": "Cosine",
		"username": d["username"], "password": d["password"], "reach": name + " coder=" + name,
	}
	if diff := cmp.Diff(wantDetails, d); diff != "" {
		t.Errorf("connection details: -want, +got:\n%s", diff)
	}

	st, _ := store.Get(name)
	if want := ns + "/coder@"; st.Owner[:len(want)] != want || st.Owner != mg.Status.AtProvider.Owner {
		t.Errorf("the collection is stamped %q, want %s and the cluster, as the status says: %q", st.Owner, want, mg.Status.AtProvider.Owner)
	}
}

func TestCollectionIsWaitedForByPods(t *testing.T) {
	store := memvector.NewStore()
	startProviderWith(t, inMemory(store))

	ns := newNamespace(t)
	cfg, secret := newConfig(ns)
	mg := newCollection(t, ns, "coder", 3)
	mg.Spec.ForProvider.OnDelete = v1alpha1.DataDelete

	d := newDeployment(ns, "coder")
	d.Spec.Template.Labels[v1alpha1.LabelMemory] = "coder"
	pod := newPod(d, "coder-1")
	create(t, secret, cfg, mg, pod)
	isReady(t, mg)

	if err := kube.Delete(t.Context(), mg); err != nil {
		t.Fatal(err)
	}

	failsFor(t, mg, v1alpha1.ReasonInUse)

	if _, ok := store.Get(ns + "-coder"); !ok {
		t.Fatal("the collection was deleted while it was used")
	}

	if err := kube.Delete(t.Context(), pod, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}

	isGone(t, mg)

	if _, ok := store.Get(ns + "-coder"); ok {
		t.Error("the collection is still there")
	}
}

// At rest nothing is written, and the store is asked once a poll.
func TestCollectionIsQuietAtRest(t *testing.T) {
	store := memvector.NewStore()
	startProviderWith(t, inMemory(store))

	ns := newNamespace(t)
	cfg, secret := newConfig(ns)
	mg := newCollection(t, ns, "coder", 3)
	create(t, secret, cfg, mg)
	isReady(t, mg)

	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "coder-memory"}}
	settled, secretSettled := get(t, mg).GetResourceVersion(), get(t, s).GetResourceVersion()
	calls := store.Calls()

	// Each edit of the configuration that changes nothing of the store has the collection looked at.
	for i := range 5 {
		patch(t, get(t, cfg), func() { cfg.Spec.CheckpointStore = &v1alpha1.CheckpointStore{URL: fmt.Sprintf("s3://b%d", i)} })
		eventually(t, func() string {
			if n := store.Calls()["Describe"] - calls["Describe"]; n <= i {
				return fmt.Sprintf("looked at %d times, want %d", n, i+1)
			}

			return ""
		})
	}

	if got := get(t, mg).GetResourceVersion(); got != settled {
		t.Errorf("the resource was written although nothing had changed: version %s, then %s", settled, got)
	}

	if got := get(t, s).GetResourceVersion(); got != secretSettled {
		t.Errorf("the Secret was written although nothing had changed: version %s, then %s", secretSettled, got)
	}

	after := store.Calls()
	after["Describe"] = calls["Describe"]

	if diff := cmp.Diff(calls, after); diff != "" {
		t.Errorf("calls other than Describe: -before, +after:\n%s", diff)
	}
}

// Two that want one collection: the first has it, the second is told, and has it after the first let go.
func TestCollectionTwoOwners(t *testing.T) {
	store := memvector.NewStore()
	startProviderWith(t, inMemory(store))

	ns := newNamespace(t)
	cfg, secret := newConfig(ns)
	first, second := newCollection(t, ns, "first", 3), newCollection(t, ns, "second", 3)
	second.Spec.ForProvider.Collection = ns + "-first"
	create(t, secret, cfg, first)
	isReady(t, first)
	create(t, second)
	failsFor(t, second, v1alpha1.ReasonOwnedByAnother)

	// Sharing is by watching only.
	watcher := newCollection(t, ns, "watcher", 3)
	watcher.Spec.ForProvider.Collection = ns + "-first"
	watcher.Spec.ManagementPolicies = xpv2.ManagementPolicies{xpv2.ManagementActionObserve}
	create(t, watcher)
	isReady(t, watcher)

	patch(t, get(t, second), func() {
		meta.AddAnnotations(second, map[string]string{v1alpha1.AnnotationTakeOver: get(t, first).Status.AtProvider.Owner})
	})
	isReady(t, second)

	if n := eventsOf(t, second, "CollectionTakenOver"); n != 1 {
		t.Errorf("%d events tell of it, want 1", n)
	}
}
