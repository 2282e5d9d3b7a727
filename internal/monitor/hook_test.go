package monitor

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A hookedAgent hears of drains, as it is told to.
type hookedAgent struct {
	mu sync.Mutex
	// fails is how many calls it fails, and slow how long it takes for each.
	fails int
	slow  time.Duration
	// tried is how many calls came, and heard those that it did not fail, with their deadlines as the time from the start.
	tried int
	start time.Time
	heard []heardCall
}

// A heardCall is what an agent heard of a drain.
type heardCall struct {
	Drain    bool
	ID       string
	Deadline time.Duration
}

// RoundTrip implements http.RoundTripper: in a bubble of time there is no network.
func (a *hookedAgent) RoundTrip(r *http.Request) (*http.Response, error) {
	var c hookCall
	if err := json.NewDecoder(r.Body).Decode(&c); err != nil {
		return nil, err
	}

	a.mu.Lock()
	slow := a.slow
	a.tried++
	a.mu.Unlock()

	select {
	case <-time.After(slow):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}

	a.mu.Lock()
	defer a.mu.Unlock()

	if a.fails > 0 {
		a.fails--

		return &http.Response{StatusCode: http.StatusInternalServerError, Body: http.NoBody}, nil
	}

	h := heardCall{Drain: c.Drain, ID: c.ID}
	if c.Deadline != nil {
		h.Deadline = c.Deadline.Sub(a.start)
	}

	a.heard = append(a.heard, h)

	return &http.Response{StatusCode: http.StatusNoContent, Body: http.NoBody}, nil
}

// What an agent is told of its worker's drains, and how often.
func TestDrainHook(t *testing.T) {
	drain := func(id string) map[string]string { return map[string]string{monitorapi.AnnotationDrain: id} }

	cases := map[string]struct {
		reason string
		fails  int
		slow   time.Duration
		do     func(w *Worker, a *hookedAgent)
		tried  int
		want   []heardCall
	}{
		"Once": {
			reason: "A drain is told once, and its withdrawal once.", tried: 2, want: []heardCall{{true, "d1", testLimit}, {}},
			do: func(w *Worker, _ *hookedAgent) {
				w.Obey(drain("d1"))
				time.Sleep(hookRepeat / 2)
				w.Obey(nil)
				time.Sleep(time.Hour)
			},
		},
		"Repeated": {
			reason: "A drain that goes on is told again and again, because an agent may have been restarted.", tried: 4, want: []heardCall{{true, "d1", testLimit}, {true, "d1", testLimit}, {true, "d1", testLimit}, {}},
			do: func(w *Worker, _ *hookedAgent) {
				w.Obey(drain("d1"))
				time.Sleep(2*hookRepeat + hookRepeat/2)
				w.Obey(nil)
				time.Sleep(time.Hour)
			},
		},
		"Again": {
			reason: "An agent that did not listen is told again.", fails: 2, tried: 3, want: []heardCall{{true, "d1", testLimit}},
			do: func(w *Worker, _ *hookedAgent) { w.Obey(drain("d1")); time.Sleep(hookRepeat / 2) },
		},
		"Never": {
			reason: "One that never listens is left alone until the drain is told again.", fails: 1000, tried: drainAttempts,
			do: func(w *Worker, _ *hookedAgent) { w.Stop(); time.Sleep(hookRepeat) },
		},
		"Another": {
			reason: "Another drain without a withdrawal between is told, with its own time.", tried: 2, want: []heardCall{{true, "d1", testLimit}, {true, "d2", testLimit + hookRepeat/2}},
			do: func(w *Worker, _ *hookedAgent) {
				w.Obey(drain("d1"))
				time.Sleep(hookRepeat / 2)
				w.Obey(drain("d2"))
				time.Sleep(hookRepeat / 2)
			},
		},
		"WithdrawnLate": {
			reason: "A withdrawal is told for long: an agent that does not hear of it takes no tasks though its worker does.", tried: 1 + 8, want: []heardCall{{true, "d1", testLimit}, {}},
			do: func(w *Worker, a *hookedAgent) {
				w.Obey(drain("d1"))
				time.Sleep(time.Second)
				a.mu.Lock()
				a.fails = 7
				a.mu.Unlock()
				w.Obey(nil)
				time.Sleep(5 * time.Minute)
			},
		},
		"WithdrawnNever": {
			reason: "But not for ever.", tried: 1 + withdrawAttempts, want: []heardCall{{true, "d1", testLimit}},
			do: func(w *Worker, a *hookedAgent) {
				w.Obey(drain("d1"))
				time.Sleep(time.Second)
				a.mu.Lock()
				a.fails = 1000
				a.mu.Unlock()
				w.Obey(nil)
				time.Sleep(24 * time.Hour)
			},
		},
		"DrainedAnew": {
			reason: "A drain is told at once though the withdrawal of the last is still being told.", tried: 1 + 6 + 1, want: []heardCall{{true, "d1", testLimit}, {true, "d2", testLimit + 41*time.Second}},
			do: func(w *Worker, a *hookedAgent) {
				w.Obey(drain("d1"))
				time.Sleep(time.Second)
				a.mu.Lock()
				a.fails = 6
				a.mu.Unlock()
				w.Obey(nil)
				time.Sleep(40 * time.Second)
				w.Obey(drain("d2"))
				time.Sleep(time.Second)
			},
		},
		"Slow": {
			reason: "A hook that takes too long has failed, and the drain does not wait for it.", slow: time.Hour, tried: drainAttempts,
			do: func(w *Worker, _ *hookedAgent) {
				w.Obey(drain("d1"))
				time.Sleep(testGrace + time.Second)

				if s := w.Status(); s.State != monitorapi.StateDrained {
					panic("the drain waits: " + s.Reason)
				}

				time.Sleep(hookRepeat / 2)
			},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &hookedAgent{fails: tc.fails, slow: tc.slow, start: time.Now()}
				h := &drainHook{url: "http://127.0.0.1:8080/drain", log: slog.New(slog.DiscardHandler), client: &http.Client{Timeout: time.Second, Transport: a}}
				w := NewWorker(monitorapi.Status{}, testTimes, time.Now)
				ctx, cancel := context.WithCancel(t.Context())

				go h.run(ctx, w)

				tc.do(w, a)
				cancel()
				synctest.Wait()

				if diff := cmp.Diff(tc.want, a.heard); diff != "" || a.tried != tc.tried {
					t.Errorf("\n%s\nit was told %d times, want %d: -want, +heard:\n%s", tc.reason, a.tried, tc.tried, diff)
				}
			})
		})
	}
}

func TestDrainHookConfig(t *testing.T) {
	for _, at := range []string{"", "https://127.0.0.1/drain", "http://192.0.2.1/drain"} {
		if _, err := newDrainHook(at, time.Second, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%q is taken for the agent's", at)
		}
	}
}
