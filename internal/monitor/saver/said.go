package saver

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/tree"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// The outcomes of MetricCheckpoints.
const (
	outcomeSaved     = "saved"
	outcomeUnchanged = "unchanged"
	outcomeFailed    = "failed"
	outcomeFenced    = "fenced"
)

// figures are what a saver tells by metrics.
type figures struct {
	attempts *prometheus.CounterVec
	seconds  prometheus.Histogram
	held     prometheus.Histogram
	stored   prometheus.Counter
	restore  prometheus.Gauge
	age      prometheus.Collector
}

func newFigures(s *Saver) *figures {
	f := &figures{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{Name: monitorapi.MetricCheckpoints, Help: "Attempts to save the state, by outcome."}, []string{monitorapi.LabelOutcome}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: monitorapi.MetricCheckpointSeconds, Help: "Time that a save took.", Buckets: []float64{0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800},
		}),
		held: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: monitorapi.MetricCheckpointPaused, Help: "Time that the agent was held still by its hook.", Buckets: []float64{0.1, 0.5, 1, 5, 10, 30, 60, 300},
		}),
		stored:  prometheus.NewCounter(prometheus.CounterOpts{Name: monitorapi.MetricCheckpointStored, Help: "Bytes that saves added to the store."}),
		restore: prometheus.NewGauge(prometheus.GaugeOpts{Name: monitorapi.MetricRestoreSeconds, Help: "Time that the restore took which the worker began with."}),
		age: prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: monitorapi.MetricCheckpointAge, Help: "Time since the state was last seen to be what a checkpoint has."}, func() float64 {
			at := s.Status().CurrentAt
			if at == nil {
				at = &s.began
			}

			return s.now().Sub(*at).Seconds()
		}),
	}

	for _, o := range []string{outcomeSaved, outcomeUnchanged, outcomeFailed, outcomeFenced} {
		f.attempts.WithLabelValues(o)
	}

	return f
}

func (f *figures) restored(seconds float64) { f.restore.Set(seconds) }

func (f *figures) all() []prometheus.Collector {
	return []prometheus.Collector{f.attempts, f.seconds, f.held, f.stored, f.restore, f.age}
}

// Describe the saver's figures.
func (s *Saver) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range s.figures.all() {
		c.Describe(ch)
	}
}

// Collect the saver's figures.
func (s *Saver) Collect(ch chan<- prometheus.Metric) {
	for _, c := range s.figures.all() {
		c.Collect(ch)
	}
}

// known takes over what a checkpoint of this worker's says.
func (s *Saver) known(m checkpoint.Manifest) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.status.Position, s.status.Time, s.status.Reason, s.status.Drain = m.Position.String(), &m.Time, m.Reason, m.Drain
	s.status.Files, s.status.Bytes = m.Files, m.Bytes
}

func (s *Saver) saved(m checkpoint.Manifest, began time.Time, notes []tree.Note) {
	s.known(m)
	s.current(began, notes, outcomeSaved)
	s.figures.stored.Add(float64(m.Stored))
	s.log.Info("the state is saved", "position", m.Position.String(), "reason", m.Reason, "files", m.Files, "bytes", m.Bytes, "stored", m.Stored, "notes", len(notes))
}

func (s *Saver) unchanged(began time.Time, notes []tree.Note) {
	s.current(began, notes, outcomeUnchanged)
}

// current notes that the state, as it was when the save began, is in a checkpoint.
func (s *Saver) current(began time.Time, notes []tree.Note, outcome string) {
	s.again = time.Time{}
	s.figures.attempts.WithLabelValues(outcome).Inc()
	s.figures.seconds.Observe(s.now().Sub(began).Seconds())

	at := began.UTC().Truncate(time.Millisecond)

	s.mu.Lock()
	defer s.mu.Unlock()

	s.status.CurrentAt, s.status.Notes = &at, int64(len(notes))
	s.status.Failing, s.status.FailingSince = "", nil
}

// failed notes that a save was not made, and says whether that is a failure: not where it only has to be made again, as beside a
// sweep, unless that has gone on for long. After some errors none is made any more.
func (s *Saver) failed(err error) bool {
	if mustRepeat(err) {
		if s.again.IsZero() {
			s.again = s.now()
		}

		if s.now().Sub(s.again) < againFails {
			s.log.Info("the save is made again", "reason", err.Error())

			return false
		}
	} else {
		s.again = time.Time{}
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	if errors.Is(err, checkpoint.ErrFenced) {
		s.figures.attempts.WithLabelValues(outcomeFenced).Inc()
		s.status.Fenced, s.over = true, true
		s.log.Error("another worker owns the slot: nothing of this one is saved any more", "error", err.Error())

		return true
	}

	s.figures.attempts.WithLabelValues(outcomeFailed).Inc()

	if s.status.FailingSince == nil {
		at := s.now().UTC().Truncate(time.Millisecond)
		s.status.FailingSince = &at
	}

	s.status.Failing = err.Error()

	if errors.Is(err, checkpoint.ErrVersion) {
		s.over = true
		s.log.Error("a newer program keeps this repository: nothing of this worker is saved any more", "error", err.Error())

		return true
	}

	s.log.Warn("the state could not be saved", "error", err.Error(), "since", s.status.FailingSince)

	return true
}

// mustRepeat says whether nothing is wrong, and a save has only to be made again.
func mustRepeat(err error) bool {
	return errors.Is(err, checkpoint.ErrSweeping) || errors.Is(err, checkpoint.ErrSlow)
}
