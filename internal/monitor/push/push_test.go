package push

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// figures are those of an agent: one that goes up and down, and one that only grows.
type figures struct {
	reg    *prometheus.Registry
	depth  prometheus.Gauge
	tokens *prometheus.CounterVec
}

func newFigures() figures {
	f := figures{
		reg:    prometheus.NewRegistry(),
		depth:  prometheus.NewGauge(prometheus.GaugeOpts{Name: "agent_queue_depth", Help: "h"}),
		tokens: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "agent_tokens_total", Help: "h"}, []string{"model"}),
	}
	memory := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: metricMemory, Help: "h"}, func() float64 { return float64(time.Now().UnixNano()) })
	f.reg.MustRegister(f.depth, f.tokens, memory)

	return f
}

// run runs a pusher in simulated time while f does what it does, and ends it.
func run(t *testing.T, p *Pusher, f func()) {
	t.Helper()

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})

	go func() { defer close(ended); p.Run(ctx) }()

	synctest.Wait()
	f()
	cancel()
	<-ended
}

// Nothing is pushed but what changed, within a second, and all every 30 seconds.
func TestWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFigures(), newServer()
		run(t, newTestPusher(t, f.reg, s, io.Discard), func() {
			time.Sleep(10500 * time.Millisecond)
			f.depth.Set(1)
			time.Sleep(100 * time.Millisecond)
			f.depth.Set(2)
			time.Sleep(25 * time.Second)
		})

		second := time.Second
		if diff := cmp.Diff([]time.Duration{0, 11 * second, 30 * second, 35*second + 600*time.Millisecond}, s.at); diff != "" {
			t.Errorf("when it pushed: -want, +got:\n%s", diff)
		}

		// The depth, the memory, three outcomes, and what was dropped.
		if diff := cmp.Diff([]int{6, 1, 6, 6}, s.sizes); diff != "" {
			t.Errorf("how many series: -want, +got:\n%s", diff)
		}

		if diff := cmp.Diff([]uint64{bits(0), bits(2), bits(2), bits(2), staleNaN}, s.values("agent_queue_depth")); diff != "" {
			t.Errorf("the depth: -want, +got:\n%s", diff)
		}
	})
}

// What an agent does is pushed, by either kind of names, and what its monitor does; not what the runtime tells of itself.
func TestPushed(t *testing.T) {
	for name, want := range map[string]bool{
		"agent_tokens_total": true, "gen_ai_client_token_usage": true, "aidispatcher_monitor_info": true, metricMemory: true,
		"go_goroutines": false, "process_open_fds": false, "promhttp_metric_handler_requests_total": false,
	} {
		if got := pushed(name); got != want {
			t.Errorf("%s is pushed: %t", name, got)
		}
	}
}

// A series that is gone ends at once, and one that comes back is told at once.
func TestGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFigures(), newServer()
		run(t, newTestPusher(t, f.reg, s, io.Discard), func() {
			f.reg.Unregister(f.depth)
			time.Sleep(5 * time.Second)
			f.reg.MustRegister(f.depth)
			time.Sleep(2 * time.Second)
		})

		want := []uint64{bits(0), staleNaN, bits(0), bits(0), staleNaN}
		if diff := cmp.Diff(want, s.values("agent_queue_depth")); diff != "" {
			t.Errorf("the depth: -want, +got:\n%s", diff)
		}
	})
}

