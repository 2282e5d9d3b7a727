package scale

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// midnight is when scripts begin.
var midnight = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// Simulated hours: testdata says what a pool is told and what is decided. A size that is not given is the last decision's.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("there is no script", err)
	}

	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}

			s := script{}

			for i, line := range strings.Split(string(b), "\n") {
				if err := s.line(line); err != nil {
					t.Errorf("%s:%d: %v", f, i+1, err)
				}
			}
		})
	}
}

type script struct {
	p Policy
	o Observation
	h History
}

// words are what a line has, where quotes hold one together.
func words(line string) (out []string) {
	quoted := false

	for _, w := range strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}

		return r == ' ' && !quoted
	}) {
		out = append(out, strings.ReplaceAll(w, `"`, ""))
	}

	return out
}

func (s *script) line(line string) error {
	line, _, _ = strings.Cut(line, "#")

	all := words(line)
	if len(all) == 0 {
		return nil
	}

	if all[0] == "policy" {
		s.p = Policy{MaxAge: time.Minute}

		for _, w := range all[1:] {
			if err := s.policy(w); err != nil {
				return err
			}
		}

		return nil
	}

	at, err := time.Parse("15:04", all[0])
	if err != nil {
		return err
	}

	now := midnight.Add(time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute)
	s.o.Readings, s.o.RollingOut, s.o.Unsafe, s.o.TokensPerWorker = map[string]Reading{}, false, "", 0

	for i, w := range all[1:] {
		if w == "=>" {
			return s.expect(now, all[i+2:])
		}

		if err := s.told(now, w); err != nil {
			return err
		}
	}

	return errors.New("nothing is expected")
}

func (s *script) policy(w string) error {
	if name, target, ok := strings.Cut(w, "/"); ok && !strings.Contains(w, "=") {
		n, err := strconv.ParseFloat(target, 64)
		s.p.Metrics = append(s.p.Metrics, Metric{Name: name, Target: n})

		return err
	}

	key, value, _ := strings.Cut(w, "=")
	n, _ := strconv.ParseFloat(value, 64)
	d, _ := time.ParseDuration(value)

	switch parts := strings.Split(value, ","); key {
	case "min":
		s.p.Min = int32(n)
	case "max":
		s.p.Max = int32(n)
	case "window":
		s.p.Window = d
	case "maxage":
		s.p.MaxAge = d
	case "instep":
		s.p.InStep = int32(n)
	case "outstep":
		s.p.OutStep = int32(n)
	case "panic":
		s.p.Panic = n
	case "budget":
		s.p.TokensPerMinute = n
	case "fallback":
		after, _ := time.ParseDuration(parts[0])
		size, _ := strconv.Atoi(parts[1])
		s.p.Fallback = &Fallback{After: after, Replicas: int32(size)}
	case "schedule":
		lasts, _ := time.ParseDuration(parts[1])
		least, zone, _ := strings.Cut(parts[2], "@")
		size, _ := strconv.Atoi(least)

		c, err := ParseSchedule(parts[0], zone, lasts, int32(size))
		s.p.Schedules = append(s.p.Schedules, c)

		return err
	default:
		return fmt.Errorf("%q says nothing", w)
	}

	return nil
}

// told is a word such as QueueDepth=12, QueueDepth=12@90s for an old reading, QueueDepth=12:3/4 for a part, or QueueDepth=?.
func (s *script) told(now time.Time, w string) error {
	key, value, _ := strings.Cut(w, "=")

	switch key {
	case "rolling":
		s.o.RollingOut = true

		return nil
	case "unsafe":
		s.o.Unsafe = value

		return nil
	case "size":
		n, err := strconv.Atoi(value)
		s.o.Current = int32(n)

		return err
	case "tokens":
		n, err := strconv.ParseFloat(value, 64)
		s.o.TokensPerWorker = n

		return err
	}

	r := Reading{At: now}

	if value == "?" {
		r.Unknown = "nobody answers"
		s.o.Readings[key] = r

		return nil
	}

	value, part, _ := strings.Cut(value, ":")
	_, _ = fmt.Sscanf(part, "%d/%d", &r.Reporting, &r.Expected)

	value, age, _ := strings.Cut(value, "@")
	if d, err := time.ParseDuration(age); err == nil {
		r.At = now.Add(-d)
	}

	n, err := strconv.ParseFloat(value, 64)
	r.Value = n
	s.o.Readings[key] = r

	return err
}

