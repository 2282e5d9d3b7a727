package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

// scrubbed returns a whole scrub, in portions of a budget.
func scrubbed(t *testing.T, r *Repository, budget int64) (all Scrubbed, portions int) {
	t.Helper()
	cursor := Cursor("")
	for portions = 1; ; portions++ {
		got, next, err := r.Scrub(t.Context(), cursor, budget)
		if err != nil {
			t.Fatal(err)
		}
		all.Slots += got.Slots
		all.Chunks += got.Chunks
		all.Bytes += got.Bytes
		all.Damaged = append(all.Damaged, got.Damaged...)
		if next == "" {
			return all, portions
		}
		if next == cursor || portions > 1000 {
			t.Fatalf("the scrub stands still at %q", next)
		}
		cursor = next
	}
}

// twoSlots returns a repository whose two slots have two manifests each, the first with the same state.
func twoSlots(t *testing.T, b *blob.Bucket) *Repository {
	t.Helper()
	r, err := Create(t.Context(), b, testKey, testPool, quick())
	if err != nil {
		t.Fatal(err)
	}
	for _, slot := range []string{"0", "1"} {
		if _, err := r.ClaimAt(t.Context(), slot, 1, "test"); err != nil {
			t.Fatal(err)
		}
		s, err := r.Session(t.Context(), slot, 1)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"both", "of slot " + slot} {
			if _, err := save(t.Context(), s, text); err != nil {
				t.Fatal(err)
			}
		}
	}
	return r
}

