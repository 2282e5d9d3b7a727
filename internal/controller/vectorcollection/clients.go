package vectorcollection

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/vector"
)

const (
	// freshFor is how long what a configuration refers to is taken to be as it was read.
	freshFor = 15 * time.Second
	// idleFor is how long a client is kept that nobody uses.
	idleFor = 10 * time.Minute
	// tick is how often clients that are idle, or that wait for other credentials, are looked at.
	tick = 2 * time.Second
)

// Backends are the kinds of stores there are.
type Backends map[v1alpha1.VectorStoreType]vector.Backend

// Clients keeps one client of a store for each configuration in use, however many collections use it.
//
// It owns them: it alone opens and closes them. A client is replaced when its configuration, or what that refers to, has
// changed, and closed when its last user has let go of it.
type Clients struct {
	configs  *configs
	backends Backends
	metrics  *Metrics
	now      func() time.Time
	// wake has the collections of a configuration looked at again.
	wake func(context.Context, configKey)

	mu     sync.Mutex
	seats  map[configKey]*seat
	closed bool
}

// A seat is a configuration's place among the clients.
type seat struct {
	// reading is held while what the configuration refers to is read: once for all who want it.
	reading sync.Mutex

	// The rest is guarded by Clients.mu.
	current *conn
	// spec is the fingerprint of the configuration alone, read is when all else was read.
	spec [sha256.Size]byte
	read time.Time
	// broken says that what the configuration refers to was missing or wrong.
	broken bool
}

func newClients(kube client.Reader, b Backends, m *Metrics, wake func(context.Context, configKey)) *Clients {
	return &Clients{configs: newConfigs(kube), backends: b, metrics: m, now: time.Now, wake: wake, seats: map[configKey]*seat{}}
}

// get returns the client of a configuration. The caller lets go of it when done.
func (c *Clients) get(ctx context.Context, key configKey) (*conn, error) {
	spec, err := c.configs.store(ctx, key)
	if err != nil {
		return nil, err
	}

	s, err := c.seat(key)
	if err != nil {
		return nil, err
	}

	mark := storeConfig{Type: spec.Type, Endpoint: fingerprintOf(spec)}.fingerprint()

	if n := c.fresh(s, mark); n != nil {
		return n, nil
	}

	s.reading.Lock()
	defer s.reading.Unlock()

	// Another reader may have been here while we waited.
	if n := c.fresh(s, mark); n != nil {
		return n, nil
	}

	cfg, err := c.configs.resolve(ctx, key, spec)
	if err == nil {
		var n *conn
		if n, err = c.take(s, key, cfg, mark); err == nil {
			return n, nil
		}
	}

	c.mu.Lock()
	s.broken = true
	c.mu.Unlock()

	return nil, err
}

func (c *Clients) seat(key configKey) (*seat, error) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.closed {
		return nil, errors.New("the provider is stopping")
	}

	s, ok := c.seats[key]
	if !ok {
		s = &seat{}
		c.seats[key] = s
	}

	return s, nil
}

// fresh returns the client of a seat if it need not be looked at again.
func (c *Clients) fresh(s *seat, mark [sha256.Size]byte) *conn {
	c.mu.Lock()
	defer c.mu.Unlock()

	n := s.current
	if n == nil || s.spec != mark || n.rejected() || c.now().Sub(s.read) >= freshFor {
		return nil
	}

	n.users++

	return n
}

// take returns the client for what was read: the one there is, or a new one.
func (c *Clients) take(s *seat, key configKey, cfg storeConfig, mark [sha256.Size]byte) (*conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if c.closed {
		return nil, errors.New("the provider is stopping")
	}

	if s.current == nil || s.current.print != cfg.fingerprint() {
		n, err := c.open(key, cfg)
		if err != nil {
			return nil, err
		}

		c.retire(s)
		s.current = n
	}

	// A configuration may have been forgotten while it was read.
	c.seats[key] = s
	s.spec, s.read, s.broken = mark, c.now(), false
	s.current.forgive()
	s.current.users++

	return s.current, nil
}

