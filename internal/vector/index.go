package vector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

const (
	// attempts is how often a call that can be repeated is tried when the store is unavailable.
	attempts = 3
	// pause before the first repetition; it doubles.
	pause = 200 * time.Millisecond
)

// DefaultTimeout is how long a call may take, repetitions included, if nobody says otherwise.
const DefaultTimeout = 10 * time.Second

// An Index makes, watches and removes the collections of one store. It adds to a driver what all stores have in common:
// what a store cannot do is refused before it is asked, every call has a deadline, what can be repeated is repeated, and
// errors say what was attempted. It is safe for concurrent use.
type Index struct {
	driver   Driver
	features Features
	timeout  time.Duration
	sleep    func(context.Context, time.Duration) error
}

// New returns an Index over a driver, which it closes when it is closed. Each call may take up to the timeout.
func New(d Driver, f Features, timeout time.Duration) *Index {
	return &Index{driver: d, features: f, timeout: timeout, sleep: sleep}
}

// Features of the store.
func (i *Index) Features() Features { return i.features }

// Close closes the connections to the store.
func (i *Index) Close() { i.driver.Close() }

// Describe returns a collection as it is. NotFound if there is none.
func (i *Index) Describe(ctx context.Context, name string) (State, error) {
	var s State

	err := i.repeat(ctx, func(ctx context.Context) (err error) {
		s, err = i.driver.Describe(ctx, name)

		return err
	})

	return s, wrap(err, "cannot look at collection %q", name)
}

// Create makes a collection. Unsupported if the store cannot do what is asked for, Exists if there is one of this name.
// It is not repeated: whether a creation that failed was one, Describe knows.
func (i *Index) Create(ctx context.Context, s Spec) error {
	if err := i.features.Check(s); err != nil {
		return err
	}

	ctx, cancel := context.WithTimeout(ctx, i.timeout)
	defer cancel()

	return wrap(timedOut(ctx, i.driver.Create(ctx, s)), "cannot create collection %q", s.Name)
}

// Alter brings a collection from what it is to what is wanted, in what can change. ImmutableMismatch, and nothing is
// changed, if that is not enough.
func (i *Index) Alter(ctx context.Context, want Spec, have State) error {
	if err := i.features.Check(want); err != nil {
		return err
	}

	if err := i.features.Compare(want, have).Err(); err != nil {
		return err
	}

	err := i.repeat(ctx, func(ctx context.Context) error { return i.driver.Alter(ctx, want, have) })

	return wrap(err, "cannot change collection %q", want.Name)
}

// Drop removes a collection with its data, if there is one.
func (i *Index) Drop(ctx context.Context, name string) error {
	err := i.repeat(ctx, func(ctx context.Context) error { return i.driver.Drop(ctx, name) })

	return wrap(err, "cannot delete collection %q", name)
}

// PointAliases lets aliases point to a collection, and removes those of have that are not wanted. Unsupported if there
// are aliases to set and the store has none.
func (i *Index) PointAliases(ctx context.Context, collection string, want, have []string) error {
	a, ok := i.driver.(Aliaser)
	if !ok {
		if len(want) > 0 {
			return Errorf(Unsupported, "the store cannot do what is asked for: it has no aliases")
		}

		return nil
	}

	for _, alias := range want {
		if slices.Contains(have, alias) {
			continue
		}

		err := i.repeat(ctx, func(ctx context.Context) error { return a.PointAlias(ctx, alias, collection) })
		if err != nil {
			return wrap(err, "cannot point alias %q to collection %q", alias, collection)
		}
	}

	for _, alias := range have {
		if slices.Contains(want, alias) {
			continue
		}

		if err := i.repeat(ctx, func(ctx context.Context) error { return a.DropAlias(ctx, alias) }); err != nil {
			return wrap(err, "cannot remove alias %q", alias)
		}
	}

	return nil
}

// Grant makes sure that a login exists and returns how to log in. Unsupported if the store makes no logins.
func (i *Index) Grant(ctx context.Context, g Grant, last Access) (Access, error) {
	d, ok := i.driver.(Granter)
	if !ok {
		return Access{}, Errorf(Unsupported, "the store cannot make a login for one collection")
	}

	var a Access

	err := i.repeat(ctx, func(ctx context.Context) (err error) {
		a, err = d.Grant(ctx, g, last)

		return err
	})

	return a, wrap(err, "cannot let login %q in", g.Login)
}

// Revoke removes a login, if there is one.
func (i *Index) Revoke(ctx context.Context, login string) error {
	d, ok := i.driver.(Granter)
	if !ok {
		return nil
	}

	err := i.repeat(ctx, func(ctx context.Context) error { return d.Revoke(ctx, login) })

	return wrap(err, "cannot remove login %q", login)
}

// repeat makes a call that may be made more than once, until it does not fail for want of a store, within the timeout.
func (i *Index) repeat(ctx context.Context, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, i.timeout)
	defer cancel()

	for n := 1; ; n++ {
		err := timedOut(ctx, call(ctx))
		if n == attempts || !Is(err, Unavailable) {
			return err
		}

		if i.sleep(ctx, pause<<(n-1)) != nil {
			return err
		}
	}
}

// timedOut says that it was the store that took too long, where the driver made nothing of it.
func timedOut(ctx context.Context, err error) error {
	if err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) && Is(err, Unknown) {
		return &Error{Kind: Unavailable, Err: fmt.Errorf("the store did not answer in time: %w", err)}
	}

	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()

	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// wrap says what was attempted, and keeps the kind.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}

	return &Error{Kind: KindOf(err), Err: fmt.Errorf(format+": %w", append(args, err)...)}
}
