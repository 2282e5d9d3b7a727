package load

import (
	"cmp"
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
	// pods are the names of the workers that there are, and running how many of them run.
	pods    map[string]bool
	running int
	// asked is how many of them were asked, and answers what they said.
	asked   int
	answers []monitorapi.Status
	// server is what a Prometheus says of the pool, nil where there is none, and queried what it answers to the pool's own query.
	server  *served
	queried scale.Reading
	// billed is what a gateway counted, nil where workers count.
	billed *scale.Reading
	// unsafe says why workers cannot be removed without loss; empty where they can.
	unsafe string
}

// measure looks at a pool: a Prometheus says what it has to do, where there is one, and else its workers themselves. What they used
// is asked of them in any case, now and then: only their own counters make a total that is right.
func (m *Meter) measure(ctx context.Context, l look) measure {
	pods := &corev1.PodList{}
	// What is read is not changed, so the cache need not copy it.
	if err := m.cache.List(ctx, pods, client.InNamespace(l.key.Namespace), client.MatchingLabels{monitorapi.LabelDispatcher: l.dispatcher}, client.UnsafeDisableDeepCopy); err != nil {
		return measure{err: fmt.Errorf("cannot list the workers: %w", err)}
	}

	out := measure{pods: map[string]bool{}}

	var (
		running []*corev1.Pod
		store   string
	)

	for i := range pods.Items {
		p := &pods.Items[i]
		out.pods[p.Name] = true
		store = cmp.Or(store, p.Labels[v1alpha1.LabelCheckpoint])

		if p.Status.Phase == corev1.PodRunning && p.Status.PodIP != "" && p.DeletionTimestamp == nil {
			running = append(running, p)
		}
	}

	out.running = len(running)
	out.unsafe = m.unsafe(ctx, l.key.Namespace, store)

	server, err := m.servers.of(ctx, l.config)
	if err != nil {
		out.err = err

		return out
	}

	if server != nil {
		out.server = server.pool(ctx, l.key.Namespace, l.dispatcher)
	}

	if l.query != "" {
		out.queried = server.value(ctx, l.query)
	}

	if l.billing != "" {
		r := server.value(ctx, l.billing)
		out.billed = &r
	}

	if server == nil || l.tokens {
		out.asked, out.answers = len(running), m.ask(ctx, running)
	}

	return out
}

// ask asks workers and returns the answers of those that gave one.
func (m *Meter) ask(ctx context.Context, pods []*corev1.Pod) []monitorapi.Status {
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		turns = make(chan struct{}, askers)
		out   []monitorapi.Status
	)

	for _, p := range pods {
		turns <- struct{}{}

		wg.Go(func() {
			defer func() { <-turns }()

			if s, err := m.monitors.Status(ctx, p.Name, p.Status.PodIP); err == nil {
				mu.Lock()
				defer mu.Unlock()

				out = append(out, s)
			}
		})
	}

	wg.Wait()

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

// take makes readings of what was found out.
func (p *pool) take(now time.Time, m measure) {
	p.readings = map[string]scale.Reading{}
	p.workers, p.unsafe = m.running, m.unsafe

	if m.err != nil {
		p.unknown(m.err.Error())

		return
	}

	switch {
	case m.billed != nil:
		p.tokens.bill(now, *m.billed)
	case len(m.answers) > 0 || m.server == nil:
		p.tokens.add(now, m.answers, m.pods)
	}

	p.readings[string(v1alpha1.TriggerPrometheus)] = m.queried

	if m.server != nil {
		p.takeServed(now, m)

		return
	}

	s := sum(m)
	used := p.tokens.perMinute()

	p.readings[string(v1alpha1.TriggerQueueDepth)] = s.reading(now, s.depth, s.told, "no worker tells its queue")
	p.readings[string(v1alpha1.TriggerPendingTasks)] = s.reading(now, s.pending, s.toldPending, "no worker tells which of its tasks wait")
	p.readings[string(v1alpha1.TriggerTokensPerMinute)] = s.reading(now, used, s.metered, "no worker counts tokens")

	if m.billed != nil {
		p.readings[string(v1alpha1.TriggerTokensPerMinute)] = p.tokens.reading(*m.billed)
	}

	p.figures = p.billed()

	if s.told == s.asked {
		p.figures.Depth, p.figures.Active = &s.depth, &s.active
	}

	p.perHead = perHead(used, s.active)
}

// unknown says that nothing is.
func (p *pool) unknown(why string) {
	for _, t := range p.policy.Metrics {
		p.readings[t.Name] = scale.Reading{Unknown: why}
	}
}

// billed returns the figures of the tokens.
func (p *pool) billed() Figures {
	f := Figures{Counters: p.tokens.counters, Cost: p.tokens.cost.told(), CostCounters: p.tokens.cost.counters}

	if p.tokens.known {
		total, used := p.tokens.total, p.tokens.perMinute()
		f.Tokens, f.PerMinute = &total, &used
	}

	return f
}

// perHead returns how many tokens a worker uses in a minute that is busy, 0 while that is not known.
func perHead(used, active int64) float64 {
	if used <= 0 || active <= 0 {
		return 0
	}

	return float64(used) / float64(active)
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
