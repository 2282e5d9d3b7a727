package worker

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What the steps of one look are.
func TestPlan(t *testing.T) {
	now := time.Unix(10000, 0)
	idle := func(i int, change ...func(*Worker)) Worker {
		w := Worker{
			Name: fmt.Sprint("w", i), UID: fmt.Sprint("w", i), Slot: i, Owned: true, Stateful: true, Created: now.Add(time.Duration(i) * time.Second),
			Report: &Report{Ready: true, Known: true},
		}
		for _, c := range change {
			c(&w)
		}

		return w
	}
	busy := func(w *Worker) { w.Report.InFlight = 3 }
	told := func(w *Worker) { w.Drain, w.Until = "d", now.Add(time.Minute) }
	done := func(w *Worker) {
		told(w)

		*w.Report = Report{Known: true, Drain: "d", Drained: true, Saved: "d"}
	}
	report := func(f func(*Report)) func(*Worker) { return func(w *Worker) { done(w); f(w.Report) } }
	late := func(w *Worker) { w.Until = now }
	detached := func(w *Worker) { done(w); w.Detached, w.Owned = true, false }
	unheard := func(w *Worker) { detached(w); w.Owned = true }
	view := func(replicas int, workers ...Worker) View {
		return View{Acted: true, Cap: -1, Replicas: replicas, Pods: replicas, Workers: workers}
	}

	unstarted := func(w *Worker) { w.Report, w.Unstarted = nil, true }
	stateless := func(w *Worker) { w.Stateful = false }
	free := func(v View) View {
		v.Slotless = true

		return v
	}

	cases := map[string]struct {
		reason string
		policy Policy
		view   View
		want   []string
	}{
		"Steady":         {"Nothing is to be done.", policy(2), view(2, idle(0), idle(1)), nil},
		"Out":            {"More are asked for at once.", policy(3), view(2, idle(0), idle(1)), []string{"Resize 3"}},
		"OutCapped":      {"And the cap stays for now.", policy(3), View{Acted: true, Cap: 2, Replicas: 2, Workers: []Worker{idle(0), idle(1)}}, []string{"Resize 3"}},
		"OutUnacted":     {"Until the ReplicaSet has acted on the size.", policy(3), View{Cap: 2, Replicas: 3, Workers: []Worker{idle(0), idle(1)}}, nil},
		"OutActed":       {"Then it is raised.", policy(3), View{Acted: true, Cap: 2, Replicas: 3, Workers: []Worker{idle(0), idle(1)}}, []string{"Cap 3"}},
		"OutRefused":     {"Or when a quota keeps the ReplicaSet from it.", policy(3), View{Refused: true, Cap: 2, Replicas: 3, Workers: []Worker{idle(0), idle(1)}}, []string{"Cap 3"}},
		"Waiting":        {"Who waits for a slot goes first, for nothing is lost with it.", policy(1), view(3, idle(0)), []string{"Cap 1", "Resize 1"}},
		"In":             {"The youngest of the idle ones is told.", policy(1), view(2, idle(0), idle(1)), []string{"Drain w1"}},
		"InBusy":         {"Not the busy one.", policy(1), view(2, idle(0), idle(1, busy)), []string{"Drain w0"}},
		"InUnknown":      {"Nor one of which nothing is known, for that is not nothing.", policy(1), view(2, idle(0, busy), idle(1, func(w *Worker) { w.Report.Known = false })), []string{"Drain w0"}},
		"InSilent":       {"Nor one that does not answer.", policy(1), view(2, idle(0, busy), idle(1, func(w *Worker) { w.Report = nil })), []string{"Drain w0"}},
		"InUnready":      {"One that takes no tasks anyway goes before.", policy(1), view(2, idle(0), idle(1, busy, func(w *Worker) { w.Report.Ready = false })), []string{"Drain w1"}},
		"AtOnce":         {"Not more at a time than may be.", policy(1), view(5, idle(0), idle(1), idle(2), idle(3), idle(4, told)), []string{"Drain w3"}},
		"Rests":          {"One that refused lately is left alone.", policy(1), view(2, idle(0), idle(1, func(w *Worker) { w.Refused = now.Add(-time.Second) })), []string{"Drain w0"}},
		"RollingOut":     {"Nobody is chosen while all are being replaced, and the size stays.", policy(1), View{Acted: true, Cap: -1, Replicas: 2, Pods: 2, RollingOut: true, Workers: []Worker{idle(0)}}, nil},
		"Drains":         {"A worker is waited for.", policy(1), view(2, idle(0), idle(1, told)), nil},
		"Drained":        {"One that is done is detached.", policy(1), view(2, idle(0), idle(1, done)), []string{"Detach w1"}},
		"OtherDrain":     {"Done with another drain is not done.", policy(1), view(2, idle(0), idle(1, report(func(r *Report) { r.Drain = "c" }))), nil},
		"NotSaved":       {"Nor is it without a checkpoint.", policy(1), view(2, idle(0), idle(1, report(func(r *Report) { r.Saved = "c" }))), nil},
		"NotDrained":     {"Nor with tasks in flight.", policy(1), view(2, idle(0), idle(1, report(func(r *Report) { r.Drained = false }))), nil},
		"GivenUp":        {"Nor when only the monitor gave up.", policy(1), view(2, idle(0), idle(1, report(func(r *Report) { r.Late = true }))), []string{"Withdraw w1 refused"}},
		"GivenUpForced":  {"And is waited for until its time is over, where it is to go all the same: its tasks may end before.", Policy{Want: 1, Force: true}, view(2, idle(0), idle(1, report(func(r *Report) { r.Late = true }))), nil},
		"Late":           {"Who is late serves again.", policy(1), view(2, idle(0), idle(1, told, late)), []string{"Withdraw w1 refused"}},
		"LateForced":     {"Or is removed all the same, where that is asked for.", Policy{Want: 1, Force: true}, view(2, idle(0), idle(1, told, late)), []string{"Detach w1 forced"}},
		"Needed":         {"Load rose: the busiest serves again.", policy(2), view(3, idle(0), idle(1, told, busy), idle(2, done)), []string{"Withdraw w1", "Detach w2"}},
		"Unheard":        {"The size stays until the ReplicaSet has let go.", policy(1), view(2, idle(0), idle(1, unheard)), nil},
		"Unreplaced":     {"And has made another.", policy(1), View{Acted: true, Cap: -1, Replicas: 2, Pods: 1, Workers: []Worker{idle(0), idle(1, detached)}}, nil},
		"Unacted":        {"Nor while the ReplicaSet has not acted on the size before.", policy(1), View{Cap: -1, Replicas: 2, Pods: 2, Workers: []Worker{idle(0), idle(1, detached)}}, nil},
		"Refused":        {"Or was not let.", policy(1), View{Acted: true, Cap: -1, Replicas: 2, Pods: 1, Refused: true, Workers: []Worker{idle(0), idle(1, detached)}}, []string{"Cap 1", "Resize 1", "Delete w1"}},
		"Detached":       {"Cap, size, pod.", policy(1), view(2, idle(0), idle(1, detached)), []string{"Cap 1", "Resize 1", "Delete w1"}},
		"Resized":        {"After a crash the rest follows.", policy(1), View{Acted: true, Cap: 1, Replicas: 1, Pods: 1, Workers: []Worker{idle(0), idle(1, detached)}}, []string{"Delete w1"}},
		"Unstarted":      {"One that never started goes first.", policy(1), view(2, idle(0), idle(1, busy, unstarted)), []string{"Drain w1"}},
		"UnstartedTold":  {"It has nothing to save, but must know that it drains before it starts.", policy(1), view(2, idle(0), idle(1, told, unstarted)), []string{"Detach w1"}},
		"Stateless":      {"What has no state need not be saved.", policy(1), view(2, idle(0), idle(1, report(func(r *Report) { r.Saved = "" }), stateless)), []string{"Detach w1"}},
		"NobodyKept":     {"A size that no worker has come to is given up at once.", policy(1), View{Acted: true, Cap: -1, Replicas: 3, RollingOut: true}, []string{"Cap 1", "Resize 1"}},
		"Abrupt":         {"At once means at once.", Policy{Want: 0, Abrupt: true}, view(3, idle(0, busy), idle(1, told), idle(2, detached)), []string{"Resize 0", "Delete w2"}},
		"AbruptDone":     {"And only once.", Policy{Want: 0, Abrupt: true}, view(0, idle(0, busy)), nil},
		"Slotless":       {"The least busy is told.", policy(1), free(view(2, idle(0, busy), idle(1))), []string{"Drain w1"}},
		"SlotlessDone":   {"The ReplicaSet takes who has drained.", policy(1), free(view(3, idle(0), idle(1, done), idle(2, told))), []string{"Resize 2"}},
		"SlotlessGoing":  {"It has been asked already.", policy(1), free(view(2, idle(0), idle(1, told), idle(2, done))), nil},
		"SlotlessShort":  {"Not while it misses one: it would take another than the one that drained.", policy(1), free(View{Acted: true, Cap: -1, Replicas: 2, Pods: 1, Workers: []Worker{idle(0), idle(1, done)}}), nil},
		"SlotlessOut":    {"Out at once.", policy(4), free(view(2, idle(0), idle(1, told))), []string{"Withdraw w1", "Resize 4"}},
		"SlotlessBusy":   {"One that does not drain serves again, and the size stays.", policy(1), free(view(2, idle(0, busy), idle(1, told, late, busy))), []string{"Withdraw w1 refused"}},
		"SlotlessForced": {"Or goes.", Policy{Want: 1, Force: true}, free(view(2, idle(0, busy), idle(1, told, late, busy))), []string{"Resize 1"}},
		"DetachedNeeded": {"Who was detached goes even if load rose since.", policy(3), view(2, idle(0), idle(1, detached)), []string{"Resize 3", "Delete w1"}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var got []string

			for _, s := range Plan(now, tc.policy, tc.view) {
				line := fmt.Sprint(s.Act, " ", s.Worker.Name)
				if s.Act == Cap || s.Act == Resize {
					line = fmt.Sprint(s.Act, " ", s.Size)
				}

				for flag, is := range map[string]bool{" refused": s.Refused, " forced": s.Forced} {
					if is {
						line += flag
					}
				}

				if s.Why == "" {
					t.Errorf("%s: it does not say why", line)
				}

				got = append(got, line)
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
