//go:build integration

package controller

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gocloud.dev/blob"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	cp "github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/store"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/storetest"
)

// poolsBucket is the bucket of all pools of a test.
const poolsBucket = "pools"

// An objectStore is an S3 server of a test's own, with a namespace whose ProviderConfig "store" leads to it.
type objectStore struct {
	*storetest.S3
	ns string
}

func newObjectStore(t *testing.T) *objectStore {
	t.Helper()

	s := &objectStore{S3: storetest.StartS3(t), ns: newNamespace(t)}
	s.MakeBucket(t, poolsBucket)
	create(t, s.secret(t, s.ns, "credentials", s.Root), &v1alpha1.ProviderConfig{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "store"},
		Spec:       v1alpha1.ProviderConfigSpec{CheckpointStore: s.spec(s.ns, "credentials")},
	})

	return s
}

func (s *objectStore) secret(t *testing.T, ns, name string, k store.S3Credentials) *corev1.Secret {
	t.Helper()

	b, err := json.Marshal(k)
	if err != nil {
		t.Fatal(err)
	}

	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Data: map[string][]byte{"credentials": b}}
}

func (s *objectStore) spec(ns, name string) *v1alpha1.CheckpointStore {
	return &v1alpha1.CheckpointStore{URL: s.Config(poolsBucket, "", s.Root).URL, Credentials: fromSecret(ns, name)}
}

func fromSecret(ns, name string) *v1alpha1.Credentials {
	return &v1alpha1.Credentials{Source: xpv2.CredentialsSourceSecret, CommonCredentialSelectors: xpv2.CommonCredentialSelectors{
		SecretRef: &xpv2.SecretKeySelector{SecretReference: xpv2.SecretReference{Namespace: ns, Name: name}, Key: "credentials"},
	}}
}

// checkpoint returns a Checkpoint in the store that keeps one checkpoint of each slot.
func (s *objectStore) checkpoint(name string, change ...func(*v1alpha1.Checkpoint)) *v1alpha1.Checkpoint {
	_, c := newCheckpoint(s.ns, name, "")
	c.Spec.ForProvider.Retain = &v1alpha1.Retain{Last: ptr(int32(1))}

	for _, f := range change {
		f(c)
	}

	return c
}

func ready(t *testing.T, c *v1alpha1.Checkpoint) {
	t.Helper()
	conditionIs(t, c, xpv2.TypeReady, corev1.ConditionTrue, xpv2.ReasonAvailable)
}

func (s *objectStore) bucket(t *testing.T, pool string) *blob.Bucket {
	t.Helper()

	b, err := store.Open(t.Context(), s.Config(poolsBucket, s.ns+"/"+pool, s.Root))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = b.Close() })

	return b
}

// repository opens a pool's repository with its data key.
func (s *objectStore) repository(t *testing.T, pool string) *cp.Repository {
	t.Helper()

	raw, err := hex.DecodeString(secretOf(t, s.ns, pool+v1alpha1.SuffixDataKey)["key"])
	if err != nil {
		t.Fatal(err)
	}

	var key cp.DataKey

	copy(key[:], raw)

	r, err := cp.Open(t.Context(), s.bucket(t, pool), key, cp.Options{})
	if err != nil {
		t.Fatal(err)
	}

	return r
}

// objects returns what a pool has in the store, with its content.
func (s *objectStore) objects(t *testing.T, pool string) map[string]string {
	t.Helper()

	out, b := map[string]string{}, s.bucket(t, pool)

	page, _, err := b.ListPage(t.Context(), blob.FirstPageToken, 1000, nil)
	if err != nil {
		t.Fatal(err)
	}

	for _, o := range page {
		content, err := b.ReadAll(t.Context(), o.Key)
		if err != nil {
			t.Fatal(err)
		}

		out[o.Key] = string(content)
	}

	return out
}

