package cli

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/southwest-ai/agent-operator/internal/scale"
)

const (
	// maxTrace bounds a trace, in bytes, and maxPoints in points: half a year of minutes.
	maxTrace  = 64 << 20
	maxPoints = 300_000
)

// monday is when a trace begins that tells times as durations: at midnight, UTC.
var monday = time.Date(2001, 1, 1, 0, 0, 0, 0, time.UTC)

// The columns of a trace that are no loads.
const (
	columnTime     = "time"
	columnReported = "reported"
	columnTokens   = "tokensPerWorker"
	columnRollout  = "rollingOut"
	columnUnsafe   = "unsafe"
)

// loads are the loads that a policy may follow.
var allLoads = []string{"QueueDepth", "PendingTasks", "TokensPerMinute", "Prometheus"}

// readTrace reads a load as CSV: a line of column names, and a line for each time from which on something else was so.
func readTrace(path string, loads []string) ([]scale.Point, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot open the trace: %w", err)
	}
	defer f.Close() // It was only read.

	t := &trace{r: csv.NewReader(io.LimitReader(f, maxTrace+1))}
	t.r.Comment, t.r.TrimLeadingSpace, t.r.ReuseRecord = '#', true, true

	points, err := t.read(loads)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}

	return points, nil
}

type trace struct {
	r *csv.Reader
	// columns are the names, in order.
	columns []string
	// durations says that times are told as durations.
	durations bool
}

func (t *trace) read(loads []string) ([]scale.Point, error) {
	header, err := t.r.Read()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("it is empty")
	}

	if err != nil {
		return nil, err // It names the line.
	}

	t.columns = slices.Clone(header)
	if err := t.header(loads); err != nil {
		return nil, t.at(0, err)
	}

	var out []scale.Point

	for {
		row, err := t.r.Read()
		if errors.Is(err, io.EOF) {
			break
		}

		if err != nil {
			return nil, err // As above.
		}

		p, err := t.point(row, len(out) == 0)
		if err != nil {
			return nil, err
		}

		if n := len(out); n > 0 && !p.At.After(out[n-1].At) {
			return nil, t.at(0, fmt.Errorf("%s is not after the line before", row[0]))
		}

		if out = append(out, p); len(out) > maxPoints || t.r.InputOffset() > maxTrace {
			return nil, t.at(0, fmt.Errorf("it is longer than %d lines or %d bytes", maxPoints, maxTrace))
		}
	}

	if len(out) < 2 {
		return nil, fmt.Errorf("it has %d lines of load, and needs two: the last one only says when it ends", len(out))
	}

	return out, nil
}

// at says where an error is.
func (t *trace) at(field int, err error) error {
	line, _ := t.r.FieldPos(field)

	return fmt.Errorf("line %d: %w", line, err)
}

// header says whether the columns are known, and all there that the policy follows.
func (t *trace) header(loads []string) error {
	known := append([]string{columnReported, columnTokens, columnRollout, columnUnsafe}, allLoads...)

	if t.columns[0] != columnTime {
		return fmt.Errorf("the first column is %q and must be %q", t.columns[0], columnTime)
	}

	seen := map[string]bool{}

	for _, c := range t.columns[1:] {
		if !slices.Contains(known, c) {
			return fmt.Errorf("there is no column %q: there are %s", c, strings.Join(known, ", "))
		}

		if seen[c] {
			return fmt.Errorf("the column %s is there twice", c)
		}

		seen[c] = true
	}

	for _, l := range loads {
		if !seen[l] {
			return fmt.Errorf("the policy follows %s, and there is no such column", l)
		}
	}

	return nil
}

// point reads a line. What is empty is not known.
func (t *trace) point(row []string, first bool) (scale.Point, error) {
	p := scale.Point{Readings: map[string]scale.Reading{}}

	at, durations, err := parseMoment(row[0])
	if err == nil && !first && durations != t.durations {
		err = fmt.Errorf("%q is a duration and others are times, or the other way round", row[0])
	}

	if err != nil {
		return p, t.at(0, err)
	}

	p.At, t.durations = at, durations

	var reported [2]int

	for i, c := range t.columns[1:] {
		if err := t.cell(&p, &reported, c, strings.TrimSpace(row[i+1])); err != nil {
			return p, t.at(i+1, fmt.Errorf("%s: %w", c, err))
		}
	}

	for name, r := range maps.All(p.Readings) {
		r.Reporting, r.Expected = reported[0], reported[1]
		p.Readings[name] = r
	}

	return p, nil
}

func (t *trace) cell(p *scale.Point, reported *[2]int, column, text string) (err error) {
	switch {
	case column == columnUnsafe:
		p.Unsafe = text
	case text == "" && slices.Contains(allLoads, column):
		p.Readings[column] = scale.Reading{Unknown: "the trace has none"}
	case text == "":
	case column == columnRollout:
		if p.RollingOut, err = strconv.ParseBool(text); err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
	case column == columnReported:
		if n, err := fmt.Sscanf(text, "%d/%d", &reported[0], &reported[1]); n != 2 || err != nil || reported[0] < 0 || reported[0] > reported[1] {
			return fmt.Errorf("%q does not say how many of how many workers told their load, such as 7/9", text)
		}
	default:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || n < 0 || math.IsNaN(n) || math.IsInf(n, 0) {
			return fmt.Errorf("%q is no load: write a number from 0 on, or nothing where it is not known", text)
		}

		if column == columnTokens {
			p.TokensPerWorker = n
		} else {
			p.Readings[column] = scale.Reading{Value: n}
		}
	}

	return nil
}

// parseMoment reads a time, or how long after the beginning it is.
func parseMoment(text string) (at time.Time, duration bool, err error) {
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return monday.Add(d), true, nil
	}

	at, err = time.Parse(time.RFC3339, text)
	if err != nil {
		return at, false, fmt.Errorf("%q is no time such as 2026-11-02T08:00:00Z, and no duration such as 90s or 1h30m", text)
	}

	return at, false, nil
}
