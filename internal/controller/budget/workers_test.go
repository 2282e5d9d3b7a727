package budget

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	sharing "github.com/southwest-ai/agent-operator/internal/budget"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// pod returns a worker with a share and what is held for it, "" for none, that starts with nothing.
func pod(share, held string) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "a", UID: "1", Annotations: map[string]string{}},
		Spec: corev1.PodSpec{InitContainers: []corev1.Container{
			{Name: "restore"},
			{Name: "monitor", Env: []corev1.EnvVar{{Name: monitorapi.EnvPod, Value: "a"}, {Name: monitorapi.EnvTokenShare, Value: "0"}}},
		}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1"},
	}

	if share != "" {
		p.Annotations[monitorapi.AnnotationTokenShare] = share
	}

	if held != "" {
		p.Annotations[monitorapi.AnnotationTokenShareHeld] = held
	}

	return p
}

// keeping is what the monitor of a worker says that keeps to a share.
func keeping(share, waiting int64) *monitorapi.Status {
	return &monitorapi.Status{Budget: &monitorapi.Budget{TokensPerMinute: share, Waiting: waiting}, Tokens: &monitorapi.Tokens{Input: 1, Output: 2, Cached: 1}}
}

func TestTake(t *testing.T) {
	old := pod("", "")
	old.Spec.InitContainers = nil

	cases := map[string]struct {
		reason string
		looks  []worker
		want   sharing.Worker
	}{
		"Born": {
			reason: "Before it is told anything a worker has what it started with.",
			looks:  []worker{{pod: pod("", "")}}, want: sharing.Worker{Name: "a", Share: 0, Fixed: true, Keeps: true},
		},
		"Unaware": {
			reason: "One that was started without a share keeps to no budget.",
			looks:  []worker{{pod: old, status: &monitorapi.Status{}}}, want: sharing.Worker{Name: "a", Share: sharing.None, Fixed: true, Keeps: true},
		},
		"Keeps": {
			reason: "One that has what it was told can give it up.",
			looks:  []worker{{pod: pod("100", "900"), status: keeping(100, 1)}},
			want:   sharing.Worker{Name: "a", Share: 100, Has: 100, Keeps: true, Waiting: true},
		},
		"Larger": {
			reason: "One that has more than it was told may use that.",
			looks:  []worker{{pod: pod("100", ""), status: keeping(500, 0)}}, want: sharing.Worker{Name: "a", Share: 100, Has: 500, Keeps: true},
		},
		"UnderWay": {
			reason: "One that was told more before it was told less may get both yet.",
			looks:  []worker{{pod: pod("100", "900"), status: keeping(50, 0)}}, want: sharing.Worker{Name: "a", Share: 100, Has: 900, Keeps: true},
		},
		"Silent": {
			reason: "Of one that nobody saw it is not known that it has less by now.",
			looks:  []worker{{pod: pod("100", "900")}}, want: sharing.Worker{Name: "a", Share: 100, Has: 900, Fixed: true, Keeps: true},
		},
		"SilentNow": {
			reason: "One that was seen to have less has less.",
			looks:  []worker{{pod: pod("100", "900"), status: keeping(100, 0)}, {pod: pod("100", "900")}},
			want:   sharing.Worker{Name: "a", Share: 100, Has: 100, Fixed: true, Keeps: true},
		},
		"Garbage": {
			reason: "What nobody understands the monitor does not keep to either.",
			looks:  []worker{{pod: pod("many", "")}}, want: sharing.Worker{Name: "a", Share: sharing.None, Fixed: true, Keeps: true},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

			var got []sharing.Worker
			for _, w := range tc.looks {
				got = m.take(now, []worker{w})
				now = now.Add(time.Second)
			}

			if diff := cmp.Diff([]sharing.Worker{tc.want}, got); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// What a worker used since the last look is what it needs, and one that has gone is forgotten.
func TestTakeCountsTokens(t *testing.T) {
	m := newMemory()
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := keeping(100, 0)

	m.take(now, []worker{{pod: pod("100", ""), status: s}})

	s.Tokens.Input, s.Tokens.Output = 501, 502

	if got := m.take(now.Add(10*time.Second), []worker{{pod: pod("100", ""), status: s}})[0].Demand; got != 6000 {
		t.Errorf("it needs %d tokens a minute, used 1000 in ten seconds", got)
	}

	if m.take(now, nil); len(m.workers) != 0 {
		t.Errorf("%d workers are remembered that have gone", len(m.workers))
	}
}

func TestTakesPart(t *testing.T) {
	now := metav1.Now()
	cases := map[string]struct {
		reason        string
		change        func(*corev1.Pod)
		part, answers bool
	}{
		"Running": {reason: "Who runs can be asked.", change: func(*corev1.Pod) {}, part: true, answers: true},
		"Pending": {reason: "Who is about to run has its share ready.", change: func(p *corev1.Pod) { p.Status = corev1.PodStatus{Phase: corev1.PodPending} }, part: true},
		"Ending":  {reason: "Who is about to end may still use tokens, and not hear of less.", change: func(p *corev1.Pod) { p.DeletionTimestamp = &now }, part: true},
		"Failed":  {reason: "Who has ended needs nothing.", change: func(p *corev1.Pod) { p.Status.Phase = corev1.PodFailed }, answers: true},
		"Gated": {
			reason: "Who waits for a slot may never run.",
			change: func(p *corev1.Pod) {
				p.Spec.SchedulingGates, p.Status = []corev1.PodSchedulingGate{{Name: monitorapi.SlotGate}}, corev1.PodStatus{}
			},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := pod("", "")
			tc.change(p)

			if got := takesPart(p); got != tc.part {
				t.Errorf("%s\ntakesPart() = %t", tc.reason, got)
			}

			if got := answers(p); got != tc.answers {
				t.Errorf("%s\nanswers() = %t", tc.reason, got)
			}
		})
	}
}

// A pool is looked at again soon while somebody is about to take over a share, and not for the sake of one that is silent.
func TestPause(t *testing.T) {
	cases := map[string]struct {
		reason string
		is     sharing.Worker
		next   int64
		want   time.Duration
	}{
		"Rest":   {reason: "Nothing is under way.", is: sharing.Worker{Share: 5, Has: 5, Waiting: true}, next: 5, want: look},
		"Told":   {reason: "It was told just now.", is: sharing.Worker{Share: 5, Has: 5}, next: 6, want: soon},
		"Late":   {reason: "It was told a while ago.", is: sharing.Worker{Share: 5, Has: 6}, next: 5, want: soon},
		"Silent": {reason: "Nobody would see it.", is: sharing.Worker{Share: 5, Has: 6, Fixed: true}, next: 5, want: look},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := pause([]sharing.Worker{tc.is}, []int64{tc.next}); got != tc.want {
				t.Errorf("%s\npause() = %s, want %s", tc.reason, got, tc.want)
			}
		})
	}
}

