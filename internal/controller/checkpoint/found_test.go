package checkpoint

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

// A new checkpoint is read back once, by this process.
func TestVerifyOnce(t *testing.T) {
	w := newWorld(t, "pool")
	r := w.repos["pool"]
	r.save(t, "0", "of slot 0")
	r.save(t, "1", "of slot 1")
	w.turns(t, "pool", 3, time.Minute)

	want := v1alpha1.CheckpointObservation{
		Slots: ptr(int32(2)), Bound: ptr(int32(0)), Hibernated: ptr(int32(2)), Checkpoints: ptr(int64(2)), Verified: ptr(int32(2)),
		StateBytes: ptr(int64(len("of slot 0") + len("of slot 1"))), Corrupt: ptr(int32(0)), RPOMet: ptr(true),
	}
	ignored := cmpopts.IgnoreFields(v1alpha1.CheckpointObservation{}, "NewestTime", "OldestTime", "SweptTime", "StoredBytes")

	if diff := cmp.Diff(want, w.at(t, "pool"), ignored); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}

	if n := r.count("Verify"); n != 2 {
		t.Errorf("2 checkpoints were read back %d times", n)
	}

	r.save(t, "1", "newer")
	w.turns(t, "pool", 1, time.Minute)

	if n := r.count("Verify"); n != 3 {
		t.Errorf("3 checkpoints were read back %d times", n)
	}
}

// A chunk that goes bad is found by the scrub, named with whom it hurts, counted once, and forgotten when a save has mended it.
func TestScrubFindsAndForgets(t *testing.T) {
	w := newWorld(t, "pool")
	r := w.repos["pool"]
	_, chunk := r.save(t, "0", "state")
	w.turns(t, "pool", 1, time.Minute)

	r.spoil(t, chunk)
	w.turns(t, "pool", 10, time.Minute)

	if at := w.at(t, "pool"); *at.Corrupt != 1 || at.ScrubbedTime != nil {
		t.Errorf("one chunk is corrupt, and the status says %d, scrubbed %v", *at.Corrupt, at.ScrubbedTime)
	}

	if !named(w.events, "Corrupt: "+chunk) || !named(w.events, "it hurts 0/") || len(w.events) != 1 {
		t.Errorf("the events are %q, want one that names %s", w.events, chunk)
	}

	// The same bit again makes it whole, as a save of the same bytes would.
	r.spoil(t, chunk)
	w.turns(t, "pool", 10, 24*time.Hour)

	if at := w.at(t, "pool"); *at.Corrupt != 0 || at.ScrubbedTime == nil {
		t.Errorf("all is whole again, and the status says %d, scrubbed %v", *at.Corrupt, at.ScrubbedTime)
	}
}

// Who asks for a scrub gets a whole one at once, each request one, however long ago the last was.
func TestScrubNow(t *testing.T) {
	w := newWorld(t, "pool")
	r := w.repos["pool"]
	_, chunk := r.save(t, "0", "state")
	w.turns(t, "pool", 10, 24*time.Hour) // The first scrub is over, and the next is not due for days.

	before := w.at(t, "pool")
	r.spoil(t, chunk)
	w.turns(t, "pool", 1, time.Minute)

	if at := w.at(t, "pool"); *at.Corrupt != 0 || before.ScrubbedTime == nil || at.ScrubbedFor != "" {
		t.Fatalf("nobody has asked, and the status says %+v", at)
	}

	ask := func(request string) {
		mg := w.get(t, "pool")
		mg.Annotations = map[string]string{v1alpha1.AnnotationScrubNow: request}

		if err := w.kube.Update(t.Context(), mg); err != nil {
			t.Fatal(err)
		}
	}

	ask("tonight")
	w.turns(t, "pool", 1, time.Minute)

	if at := w.at(t, "pool"); *at.Corrupt != 1 || at.ScrubbedFor != "tonight" || !named(w.events, "as was asked for by tonight; 1 objects are lost or corrupt") {
		t.Errorf("one turn after it was asked for the status says %d, %q; events %q", *at.Corrupt, at.ScrubbedFor, w.events)
	}

	n := r.count("Scrub")
	w.turns(t, "pool", 3, time.Minute)

	if r.count("Scrub") != n {
		t.Error("a request is followed again and again")
	}

	r.spoil(t, chunk) // Whole again.
	ask("tomorrow")
	w.turns(t, "pool", 1, time.Minute)

	if at := w.at(t, "pool"); *at.Corrupt != 0 || at.ScrubbedFor != "tomorrow" || !at.ScrubbedTime.After(before.ScrubbedTime.Time) {
		t.Errorf("after the second request the status says %+v", at)
	}
}

