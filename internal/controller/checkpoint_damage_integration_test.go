//go:build integration

package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	cp "github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

func quantity(s string) *resource.Quantity { return ptr(resource.MustParse(s)) }

// saidOf returns what the events of an object say.
func saidOf(t *testing.T, o client.Object) string {
	t.Helper()

	l := &corev1.EventList{}
	if err := kube.List(t.Context(), l, client.InNamespace(o.GetNamespace())); err != nil {
		t.Fatal(err)
	}

	var out []string

	for _, e := range l.Items {
		if e.InvolvedObject.UID == o.GetUID() {
			out = append(out, e.Reason+": "+e.Message)
		}
	}

	return strings.Join(out, "\n")
}

// chunkOf returns the name of the one chunk that a state of saveAs has.
func chunkOf(m cp.Manifest) string {
	id := m.Tree[0].String()

	return "chunks/" + id[:2] + "/" + id
}

// A chunk that went bad in the store is found, named and said at once, and is left where it is. Whoever restores the slot gets the
// newest checkpoint that is whole.
func TestCheckpointCorruptChunk(t *testing.T) {
	startProvider(t)

	s := newObjectStore(t)
	c := s.checkpoint("pool")
	c.Spec.ForProvider.Retain = nil
	create(t, c)
	ready(t, c)

	// An old checkpoint goes bad while nobody looks: the scrub is what finds it.
	all := s.saves(t, "pool", "of old", "whole", "newest")
	deleted(t, c)
	s.spoilAt(t, "pool", chunkOf(all[0]))

	c = s.checkpoint("pool")
	c.Spec.ForProvider.Retain = nil
	create(t, c)
	ready(t, c)
	conditionIs(t, c, v1alpha1.ConditionIntact, corev1.ConditionFalse, v1alpha1.ReasonCorrupt)
	eventually(t, func() string {
		if said := saidOf(t, c); !strings.Contains(said, "Corrupt: "+chunkOf(all[0])) || !strings.Contains(said, "it hurts 0/"+all[0].Position.String()) {
			return fmt.Sprintf("no event names the chunk and whom it hurts:\n%s", said)
		}

		return ""
	})

	if at := get(t, c).Status.AtProvider; *at.Corrupt != 1 || *at.Verified != 1 {
		t.Errorf("the newest checkpoint is whole and an older one is not, and the status says %+v", at)
	}

	// The newest one goes bad as it is saved: this is found by reading it back.
	bad := s.saves(t, "pool", "torn")[0]
	s.spoilAt(t, "pool", chunkOf(bad))
	deleted(t, c)

	// It is kept by a rule that keeps the newest alone, and those that are whole are kept beside it.
	c = s.checkpoint("pool")
	create(t, c)
	conditionIs(t, c, v1alpha1.ConditionIntact, corev1.ConditionFalse, v1alpha1.ReasonCorrupt)
	eventually(t, func() string {
		if said := saidOf(t, c); !strings.Contains(said, "checkpoint "+bad.Position.String()+" of slot 0 cannot be read") {
			return fmt.Sprintf("no event says that the newest checkpoint is bad:\n%s", said)
		}

		return ""
	})

	if _, there := s.objects(t, "pool")[chunkOf(bad)]; !there {
		t.Error("a chunk that this process cannot read was removed")
	}

	// What a worker restores, by the way that it does.
	r := s.repository(t, "pool")

	e, err := r.Claim(t.Context(), "0", "test")
	if err != nil {
		t.Fatal(err)
	}

	got, err := r.Restore(t.Context(), "0", e.Epoch, func(ctx context.Context, m cp.Manifest) error { return r.Verify(ctx, m) })
	if err != nil {
		t.Fatal(err)
	}

	if got.Manifest.Position != all[2].Position || len(got.Rejected) != 1 || got.Rejected[0].Position != bad.Position || !errors.Is(got.Rejected[0].Err, cp.ErrCorrupt) {
		t.Errorf("restored is %s, rejected %v, want %s and %s", got.Manifest.Position, got.Rejected, all[2].Position, bad.Position)
	}
}

// A platform's configuration serves all namespaces, each with credentials of its own for the workers; the platform's stay with the
// provider.
func TestCheckpointClusterProviderConfig(t *testing.T) {
	startProvider(t)

	s := newObjectStore(t)
	platform := newNamespace(t)
	team := s.MakeUser(t, "team")

	pc := &v1alpha1.ClusterProviderConfig{ObjectMeta: metav1.ObjectMeta{Name: platform}, Spec: v1alpha1.ProviderConfigSpec{CheckpointStore: s.spec(platform, "admin")}}
	pc.Spec.CheckpointStore.WorkerCredentials = fromSecret(platform, "workers")

	c := s.checkpoint("pool")
	c.Spec.ProviderConfigReference = &xpv2.ProviderConfigReference{Kind: "ClusterProviderConfig", Name: platform}

	// A Secret of the platform's with the right name is not the team's.
	create(t, s.secret(t, platform, "admin", s.Root), s.secret(t, platform, "workers", s.Root), pc, c)
	synced(t, c, "workerCredentials")

	own := s.secret(t, s.ns, "workers", team)
	create(t, own)
	patch(t, get(t, c), func() { c.Spec.ForProvider.IntervalSeconds = ptr(int32(77)) })
	ready(t, c)

	var secret map[string]string

	eventually(t, func() string {
		if secret = secretOf(t, s.ns, "pool-checkpoint"); secret[monitorapi.CheckpointKey] == "" {
			return "the workers' Secret has no key"
		}

		return ""
	})

	if diff := cmp.Diff(string(own.Data["credentials"]), secret[monitorapi.CheckpointCredentials]); diff != "" {
		t.Errorf("what workers get: -want, +got:\n%s", diff)
	}

	for k, v := range secret {
		if strings.Contains(v, s.Root.SecretAccessKey) {
			t.Errorf("the platform's credentials are in the workers' Secret under %s", k)
		}
	}

	s.saves(t, "pool", "a", "b")
	s.pruned(t, "pool")
}

