package vectortest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// A step alters a property from one value to others, one after another.
type step struct {
	name    string
	support vector.Support
	values  []func(*vector.Properties)
}

// steps through all properties that can change.
func (s *suite) steps() []step {
	steps := []step{{name: "index", support: s.f.Index}, {name: "quantization", support: s.f.Quantization}}

	for _, v := range s.f.Indexes {
		steps[0].values = append(steps[0].values, func(p *vector.Properties) { p.Index = v })
	}

	for _, v := range s.f.Quantizations {
		steps[1].values = append(steps[1].values, func(p *vector.Properties) { p.Quantization = v })
	}

	for _, n := range s.numbers() {
		steps = append(steps, step{n.name, n.support, []func(*vector.Properties){
			func(p *vector.Properties) { n.set(p, n.from) }, func(p *vector.Properties) { n.set(p, n.to) },
		}})
	}

	var disk step

	for _, v := range []bool{false, true} {
		disk.values = append(disk.values, func(p *vector.Properties) { p.OnDisk = &v })
	}

	steps = append(steps, step{"onDisk", s.f.OnDisk, disk.values}, s.fields())

	return slices.DeleteFunc(steps, func(st step) bool { return st.support == vector.Never || st.support == vector.AtCreation })
}

// fields are added, and taken away where that can be done.
func (s *suite) fields() step {
	set := func(names ...string) func(*vector.Properties) {
		return func(p *vector.Properties) {
			p.IndexedFields = []vector.Field{}
			for i, n := range names {
				p.IndexedFields = append(p.IndexedFields, vector.Field{Name: n, Type: s.f.FieldTypes[i%len(s.f.FieldTypes)]})
			}
		}
	}

	return step{"indexedFields", s.f.IndexedFields, []func(*vector.Properties){set(), set("one"), set("one", "Two_2")}}
}

// alter changes each property that can change, there and back, in a collection with data.
func (s *suite) alter(t *testing.T) {
	for _, st := range s.steps() {
		t.Run(st.name, func(t *testing.T) {
			changed := 0

			if st.support == vector.Growing {
				for _, set := range st.values[1:] {
					changed += s.alterTo(t, st.values[0], set)
				}
			} else {
				changed = s.alterTo(t, append(slices.Clone(st.values), st.values[0])...)
			}

			if changed == 0 && (st.name != "replicas" || s.MaxReplicas > 1) {
				t.Errorf("%s is said to change, and the features allow no value but one", st.name)
			}
		})
	}

	t.Run("no opinion", s.keeps)
}

// alterTo makes a collection with the first of some values, and alters it to the others. It returns to how many.
func (s *suite) alterTo(t *testing.T, values ...func(*vector.Properties)) int {
	t.Helper()

	sp := s.spec(t, values[0])
	s.mustCreate(t, sp)
	s.mustInsert(t, sp.Name, 3)

	changed := 0

	for _, set := range values[1:] {
		if s.alterOnce(t, &sp, set) {
			changed++
		}
	}

	return changed
}

// alterOnce alters a collection, and says whether that is possible and there is anything to do.
func (s *suite) alterOnce(t *testing.T, sp *vector.Spec, set func(*vector.Properties)) bool {
	t.Helper()

	want := *sp
	set(&want.Properties)

	have := s.mustDescribe(t, want.Name)

	d := s.f.Compare(want, have)
	if s.f.Check(want) != nil || d.Err() != nil || len(d.Mutable) == 0 {
		return false
	}

	for _, call := range []string{"Alter", "Alter again"} {
		must(t, s.d.Alter(within(t), want, have), "%s(%v)", call, d)

		s.eventually(t, func() error {
			now, err := s.d.Describe(within(t), want.Name)
			if err != nil {
				return err
			}

			if diff := s.as(want, now); diff != "" {
				return fmt.Errorf("-altered to, +described, after %s:\n%s", call, diff)
			}

			return nil
		})
	}

	s.count(t, want.Name, 3)
	s.finds(t, want.Name, 3)

	*sp = want

	return true
}

// keeps: what nobody has an opinion on stays as it is, and so does everything else, when the owner changes.
func (s *suite) keeps(t *testing.T) {
	sp := s.spec(t, s.everything(t))
	have := s.mustCreate(t, sp)

	bare := vector.Spec{Name: sp.Name, Owner: sp.Owner + "/next", Properties: vector.Properties{Dim: sp.Dim}}
	if !s.f.Stamp {
		bare.Owner = ""
	}

	must(t, s.d.Alter(within(t), bare, have), "Alter")

	sp.Owner = bare.Owner
	if diff := s.as(sp, s.mustDescribe(t, sp.Name)); diff != "" {
		t.Errorf("-created as, +described, though nobody asked for a change:\n%s", diff)
	}
}
