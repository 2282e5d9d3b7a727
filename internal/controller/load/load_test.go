package load

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
	"github.com/southwest-ai/agent-operator/internal/scale"
)

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// says is what a worker's monitor answers; a negative figure is absent.
func says(pod string, depth, inFlight, tokens int64) monitorapi.Status {
	s := monitorapi.Status{Pod: pod, StartedAt: now, Tasks: monitorapi.Tasks{Known: depth >= 0}}

	if depth >= 0 {
		s.Tasks.QueueDepth = &depth
	}

	if inFlight >= 0 {
		s.Tasks.InFlight = &inFlight
	}

	if tokens >= 0 {
		s.Tokens = &monitorapi.Tokens{Input: tokens}
	}

	return s
}

// What is not known is no number, and what only some tell says so.
func TestReadings(t *testing.T) {
	read := func(value float64, reporting, expected int) scale.Reading {
		return scale.Reading{Value: value, At: now, Reporting: reporting, Expected: expected}
	}

	cases := map[string]struct {
		reason                 string
		measure                measure
		depth, pending, tokens scale.Reading
	}{
		"Sum": {
			reason:  "The load is that of all workers together.",
			measure: measure{asked: 2, answers: []monitorapi.Status{says("a", 3, 1, 10), says("b", 4, 2, 5)}},
			depth:   read(7, 2, 2), pending: read(4, 2, 2), tokens: read(15, 2, 2),
		},
		"Partial": {
			reason:  "Who does not answer, and who does not know, is missing.",
			measure: measure{asked: 3, answers: []monitorapi.Status{says("a", 3, 1, 10), says("b", -1, -1, -1)}},
			depth:   read(3, 1, 3), pending: read(2, 1, 3), tokens: read(10, 1, 3),
		},
		"Silent": {
			reason:  "Nobody's answer is not zero.",
			measure: measure{asked: 1},
			depth:   scale.Reading{Unknown: "no worker tells its queue"}, pending: scale.Reading{Unknown: "no worker tells which of its tasks wait"},
			tokens: scale.Reading{Unknown: "no worker counts tokens"},
		},
		"Nobody": {
			reason: "Where there is nobody there is no load.",
			depth:  read(0, 0, 0), pending: read(0, 0, 0), tokens: read(0, 0, 0),
		},
		"NotInFlight": {
			reason:  "A source that does not tell what is in flight does not tell what waits.",
			measure: measure{asked: 1, answers: []monitorapi.Status{says("a", 3, -1, 0)}},
			depth:   read(3, 1, 1), pending: scale.Reading{Unknown: "no worker tells which of its tasks wait"}, tokens: read(0, 1, 1),
		},
		"Failed": {
			reason:  "If nobody can be asked, nothing is known.",
			measure: measure{err: errors.New("boom"), asked: 1},
			depth:   scale.Reading{Unknown: "boom"}, pending: scale.Reading{Unknown: "boom"}, tokens: scale.Reading{Unknown: "boom"},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.measure.pods = map[string]bool{"a": true, "b": true}
			p := &pool{tokens: newTokens(v1alpha1.AgentScalerObservation{})}

			for _, typ := range []v1alpha1.TriggerType{v1alpha1.TriggerQueueDepth, v1alpha1.TriggerPendingTasks, v1alpha1.TriggerTokensPerMinute} {
				p.policy.Metrics = append(p.policy.Metrics, scale.Metric{Name: string(typ), Target: 1})
			}

			p.take(now, tc.measure)

			want := map[v1alpha1.TriggerType]scale.Reading{
				v1alpha1.TriggerQueueDepth: tc.depth, v1alpha1.TriggerPendingTasks: tc.pending, v1alpha1.TriggerTokensPerMinute: tc.tokens,
			}
			for typ, w := range want {
				if diff := cmp.Diff(w, p.readings[string(typ)]); diff != "" {
					t.Errorf("%s\n%s: -want, +got:\n%s", tc.reason, typ, diff)
				}
			}
		})
	}
}

