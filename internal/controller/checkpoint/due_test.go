package checkpoint

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	cp "github.com/southwest-ai/agent-operator/internal/checkpoint"
)

var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return noon.Add(-d) }

func TestVerifyDue(t *testing.T) {
	first, second := cp.Position{Epoch: 1, Sequence: 1}, cp.Position{Epoch: 1, Sequence: 2}

	cases := map[string]struct {
		reason string
		last   check
		newest cp.Position
		want   bool
	}{
		"Never":        {reason: "What was never read is read.", newest: first, want: true},
		"Newer":        {reason: "So is a newer one.", last: check{at: first, ok: true, when: ago(time.Second)}, newest: second, want: true},
		"Good":         {reason: "What is good is not read again: that is the scrub's.", last: check{at: first, ok: true, when: ago(1000 * time.Hour)}, newest: first},
		"Bad":          {reason: "To read what is corrupt each turn tells nothing new.", last: check{at: first, when: ago(59 * time.Minute)}, newest: first},
		"BadForAWhile": {reason: "It may have been mended by a save of the same bytes.", last: check{at: first, when: ago(time.Hour)}, newest: first, want: true},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := verifyDue(noon, tc.last, tc.newest); got != tc.want {
				t.Errorf("%s: got %t, want %t", tc.reason, got, tc.want)
			}
		})
	}
}

func TestSweepDue(t *testing.T) {
	cases := map[string]struct {
		reason        string
		swept, failed time.Time
		quota         bool
		want          bool
	}{
		"Never":           {reason: "The first sweep measures the repository.", want: true},
		"Today":           {reason: "Once a day is enough.", swept: ago(23 * time.Hour)},
		"Yesterday":       {reason: "A day is over.", swept: ago(24 * time.Hour), want: true},
		"Quota":           {reason: "A quota is looked at each hour.", swept: ago(time.Hour), quota: true, want: true},
		"QuotaJustNow":    {reason: "And no more often.", swept: ago(59 * time.Minute), quota: true},
		"Failed":          {reason: "While a manifest is corrupt a sweep is tried each hour only.", failed: ago(59 * time.Minute)},
		"FailedForAWhile": {reason: "An hour is over.", swept: ago(48 * time.Hour), failed: ago(time.Hour), want: true},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := sweepDue(noon, tc.swept, tc.failed, tc.quota); got != tc.want {
				t.Errorf("%s: got %t, want %t", tc.reason, got, tc.want)
			}
		})
	}
}

func TestPortion(t *testing.T) {
	const gib = 1 << 30

	cases := map[string]struct {
		reason string
		r      round
		period time.Duration
		stored *int64
		want   int64
	}{
		"Never":         {reason: "0 hours is never.", stored: ptr(int64(gib))},
		"First":         {reason: "The first portion is that of one turn.", period: 100 * time.Minute, stored: ptr(int64(200_000)), want: 1001},
		"Unmeasured":    {reason: "What was not measured is read all the same.", period: time.Hour, want: blind},
		"Late":          {reason: "What other work took is made up for.", r: round{began: ago(time.Hour), last: ago(10 * time.Minute), cursor: "chunks/"}, period: 100 * time.Minute, stored: ptr(int64(1000)), want: 101},
		"LateByFar":     {reason: "But not all of it at once.", r: round{began: ago(50 * time.Hour), last: ago(50 * time.Hour), cursor: "chunks/"}, period: 100 * time.Hour, stored: ptr(int64(1000)), want: 11},
		"DoneEarly":     {reason: "A small repository has been read long before its time, and is left alone until then.", r: round{began: ago(59 * time.Minute)}, period: time.Hour, stored: ptr(int64(gib))},
		"NextRound":     {reason: "Its time has come.", r: round{began: ago(time.Hour)}, period: time.Hour, stored: ptr(int64(120)), want: 2},
		"ClockWentBack": {reason: "A portion is never negative.", r: round{began: ago(0), last: noon.Add(time.Hour), cursor: "slots/0"}, period: time.Hour, stored: ptr(int64(120)), want: 2},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tc.r.portion(noon, 30*time.Second, tc.period, tc.stored); got != tc.want {
				t.Errorf("%s: got %d, want %d", tc.reason, got, tc.want)
			}
		})
	}
}

