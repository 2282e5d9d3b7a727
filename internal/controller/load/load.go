// Package load measures what pools have to do, and says which size follows from it. It must not know how a size is brought about.
package load

import (
	"cmp"
	"context"
	"maps"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/storeconfig"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
	"github.com/southwest-ai/agent-operator/internal/scale"
)

const (
	// turn is how often it is looked who is due.
	turn = 50 * time.Millisecond
	// fastest is the time between two looks at a pool of which the size follows its load, where nobody says how long, and slowest
	// that of one of which the size is fixed: its figures are only told.
	fastest = 500 * time.Millisecond
	slowest = 30 * time.Second
	// perSecond is how many workers are asked in a second, all pools together. Where there are so many that this does not do, each
	// is asked less often.
	perSecond = 400
	// slack is how long after it was looked at a load is used.
	slack = 10 * time.Second
	// lookTimeout is how long a look at a pool may take.
	lookTimeout = 10 * time.Second
	// looks is how many pools are looked at at a time.
	looks = 32
	// publishEvery is how often the status of a scaler tells of its load, unless its size changes: each write of a composed object
	// costs its composite of what Crossplane allows it.
	publishEvery = 30 * time.Second
)

// Figures are a pool's load, as far as it is known.
type Figures struct {
	// Active is the number of workers with a task in flight, Depth that of unfinished tasks.
	Active, Depth *int64
	// Tokens were used since the scaler is there, PerMinute of them in the last minute.
	Tokens, PerMinute *int64
	// Cost is what they cost, nil where nobody knows.
	Cost *v1alpha1.TokenCost
	// Counters and CostCounters are how far the tokens of each worker were added, by worker.
	Counters     map[string]int64
	CostCounters map[string]v1alpha1.PricedTokens
}

// A View is what is known of a pool.
type View struct {
	Decision scale.Decision
	Figures  Figures
	// Due says that the status should tell.
	Due bool
}

// A pool is what is remembered of one.
type pool struct {
	key        types.NamespacedName
	dispatcher string
	config     storeconfig.Key
	query      string
	// billing is the query for the tokens that workers do not count, empty where they do.
	billing  string
	policy   scale.Policy
	interval time.Duration
	auto     bool
	// at is what was seen of its Deployment.
	at Sized

	due     time.Time
	looking bool
	// asked is when its workers last were.
	asked time.Time

	history  scale.History
	readings map[string]scale.Reading
	perHead  float64
	unsafe   string
	workers  int
	// stale is how old what a Prometheus says may be.
	stale time.Duration

	tokens  tokens
	figures Figures
	// published is when the status was last to tell, told and reason what it told when it was last seen.
	published time.Time
	told      Figures
	reason    string
}

// Sized is what was seen of a pool's Deployment.
type Sized struct {
	// Current is the size that the pool was asked to have.
	Current int32
	// RollingOut says that its workers are being replaced.
	RollingOut bool
	// Dispatcher is the value of its workers' dispatcher label.
	Dispatcher string
}

// A Meter measures pools and has a scaler looked at when another size follows.
type Meter struct {
	cache    client.Reader
	monitors Monitors
	servers  *servers
	now      func() time.Time
	wake     chan event.GenericEvent

	mu    sync.Mutex
	pools map[types.UID]*pool
}

// Monitors ask workers.
type Monitors interface {
	Status(ctx context.Context, pod, ip string) (monitorapi.Status, error)
}

// NewMeter returns a meter of the pools whose workers a cache knows. It measures while Start runs.
func NewMeter(cache client.Reader, m Monitors) *Meter {
	return &Meter{cache: cache, monitors: m, servers: newServers(cache), now: time.Now, wake: make(chan event.GenericEvent, 1024), pools: map[types.UID]*pool{}}
}

// Wakes are the scalers of which the size should change or the status should tell.
func (m *Meter) Wakes() <-chan event.GenericEvent { return m.wake }

// View says what is known of a scaler's pool, and has it measured from now on.
func (m *Meter) View(s *v1alpha1.AgentScaler, at Sized) View {
	m.mu.Lock()
	defer m.mu.Unlock()

	p := m.pools[s.GetUID()]
	if p == nil {
		p = newPool(s, m.now(), at)
		m.pools[s.GetUID()] = p
	}

	p.follow(s, at)

	var d scale.Decision
	if p.auto {
		d = p.decide(m.now())
	}

	return View{Decision: d, Figures: p.figures.clone(), Due: p.tells(m.now(), d)}
}

// Published says that the status is about to tell what a View said. Should that be lost, it is told when it is due again.
func (m *Meter) Published(s *v1alpha1.AgentScaler, v View) {
	m.mu.Lock()
	defer m.mu.Unlock()

	if p := m.pools[s.GetUID()]; p != nil {
		// What it tells will be read when the scaler is looked at again. Until then it is no reason to.
		p.published, p.told, p.reason = m.now(), v.Figures, v.Decision.Reason
	}
}

// Forget says that there is no such scaler any longer.
func (m *Meter) Forget(s *v1alpha1.AgentScaler) {
	m.mu.Lock()
	defer m.mu.Unlock()

	delete(m.pools, s.GetUID())
}

// newPool returns a pool that goes on where the status of its scaler says that it was.
func newPool(s *v1alpha1.AgentScaler, now time.Time, at Sized) *pool {
	seen := s.Status.AtProvider
	p := &pool{key: client.ObjectKeyFromObject(s), tokens: newTokens(seen), published: now}

	// What was wanted before is not known. Nobody is removed before it would have been forgotten.
	p.history.Wants = []scale.Span{{From: now, Until: now, Want: at.Current}}

	return p
}