// However often it is looked, whoever goes on with what was told, and however often monitors start anew: the total is what was seen to
// be used, each token once.
func TestTokensOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type worker struct {
			started time.Time
			counter int64
		}

		var (
			clock   = now
			workers = map[string]*worker{"a": {started: now}, "b": {started: now}}
			sum     = newTokens(v1alpha1.AgentScalerObservation{})
			want    int64
			unseen  = map[string]int64{}
		)

		for range rapid.IntRange(1, 40).Draw(t, "turns") {
			clock = clock.Add(time.Second)
			name := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "worker")
			w := workers[name]

			switch rapid.IntRange(0, 3).Draw(t, "event") {
			case 0:
				n := rapid.Int64Range(0, 100).Draw(t, "tokens")
				w.counter += n
				unseen[name] += n
			case 1: // Its monitor starts anew: what it had counted since it was last seen is lost.
				*w = worker{started: clock}
				unseen[name] = 0
			case 2: // It is looked.
				var answers []monitorapi.Status

				for name, w := range workers {
					answers = append(answers, monitorapi.Status{Pod: name, StartedAt: w.started, Tokens: &monitorapi.Tokens{Output: w.counter}})
					want += unseen[name]
					unseen[name] = 0
				}

				sum.add(clock, answers, map[string]bool{"a": true, "b": true})
			case 3: // Another provider goes on with what the status tells.
				sum = newTokens(v1alpha1.AgentScalerObservation{TokenUsage: &sum.total, TokenCounters: sum.counters})
			}

			if sum.total != want {
				t.Fatalf("the total is %d, and %d were seen", sum.total, want)
			}
		}
	})
}

// Counters of workers that are gone are not kept for ever.
func TestTokensForget(t *testing.T) {
	sum := newTokens(v1alpha1.AgentScalerObservation{})
	sum.add(now, []monitorapi.Status{says("a", 0, 0, 7), says("b", 0, 0, 5)}, map[string]bool{"a": true, "b": true})
	sum.add(now, nil, map[string]bool{"b": true})

	if diff := cmp.Diff(map[string]int64{identity(says("b", 0, 0, 0)): 5}, sum.counters); diff != "" || sum.total != 12 {
		t.Errorf("the total is %d, counters: -want, +got:\n%s", sum.total, diff)
	}

	if n := sum.perMinute(); n != 12 {
		t.Errorf("%d in the last minute, want 12", n)
	}

	sum.add(now.Add(time.Minute), nil, nil)

	if n := sum.perMinute(); n != 0 {
		t.Errorf("%d in the last minute, want none", n)
	}
}

func scaler(change ...func(*v1alpha1.AgentScaler)) *v1alpha1.AgentScaler {
	s := &v1alpha1.AgentScaler{}
	s.UID, s.Name, s.Namespace = "u", "coder", "team-a"
	s.Spec.ForProvider.Triggers = []v1alpha1.Trigger{{Type: v1alpha1.TriggerQueueDepth, Target: 5}}

	for _, c := range change {
		c(s)
	}

	return s
}

// A provider that has just started does not know how long the load has been low, and so removes nobody before that cannot matter.
func TestNobodyIsRemovedAfterAStart(t *testing.T) {
	clock := now
	m := NewMeter(nil, nil)
	m.now = func() time.Time { return clock }
	s := scaler()
	at := Sized{Current: 8}

	m.View(s, at)

	for _, step := range []struct {
		after time.Duration
		want  int32
	}{{0, 8}, {defaultWindow - time.Second, 8}, {defaultWindow + time.Minute, 1}} {
		clock = now.Add(step.after)
		m.pools[s.UID].take(clock, measure{})

		if d := m.View(s, at).Decision; d.Replicas != step.want {
			t.Errorf("%s after the start: %d because %s, want %d", step.after, d.Replicas, d.Message, step.want)
		}
	}
}

// The status tells at once what it never told, and else not more often than it may.
func TestDue(t *testing.T) {
	clock := now
	m := NewMeter(nil, nil)
	m.now = func() time.Time { return clock }
	s := scaler(func(s *v1alpha1.AgentScaler) { s.Spec.ForProvider.Triggers = nil })

	if m.View(s, Sized{}).Due {
		t.Error("nothing is known, and is told")
	}

	m.pools[s.UID].take(clock, measure{asked: 1, answers: []monitorapi.Status{says("a", 3, 1, -1)}, pods: map[string]bool{"a": true}})

	v := m.View(s, Sized{})
	if !v.Due {
		t.Error("what is known is not told")
	}

	active := int32(*v.Figures.Active)
	s.Status.AtProvider.QueueDepth, s.Status.AtProvider.ActiveWorkers = v.Figures.Depth, &active

	m.Published(s, v)

	if p := m.pools[s.UID]; p.tells(clock.Add(publishEvery), scale.Decision{}) {
		t.Error("what was just told is a reason to look again")
	}

	m.pools[s.UID].take(clock, measure{asked: 1, answers: []monitorapi.Status{says("a", 4, 1, -1)}, pods: map[string]bool{"a": true}})

	if m.View(s, Sized{}).Due {
		t.Error("it is told again at once")
	}

	clock = clock.Add(publishEvery)

	if !m.View(s, Sized{}).Due {
		t.Error("it is never told again")
	}

	m.Forget(s)

	if len(m.pools) != 0 {
		t.Error("a scaler that is gone is still measured")
	}
}

