package budget

import (
	"testing"
	"time"
)

func TestMeter(t *testing.T) {
	type look struct {
		after   time.Duration
		total   int64
		waiting bool
	}

	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	cases := map[string]struct {
		reason string
		looks  []look
		at     time.Duration
		want   int64
		keeps  bool
	}{
		"Nothing": {reason: "Of whom nothing is known, it needs what it has.", keeps: true},
		"Once":    {reason: "One look tells nothing.", looks: []look{{total: 100}}, keeps: true},
		"Short":   {reason: "Two looks in a moment tell nothing.", looks: []look{{total: 100}, {after: time.Second, total: 500}}, at: time.Second, keeps: true},
		"Rate":    {reason: "What was used between two looks.", looks: []look{{total: 100}, {after: 10 * time.Second, total: 600}}, at: 10 * time.Second, want: 3000},
		"Idle":    {reason: "Who uses nothing needs nothing.", looks: []look{{total: 100}, {after: 10 * time.Second, total: 100}}, at: 10 * time.Second, want: 0},
		"Window": {
			reason: "What was long ago is forgotten.", at: 80 * time.Second, want: 1000,
			looks: []look{{total: 0}, {after: 20 * time.Second, total: 90000}, {after: 50 * time.Second, total: 90000}, {after: 80 * time.Second, total: 90500}},
		},
		"Waited": {
			reason: "Who had to wait keeps what it has for a while.", at: 20 * time.Second, want: 60, keeps: true,
			looks: []look{{total: 0}, {after: 10 * time.Second, total: 10, waiting: true}, {after: 20 * time.Second, total: 20}},
		},
		"WaitedLongAgo": {
			reason: "And then not.", at: 45 * time.Second, want: 0,
			looks: []look{{total: 0, waiting: true}, {after: 10 * time.Second, total: 10}, {after: 45 * time.Second, total: 10}},
		},
		"Restart": {
			reason: "A monitor that began anew tells of itself only.", at: 20 * time.Second, keeps: true,
			looks: []look{{total: 5000}, {after: 10 * time.Second, total: 9000}, {after: 20 * time.Second, total: 50}},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var m Meter
			for _, l := range tc.looks {
				m.Look(begin.Add(l.after), l.total, l.waiting)
			}

			if got, keeps := m.Demand(begin.Add(tc.at)); got != tc.want || keeps != tc.keeps {
				t.Errorf("%s\nthe demand is %d, and it keeps what it has: %t; want %d, %t", tc.reason, got, keeps, tc.want, tc.keeps)
			}
		})
	}
}

// However often a worker is looked at, little of it is kept, and its demand is right.
func TestMeterIsBounded(t *testing.T) {
	var m Meter

	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

	used := int64(0)

	// Six thousand a minute, and after half of the time sixty thousand.
	for i := range int64(100_000) {
		used++
		if i >= 50_000 {
			used += 9
		}

		now = now.Add(10 * time.Millisecond)
		m.Look(now, used, false)
	}

	if n := len(m.samples); n > mostSamples+2 {
		t.Errorf("%d samples are kept", n)
	}

	if got, _ := m.Demand(now); got != 60_000 {
		t.Errorf("the demand is %d, want 60000", got)
	}
}
