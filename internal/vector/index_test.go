package vector

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// plain is a driver that answers each call with the next of its errors, and has no powers but the five.
type plain struct {
	errs  []error
	calls []string
	block bool
}

func (d *plain) call(ctx context.Context, what string) error {
	d.calls = append(d.calls, what)

	if d.block {
		<-ctx.Done()

		return errors.New("gave up")
	}

	if len(d.errs) == 0 {
		return nil
	}

	err := d.errs[0]
	d.errs = d.errs[1:]

	return err
}

func (d *plain) Describe(ctx context.Context, name string) (State, error) {
	return State{Owner: "o"}, d.call(ctx, "Describe "+name)
}
func (d *plain) Create(ctx context.Context, s Spec) error { return d.call(ctx, "Create "+s.Name) }
func (d *plain) Alter(ctx context.Context, s Spec, _ State) error {
	return d.call(ctx, "Alter "+s.Name)
}
func (d *plain) Drop(ctx context.Context, name string) error { return d.call(ctx, "Drop "+name) }
func (d *plain) Close()                                      { d.calls = append(d.calls, "Close") }

// able is a driver with all powers.
type able struct{ *plain }

func (d able) PointAlias(ctx context.Context, alias, collection string) error {
	return d.call(ctx, "PointAlias "+alias+" "+collection)
}
func (d able) DropAlias(ctx context.Context, alias string) error {
	return d.call(ctx, "DropAlias "+alias)
}
func (d able) Grant(ctx context.Context, g Grant, _ Access) (Access, error) {
	return Access{User: g.Login}, d.call(ctx, "Grant "+g.Login)
}
func (d able) Revoke(ctx context.Context, login string) error { return d.call(ctx, "Revoke "+login) }

func TestIndexCalls(t *testing.T) {
	down, denied := Errorf(Unavailable, "down"), Errorf(PermissionDenied, "no")

	describe := func(ctx context.Context, i *Index) error { _, err := i.Describe(ctx, "c"); return err }
	create := func(ctx context.Context, i *Index) error { return i.Create(ctx, Spec{Name: "c"}) }
	grant := func(ctx context.Context, i *Index) error {
		_, err := i.Grant(ctx, Grant{Login: "l"}, Access{})
		return err
	}

	cases := map[string]struct {
		reason string
		plain  bool
		errs   []error
		call   func(context.Context, *Index) error
		calls  []string
		kind   Kind
		text   string
	}{
		"Well": {reason: "One call is enough.", call: describe, calls: []string{"Describe c"}},
		"Twice": {
			reason: "A store that is back is asked again.", errs: []error{down, down}, call: describe,
			calls: []string{"Describe c", "Describe c", "Describe c"},
		},
		"Enough": {
			reason: "Three times, and no more.", errs: []error{down, down, down}, call: describe,
			calls: []string{"Describe c", "Describe c", "Describe c"}, kind: Unavailable, text: `cannot look at collection "c": down`,
		},
		"Denied": {
			reason: "What will not heal by itself is not repeated.", errs: []error{denied}, call: describe,
			calls: []string{"Describe c"}, kind: PermissionDenied, text: `cannot look at collection "c": no`,
		},
		"CreateOnce": {
			reason: "A creation may have been one though it failed.", errs: []error{down}, call: create,
			calls: []string{"Create c"}, kind: Unavailable, text: `cannot create collection "c": down`,
		},
		"CreateUnsupported": {
			reason: "What a store cannot do it is not asked for.", call: func(ctx context.Context, i *Index) error {
				return i.Create(ctx, Spec{Name: "c", Properties: Properties{Dim: 101}})
			},
			kind: Unsupported, text: "the store cannot do what is asked for: dim 101 is more than its largest, 100",
		},
		"Alter": {
			reason: "It can be repeated.", errs: []error{down}, call: func(ctx context.Context, i *Index) error {
				return i.Alter(ctx, Spec{Name: "c", Properties: Properties{M: ptr(int32(2))}}, State{Properties: Properties{M: ptr(int32(1))}})
			},
			calls: []string{"Alter c", "Alter c"},
		},
		"AlterImmutable": {
			reason: "Half of an impossible change is not made.", call: func(ctx context.Context, i *Index) error {
				return i.Alter(ctx, Spec{Owner: "me", Properties: Properties{Dim: 2}}, State{Properties: Properties{Dim: 1}})
			},
			kind: ImmutableMismatch, text: "dim is 1 and should be 2, which cannot change: correct the spec, or make another collection and re-embed",
		},
		"AlterUnsupported": {
			reason: "What a store cannot do it is not asked for.", call: func(ctx context.Context, i *Index) error {
				return i.Alter(ctx, Spec{Properties: Properties{Distance: Dot}}, State{})
			},
			kind: Unsupported, text: "the store cannot do what is asked for: distance Dot is not one of Cosine, L2",
		},
		"Drop": {
			reason: "It can be repeated.", errs: []error{down}, call: func(ctx context.Context, i *Index) error { return i.Drop(ctx, "c") },
			calls: []string{"Drop c", "Drop c"},
		},
		"Aliases": {
			reason: "Those that are there stay, and what is new is set before what is old goes.",
			call: func(ctx context.Context, i *Index) error {
				return i.PointAliases(ctx, "c", []string{"a", "b"}, []string{"b", "d"})
			},
			calls: []string{"PointAlias a c", "DropAlias d"},
		},
		"AliasesFail": {
			reason: "The failure names both.", errs: []error{denied},
			call:  func(ctx context.Context, i *Index) error { return i.PointAliases(ctx, "c", []string{"a", "b"}, nil) },
			calls: []string{"PointAlias a c"}, kind: PermissionDenied, text: `cannot point alias "a" to collection "c": no`,
		},
		"AliasesNotRemoved": {
			reason: "The failure names it.", errs: []error{denied},
			call:  func(ctx context.Context, i *Index) error { return i.PointAliases(ctx, "c", nil, []string{"a", "b"}) },
			calls: []string{"DropAlias a"}, kind: PermissionDenied, text: `cannot remove alias "a": no`,
		},
		"NoAliases": {
			reason: "A store without them is not asked.", plain: true,
			call: func(ctx context.Context, i *Index) error { return i.PointAliases(ctx, "c", []string{"a"}, nil) },
			kind: Unsupported, text: "the store cannot do what is asked for: it has no aliases",
		},
		"NoAliasesWanted": {
			reason: "And need not have them if nobody wants any.", plain: true,
			call: func(ctx context.Context, i *Index) error { return i.PointAliases(ctx, "c", nil, nil) },
		},
		"Grant": {reason: "It can be repeated.", errs: []error{down}, call: grant, calls: []string{"Grant l", "Grant l"}},
		"NoGrant": {
			reason: "A store that makes no logins says so.", plain: true, call: grant,
			kind: Unsupported, text: "the store cannot make a login for one collection",
		},
		"Revoke": {
			reason: "It can be repeated.", errs: []error{down, denied}, call: func(ctx context.Context, i *Index) error { return i.Revoke(ctx, "l") },
			calls: []string{"Revoke l", "Revoke l"}, kind: PermissionDenied, text: `cannot remove login "l": no`,
		},
		"NoRevoke": {
			reason: "What was never made is gone.", plain: true,
			call: func(ctx context.Context, i *Index) error { return i.Revoke(ctx, "l") },
		},
		"Close": {
			reason: "The driver goes with it.", calls: []string{"Close"},
			call: func(_ context.Context, i *Index) error { i.Close(); return nil },
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p := &plain{errs: tc.errs}
			i := New(able{p}, small, time.Minute)

			if tc.plain {
				i = New(p, small, time.Minute)
			}

			i.sleep = func(context.Context, time.Duration) error { return nil }
			err := tc.call(t.Context(), i)

			if diff := cmp.Diff(tc.calls, p.calls); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}

			text := ""
			if err != nil {
				text = err.Error()
			}

			if diff := cmp.Diff(tc.text, text); diff != "" || KindOf(err) != tc.kind {
				t.Errorf("%s\nkind %q, want %q\n-want, +got:\n%s", tc.reason, KindOf(err), tc.kind, diff)
			}
		})
	}
}

