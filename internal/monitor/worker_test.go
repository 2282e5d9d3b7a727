package monitor

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const (
	testGrace = 2 * time.Second
	testLapse = time.Minute
	testLimit = 24 * time.Hour
)

var testTimes = Times{Grace: testGrace, Timeout: testLimit, Lapse: testLapse}

// TestWorker tells a worker things, one after another, and looks at what it has become.
func TestWorker(t *testing.T) {
	type step func(w *Worker, clock *time.Time)

	told := func(pairs ...string) step {
		return func(w *Worker, _ *time.Time) {
			m := map[string]string{}
			for i := 0; i < len(pairs); i += 2 {
				m[pairs[i]] = pairs[i+1]
			}

			w.Obey(m)
		}
	}
	pass := func(d time.Duration) step { return func(_ *Worker, c *time.Time) { *c = c.Add(d) } }

	var done func()

	hook := func(w *Worker, _ *time.Time) { done = w.Stop() }
	hookEnds := func(*Worker, *time.Time) { done() }

	id := monitorapi.Status{Namespace: "team-a", Dispatcher: "pool", Role: "coder", Pod: "pool-1"}
	status := func(state monitorapi.State, reason string, change func(*monitorapi.Status)) monitorapi.Status {
		s := id
		s.Version, s.StartedAt, s.State, s.Ready, s.Reason = monitorapi.StatusVersion, epoch, state, state == monitorapi.StateActive, reason
		s.Tasks = monitorapi.Tasks{UnknownSince: &epoch}

		if change != nil {
			change(&s)
		}

		return s
	}
	drain := func(s *monitorapi.Status) { s.DrainID = "d1" }

	const toldTo, ending = "the worker was told to drain", "the agent is about to be ended"

	cases := map[string]struct {
		reason string
		steps  []step
		want   monitorapi.Status
	}{
		"New": {
			reason: "A worker that nobody told anything takes tasks, and nothing is known of them.",
			want:   status(monitorapi.StateActive, "", nil),
		},
		"Bound": {
			reason: "A worker reports what the binder gave it.",
			steps:  []step{told(monitorapi.AnnotationSlot, "3", monitorapi.AnnotationEpoch, "7", monitorapi.AnnotationRestore, monitorapi.RestoreNone)},
			want: status(monitorapi.StateActive, "", func(s *monitorapi.Status) {
				s.Slot, s.Epoch, s.Restore = "3", "7", monitorapi.RestoreNone
			}),
		},
		"Draining": {
			reason: "Before the grace period has passed somebody may still send it requests.",
			steps:  []step{told(monitorapi.AnnotationDrain, "d1"), pass(testGrace - 1)},
			want:   status(monitorapi.StateDraining, toldTo, drain),
		},
		"Drained": {
			reason: "After it nobody does.",
			steps:  []step{told(monitorapi.AnnotationDrain, "d1"), pass(testGrace)},
			want:   status(monitorapi.StateDrained, toldTo, drain),
		},
		"ToldAgain": {
			reason: "Hearing a command again does not begin it anew.",
			steps:  []step{told(monitorapi.AnnotationDrain, "d1"), pass(testGrace - 1), told(monitorapi.AnnotationDrain, "d1"), pass(1)},
			want:   status(monitorapi.StateDrained, toldTo, drain),
		},
		"Withdrawn": {
			reason: "A drain that is withdrawn leaves nothing behind.",
			steps:  []step{told(monitorapi.AnnotationDrain, "d1"), pass(testGrace), told()},
			want:   status(monitorapi.StateActive, "", nil),
		},
		"DrainedAnew": {
			reason: "A drain after one that was withdrawn takes its whole time.",
			steps:  []step{told(monitorapi.AnnotationDrain, "d0"), pass(testGrace), told(), told(monitorapi.AnnotationDrain, "d1")},
			want:   status(monitorapi.StateDraining, toldTo, drain),
		},
		"HookWaits": {
			reason: "While the kubelet waits the worker drains, however long that takes.",
			steps:  []step{hook, pass(time.Hour)},
			want:   status(monitorapi.StateDrained, ending, nil),
		},
		"HookEnded": {
			reason: "When the hook has ended the agent is told to end, so the worker stays drained.",
			steps:  []step{hook, pass(testGrace), hookEnds, pass(testLapse - 1)},
			want:   status(monitorapi.StateDrained, ending, nil),
		},
		"AgentRestarted": {
			reason: "A monitor that is still there long after the hook ended has seen a restart, and not a deletion.",
			steps:  []step{hook, pass(testGrace), hookEnds, pass(testLapse)},
			want:   status(monitorapi.StateActive, "", nil),
		},
		"HookOfDrained": {
			reason: "The hook of a worker that has drained by command does not wait again.",
			steps:  []step{told(monitorapi.AnnotationDrain, "d1"), pass(testGrace), hook},
			want:   status(monitorapi.StateDrained, ending, drain),
		},
		"WithdrawnInHook": {
			reason: "Withdrawing a command does not call back an agent that is about to be ended.",
			steps:  []step{told(monitorapi.AnnotationDrain, "d1"), pass(testGrace), hook, told()},
			want:   status(monitorapi.StateDrained, ending, nil),
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			clock := epoch

			w := NewWorker(id, testTimes, func() time.Time { return clock })
			for _, s := range tc.steps {
				s(w, &clock)
			}

			if diff := cmp.Diff(tc.want, w.Status()); diff != "" {
				t.Errorf("\n%s\nStatus(): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestObeySaysWhetherAnythingChanged(t *testing.T) {
	w := NewWorker(monitorapi.Status{}, testTimes, time.Now)
	slot := map[string]string{monitorapi.AnnotationSlot: "1"}

	if got := []bool{w.Obey(slot), w.Obey(slot), w.Obey(nil)}; !cmp.Equal(got, []bool{true, false, true}) {
		t.Errorf("Obey(...) told of changes %v", got)
	}
}
