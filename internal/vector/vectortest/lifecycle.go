package vectortest

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// features that a driver must have if it says so, and must say if it has.
func (s *suite) features(t *testing.T) {
	if _, ok := s.d.Driver.(vector.Aliaser); ok != s.f.Aliases {
		t.Errorf("Aliases is %v, and that the driver is an Aliaser is %v", s.f.Aliases, ok)
	}

	if _, ok := s.d.Driver.(vector.Granter); ok != s.f.Grants {
		t.Errorf("Grants is %v, and that the driver is a Granter is %v", s.f.Grants, ok)
	}

	for name, bad := range map[string]bool{
		"MaxDim is missing":                    s.f.MaxDim < 1,
		"MaxName is missing":                   s.f.MaxName < 1,
		"Distances is empty":                   len(s.f.Distances) == 0,
		"Indexes is empty":                     s.f.Index != vector.Never && len(s.f.Indexes) == 0,
		"Quantizations lacks None":             s.f.Quantization != vector.Never && !slices.Contains(s.f.Quantizations, vector.QuantizationNone),
		"FieldTypes is empty":                  s.f.IndexedFields != vector.Never && len(s.f.FieldTypes) == 0,
		"Tenancies has Multi and lacks Single": len(s.f.Tenancies) > 0 && !slices.Contains(s.f.Tenancies, vector.Single),
	} {
		if bad {
			t.Error(name)
		}
	}

	if err := s.f.Check(vector.Spec{Name: s.prefix, Properties: vector.Properties{Dim: s.f.MaxDim + 1}}); !vector.Is(err, vector.Unsupported) {
		t.Errorf("a dimension beyond the largest is not refused: %v", err)
	}
}

// notFound is what is not there.
func (s *suite) notFound(t *testing.T) {
	sp := s.spec(t)

	_, err := s.d.Describe(within(t), sp.Name)
	wantKind(t, err, vector.NotFound, "Describe of what is not there")

	must(t, s.d.Drop(within(t), sp.Name), "Drop of what is not there")

	next := sp
	next.Owner += "/next"
	have := vector.State{Owner: sp.Owner, Properties: sp.Properties}

	if s.f.Stamp {
		wantKind(t, s.d.Alter(within(t), next, have), vector.NotFound, "Alter of what is not there")
	}
}

// exists: the second creation fails and leaves the first alone.
func (s *suite) exists(t *testing.T) {
	sp := s.spec(t)
	before := s.mustCreate(t, sp)

	s.mustInsert(t, sp.Name, 3)

	other := sp
	other.Owner = "team/other"
	other.Dim = dim * 2

	wantKind(t, s.d.Create(within(t), other), vector.Exists, "Create of what is there")
	wantKind(t, s.d.Create(within(t), sp), vector.Exists, "Create of the same")

	after := s.mustDescribe(t, sp.Name)
	if diff := s.as(vector.Spec{Name: sp.Name, Owner: before.Owner, Properties: before.Properties}, after); diff != "" {
		t.Errorf("a creation that failed changed what was there:\n%s", diff)
	}

	s.count(t, sp.Name, 3)
}

// race: of several that create one collection at once, one does.
func (s *suite) race(t *testing.T) {
	const racers = 8

	sp := s.spec(t)
	errs := make([]error, racers)

	var wg sync.WaitGroup

	for i := range racers {
		wg.Go(func() {
			mine := sp
			mine.Owner = owner(s.f, i)
			errs[i] = s.d.Create(within(t), mine)
		})
	}

	wg.Wait()

	winner := -1

	for i, err := range errs {
		switch {
		case err == nil && winner < 0:
			winner = i
		case err == nil:
			t.Errorf("racers %d and %d both created it", winner, i)
		default:
			wantKind(t, err, vector.Exists, "racer %d", i)
		}
	}

	if winner < 0 {
		t.Fatalf("nobody created it: %v", errs)
	}

	if got, want := s.mustDescribe(t, sp.Name).Owner, owner(s.f, winner); got != want {
		t.Errorf("the owner is %q, and who won is %q", got, want)
	}
}

