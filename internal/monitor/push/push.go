package push

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

const (
	// tick is how often the figures are looked at, and so the most often that they are pushed. Looking costs less than to have
	// every room tell of its changes, and no room can forget to.
	tick = time.Second
	// whole is how often all series are pushed, changed or not. A server forgets a series after 5 minutes without a sample, so
	// nine such pushes in a row may fail; and a rate over a minute, the shortest that people ask for, has its two samples.
	whole = 30 * time.Second
	// longest bounds the wait after failures, so that figures are back within as much of a server's coming back.
	longest = whole
	// patience bounds the wait that a server may ask for.
	patience = 5 * time.Minute
	// timeout bounds a request, and lastTimeout all of the last push, for which a pod that ends has not much time.
	timeout     = 10 * time.Second
	lastTimeout = 5 * time.Second
	// batch is the largest number of series in a request.
	batch = 1000
)

// The outcomes of a remote write.
const (
	outcomeOK      = "ok"
	outcomeRetried = "retried"
	outcomeDropped = "dropped"
)

// Config of a Pusher.
type Config struct {
	// URL of the remote write endpoint. One of http takes no token, unless it is on loopback.
	URL string
	// TokenFile holds the bearer token. Without the file there is none. It is read for each push.
	TokenFile string
	// CAFile holds the certificates that are trusted instead of the system's. Without the file it is the system's.
	CAFile string
	// Headers of each request, such as X-Scope-OrgID. They are no secrets.
	Headers map[string]string
	// Labels of each series that has none of that name; those that are empty are left out. See Labels.
	Labels map[string]string
}

// Labels are those that a scrape of a worker would add: who it is, and the job and instance that queries ask for. The job is
// the pool's, as the job of a PodMonitor is its own. The instance is the pod's name, because an address may be used again.
func Labels(id monitorapi.Status) map[string]string {
	return map[string]string{
		monitorapi.LabelNamespace: id.Namespace, monitorapi.LabelDispatcherName: id.Dispatcher, monitorapi.LabelRoleName: id.Role,
		"pod": id.Pod, "job": id.Namespace + "/" + id.Dispatcher, "instance": id.Pod,
	}
}

// A Pusher sends the newest figures of a registry. It is a prometheus.Collector of its own figures.
type Pusher struct {
	gatherer prometheus.Gatherer
	sender   *sender
	log      *slog.Logger

	flat    flattener
	ledger  ledger
	message message

	nextWhole time.Time
	failures  int
	quietTill time.Time

	pushes *prometheus.CounterVec
	lost   prometheus.Counter
}

// New returns a pusher of what a gatherer gathers. It fails where the configuration could never work.
func New(c Config, g prometheus.Gatherer, log *slog.Logger) (*Pusher, error) {
	s, err := newSender(c)
	if err != nil {
		return nil, err
	}

	p := &Pusher{
		gatherer: g, sender: s, log: log, ledger: ledger{entries: map[string]*entry{}},
		pushes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: monitorapi.MetricPushes, Help: "Remote writes, by outcome: ok, retried or dropped.",
		}, []string{monitorapi.LabelOutcome}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: monitorapi.MetricPushDropped, Help: "Samples that were dropped. The next sample of a counter carries its total.",
		}),
	}

	for name, value := range c.Labels {
		p.flat.common = append(p.flat.common, label{name, value})
	}

	for _, o := range []string{outcomeOK, outcomeRetried, outcomeDropped} {
		p.pushes.WithLabelValues(o)
	}

	return p, nil
}

// Describe is prometheus.Collector's.
func (p *Pusher) Describe(ch chan<- *prometheus.Desc) {
	p.pushes.Describe(ch)
	p.lost.Describe(ch)
}

// Collect is prometheus.Collector's.
func (p *Pusher) Collect(ch chan<- prometheus.Metric) {
	p.pushes.Collect(ch)
	p.lost.Collect(ch)
}

// Run pushes until its context is done: what has changed within a second, and all every 30. Then it pushes the last figures
// and that there are no more to come, so that what a worker told does not outlive it. That takes 5 seconds at most.
func (p *Pusher) Run(ctx context.Context) {
	for ctx.Err() == nil {
		wait(ctx, p.push(ctx, time.Now()))
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTimeout)
	defer cancel()
	defer p.sender.close()

	// A failure says whether to try again; what the server said before does not, because there is no later.
	for p.failures = 0; ctx.Err() == nil; {
		err := p.send(ctx, p.plan(time.Now(), true, true))
		if !retriable(err) {
			return
		}

		wait(ctx, p.backoff(0))
	}
}

// push pushes what there is to push, and returns how long to wait before the next time.
func (p *Pusher) push(ctx context.Context, now time.Time) time.Duration {
	all := !now.Before(p.nextWhole)
	err := p.send(ctx, p.plan(now, all, false))

	var f *failure

	switch {
	case ctx.Err() != nil:
		return 0
	case err == nil:
		p.failures = 0

		if all {
			p.nextWhole = now.Add(whole)
		}

		return tick
	case errors.As(err, &f) && f.retry:
		p.failures++
		p.complain(now, "cannot push the figures: trying again", err)

		return p.backoff(f.after)
	default:
		// Nothing makes the server take what it has refused, so it is spared until the next time that all is pushed.
		p.failures = 0
		p.nextWhole = now.Add(whole)
		p.complain(now, "the figures of a push are dropped", err)

		return whole
	}
}

// plan gathers what to push. What cannot be gathered does not hold up the rest.
func (p *Pusher) plan(now time.Time, all, last bool) []item {
	families, err := p.gatherer.Gather()
	if err != nil {
		p.complain(now, "cannot gather all figures", err)
	}

	items, over := p.ledger.plan(p.flat.flatten(families), all, p.ledger.stamp(now))
	if all {
		p.lost.Add(float64(over))
	}

	if last {
		end(items)
	}

	return items
}

// send sends items in batches, and returns the first failure. Only one that may be mended by a retry stops the rest.
func (p *Pusher) send(ctx context.Context, items []item) error {
	var first error

	for len(items) > 0 {
		n := min(batch, len(items))
		err := p.sender.send(ctx, p.message.encode(items[:n]))

		var f *failure
		if !errors.As(err, &f) || !f.unsent {
			p.ledger.settle(items[:n], err == nil)
		}

		switch {
		case err == nil:
			p.pushes.WithLabelValues(outcomeOK).Inc()
		case retriable(err):
			p.pushes.WithLabelValues(outcomeRetried).Inc()

			return err
		default:
			p.pushes.WithLabelValues(outcomeDropped).Inc()
			p.drop(items[:n])
		}

		if first == nil {
			first = err
		}

		items = items[n:]
	}

	return first
}

func (p *Pusher) drop(items []item) {
	for _, i := range items {
		p.lost.Add(float64(i.n))
	}
}

// backoff doubles with each failure. Half of it is chance, so that a server that comes back does not meet all its agents at
// once, but is never sooner than the server asked for.
func (p *Pusher) backoff(asked time.Duration) time.Duration {
	d := min(longest, tick<<min(p.failures, 10))

	return max(d/2+rand.N(d/2), min(asked, patience)) //nolint:gosec // Chance, and no secret.
}

// complain logs once a minute.
func (p *Pusher) complain(now time.Time, what string, err error) {
	if now.Before(p.quietTill) {
		return
	}

	p.quietTill = now.Add(time.Minute)
	p.log.Warn(what, "host", p.sender.url.Host, "error", err.Error())
}

// wait waits until the context is done or a time has passed.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()

	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
