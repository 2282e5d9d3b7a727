package dashboard

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"
)

var noon = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// every half minute before noon, from the oldest on.
func depths(values ...int64) []sample {
	out := make([]sample, len(values))
	for i, v := range values {
		out[i] = sample{at: noon.Add(-time.Duration(len(values)-1-i) * every), replicas: v, active: unknown, depth: v, perMinute: unknown}
	}

	return out
}

func TestPaths(t *testing.T) {
	cases := map[string]struct {
		reason     string
		samples    []sample
		step       bool
		line, area string
	}{
		"Nothing": {reason: "Where nothing is known nothing is drawn."},
		"Unknown": {reason: "Nor where it was seen and not known.", samples: depths(unknown, unknown)},
		"One":     {reason: "One sample is a point.", samples: depths(5), line: "M600.0 60.0h0", area: "M600.0 120.0L600.0 60.0L600.0 120.0Z"},
		"Line":    {reason: "Zero is at the bottom and is no gap.", samples: depths(10, 0), line: "M595.0 1.5h0L600.0 118.5", area: "M595.0 120.0L595.0 1.5L600.0 118.5L600.0 120.0Z"},
		"Steps":   {reason: "A size holds until the next.", samples: depths(0, 10), step: true, line: "M595.0 118.5h0H600.0V1.5", area: "M595.0 120.0L595.0 118.5H600.0V1.5L600.0 120.0Z"},
		"Gap":     {reason: "What is unknown is a gap and not zero.", samples: depths(10, unknown, 10), line: "M590.0 1.5h0M600.0 1.5h0", area: "M590.0 120.0L590.0 1.5L590.0 120.0ZM600.0 120.0L600.0 1.5L600.0 120.0Z"},
		"Silence": {
			reason:  "So is a time in which nobody looked.",
			samples: []sample{{at: noon.Add(-10 * time.Minute), depth: 10}, {at: noon, depth: 10}}, line: "M500.0 1.5h0M600.0 1.5h0",
			area: "M500.0 120.0L500.0 1.5L500.0 120.0ZM600.0 120.0L600.0 1.5L600.0 120.0Z",
		},
		"Old": {reason: "What is older than the hour is at its edge.", samples: []sample{{at: noon.Add(-2 * time.Hour), depth: 10}}, line: "M0.0 1.5h0", area: "M0.0 120.0L0.0 1.5L0.0 120.0Z"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			line, area := series{get: depthOf, step: tc.step, area: true}.paths(noon, tc.samples, 10, chartWidth, chartHeight)
			if diff := cmp.Diff([]string{tc.line, tc.area}, []string{line, area}); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestChart(t *testing.T) {
	c := newChart("tasks", "Tasks", noon, depths(3, unknown, 17), 0, series{Name: "waiting", get: depthOf}, series{Name: "at work", get: func(p sample) int64 { return p.active }})

	if want := "waiting: now 17, between 3 and 17, and unknown at times. at work: unknown."; c.Words != want {
		t.Errorf("it says %q, want %q", c.Words, want)
	}

	if c.Max != "20" || c.Series[0].Now != "17" || c.Series[1].Now != "–" || c.Empty {
		t.Errorf("it is up to %s, now %s and %s, empty: %t", c.Max, c.Series[0].Now, c.Series[1].Now, c.Empty)
	}

	if c := newChart("", "", noon, nil, 0, series{get: depthOf}); !c.Empty {
		t.Error("a chart of nothing is not empty")
	}

	near, far := newChart("", "", noon, depths(90), 100, series{get: depthOf}), newChart("", "", noon, depths(9), 1000, series{get: depthOf})
	if near.Limit == "" || far.Limit != "" || far.Max != "10" {
		t.Errorf("a bound in reach is at %q, one out of reach at %q, up to %s", near.Limit, far.Limit, far.Max)
	}
}

func TestNice(t *testing.T) {
	for v, want := range map[int64]int64{0: 5, 5: 5, 6: 6, 7: 8, 11: 20, 21: 40, 99: 100, 100: 100, 101: 200, 4100: 5000, 18240: 20000} {
		if got := nice(v); got != want {
			t.Errorf("nice(%d) = %d, want %d", v, got, want)
		}
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[int64]string{unknown: "–", 0: "0", 999: "999", 1000: "1,000", 1482093: "1,482,093"} {
		if got := number(v); got != want {
			t.Errorf("number(%d) = %q, want %q", v, got, want)
		}
	}
}

// What is remembered is bounded: by time, by number, and by the pools that there are.
func TestHistoryForgets(t *testing.T) {
	h := NewHistory(nil)
	key := types.NamespacedName{Namespace: "team-a", Name: "coder"}

	for i := range 3 * kept {
		h.add(key, sample{at: noon.Add(time.Duration(i) * every)})
	}

	got := h.of(key)
	if len(got) != kept || got[len(got)-1].at.Sub(got[0].at) != span {
		t.Errorf("%d samples over %s are remembered, want %d over %s", len(got), got[len(got)-1].at.Sub(got[0].at), kept, span)
	}

	h.add(key, sample{at: noon.Add(100 * time.Hour)})

	if got := h.of(key); len(got) != 1 {
		t.Errorf("after a long silence %d samples are remembered, want the new one", len(got))
	}
}

// Nothing that a cluster holds becomes part of the page but as text, and a page is whole whatever is missing.
func TestRender(t *testing.T) {
	evil := `"><script>alert(1)</script>`

	var c claim

	c.Metadata.Namespace, c.Metadata.Name, c.Spec.Role = "team-a", "coder", evil
	c.Status.State = evil

	s := &Server{history: NewHistory(nil)}

	for name, v := range map[string]view{
		"index": s.indexView(frame{Title: evil, Who: evil, Style: stylesheet}, "", []claim{c, {}}, true, 3),
		"pool":  s.poolView(frame{Title: evil, Who: evil, Style: stylesheet}, types.NamespacedName{}, c),
		"none":  s.indexView(frame{Style: stylesheet}, "team-a", nil, false, 0),
		"fail":  failView{Words: evil},
	} {
		var b strings.Builder
		if err := pages.ExecuteTemplate(&b, v.template(), v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}

		if page := b.String(); strings.Contains(page, "<script") || !strings.HasSuffix(strings.TrimSpace(page), "</html>") || strings.Contains(page, "ZgotmplZ") {
			t.Errorf("%s is not as it should be:\n%s", name, page)
		}
	}
}