// A checkpoint that is bad from the beginning is found as soon as it is read back, and is not read back again each turn.
func TestVerifyFindsCorruptOnes(t *testing.T) {
	w := newWorld(t, "pool")
	w.turns(t, "pool", 8, time.Minute) // The first scrub is over.

	r := w.repos["pool"]
	m, chunk := r.save(t, "0", "state")
	r.spoil(t, chunk)
	w.turns(t, "pool", 5, time.Minute)

	if at := w.at(t, "pool"); *at.Corrupt != 1 || *at.Verified != 0 {
		t.Errorf("the newest checkpoint is corrupt, and the status says %d, verified %d", *at.Corrupt, *at.Verified)
	}

	if !named(w.events, "checkpoint "+m.Position.String()+" of slot 0") || r.count("Verify") != 1 {
		t.Errorf("events %q after %d readings", w.events, r.count("Verify"))
	}

	// A good one does not undo that an older one cannot be restored, until that is removed.
	r.save(t, "0", "next")
	w.turns(t, "pool", 1, time.Minute)

	if at := w.at(t, "pool"); *at.Corrupt != 1 || *at.Verified != 1 {
		t.Errorf("the older checkpoint is corrupt, and the status says %d, verified %d", *at.Corrupt, *at.Verified)
	}

	if err := r.Remove(t.Context(), "0", m.Position, true); err != nil {
		t.Fatal(err)
	}

	w.turns(t, "pool", 1, time.Minute)

	if at := w.at(t, "pool"); *at.Corrupt != 0 {
		t.Errorf("the corrupt checkpoint is gone, and the status says %d", *at.Corrupt)
	}
}

// While a slot's newest checkpoint is corrupt no older one is removed, whatever the rules say: it is what its next worker restores.
func TestPruneSparesWhatIsLeft(t *testing.T) {
	w := newWorld(t, "pool")
	r := w.repos["pool"]

	mg := w.get(t, "pool")
	mg.Spec.ForProvider.Retain = &v1alpha1.Retain{Last: ptr(int32(1))}

	if err := w.kube.Update(t.Context(), mg); err != nil {
		t.Fatal(err)
	}

	r.save(t, "0", "good")
	_, chunk := r.save(t, "0", "bad")
	r.spoil(t, chunk)
	w.turns(t, "pool", 5, time.Minute)

	if at := w.at(t, "pool"); *at.Checkpoints != 2 {
		t.Errorf("%d checkpoints are left, want the corrupt one and the one that is whole", *at.Checkpoints)
	}

	r.save(t, "0", "good again")
	w.turns(t, "pool", 2, time.Minute)

	if at := w.at(t, "pool"); *at.Checkpoints != 1 || *at.Verified != 1 {
		t.Errorf("%d checkpoints are left, of which %d are whole, want the newest", *at.Checkpoints, *at.Verified)
	}
}

