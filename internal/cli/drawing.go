package cli

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/guptarohit/asciigraph"

	"github.com/southwest-ai/agent-operator/internal/scale"
)

// textHigh is about how many lines a panel has on a terminal.
const textHigh = 9

// A drawing is what a simulation looks like over time: the workers, each load, and what kept workers.
type drawing struct {
	title    string
	from, to time.Time
	workers  panel
	loads    []panel
	lanes    []lane
}

// A panel has curves that share a scale.
type panel struct {
	title  string
	curves []curve
}

// A curve goes by steps: each value holds until the next. One that is not known is NaN.
type curve struct {
	name string
	at   []time.Time
	y    []float64
}

// A lane says when something was so.
type lane struct {
	name, title string
	spans       [][2]time.Time
}

func newDrawing(title string, p scale.Policy, points []scale.Point, c scale.Course) drawing {
	d := drawing{title: title, from: c.From, to: c.To}
	size, serving, wanted := curve{name: "asked for"}, curve{name: "serving"}, curve{name: "wanted by the load"}
	lanes := map[string]*lane{}

	for i, s := range c.Steps {
		until := c.To
		if i+1 < len(c.Steps) {
			until = c.Steps[i+1].At
		}

		size.add(s.At, float64(s.Size))
		serving.add(s.At, float64(s.Serving))

		if s.Wanted < 0 {
			wanted.add(s.At, math.NaN())
		} else {
			wanted.add(s.At, float64(s.Wanted))
		}

		for _, v := range s.Vetoes {
			if lanes[v.Name] == nil {
				lanes[v.Name] = &lane{name: v.Name, title: v.Why}
			}

			lanes[v.Name].add(s.At, until)
		}
	}

	d.workers = panel{title: "Workers", curves: []curve{size, serving, wanted}}

	for _, m := range p.Metrics {
		l := curve{name: m.Name}

		for _, x := range points {
			v := x.Readings[m.Name]
			if v.Unknown != "" {
				v.Value = math.NaN()
			}

			l.add(x.At, v.Value)
		}

		d.loads = append(d.loads, panel{title: fmt.Sprintf("%s, %g per worker", m.Name, m.Target), curves: []curve{l}})
	}

	for _, l := range lanes {
		d.lanes = append(d.lanes, *l)
	}

	slices.SortFunc(d.lanes, func(a, b lane) int { return cmp.Compare(a.name, b.name) })

	return d
}

// add adds a value if it is another.
func (c *curve) add(at time.Time, y float64) {
	if n := len(c.y); n > 0 && (c.y[n-1] == y || math.IsNaN(c.y[n-1]) && math.IsNaN(y)) {
		return
	}

	c.at, c.y = append(c.at, at), append(c.y, y)
}

func (l *lane) add(from, to time.Time) {
	if n := len(l.spans); n > 0 && l.spans[n-1][1].Equal(from) {
		l.spans[n-1][1] = to

		return
	}

	l.spans = append(l.spans, [2]time.Time{from, to})
}

// most returns the largest known value of all curves, at least 1.
func (p panel) most() float64 {
	out := 1.0

	for _, c := range p.curves {
		for _, y := range c.y {
			if y > out {
				out = y
			}
		}
	}

	return out
}

// between returns the largest known value of a time; NaN where none is.
func (c curve) between(from, to time.Time) float64 {
	out := math.NaN()

	first := max(0, c.index(from))
	for i := first; i < len(c.y) && (i == first || c.at[i].Before(to)); i++ {
		if !math.IsNaN(c.y[i]) && (math.IsNaN(out) || c.y[i] > out) {
			out = c.y[i]
		}
	}

	return out
}

// index returns which value holds at a time; -1 before the first.
func (c curve) index(at time.Time) int {
	n, found := slices.BinarySearchFunc(c.at, at, time.Time.Compare)
	if found {
		return n
	}

	return n - 1
}

// slots cuts the time into n equal parts and returns the bounds of the i-th.
func (d drawing) slot(i, n int) (from, to time.Time) {
	span := d.to.Sub(d.from)

	return d.from.Add(span * time.Duration(i) / time.Duration(n)), d.from.Add(span * time.Duration(i+1) / time.Duration(n))
}

// text draws for a terminal, as wide as that is.
func (d drawing) text(w io.Writer, width int) error {
	n := width - 10

	for _, p := range append([]panel{d.workers}, d.loads...) {
		// What serves is hardly another line than what is asked for, at this size.
		curves := slices.DeleteFunc(slices.Clone(p.curves), func(c curve) bool { return c.name == "serving" })
		series := make([][]float64, 0, len(curves))
		names := make([]string, 0, len(curves))

		for _, c := range slices.Backward(curves) {
			y := make([]float64, n)
			for i := range y {
				y[i] = c.between(d.slot(i, n))
			}

			series, names = append(series, y), append(names, c.name)
		}

		fmt.Fprintf(w, "%s: %s\n", p.title, strings.Join(legend(names), ", "))
		fmt.Fprintln(w, asciigraph.PlotMany(series, d.options(p, len(curves) > 1, n)...))
	}

	for _, l := range d.lanes {
		fmt.Fprintf(w, "%8s%s  %s\n", "", l.text(d, n), l.name)
	}

	return nil
}

// legend says which line is which: where there are two, the one behind is dotted.
func legend(names []string) []string {
	if len(names) < 2 {
		return []string{"─ over time"}
	}

	return []string{"─ " + names[1], "· " + names[0]}
}

func (d drawing) options(p panel, dotted bool, n int) []asciigraph.Option {
	ticks := niceTicks(p.most())
	rows := (len(ticks) - 1) * max(1, (textHigh+1)/(len(ticks)-1))

	out := []asciigraph.Option{
		asciigraph.Height(rows), asciigraph.LowerBound(0), asciigraph.UpperBound(ticks[len(ticks)-1]), asciigraph.Offset(3),
		asciigraph.YAxisValueFormatter(func(y float64) string {
			for _, at := range ticks {
				if math.Abs(y-at) < ticks[1]/100 {
					return fmt.Sprintf("%5s", short(at))
				}
			}

			return "     "
		}),
		asciigraph.XAxisRange(0, float64(n)), asciigraph.XAxisTickCount(6),
		asciigraph.XAxisValueFormatter(func(x float64) string {
			return d.stamp(d.from.Add(time.Duration(x / float64(n) * float64(d.to.Sub(d.from)))))
		}),
	}

	if dotted {
		out = append(out, asciigraph.SeriesChars(asciigraph.CreateCharSet("·"), asciigraph.DefaultCharSet))
	}

	return out
}

func (l lane) text(d drawing, n int) string {
	out := make([]rune, n)

	for i := range out {
		out[i] = ' '
		from, to := d.slot(i, n)

		for _, s := range l.spans {
			if s[0].Before(to) && s[1].After(from) {
				out[i] = '▄'
			}
		}
	}

	return string(out)
}

// stamp is a time as the drawing tells it: with the day where there are several.
func (d drawing) stamp(t time.Time) string {
	if d.to.Sub(d.from) > 24*time.Hour {
		return t.UTC().Format("Mon 15:04")
	}

	if d.to.Sub(d.from) < time.Hour {
		return t.UTC().Format(time.TimeOnly)
	}

	return t.UTC().Format("15:04")
}

// short is a figure in few letters.
func short(y float64) string {
	switch {
	case y >= 1e6:
		return fmt.Sprintf("%.3gM", y/1e6)
	case y >= 1e4:
		return fmt.Sprintf("%.3gk", y/1e3)
	default:
		return fmt.Sprintf("%.4g", math.Round(y*10)/10)
	}
}
