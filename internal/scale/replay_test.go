package scale

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// queues returns points a minute apart with these queues; a negative one is unknown.
func queues(all ...float64) []Point {
	out := make([]Point, len(all))

	for i, n := range all {
		out[i] = Point{At: midnight.Add(time.Duration(i) * time.Minute), Readings: map[string]Reading{"QueueDepth": {Value: n}}}
		if n < 0 {
			out[i].Readings["QueueDepth"] = Reading{Unknown: "nobody answers"}
		}
	}

	return out
}

func TestReplay(t *testing.T) {
	p := Policy{Min: 1, Max: 10, Metrics: []Metric{{"QueueDepth", 5}}, Window: 2 * time.Minute, MaxAge: time.Minute}
	stepped := p
	stepped.OutStep = 2

	cases := map[string]struct {
		reason string
		replay Replay
		points []Point
		sizes  []int32
		totals Totals
	}{
		"Steady": {
			reason: "A load that is what it was changes nothing.",
			replay: Replay{Policy: p, Size: 2}, points: queues(10, 10, 10), sizes: nil,
			totals: Totals{Worker: 4 * time.Minute, Most: 2, Least: 2},
		},
		"UpAndDown": {
			reason: "Out at once, and in when the window has gone by since it was last wanted.",
			replay: Replay{Policy: p, Size: 1}, points: queues(0, 20, 5, 5, 5, 5), sizes: []int32{4, 1},
			// One for a minute, of whom nobody was wanted; four for the minute of the load and for the window, and one then.
			totals: Totals{Worker: 14 * time.Minute, Spare: 7 * time.Minute, Stabilizing: 2 * time.Minute, Most: 4, Least: 1},
		},
		"Starting": {
			reason: "Who starts does not serve yet.",
			replay: Replay{Policy: p, Size: 1, Startup: 30 * time.Second}, points: queues(20, 20), sizes: []int32{4},
			totals: Totals{Worker: 4 * time.Minute, Short: 30 * time.Second, Missing: 90 * time.Second, Most: 4, Least: 1},
		},
		"Bounds": {
			reason: "What the load wants is counted, whatever the bounds are.",
			replay: Replay{Policy: p, Size: 10}, points: queues(75, 75), sizes: nil,
			totals: Totals{Worker: 10 * time.Minute, Short: time.Minute, Missing: 5 * time.Minute, Most: 10, Least: 10},
		},
		"Steps": {
			reason: "A step is made with each look.",
			replay: Replay{Policy: stepped, Size: 1}, points: queues(25, 25), sizes: []int32{3, 5},
			totals: Totals{Worker: 3*time.Second + 59*5*time.Second, Short: time.Second, Missing: 2 * time.Second, Most: 5, Least: 1},
		},
		"Unknown": {
			reason: "Nobody goes while nothing is known, and that is no need for any either.",
			replay: Replay{Policy: p, Size: 3}, points: queues(-1, -1), sizes: nil,
			totals: Totals{Worker: 3 * time.Minute, Unknown: time.Minute, Most: 3, Least: 3},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.replay.Interval = time.Second
			c := tc.replay.Run(tc.points)

			var sizes []int32
			for _, s := range c.Changes {
				sizes = append(sizes, s.To)
			}

			if diff := cmp.Diff(tc.sizes, sizes); diff != "" {
				t.Errorf("%s sizes -want, +got:\n%s", tc.reason, diff)
			}

			if diff := cmp.Diff(tc.totals, c.Totals); diff != "" {
				t.Errorf("%s totals -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// A replay, which looks only when something can be another, comes to the sizes of one that looks all the time.
func TestReplayMissesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyPolicy(t)
		// The looks are at whole seconds.
		p.Window = p.Window.Truncate(time.Second)
		if p.Fallback != nil {
			p.Fallback.After = p.Fallback.After.Truncate(time.Second)
		}

		if rapid.Bool().Draw(t, "scheduled") {
			s, err := ParseSchedule("20 0 * * *", "", 10*time.Minute, rapid.Int32Range(1, 100).Draw(t, "ready"))
			if err != nil {
				t.Fatal(err)
			}

			p.Schedules = []Schedule{s}
		}

		var points []Point

		for at := midnight; len(points) < 15; at = at.Add(time.Duration(rapid.IntRange(1, 300).Draw(t, "later")) * time.Second) {
			o := anyObservation(t, at, 0)
			points = append(points, Point{At: at, Readings: o.Readings, RollingOut: o.RollingOut, Unsafe: o.Unsafe, TokensPerWorker: o.TokensPerWorker})
		}

		r := Replay{Policy: p, Size: rapid.Int32Range(1, 100).Draw(t, "size"), Interval: time.Second}
		c := r.Run(points)

		// All of it, second by second.
		size, i := r.Size, 0
		h := History{Wants: []Span{{From: c.From, Until: c.From, Want: size}}}

		var changes []Change

		for now := c.From; !now.After(c.To); now = now.Add(time.Second) {
			for i+1 < len(points) && !points[i+1].At.After(now) {
				i++
			}

			var d Decision

			d, h = Decide(now, p, points[i].observation(now, size), h)
			if d.Replicas != size {
				changes = append(changes, Change{At: now, From: size, To: d.Replicas, Reason: d.Reason})
			}

			size = d.Replicas
		}

		if got := c.Changes; len(got) != len(changes) {
			t.Fatalf("%d changes, want %d: %v, want %v", len(got), len(changes), got, changes)
		}

		for n, want := range changes {
			got := c.Changes[n]
			if got.Message = ""; got.From != want.From || got.To != want.To || got.Reason != want.Reason || got.At.Sub(want.At).Abs() > p.Window/spans+time.Second {
				t.Fatalf("change %d is %+v, want %+v", n, got, want)
			}
		}
	})
}
