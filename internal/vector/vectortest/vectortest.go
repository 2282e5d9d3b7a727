// Package vectortest is the conformance suite of vector drivers: one set of checks for all stores, which follow from what
// a driver's Features say it can do. It must not know any store.
package vectortest

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

const (
	// dim of the collections that are made: a multiple of 8, for one bit per dimension, and of 4, for product quantization.
	dim = 8
	// patience with one call.
	patience = 60 * time.Second
	// longest name that the API allows.
	longest = 63
)

// A Harness is a running store and how to use it as an agent does. Names are those that drivers are given.
type Harness struct {
	// Backend under test, and where a server of it runs. Without an endpoint it is one in this process, which cannot be down.
	Backend vector.Backend
	Config  vector.Config

	// Insert adds n vectors of a dimension, with ids never used before, and returns the store's refusal. Access says who
	// does it: if it is empty, whoever Config says. A collection of several tenants is never given to it.
	Insert func(ctx context.Context, collection string, a vector.Access, dim, n int) error
	// Search returns how many vectors are found near one in a collection, or behind an alias: up to 10.
	Search func(ctx context.Context, name string, a vector.Access, dim int) (int, error)

	// Settle is how long the store may take to show what was done to it: 0 if it shows it at once.
	Settle time.Duration
	// DimLate says that the store itself does not know a dimension before it has a vector.
	DimLate bool
	// MaxReplicas of this server: 0 is 1.
	MaxReplicas int32
	// NoGrants says why this server cannot be asked for logins though the kind of store makes them: where else it is tested.
	NoGrants string
	// TokensOutliveRevoke says that the logins are signed tokens, which work until the key that signed them goes.
	TokensOutliveRevoke bool
}

// Run runs the suite. It leaves nothing behind in the store.
func Run(t *testing.T, h Harness) {
	t.Helper()

	h.MaxReplicas = max(h.MaxReplicas, 1)
	s := &suite{Harness: h, f: h.Backend.Features, prefix: "ct" + random(t)}
	s.d = s.open(t, h.Config)

	for _, part := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"features", s.features},
		{"not found", s.notFound},
		{"create", s.create},
		{"names", s.names},
		{"owners", s.owners},
		{"exists", s.exists},
		{"race", s.race},
		{"alter", s.alter},
		{"mismatch", s.mismatch},
		{"vectors", s.vectors},
		{"drop", s.drop},
		{"aliases", s.aliases},
		{"grants", s.grants},
		{"failures", s.failures},
	} {
		t.Run(part.name, func(t *testing.T) {
			s.d.t = t
			part.run(t)
		})
	}
}

// A suite is one run.
type suite struct {
	Harness

	f      vector.Features
	d      driver
	prefix string
	made   int
}

func random(t *testing.T) string {
	t.Helper()

	b := make([]byte, 3)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}

	return hex.EncodeToString(b)
}

// open returns a driver that is closed with the test.
func (s *suite) open(t *testing.T, c vector.Config) driver {
	t.Helper()

	d, err := s.Backend.Open(c)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}

	w := driver{Driver: d, t: t, secrets: secrets(c.Access)}
	t.Cleanup(w.Close)

	return w
}

// name returns one that was not used before.
func (s *suite) name() string {
	s.made++

	return fmt.Sprintf("%s_%d", s.prefix, s.made)
}

// spec returns one of a new name that is dropped with the test.
func (s *suite) spec(t *testing.T, set ...func(*vector.Properties)) vector.Spec {
	t.Helper()

	return s.named(t, s.name(), set...)
}

// named returns a spec of a name that is dropped with the test. If the store takes its properties only with an index of
// a certain type, it has that. The test fails if the store takes them with none.
func (s *suite) named(t *testing.T, name string, set ...func(*vector.Properties)) vector.Spec {
	t.Helper()

	t.Cleanup(func() {
		ctx, cancel := contextOf(t)
		defer cancel()

		if err := s.d.Drop(ctx, name); err != nil {
			t.Errorf("Drop(%q): %v", name, err)
		}
	})

	sp := vector.Spec{Name: name, Owner: "team/" + name, Properties: vector.Properties{Dim: dim, Distance: s.f.Distances[0]}}
	if !s.f.Stamp {
		sp.Owner = ""
	}

	for _, f := range set {
		f(&sp.Properties)
	}

	err := s.f.Check(sp)
	if err == nil || sp.Index != "" {
		must(t, err, "Check")

		return sp
	}

	for _, i := range s.f.Indexes {
		if sp.Index = i; s.f.Check(sp) == nil {
			return sp
		}
	}

	t.Fatalf("the features allow no collection with what is said to be possible: %v", err)

	return sp
}

// mustCreate makes a collection and returns it as the store describes it.
func (s *suite) mustCreate(t *testing.T, sp vector.Spec) vector.State {
	t.Helper()

	must(t, s.d.Create(within(t), sp), "Create(%+v)", sp)

	return s.mustDescribe(t, sp.Name)
}

