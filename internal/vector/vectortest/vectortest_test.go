package vectortest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/memvector"
	"github.com/southwest-ai/agent-operator/internal/vector/vectortest"
)

// whole is a driver with all there is.
type whole interface {
	vector.Driver
	vector.Aliaser
	vector.Granter
}

// A broken driver does some things in another way.
type broken struct {
	whole

	describe   func(context.Context, string) (vector.State, error)
	create     func(context.Context, vector.Spec) error
	alter      func(context.Context, vector.Spec, vector.State) error
	drop       func(context.Context, string) error
	pointAlias func(context.Context, string, string) error
	dropAlias  func(context.Context, string) error
	grant      func(context.Context, vector.Grant, vector.Access) (vector.Access, error)
	revoke     func(context.Context, string) error
	closes     func()
}

func (b *broken) Describe(ctx context.Context, name string) (vector.State, error) {
	if b.describe != nil {
		return b.describe(ctx, name)
	}

	return b.whole.Describe(ctx, name)
}

func (b *broken) Create(ctx context.Context, s vector.Spec) error {
	if b.create != nil {
		return b.create(ctx, s)
	}

	return b.whole.Create(ctx, s)
}

func (b *broken) Alter(ctx context.Context, want vector.Spec, have vector.State) error {
	if b.alter != nil {
		return b.alter(ctx, want, have)
	}

	return b.whole.Alter(ctx, want, have)
}

func (b *broken) Drop(ctx context.Context, name string) error {
	if b.drop != nil {
		return b.drop(ctx, name)
	}

	return b.whole.Drop(ctx, name)
}

func (b *broken) PointAlias(ctx context.Context, alias, collection string) error {
	if b.pointAlias != nil {
		return b.pointAlias(ctx, alias, collection)
	}

	return b.whole.PointAlias(ctx, alias, collection)
}

func (b *broken) DropAlias(ctx context.Context, alias string) error {
	if b.dropAlias != nil {
		return b.dropAlias(ctx, alias)
	}

	return b.whole.DropAlias(ctx, alias)
}

func (b *broken) Grant(ctx context.Context, g vector.Grant, last vector.Access) (vector.Access, error) {
	if b.grant != nil {
		return b.grant(ctx, g, last)
	}

	return b.whole.Grant(ctx, g, last)
}

func (b *broken) Revoke(ctx context.Context, login string) error {
	if b.revoke != nil {
		return b.revoke(ctx, login)
	}

	return b.whole.Revoke(ctx, login)
}

func (b *broken) Close() {
	if b.closes != nil {
		b.closes()

		return
	}

	b.whole.Close()
}

