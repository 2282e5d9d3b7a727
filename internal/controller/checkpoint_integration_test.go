//go:build integration

package controller

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"gocloud.dev/blob/fileblob"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	cp "github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// newCheckpoint returns a Checkpoint in a directory, and its configuration. It writes its connection secret as the function asks.
func newCheckpoint(ns, name, dir string) (*v1alpha1.ProviderConfig, *v1alpha1.Checkpoint) {
	pc := &v1alpha1.ProviderConfig{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "store"},
		Spec:       v1alpha1.ProviderConfigSpec{CheckpointStore: &v1alpha1.CheckpointStore{URL: "file://" + dir}},
	}
	c := &v1alpha1.Checkpoint{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec:       v1alpha1.CheckpointSpec{ForProvider: v1alpha1.CheckpointParameters{Pool: ns + "/" + name}},
	}
	c.Spec.ProviderConfigReference = &xpv2.ProviderConfigReference{Kind: "ProviderConfig", Name: "store"}
	c.Spec.WriteConnectionSecretToReference = &xpv2.LocalSecretReference{Name: name + "-checkpoint"}

	return pc, c
}

func secretOf(t *testing.T, ns, name string) map[string]string {
	t.Helper()

	s := &corev1.Secret{}
	if err := kube.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: name}, s); err != nil {
		if !kerrors.IsNotFound(err) {
			t.Fatal(err)
		}

		return nil
	}

	out := map[string]string{}
	for k, v := range s.Data {
		out[k] = string(v)
	}

	return out
}

// repository opens what a Checkpoint has made, as a worker does: with what its Secret says.
func repository(t *testing.T, dir string, secret map[string]string) *cp.Repository {
	t.Helper()

	b, err := fileblob.OpenBucket(filepath.Join(dir, secret[monitorapi.CheckpointPrefix]), nil)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = b.Close() })

	var key cp.DataKey

	raw, err := hex.DecodeString(secret[monitorapi.CheckpointKey])
	if err != nil {
		t.Fatal(err)
	}

	copy(key[:], raw)

	r, err := cp.Open(t.Context(), b, key, cp.Options{})
	if err != nil {
		t.Fatal(err)
	}

	return r
}

// saveAs saves a state of one chunk as the worker of a slot.
func saveAs(t *testing.T, r *cp.Repository, slot string, epoch int64, text string) cp.Manifest {
	t.Helper()

	s, err := r.Session(t.Context(), slot, epoch)
	if err != nil {
		t.Fatal(err)
	}

	id, err := s.Put(t.Context(), []byte(text))
	if err != nil {
		t.Fatal(err)
	}

	m, err := s.Commit(t.Context(), cp.Save{Reason: "Test", Tree: []cp.ID{id}, Files: 1, Bytes: int64(len(text))})
	if err != nil {
		t.Fatal(err)
	}

	return m
}

// A repository is made, its key outlives the resource with the data, and goes with them where that is asked for.
func TestCheckpointLifecycle(t *testing.T) {
	startProvider(t)

	ns, dir := newNamespace(t), t.TempDir()
	pc, c := newCheckpoint(ns, "pool", dir)
	create(t, pc, c)
	conditionIs(t, c, xpv2.TypeReady, corev1.ConditionTrue, xpv2.ReasonAvailable)

	var secret map[string]string

	eventually(t, func() string {
		if secret = secretOf(t, ns, "pool-checkpoint"); secret[monitorapi.CheckpointKey] == "" {
			return "the workers' Secret has no key"
		}

		return ""
	})

	want := map[string]string{monitorapi.CheckpointURL: "file://" + dir, monitorapi.CheckpointPrefix: ns + "/pool", monitorapi.CheckpointKey: secretOf(t, ns, "pool-checkpoint-key")["key"]}
	if diff := cmp.Diff(want, secret); diff != "" {
		t.Errorf("what workers get: -want, +got:\n%s", diff)
	}

	r := repository(t, dir, secret)
	if at := get(t, c).Status.AtProvider; at.ID != r.Pool().ID || at.Exists == nil || !*at.Exists {
		t.Errorf("the status says %+v", at)
	}

	if _, err := r.ClaimAt(t.Context(), "0", 1, "test"); err != nil {
		t.Fatal(err)
	}

	m := saveAs(t, r, "0", 1, "state")

	// Kept with its key, and found again by whoever asks for the pool next.
	deleted := func(c *v1alpha1.Checkpoint) {
		t.Helper()

		if err := kube.Delete(t.Context(), c); err != nil {
			t.Fatal(err)
		}

		eventually(t, func() string {
			if err := kube.Get(t.Context(), client.ObjectKeyFromObject(c), c); !kerrors.IsNotFound(err) {
				return fmt.Sprintf("the Checkpoint is still there: %v", err)
			}

			return ""
		})
	}
	deleted(c)

	if secretOf(t, ns, "pool-checkpoint-key") == nil {
		t.Fatal("the data key went with the resource, and the data are there")
	}

	// No garbage collector runs beside this API server.
	if err := kube.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "pool-checkpoint"}}); err != nil {
		t.Fatal(err)
	}

	_, c = newCheckpoint(ns, "pool", dir)
	c.Spec.ForProvider.OnDelete = v1alpha1.DataDelete
	create(t, c)
	conditionIs(t, c, xpv2.TypeReady, corev1.ConditionTrue, xpv2.ReasonAvailable)

	if _, err := repository(t, dir, secret).Manifest(t.Context(), "0", m.Position); err != nil {
		t.Errorf("what was kept cannot be read: %v", err)
	}

	deleted(c)

	if secretOf(t, ns, "pool-checkpoint-key") != nil {
		t.Error("the data key is there after the data went")
	}

	left, _ := filepath.Glob(filepath.Join(dir, ns, "pool", "*"))
	for _, f := range left {
		if i, err := os.Stat(f); err == nil && !i.IsDir() {
			t.Errorf("%s is left", f)
		}
	}
}

