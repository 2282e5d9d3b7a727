package dashboard

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/slot"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

func pod(name string, phase corev1.PodPhase, change ...func(*corev1.Pod)) corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name)}, Status: corev1.PodStatus{Phase: phase}}
	for _, c := range change {
		c(&p)
	}

	return p
}

func gated(p *corev1.Pod) {
	p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: monitorapi.SlotGate}}
	p.Status.Conditions = []corev1.PodCondition{{Type: slot.ConditionSlot, Message: "its state is lost"}}
}

func ending(p *corev1.Pod) { p.DeletionTimestamp = &metav1.Time{Time: noon} }

func TestRowsOf(t *testing.T) {
	three := int32(3)
	removed := removedOf(&v1alpha1.AgentScaler{Status: v1alpha1.AgentScalerStatus{AtProvider: v1alpha1.AgentScalerObservation{Decisions: []v1alpha1.ScalingDecision{
		{Removed: []v1alpha1.RemovedWorker{{Time: metav1.NewTime(noon), Name: "old", Slot: &three, Checkpoint: "3/0000000004-0000000009"}, {Name: "stateless"}}},
		{Removed: []v1alpha1.RemovedWorker{{Time: metav1.NewTime(noon.Add(-time.Hour)), Name: "older", Slot: &three, Checkpoint: "3/0000000001-0000000001"}}},
	}}}})
	ledger := slot.Ledger{
		Epoch: 6, Kept: []int{0, 1},
		Claims: []slot.Claim{{Slot: 0, Epoch: 5, Pod: "b", UID: "uid-b"}, {Slot: 2, Epoch: 6, Pod: "gone", UID: "uid-gone"}},
	}
	pods := []corev1.Pod{pod("c", corev1.PodPending, gated), pod("b", corev1.PodRunning), pod("a", corev1.PodRunning, ending)}

	type row struct{ slot, epoch, worker, state, checkpoint, note string }

	var got []row
	for _, r := range rowsOf(pods, ledger, removed) {
		got = append(got, row{r.Slot, r.Epoch, r.Worker, r.State, r.Checkpoint, r.Note})
	}

	want := []row{
		{"0", "5", "b", "Running", "", ""},
		{"1", "", "", "Hibernated", "", ""},
		{"2", "6", "gone", "Gone", "", "its worker is gone, and the slot is about to be free"},
		{"3", "", "", "Hibernated", "0000000004-0000000009", ""},
		{"", "", "a", "Ending", "", ""},
		{"", "", "c", "Waiting", "", "its state is lost"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(row{})); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

// What a worker says of itself is told as it is, and what it does not say is unknown.
func TestHear(t *testing.T) {
	two, none := int64(2), int64(0)
	cases := map[string]struct {
		reason string
		says   monitorapi.Status
		want   workerRow
	}{
		"Works":  {"A task in flight.", monitorapi.Status{Ready: true, Tasks: monitorapi.Tasks{Known: true, InFlight: &two}}, workerRow{State: "Working", Tone: toneGood, InFlight: 2, Depth: unknown, Tokens: unknown}},
		"Idle":   {"None.", monitorapi.Status{Ready: true, Tasks: monitorapi.Tasks{Known: true, InFlight: &none}}, workerRow{State: "Idle", Tone: toneGood, Depth: unknown, Tokens: unknown}},
		"Drains": {"It takes nothing new.", monitorapi.Status{State: monitorapi.StateDraining, Tasks: monitorapi.Tasks{Known: true}, Tokens: &monitorapi.Tokens{Input: 1, Output: 2}}, workerRow{State: "Draining", Tone: toneBusy, InFlight: unknown, Depth: unknown, Tokens: 3}},
		"Blind":  {"Its tasks are not known.", monitorapi.Status{Ready: true}, workerRow{State: "Idle", Tone: toneGood, Note: "its tasks are not known", InFlight: unknown, Depth: unknown, Tokens: unknown}},
		"Fenced": {"It owns nothing any more.", monitorapi.Status{Ready: true, Tasks: monitorapi.Tasks{Known: true}, Checkpoint: &monitorapi.Checkpoint{Fenced: true}}, workerRow{State: "Idle", Tone: toneBad, Note: "another worker owns its slot: nothing of it is saved any more", InFlight: unknown, Depth: unknown, Tokens: unknown}},
		"Unsaved": {"Its state is at risk.", monitorapi.Status{Ready: true, Tasks: monitorapi.Tasks{Known: true}, Checkpoint: &monitorapi.Checkpoint{Failing: "no room", Position: "1-2"}}, workerRow{
			State: "Idle", Tone: toneBad, Note: "its state is not saved: no room", Checkpoint: "1-2", InFlight: unknown, Depth: unknown, Tokens: unknown,
		}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r := newRow("")
			r.hear(tc.says)
			tc.want.order = lastOrder

			if diff := cmp.Diff(tc.want, r, cmp.AllowUnexported(workerRow{})); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
