package tasks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// longestPage bounds a page of metrics.
const longestPage = 4 << 20

var errNoCount = errors.New("it is not a whole number from 0")

// count returns a figure that is a number of things.
func count(f float64) (int64, error) {
	if math.IsNaN(f) || f < 0 || f > 1<<53 || f != math.Trunc(f) {
		return 0, errNoCount
	}

	return int64(f), nil
}

// A metric is a number on a page of metrics: the sum or the largest of the series of a name that have some labels.
type metric struct {
	name   string
	max    bool
	labels map[string]string
}

var (
	metricForm = regexp.MustCompile(`^(?:(sum|max):)?([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{([^{}]*)\})?$`)
	labelForm  = regexp.MustCompile(`^\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"([^"\\]*)"\s*(?:,|$)`)
)

// parseMetric reads a metric such as sum:jobs{state="waiting"}. Without sum: or max: it is the sum.
func parseMetric(s string) (metric, error) {
	bad := fmt.Errorf(`cannot use %q as a metric: want one such as sum:jobs{state="waiting"} or max:jobs`, s)

	m := metricForm.FindStringSubmatch(s)
	if m == nil {
		return metric{}, bad
	}

	out := metric{name: m[2], max: m[1] == "max", labels: map[string]string{}}

	for rest := strings.TrimSpace(m[3]); rest != ""; {
		l := labelForm.FindStringSubmatch(rest)
		if l == nil {
			return metric{}, bad
		}

		out.labels[l[1]] = l[2]
		rest = rest[len(l[0]):]
	}

	return out, nil
}

// A figureOf is a figure that is the sum of metrics; none where it is not told.
type figureOf []metric

// parseFigure reads metrics that are added up, such as jobs_waiting + jobs_running.
func parseFigure(s string) (figureOf, error) {
	if s == "" {
		return nil, nil
	}

	var out figureOf

	for part := range strings.SplitSeq(s, "+") {
		m, err := parseMetric(strings.TrimSpace(part))
		if err != nil {
			return nil, err
		}

		out = append(out, m)
	}

	return out, nil
}

// metrics reads figures on a page of metrics.
type metrics struct {
	client  *http.Client
	url     string
	figures [4]figureOf
}

func newMetrics(client *http.Client, c Config) (*metrics, error) {
	m := &metrics{client: client, url: c.URL}

	for i, s := range []string{c.QueueDepth, c.InFlight, c.WaitingForInput, c.Sessions} {
		var err error
		if m.figures[i], err = parseFigure(s); err != nil {
			return nil, err
		}
	}

	if m.figures[0] == nil {
		return nil, errors.New("cannot read tasks: say which metric is the number of unfinished tasks")
	}

	return m, nil
}

// langGraph reads the figures of a LangGraph server. They are those of its database, which servers share: each tells the
// same, and so the largest of its series is read and not their sum.
func langGraph(client *http.Client, url string) *metrics {
	pending, running := metric{name: "lg_api_num_pending_runs", max: true}, metric{name: "lg_api_num_running_runs", max: true}

	return &metrics{client: client, url: url, figures: [4]figureOf{{pending, running}, {running}}}
}

// Read implements Source.
func (m *metrics) Read(ctx context.Context) (Load, error) {
	rsp, err := get(ctx, m.client, m.url)
	if err != nil {
		return Load{}, err
	}

	defer func() { _ = rsp.Body.Close() }()

	parser := expfmt.NewTextParser(model.UTF8Validation)

	families, err := parser.TextToMetricFamilies(io.LimitReader(rsp.Body, longestPage))
	if err != nil {
		return Load{}, fmt.Errorf("cannot read the agent's metrics: %w", err)
	}

	var l Load
	for i, into := range []**int64{&l.QueueDepth, &l.InFlight, &l.WaitingForInput, &l.Sessions} {
		if m.figures[i] == nil {
			continue
		}

		if *into, err = m.figures[i].in(families); err != nil {
			return Load{}, err
		}
	}

	return l, nil
}

// in returns the figure on a page.
func (f figureOf) in(families map[string]*dto.MetricFamily) (*int64, error) {
	var sum int64

	for _, m := range f {
		v, err := m.in(families)
		if err != nil {
			return nil, fmt.Errorf("cannot read the metric %s: %w", m.name, err)
		}

		sum += v
	}

	return &sum, nil
}

// in returns the number on a page. A metric without a series is an error: what is absent is not zero.
func (m metric) in(families map[string]*dto.MetricFamily) (int64, error) {
	var value float64

	found := false

	for _, s := range families[m.name].GetMetric() {
		if !m.has(s.GetLabel()) {
			continue
		}

		v := s.GetGauge().GetValue() + s.GetCounter().GetValue() + s.GetUntyped().GetValue()

		switch {
		case s.GetGauge() == nil && s.GetCounter() == nil && s.GetUntyped() == nil:
			return 0, errors.New("it is a histogram or a summary")
		case m.max && found:
			value = max(value, v)
		default:
			value += v
		}

		found = true
	}

	if !found {
		return 0, errors.New("the agent does not tell it")
	}

	return count(value)
}

func (m metric) has(labels []*dto.LabelPair) bool {
	n := 0

	for _, l := range labels {
		if want, ok := m.labels[l.GetName()]; ok {
			if want != l.GetValue() {
				return false
			}

			n++
		}
	}

	return n == len(m.labels)
}
