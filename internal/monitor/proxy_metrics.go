package monitor

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/southwest-ai/agent-operator/internal/monitor/meter"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// proxyMetrics are the figures of the model proxy.
type proxyMetrics struct {
	codes     *prometheus.CounterVec
	firstByte prometheus.Histogram

	spent, detail, requests, missing *prometheus.CounterVec
	seconds, firstToken              *prometheus.HistogramVec
	rateLimit                        *prometheus.GaugeVec
	otel                             *otelMetrics

	models meter.Models
	sum    struct{ input, output, cached, reasoning, requests, missing atomic.Int64 }
}

func newProxyMetrics(reg prometheus.Registerer, id monitorapi.Status, otel bool) *proxyMetrics {
	labels := prometheus.Labels{monitorapi.LabelNamespace: id.Namespace, monitorapi.LabelDispatcherName: id.Dispatcher, monitorapi.LabelRoleName: id.Role}
	counter := func(name, help string, by ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, by)
	}
	histogram := func(name, help string, buckets []float64) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, ConstLabels: labels, Buckets: buckets},
			[]string{monitorapi.LabelModel})
	}

	m := &proxyMetrics{
		codes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: monitorapi.MetricProxyRequests, Help: "Requests to the model server, by the class of its answer.",
		}, []string{"code"}),
		firstByte: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: monitorapi.MetricProxySeconds, Help: "Time until the model server began its answer.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}),
		spent: counter(monitorapi.MetricTokens, "Tokens that the model server billed.", monitorapi.LabelDirection, monitorapi.LabelModel),
		detail: counter(monitorapi.MetricTokensDetail, "Tokens that the model server billed, of those in "+monitorapi.MetricTokens+".",
			monitorapi.LabelDetail, monitorapi.LabelModel),
		requests: counter(monitorapi.MetricModelRequests, "Requests of the agent to the model server, by what became of them.",
			monitorapi.LabelOutcome, monitorapi.LabelModel),
		missing: counter(monitorapi.MetricUsageMissing, "Answers whose usage never came. Their tokens are in no other count.",
			monitorapi.LabelReason, monitorapi.LabelModel),
		seconds: histogram(monitorapi.MetricModelSeconds, "Time until an answer was whole. Others do not count.",
			[]float64{.1, .25, .5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640}),
		firstToken: histogram(monitorapi.MetricFirstTokenSeconds, "Time until the first words of a stream.",
			[]float64{.05, .1, .2, .4, .8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4}),
		rateLimit: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: monitorapi.MetricRateLimit, Help: "What the model server last said of its limits.", ConstLabels: labels,
		}, []string{"resource", "field"}),
	}
	reg.MustRegister(m.codes, m.firstByte, m.spent, m.detail, m.requests, m.missing, m.seconds, m.firstToken, m.rateLimit)

	if otel {
		m.otel = newOTelMetrics(reg, labels)
	}

	return m
}

// answered counts what the model server answered, or that it did not.
func (m *proxyMetrics) answered(rsp *http.Response, took time.Duration) {
	if rsp == nil {
		m.codes.WithLabelValues("error").Inc()

		return
	}

	m.codes.WithLabelValues(strconv.Itoa(rsp.StatusCode/100) + "xx").Inc()
	m.firstByte.Observe(took.Seconds())
}

func (m *proxyMetrics) request(outcome, model string) {
	m.requests.WithLabelValues(outcome, model).Inc()

	// A request that was not sent is none to the model server.
	if outcome != outcomeOverBudget {
		m.sum.requests.Add(1)
	}
}

func (m *proxyMetrics) missed(reason, model string) {
	m.missing.WithLabelValues(reason, model).Inc()
	m.sum.missing.Add(1)
}

// billed adds up what was billed. What is zero from the beginning is shown, so that its increase is.
func (m *proxyMetrics) billed(model string, u meter.Usage) {
	m.spent.WithLabelValues(monitorapi.DirectionInput, model).Add(float64(u.Input))
	m.spent.WithLabelValues(monitorapi.DirectionOutput, model).Add(float64(u.Output))
	m.detail.WithLabelValues(monitorapi.DetailCached, model).Add(float64(u.Cached))
	m.detail.WithLabelValues(monitorapi.DetailReasoning, model).Add(float64(u.Reasoning))

	m.sum.input.Add(u.Input)
	m.sum.output.Add(u.Output)
	m.sum.cached.Add(u.Cached)
	m.sum.reasoning.Add(u.Reasoning)
}

func (m *proxyMetrics) limits(h http.Header) {
	told := false
	for name := range h {
		told = told || strings.Contains(name, "Ratelimit-")
	}

	// Most servers have none, and there are many names to look for.
	if !told {
		return
	}

	for _, l := range meter.RateLimits(h.Get, time.Now()) {
		m.rateLimit.WithLabelValues(l.Resource, l.Field).Set(l.Value)
	}
}

func (m *proxyMetrics) tokens() monitorapi.Tokens {
	return monitorapi.Tokens{
		Input: m.sum.input.Load(), Output: m.sum.output.Load(), Cached: m.sum.cached.Load(), Reasoning: m.sum.reasoning.Load(),
		Requests: m.sum.requests.Load(), Missing: m.sum.missing.Load(),
	}
}