func TestRest(t *testing.T) {
	var got []time.Duration
	for n := range 7 {
		got = append(got, rest(n, 30*time.Second))
	}

	want := []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 10 * time.Minute, 10 * time.Minute}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("how long a repository is left alone: -want, +got:\n%s", diff)
	}

	if d := rest(1<<40, DefaultTurn); d != maxRest {
		t.Errorf("after very many failures it is %s", d)
	}
}

func TestRetainOf(t *testing.T) {
	cases := map[string]struct {
		reason string
		in     *v1alpha1.Retain
		want   cp.Retain
	}{
		"Nothing": {reason: "Who says nothing gets what suits most.", want: defaultRetain},
		"Empty":   {reason: "Who names no rule keeps the newest.", in: &v1alpha1.Retain{}, want: cp.Retain{Last: 1}},
		"One":     {reason: "Who names one rule means it alone.", in: &v1alpha1.Retain{Daily: ptr(int32(30))}, want: cp.Retain{Last: 1, Daily: 30}},
		"All":     {reason: "All three go together.", in: &v1alpha1.Retain{Last: ptr(int32(2)), Hourly: ptr(int32(3)), Daily: ptr(int32(4))}, want: cp.Retain{Last: 2, Hourly: 3, Daily: 4}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, retainOf(tc.in)); diff != "" {
				t.Errorf("%s: -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestCorrupt(t *testing.T) {
	at := cp.Position{Epoch: 1, Sequence: 1}

	cases := map[string]struct {
		reason string
		r      report
		want   int32
	}{
		"Nothing":   {reason: "Nothing is found."},
		"Scrubbed":  {reason: "Each object counts, whomever it hurts.", r: report{damaged: map[string]map[string]bool{"a": {"0": true, "1": true}, "b": {}}}, want: 2},
		"Unread":    {reason: "A checkpoint that cannot be read counts before a scrub has found out why.", r: report{unread: map[place]bool{{"0", at}: true}}, want: 1},
		"Explained": {reason: "After that it does not count twice.", r: report{unread: map[place]bool{{"0", at}: true, {"1", at}: true}, damaged: map[string]map[string]bool{"a": {"0": true}}}, want: 2},
		"Earlier":   {reason: "What an earlier process had found stays until all was read again.", r: report{earlier: 3, damaged: map[string]map[string]bool{"a": {}}}, want: 3},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := tc.r.corrupt(); got != tc.want {
				t.Errorf("%s: got %d, want %d", tc.reason, got, tc.want)
			}
		})
	}
}

func TestNewReport(t *testing.T) {
	swept, scrubbed := metav1.NewTime(ago(time.Hour)), metav1.NewTime(ago(2*time.Hour))
	before := v1alpha1.CheckpointObservation{ID: "id", SweptTime: &swept, ScrubbedTime: &scrubbed, StoredBytes: ptr(int64(5)), Corrupt: ptr(int32(0))}

	r := newReport(before)
	if r.swept != swept.Time || r.round.began != scrubbed.Time || *r.at.StoredBytes != 5 {
		t.Errorf("what was done an hour ago is done again: %+v", r)
	}

	before.Corrupt = ptr(int32(1))
	if r := newReport(before); r.corrupt() != 1 || !r.round.began.IsZero() {
		t.Errorf("what an earlier process found corrupt is forgotten, or not looked for at once: %+v", r)
	}

	before.ID = ""
	if diff := cmp.Diff(v1alpha1.CheckpointObservation{}, newReport(before).at); diff != "" {
		t.Errorf("what was said of no repository was taken over: %s", diff)
	}
}
