package checkpoint

import (
	"fmt"
	"maps"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	cevent "sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	cp "github.com/southwest-ai/agent-operator/internal/checkpoint"
)

// maxProblems is how many slots with a problem the status names.
const maxProblems = 16

// A place is where a checkpoint stands. Its position is zero where that cannot be told.
type place struct {
	slot string
	at   cp.Position
}

func (p place) String() string {
	if p.at == (cp.Position{}) {
		return "a claim or checkpoint of slot " + p.slot
	}

	return "checkpoint " + p.at.String() + " of slot " + p.slot
}

// A check is how the reading back of a slot's newest checkpoint ended.
type check struct {
	at   cp.Position
	ok   bool
	when time.Time
}

// A report is what the keeper has found out about one repository. What the turns alone use is theirs, of which there is one at a
// time; the rest is guarded by the keeper.
type report struct {
	// uid is the Checkpoint's. Another one of its name has a report of its own.
	uid        types.UID
	restsUntil time.Time
	failures   int

	at v1alpha1.CheckpointObservation
	// checked is by slot.
	checked map[string]check
	// unread are the checkpoints that cannot be read back.
	unread map[place]bool
	// damaged are the objects that a scrub found lost or corrupt, with the slots that they hurt.
	damaged map[string]map[string]bool
	// earlier is how many objects an earlier process found. They count until everything was read again.
	earlier int32
	told    told
	// asked is the request to save that workers are told of, and askedAt since when; waking says that it will be looked at again.
	asked   string
	askedAt time.Time
	waking  bool

	// Of turns alone.
	id    string
	begun bool
	// swept is the last sweep that came to its end, sweepFailed the last that did not.
	swept, sweepFailed time.Time
	// quota is the one that it was measured for last.
	quota string
	round round
	// found are the damaged objects of this round.
	found map[string]bool
}

// told is what a Checkpoint is reconciled for as soon as it changes.
type told struct {
	known    bool
	corrupt  int32
	over     bool
	problems string
	scrubbed string
}

// newReport goes on from what an earlier process has said of the same repository.
func newReport(before v1alpha1.CheckpointObservation) *report {
	r := &report{checked: map[string]check{}, unread: map[place]bool{}, damaged: map[string]map[string]bool{}, found: map[string]bool{}}
	if before.ID == "" {
		return r
	}

	r.id = before.ID
	r.at.SweptTime, r.at.ScrubbedTime, r.at.StoredBytes = before.SweptTime.DeepCopy(), before.ScrubbedTime.DeepCopy(), before.StoredBytes
	r.at.ScrubbedFor = before.ScrubbedFor

	if before.SweptTime != nil {
		r.swept = before.SweptTime.Time
	}

	if before.Corrupt != nil {
		r.at.Corrupt, r.earlier = before.Corrupt, *before.Corrupt
	}

	// What was found corrupt must be named again, so that is looked for at once.
	if before.ScrubbedTime != nil && r.earlier == 0 {
		r.round.began = before.ScrubbedTime.Time
	}

	return r
}

func (k *Keeper) report(mg *v1alpha1.Checkpoint) *report {
	k.mu.Lock()
	defer k.mu.Unlock()

	name := client.ObjectKeyFromObject(mg)

	r := k.reports[name]
	if r == nil || r.uid != mg.GetUID() {
		r = newReport(mg.Status.AtProvider)
		r.uid = mg.GetUID()
		k.reports[name] = r
	}

	return r
}

// same forgets all that was found in another repository than this one.
func (k *Keeper) same(r *report, id string) {
	k.mu.Lock()
	defer k.mu.Unlock()

	if r.id != "" && r.id != id {
		n := newReport(v1alpha1.CheckpointObservation{})
		n.uid = r.uid
		*r = *n
	}

	r.id = id
}

func (k *Keeper) forget(name types.NamespacedName) {
	k.mu.Lock()
	defer k.mu.Unlock()

	delete(k.reports, name)
	k.metrics.forget(name)
}

// forgetAllBut forgets the Checkpoints that went without asking us.
func (k *Keeper) forgetAllBut(there map[types.NamespacedName]bool) {
	k.mu.Lock()
	defer k.mu.Unlock()

	for name := range k.reports {
		if !there[name] {
			delete(k.reports, name)
			k.metrics.forget(name)
		}
	}
}

