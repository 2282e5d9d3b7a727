package checkpoint

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

// Nothing is ever done twice at a time in a repository, however long it takes and however many turns begin meanwhile: so a sweep
// never meets another, nor anything else that removes.
func TestOneTurnAtATime(t *testing.T) {
	w := newWorld(t, "pool")
	r := w.repos["pool"]
	r.save(t, "0", "state")

	free := make(chan struct{})
	r.hold = func(ctx context.Context, call string) error {
		if call != "Sweep" {
			return nil
		}

		select {
		case <-free:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}

	var wg sync.WaitGroup

	w.begin(t.Context(), &wg)
	eventually(t, func() string {
		if r.count("Sweep") == 0 {
			return "no sweep has begun"
		}

		return ""
	})

	for range 100 {
		w.pass(24 * time.Hour) // Everything is due again.
		w.begin(t.Context(), &wg)
	}

	close(free)
	wg.Wait()

	if r.most != 1 || r.count("Sweep") != 1 || r.count("Slots") != 1 {
		t.Errorf("%d calls at a time; while one sweep went on there were %d, and %d looks", r.most, r.count("Sweep"), r.count("Slots"))
	}

	// Once it is over the next turn begins.
	w.begin(t.Context(), &wg)
	wg.Wait()

	if r.count("Slots") != 2 {
		t.Error("no turn has begun after the long one")
	}
}

// A repository that is to be removed is left by the keeper first, however long it would have worked on it.
func TestHalt(t *testing.T) {
	w := newWorld(t, "pool")
	r := w.repos["pool"]
	name := client.ObjectKeyFromObject(w.get(t, "pool"))

	if err := w.halt(t.Context(), name); err != nil {
		t.Errorf("nothing goes on, and that cannot be ended: %v", err)
	}

	r.hold = func(ctx context.Context, call string) error {
		if call == "Sweep" {
			<-ctx.Done()
		}

		return nil // It goes on to its end.
	}

	var wg sync.WaitGroup

	turns, end := context.WithCancel(t.Context())
	defer end()

	w.begin(turns, &wg)
	eventually(t, func() string {
		if r.count("Sweep") == 0 {
			return "no sweep has begun"
		}

		return ""
	})

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()

	if err := w.halt(ctx, name); err != nil {
		t.Fatalf("the turn cannot be ended: %v", err)
	}

	r.mu.Lock()
	defer r.mu.Unlock()

	if r.now != 0 {
		t.Errorf("%d calls go on in a repository that is about to be removed", r.now)
	}

	wg.Wait()
}

// Stores that hang hold nobody else up: neither many of them in a look, nor one in its work.
func TestHangingStores(t *testing.T) {
	names := []string{"good", "works"}
	for i := range lookers - 2 {
		names = append(names, fmt.Sprint("hangs-", i))
	}

	w := newWorld(t, names...)

	for name, r := range w.repos {
		r.save(t, "0", "state")

		at := map[string]string{"good": "", "works": "Verify"}[name]
		if strings.HasPrefix(name, "hangs") {
			at = "Slots"
		}

		r.hold = func(ctx context.Context, call string) error {
			if call == at {
				<-ctx.Done()

				return ctx.Err()
			}

			return nil
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)

	go func() { done <- w.Start(ctx) }()

	eventually(t, func() string {
		if n := w.repos["good"].count("Slots"); n < 5 {
			return fmt.Sprintf("the good repository had %d turns", n)
		}

		return ""
	})
	cancel()

	if err := <-done; err != nil {
		t.Errorf("the keeper ended with %v", err)
	}

	if n := w.repos["good"].count("Verify"); n != 1 {
		t.Errorf("the good repository's checkpoint was read back %d times", n)
	}
}

// A store that cannot be reached is left alone for longer each time, and looked after at once when it is back.
func TestUnreached(t *testing.T) {
	w := newWorld(t, "pool")
	r := w.repos["pool"]
	r.hold = func(context.Context, string) error { return errUnreached }

	var wg sync.WaitGroup

	for range 3600 {
		w.pass(time.Second)
		w.begin(t.Context(), &wg)
		wg.Wait()
	}

	// It doubles up to ten minutes, and a second passes at a time.
	if n := r.count("Slots"); n < 10 || n > 30 {
		t.Errorf("a store that was down for an hour was asked %d times", n)
	}

	r.hold = func(context.Context, string) error { return nil }

	w.pass(maxRest)

	for range 3 {
		w.pass(time.Second)
		w.begin(t.Context(), &wg)
		wg.Wait()
	}

	if at := w.at(t, "pool"); at.Slots == nil || r.count("Sweep") != 1 {
		t.Errorf("the store is back, and the status says %+v", at)
	}
}

// What is not to be looked after is not, and what went without asking is forgotten.
func TestLeftAlone(t *testing.T) {
	w := newWorld(t, "paused", "unready", "gone")

	paused := w.get(t, "paused")
	paused.Annotations = map[string]string{"crossplane.io/paused": "true"}

	unready := w.get(t, "unready")
	unready.SetConditions(xpv2.Unavailable())

	for _, mg := range []*v1alpha1.Checkpoint{paused, unready} {
		if err := w.kube.Update(t.Context(), mg); err != nil {
			t.Fatal(err)
		}
	}

	var wg sync.WaitGroup

	turn := func() {
		w.pass(time.Minute)
		w.begin(t.Context(), &wg)
		wg.Wait()
	}
	turn()

	for name, want := range map[string]int{"paused": 0, "unready": 0, "gone": 1} {
		if n := w.repos[name].count("Slots"); n != want {
			t.Errorf("%s was looked at %d times, want %d", name, n, want)
		}
	}

	if err := w.kube.Delete(t.Context(), w.get(t, "gone")); err != nil {
		t.Fatal(err)
	}

	turn()

	if len(w.reports) != 0 || len(w.metrics.pools) != 0 {
		t.Errorf("a Checkpoint is gone, and is remembered: %v, %v", w.reports, w.metrics.pools)
	}
}

// Who must know of something at once is woken for it, and for nothing else.
func TestWakes(t *testing.T) {
	w := newWorld(t, "pool")
	r := w.repos["pool"]
	woken := func() int {
		n := len(w.wake)
		for range n {
			<-w.wake
		}

		return n
	}

	_, chunk := r.save(t, "0", "state")
	w.turns(t, "pool", 5, time.Minute)

	if n := woken(); n != 1 {
		t.Errorf("the first look woke %d times, want once", n)
	}

	r.save(t, "0", "next")
	w.turns(t, "pool", 5, time.Minute)

	if n := woken(); n != 0 {
		t.Errorf("a new checkpoint woke %d times", n)
	}

	r.spoil(t, chunk)
	w.turns(t, "pool", 20, 24*time.Hour)

	if n := woken(); n != 1 {
		t.Errorf("a corrupt chunk woke %d times, want once", n)
	}
}

// The metrics tell of a pool what its status tells, and how old its newest checkpoint is now.
func TestMetrics(t *testing.T) {
	w := newWorld(t, "pool")
	r := w.repos["pool"]
	_, chunk := r.save(t, "0", "state")
	r.save(t, "1", "other")
	r.spoil(t, chunk)
	w.turns(t, "pool", 1, time.Minute)

	at := w.at(t, "pool")
	w.metrics.now = func() time.Time { return at.NewestTime.Add(90 * time.Second) }

	want := map[string]float64{
		`verifications_total{OK}`: 1, `verifications_total{Corrupt}`: 1, `verified_bytes_total`: 5,
		`newest_age_seconds{pool ns}`: 90, `state_bytes{pool ns}`: 10, `stored_bytes{pool ns}`: float64(*at.StoredBytes),
		`corrupt_objects{pool ns}`: 1, `unverified_slots{pool ns}`: 1, `sweep_duration_seconds`: 1, `scrub_duration_seconds`: 1,
		`pruned_total`: 0, `swept_chunks_total`: 0, `freed_bytes_total`: 0, `failed_turns_total`: 0,
	}

	got := gathered(t, w.metrics)
	delete(got, "scrubbed_bytes_total") // As much as the portion was.

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}