func (s *suite) mustDescribe(t *testing.T, name string) vector.State {
	t.Helper()

	st, err := s.d.Describe(within(t), name)
	must(t, err, "Describe(%q)", name)

	return st
}

func (s *suite) mustInsert(t *testing.T, collection string, n int) {
	t.Helper()

	s.eventually(t, func() error { return s.Insert(within(t), collection, vector.Access{}, dim, n) })
}

// as returns what is not as it should be in a State, "" if nothing: of the properties, those that were asked for.
func (s *suite) as(want vector.Spec, have vector.State) string {
	got := vector.Spec{Name: want.Name, Owner: have.Owner, Properties: s.asked(want.Properties, have.Properties)}
	if s.DimLate && have.Dim == 0 {
		got.Dim = want.Dim
	}

	return gocmp.Diff(want, got, cmpopts.EquateEmpty(), cmpopts.SortSlices(func(a, b vector.Field) bool { return a.Name < b.Name }))
}

// asked returns of the properties that a collection has those that were asked for. What every store does the same way and
// this one does not tell of, it has.
func (s *suite) asked(want, have vector.Properties) vector.Properties {
	out := want

	replace(&out.Dim, have.Dim)
	replace(&out.Distance, have.Distance)
	replace(&out.Index, have.Index)
	replace(&out.M, have.M)
	replace(&out.EfConstruction, have.EfConstruction)
	replace(&out.Ef, have.Ef)
	replace(&out.OnDisk, have.OnDisk)
	replace(&out.Tenancy, have.Tenancy)

	if s.f.Shards != vector.Never {
		replace(&out.Shards, have.Shards)
	}

	if s.f.Replicas != vector.Never {
		replace(&out.Replicas, have.Replicas)
	}

	if s.f.Quantization != vector.Never {
		replace(&out.Quantization, have.Quantization)
	}

	if out.IndexedFields != nil && s.f.IndexedFields != vector.Never {
		out.IndexedFields = have.IndexedFields
	}

	return out
}

func replace[T comparable](asked *T, have T) {
	var zero T
	if *asked != zero {
		*asked = have
	}
}

// eventually waits until f returns nil, for as long as the store may take.
func (s *suite) eventually(t *testing.T, f func() error) {
	t.Helper()

	end := time.Now().Add(s.Settle)

	for {
		err := f()
		if err == nil {
			return
		}

		if !time.Now().Before(end) {
			t.Fatalf("after %v: %v", s.Settle, err)
		}

		select {
		case <-t.Context().Done():
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// within returns a context for one call.
func within(t *testing.T) context.Context {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)

	return ctx
}

func must(t *testing.T, err error, format string, args ...any) {
	t.Helper()

	if err != nil {
		t.Fatalf(format+": %v (%s)", append(args, err, vector.KindOf(err))...)
	}
}

// wantKind fails the test unless an error is of a kind.
func wantKind(t *testing.T, err error, k vector.Kind, format string, args ...any) {
	t.Helper()

	if got := vector.KindOf(err); got != k {
		t.Errorf(format+": got an error of kind %q, want %q: %v", append(args, got, k, err)...)
	}
}

func secrets(a vector.Access) []string {
	return slices.DeleteFunc([]string{a.Password, a.APIKey}, func(s string) bool { return s == "" })
}

// A driver looks at all errors of the driver under test.
type driver struct {
	vector.Driver

	t       *testing.T
	secrets []string
}

// Describe implements vector.Driver.
func (d driver) Describe(ctx context.Context, name string) (vector.State, error) {
	st, err := d.Driver.Describe(ctx, name)

	slices.SortFunc(st.IndexedFields, func(a, b vector.Field) int { return cmp.Compare(a.Name, b.Name) })

	return st, d.seen(err)
}

// Create implements vector.Driver.
func (d driver) Create(ctx context.Context, s vector.Spec) error {
	return d.seen(d.Driver.Create(ctx, s))
}

// Alter implements vector.Driver.
func (d driver) Alter(ctx context.Context, want vector.Spec, have vector.State) error {
	return d.seen(d.Driver.Alter(ctx, want, have))
}

// Drop implements vector.Driver.
func (d driver) Drop(ctx context.Context, name string) error { return d.seen(d.Driver.Drop(ctx, name)) }

// seen fails the test if an error does not say of what kind it is, or gives away how to log in.
func (d driver) seen(err error) error {
	if err == nil {
		return nil
	}

	var e *vector.Error
	if !errors.As(err, &e) || e.Kind == vector.Unknown || e.Kind == "" {
		d.t.Errorf("an error without a kind: %T: %v", err, err)
	}

	for _, s := range d.secrets {
		if strings.Contains(err.Error(), s) {
			d.t.Errorf("an error tells a secret: %v", err)
		}
	}

	return err
}
