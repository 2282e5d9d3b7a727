package vectorcollection

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/memvector"
)

// A counter is a backend that counts the clients it opened and that were closed.
type counter struct {
	mu             sync.Mutex
	opened, closed int
	last           vector.Access
	store          *memvector.Store
}

type counted struct {
	vector.Driver

	c *counter
}

func (c *counter) backend() vector.Backend {
	return vector.Backend{Features: memvector.Features, Open: func(cfg vector.Config) (vector.Driver, error) {
		c.mu.Lock()
		defer c.mu.Unlock()

		c.opened++
		c.last = cfg.Access
		d, err := c.store.Open(cfg)

		return counted{d, c}, err
	}}
}

func (d counted) Close() {
	d.c.mu.Lock()
	d.c.closed++
	d.c.mu.Unlock()

	d.Driver.Close()
}

// A pool is clients of one configuration, with a clock that tests set.
type pool struct {
	*Clients

	counter *counter
	kube    client.Client
	clock   time.Time
	woken   []string
}

var key = configKey{Kind: "ProviderConfig", Namespace: "ns", Name: "memory"}

func newPool(t *testing.T) *pool {
	t.Helper()

	p := &pool{counter: &counter{store: memvector.NewStore()}, clock: time.Unix(1, 0)}
	p.kube = fake.NewClientBuilder().WithScheme(scheme()).WithObjects(newConfig("ns", "memory"), newSecret("ns", "store", "admin:right")).Build()
	p.Clients = newClients(p.kube, Backends{v1alpha1.StoreQdrant: p.counter.backend()}, NewMetrics(),
		func(_ context.Context, k configKey) { p.woken = append(p.woken, k.String()) })
	p.now = func() time.Time { return p.clock }

	return p
}

func (p *pool) must(t *testing.T) *conn {
	t.Helper()

	n, err := p.get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}

	return n
}

func (p *pool) setSecret(t *testing.T, content string) {
	t.Helper()

	s := &corev1.Secret{}
	if err := p.kube.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: "store"}, s); err != nil {
		t.Fatal(err)
	}

	s.Data["key"] = []byte(content)

	if err := p.kube.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func (p *pool) counts(t *testing.T, reason string, opened, closed, kept int) {
	t.Helper()

	got := []int{p.counter.opened, p.counter.closed, p.opened()}
	if diff := cmp.Diff([]int{opened, closed, kept}, got); diff != "" {
		t.Errorf("%s\nclients opened, closed, kept: -want, +got:\n%s", reason, diff)
	}
}

func TestClientsAreShared(t *testing.T) {
	p := newPool(t)

	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() { p.must(t).release() })
	}

	wg.Wait()
	p.counts(t, "A configuration has one client, however many use it.", 1, 0, 1)

	p.clock = p.clock.Add(freshFor)
	p.must(t).release()
	p.counts(t, "Credentials that are read anew and are the same need no other client.", 1, 0, 1)

	p.close()
	p.counts(t, "All are closed at the end.", 1, 1, 0)

	if _, err := p.get(t.Context(), key); err == nil {
		t.Error("a client was opened after the end")
	}
}

func TestClientsFollowTheirConfiguration(t *testing.T) {
	p := newPool(t)
	old := p.must(t)

	p.setSecret(t, "admin:other")
	p.must(t).release()
	p.counts(t, "Credentials are not read for every call.", 1, 0, 1)

	p.clock = p.clock.Add(freshFor)
	p.must(t).release()
	p.counts(t, "A client under way is not closed when another takes its place.", 2, 0, 1)

	if want := (vector.Access{User: "admin", Password: "other"}); p.counter.last != want {
		t.Error("the new client has not the new password")
	}

	old.release()
	p.counts(t, "Its last user closes it.", 2, 1, 1)

	cfg := newConfig("ns", "memory")
	if err := p.kube.Get(t.Context(), client.ObjectKeyFromObject(cfg), cfg); err != nil {
		t.Fatal(err)
	}

	cfg.Spec.VectorStore.Endpoint = "http://elsewhere.example.org"
	if err := p.kube.Update(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}

	p.must(t).release()
	p.counts(t, "Another endpoint counts at once.", 3, 2, 1)

	p.forget(key)
	p.counts(t, "A configuration that is gone has no client.", 3, 3, 0)
}