// faults are mistakes that a driver could make, and the test that must find each.
var faults = map[string]struct {
	found string
	in    func(b *broken, s *memvector.Store)
}{
	"describes what is not there": {found: "not_found", in: func(b *broken, _ *memvector.Store) {
		b.describe = func(ctx context.Context, name string) (vector.State, error) {
			st, err := b.whole.Describe(ctx, name)
			if vector.Is(err, vector.NotFound) {
				return vector.State{}, nil
			}

			return st, err
		}
	}},
	"forgets the index type": {found: "create/index_Flat", in: func(b *broken, _ *memvector.Store) {
		b.create = func(ctx context.Context, s vector.Spec) error {
			s.Index = ""

			return b.whole.Create(ctx, s)
		}
	}},
	"hides quantization": {found: "create/no_opinion", in: func(b *broken, _ *memvector.Store) {
		b.describe = func(ctx context.Context, name string) (vector.State, error) {
			st, err := b.whole.Describe(ctx, name)
			st.Quantization = ""

			return st, err
		}
	}},
	"stamps later": {found: "create/distance_Cosine", in: func(b *broken, _ *memvector.Store) {
		b.create = func(ctx context.Context, s vector.Spec) error {
			s.Owner = ""

			return b.whole.Create(ctx, s)
		}
	}},
	"stamps later unless it dies": {found: "failures/interrupted", in: func(b *broken, _ *memvector.Store) {
		b.create = func(ctx context.Context, s vector.Spec) error {
			bare := s
			bare.Owner = ""

			if err := b.whole.Create(ctx, bare); err != nil {
				return err
			}

			select {
			case <-ctx.Done():
				return vector.Errorf(vector.Unavailable, "cannot stamp: %w", ctx.Err())
			case <-time.After(5 * time.Millisecond):
				return b.whole.Alter(ctx, s, vector.State{})
			}
		}
	}},
	"leaves it unfinished": {found: "create/distance_Cosine", in: func(b *broken, _ *memvector.Store) {
		b.describe = func(ctx context.Context, name string) (vector.State, error) {
			st, err := b.whole.Describe(ctx, name)
			st.Unfinished = true

			return st, err
		}
	}},
	"folds case": {found: "names", in: func(b *broken, _ *memvector.Store) {
		b.create = func(ctx context.Context, s vector.Spec) error {
			s.Name = strings.ToLower(s.Name)

			return b.whole.Create(ctx, s)
		}
		b.describe = func(ctx context.Context, name string) (vector.State, error) {
			return b.whole.Describe(ctx, strings.ToLower(name))
		}
	}},
	"cuts owners": {found: "owners/longest", in: func(b *broken, _ *memvector.Store) {
		b.create = func(ctx context.Context, s vector.Spec) error {
			s.Owner = s.Owner[:min(len(s.Owner), 255)]

			return b.whole.Create(ctx, s)
		}
	}},
	"keeps the released owner": {found: "owners/ours", in: func(b *broken, _ *memvector.Store) {
		b.alter = func(ctx context.Context, want vector.Spec, have vector.State) error {
			if want.Owner == "" {
				want.Owner = have.Owner
			}

			return b.whole.Alter(ctx, want, have)
		}
	}},
	"creates over": {found: "exists", in: func(b *broken, s *memvector.Store) {
		b.create = func(ctx context.Context, sp vector.Spec) error {
			s.Remove(sp.Name)

			return b.whole.Create(ctx, sp)
		}
	}},
	"creates if there is none": {found: "race", in: func(b *broken, _ *memvector.Store) {
		b.create = func(ctx context.Context, s vector.Spec) error {
			if err := b.whole.Create(ctx, s); !vector.Is(err, vector.Exists) {
				return err
			}

			return nil
		}
	}},
	"does not alter m": {found: "alter/m", in: func(b *broken, _ *memvector.Store) {
		b.alter = func(ctx context.Context, want vector.Spec, have vector.State) error {
			want.M = nil

			return b.whole.Alter(ctx, want, have)
		}
	}},
	"makes it anew to alter it": {found: "alter/onDisk", in: func(b *broken, _ *memvector.Store) {
		b.alter = func(ctx context.Context, want vector.Spec, _ vector.State) error {
			return errors.Join(b.whole.Drop(ctx, want.Name), b.whole.Create(ctx, want))
		}
	}},
	"alters what nobody asked for": {found: "alter/no_opinion", in: func(b *broken, _ *memvector.Store) {
		b.alter = func(ctx context.Context, want vector.Spec, have vector.State) error {
			if want.Quantization == "" {
				want.Quantization = vector.QuantizationNone
			}

			return b.whole.Alter(ctx, want, have)
		}
	}},
	"does not know the dimension": {found: "vectors", in: func(b *broken, _ *memvector.Store) {
		b.describe = func(ctx context.Context, name string) (vector.State, error) {
			st, err := b.whole.Describe(ctx, name)
			st.Dim = 0

			return st, err
		}
	}},
	"does not count": {found: "vectors", in: func(b *broken, _ *memvector.Store) {
		b.describe = func(ctx context.Context, name string) (vector.State, error) {
			st, err := b.whole.Describe(ctx, name)
			st.Vectors = new(int64)

			return st, err
		}
	}},
	"does not drop twice": {found: "drop", in: func(b *broken, s *memvector.Store) {
		b.drop = func(ctx context.Context, name string) error {
			if _, ok := s.Get(name); !ok {
				return vector.Errorf(vector.NotFound, "there is none")
			}

			return b.whole.Drop(ctx, name)
		}
	}},
	"drops what an alias points to": {found: "aliases", in: func(b *broken, _ *memvector.Store) {
		targets := map[string]string{}
		b.pointAlias = func(ctx context.Context, alias, collection string) error {
			targets[alias] = collection

			return b.whole.PointAlias(ctx, alias, collection)
		}
		b.drop = func(ctx context.Context, name string) error {
			if c, ok := targets[name]; ok {
				name = c
			}

			return b.whole.Drop(ctx, name)
		}
	}},
	"does not switch an alias": {found: "aliases", in: func(b *broken, _ *memvector.Store) {
		pointed := map[string]bool{}
		b.pointAlias = func(ctx context.Context, alias, collection string) error {
			if pointed[alias] {
				return nil
			}

			pointed[alias] = true

			return b.whole.PointAlias(ctx, alias, collection)
		}
	}},
	"makes a new secret each time": {found: "grants", in: func(b *broken, _ *memvector.Store) {
		b.grant = func(ctx context.Context, g vector.Grant, _ vector.Access) (vector.Access, error) {
			return b.whole.Grant(ctx, g, vector.Access{})
		}
	}},
	"never takes a right away": {found: "grants", in: func(b *broken, _ *memvector.Store) {
		var all []string

		b.grant = func(ctx context.Context, g vector.Grant, last vector.Access) (vector.Access, error) {
			all = append(all, g.Collections...)
			g.Collections = all

			return b.whole.Grant(ctx, g, last)
		}
	}},
	"does not revoke": {found: "grants", in: func(b *broken, _ *memvector.Store) {
		b.revoke = func(context.Context, string) error { return nil }
	}},
	"ignores its context": {found: "failures/cancelled", in: func(b *broken, _ *memvector.Store) {
		b.describe = func(ctx context.Context, name string) (vector.State, error) {
			return b.whole.Describe(context.WithoutCancel(ctx), name)
		}
	}},
	"works when closed": {found: "failures/closed", in: func(b *broken, _ *memvector.Store) { b.closes = func() {} }},
	"gives the password away": {found: "drop", in: func(b *broken, _ *memvector.Store) {
		b.describe = func(ctx context.Context, name string) (vector.State, error) {
			st, err := b.whole.Describe(ctx, name)
			if err != nil {
				err = vector.Errorf(vector.KindOf(err), "postgres://admin:"+password+"@example.org: %w", err)
			}

			return st, err
		}
	}},
	"tells no kind": {found: "drop", in: func(b *broken, _ *memvector.Store) {
		b.describe = func(ctx context.Context, name string) (vector.State, error) {
			st, err := b.whole.Describe(ctx, name)
			if err != nil {
				err = errors.New("something is wrong")
			}

			return st, err
		}
	}},
}

