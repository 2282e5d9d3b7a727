package budget

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// Metrics tell of the pools that have a budget, by namespace and pool. None names a worker.
type Metrics struct {
	told                  prometheus.Counter
	budget, given, silent *prometheus.Desc

	mu    sync.Mutex
	pools map[types.NamespacedName]figures
}

// figures of a pool: its tokens per minute, what of them its workers are told to use, and of how many workers nobody would
// see that they use less.
type figures struct {
	budget, given int64
	silent        int
}

// NewMetrics returns metrics that are not registered yet.
func NewMetrics() *Metrics {
	labels := []string{monitorapi.LabelNamespace, monitorapi.LabelDispatcherName}

	return &Metrics{
		told: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "aidispatcher_budget_told_total", Help: "Times that a worker was told another share of its pool's token budget.",
		}),
		budget: prometheus.NewDesc("aidispatcher_budget_tokens_per_minute", "The token budget of a pool.", labels, nil),
		given:  prometheus.NewDesc("aidispatcher_budget_given_tokens_per_minute", "What of its token budget a pool's workers were told to use, together.", labels, nil),
		silent: prometheus.NewDesc("aidispatcher_budget_silent_workers", "Workers of which the share is reserved because they do not answer, or are about to end.", labels, nil),
		pools:  map[types.NamespacedName]figures{},
	}
}

func (m *Metrics) set(pool types.NamespacedName, f figures) {
	m.mu.Lock()
	defer m.mu.Unlock()

	m.pools[pool] = f
}

func (m *Metrics) forget(pool types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()

	delete(m.pools, pool)
}

// Describe the metrics.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	m.told.Describe(ch)

	for _, d := range []*prometheus.Desc{m.budget, m.given, m.silent} {
		ch <- d
	}
}

// Collect the metrics.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.told.Collect(ch)

	m.mu.Lock()
	defer m.mu.Unlock()

	for pool, f := range m.pools {
		for d, v := range map[*prometheus.Desc]float64{m.budget: float64(f.budget), m.given: float64(f.given), m.silent: float64(f.silent)} {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, pool.Namespace, pool.Name)
		}
	}
}