// unreadable remembers that a checkpoint cannot be read back, and says so once.
func (k *Keeper) unreadable(mg *v1alpha1.Checkpoint, r *report, p place, err error) {
	k.mu.Lock()
	known := r.unread[p]
	r.unread[p] = true
	k.mu.Unlock()

	if !known {
		k.record.Event(mg, event.Warning(eventCorrupt, errors.Wrapf(err, "%s cannot be read", p)))
	}
}

// damage remembers an object that is lost or corrupt, and says so once.
func (k *Keeper) damage(mg *v1alpha1.Checkpoint, r *report, d cp.Damage) {
	r.found[d.Object] = true

	slots := map[string]bool{}
	for _, h := range d.Hurts {
		slots[h.Slot] = true
	}

	// An object of a slot's own hurts that.
	if rest, ok := strings.CutPrefix(d.Object, "slots/"); ok {
		slot, _, _ := strings.Cut(rest, "/")
		slots[slot] = true
	}

	k.mu.Lock()
	_, known := r.damaged[d.Object]
	r.damaged[d.Object] = slots
	k.mu.Unlock()

	if !known {
		k.record.Event(mg, event.Warning(eventCorrupt, errors.Wrapf(d.Err, "%s is lost or is not what was written; %s", d.Object, hurts(d.Hurts))))
	}
}

// hurts names the checkpoints that cannot be restored whole, the first few of them.
func hurts(all []cp.Hurt) string {
	const named = 4

	if len(all) == 0 {
		return "it hurts no checkpoint"
	}

	var names []string
	for _, h := range all[:min(named, len(all))] {
		names = append(names, h.Slot+"/"+h.Position.String())
	}

	text := "it hurts " + strings.Join(names, ", ")
	if more := len(all) - named; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}

	return text
}

// corrupt counts the objects that are lost or corrupt: those a scrub found, and the checkpoints that cannot be read for another
// reason than these.
func (r *report) corrupt() int32 {
	hurt := map[string]bool{}
	for _, slots := range r.damaged {
		maps.Copy(hurt, slots)
	}

	n := len(r.damaged)

	for p := range r.unread {
		if !hurt[p.slot] {
			n++
		}
	}

	return max(int32(n), r.earlier) //nolint:gosec // There are not that many.
}

// publish makes what was found what Observe tells, and wakes the reconciler if people should know of it at once.
func (k *Keeper) publish(mg *v1alpha1.Checkpoint, r *report, sums []cp.Summary) {
	k.mu.Lock()

	summarize(&r.at, sums, r.checked)

	corrupt := r.corrupt()
	r.at.Corrupt = &corrupt

	now := told{known: true, corrupt: corrupt, over: overQuota(r.at.StoredBytes, mg.Spec.ForProvider.Quota), problems: fmt.Sprint(r.at.Problems), scrubbed: r.at.ScrubbedFor}
	news := now != r.told
	r.told = now

	if name := client.ObjectKeyFromObject(mg); k.reports[name] == r { // It may have been deleted meanwhile.
		k.metrics.pool(name, r.at)
	}
	k.mu.Unlock()

	if !news {
		return
	}

	select {
	case k.wake <- cevent.GenericEvent{Object: mg}:
	default: // The next poll tells it.
	}
}

// summarize writes what all slots have together into an observation.
func summarize(at *v1alpha1.CheckpointObservation, sums []cp.Summary, checked map[string]check) {
	var (
		slots, verified    int32
		checkpoints, bytes int64
		newest, oldest     time.Time
	)

	at.Problems = nil

	for _, s := range sums {
		if s.Problem != nil && len(at.Problems) < maxProblems {
			at.Problems = append(at.Problems, v1alpha1.SlotObservation{Slot: s.Slot, Problem: s.Problem.Error()})
		}

		if s.Checkpoints == 0 {
			continue
		}

		slots++
		checkpoints += int64(s.Checkpoints)

		if !s.Oldest.IsZero() && (oldest.IsZero() || s.Oldest.Before(oldest)) {
			oldest = s.Oldest
		}

		if s.Newest == nil {
			continue
		}

		bytes += s.Newest.Bytes

		if c := checked[s.Slot]; c.ok && c.at == s.Newest.Position {
			verified++
		}

		if s.Newest.Time.After(newest) {
			newest = s.Newest.Time
		}
	}

	at.Slots, at.Verified, at.Checkpoints, at.StateBytes = &slots, &verified, &checkpoints, &bytes
	at.NewestTime, at.OldestTime = timeOf(newest), timeOf(oldest)
}

func timeOf(t time.Time) *metav1.Time {
	if t.IsZero() {
		return nil
	}

	return &metav1.Time{Time: t.Truncate(time.Second)}
}