// saves makes checkpoints of a pool's slot 0, each of another state.
func (s *objectStore) saves(t *testing.T, pool string, texts ...string) []cp.Manifest {
	t.Helper()

	r := s.repository(t, pool)

	e, err := r.Claim(t.Context(), "0", "test")
	if err != nil {
		t.Fatal(err)
	}

	var out []cp.Manifest
	for _, text := range texts {
		out = append(out, saveAs(t, r, "0", e.Epoch, text))
	}

	return out
}

// pruned waits until a pool has one checkpoint left, which shows that the keeper has been at work.
func (s *objectStore) pruned(t *testing.T, pool string) {
	t.Helper()

	r := s.repository(t, pool)

	eventually(t, func() string {
		if all, err := r.Positions(t.Context(), "0"); err != nil || len(all) != 1 {
			return fmt.Sprintf("pool %s has %d checkpoints, %v", pool, len(all), err)
		}

		return ""
	})
}

// spoilAt turns a bit of an object over where the server keeps it.
func (s *objectStore) spoilAt(t *testing.T, pool, name string) {
	t.Helper()

	file := filepath.Join(s.Dir, poolsBucket, s.ns, pool, name)

	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}

	b[len(b)-1] ^= 1

	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// deleted deletes a Checkpoint and waits until it is gone, with its connection secret: no garbage collector runs beside this API
// server.
func deleted(t *testing.T, c *v1alpha1.Checkpoint) {
	t.Helper()

	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: c.GetNamespace(), Name: c.GetName() + "-checkpoint"}}

	if err := kube.Delete(t.Context(), c); err != nil {
		t.Fatal(err)
	}

	isGone(t, c)

	if err := client.IgnoreNotFound(kube.Delete(t.Context(), secret)); err != nil {
		t.Fatal(err)
	}
}

// synced waits until a Checkpoint's Synced says something.
func synced(t *testing.T, c *v1alpha1.Checkpoint, text string) {
	t.Helper()

	eventually(t, func() string {
		if m := get(t, c).GetCondition(xpv2.TypeSynced); m.Status != corev1.ConditionFalse || !strings.Contains(m.Message, text) {
			return fmt.Sprintf("Synced is %s and says %q, want %q", m.Status, m.Message, text)
		}

		return ""
	})
}

// A paused Checkpoint is left alone: nothing is made for it, and nothing of it is removed.
func TestCheckpointPaused(t *testing.T) {
	startProvider(t)

	s := newObjectStore(t)
	paused := func(c *v1alpha1.Checkpoint) { c.Annotations = map[string]string{"crossplane.io/paused": "true"} }

	c, beside := s.checkpoint("pool", paused), s.checkpoint("beside")
	create(t, c, beside)
	ready(t, beside)
	conditionIs(t, c, xpv2.TypeSynced, corev1.ConditionFalse, xpv2.ReasonReconcilePaused)

	if diff := cmp.Diff(map[string]string{}, s.objects(t, "pool")); diff != "" || secretOf(t, s.ns, "pool"+v1alpha1.SuffixDataKey) != nil {
		t.Errorf("something was made for a paused Checkpoint: %s", diff)
	}

	patch(t, get(t, c), func() { c.Annotations["crossplane.io/paused"] = "false" })
	ready(t, c)
	patch(t, get(t, c), func() { c.Annotations["crossplane.io/paused"] = "true" })
	conditionIs(t, c, xpv2.TypeSynced, corev1.ConditionFalse, xpv2.ReasonReconcilePaused)

	s.saves(t, "pool", "a", "b", "c")
	before := s.objects(t, "pool")

	s.saves(t, "beside", "a", "b", "c")
	s.pruned(t, "beside")

	if diff := cmp.Diff(before, s.objects(t, "pool")); diff != "" {
		t.Errorf("a paused Checkpoint's repository was written to: -before, +after:\n%s", diff)
	}

	patch(t, get(t, c), func() { delete(c.Annotations, "crossplane.io/paused") })
	s.pruned(t, "pool")
}

