// Package memvector is a vector store in memory: what drivers are held against, and what unit tests of their users run on.
package memvector

import (
	"context"
	"slices"
	"sync"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// Features of the store in memory: everything there is.
var Features = vector.Features{
	MaxDim: 65535, MaxName: 63,
	Distances:     []vector.Distance{vector.Cosine, vector.Dot, vector.L2},
	Indexes:       []vector.IndexType{vector.HNSW, vector.Flat},
	Quantizations: []vector.Quantization{vector.QuantizationNone, vector.Scalar, vector.Half},
	Tenancies:     []vector.Tenancy{vector.Single, vector.Multi},
	FieldTypes:    []vector.FieldType{vector.Keyword, vector.Integer},
	Index:         vector.AtCreation, M: vector.Always, EfConstruction: vector.Always, Ef: vector.Always,
	Shards: vector.AtCreation, Replicas: vector.Always, Quantization: vector.Always, OnDisk: vector.Always, IndexedFields: vector.Always,
	Stamp: true, Aliases: true, Grants: true,
}

// A Store is a vector store in memory. Each Driver of it is one client.
type Store struct {
	mu          sync.Mutex
	collections map[string]vector.State
	aliases     map[string]string
	logins      map[string]login
	passwords   int
	calls       map[string]int
	fail        func(call, name string) error
}

// A login is what one may reach, and the password that lets one.
type login struct {
	vector.Grant

	password string
}

// NewStore returns an empty store.
func NewStore() *Store {
	return &Store{collections: map[string]vector.State{}, aliases: map[string]string{}, logins: map[string]login{}, calls: map[string]int{}}
}

// Fail has every call answered by f first, with the name of the method and of the collection, alias or login; nil lets
// the call through. It is how tests make a store fail.
func (s *Store) Fail(f func(call, name string) error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.fail = f
}

// Calls returns how often each method was called.
func (s *Store) Calls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()

	out := make(map[string]int, len(s.calls))
	for k, v := range s.calls {
		out[k] = v
	}

	return out
}

// Put makes or replaces a collection behind everybody's back.
func (s *Store) Put(name string, st vector.State) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.collections[name] = st
}

// Get returns a collection, and whether there is one.
func (s *Store) Get(name string) (vector.State, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.describe(name)
}

// Remove removes a collection behind everybody's back.
func (s *Store) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	delete(s.collections, name)
}

// Login returns what a login may reach, and whether there is one.
func (s *Store) Login(name string) (vector.Grant, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	l, ok := s.logins[name]

	return l.Grant, ok
}

// Open returns a client of the store.
func (s *Store) Open(vector.Config) (vector.Driver, error) { return &driver{s: s}, nil }

// Backend returns the store as a kind of store.
func (s *Store) Backend() vector.Backend { return vector.Backend{Features: Features, Open: s.Open} }

func (s *Store) describe(name string) (vector.State, bool) {
	st, ok := s.collections[name]
	if !ok {
		return st, false
	}

	st.Aliases = nil

	for a, c := range s.aliases {
		if c == name {
			st.Aliases = append(st.Aliases, a)
		}
	}

	slices.Sort(st.Aliases)

	return st, true
}

// A driver is one client of a Store.
type driver struct {
	s      *Store
	closed bool
}

// begin locks the store for one call.
func (d *driver) begin(ctx context.Context, call, name string) (func(), error) {
	d.s.mu.Lock()
	d.s.calls[call]++
	fail := d.s.fail
	d.s.mu.Unlock()

	if err := ctx.Err(); err != nil {
		return nil, &vector.Error{Kind: vector.Unavailable, Err: err}
	}

	if fail != nil {
		if err := fail(call, name); err != nil {
			return nil, err
		}
	}

	d.s.mu.Lock()

	if d.closed {
		d.s.mu.Unlock()

		return nil, vector.Errorf(vector.Unavailable, "the connection is closed")
	}

	return d.s.mu.Unlock, nil
}

// Describe implements vector.Driver.
func (d *driver) Describe(ctx context.Context, name string) (vector.State, error) {
	end, err := d.begin(ctx, "Describe", name)
	if err != nil {
		return vector.State{}, err
	}
	defer end()

	st, ok := d.s.describe(name)
	if !ok {
		return vector.State{}, vector.Errorf(vector.NotFound, "there is no collection %q", name)
	}

	return st, nil
}

// Create implements vector.Driver.
func (d *driver) Create(ctx context.Context, s vector.Spec) error {
	end, err := d.begin(ctx, "Create", s.Name)
	if err != nil {
		return err
	}
	defer end()

	if _, ok := d.s.collections[s.Name]; ok || d.s.aliases[s.Name] != "" {
		return vector.Errorf(vector.Exists, "%q exists", s.Name)
	}

	p := vector.LateInit(s.Properties, vector.Properties{
		Distance: vector.Cosine, Index: vector.HNSW, M: number(16), EfConstruction: number(100), Ef: number(40),
		Shards: number(1), Replicas: number(1), Quantization: vector.QuantizationNone, OnDisk: new(bool), Tenancy: vector.Single,
	})
	if p.IndexedFields == nil {
		p.IndexedFields = []vector.Field{}
	}

	d.s.collections[s.Name] = vector.State{Owner: s.Owner, Properties: p, Vectors: new(int64), IndexState: vector.IndexReady, ShardsReady: *p.Shards, ShardsTotal: *p.Shards}

	return nil
}

// Alter implements vector.Driver.
func (d *driver) Alter(ctx context.Context, want vector.Spec, _ vector.State) error {
	end, err := d.begin(ctx, "Alter", want.Name)
	if err != nil {
		return err
	}
	defer end()

	st, ok := d.s.collections[want.Name]
	if !ok {
		return vector.Errorf(vector.NotFound, "there is no collection %q", want.Name)
	}

	kept := st.IndexedFields
	st.Properties, st.Owner = vector.LateInit(want.Properties, st.Properties), want.Owner

	if want.IndexedFields == nil {
		st.IndexedFields = kept
	}

	d.s.collections[want.Name] = st

	return nil
}

// Drop implements vector.Driver.
func (d *driver) Drop(ctx context.Context, name string) error {
	end, err := d.begin(ctx, "Drop", name)
	if err != nil {
		return err
	}
	defer end()

	delete(d.s.collections, name)

	for a, c := range d.s.aliases {
		if c == name {
			delete(d.s.aliases, a)
		}
	}

	return nil
}

// Close implements vector.Driver.
func (d *driver) Close() {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()

	d.closed = true
}

func number(n int32) *int32 { return &n }
