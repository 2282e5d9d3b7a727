package agentscaler

import (
	"strconv"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

// Metrics of the sizes of pools. Those of a pool are labelled with the namespace and name of its AgentScaler; none names a worker.
type Metrics struct {
	decisions *prometheus.CounterVec
	workers   *prometheus.CounterVec

	replicas, desired, active, depth, tokens, cost, vetoed *prometheus.Desc

	mu    sync.Mutex
	pools map[types.NamespacedName]v1alpha1.AgentScalerObservation
}

// NewMetrics returns metrics that are not registered yet.
func NewMetrics() *Metrics {
	ofPool := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("aidispatcher_pool_"+name, help, append([]string{"namespace", "scaler"}, labels...), nil)
	}

	return &Metrics{
		decisions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aidispatcher_scaling_decisions_total",
			Help: "Changes of a pool's size that were decided, by reason and direction: out or in.",
		}, []string{"reason", "direction"}),
		workers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aidispatcher_removals_total",
			Help: "Steps of removals, by what became of a worker: WorkerDrains, WorkerHandsOver, WorkerForced, WorkerRemoved, WorkerServesAgain, or WorkerNotDrained.",
		}, []string{"step"}),

		replicas: ofPool("replicas", "Workers that a pool's Deployment asks for."),
		desired:  ofPool("desired_replicas", "Workers that a pool should have."),
		active:   ofPool("active_workers", "Workers with a task in flight, as the status tells."),
		depth:    ofPool("queue_depth", "Unfinished tasks, as the status tells."),
		tokens:   ofPool("tokens_total", "Tokens that were used since the AgentScaler is there, as the status tells."),
		cost:     ofPool("cost_total", "What the tokens cost since there are prices, in a currency, as the status tells.", "currency"),
		vetoed:   ofPool("vetoes", "Reasons for which no worker may be removed now, as the status tells."),

		pools: map[types.NamespacedName]v1alpha1.AgentScalerObservation{},
	}
}

// Describe the metrics.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	m.decisions.Describe(ch)
	m.workers.Describe(ch)

	for _, d := range []*prometheus.Desc{m.replicas, m.desired, m.active, m.depth, m.tokens, m.cost, m.vetoed} {
		ch <- d
	}
}

// Collect the metrics. What is not known of a pool is left out.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	m.decisions.Collect(ch)
	m.workers.Collect(ch)

	m.mu.Lock()
	defer m.mu.Unlock()

	for name, at := range m.pools {
		tell := func(d *prometheus.Desc, t prometheus.ValueType, v float64) {
			ch <- prometheus.MustNewConstMetric(d, t, v, name.Namespace, name.Name)
		}

		for d, n := range map[*prometheus.Desc]*int32{m.replicas: at.Replicas, m.desired: at.DesiredReplicas, m.active: at.ActiveWorkers} {
			if n != nil {
				tell(d, prometheus.GaugeValue, float64(*n))
			}
		}

		if at.QueueDepth != nil {
			tell(m.depth, prometheus.GaugeValue, float64(*at.QueueDepth))
		}

		if at.TokenUsage != nil {
			tell(m.tokens, prometheus.CounterValue, float64(*at.TokenUsage))
		}

		if at.Cost != nil {
			if v, err := strconv.ParseFloat(at.Cost.Amount, 64); err == nil {
				ch <- prometheus.MustNewConstMetric(m.cost, prometheus.CounterValue, v, name.Namespace, name.Name, at.Cost.Currency)
			}
		}

		if at.Load != nil {
			tell(m.vetoed, prometheus.GaugeValue, float64(len(at.Load.Vetoes)))
		}
	}
}

// pool sets what is known of a pool.
func (m *Metrics) pool(name types.NamespacedName, at v1alpha1.AgentScalerObservation) {
	m.mu.Lock()
	defer m.mu.Unlock()

	at.TokenCounters, at.CostCounters, at.Decisions = nil, nil, nil
	m.pools[name] = *at.DeepCopy()
}

// forget lets go of a pool, whose series end.
func (m *Metrics) forget(name types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()

	delete(m.pools, name)
}

func (m *Metrics) decided(d *decision) {
	direction := "out"
	if d.To < d.From {
		direction = "in"
	}

	m.decisions.WithLabelValues(d.Reason, direction).Inc()
}
