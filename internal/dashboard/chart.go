package dashboard

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// The size of a chart's drawing, in its own units. It is stretched to the room that there is, so it holds no text.
const (
	chartWidth, chartHeight = 600, 120
	sparkWidth, sparkHeight = 96, 24
	// gap is how far apart two samples are with nothing known between them.
	gap = 5 * every / 2
)

// A series is what is drawn of samples.
type series struct {
	Name  string
	Class string
	get   func(sample) int64
	// step says that a value holds until the next; area that the room below is filled.
	step, area bool
}

// A drawn series is one as paths of SVG.
type drawn struct{ Name, Class, Line, Area, Now string }

// A chart is a picture of a load over the last hour, with the same in words.
type chart struct {
	ID, Title string
	Series    []drawn
	// Max is the value at the top.
	Max string
	// Words say what is to be seen.
	Words string
	// Marks are where sizes were decided, as x.
	Marks []string
	// Limit is the y of a bound, empty where there is none, and LimitName what it is.
	Limit, LimitName string
	Width, Height    int
	Empty            bool
}

// newChart draws series of samples.
func newChart(id, title string, now time.Time, samples []sample, limit int64, all ...series) chart {
	c := chart{ID: id, Title: title, Width: chartWidth, Height: chartHeight, Empty: true}

	// A bound that is far away would leave nothing to be seen of the load.
	top := highest(samples, all)
	if limit > 0 && limit <= 4*top {
		top = max(top, limit)
	}

	top = nice(top)
	c.Max = number(top)

	for _, s := range all {
		line, area := s.paths(now, samples, top, chartWidth, chartHeight)
		c.Series = append(c.Series, drawn{Name: s.Name, Class: s.Class, Line: line, Area: area, Now: number(lastOf(samples, s.get))})
		c.Empty = c.Empty && line == ""
	}

	if limit > 0 && limit <= top {
		c.Limit = fmt.Sprintf("%.1f", y(limit, top, chartHeight))
	}

	c.Words = words(samples, all)

	return c
}

// spark draws one series small, and returns its line and area.
func spark(now time.Time, samples []sample, get func(sample) int64) drawn {
	s := series{get: get, area: true}
	line, area := s.paths(now, samples, nice(highest(samples, []series{s})), sparkWidth, sparkHeight)

	return drawn{Line: line, Area: area}
}

// paths returns a series as a line, and as the area below it. Where it is unknown there is nothing.
func (s series) paths(now time.Time, samples []sample, top int64, width, height float64) (line, area string) {
	var (
		l, a    strings.Builder
		last    time.Time
		open    bool
		lastX   float64
		closing = func() {
			if open && s.area {
				fmt.Fprintf(&a, "L%.1f %.1fZ", lastX, height)
			}

			open = false
		}
	)

	for _, p := range samples {
		v := s.get(p)
		if v == unknown || open && p.at.Sub(last) > gap {
			closing()
		}

		if v == unknown {
			continue
		}

		px, py := x(p.at, now, width), y(v, top, height)

		switch {
		case !open:
			// A single sample is a point; the line's round ends show it.
			fmt.Fprintf(&l, "M%.1f %.1fh0", px, py)
			fmt.Fprintf(&a, "M%.1f %.1fL%.1f %.1f", px, height, px, py)
		case s.step:
			fmt.Fprintf(&l, "H%.1fV%.1f", px, py)
			fmt.Fprintf(&a, "H%.1fV%.1f", px, py)
		default:
			fmt.Fprintf(&l, "L%.1f %.1f", px, py)
			fmt.Fprintf(&a, "L%.1f %.1f", px, py)
		}

		open, last, lastX = true, p.at, px
	}

	closing()

	if !s.area {
		return l.String(), ""
	}

	return l.String(), a.String()
}

func x(at, now time.Time, width float64) float64 {
	return width * (1 - min(1, max(0, now.Sub(at).Seconds()/span.Seconds())))
}

// y leaves a line's breadth of room at both ends.
func y(v, top int64, height float64) float64 {
	return 1.5 + (height-3)*(1-float64(min(v, top))/float64(max(top, 1)))
}

// highest returns the highest value of series.
func highest(samples []sample, all []series) int64 {
	var out int64

	for _, p := range samples {
		for _, s := range all {
			out = max(out, s.get(p))
		}
	}

	return out
}

func lastOf(samples []sample, get func(sample) int64) int64 {
	if len(samples) == 0 {
		return unknown
	}

	return get(samples[len(samples)-1])
}

// nice returns the next higher value that people like at an axis' end.
func nice(v int64) int64 {
	if v <= 5 {
		return 5
	}

	power := int64(math.Pow10(int(math.Log10(float64(v)))))

	for _, step := range []int64{1, 2, 4, 5, 6, 8, 10} {
		if step*power >= v {
			return step * power
		}
	}

	return v
}

// words say what a chart shows.
func words(samples []sample, all []series) string {
	var parts []string

	for _, s := range all {
		least, most, known := int64(math.MaxInt64), int64(unknown), 0

		for _, p := range samples {
			if v := s.get(p); v != unknown {
				least, most = min(least, v), max(most, v)
				known++
			}
		}

		if known == 0 {
			parts = append(parts, s.Name+": unknown")

			continue
		}

		text := fmt.Sprintf("%s: now %s, between %s and %s", s.Name, inWords(lastOf(samples, s.get)), number(least), number(most))
		if known < len(samples) {
			text += ", and unknown at times"
		}

		parts = append(parts, text)
	}

	return strings.Join(parts, ". ") + "."
}

func inWords(v int64) string {
	if v == unknown {
		return "unknown"
	}

	return number(v)
}

// number writes a figure for people.
func number(v int64) string {
	if v == unknown {
		return "–"
	}

	text := fmt.Sprint(v)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}

	return text
}
