package checkpoint

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestRemovable(t *testing.T) {
	at := func(s string) time.Time {
		out, err := time.Parse("2006-01-02 15:04", "2026-01-"+s)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	all := []Kept{
		{Position: Position{2, 4}, Time: at("03 10:50")},
		{Position: Position{2, 3}, Time: at("03 10:40")},
		{Position: Position{2, 2}, Time: at("03 09:50")},
		{Position: Position{2, 1}, Time: at("03 09:40")},
		{Position: Position{1, 3}, Time: at("02 23:59"), Never: true},
		{Position: Position{1, 2}, Time: at("02 23:50")},
		{Position: Position{1, 1}, Time: at("01 12:00")},
	}
	cases := map[string]struct {
		reason string
		rules  Retain
		want   []Position
	}{
		"None":   {reason: "The newest stays, and what is pinned.", want: []Position{{2, 3}, {2, 2}, {2, 1}, {1, 2}, {1, 1}}},
		"Last":   {reason: "The newest few stay; what is pinned does not count.", rules: Retain{Last: 5}, want: []Position{{1, 1}}},
		"Hourly": {reason: "The newest of each of the last hours that have any.", rules: Retain{Hourly: 3}, want: []Position{{2, 3}, {2, 1}, {1, 1}}},
		"Daily":  {reason: "The newest of each day.", rules: Retain{Daily: 3}, want: []Position{{2, 3}, {2, 2}, {2, 1}}},
		"All":    {reason: "What any rule keeps stays.", rules: Retain{Last: 2, Hourly: 2, Daily: 2}, want: []Position{{2, 1}, {1, 1}}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.rules.Removable(all)); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestRemovableProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []Kept
		at := time.Unix(1e9, 0)
		for i := range rapid.IntRange(0, 60).Draw(t, "manifests") {
			// Clocks of two workers may differ.
			at = at.Add(-time.Duration(rapid.IntRange(-100, 30000).Draw(t, "seconds")) * time.Second)
			all = append(all, Kept{Position: Position{Epoch: 1, Sequence: int64(100 - i)}, Time: at, Never: rapid.Bool().Draw(t, "never")})
		}
		rules := Retain{Last: rapid.IntRange(0, 9).Draw(t, "last"), Hourly: rapid.IntRange(0, 9).Draw(t, "hourly"), Daily: rapid.IntRange(0, 9).Draw(t, "daily")}
		gone := rules.Removable(all)
		more := rules
		more.Hourly++
		for _, p := range more.Removable(all) {
			if !slices.Contains(gone, p) {
				t.Fatalf("a rule that keeps more lets %s go", p)
			}
		}
		left := slices.DeleteFunc(slices.Clone(all), func(k Kept) bool { return slices.Contains(gone, k.Position) })
		for _, k := range all {
			if k.Never && slices.Contains(gone, k.Position) {
				t.Fatalf("%s goes although it never may", k.Position)
			}
		}
		if again := rules.Removable(left); len(again) > 0 {
			t.Fatalf("what was kept goes the next time: %v", again)
		}
		if i := slices.IndexFunc(all, func(k Kept) bool { return !k.Never }); i >= 0 && slices.Contains(gone, all[i].Position) {
			t.Fatal("the newest goes")
		}
	})
}

func TestPinsAndPrune(t *testing.T) {
	for name, b := range buckets(t) {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			r, err := Create(ctx, b, testKey, testPool, quick())
			if err != nil {
				t.Fatal(err)
			}
			s := mustClaim(t, r)
			for _, text := range []string{"1", "2", "3", "4"} {
				if _, err := save(ctx, s, text); err != nil {
					t.Fatal(err)
				}
			}
			second := Position{Epoch: 1, Sequence: 2}
			if err := r.Pin(ctx, "w-0", second, "before the upgrade"); err != nil {
				t.Fatal(err)
			}
			if err := r.Pin(ctx, "w-0", second, "again"); !errors.Is(err, ErrExists) {
				t.Errorf("Pin of what is pinned: %v", err)
			}
			if err := r.Pin(ctx, "w-0", Position{Epoch: 7, Sequence: 7}, "nothing"); !errors.Is(err, ErrNotFound) {
				t.Errorf("Pin of what is not there: %v", err)
			}
			pins, err := r.Pins(ctx, "w-0")
			if diff := cmp.Diff(map[Position]string{second: "before the upgrade"}, pins); err != nil || diff != "" {
				t.Errorf("Pins: %v, -want, +got:\n%s", err, diff)
			}
			gone, err := r.Prune(ctx, "w-0", Retain{Last: 1})
			if diff := cmp.Diff([]Position{{1, 1}, {1, 3}}, gone); err != nil || diff != "" {
				t.Errorf("Prune: %v, -want, +got:\n%s", err, diff)
			}
			if err := r.Remove(ctx, "w-0", second, true); !errors.Is(err, ErrPinned) {
				t.Errorf("Remove of what is pinned: %v", err)
			}
			if err := r.Remove(ctx, "w-0", Position{Epoch: 1, Sequence: 4}, false); !errors.Is(err, ErrInvalid) {
				t.Errorf("Remove of the newest: %v", err)
			}
			if err := r.Unpin(ctx, "w-0", second); err != nil {
				t.Fatal(err)
			}
			if err := r.Unpin(ctx, "w-0", second); !errors.Is(err, ErrNotFound) {
				t.Errorf("Unpin of what is not pinned: %v", err)
			}
			if got := state(t, b); got != "4" {
				t.Errorf("the state is %q", got)
			}
			sum, err := r.Summarize(ctx, "w-0")
			if err != nil || sum.Checkpoints != 2 || sum.Newest == nil || sum.Newest.Sequence != 4 || sum.Owner.Epoch != 2 || sum.Owner.Holder != "look" || sum.Problem != nil {
				t.Errorf("Summarize: %+v, %v", sum, err)
			}
			slots, err := r.Slots(ctx)
			if diff := cmp.Diff([]string{"w-0"}, slots); err != nil || diff != "" {
				t.Errorf("Slots: %v, -want, +got:\n%s", err, diff)
			}
			if n, err := r.PruneEpochs(ctx, "w-0", 1); n != 1 || err != nil {
				t.Errorf("PruneEpochs: %d, %v", n, err)
			}
			if e, err := r.Highest(ctx, "w-0"); e.Epoch != 2 || err != nil {
				t.Errorf("after it the highest is %d, %v", e.Epoch, err)
			}
		})
	}
}