func TestMetrics(t *testing.T) {
	m := NewMetrics()
	m.set(types.NamespacedName{Namespace: "ns", Name: "gone"}, figures{budget: 1})
	m.forget(types.NamespacedName{Namespace: "ns", Name: "gone"})
	m.set(types.NamespacedName{Namespace: "ns", Name: "coder"}, figures{budget: 1000, given: 900, silent: 1})

	want := `
# HELP aidispatcher_budget_given_tokens_per_minute What of its token budget a pool's workers were told to use, together.
# TYPE aidispatcher_budget_given_tokens_per_minute gauge
aidispatcher_budget_given_tokens_per_minute{dispatcher="coder",namespace="ns"} 900
# HELP aidispatcher_budget_silent_workers Workers of which the share is reserved because they do not answer, or are about to end.
# TYPE aidispatcher_budget_silent_workers gauge
aidispatcher_budget_silent_workers{dispatcher="coder",namespace="ns"} 1
# HELP aidispatcher_budget_tokens_per_minute The token budget of a pool.
# TYPE aidispatcher_budget_tokens_per_minute gauge
aidispatcher_budget_tokens_per_minute{dispatcher="coder",namespace="ns"} 1000
# HELP aidispatcher_budget_told_total Times that a worker was told another share of its pool's token budget.
# TYPE aidispatcher_budget_told_total counter
aidispatcher_budget_told_total 0
`
	if err := testutil.CollectAndCompare(m, strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