// A manifest that is corrupt holds the sweep up, and nothing else.
func TestCorruptManifest(t *testing.T) {
	w := newWorld(t, "pool")
	r := w.repos["pool"]
	m, _ := r.save(t, "0", "state")
	r.save(t, "1", "state of another")
	r.spoil(t, "slots/0/manifests/"+m.Position.String()+".json")
	r.later = 48 * time.Hour // There is something to sweep, if it were known what.
	w.turns(t, "pool", 10, time.Minute)

	at := w.at(t, "pool")
	if *at.Corrupt != 1 || *at.Verified != 1 || at.StoredBytes == nil || len(at.Problems) != 1 || at.Problems[0].Slot != "0" {
		t.Errorf("one manifest is corrupt, and the status says %+v", at)
	}

	if n := r.count("Sweep"); n != 1 || at.SweptTime != nil {
		t.Errorf("in ten minutes a sweep was tried %d times, and the status says that it was done at %v", n, at.SweptTime)
	}

	if !named(w.events, "slots/0/manifests/") {
		t.Errorf("the events name no manifest: %q", w.events)
	}
}

// An observer's repository is read, and never written to.
func TestObserverWritesNothing(t *testing.T) {
	w := newWorld(t, "pool")
	r := w.repos["pool"]

	for i := range 4 {
		r.save(t, "0", fmt.Sprint("state ", i))
	}

	mg := w.get(t, "pool")
	mg.Spec.ManagementPolicies = xpv2.ManagementPolicies{xpv2.ManagementActionObserve}
	mg.Spec.ForProvider.Retain = &v1alpha1.Retain{Last: ptr(int32(1))}

	for range 20 {
		w.pass(time.Hour)

		if err := w.keep(t.Context(), mg, w.report(mg)); err != nil {
			t.Fatal(err)
		}
	}

	at := w.at(t, "pool")
	if *at.Checkpoints != 4 || *at.Verified != 1 || at.ScrubbedTime == nil || at.StoredBytes == nil || *at.StoredBytes == 0 {
		t.Errorf("an observer is told %+v", at)
	}

	if n := r.count("Sweep") + r.count("EndSweep") + r.count("Prune"); n != 0 {
		t.Errorf("an observer has removed something %d times", n)
	}
}

// A repository with a quota is measured when the quota is set, and each hour from then on.
func TestMeasured(t *testing.T) {
	w := newWorld(t, "pool")
	r := w.repos["pool"]
	w.turns(t, "pool", 10, time.Minute)

	mg := w.get(t, "pool")
	mg.Spec.ForProvider.Quota = ptr(resource.MustParse("10"))

	if err := w.kube.Update(t.Context(), mg); err != nil {
		t.Fatal(err)
	}

	r.save(t, "0", "more than ten bytes")
	w.turns(t, "pool", 1, time.Second)

	if at := w.at(t, "pool"); !overQuota(at.StoredBytes, mg.Spec.ForProvider.Quota) {
		t.Errorf("the quota is exceeded, and what was measured is %d", *at.StoredBytes)
	}

	w.turns(t, "pool", 180, time.Minute)

	// One at the beginning, one for the quota, three for three hours.
	if n := r.count("Sweep"); n != 5 {
		t.Errorf("it was measured %d times in three hours", n)
	}
}

// What was found in a repository is not told of another that is made in its place.
func TestAnotherRepository(t *testing.T) {
	w := newWorld(t, "pool")
	_, chunk := w.repos["pool"].save(t, "0", "state")
	w.repos["pool"].spoil(t, chunk)
	w.turns(t, "pool", 10, time.Minute)

	if at := w.at(t, "pool"); *at.Corrupt != 1 {
		t.Fatalf("the status says %d", *at.Corrupt)
	}

	w.repos["pool"] = newWatched(t)
	w.turns(t, "pool", 1, time.Minute)

	want := v1alpha1.CheckpointObservation{Corrupt: ptr(int32(0)), Slots: ptr(int32(0)), Checkpoints: ptr(int64(0)), StateBytes: ptr(int64(0)), Verified: ptr(int32(0)),
		Bound: ptr(int32(0)), Hibernated: ptr(int32(0)), StoredBytes: ptr(int64(0)), RPOMet: ptr(true), SweptTime: &metav1.Time{Time: w.now()}}
	if diff := cmp.Diff(want, w.at(t, "pool"), cmpopts.EquateApproxTime(time.Second)); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}