func flip(t *testing.T, b *blob.Bucket, name string) {
	t.Helper()
	obj, err := b.ReadAll(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	obj[len(obj)/2] ^= 1
	if err := b.WriteAll(t.Context(), name, obj, nil); err != nil {
		t.Fatal(err)
	}
}

func TestScrub(t *testing.T) {
	first, second := Position{Epoch: 1, Sequence: 1}, Position{Epoch: 1, Sequence: 2}
	both := []Hurt{{"0", first}, {"1", first}}
	one := []Hurt{{"1", second}}
	chunk := func(r *Repository, text string) string {
		id, _ := r.ID([]byte(text))
		return chunkName(id)
	}
	list := func(r *Repository, slot string, p Position) string {
		m, _ := r.Manifest(t.Context(), slot, p)
		return chunkName(m.Lists[0])
	}
	cases := map[string]struct {
		reason  string
		damage  func(*testing.T, *Repository, *blob.Bucket) string
		err     error
		hurts   []Hurt
		objects int64
	}{
		"Nothing": {reason: "What is whole is no finding.", objects: 6,
			damage: func(*testing.T, *Repository, *blob.Bucket) string { return "" }},
		"CorruptChunk": {reason: "A corrupt chunk hurts all who need it.", err: ErrCorrupt, hurts: both, objects: 6,
			damage: func(t *testing.T, r *Repository, b *blob.Bucket) string {
				flip(t, b, chunk(r, "both"))
				return chunk(r, "both")
			}},
		"LostChunk": {reason: "So does one that is gone.", err: ErrNotFound, hurts: one, objects: 5,
			damage: func(t *testing.T, r *Repository, b *blob.Bucket) string {
				name := chunk(r, "of slot 1")
				if err := b.Delete(t.Context(), name); err != nil {
					t.Fatal(err)
				}
				return name
			}},
		"CorruptList": {reason: "A list is a chunk.", err: ErrCorrupt, hurts: one, objects: 6,
			damage: func(t *testing.T, r *Repository, b *blob.Bucket) string {
				name := list(r, "1", second)
				flip(t, b, name)
				return name
			}},
		"LostList": {reason: "A list that is gone.", err: ErrNotFound, hurts: both, objects: 5,
			damage: func(t *testing.T, r *Repository, b *blob.Bucket) string {
				name := list(r, "1", first)
				if err := b.Delete(t.Context(), name); err != nil {
					t.Fatal(err)
				}
				return name
			}},
		"CorruptManifest": {reason: "The others are read all the same.", err: ErrCorrupt, hurts: one, objects: 6,
			damage: func(t *testing.T, _ *Repository, b *blob.Bucket) string {
				flip(t, b, manifestName("1", second))
				return manifestName("1", second)
			}},
		"CorruptEpoch": {reason: "Who owns the slot is not known, yet its state is.", err: ErrCorrupt, objects: 6,
			damage: func(t *testing.T, _ *Repository, b *blob.Bucket) string {
				flip(t, b, epochObject("0", 1))
				return epochObject("0", 1)
			}},
		"Unneeded": {reason: "A chunk that nobody needs hurts nobody yet.", err: ErrCorrupt, objects: 7,
			damage: func(t *testing.T, r *Repository, b *blob.Bucket) string {
				id, _ := r.ID([]byte("unneeded"))
				if _, err := r.put(t.Context(), id, []byte("unneeded"), noRenew); err != nil {
					t.Fatal(err)
				}
				flip(t, b, chunkName(id))
				return chunkName(id)
			}},
	}
	for name, tc := range cases {
		for _, budget := range []int64{1, 1 << 30} {
			t.Run(fmt.Sprint(name, budget), func(t *testing.T) {
				mem := memblob.OpenBucket(nil)
				defer mem.Close()
				r := twoSlots(t, mem)
				object := tc.damage(t, r, mem)
				got, portions := scrubbed(t, r, budget)
				if got.Slots != 2 || got.Chunks != tc.objects || (budget == 1) != (portions > 2) {
					t.Errorf("%s Scrub of %d portions: got %+v", tc.reason, portions, got)
				}
				// A list is found by the slots' portion and by the chunks'.
				got.Damaged = slices.CompactFunc(got.Damaged, func(a, b Damage) bool { return a.Object == b.Object })
				var want []Damage
				if object != "" {
					want = []Damage{{Object: object, Err: tc.err, Hurts: tc.hurts}}
				}
				if diff := cmp.Diff(want, got.Damaged, cmpopts.EquateErrors(), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%s -want, +got:\n%s", tc.reason, diff)
				}
			})
		}
	}
}

// A store that is not reached ends the portion, not the scrub: it goes on where it was, and finds what there is.
func TestScrubFaults(t *testing.T) {
	mem := memblob.OpenBucket(nil)
	defer mem.Close()
	r := twoSlots(t, mem)
	id, _ := r.ID([]byte("both"))
	flip(t, mem, chunkName(id))
	for at := 1; ; at++ {
		asked := 0
		faulty := *r
		faulty.store.bucket = gatedBucket(mem, func() (bool, bool) { asked++; return asked != at, asked != at })
		cursor, failed, found, ended := Cursor(""), 0, false, false
		for step := 0; !ended; step++ {
			got, next, err := faulty.Scrub(t.Context(), cursor, 100)
			if err != nil {
				failed++
			}
			for _, d := range got.Damaged {
				found = found || strings.HasSuffix(d.Object, id.String())
			}
			ended = err == nil && next == ""
			if cursor = next; step > 100 {
				t.Fatalf("fault at %d: no end", at)
			}
		}
		if asked < at {
			t.Logf("%d requests", asked)
			return
		}
		if failed != 1 || !found {
			t.Errorf("fault at %d: %d portions failed, the damage was found: %t", at, failed, found)
		}
	}
}

func TestScrubCursor(t *testing.T) {
	mem := memblob.OpenBucket(nil)
	defer mem.Close()
	r := twoSlots(t, mem)
	for _, c := range []Cursor{"x", "chunks/", "chunks/zz", "chunk"} {
		if _, _, err := r.Scrub(t.Context(), c, 1); !errors.Is(err, ErrInvalid) {
			t.Errorf("Scrub at %q: got %v, want ErrInvalid", c, err)
		}
	}
}

// A corrupt chunk is relied on until it is discarded; then the next save of the same bytes heals what was hurt.
func TestDiscard(t *testing.T) {
	mem := memblob.OpenBucket(nil)
	defer mem.Close()
	r := twoSlots(t, mem)
	id, _ := r.ID([]byte("both"))
	flip(t, mem, chunkName(id))
	if err := r.Discard(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if got, _ := scrubbed(t, r, 1<<30); len(got.Damaged) != 1 || !errors.Is(got.Damaged[0].Err, ErrNotFound) {
		t.Errorf("after Discard: %+v, want one chunk that is gone", got.Damaged)
	}
	s, err := r.Session(t.Context(), "0", 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := save(t.Context(), s, "both"); err != nil {
		t.Fatal(err)
	}
	if got, _ := scrubbed(t, r, 1<<30); len(got.Damaged) != 0 {
		t.Errorf("after a save: %+v, want all to be healed", got.Damaged)
	}
	if err := r.Discard(t.Context(), id); err != nil {
		t.Error(err)
	}
	if got, err := r.Get(t.Context(), id); err != nil || !bytes.Equal(got, []byte("both")) {
		t.Errorf("Discard of what is whole: it is %q, %v", got, err)
	}
}