// follow has the pool measured as its scaler is now.
func (p *pool) follow(s *v1alpha1.AgentScaler, at Sized) {
	params, was := s.Spec.ForProvider, p.interval
	p.at, p.dispatcher, p.config = at, at.Dispatcher, storeconfig.Of(s)
	p.told, p.reason = toldBy(s.Status.AtProvider)
	p.auto = len(params.Triggers) > 0 && !params.Suspend
	p.policy, p.query, p.billing = PolicyOf(params), "", params.TokensQuery
	p.tokens.cost.follow(params.TokenPrices)

	for _, t := range params.Triggers {
		p.query = cmp.Or(p.query, t.Query)
	}

	// One that is to be looked at more often is, from now on.
	if p.interval = intervalOf(params); p.interval < was {
		p.due = time.Time{}
	}
}

// decide returns the size that follows from what is known, and remembers what was wanted.
func (p *pool) decide(now time.Time) scale.Decision {
	var d scale.Decision

	policy := p.policy
	// Between a sample and its next look a little time goes by.
	policy.MaxAge = max(policy.MaxAge, p.stale+slack)

	d, p.history = scale.Decide(now, policy, scale.Observation{
		Current: p.at.Current, Readings: p.readings, TokensPerWorker: p.perHead, RollingOut: p.at.RollingOut, Unsafe: p.unsafe,
	}, p.history)

	return d
}

// tells says whether the status should tell: that something is not as it tells, and has not been told for a while.
func (p *pool) tells(now time.Time, d scale.Decision) bool {
	if now.Sub(p.published) < publishEvery && !p.told.empty() {
		return false
	}

	return !p.figures.equal(p.told) || d.Reason != p.reason
}

// Start measures until the context ends, and then waits for what runs.
func (m *Meter) Start(ctx context.Context) error {
	var (
		wg    sync.WaitGroup
		turns = make(chan struct{}, looks)
		tick  = time.NewTicker(turn)
	)

	defer wg.Wait()
	defer tick.Stop()

	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}

		for uid, p := range m.begin() {
			select {
			case turns <- struct{}{}:
			case <-ctx.Done():
				return nil
			}

			wg.Go(func() {
				defer func() { <-turns }()

				m.look(ctx, uid, p)
			})
		}
	}
}

// A look is what has to be known to look at a pool.
type look struct {
	key        types.NamespacedName
	dispatcher string
	config     storeconfig.Key
	// query is the pool's own, empty for none.
	query string
	// billing is the query for its tokens, empty where its workers count them.
	billing string
	// tokens says that the workers are to be asked for theirs, even if the load is read elsewhere.
	tokens bool
}

// begin returns the pools that are due, and says when they are next.
func (m *Meter) begin() map[types.UID]look {
	m.mu.Lock()
	defer m.mu.Unlock()

	now, out := m.now(), map[types.UID]look{}

	workers := 0

	for _, p := range m.pools {
		if p.auto {
			workers += p.workers
		}
	}

	least := time.Duration(workers) * time.Second / perSecond

	for uid, p := range m.pools {
		if p.looking || now.Before(p.due) {
			continue
		}

		p.looking, p.due = true, now.Add(max(p.interval, least))
		out[uid] = look{key: p.key, dispatcher: p.dispatcher, config: p.config, query: p.query, billing: p.billing, tokens: now.Sub(p.asked) >= slowest}
	}

	return out
}

// look measures a pool and wakes its scaler if something is to be done.
func (m *Meter) look(ctx context.Context, uid types.UID, l look) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()

	seen := m.measure(ctx, l)

	m.mu.Lock()
	defer m.mu.Unlock()

	p := m.pools[uid]
	if p == nil {
		return
	}

	now := m.now()
	p.looking = false

	if seen.asked > 0 || seen.server == nil {
		p.asked = now
	}

	p.take(now, seen)

	var d scale.Decision
	if p.auto {
		d = p.decide(now)
	}

	if p.auto && d.Replicas != p.at.Current || p.tells(now, d) {
		m.rouse(p.key)
	}
}

// rouse has a scaler looked at. If too many wait for that, the next look will.
func (m *Meter) rouse(key types.NamespacedName) {
	s := &v1alpha1.AgentScaler{}
	s.SetNamespace(key.Namespace)
	s.SetName(key.Name)

	select {
	case m.wake <- event.GenericEvent{Object: s}:
	default:
	}
}

// toldBy returns what a status tells.
func toldBy(at v1alpha1.AgentScalerObservation) (Figures, string) {
	f := Figures{Depth: at.QueueDepth, Tokens: at.TokenUsage, PerMinute: at.TokensPerMinute}

	if at.ActiveWorkers != nil {
		n := int64(*at.ActiveWorkers)
		f.Active = &n
	}

	if at.Load == nil {
		return f, ""
	}

	return f, at.Load.Reason
}

func (f Figures) clone() Figures {
	f.Counters, f.CostCounters = maps.Clone(f.Counters), maps.Clone(f.CostCounters)

	return f
}

func (f Figures) empty() bool { return f.Active == nil && f.Depth == nil && f.Tokens == nil }

func (f Figures) equal(g Figures) bool {
	return same(f.Active, g.Active) && same(f.Depth, g.Depth) && same(f.Tokens, g.Tokens) && same(f.PerMinute, g.PerMinute)
}

func same(a, b *int64) bool { return a == b || a != nil && b != nil && *a == *b }