func (s *script) expect(now time.Time, want []string) error {
	d, h := Decide(now, s.p, s.o, s.h)

	// What is remembered survives a restart.
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}

	s.h = History{}
	if err := json.Unmarshal(b, &s.h); err != nil {
		return err
	}

	s.o.Current = d.Replicas

	if diff := cmp.Diff(want, []string{strconv.Itoa(int(d.Replicas)), d.Reason}); diff != "" {
		return fmt.Errorf("-want, +got:\n%s%s", diff, d.Message)
	}

	return nil
}

func anyPolicy(t *rapid.T) Policy {
	low := rapid.Int32Range(1, 20).Draw(t, "min")

	p := Policy{
		Min: low, Max: rapid.Int32Range(low, 100).Draw(t, "max"), MaxAge: time.Minute,
		Metrics: []Metric{{"a", rapid.Float64Range(0.1, 50).Draw(t, "target a")}, {"b", rapid.Float64Range(0.1, 50).Draw(t, "target b")}},
		Window:  time.Duration(rapid.Int64Range(0, int64(10*time.Minute)).Draw(t, "window")),
		OutStep: rapid.Int32Range(0, 5).Draw(t, "out"), InStep: rapid.Int32Range(0, 5).Draw(t, "in"),
		Panic: rapid.SampledFrom([]float64{0, 2, 10}).Draw(t, "panic"), TokensPerMinute: rapid.SampledFrom([]float64{0, 1000}).Draw(t, "budget"),
	}

	if rapid.Bool().Draw(t, "falls back") {
		p.Fallback = &Fallback{After: time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "after")), Replicas: rapid.Int32Range(0, 120).Draw(t, "fallback")}
	}

	return p
}

func anyObservation(t *rapid.T, now time.Time, current int32) Observation {
	o := Observation{
		Current: current, Readings: map[string]Reading{}, RollingOut: rapid.IntRange(0, 5).Draw(t, "rolling") == 0,
		TokensPerWorker: rapid.SampledFrom([]float64{0, 10, 300, 5000}).Draw(t, "tokens"),
		Unsafe:          rapid.SampledFrom([]string{"", "", "", "the store is down"}).Draw(t, "unsafe"),
	}

	for _, name := range []string{"a", "b"} {
		if rapid.IntRange(0, 9).Draw(t, "told") == 0 {
			continue
		}

		o.Readings[name] = Reading{
			Value:     rapid.OneOf(rapid.Float64Range(0, 500), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), -1, 1e300})).Draw(t, name),
			At:        now.Add(-time.Duration(rapid.Int64Range(0, int64(70*time.Second)).Draw(t, "age"))),
			Reporting: rapid.IntRange(8, 9).Draw(t, "reporting"), Expected: rapid.IntRange(7, 9).Draw(t, "expected"),
			Unknown: rapid.SampledFrom([]string{"", "", "", "", "it does not answer"}).Draw(t, "unknown"),
		}
	}

	return o
}

