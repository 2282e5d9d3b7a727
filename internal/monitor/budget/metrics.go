package budget

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

var (
	shareDesc   = prometheus.NewDesc(monitorapi.MetricBudget, "The worker's share of its pool's token budget, in tokens per minute.", nil, nil)
	waitingDesc = prometheus.NewDesc(monitorapi.MetricBudgetWaiting, "Requests that wait for the token budget.", nil, nil)
	waitsDesc   = prometheus.NewDesc(monitorapi.MetricBudgetWaits, "Requests that had to wait for the token budget.", nil, nil)
	refusedDesc = prometheus.NewDesc(monitorapi.MetricBudgetRefused, "Requests that were refused for the token budget.", nil, nil)
)

// Describe implements prometheus.Collector.
func (l *Limiter) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{shareDesc, waitingDesc, waitsDesc, refusedDesc} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. Where there is no budget there is no share.
func (l *Limiter) Collect(ch chan<- prometheus.Metric) {
	l.mu.Lock()
	share, waiting, held, refused := l.share, len(l.queue), l.held, l.refused
	l.mu.Unlock()

	if share != none {
		ch <- prometheus.MustNewConstMetric(shareDesc, prometheus.GaugeValue, float64(share))
	}

	ch <- prometheus.MustNewConstMetric(waitingDesc, prometheus.GaugeValue, float64(waiting))
	ch <- prometheus.MustNewConstMetric(waitsDesc, prometheus.CounterValue, float64(held))
	ch <- prometheus.MustNewConstMetric(refusedDesc, prometheus.CounterValue, float64(refused))
}