// An observer is told all that there is to tell, makes no repository, writes nothing, and leaves all behind.
func TestCheckpointObserveOnly(t *testing.T) {
	startProvider(t)

	s := newObjectStore(t)
	observe := xpv2.ManagementPolicies{xpv2.ManagementActionObserve}

	none := s.checkpoint("none", func(c *v1alpha1.Checkpoint) { c.Spec.ManagementPolicies = observe })
	c, beside := s.checkpoint("pool"), s.checkpoint("beside")
	create(t, none, c, beside)
	ready(t, c)
	ready(t, beside)
	synced(t, none, "does not exist")

	if diff := cmp.Diff(map[string]string{}, s.objects(t, "none")); diff != "" || secretOf(t, s.ns, "none"+v1alpha1.SuffixDataKey) != nil {
		t.Errorf("something was made for an observer: %s", diff)
	}

	patch(t, get(t, c), func() {
		c.Spec.ManagementPolicies = observe
		c.Spec.ForProvider.OnDelete = v1alpha1.DataDelete
	})
	// A reconcile by the new policy is over once its generation was seen.
	eventually(t, func() string {
		if o := get(t, c).GetCondition(xpv2.TypeSynced).ObservedGeneration; o != c.GetGeneration() {
			return fmt.Sprintf("generation %d was seen, want %d", o, c.GetGeneration())
		}

		return ""
	})

	s.saves(t, "pool", "a", "b", "c")
	before := s.objects(t, "pool")

	s.saves(t, "beside", "a", "b", "c")
	s.pruned(t, "beside")

	// What is told comes with a reconcile, and this is one.
	patch(t, get(t, c), func() { c.Spec.ForProvider.IntervalSeconds = ptr(int32(77)) })
	eventually(t, func() string {
		if at := get(t, c).Status.AtProvider; at.Checkpoints == nil || *at.Checkpoints != 3 || at.Verified == nil || *at.Verified != 1 {
			patch(t, c, func() { c.Spec.ForProvider.IntervalSeconds = ptr(*c.Spec.ForProvider.IntervalSeconds%80 + 5) })

			return fmt.Sprintf("an observer is told %+v", at)
		}

		return ""
	})

	if diff := cmp.Diff(before, s.objects(t, "pool")); diff != "" {
		t.Errorf("an observer wrote to the repository: -before, +after:\n%s", diff)
	}

	deleted(t, c)

	if diff := cmp.Diff(before, s.objects(t, "pool")); diff != "" || secretOf(t, s.ns, "pool"+v1alpha1.SuffixDataKey) == nil {
		t.Errorf("an observer that was deleted has taken something along: -before, +after:\n%s", diff)
	}
}

// Who exceeds the quota is told by how much, and saves go on.
func TestCheckpointQuota(t *testing.T) {
	startProvider(t)

	s := newObjectStore(t)
	c := s.checkpoint("pool")
	create(t, c)
	ready(t, c)
	s.saves(t, "pool", strings.Repeat("not much ", 30))

	patch(t, get(t, c), func() { c.Spec.ForProvider.Quota = quantity("10") })
	conditionIs(t, c, v1alpha1.ConditionWithinQuota, corev1.ConditionFalse, v1alpha1.ReasonQuotaExceeded)

	stored := *get(t, c).Status.AtProvider.StoredBytes
	if m := c.GetCondition(v1alpha1.ConditionWithinQuota).Message; stored <= 10 || !strings.Contains(m, fmt.Sprintf("(%d bytes) and its quota is 10", stored)) {
		t.Errorf("%d bytes are stored, and the condition says %q", stored, m)
	}

	s.saves(t, "pool", "more")

	patch(t, get(t, c), func() { c.Spec.ForProvider.Quota = quantity("1Mi") })
	conditionIs(t, c, v1alpha1.ConditionWithinQuota, corev1.ConditionTrue, v1alpha1.ReasonWithinQuota)

	patch(t, get(t, c), func() { c.Spec.ForProvider.Quota = nil })
	conditionIs(t, c, v1alpha1.ConditionWithinQuota, corev1.ConditionUnknown, "")
}