// Whatever a pool is told, for as long as it is told: sizes are in their bounds, nobody is removed without complete fresh data, nor
// more than may be at once, more load never asks for less, and what is remembered is bounded.
func TestDecisionsHold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, h, now := anyPolicy(t), History{}, midnight
		current := rapid.Int32Range(0, 120).Draw(t, "size")

		for range rapid.IntRange(1, 60).Draw(t, "decisions") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(3*time.Minute)).Draw(t, "passes")))
			o := anyObservation(t, now, current)
			d, next := Decide(now, p, o, h)

			if again, _ := Decide(now, p, o, h); !cmp.Equal(d, again) {
				t.Fatal(cmp.Diff(d, again))
			}

			if d.Desired < p.Min || d.Desired > p.Max || d.Replicas > max(current, p.Max) || d.Replicas < min(current, p.Min) {
				t.Fatalf("from %d: %+v", current, d)
			}

			if less := current - d.Replicas; less > 0 && d.Reason != ReasonFallback {
				if len(d.Vetoes) > 0 || o.RollingOut || o.Unsafe != "" || p.InStep > 0 && less > p.InStep {
					t.Fatalf("%d are removed: %+v", less, d)
				}

				for _, w := range d.Wants {
					r := o.Readings[w.Metric.Name]
					if w.Unknown != "" || r.Reporting < r.Expected || now.Sub(r.At) > p.MaxAge {
						t.Fatalf("%d are removed although %+v", less, r)
					}
				}
			}

			if d.Reason == "" || d.Message == "" || !d.Wake.IsZero() && d.Wake.Before(now) || len(next.Wants) > 2*spans {
				t.Fatalf("%+v, %+v", d, next)
			}

			h, current = more(t, now, p, o, h, d), d.Replicas
		}
	})
}

// more has the load rise and wants no smaller size. It returns the history of what was.
func more(t *rapid.T, now time.Time, p Policy, o Observation, h History, was Decision) History {
	_, next := Decide(now, p, o, h)

	r := o.Readings["a"]
	r.Value *= 2

	o.Readings["a"] = r

	if d, _ := Decide(now, p, o, h); d.Replicas < was.Replicas || d.Desired < was.Desired {
		t.Fatalf("the load doubled: %+v, and then %+v", was, d)
	}

	return next
}

// A schedule that cannot be is refused in words.
func TestParseSchedule(t *testing.T) {
	cases := map[string]struct {
		fields, zone string
		lasts        time.Duration
		want         string
	}{
		"Fields":  {"8 o'clock", "", time.Hour, "is no schedule such as"},
		"Zone":    {"0 8 * * *", "Mars/Olympus", time.Hour, "is no time zone"},
		"Forever": {"0 8 * * *", "", 1e6 * time.Hour, "lasts from a moment to 31 days"},
		"Never":   {"0 8 * * *", "", 0, "lasts from a moment to 31 days"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseSchedule(tc.fields, tc.zone, tc.lasts, 1); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}

	// Eight in the morning is another moment in summer.
	s, err := ParseSchedule("0 8 * * *", "Europe/Berlin", time.Hour, 1)
	if err != nil {
		t.Fatal(err)
	}

	for at, want := range map[string]bool{
		"2026-01-05T06:59:59Z": false, "2026-01-05T07:00:00Z": true, "2026-01-05T07:59:59Z": true, "2026-01-05T08:00:00Z": false,
		"2026-07-05T05:59:59Z": false, "2026-07-05T06:00:00Z": true,
	} {
		now, err := time.Parse(time.RFC3339, at)
		if err != nil || s.active(now) != want {
			t.Errorf("at %s: %t, want %t (%v)", at, s.active(now), want, err)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	p := Policy{Min: 1, Max: 100, Metrics: []Metric{{"QueueDepth", 5}, {"TokensPerMinute", 10000}}, Window: 5 * time.Minute, MaxAge: time.Minute}
	o := Observation{Current: 8, Readings: map[string]Reading{"QueueDepth": {Value: 37, At: midnight}, "TokensPerMinute": {Value: 61000, At: midnight}}}
	h := History{}

	for i := range spans {
		_, h = Decide(midnight.Add(time.Duration(i-spans)*20*time.Second), p, o, h)
	}

	b.ReportAllocs()

	for b.Loop() {
		Decide(midnight, p, o, h)
	}
}
