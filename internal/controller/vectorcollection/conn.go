package vectorcollection

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/vector"
)

const (
	// downAfter is how many calls in a row must find the store unavailable until it is taken to be.
	downAfter = 3
	// askAgain is how long a store that is down is left alone.
	askAgain = 2 * time.Second
)

// A conn is one client of a store, shared by all collections of a configuration. It counts and times the calls, and keeps
// collections of a store that is down from waiting for it one by one: they would hold up those of all other stores.
type conn struct {
	*vector.Index

	clients *Clients
	driver  vector.Driver
	cfg     storeConfig
	print   [sha256.Size]byte

	// Guarded by Clients.mu.
	users   int
	used    time.Time
	retired bool

	mu sync.Mutex
	// down is why the store is not available, failures how many calls in a row found it so.
	down     error
	failures int
	retryAt  time.Time
	back     bool
	// refused says that the store did not take our credentials or certificate authorities.
	refused bool
	// grantless says that the store is not set up to make logins.
	grantless bool
}

// release lets go of the client.
func (n *conn) release() { n.clients.release(n) }

// Describe a collection, unless the store is known to be down.
func (n *conn) Describe(ctx context.Context, name string) (vector.State, error) {
	if err := n.admit(); err != nil {
		// As the call itself would have put it: a message that does not change is not written.
		return vector.State{}, vector.Errorf(vector.Unavailable, "cannot look at collection %q: %w", name, err)
	}

	var st vector.State

	err := n.measure("Describe", func() (err error) {
		st, err = n.Index.Describe(ctx, name)

		return err
	})

	return st, err
}

// Create a collection.
func (n *conn) Create(ctx context.Context, s vector.Spec) error {
	return n.measure("Create", func() error { return n.Index.Create(ctx, s) })
}

// Alter a collection.
func (n *conn) Alter(ctx context.Context, want vector.Spec, have vector.State) error {
	return n.measure("Alter", func() error { return n.Index.Alter(ctx, want, have) })
}

// Drop a collection.
func (n *conn) Drop(ctx context.Context, name string) error {
	return n.measure("Drop", func() error { return n.Index.Drop(ctx, name) })
}

// PointAliases to a collection.
func (n *conn) PointAliases(ctx context.Context, collection string, want, have []string) error {
	return n.measure("PointAliases", func() error { return n.Index.PointAliases(ctx, collection, want, have) })
}

// Grant a login. That the store is not set up for it is remembered.
func (n *conn) Grant(ctx context.Context, g vector.Grant, last vector.Access) (vector.Access, error) {
	var a vector.Access

	err := n.measure("Grant", func() (err error) {
		a, err = n.Index.Grant(ctx, g, last)

		return err
	})

	if vector.Is(err, vector.Unsupported) {
		n.mu.Lock()
		n.grantless = true
		n.mu.Unlock()
	}

	return a, err
}

// Revoke a login.
func (n *conn) Revoke(ctx context.Context, login string) error {
	return n.measure("Revoke", func() error { return n.Index.Revoke(ctx, login) })
}

// grants says whether the store makes logins for agents.
func (n *conn) grants() bool {
	n.mu.Lock()
	defer n.mu.Unlock()

	return n.Features().Grants && !n.grantless
}

// named returns the name by which agents find a collection or alias.
func (n *conn) named(name string) string {
	if d, ok := n.driver.(vector.Namer); ok {
		return d.StoreName(name)
	}

	return name
}

// admit returns why the store is not asked. While it is down one call at a time asks it.
func (n *conn) admit() error {
	n.mu.Lock()
	defer n.mu.Unlock()

	now := n.clients.now()
	if n.failures < downAfter {
		return nil
	}

	if now.Before(n.retryAt) {
		return n.down
	}

	n.retryAt = now.Add(n.cfg.Timeout)

	return nil
}

func (n *conn) measure(call string, do func() error) error {
	start := n.clients.now()
	err := do()
	n.clients.metrics.called(n.cfg.Type, call, n.clients.now().Sub(start), err)
	n.judge(err)

	return err
}

// judge draws conclusions about the store from the outcome of a call.
func (n *conn) judge(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()

	switch vector.KindOf(err) {
	case vector.Unavailable:
		n.failures++
		n.down = cause(err)
		n.retryAt = n.clients.now().Add(askAgain)
	case vector.Unauthenticated, vector.CertificateInvalid:
		n.refused = true
	default:
		n.back = n.back || n.failures >= downAfter
		n.failures = 0
	}
}

// cause returns an error without what was attempted.
func cause(err error) error {
	var e *vector.Error
	if !errors.As(err, &e) {
		return err
	}

	if inner := errors.Unwrap(e.Err); inner != nil {
		return inner
	}

	return e.Err
}

// rejected says that the store did not take our credentials, or we not its certificate.
func (n *conn) rejected() bool {
	n.mu.Lock()
	defer n.mu.Unlock()

	return n.refused
}

// forgive forgets that: they have been read anew.
func (n *conn) forgive() {
	n.mu.Lock()
	defer n.mu.Unlock()

	n.refused = false
}

// recovered says, once, that the store was down and is not any more.
func (n *conn) recovered() bool {
	n.mu.Lock()
	defer n.mu.Unlock()

	b := n.back
	n.back = false

	return b
}

func fingerprintOf(s *v1alpha1.VectorStore) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("a configuration is JSON: %v", err))
	}

	return string(b)
}
