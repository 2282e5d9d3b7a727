package saver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"gocloud.dev/blob"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/store"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A diary is a log that is read while it is written.
type diary struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (d *diary) Write(b []byte) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()

	return d.b.Write(b)
}

func (d *diary) has(text string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()

	return strings.Contains(d.b.String(), text)
}

// outcomes returns how many attempts ended in each way.
func outcomes(t *testing.T, s *Saver) map[string]float64 {
	t.Helper()

	r := prometheus.NewRegistry()
	r.MustRegister(s)

	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}

	out := map[string]float64{}

	for _, f := range all {
		if f.GetName() != monitorapi.MetricCheckpoints {
			continue
		}

		for _, m := range f.GetMetric() {
			if v := m.GetCounter().GetValue(); v > 0 {
				out[m.GetLabel()[0].GetValue()] = v
			}
		}
	}

	return out
}

// A shifted clock is ahead of the machine's.
type shifted struct{ ahead atomic.Int64 }

func (s *shifted) now() time.Time          { return time.Now().Add(time.Duration(s.ahead.Load())) }
func (s *shifted) forward(d time.Duration) { s.ahead.Add(int64(d)) }

// A sweeping is a sweep that goes on until it is let go.
type sweeping struct {
	*stepper
	began, gate chan struct{}
}

func (s *sweeping) Delete(ctx context.Context, key string) error {
	close(s.began) // There is one chunk to remove.
	<-s.gate

	return s.to.Delete(ctx, key)
}

// sweep begins a sweep that has a chunk to remove, by a clock that is a day and an hour ahead. end lets it end, and waits for that.
func (h *home) sweep(t *testing.T, now func() time.Time) (end func()) {
	t.Helper()

	b, err := store.Open(t.Context(), h.config)
	if err != nil {
		t.Fatal(err)
	}

	w := &sweeping{stepper: &stepper{to: b, step: func() {}}, began: make(chan struct{}), gate: make(chan struct{})}
	slow := blob.NewBucket(w)

	r, err := checkpoint.Open(t.Context(), slow, testKey, checkpoint.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}

	if _, err := h.repo.ClaimAt(t.Context(), "9", 1, "another"); err != nil {
		t.Fatal(err)
	}

	other, err := h.repo.Session(t.Context(), "9", 1)
	if err != nil {
		t.Fatal(err)
	}

	if _, err := other.Put(t.Context(), []byte("no manifest needs this")); err != nil {
		t.Fatal(err)
	}

	ended := make(chan error, 1)

	go func() {
		got, err := r.Sweep(t.Context())
		if err == nil && got.Removed != 1 {
			err = fmt.Errorf("it removed %+v", got)
		}

		ended <- err
	}()

	select {
	case <-w.began:
	case err := <-ended:
		t.Fatalf("the sweep ended: %v", err)
	}

	end = sync.OnceFunc(func() {
		close(w.gate)

		if err := <-ended; err != nil {
			t.Errorf("the sweep: %v", err)
		}

		_ = slow.Close()
	})
	t.Cleanup(end)

	return end
}

// A sweepTest is a worker that wants to save what it had before, whose chunk is old, beside a sweep.
type sweepTest struct {
	*home

	place Place
	saver *Saver
	stop  func()
	clock *shifted
	log   *diary
	end   func()
}

// besideSweep starts one. Its saver looks at the state each interval.
func besideSweep(t *testing.T, interval time.Duration) *sweepTest {
	t.Helper()

	w := &sweepTest{home: newHome(t), clock: &shifted{}, log: &diary{}}
	w.place = w.worker(t, 1)
	w.place.options.Now = w.clock.now
	mustRestore(t, w.place, monitorapi.RestoreLatest)

	w.saver, w.stop = startAt(t, Config{Place: w.place, Interval: interval}, w.clock.now, slog.New(slog.NewJSONHandler(w.log, nil)))

	for _, text := range []string{"one", "two"} {
		put(t, w.place, "session", text)

		at := w.clock.now()
		eventually(t, "a save", func() bool { saved, _ := w.saver.Saved(text, at); return saved })
	}

	w.clock.forward(25 * time.Hour)
	w.end = w.sweep(t, w.clock.now)
	put(t, w.place, "session", "one")

	return w
}

// Beside a sweep a save that relies on an old chunk is made again, soon, and nobody is alarmed.
func TestSavedAgainBesideASweep(t *testing.T) {
	w := besideSweep(t, 20*time.Millisecond)
	eventually(t, "the save is made again", func() bool { return w.log.has("a sweep is under way") })

	if saved, why := w.saver.Saved("d", w.clock.now()); saved || !strings.Contains(why, "is being saved") {
		t.Errorf("beside the sweep a drain is told %t, %q", saved, why)
	}

	w.end()
	eventually(t, "the state is saved", func() bool { return w.saver.Status().Position >= "0000000001-0000000003" })
	w.stop()

	if st := w.saver.Status(); st.Failing != "" || st.FailingSince != nil || w.log.has(`"level":"WARN"`) {
		t.Errorf("somebody was alarmed: %+v", st)
	}

	if got := outcomes(t, w.saver); got[outcomeFailed] != 0 || got[outcomeFenced] != 0 {
		t.Errorf("attempts ended so: %v", got)
	}
}

