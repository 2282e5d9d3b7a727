package load

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
	"github.com/southwest-ai/agent-operator/internal/scale"
)

// askers is how many workers of a pool are asked at once.
const askers = 16

// A measure is what was found out in one look at a pool.
type measure struct {
	// err says why nothing was.
	err error
	// pods are the names of the workers that there are, asked how many of them run, and answers what they said.
	pods    map[string]bool
	asked   int
	answers []monitorapi.Status
	// unsafe says why workers cannot be removed without loss; empty where they can.
	unsafe string
}

// ask asks all workers of a pool.
func (m *Meter) ask(ctx context.Context, l look) measure {
	pods := &corev1.PodList{}
	// What is read is not changed, so the cache need not copy it.
	if err := m.cache.List(ctx, pods, client.InNamespace(l.key.Namespace), client.MatchingLabels{monitorapi.LabelDispatcher: l.dispatcher}, client.UnsafeDisableDeepCopy); err != nil {
		return measure{err: fmt.Errorf("cannot list the workers: %w", err)}
	}

	out := measure{pods: map[string]bool{}}

	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		turns = make(chan struct{}, askers)
		store string
	)

	for i := range pods.Items {
		p := &pods.Items[i]
		out.pods[p.Name] = true

		if c := p.Labels[v1alpha1.LabelCheckpoint]; c != "" {
			store = c
		}

		if p.Status.Phase != corev1.PodRunning || p.Status.PodIP == "" || p.DeletionTimestamp != nil {
			continue
		}

		out.asked++
		name, ip := p.Name, p.Status.PodIP

		turns <- struct{}{}

		wg.Go(func() {
			defer func() { <-turns }()

			if s, err := m.monitors.Status(ctx, name, ip); err == nil {
				mu.Lock()
				defer mu.Unlock()

				out.answers = append(out.answers, s)
			}
		})
	}

	wg.Wait()

	out.unsafe = m.unsafe(ctx, l.key.Namespace, store)

	return out
}

// unsafe says why the state of a worker that goes might not be kept; empty where it will.
func (m *Meter) unsafe(ctx context.Context, namespace, store string) string {
	if store == "" {
		return ""
	}

	c := &v1alpha1.Checkpoint{}
	if err := m.cache.Get(ctx, client.ObjectKey{Namespace: namespace, Name: store}, c); err != nil {
		return fmt.Sprintf("Checkpoint %s cannot be read", store)
	}

	for _, typ := range []string{"Ready", string(v1alpha1.ConditionIntact)} {
		for _, is := range c.Status.Conditions {
			if string(is.Type) == typ && is.Status == corev1.ConditionFalse {
				return fmt.Sprintf("Checkpoint %s is not well: %s", store, is.Reason)
			}
		}
	}

	return ""
}

// take makes readings of what workers said.
func (p *pool) take(now time.Time, m measure) {
	p.readings = map[string]scale.Reading{}
	p.workers, p.unsafe = len(m.pods), m.unsafe

	if m.err != nil {
		for _, t := range p.policy.Metrics {
			p.readings[t.Name] = scale.Reading{Unknown: m.err.Error()}
		}

		return
	}

	p.tokens.add(now, m.answers, m.pods)

	s := sum(m)
	used := p.tokens.perMinute()

	p.readings[string(v1alpha1.TriggerQueueDepth)] = s.reading(now, s.depth, s.told, "no worker tells its queue")
	p.readings[string(v1alpha1.TriggerPendingTasks)] = s.reading(now, s.pending, s.toldPending, "no worker tells which of its tasks wait")
	p.readings[string(v1alpha1.TriggerTokensPerMinute)] = s.reading(now, used, s.metered, "no worker counts tokens")

	p.figures = Figures{Counters: p.tokens.counters}

	if s.told == s.asked {
		p.figures.Depth, p.figures.Active = &s.depth, &s.active
	}

	if p.tokens.known {
		total := p.tokens.total
		p.figures.Tokens, p.figures.PerMinute = &total, &used
	}

	p.perHead = 0
	if s.active > 0 && used > 0 {
		p.perHead = float64(used) / float64(s.active)
	}
}

// A total is the sum of what workers say, and of how many of them.
type total struct {
	asked, told, toldPending, metered int
	depth, pending, active            int64
}

func sum(m measure) total {
	t := total{asked: m.asked}

	for _, a := range m.answers {
		if a.Tokens != nil {
			t.metered++
		}

		k := a.Tasks
		if !k.Known || k.QueueDepth == nil {
			continue
		}

		t.told++
		t.depth += *k.QueueDepth

		switch {
		case k.InFlight != nil:
			t.toldPending++
			t.pending += max(0, *k.QueueDepth-*k.InFlight)

			if *k.InFlight > 0 {
				t.active++
			}
		case *k.QueueDepth > 0:
			t.active++
		}
	}

	return t
}

// reading returns a sum of what some workers said. Of nobody it is unknown, unless there is nobody.
func (t total) reading(now time.Time, value int64, told int, unknown string) scale.Reading {
	if told == 0 && t.asked > 0 {
		return scale.Reading{Unknown: unknown}
	}

	return scale.Reading{Value: float64(value), At: now, Reporting: told, Expected: t.asked}
}