func TestClientsGoWhenIdle(t *testing.T) {
	p := newPool(t)
	p.must(t).release()

	busy := p.must(t)
	p.clock = p.clock.Add(2 * idleFor)
	p.tend(t.Context())
	p.counts(t, "A client in use is not idle.", 1, 0, 1)

	busy.release()
	p.clock = p.clock.Add(2 * idleFor)
	p.tend(t.Context())
	p.counts(t, "A client that nobody uses is closed.", 1, 1, 0)
}

func TestRejectedCredentials(t *testing.T) {
	p := newPool(t)
	p.counter.store.Fail(func(string, string) error { return vector.Errorf(vector.Unauthenticated, "wrong password") })

	n := p.must(t)
	if _, err := n.Describe(t.Context(), "x"); !vector.Is(err, vector.Unauthenticated) {
		t.Fatalf("error %v", err)
	}

	n.release()
	p.tend(t.Context())

	if len(p.woken) != 0 {
		t.Errorf("woken %v although the Secret is what it was", p.woken)
	}

	p.setSecret(t, "admin:correct")
	p.counter.store.Fail(nil)
	p.tend(t.Context())

	if diff := cmp.Diff([]string{"ProviderConfig ns/memory"}, p.woken); diff != "" {
		t.Errorf("a corrected Secret heals at once: woken: -want, +got:\n%s", diff)
	}

	n = p.must(t)
	defer n.release()

	if n.cfg.Access.Password != "correct" {
		t.Error("rejected credentials were not read anew")
	}
}

func TestMissingSecret(t *testing.T) {
	p := newPool(t)

	s := newSecret("ns", "store", "")
	if err := p.kube.Delete(t.Context(), s); err != nil {
		t.Fatal(err)
	}

	if _, err := p.get(t.Context(), key); reasonOf(err) != v1alpha1.ReasonInvalidConfiguration {
		t.Fatalf("error %v has reason %q", err, reasonOf(err))
	}

	p.tend(t.Context())

	if err := p.kube.Create(t.Context(), newSecret("ns", "store", "admin:right")); err != nil {
		t.Fatal(err)
	}

	p.tend(t.Context())

	if diff := cmp.Diff([]string{"ProviderConfig ns/memory"}, p.woken); diff != "" {
		t.Errorf("woken: -want, +got:\n%s", diff)
	}
}

// A store that is down is asked by one at a time: the collections of one dead store must not hold up those of others.
func TestStoreDown(t *testing.T) {
	p := newPool(t)
	n := p.must(t)

	defer n.release()

	n.Index = vector.New(down{}, memvector.Features, time.Millisecond)

	text := ""

	for i := range downAfter + 2 {
		_, err := n.Describe(t.Context(), "x")
		if !vector.Is(err, vector.Unavailable) {
			t.Fatalf("call %d: error %v", i, err)
		}

		if text == "" {
			text = err.Error()
		}

		if diff := cmp.Diff(text, err.Error()); diff != "" {
			t.Errorf("call %d: the message differs, asked or not: -first, +this:\n%s", i, diff)
		}
	}

	if n.failures != downAfter {
		t.Errorf("%d calls reached the store, want %d", n.failures, downAfter)
	}

	n.Index = vector.New(counted{mustOpen(t, p.counter.store), p.counter}, memvector.Features, time.Second)
	p.clock = p.clock.Add(askAgain)

	if _, err := n.Describe(t.Context(), "x"); !vector.Is(err, vector.NotFound) {
		t.Fatalf("error %v", err)
	}

	p.tend(t.Context())
	p.tend(t.Context())

	if diff := cmp.Diff([]string{"ProviderConfig ns/memory"}, p.woken); diff != "" {
		t.Errorf("the others are woken once when it is back: -want, +got:\n%s", diff)
	}
}

func mustOpen(t *testing.T, s *memvector.Store) vector.Driver {
	t.Helper()

	d, err := s.Open(vector.Config{})
	if err != nil {
		t.Fatal(err)
	}

	return d
}

// A down driver is one of a store that is not there.
type down struct{ vector.Driver }

func (down) Describe(context.Context, string) (vector.State, error) {
	return vector.State{}, vector.Errorf(vector.Unavailable, "the store does not answer: %w", errors.New("connection refused"))
}

func (down) Close() {}