// TestIndexDeadline: a store that does not answer is waited for so long and no longer, whatever the driver calls that.
func TestIndexDeadline(t *testing.T) {
	calls := map[string]func(*Index) error{
		"Describe": func(i *Index) error { _, err := i.Describe(t.Context(), "c"); return err },
		"Create":   func(i *Index) error { return i.Create(t.Context(), Spec{}) },
		"Drop":     func(i *Index) error { return i.Drop(t.Context(), "c") },
	}

	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			p := &plain{block: true}
			start := time.Now()
			err := call(New(p, small, 20*time.Millisecond))

			if took := time.Since(start); !Is(err, Unavailable) || took > 5*time.Second {
				t.Errorf("got %v (%s) after %v", err, KindOf(err), took)
			}

			if !strings.Contains(err.Error(), "the store did not answer in time: gave up") {
				t.Errorf("got %q", err)
			}

			if len(p.calls) != 1 {
				t.Errorf("it was tried %d times, though there was no time", len(p.calls))
			}
		})
	}
}

// TestIndexPause: repetitions wait longer each time, and not beyond the deadline.
func TestIndexPause(t *testing.T) {
	var pauses []time.Duration

	down := Errorf(Unavailable, "down")
	i := New(&plain{errs: []error{down, down, down}}, small, time.Minute)
	i.sleep = func(_ context.Context, d time.Duration) error {
		pauses = append(pauses, d)

		return nil
	}

	if err := i.Drop(t.Context(), "c"); !Is(err, Unavailable) {
		t.Fatal(err)
	}

	if diff := cmp.Diff([]time.Duration{pause, 2 * pause}, pauses); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}

	p := &plain{errs: []error{down}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	if err := New(p, small, time.Minute).Drop(ctx, "c"); !Is(err, Unavailable) || len(p.calls) != 1 {
		t.Errorf("%d calls, and then %v", len(p.calls), err)
	}
}

func TestIndexAnswers(t *testing.T) {
	i := New(able{&plain{}}, small, time.Minute)

	st, err := i.Describe(t.Context(), "c")
	if diff := cmp.Diff(State{Owner: "o"}, st); diff != "" || err != nil {
		t.Errorf("%v, -want, +got:\n%s", err, diff)
	}

	a, err := i.Grant(t.Context(), Grant{Login: "l"}, Access{})
	if diff := cmp.Diff(Access{User: "l"}, a); diff != "" || err != nil {
		t.Errorf("%v, -want, +got:\n%s", err, diff)
	}
}