// A sweep that does not end is an alarm.
func TestSweepThatDoesNotEnd(t *testing.T) {
	w := besideSweep(t, 20*time.Millisecond)
	eventually(t, "the save is made again", func() bool { return w.log.has("a sweep is under way") })

	if st := w.saver.Status(); st.Failing != "" {
		t.Errorf("the first time it is alarmed: %s", st.Failing)
	}

	w.clock.forward(againFails)
	eventually(t, "it is told as a failure", func() bool { return strings.Contains(w.saver.Status().Failing, "a sweep is under way") })
	w.end()
	eventually(t, "the alarm ends", func() bool { st := w.saver.Status(); return st.Failing == "" && st.Position >= "0000000001-0000000003" })
}

// The last save waits for a sweep, too: there is no later one.
func TestLastSaveBesideASweep(t *testing.T) {
	w := besideSweep(t, time.Hour)

	var stopped sync.WaitGroup

	stopped.Go(w.stop)
	eventually(t, "the last save is made again", func() bool { return w.log.has("a sweep is under way") })
	w.end()
	stopped.Wait()

	next := w.worker(t, 2)
	mustRestore(t, next, monitorapi.RestoreLatest)

	if got := read(t, next, "session"); got != "one" {
		t.Errorf("the successor begins with %q", got)
	}
}

// A save that took so long that a sweep may have taken its chunks is made again, and nobody is alarmed.
func TestSavedAgainWhenSlow(t *testing.T) {
	var (
		h, clock, log = newHome(t), &shifted{}, &diary{}
		once          sync.Once
	)

	agent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if b, _ := io.ReadAll(r.Body); strings.Contains(string(b), "false") { // It has been read, and is not committed yet.
			once.Do(func() { clock.forward(7 * time.Hour) })
		}
	}))
	defer agent.Close()

	p := h.worker(t, 1)
	p.options.Now = clock.now
	mustRestore(t, p, monitorapi.RestoreLatest)

	s, stop := startAt(t, Config{Place: p, Interval: 20 * time.Millisecond, QuiesceURL: agent.URL, QuiesceTimeout: time.Second}, time.Now, slog.New(slog.NewJSONHandler(log, nil)))
	put(t, p, "session", "one")
	eventually(t, "the state is saved", func() bool { return s.Status().Position != "" })
	stop()

	if st := s.Status(); !log.has("the save took too long") || st.FailingSince != nil || log.has(`"level":"WARN"`) || outcomes(t, s)[outcomeFailed] != 0 {
		t.Errorf("it was slow: %t, somebody was alarmed: %+v", log.has("the save took too long"), st)
	}
}

// After some errors nothing is tried again, not at the end either.
func TestFinalErrors(t *testing.T) {
	cases := map[string]struct {
		reason string
		err    error
		want   map[string]float64
		fenced bool
		why    string
	}{
		"Fenced": {
			reason: "Another owns the slot; whatever this one wrote would be lost, or worse, not.",
			err:    checkpoint.ErrFenced, want: map[string]float64{outcomeFenced: 1}, fenced: true, why: "another worker owns the slot",
		},
		"Version": {
			reason: "A newer program keeps the repository, by rules that this one does not know.",
			err:    checkpoint.ErrVersion, want: map[string]float64{outcomeFailed: 1}, why: "newer version",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			h := newHome(t)
			p := h.worker(t, 1)
			mustRestore(t, p, monitorapi.RestoreLatest)

			var opened atomic.Int64

			p.open = func(context.Context, store.Config) (*blob.Bucket, error) {
				opened.Add(1)

				return nil, fmt.Errorf("played: %w", tc.err)
			}

			s, stop := start(t, Config{Place: p, Interval: 20 * time.Millisecond})
			put(t, p, "session", "one")
			eventually(t, "the error is told", func() bool { st := s.Status(); return st.Fenced || st.FailingSince != nil })

			if saved, why := s.Saved("d", time.Now()); saved || !strings.Contains(why, tc.why) {
				t.Errorf("%s But a drain is told %t, %q", tc.reason, saved, why)
			}

			stop()

			if got := s.Status().Fenced; got != tc.fenced || opened.Load() != 1 {
				t.Errorf("%s But fenced is %t, after %d attempts", tc.reason, got, opened.Load())
			}

			if diff := cmp.Diff(tc.want, outcomes(t, s)); diff != "" {
				t.Errorf("%s But attempts ended otherwise (-want +got):\n%s", tc.reason, diff)
			}
		})
	}
}

// Any other error is tried again at the end, as long as there is time.
func TestLastSaveIsTriedAgain(t *testing.T) {
	h := newHome(t)
	p := h.worker(t, 1)
	mustRestore(t, p, monitorapi.RestoreLatest)

	var opened atomic.Int64

	p.open = func(ctx context.Context, c store.Config) (*blob.Bucket, error) {
		if opened.Add(1) == 1 {
			return nil, errors.New("it is down")
		}

		return store.Open(ctx, c)
	}

	s, stop := start(t, Config{Place: p})
	put(t, p, "session", "one")
	stop()

	if st := s.Status(); st.Position == "" || st.Failing != "" || opened.Load() != 2 {
		t.Errorf("after %d attempts: %+v", opened.Load(), st)
	}
}
