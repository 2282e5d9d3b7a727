package tasks

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

const (
	// interval is how often an agent is asked; a tenth of it is chance, so that the workers of a node do not ask in step.
	interval = time.Second
	// staleAfter is the age from which a reading tells nothing any more. A reading that failed once is no news.
	staleAfter = 5 * time.Second
)

// A Watcher knows the newest reading of a source. It is a prometheus.Collector. Its methods may be called by many at once.
type Watcher struct {
	source Source
	now    func() time.Time
	descs  [4]*prometheus.Desc
	known  *prometheus.Desc

	mu   sync.Mutex
	load Load
	// at is when the newest reading began; the time of the start before there was one.
	at     time.Time
	read   bool
	reason string
}

// NewWatcher returns a watcher of a source, or of nothing where it is nil. Its figures carry labels.
func NewWatcher(source Source, labels prometheus.Labels, now func() time.Time) *Watcher {
	w := &Watcher{
		source: source, now: now, at: now().UTC().Truncate(time.Second), reason: "the agent was not asked yet",
		known: prometheus.NewDesc(monitorapi.MetricTasksKnown, "Whether the figures of the tasks are known.", nil, labels),
	}

	if source == nil {
		w.reason = "the catalog does not say how this agent's tasks are observed"
	}

	for i, m := range [][2]string{
		{monitorapi.MetricQueueDepth, "Unfinished tasks, waiting for the agent and in flight. Absent while it is unknown."},
		{monitorapi.MetricTasksInFlight, "Tasks that the agent works on. Absent while it is unknown."},
		{monitorapi.MetricWaitingForInput, "Tasks that wait for somebody else than the agent. Absent while it is unknown."},
		{monitorapi.MetricSessions, "Conversations that are open. Absent while it is unknown."},
	} {
		w.descs[i] = prometheus.NewDesc(m[0], m[1], nil, labels)
	}

	return w
}

// Watches says whether there is a source that could tell the load.
func (w *Watcher) Watches() bool { return w.source != nil }

// Run asks the source until the context is done.
func (w *Watcher) Run(ctx context.Context) {
	if w.source == nil {
		return
	}

	for ctx.Err() == nil {
		w.ask(ctx)

		t := time.NewTimer(interval - interval/20 + rand.N(interval/10)) //nolint:gosec // Chance, and no secret.
		select {
		case <-ctx.Done():
		case <-t.C:
		}

		t.Stop()
	}
}

// ask asks the source once.
func (w *Watcher) ask(ctx context.Context) {
	began := w.now()

	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()

	load, err := w.source.Read(ctx)

	w.mu.Lock()
	defer w.mu.Unlock()

	if err != nil {
		w.reason = err.Error()

		return
	}

	w.load, w.at, w.read, w.reason = load, began, true, ""
}

// Tasks returns what is known of the agent's tasks, and when that was read.
func (w *Watcher) Tasks() (monitorapi.Tasks, time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()

	if !w.read || w.now().Sub(w.at) >= staleAfter {
		since := w.at.UTC().Truncate(time.Second)

		reason := w.reason
		if reason == "" {
			reason = "the agent does not answer in time"
		}

		return monitorapi.Tasks{UnknownSince: &since, Reason: reason}, time.Time{}
	}

	return monitorapi.Tasks{
		Known: true, Reason: w.load.Says, QueueDepth: w.load.QueueDepth, InFlight: w.load.InFlight,
		WaitingForInput: w.load.WaitingForInput, Sessions: w.load.Sessions,
	}, w.at
}

// Describe is prometheus.Collector's.
func (w *Watcher) Describe(ch chan<- *prometheus.Desc) {
	ch <- w.known

	for _, d := range w.descs {
		ch <- d
	}
}

// Collect is prometheus.Collector's.
func (w *Watcher) Collect(ch chan<- prometheus.Metric) {
	t, _ := w.Tasks()

	known := 0.0
	if t.Known {
		known = 1
	}

	ch <- prometheus.MustNewConstMetric(w.known, prometheus.GaugeValue, known)

	for i, v := range []*int64{t.QueueDepth, t.InFlight, t.WaitingForInput, t.Sessions} {
		if v != nil {
			ch <- prometheus.MustNewConstMetric(w.descs[i], prometheus.GaugeValue, float64(*v))
		}
	}
}
