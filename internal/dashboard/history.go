package dashboard

import (
	"context"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

const (
	// every is the time between two samples: a scaler's status tells its load as often. span is how long they are kept.
	every = 30 * time.Second
	span  = time.Hour
	// kept is how many samples of a pool there are at most, and maxPools of how many pools: together some 10 MiB.
	kept     = int(span/every) + 1
	maxPools = 2000
)

// unknown is a figure that is not known, which is not zero.
const unknown = -1

// A sample is what a pool's status told at a time.
type sample struct {
	at                                 time.Time
	replicas, active, depth, perMinute int64
}

// A History is the load of each pool over the last hour, as their scalers' statuses tell it. It is in memory alone, and begins when the
// provider does.
type History struct {
	cache client.Reader
	now   func() time.Time

	mu    sync.Mutex
	pools map[types.NamespacedName][]sample
}

// NewHistory returns an empty history of the scalers that a cache knows.
func NewHistory(cache client.Reader) *History {
	return &History{cache: cache, now: time.Now, pools: map[types.NamespacedName][]sample{}}
}

// run takes samples until the context ends.
func (h *History) run(ctx context.Context) {
	tick := time.NewTicker(every)
	defer tick.Stop()

	for {
		h.take(ctx)

		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// take takes one sample of each pool, and forgets pools that are gone. While the scalers cannot be read there is a gap.
func (h *History) take(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, every)
	defer cancel()

	scalers := &v1alpha1.AgentScalerList{}
	// What is read is not changed, so the cache need not copy it.
	if err := h.cache.List(ctx, scalers, client.UnsafeDisableDeepCopy); err != nil && !meta.IsNoMatchError(err) {
		return
	}

	h.mu.Lock()
	defer h.mu.Unlock()

	now, there := h.now(), map[types.NamespacedName]bool{}

	for i := range scalers.Items {
		s := &scalers.Items[i]
		key := poolOf(s)

		if _, known := h.pools[key]; there[key] || !known && len(h.pools) >= maxPools {
			continue
		}

		there[key] = true
		h.add(key, sampleOf(now, s.Status.AtProvider))
	}

	for key := range h.pools {
		if !there[key] {
			delete(h.pools, key)
		}
	}
}

// add appends a sample and forgets those that are too old.
func (h *History) add(key types.NamespacedName, s sample) {
	all, from := h.pools[key], 0
	all = append(all, s)

	for len(all)-from > kept || all[from].at.Before(s.at.Add(-span)) {
		from++
	}

	// In place, so that a pool's samples never take more than they need.
	h.pools[key] = slices.Delete(all, 0, from)
}

// of returns a pool's samples, the oldest first.
func (h *History) of(key types.NamespacedName) []sample {
	h.mu.Lock()
	defer h.mu.Unlock()

	return slices.Clone(h.pools[key])
}

// poolOf returns the pool that a scaler belongs to.
func poolOf(s *v1alpha1.AgentScaler) types.NamespacedName {
	name := s.Labels[monitorapi.LabelDispatcher]
	if name == "" {
		name = s.Name
	}

	return types.NamespacedName{Namespace: s.Namespace, Name: name}
}

func sampleOf(now time.Time, at v1alpha1.AgentScalerObservation) sample {
	return sample{at: now, replicas: figure(at.Replicas), active: figure(at.ActiveWorkers), depth: figure(at.QueueDepth), perMinute: figure(at.TokensPerMinute)}
}

func figure[T int32 | int64](n *T) int64 {
	if n == nil {
		return unknown
	}

	return int64(*n)
}