func owner(f vector.Features, i int) string {
	if !f.Stamp {
		return ""
	}

	return fmt.Sprintf("team/racer-%d", i)
}

// vectors: those of another dimension are refused, and those that are there are counted.
func (s *suite) vectors(t *testing.T) {
	sp := s.spec(t)
	s.mustCreate(t, sp)
	s.count(t, sp.Name, 0)
	s.mustInsert(t, sp.Name, 5)

	if err := s.Insert(within(t), sp.Name, vector.Access{}, dim*2, 1); err == nil {
		t.Errorf("a vector of %d dimensions went into a collection of %d", dim*2, dim)
	}

	s.mustInsert(t, sp.Name, 2)
	s.count(t, sp.Name, 7)
	s.finds(t, sp.Name, 7)

	if got := s.mustDescribe(t, sp.Name).Dim; got != dim {
		t.Errorf("the dimension is %d, want %d", got, dim)
	}
}

// count waits for a number of vectors.
func (s *suite) count(t *testing.T, name string, n int64) {
	t.Helper()

	s.eventually(t, func() error {
		st, err := s.d.Describe(within(t), name)
		if err != nil {
			return err
		}

		if st.Vectors == nil || *st.Vectors != n {
			return fmt.Errorf("the number of vectors is %s (approximate: %v), want %d", show(st.Vectors), st.Approximate, n)
		}

		return nil
	})
}

func show(n *int64) string {
	if n == nil {
		return "unknown"
	}

	return fmt.Sprint(*n)
}

// finds waits until a search finds a number of vectors.
func (s *suite) finds(t *testing.T, name string, n int) {
	t.Helper()

	s.eventually(t, func() error {
		got, err := s.Search(within(t), name, vector.Access{}, dim)
		if err != nil {
			return err
		}

		if got != n {
			return fmt.Errorf("a search of %q finds %d, want %d", name, got, n)
		}

		return nil
	})
}

// drop removes a collection with its data, and it can be made again.
func (s *suite) drop(t *testing.T) {
	sp := s.spec(t)
	s.mustCreate(t, sp)
	s.mustInsert(t, sp.Name, 3)

	must(t, s.d.Drop(within(t), sp.Name), "Drop")
	must(t, s.d.Drop(within(t), sp.Name), "Drop again")

	_, err := s.d.Describe(within(t), sp.Name)
	wantKind(t, err, vector.NotFound, "Describe after Drop")

	sp.Dim = 2 * dim
	if diff := s.as(sp, s.mustCreate(t, sp)); diff != "" {
		t.Errorf("-asked for, +described, made again:\n%s", diff)
	}

	s.count(t, sp.Name, 0)
}

// mismatch: what cannot change is told, with what is there and what should be.
func (s *suite) mismatch(t *testing.T) {
	sp := s.spec(t)
	have := s.mustCreate(t, sp)

	if have.Dim == 0 { // Known from the first vector on.
		s.mustInsert(t, sp.Name, 1)

		have = s.mustDescribe(t, sp.Name)
	}

	want := sp
	want.Dim = dim + 1
	wants := []vector.Change{{Property: "dim", Want: fmt.Sprint(dim + 1), Have: fmt.Sprint(dim)}}

	for _, d := range s.f.Distances[1:] {
		want.Distance = d
		wants = append(wants[:1], vector.Change{Property: "distance", Want: string(d), Have: string(sp.Distance)})
	}

	got := s.f.Compare(want, have)
	if !slices.Equal(got.Immutable, wants) || !vector.Is(got.Err(), vector.ImmutableMismatch) {
		t.Errorf("got %v (%v), want %v", got.Immutable, got.Err(), wants)
	}
}