func TestPolicy(t *testing.T) {
	if diff := cmp.Diff(scale.Policy{Min: 1, Max: 100, Window: 5 * time.Minute, MaxAge: 10 * time.Second, Metrics: []scale.Metric{{Name: "QueueDepth", Target: 5}}},
		PolicyOf(scaler().Spec.ForProvider), cmp.AllowUnexported(scale.Policy{})); diff != "" {
		t.Errorf("defaults: -want, +got:\n%s", diff)
	}

	n := func(i int32) *int32 { return &i }
	full := scaler(func(s *v1alpha1.AgentScaler) {
		p := &s.Spec.ForProvider
		p.MinReplicaCount, p.MaxReplicaCount, p.PollingInterval = n(2), n(9), n(20)
		p.ScaleDown, p.ScaleUp = &v1alpha1.ScaleDown{StabilizationSeconds: n(60)}, &v1alpha1.ScaleUp{MaxStep: n(3)}
		p.Fallback = &v1alpha1.Fallback{AfterSeconds: 90, Replicas: 4}
		p.Schedules = []v1alpha1.ScalingSchedule{{Schedule: "0 8 * * *", DurationSeconds: 60, MinReplicas: 5}, {Schedule: "no", DurationSeconds: 60}}
	})

	got := PolicyOf(full.Spec.ForProvider)
	if len(got.Schedules) != 1 {
		t.Errorf("schedules %v, want the one that can be read", got.Schedules)
	}

	got.Schedules = nil
	want := scale.Policy{
		Min: 2, Max: 9, Window: time.Minute, MaxAge: time.Minute, OutStep: 3, Panic: 2, Fallback: &scale.Fallback{After: 90 * time.Second, Replicas: 4},
		Metrics: []scale.Metric{{Name: "QueueDepth", Target: 5}},
	}

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("all of it: -want, +got:\n%s", diff)
	}
}

// A gateway's counter is followed from where it was when the pool came, through its restarts, of which none counts anything twice,
// and ours.
func TestTokensOfAGateway(t *testing.T) {
	sum := newTokens(v1alpha1.AgentScalerObservation{})

	for i, step := range []struct {
		counter float64
		unknown string
		want    int64
	}{{1000, "", 0}, {1010, "", 10}, {0, "away", 10}, {1030, "", 30}, {520, "", 30}, {525, "", 35}} {
		sum.bill(now.Add(time.Duration(i)*time.Second), scale.Reading{Value: step.counter, Unknown: step.unknown})
		// Another provider goes on.
		next := newTokens(v1alpha1.AgentScalerObservation{TokenUsage: &sum.total, TokenCounters: sum.counters})
		next.used = sum.used
		sum = next

		if sum.total != step.want {
			t.Errorf("after %+v the total is %d", step, sum.total)
		}
	}

	if n := sum.perMinute(); n != 35 {
		t.Errorf("%d in the last minute, want 35", n)
	}
}

// A query that takes long is asked less often, but often enough for a size to follow.
func TestQueriesTakeTheirShare(t *testing.T) {
	for took, every := range map[time.Duration]time.Duration{
		10 * time.Millisecond: queryEvery, 100 * time.Millisecond: 2 * time.Second, time.Second: queryLate,
	} {
		clock := now
		s := &server{now: func() time.Time { return clock }, asked: now, took: took}

		if clock = now.Add(every - time.Millisecond); !s.fresh() {
			t.Errorf("a query that takes %s is asked again before %s are over", took, every)
		}

		if clock = now.Add(every); s.fresh() {
			t.Errorf("a query that takes %s is not asked again after %s", took, every)
		}
	}
}
