package push

import (
	"math"
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// metricMemory is the one figure of the process that is pushed: what an agent's monitor costs.
const metricMemory = "process_resident_memory_bytes"

// quiet are the figures whose change is no reason to push: they change by themselves, or by pushing.
var quiet = []string{metricMemory, monitorapi.MetricPushes, monitorapi.MetricPushDropped}

// A sample is the newest value of a series.
type sample struct {
	// labels is the series' identity: its labels as remote write spells them, sorted by name.
	labels string
	value  float64
	// total says that the value began at zero with the process and only grows.
	total bool
	quiet bool
}

type label struct{ name, value string }

// A flattener makes samples of metric families, as a scrape of them would.
type flattener struct {
	// common are the labels of every series that has none of that name.
	common  []label
	scratch []label
	buf     []byte
	out     []sample
}

// flatten returns the samples of the families that are pushed. They are valid until the next call.
func (f *flattener) flatten(families []*dto.MetricFamily) []sample {
	f.out = f.out[:0]

	for _, mf := range families {
		if name := mf.GetName(); pushed(name) {
			for _, m := range mf.GetMetric() {
				f.metric(name, m)
			}
		}
	}

	return f.out
}

// pushed says whether a metric is pushed: what an agent does and what its monitor does. What the runtime tells of itself is
// for a developer's scrape: it would be half of all series.
func pushed(name string) bool {
	return strings.HasPrefix(name, "agent_") || strings.HasPrefix(name, "gen_ai_") || strings.HasPrefix(name, "aidispatcher_monitor_") || name == metricMemory
}

func (f *flattener) metric(name string, m *dto.Metric) {
	switch {
	case m.Counter != nil:
		f.add(name, m, label{}, m.GetCounter().GetValue(), true)
	case m.Gauge != nil:
		f.add(name, m, label{}, m.GetGauge().GetValue(), false)
	case m.Untyped != nil:
		f.add(name, m, label{}, m.GetUntyped().GetValue(), false)
	case m.Histogram != nil:
		f.histogram(name, m)
	case m.Summary != nil:
		f.summary(name, m)
	}
}

func (f *flattener) histogram(name string, m *dto.Metric) {
	h := m.GetHistogram()
	for _, b := range h.GetBucket() {
		if !math.IsInf(b.GetUpperBound(), 1) {
			f.add(name+"_bucket", m, label{"le", number(b.GetUpperBound())}, float64(b.GetCumulativeCount()), true)
		}
	}

	f.add(name+"_bucket", m, label{"le", "+Inf"}, float64(h.GetSampleCount()), true)
	f.add(name+"_sum", m, label{}, h.GetSampleSum(), true)
	f.add(name+"_count", m, label{}, float64(h.GetSampleCount()), true)
}

func (f *flattener) summary(name string, m *dto.Metric) {
	s := m.GetSummary()
	for _, q := range s.GetQuantile() {
		f.add(name, m, label{"quantile", number(q.GetQuantile())}, q.GetValue(), false)
	}

	f.add(name+"_sum", m, label{}, s.GetSampleSum(), true)
	f.add(name+"_count", m, label{}, float64(s.GetSampleCount()), true)
}

// number spells a bound as the text format does, so that a series that is scraped has the same name when it is pushed.
func number(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

func (f *flattener) add(name string, m *dto.Metric, extra label, value float64, total bool) {
	ls := f.scratch[:0]
	ls = append(ls, label{"__name__", name})
	for _, p := range m.GetLabel() {
		ls = append(ls, label{p.GetName(), p.GetValue()})
	}

	if extra.name != "" {
		ls = append(ls, extra)
	}

	for _, c := range f.common {
		if !slices.ContainsFunc(ls, func(l label) bool { return l.name == c.name }) {
			ls = append(ls, c)
		}
	}

	slices.SortFunc(ls, func(a, b label) int { return strings.Compare(a.name, b.name) })
	f.scratch, f.buf = ls, appendLabels(f.buf[:0], ls)
	f.out = append(f.out, sample{labels: string(f.buf), value: value, total: total, quiet: slices.Contains(quiet, name)})
}

// appendLabels appends labels as the field of a TimeSeries. A label without a value is none.
func appendLabels(b []byte, ls []label) []byte {
	for _, l := range ls {
		if l.value == "" {
			continue
		}

		b = protowire.AppendTag(b, fieldLabels, protowire.BytesType)
		b = protowire.AppendVarint(b, uint64(2+protowire.SizeBytes(len(l.name))+protowire.SizeBytes(len(l.value)))) //nolint:gosec // A length is not negative.
		b = protowire.AppendTag(b, fieldName, protowire.BytesType)
		b = protowire.AppendString(b, l.name)
		b = protowire.AppendTag(b, fieldValue, protowire.BytesType)
		b = protowire.AppendString(b, l.value)
	}

	return b
}
