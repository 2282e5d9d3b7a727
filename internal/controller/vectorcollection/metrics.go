package vectorcollection

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/vector"
)

// Metrics of the calls to stores. Their labels have few values: the type of the store, the call, and the kind of its
// outcome.
type Metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	clients  prometheus.Gauge
}

// outcomeOK is the outcome of a call that did not fail.
const outcomeOK = "OK"

// NewMetrics returns metrics that are not registered yet.
func NewMetrics() *Metrics {
	return &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aidispatcher_vector_store_requests_total",
			Help: "Calls to vector stores, repetitions not counted, by how they ended.",
		}, []string{"store", "call", "outcome"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "aidispatcher_vector_store_request_duration_seconds",
			Help:    "Time that calls to vector stores took, repetitions included.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5, 10, 30, 60},
		}, []string{"store", "call"}),
		clients: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "aidispatcher_vector_store_clients_open",
			Help: "Clients of vector stores that are open: one for each configuration in use.",
		}),
	}
}

// Describe the metrics.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	m.requests.Describe(ch)
	m.duration.Describe(ch)
	m.clients.Describe(ch)
}

// Collect the metrics.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.requests.Collect(ch)
	m.duration.Collect(ch)
	m.clients.Collect(ch)
}

func (m *Metrics) called(store v1alpha1.VectorStoreType, call string, took time.Duration, err error) {
	outcome := outcomeOK
	if err != nil {
		outcome = string(vector.KindOf(err))
	}

	m.requests.WithLabelValues(string(store), call, outcome).Inc()
	m.duration.WithLabelValues(string(store), call).Observe(took.Seconds())
}
