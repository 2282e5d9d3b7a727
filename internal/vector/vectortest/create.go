package vectortest

import (
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// A choice is one way to set some properties.
type choice struct {
	name string
	set  func(*vector.Properties)
}

// choices returns everything that can be chosen when a collection is made, one at a time.
func (s *suite) choices() []choice {
	var cs []choice

	add := func(name string, set func(*vector.Properties)) { cs = append(cs, choice{name, set}) }

	for _, v := range s.f.Distances {
		add("distance "+string(v), func(p *vector.Properties) { p.Distance = v })
	}

	for _, v := range chosen(s.f.Index, s.f.Indexes) {
		add("index "+string(v), func(p *vector.Properties) { p.Index = v })
	}

	for _, v := range chosen(s.f.Quantization, s.f.Quantizations) {
		add("quantization "+string(v), func(p *vector.Properties) { p.Quantization = v })
	}

	for _, v := range s.f.Tenancies {
		add("tenancy "+string(v), func(p *vector.Properties) { p.Tenancy = v })
	}

	for _, v := range chosen(s.f.OnDisk, []bool{false, true}) {
		add(fmt.Sprint("onDisk ", v), func(p *vector.Properties) { p.OnDisk = &v })
	}

	for _, v := range chosen(s.f.IndexedFields, s.f.FieldTypes) {
		add("field "+string(v), func(p *vector.Properties) { p.IndexedFields = []vector.Field{{Name: "Field_1", Type: v}} })
	}

	add("no field", func(p *vector.Properties) { p.IndexedFields = []vector.Field{} })

	for _, n := range s.numbers() {
		add(n.name, func(p *vector.Properties) { n.set(p, n.from) })
		add(n.name+" other", func(p *vector.Properties) { n.set(p, n.to) })
	}

	return cs
}

// chosen returns the values of a property that is heeded.
func chosen[T any](s vector.Support, vs []T) []T {
	if s == vector.Never {
		return nil
	}

	return vs
}

// A number is a property that is one, and two values that every store accepts.
type number struct {
	name     string
	support  vector.Support
	from, to int32
	set      func(*vector.Properties, int32)
}

// numbers that are heeded.
func (s *suite) numbers() []number {
	all := []number{
		{"m", s.f.M, 12, 20, func(p *vector.Properties, n int32) { p.Index, p.M = vector.HNSW, &n }},
		{"efConstruction", s.f.EfConstruction, 72, 96, func(p *vector.Properties, n int32) { p.Index, p.EfConstruction = vector.HNSW, &n }},
		{"ef", s.f.Ef, 72, 96, func(p *vector.Properties, n int32) { p.Index, p.Ef = vector.HNSW, &n }},
		{"shards", s.f.Shards, 1, 2, func(p *vector.Properties, n int32) { p.Shards = &n }},
		{"replicas", s.f.Replicas, 1, s.MaxReplicas, func(p *vector.Properties, n int32) { p.Replicas = &n }},
	}

	var heeded []number

	for _, n := range all {
		if n.support == vector.Never {
			continue
		}

		if s.f.Index == vector.Never { // Its only type is not for choosing.
			inner := n.set
			n.set = func(p *vector.Properties, v int32) { inner(p, v); p.Index = "" }
		}

		heeded = append(heeded, n)
	}

	return heeded
}

// create makes a collection of everything there is, with and without opinions.
func (s *suite) create(t *testing.T) {
	for _, c := range s.choices() {
		t.Run(c.name, func(t *testing.T) {
			sp := s.spec(t, c.set)

			have := s.mustCreate(t, sp)
			if diff := s.as(sp, have); diff != "" {
				t.Errorf("-asked for, +described:\n%s", diff)
			}

			s.stable(t, sp, have)
		})
	}

	t.Run("no opinion", func(t *testing.T) {
		sp := s.spec(t, func(p *vector.Properties) { p.Distance = "" })
		have := s.mustCreate(t, sp)
		s.stable(t, sp, have)
		s.told(t, have)
	})

	t.Run("everything", func(t *testing.T) {
		sp := s.spec(t, s.everything(t))
		have := s.mustCreate(t, sp)

		if diff := s.as(sp, have); diff != "" {
			t.Errorf("-asked for, +described:\n%s", diff)
		}

		s.stable(t, sp, have)
	})

	t.Run("largest dim", func(t *testing.T) {
		sp := s.spec(t, func(p *vector.Properties) { p.Dim = s.f.MaxDim })
		have := s.mustCreate(t, sp)

		if diff := s.as(sp, have); diff != "" {
			t.Errorf("-asked for, +described:\n%s", diff)
		}
	})
}

// everything returns all choices at once that the features allow together.
func (s *suite) everything(t *testing.T) func(*vector.Properties) {
	t.Helper()

	sp := vector.Spec{Name: s.prefix, Properties: vector.Properties{Dim: dim, Distance: s.f.Distances[0]}}

	for _, c := range s.choices() {
		next := sp
		if c.set(&next.Properties); s.f.Check(next) == nil {
			sp = next
		}
	}

	return func(p *vector.Properties) { *p = sp.Properties }
}

// stable fails the test unless what the store chose completes what was asked for, to the store's contentment, for good.
func (s *suite) stable(t *testing.T, sp vector.Spec, have vector.State) {
	t.Helper()

	if have.Unfinished {
		t.Errorf("Create returned before the collection was whole")
	}

	want := sp
	want.Properties = vector.LateInit(sp.Properties, have.Properties)

	if err := s.f.Check(want); err != nil {
		t.Errorf("what the store chose, it cannot do: %v", err)
	}

	again := s.mustDescribe(t, sp.Name)
	if d := s.f.Compare(want, again); d.Err() != nil || len(d.Mutable) > 0 {
		t.Errorf("a collection that was left alone differs from itself: %v, %v", d.Err(), d)
	}
}

// told fails the test unless a State has everything that can be chosen: what is not told cannot be compared.
func (s *suite) told(t *testing.T, st vector.State) {
	t.Helper()

	graph := st.Index == vector.HNSW || s.f.Index == vector.Never
	missing := map[string]bool{
		"dim":            st.Dim == 0 && !s.DimLate,
		"distance":       st.Distance == "",
		"tenancy":        st.Tenancy == "" && len(s.f.Tenancies) > 0,
		"index":          st.Index == "" && s.f.Index != vector.Never,
		"m":              st.M == nil && s.f.M != vector.Never && graph,
		"efConstruction": st.EfConstruction == nil && s.f.EfConstruction != vector.Never && graph,
		"ef":             st.Ef == nil && s.f.Ef != vector.Never && graph,
		"shards":         st.Shards == nil && s.f.Shards != vector.Never,
		"replicas":       st.Replicas == nil && s.f.Replicas != vector.Never,
		"quantization":   st.Quantization == "" && s.f.Quantization != vector.Never,
		"onDisk":         st.OnDisk == nil && s.f.OnDisk != vector.Never,
		"indexedFields":  st.IndexedFields == nil && s.f.IndexedFields != vector.Never,
		"indexState":     st.IndexState == "",
	}

	for property, absent := range missing {
		if absent {
			t.Errorf("%s can be chosen and is not described", property)
		}
	}
}

// names that are awkward, and names that are nearly the same.
func (s *suite) names(t *testing.T) {
	near := []string{"a-b", "a_b", "A-b", "a--b", "a-_b", "ab"}
	specs := make([]vector.Spec, len(near))

	for i, n := range near {
		specs[i] = s.named(t, s.prefix+n)
		must(t, s.d.Create(within(t), specs[i]), "Create(%q)", specs[i].Name)
	}

	for _, sp := range specs {
		if diff := s.as(sp, s.mustDescribe(t, sp.Name)); diff != "" {
			t.Errorf("%q is taken for another:\n%s", sp.Name, diff)
		}
	}

	size := min(s.f.MaxName, longest)
	for _, n := range []string{
		strings.ToUpper(s.prefix),
		s.prefix + "-",
		s.prefix + "_select",
		s.prefix + strings.Repeat("x", size-len(s.prefix)),
		"Z" + s.prefix + strings.Repeat("-", size-len(s.prefix)-1),
	} {
		t.Run(n, func(t *testing.T) {
			sp := s.named(t, n)
			if diff := s.as(sp, s.mustCreate(t, sp)); diff != "" {
				t.Errorf("-asked for, +described:\n%s", diff)
			}

			s.mustInsert(t, n, 1)
		})
	}
}

// owners that would end a string, a comment or a statement if they were not quoted.
func (s *suite) owners(t *testing.T) {
	if !s.f.Stamp {
		t.Skip("the store has no place for an owner")
	}

	for name, owner := range map[string]string{
		"none":    "",
		"ours":    "team-a/coder@0b9d8b0e-2f4e-4b5c-9c0e-1f2a3b4c5d6e",
		"slashes": `a\b\\`,
		"code":    "a;--b/*c*/ $$ $1 %s {{x}} ${y} <z>&",
		"foreign": "große Straße/記憶",
		"longest": strings.Repeat("x", 256),
	} {
		t.Run(name, func(t *testing.T) {
			sp := s.spec(t)
			sp.Owner = owner

			have := s.mustCreate(t, sp)
			if diff := gocmp.Diff(owner, have.Owner); diff != "" {
				t.Errorf("-asked for, +described:\n%s", diff)
			}

			for _, next := range []string{owner, "team-b/other", "", "team-c/third", owner} {
				sp.Owner = next
				must(t, s.d.Alter(within(t), sp, have), "Alter(owner %q)", next)

				if have = s.mustDescribe(t, sp.Name); have.Owner != next {
					t.Errorf("the owner is %q after it was altered to %q", have.Owner, next)
				}
			}
		})
	}
}