// Data whose key is lost are not written over, and who may bring the key back is said.
func TestCheckpointKeyLost(t *testing.T) {
	startProvider(t)

	ns, dir := newNamespace(t), t.TempDir()

	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}

	pc, c := newCheckpoint(ns, "pool", dir)
	pc.Spec.CheckpointStore.Recipients = []v1alpha1.KeyRecipient{{Age: id.Recipient().String()}}
	create(t, pc, c)
	conditionIs(t, c, xpv2.TypeReady, corev1.ConditionTrue, xpv2.ReasonAvailable)

	key := secretOf(t, ns, "pool-checkpoint-key")["key"]

	if err := kube.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "pool-checkpoint-key"}}); err != nil {
		t.Fatal(err)
	}

	patch(t, get(t, c), func() { c.Spec.ForProvider.IntervalSeconds = ptr(int32(77)) })
	eventually(t, func() string {
		if m := get(t, c).GetCondition(xpv2.TypeSynced).Message; !strings.Contains(m, "data key is gone") || !strings.Contains(m, "1 recipients") {
			return "Synced says " + m
		}

		return ""
	})

	// A recipient brings it back.
	b, err := fileblob.OpenBucket(filepath.Join(dir, ns, "pool"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()

	p, err := cp.ReadPool(t.Context(), b, cp.Options{})
	if err != nil {
		t.Fatal(err)
	}

	got, err := cp.UnwrapWithAge(p, id)
	if err != nil || hex.EncodeToString(got[:]) != key {
		t.Fatalf("the key that was wrapped is another: %v", err)
	}

	create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "pool-checkpoint-key"}, StringData: map[string]string{"key": key}})
	patch(t, get(t, c), func() { c.Spec.ForProvider.IntervalSeconds = ptr(int32(78)) })
	conditionIs(t, c, xpv2.TypeReady, corev1.ConditionTrue, xpv2.ReasonAvailable)
}

// Slots are claimed in the store under the epochs that workers are told, a new worker begins with its slot's newest state, the
// newest states come first, and one that was lost is waited for.
func TestBinderWithCheckpoint(t *testing.T) {
	startProvider(t)

	ns, dir := newNamespace(t), t.TempDir()
	pc, c := newCheckpoint(ns, "coder", dir)
	d, s := newDeployment(ns, "coder"), newScaler(ns, "coder", 2)
	d.Spec.Template.Labels = map[string]string{monitorapi.LabelDispatcher: "coder", v1alpha1.LabelCheckpoint: "coder"}
	create(t, pc, c, d, s)
	replicasAre(t, d, 2)

	a, b := newPod(d, "a"), newPod(d, "b")
	create(t, a)
	bound := func(p *corev1.Pod, slot, restore string) int64 {
		t.Helper()

		eventually(t, func() string {
			now := get(t, p)
			if now.Annotations[monitorapi.AnnotationSlot] != slot || now.Annotations[monitorapi.AnnotationRestore] != restore {
				return fmt.Sprintf("pod %s is told %v, want slot %s and to restore %s; conditions %v", p.Name, now.Annotations, slot, restore, now.Status.Conditions)
			}

			return ""
		})

		return int64(epochOf(t, p))
	}

	first := bound(a, "0", monitorapi.RestoreLatest)
	r := repository(t, dir, secretOf(t, ns, "coder-checkpoint"))

	if e, err := r.Highest(t.Context(), "0"); err != nil || e.Epoch != first || e.Holder != string(a.GetUID()) {
		t.Errorf("in the store slot 0 is %+v, %v, and the worker was told epoch %d", e, err, first)
	}

	saveAs(t, r, "0", first, "of slot 0")
	create(t, b)
	saveAs(t, r, "1", bound(b, "1", monitorapi.RestoreLatest), "of slot 1")

	// Slot 1 has the newer state.
	kill(t, a)
	kill(t, b)

	next := newPod(d, "c")
	create(t, next)

	if epoch := bound(next, "1", monitorapi.RestoreLatest); epoch <= first {
		t.Errorf("the epoch went from %d to %d", first, epoch)
	}

	// What slot 0 had is lost from the store: its worker waits, and says why.
	if err := os.RemoveAll(filepath.Join(dir, ns, "coder", "slots", "0", "manifests")); err != nil {
		t.Fatal(err)
	}

	last := newPod(d, "e")
	create(t, last)
	eventually(t, func() string {
		for _, cond := range get(t, last).Status.Conditions {
			if cond.Type == "southwest.ai/slot" && cond.Reason == "StateMissing" && strings.Contains(cond.Message, "slots [0] had checkpoints") {
				return ""
			}
		}

		return fmt.Sprintf("the worker says %v", last.Status.Conditions)
	})

	if len(last.Spec.SchedulingGates) == 0 {
		t.Error("a worker whose state was lost was let go")
	}
}

