package checkpoint

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

// How the reading back of a checkpoint ended.
const (
	outcomeOK      = "OK"
	outcomeCorrupt = "Corrupt"
	// outcomeFailed: the store could not be reached. It is tried again.
	outcomeFailed = "Failed"
)

// Metrics of the keeper. Those of a pool are labelled with the namespace and name of its Checkpoint; none names a slot.
type Metrics struct {
	verified      *prometheus.CounterVec
	verifiedBytes prometheus.Counter
	pruned        prometheus.Counter
	sweptChunks   prometheus.Counter
	freed         prometheus.Counter
	swept         prometheus.Histogram
	scrubbedBytes prometheus.Counter
	scrubbed      prometheus.Histogram
	failed        prometheus.Counter

	age, stored, state, corrupt, unverified *prometheus.Desc

	now   func() time.Time
	mu    sync.Mutex
	pools map[types.NamespacedName]v1alpha1.CheckpointObservation
}

// NewMetrics returns metrics that are not registered yet.
func NewMetrics() *Metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "aidispatcher_checkpoint_" + name, Help: help})
	}
	seconds := func(name, help string) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "aidispatcher_checkpoint_" + name, Help: help, Buckets: []float64{.01, .1, .5, 1, 5, 10, 30, 60, 300, 1200},
		})
	}
	ofPool := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc("aidispatcher_checkpoint_"+name, help, []string{"namespace", "checkpoint"}, nil)
	}

	return &Metrics{
		verified: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "aidispatcher_checkpoint_verifications_total",
			Help: "Checkpoints that were read back, by how that ended: OK, Corrupt, or Failed where the store was not reached.",
		}, []string{"outcome"}),
		verifiedBytes: counter("verified_bytes_total", "Bytes of state that were read back and are what was written."),
		pruned:        counter("pruned_total", "Checkpoints that were removed since no rule keeps them."),
		sweptChunks:   counter("swept_chunks_total", "Chunks that were removed since no checkpoint needs them."),
		freed:         counter("freed_bytes_total", "Bytes in stores that the removed chunks took."),
		swept:         seconds("sweep_duration_seconds", "Time that a sweep of a repository took."),
		scrubbedBytes: counter("scrubbed_bytes_total", "Bytes in stores that were read again."),
		scrubbed:      seconds("scrub_duration_seconds", "Time that the reading of a portion of a repository took."),
		failed:        counter("failed_turns_total", "Turns of the keeper that ended since a store was not reached."),

		age:        ofPool("newest_age_seconds", "Age of a pool's newest checkpoint."),
		stored:     ofPool("stored_bytes", "What a pool's repository takes in the store, as last measured."),
		state:      ofPool("state_bytes", "Size of the newest state of all slots of a pool together."),
		corrupt:    ofPool("corrupt_objects", "Objects of a pool's repository that are lost or are not what was written."),
		unverified: ofPool("unverified_slots", "Slots of a pool whose newest checkpoint was not read back, or is corrupt."),

		now:   time.Now,
		pools: map[types.NamespacedName]v1alpha1.CheckpointObservation{},
	}
}

func (m *Metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.verified, m.verifiedBytes, m.pruned, m.sweptChunks, m.freed, m.swept, m.scrubbedBytes, m.scrubbed, m.failed}
}

// Describe the metrics.
func (m *Metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, c := range m.collectors() {
		c.Describe(ch)
	}

	for _, d := range []*prometheus.Desc{m.age, m.stored, m.state, m.corrupt, m.unverified} {
		ch <- d
	}
}

// Collect the metrics. What is not known of a pool is left out.
func (m *Metrics) Collect(ch chan<- prometheus.Metric) {
	for _, c := range m.collectors() {
		c.Collect(ch)
	}

	m.mu.Lock()
	defer m.mu.Unlock()

	for name, at := range m.pools {
		tell := func(d *prometheus.Desc, v float64) {
			ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, name.Namespace, name.Name)
		}

		if at.NewestTime != nil {
			tell(m.age, m.now().Sub(at.NewestTime.Time).Seconds())
		}

		if at.StoredBytes != nil {
			tell(m.stored, float64(*at.StoredBytes))
		}

		if at.StateBytes != nil {
			tell(m.state, float64(*at.StateBytes))
		}

		if at.Corrupt != nil {
			tell(m.corrupt, float64(*at.Corrupt))
		}

		if at.Slots != nil && at.Verified != nil {
			tell(m.unverified, float64(*at.Slots-*at.Verified))
		}
	}
}

// pool sets what is known of a pool.
func (m *Metrics) pool(name types.NamespacedName, at v1alpha1.CheckpointObservation) {
	m.mu.Lock()
	defer m.mu.Unlock()

	m.pools[name] = *at.DeepCopy()
}

// forget lets go of a pool, whose series end.
func (m *Metrics) forget(name types.NamespacedName) {
	m.mu.Lock()
	defer m.mu.Unlock()

	delete(m.pools, name)
}
