package slot

import "github.com/prometheus/client_golang/prometheus"

// Metrics of the binder. None has a label: which pool or slot it was is for events and logs.
type Metrics struct {
	bound     prometheus.Counter
	conflicts prometheus.Counter
	waited    prometheus.Histogram
}

// NewMetrics returns metrics that are not registered yet.
func NewMetrics() *Metrics {
	return &Metrics{
		bound: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "aidispatcher_slots_bound_total",
			Help: "Workers that were given a slot.",
		}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "aidispatcher_slots_conflicts_total",
			Help: "Attempts to give slots that another binder got in the way of, and that were repeated.",
		}),
		waited: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "aidispatcher_slots_wait_seconds",
			Help:    "Time from a worker's creation until it had a slot. Creation is known to the second only.",
			Buckets: []float64{1, 2, 5, 10, 30, 60, 120, 300, 600, 1800},
		}),
	}
}

// Describe the metrics.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	m.bound.Describe(ch)
	m.conflicts.Describe(ch)
	m.waited.Describe(ch)
}

// Collect the metrics.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.bound.Collect(ch)
	m.conflicts.Collect(ch)
	m.waited.Collect(ch)
}