func (c *Clients) open(key configKey, cfg storeConfig) (*conn, error) {
	b, ok := c.backends[cfg.Type]
	if !ok {
		return nil, invalid("%s: this provider has no driver for stores of type %s", key, cfg.Type)
	}

	t, err := cfg.tls()
	if err != nil {
		return nil, invalid("%s: vectorStore.tls: %w", key, err)
	}

	d, err := b.Open(vector.Config{Endpoint: cfg.Endpoint, TLS: t, Access: cfg.Access})
	if err != nil {
		return nil, invalid("%s: vectorStore: %w", key, err)
	}

	c.metrics.clients.Inc()

	return &conn{
		Index: vector.New(d, b.Features, cfg.Timeout), clients: c, driver: d, cfg: cfg, print: cfg.fingerprint(), used: c.now(),
	}, nil
}

// retire takes the client from a seat. It is closed when nobody uses it any more.
func (c *Clients) retire(s *seat) {
	n := s.current
	s.current = nil

	if n == nil {
		return
	}

	n.retired = true
	c.closeUnused(n)
}

func (c *Clients) closeUnused(n *conn) {
	if n.retired && n.users == 0 {
		n.Close()
		c.metrics.clients.Dec()
	}
}

func (c *Clients) release(n *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()

	n.users--
	n.used = c.now()
	c.closeUnused(n)
}

// forget closes the client of a configuration that is gone.
func (c *Clients) forget(key configKey) {
	c.mu.Lock()
	defer c.mu.Unlock()

	if s, ok := c.seats[key]; ok {
		c.retire(s)
		delete(c.seats, key)
	}
}

// Start looks after the clients until ctx is done, and then closes them all.
func (c *Clients) Start(ctx context.Context) error {
	t := time.NewTicker(tick)
	defer t.Stop()

	for {
		select {
		case <-ctx.Done():
			c.close()

			return nil
		case <-t.C:
			c.tend(ctx)
		}
	}
}

// tend closes clients that are idle, and has collections looked at again whose store may have got well: their own next
// turn may be a minute away.
func (c *Clients) tend(ctx context.Context) {
	for key, p := range c.patients() {
		if p.recovered || p.waits && c.changed(ctx, key, p.print) {
			c.wake(ctx, key)
		}
	}
}

// A patient is a configuration that did not work.
type patient struct {
	recovered, waits bool
	// print is the fingerprint of what did not work.
	print [sha256.Size]byte
}

// patients returns the configurations that did not work, after clients that are idle were closed.
func (c *Clients) patients() map[configKey]patient {
	c.mu.Lock()
	defer c.mu.Unlock()

	out := map[configKey]patient{}

	for key, s := range c.seats {
		p := patient{waits: s.broken}

		if n := s.current; n != nil {
			if n.users == 0 && c.now().Sub(n.used) > idleFor {
				c.retire(s)
				delete(c.seats, key)
			}

			p = patient{recovered: n.recovered(), waits: s.broken || n.rejected(), print: n.print}
		}

		if p.recovered || p.waits {
			out[key] = p
		}
	}

	return out
}

// changed says whether a configuration can be read, and is not what did not work.
func (c *Clients) changed(ctx context.Context, key configKey, broken [sha256.Size]byte) bool {
	spec, err := c.configs.store(ctx, key)
	if err != nil {
		return false
	}

	cfg, err := c.configs.resolve(ctx, key, spec)

	return err == nil && cfg.fingerprint() != broken
}

func (c *Clients) close() {
	c.mu.Lock()
	defer c.mu.Unlock()

	c.closed = true

	for key, s := range c.seats {
		c.retire(s)
		delete(c.seats, key)
	}
}

// opened returns how many clients there are, for tests.
func (c *Clients) opened() int {
	c.mu.Lock()
	defer c.mu.Unlock()

	n := 0

	for _, s := range c.seats {
		if s.current != nil {
			n++
		}
	}

	return n
}
