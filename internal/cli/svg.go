package cli

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
	"time"
)

//go:embed drawing.svg
var svgText string

// svgTemplate escapes what it is given: names come from files.
var svgTemplate = template.Must(template.New("svg").Parse(svgText))

// The layout, in pixels.
const (
	svgWidth               = 960
	svgLeft, svgRight      = 150, 936
	svgTop                 = 62
	workersHigh, loadsHigh = 190, 110
	panelGap, laneHigh     = 46, 20
	mostTicks              = 10
)

type svgPage struct {
	Title, Subtitle     string
	Width, Height       int
	Left, Right, LabelX int
	Panels              []svgPanel
	Lanes               []svgLane
	Hours               []svgTick
	HourY               int
	bottom              int
	from                time.Time
	pixelsPerNanosecond float64
}

type svgPanel struct {
	Title               string
	TitleY, Top, Bottom int
	Ticks               []svgTick
	Legend              []svgCurve
	Areas, Curves       []svgCurve
}

type svgTick struct {
	At, Text int
	Label    string
}

type svgCurve struct {
	Class, Name, Line string
	X                 int
}

type svgLane struct {
	Name  string
	TextY int
	Bars  []svgBar
}

type svgBar struct {
	X, W  string
	Y     int
	Title string
}

// svg draws for a page, light or dark as that is.
func (d drawing) svg(w io.Writer) error {
	span := d.to.Sub(d.from)
	p := &svgPage{
		Title: d.title, Subtitle: fmt.Sprintf("%s to %s (UTC)", d.from.UTC().Format("Mon 2 Jan 2006 15:04"), d.to.UTC().Format("Mon 2 Jan 2006 15:04")),
		Width: svgWidth, Left: svgLeft, Right: svgRight, LabelX: svgLeft - 8, bottom: svgTop,
		from: d.from, pixelsPerNanosecond: (svgRight - svgLeft) / float64(span),
	}

	step := tickStep(span)
	for t := d.from.Truncate(step); !t.After(d.to); t = t.Add(step) {
		if !t.Before(d.from) {
			p.Hours = append(p.Hours, svgTick{At: int(math.Round(p.x(t))), Label: hour(t, span, step)})
		}
	}

	p.panel(d.workers, workersHigh, d.to, "area", "c0", "c1", "c2")

	for _, l := range d.loads {
		p.panel(l, loadsHigh, d.to, "load-area", "load")
	}

	if len(d.lanes) > 0 {
		p.bottom += panelGap / 2
	}

	for _, l := range d.lanes {
		p.lane(l)
	}

	p.HourY = p.bottom + 18
	p.Height = p.HourY + 16

	return svgTemplate.Execute(w, p)
}

func (p *svgPage) x(t time.Time) float64 {
	return svgLeft + float64(t.Sub(p.from))*p.pixelsPerNanosecond
}

// panel adds a panel of a height. The first class is that of the area below its first curve, the others are the curves'.
func (p *svgPage) panel(of panel, high int, end time.Time, area string, classes ...string) {
	out := svgPanel{Title: of.title, TitleY: p.bottom + 18, Top: p.bottom + 30, Bottom: p.bottom + 30 + high}
	ticks := niceTicks(of.most())
	top := ticks[len(ticks)-1]
	y := func(v float64) float64 { return float64(out.Bottom) - v/top*float64(high) }

	for _, t := range ticks {
		at := int(math.Round(y(t)))
		out.Ticks = append(out.Ticks, svgTick{At: at, Text: at + 4, Label: short(t)})
	}

	legend := svgLeft + 90

	for i, c := range of.curves {
		class := classes[min(i, len(classes)-1)]
		out.Curves = append(out.Curves, svgCurve{Class: class, Name: c.name, Line: p.line(c, end, y, false)})

		if i == 0 {
			out.Areas = append(out.Areas, svgCurve{Class: area, Line: p.line(c, end, y, true)})
		}

		if len(of.curves) > 1 {
			out.Legend = append(out.Legend, svgCurve{Class: class, Name: c.name, X: legend + 28, Line: fmt.Sprintf("M%d %dh22", legend, out.TitleY-4)})
			legend += 44 + 7*len(c.name)
		}
	}

	p.Panels, p.bottom = append(p.Panels, out), out.Bottom
	p.bottom += panelGap / 4
}

// line draws a curve by steps, or the area below it. What is not known is a gap.
func (p *svgPage) line(c curve, end time.Time, y func(float64) float64, area bool) string {
	var b strings.Builder

	open := false

	for i, v := range c.y {
		until := end
		if i+1 < len(c.at) {
			until = c.at[i+1]
		}

		switch {
		case math.IsNaN(v):
			open = false

			continue
		case area:
			fmt.Fprintf(&b, "M%.1f %.1fV%.1fH%.1fV%.1fZ", p.x(c.at[i]), y(0), y(v), p.x(until), y(0))

			continue
		case open:
			fmt.Fprintf(&b, "V%.1f", y(v))
		default:
			fmt.Fprintf(&b, "M%.1f %.1f", p.x(c.at[i]), y(v))
		}

		open = true

		fmt.Fprintf(&b, "H%.1f", p.x(until))
	}

	return b.String()
}

func (p *svgPage) lane(l lane) {
	out := svgLane{Name: l.name, TextY: p.bottom + 10}

	for _, s := range l.spans {
		from, to := p.x(s[0]), p.x(s[1])
		out.Bars = append(out.Bars, svgBar{X: fmt.Sprintf("%.1f", from), W: fmt.Sprintf("%.1f", max(1, to-from)), Y: p.bottom + 1, Title: l.title})
	}

	p.Lanes = append(p.Lanes, out)
	p.bottom += laneHigh
}

// tickStep returns the time between two labels.
func tickStep(span time.Duration) time.Duration {
	const day = 24 * time.Hour

	for _, s := range []time.Duration{
		time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, day, 2 * day, 7 * day,
	} {
		if span/s <= mostTicks {
			return s
		}
	}

	return (span / mostTicks).Truncate(day) + day
}

func hour(t time.Time, span, step time.Duration) string {
	switch t = t.UTC(); {
	case step >= 24*time.Hour:
		return t.Format("2 Jan")
	case step < time.Minute:
		return t.Format(time.TimeOnly)
	case span > 24*time.Hour:
		return t.Format("Mon 15:04")
	default:
		return t.Format("15:04")
	}
}

// niceTicks returns from 0 on what people count in, until a value is passed.
func niceTicks(most float64) []float64 {
	step := math.Pow(10, math.Floor(math.Log10(most)))

	for _, f := range []float64{0.2, 0.25, 0.5, 1} {
		if most/(step*f) <= 5 && (step*f >= 1 || most < 1) {
			step *= f

			break
		}
	}

	out := []float64{0}
	for out[len(out)-1] < most {
		out = append(out, out[len(out)-1]+step)
	}

	return out
}