// Data are kept unless it is asked that they go. Then they go when the last worker has ended that has its state there, and the key
// with them.
func TestCheckpointOnDelete(t *testing.T) {
	startProvider(t)

	s := newObjectStore(t)
	keeps, goes := s.checkpoint("keeps"), s.checkpoint("goes")
	goes.Spec.ForProvider.OnDelete = v1alpha1.DataDelete
	create(t, keeps, goes)
	ready(t, keeps)
	ready(t, goes)

	kept := s.saves(t, "keeps", "state")[0]
	s.saves(t, "goes", "state")

	worker := newPod(newDeployment(s.ns, "goes"), "worker")
	worker.Spec.SchedulingGates = nil
	worker.Labels = map[string]string{monitorapi.LabelDispatcher: "goes", v1alpha1.LabelCheckpoint: "goes"}
	create(t, worker)

	deleted(t, keeps)

	if _, err := s.repository(t, "keeps").Manifest(t.Context(), "0", kept.Position); err != nil {
		t.Errorf("what was to be kept cannot be read: %v", err)
	}

	if err := kube.Delete(t.Context(), goes); err != nil {
		t.Fatal(err)
	}

	synced(t, goes, "1 workers still have their state there")

	if len(s.objects(t, "goes")) == 0 {
		t.Error("a worker's state was deleted while it runs")
	}

	kill(t, worker)
	isGone(t, goes)

	if diff := cmp.Diff(map[string]string{}, s.objects(t, "goes")); diff != "" || secretOf(t, s.ns, "goes"+v1alpha1.SuffixDataKey) != nil {
		t.Errorf("what was to go is there: %s", diff)
	}
}

// Other recipients of the data key are written once, and not again each time that somebody looks.
func TestCheckpointRecipients(t *testing.T) {
	startProvider(t)

	s := newObjectStore(t)
	c := s.checkpoint("pool")
	create(t, c)
	ready(t, c)

	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}

	pc := &v1alpha1.ProviderConfig{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "store"}}
	patch(t, get(t, pc), func() {
		pc.Spec.CheckpointStore.Recipients = []v1alpha1.KeyRecipient{{Age: id.Recipient().String()}}
	})
	eventually(t, func() string {
		if p := s.objects(t, "pool")["pool.json"]; !strings.Contains(p, id.Recipient().String()) {
			return "the data key is not wrapped: " + p
		}

		return ""
	})

	// What age wraps differs each time.
	before := s.objects(t, "pool")["pool.json"]

	for i := range int32(3) {
		patch(t, get(t, c), func() { c.Spec.ForProvider.IntervalSeconds = ptr(70 + i) })
		eventually(t, func() string {
			if o := get(t, c).GetCondition(xpv2.TypeSynced).ObservedGeneration; o != c.GetGeneration() {
				return fmt.Sprintf("generation %d was seen, want %d", o, c.GetGeneration())
			}

			return ""
		})
	}

	if diff := cmp.Diff(before, s.objects(t, "pool")["pool.json"]); diff != "" {
		t.Errorf("the data key was wrapped again: %s", diff)
	}
}

// A repository that loses its pool.json is noticed although it was open. Checkpoints are not written over; where there are none
// it is made anew.
func TestCheckpointRemovedBehindOurBack(t *testing.T) {
	startProvider(t)

	s := newObjectStore(t)
	c := s.checkpoint("pool")
	create(t, c)
	ready(t, c)
	s.saves(t, "pool", "state")

	first, b := get(t, c).Status.AtProvider.ID, s.bucket(t, "pool")

	pool, err := b.ReadAll(t.Context(), "pool.json")
	if err != nil {
		t.Fatal(err)
	}

	if err := b.Delete(t.Context(), "pool.json"); err != nil {
		t.Fatal(err)
	}

	patch(t, get(t, c), func() { c.Spec.ForProvider.IntervalSeconds = ptr(int32(77)) })
	synced(t, c, "no pool.json")

	if err := b.WriteAll(t.Context(), "pool.json", pool, nil); err != nil {
		t.Fatal(err)
	}

	ready(t, c)

	if id := get(t, c).Status.AtProvider.ID; id != first {
		t.Errorf("the repository is %q, and was %q", id, first)
	}

	for name := range s.objects(t, "pool") {
		if err := b.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}

	patch(t, get(t, c), func() { c.Spec.ForProvider.IntervalSeconds = ptr(int32(78)) })
	eventually(t, func() string {
		if at := get(t, c).Status.AtProvider; at.ID == first || at.ID == "" || len(s.objects(t, "pool")) == 0 {
			return fmt.Sprintf("the repository is %q, and was %q", at.ID, first)
		}

		return ""
	})
	ready(t, c)
}
