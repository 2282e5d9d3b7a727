package vectortest

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// atOnce is how long a call may take that has no time.
const atOnce = 5 * time.Second

// contextOf returns a context that still has time when the test is over.
func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()

	return context.WithTimeout(context.WithoutCancel(t.Context()), patience)
}

// failures that every driver tells apart.
func (s *suite) failures(t *testing.T) {
	sp := s.spec(t)
	have := s.mustCreate(t, sp)

	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s.unavailable(t, s.d, ctx, sp, have)
	})

	t.Run("expired", func(t *testing.T) {
		ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()

		s.unavailable(t, s.d, ctx, sp, have)
	})

	t.Run("closed", func(t *testing.T) {
		d := s.open(t, s.Config)
		if _, err := d.Describe(within(t), sp.Name); err != nil {
			t.Fatal(err)
		}

		d.Close()
		s.unavailable(t, d, within(t), sp, have)
	})

	t.Run("down", func(t *testing.T) {
		c, ok := down(t, s.Config)
		if !ok {
			t.Skip("the store is in this process")
		}

		s.unavailable(t, s.open(t, c), within(t), sp, have)
	})

	t.Run("untouched", func(t *testing.T) {
		if diff := s.as(sp, s.mustDescribe(t, sp.Name)); diff != "" {
			t.Errorf("calls that failed changed a collection:\n%s", diff)
		}
	})

	t.Run("interrupted", s.interrupted)
	t.Run("concurrent use", s.concurrent)
}

// unavailable fails the test unless every call fails for want of a store, soon.
func (s *suite) unavailable(t *testing.T, d driver, ctx context.Context, sp vector.Spec, have vector.State) { //nolint:revive // The test is first everywhere here.
	t.Helper()

	d.t = t
	next := sp
	next.Owner = "team/next"

	calls := map[string]func() error{
		"Describe": func() error {
			_, err := d.Describe(ctx, sp.Name)

			return err
		},
		"Create": func() error { return d.Create(ctx, sp) },
		"Drop":   func() error { return d.Drop(ctx, sp.Name) },
	}

	if s.f.Stamp {
		calls["Alter"] = func() error { return d.Alter(ctx, next, have) }
	}

	if a, ok := d.Driver.(vector.Aliaser); ok {
		calls["PointAlias"] = func() error { return d.seen(a.PointAlias(ctx, sp.Name+"_a", sp.Name)) }
		calls["DropAlias"] = func() error { return d.seen(a.DropAlias(ctx, sp.Name+"_a")) }
	}

	for name, call := range calls {
		start := time.Now()
		err := call()

		wantKind(t, err, vector.Unavailable, "%s", name)

		if took := time.Since(start); took > atOnce {
			t.Errorf("%s took %v to fail", name, took)
		}
	}
}

// down returns the configuration of a server that is not there.
func down(t *testing.T, c vector.Config) (vector.Config, bool) {
	t.Helper()

	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" {
		return c, false
	}

	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	u.Host = l.Addr().String()
	c.Endpoint = u.String()

	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	return c, true
}

// interrupted gives up creations at various moments, as if we had died there: what is seen afterwards is owned, and
// becomes whole.
func (s *suite) interrupted(t *testing.T) {
	const moments = 10

	whole := s.spec(t, s.everything(t))
	start := time.Now()

	s.mustCreate(t, whole)

	took := time.Since(start)

	for i := range moments {
		sp := s.spec(t, s.everything(t))

		ctx, cancel := context.WithTimeout(t.Context(), took*time.Duration(i)/moments)
		err := s.d.Create(ctx, sp)

		cancel()

		if err != nil {
			wantKind(t, err, vector.Unavailable, "Create that was interrupted")
		}

		end := time.Now().Add(s.Settle + atOnce)

		for !s.recovers(t, sp) {
			if time.Now().After(end) {
				t.Fatalf("a creation that was interrupted after %d/%d of its time did not become whole", i, moments)
			}

			time.Sleep(time.Millisecond)
		}
	}
}

// recovers takes one turn at making a collection whole, as the provider does, and says whether it is.
func (s *suite) recovers(t *testing.T, sp vector.Spec) bool {
	t.Helper()

	have, err := s.d.Describe(within(t), sp.Name)
	if vector.Is(err, vector.NotFound) {
		// What was interrupted may still arrive.
		if err := s.d.Create(within(t), sp); !vector.Is(err, vector.Exists) {
			must(t, err, "Create")
		}

		return false
	}

	must(t, err, "Describe")

	if have.Owner != sp.Owner {
		t.Fatalf("a collection was seen that belongs to %q, want %q", have.Owner, sp.Owner)
	}

	d := s.f.Compare(sp, have)
	must(t, d.Err(), "Compare")

	if len(d.Mutable) == 0 {
		return s.as(sp, have) == ""
	}

	must(t, s.d.Alter(within(t), sp, have), "Alter(%v)", d)

	return false
}

// concurrent makes, describes and drops several collections at once, over one driver.
func (s *suite) concurrent(t *testing.T) {
	const users = 6

	specs := make([]vector.Spec, users)
	for i := range specs {
		specs[i] = s.spec(t)
	}

	errs := make([]error, users)

	var wg sync.WaitGroup

	for i, sp := range specs {
		wg.Go(func() { errs[i] = s.life(within(t), sp) })
	}

	wg.Wait()

	for i, err := range errs {
		if err != nil {
			t.Errorf("user %d: %v", i, err)
		}
	}
}

// life makes a collection, looks at it, and drops it.
func (s *suite) life(ctx context.Context, sp vector.Spec) error {
	if err := s.d.Create(ctx, sp); err != nil {
		return fmt.Errorf("cannot create: %w", err)
	}

	st, err := s.d.Describe(ctx, sp.Name)
	if err != nil {
		return fmt.Errorf("cannot describe: %w", err)
	}

	if diff := s.as(sp, st); diff != "" {
		return fmt.Errorf("-asked for, +described:\n%s", diff)
	}

	if err := s.d.Drop(ctx, sp.Name); err != nil {
		return fmt.Errorf("cannot drop: %w", err)
	}

	return nil
}