// A worker that is lost with its node gives its slot, and its state, to the next one, some time after it should have been gone. One
// whose node is well keeps its slot until it is gone, however late that is.
func TestBinderAdoptsFromALostNode(t *testing.T) {
	startProvider(t)

	ns, dir := newNamespace(t), t.TempDir()
	well := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: ns + "-well"}}
	lost := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: ns + "-lost"}}
	pc, _ := newCheckpoint(ns, "", dir)
	create(t, pc, well, lost)

	for n, is := range map[*corev1.Node]corev1.ConditionStatus{well: corev1.ConditionTrue, lost: corev1.ConditionUnknown} {
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: is}}
		if err := kube.Status().Update(t.Context(), n); err != nil {
			t.Fatal(err)
		}
	}

	// worker makes a worker of a pool of its own, on a node, which has saved once and should end.
	worker := func(pool, node string) (d *appsv1.Deployment, epoch int) {
		_, c := newCheckpoint(ns, pool, dir)
		d, s := newDeployment(ns, pool), newScaler(ns, pool, 1)
		d.Spec.Template.Labels = map[string]string{monitorapi.LabelDispatcher: pool, v1alpha1.LabelCheckpoint: pool}
		create(t, c, d, s)

		p := newPod(d, pool+"-old")
		create(t, p)
		eventually(t, func() string {
			if len(get(t, p).Spec.SchedulingGates) > 0 {
				return fmt.Sprintf("pod %s waits: %v", p.Name, p.Status.Conditions)
			}

			return ""
		})

		epoch = epochOf(t, p)
		saveAs(t, repository(t, dir, secretOf(t, ns, pool+"-checkpoint")), "0", int64(epoch), "of "+pool)

		// No kubelet will say that it has ended.
		if err := kube.SubResource("binding").Create(t.Context(), p, &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: node}}); err != nil {
			t.Fatal(err)
		}

		if err := kube.Delete(t.Context(), p, client.GracePeriodSeconds(1)); err != nil {
			t.Fatal(err)
		}

		create(t, newPod(d, pool+"-new"))

		return d, epoch
	}

	worker("stays", well.Name)
	d, before := worker("moves", lost.Name)
	since := time.Now()
	next := newPod(d, "moves-new")

	for get(t, next).Annotations[monitorapi.AnnotationSlot] == "" {
		if time.Since(since) > 3*time.Minute {
			t.Fatalf("the slot of a lost worker is not adopted: %v", next.Status.Conditions)
		}

		time.Sleep(100 * time.Millisecond)
	}

	if took := time.Since(since); took < time.Minute {
		t.Errorf("the slot was adopted after %s, before it was sure that its worker is lost", took)
	}

	if now := epochOf(t, next); next.Annotations[monitorapi.AnnotationSlot] != "0" || next.Annotations[monitorapi.AnnotationRestore] != monitorapi.RestoreLatest || now <= before {
		t.Errorf("who adopts is told %v, and the epoch went from %d to %d", next.Annotations, before, now)
	}

	// By now the other one is as late.
	waits := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "stays-new"}}
	if get(t, waits).Annotations[monitorapi.AnnotationSlot] != "" {
		t.Error("the slot of a worker whose node is well was adopted")
	}
}