// Whatever fails for however long, nothing that was counted is lost or counted twice once the server takes figures again.
func TestFaults(t *testing.T) {
	answer := func(code int, header ...string) func(func()) (*http.Response, error) {
		return func(func()) (*http.Response, error) { return reply(code, "no", header...), nil }
	}

	cases := map[string]struct {
		reason string
		fault  func(store func()) (*http.Response, error)
		// requests are the least and the most requests in 10 minutes of the fault.
		least, most int
		outcome     string
		born        bool
	}{
		"Down":     {reason: "A server that is down is tried again with backoff.", fault: func(func()) (*http.Response, error) { return nil, errDown }, least: 20, most: 60, outcome: outcomeRetried, born: true},
		"Broken":   {reason: "So is one that fails.", fault: answer(500), least: 20, most: 60, outcome: outcomeRetried},                                                         //nolint:bodyclose // It has none.
		"Busy":     {reason: "A server that says when is asked then.", fault: answer(429, "Retry-After", "120"), least: 5, most: 6, outcome: outcomeRetried, born: true},        //nolint:bodyclose // It has none.
		"BusyLong": {reason: "But it does not silence a worker for a day.", fault: answer(503, "Retry-After", "86400"), least: 2, most: 3, outcome: outcomeRetried, born: true}, //nolint:bodyclose // It has none.
		"Refused":  {reason: "What is refused is not sent again until all is.", fault: answer(400), least: 19, most: 21, outcome: outcomeDropped},                               //nolint:bodyclose // It has none.
		"Moved":    {reason: "A redirect is a refusal.", fault: answer(307, "Location", "http://example.org"), least: 19, most: 21, outcome: outcomeDropped},                    //nolint:bodyclose // It has none.
		"Unheard": {reason: "A sample that was stored without an answer is no sample that was not.", fault: func(store func()) (*http.Response, error) {
			store()

			return nil, errors.New("connection reset")
		}, least: 20, most: 60, outcome: outcomeRetried, born: true},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f, s := newFigures(), newServer()
				f.tokens.WithLabelValues("m").Add(7)

				p := newTestPusher(t, f.reg, s, io.Discard)
				run(t, p, func() {
					time.Sleep(5 * time.Second)

					before := s.fail(tc.fault)

					for range 600 {
						f.tokens.WithLabelValues("m").Inc()
						f.tokens.WithLabelValues("born").Inc()
						f.depth.Inc()
						time.Sleep(time.Second)
					}

					if n := s.fail(nil) - before; n < tc.least || n > tc.most {
						t.Errorf("\n%s\n%d requests, want %d to %d", tc.reason, n, tc.least, tc.most)
					}

					if n := count(p.pushes.WithLabelValues(tc.outcome)); n < float64(tc.least) {
						t.Errorf("\n%s\n%v pushes are %s", tc.reason, n, tc.outcome)
					}

					time.Sleep(patience + time.Second)
				})

				// The increase of a counter that was born while the server refused is not seen, as it would not be by a scrape,
				// unless it is known that no sample of it was stored.
				want := []float64{607, 0}
				if tc.born {
					want[1] = 600
				}

				got := []float64{s.increase(`agent_tokens_total,model=m`), s.increase(`agent_tokens_total,model=born`)}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("\n%s\nincrease: -want, +got:\n%s", tc.reason, diff)
				}
			})
		})
	}
}

// A last push that fails is tried again, but not for ever.
func TestLastPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFigures(), newServer()

		run(t, newTestPusher(t, f.reg, s, io.Discard), func() {
			s.fault = func(func()) (*http.Response, error) {
				s.fault = nil

				return reply(503, ""), nil
			}
		})

		if v := s.values("agent_queue_depth"); v[len(v)-1] != staleNaN {
			t.Errorf("the depth outlives its worker: %x", v)
		}

		f, s = newFigures(), newServer()
		s.fault = func(func()) (*http.Response, error) { return nil, errDown }
		began := time.Now()

		run(t, newTestPusher(t, f.reg, s, io.Discard), func() {})

		if took := time.Since(began); took != lastTimeout {
			t.Errorf("it took %s to give up, want %s", took, lastTimeout)
		}
	})
}

// A clock that goes back does not make the server refuse what comes after.
func TestClock(t *testing.T) {
	l := ledger{entries: map[string]*entry{}}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

	a, b, c := l.stamp(now), l.stamp(now.Add(-time.Hour)), l.stamp(now.Add(time.Minute))
	if diff := cmp.Diff([]int64{now.UnixMilli(), now.UnixMilli() + 3, now.UnixMilli() + 60_000}, []int64{a, b, c}); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

// A day without a server costs no memory: nothing waits but the newest value, and that is in the registry.
func TestOutageIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer

		f, s := newFigures(), newServer()
		p := newTestPusher(t, f.reg, s, &log)
		s.fault = func(func()) (*http.Response, error) { s.at, s.sizes = nil, nil; return nil, errDown }

		run(t, p, func() {
			for n := range 24 * 60 {
				f.tokens.WithLabelValues(fmt.Sprint(n % 20)).Inc()
				f.depth.Inc()
				time.Sleep(time.Minute)
			}
		})

		if n := strings.Count(log.String(), "\n"); n < 1000 || n > 24*60+2 {
			t.Errorf("%d lines were logged in a day, want one a minute", n)
		}

		if n := len(p.ledger.entries); n != 26 {
			t.Errorf("%d series are held, want 26", n)
		}

		if n := cap(p.message.plain) + cap(p.message.packed); n > 16<<10 {
			t.Errorf("%d bytes are held for a message", n)
		}
	})
}

// Series beyond the bound are dropped and counted, and the rest is told.
func TestTooManySeries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, s := newFigures(), newServer()
		for n := range 2 * maxSeries {
			f.tokens.WithLabelValues(fmt.Sprint(n)).Inc()
		}

		p := newTestPusher(t, f.reg, s, io.Discard)
		run(t, p, func() { time.Sleep(time.Minute + time.Second) })

		// What exists beside the tokens is six series; nobody says which are told.
		if n := len(p.ledger.entries); n != maxSeries || len(s.series) != maxSeries {
			t.Errorf("%d series are held, and %d were told, want %d", n, len(s.series), maxSeries)
		}

		if n := count(p.lost); n != 4*(maxSeries+6) {
			t.Errorf("%v samples are counted as dropped in three pushes and the last", n)
		}

		for _, n := range s.sizes {
			if n > batch {
				t.Errorf("a request has %d series", n)
			}
		}
	})
}
