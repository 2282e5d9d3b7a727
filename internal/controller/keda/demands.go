// Package keda tells KEDA how many workers pools should have, by KEDA's own contract for external scalers. It must not know why, nor what
// must be done before a pool may shrink: it is told a size only when that may be written.
package keda

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// lasting is how long a size may take to be written after it was told: from KEDA's question to the write of the HPA that asked. Both
// happen in one go of the HPA's, which takes a fraction of a second, and it asks each 15 seconds.
const lasting = 10 * time.Second

// Demands are the sizes that pools should have, by the names of their AgentScalers, which are those of their ScaledObjects. They are
// kept in memory: after a restart nobody is told a size before it has been found again.
type Demands struct {
	now   func() time.Time
	since time.Time

	mu    sync.Mutex
	pools map[types.NamespacedName]*demand
}

// A demand is the size that a pool should have, and those that it should have had lately.
type demand struct {
	size int
	past []past
	// changed is closed when the size is another, or there is none any longer.
	changed chan struct{}
}

// past is a size that was told until then.
type past struct {
	size  int
	until time.Time
}

// NewDemands returns no demands.
func NewDemands() *Demands { return newDemands(time.Now) }

func newDemands(now func() time.Time) *Demands {
	return &Demands{now: now, since: now(), pools: map[types.NamespacedName]*demand{}}
}

// Ask has KEDA told from now on that a pool should have a size.
func (d *Demands) Ask(pool types.NamespacedName, size int) {
	d.mu.Lock()
	defer d.mu.Unlock()

	is := d.pools[pool]

	switch {
	case is == nil:
		d.pools[pool] = &demand{size: size, changed: make(chan struct{})}
	case is.size != size:
		now := d.now()
		next := &demand{size: size, past: append(is.lately(now), past{size: is.size, until: now}), changed: make(chan struct{})}
		d.pools[pool] = next

		close(is.changed)
	}
}

// Asked returns the sizes of a pool that may still be written: the present one, and those before it that were told lately. Just after a
// start these are unknown, and may have been any: 0 stands for them.
func (d *Demands) Asked(pool types.NamespacedName) []int {
	d.mu.Lock()
	defer d.mu.Unlock()

	var out []int

	now := d.now()
	if now.Sub(d.since) < lasting {
		out = append(out, 0)
	}

	is := d.pools[pool]
	if is == nil {
		return out
	}

	for _, p := range is.lately(now) {
		out = append(out, p.size)
	}

	return append(out, is.size)
}

// Forget says that KEDA has no business with a pool any longer.
func (d *Demands) Forget(pool types.NamespacedName) {
	d.mu.Lock()
	defer d.mu.Unlock()

	if is := d.pools[pool]; is != nil {
		close(is.changed)
		delete(d.pools, pool)
	}
}

// size returns what a pool should have, if that is known, and a channel that is closed when it may be something else. Of a pool that is
// not known there is no such channel.
func (d *Demands) size(pool types.NamespacedName) (n int, known bool, changed <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()

	is := d.pools[pool]
	if is == nil {
		return 0, false, nil
	}

	return is.size, true, is.changed
}

// lately returns a copy of what was told lately, each size once. So it holds as many as a pool can have sizes, at most.
func (d *demand) lately(now time.Time) []past {
	newest := make(map[int]bool, len(d.past))

	var out []past

	for i := len(d.past) - 1; i >= 0; i-- {
		if p := d.past[i]; !newest[p.size] && now.Sub(p.until) < lasting {
			newest[p.size] = true
			out = append([]past{p}, out...)
		}
	}

	return out
}