const (
	// faultEnv tells this program, when it runs itself, to run the suite over a driver with a fault.
	faultEnv = "VECTORTEST_FAULT"
	password = "correct-horse"
)

// TestFaults runs the suite over drivers that make one mistake each, in a process of its own, because it is to fail there.
func TestFaults(t *testing.T) {
	if name := os.Getenv(faultEnv); name != "" {
		s := memvector.NewStore()
		open := func(c vector.Config) (vector.Driver, error) {
			d, err := s.Open(c)
			if err != nil {
				return nil, err
			}

			b := &broken{whole: d.(whole)}
			if f, ok := faults[name]; ok {
				f.in(b, s)
			}

			return b, nil
		}

		vectortest.Run(t, vectortest.Harness{
			Backend: vector.Backend{Features: memvector.Features, Open: open}, Insert: s.Insert, Search: s.Search, MaxReplicas: 2,
			Config: vector.Config{Access: vector.Access{User: "admin", Password: password}},
		})

		return
	}

	run := func(t *testing.T, fault, test string) (string, error) {
		t.Helper()

		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFaults$/"+test, "-test.v")
		cmd.Env = append(os.Environ(), faultEnv+"="+fault)
		out, err := cmd.CombinedOutput()

		return string(out), err
	}

	t.Run("none", func(t *testing.T) {
		if out, err := run(t, "none", ""); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	})

	for name, f := range faults {
		t.Run(name, func(t *testing.T) {
			out, err := run(t, name, "^"+strings.ReplaceAll(f.found, "/", "$/^")+"$")
			if err == nil || !strings.Contains(out, "--- FAIL: TestFaults/"+f.found+" ") {
				t.Errorf("%s did not find it (%v):\n%s", f.found, err, out)
			}
		})
	}
}
