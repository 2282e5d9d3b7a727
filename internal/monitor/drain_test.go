package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/southwest-ai/agent-operator/internal/monitor/tasks"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// What a drain waits for.
func TestDrainWaits(t *testing.T) {
	const (
		told = "the worker was told to drain"
		hour = time.Hour
	)

	known := func(depth, flight int64) monitorapi.Tasks {
		return monitorapi.Tasks{Known: true, QueueDepth: &depth, InFlight: &flight}
	}
	depthOnly := func(depth int64) monitorapi.Tasks { return monitorapi.Tasks{Known: true, QueueDepth: &depth} }

	cases := map[string]struct {
		reason string
		tasks  monitorapi.Tasks
		// read is when they were read, after the drain began.
		read, after time.Duration
		open        int64
		// ended is when the last request ended, after the drain began.
		ended time.Duration
		state monitorapi.State
		says  string
	}{
		"Idle":          {reason: "An idle worker has drained when requests had time to go elsewhere.", tasks: known(0, 0), read: testGrace, after: testGrace, state: monitorapi.StateDrained, says: told},
		"ReadTooEarly":  {reason: "What was read before may not have seen the last task.", tasks: known(0, 0), read: testGrace - 1, after: testGrace, state: monitorapi.StateDraining, says: told + ": its load was not read yet"},
		"InFlight":      {reason: "A task in flight is waited for.", tasks: known(1, 1), read: hour, after: hour, state: monitorapi.StateDraining, says: told + ": 1 tasks are in flight"},
		"Waiting":       {reason: "A task that only waits is not.", tasks: known(3, 0), read: hour, after: hour, state: monitorapi.StateDrained, says: told},
		"DepthOnly":     {reason: "Where nobody tells what is in flight, all that is unfinished is waited for.", tasks: depthOnly(2), read: hour, after: hour, state: monitorapi.StateDraining, says: told + ": 2 tasks are in flight"},
		"Unknown":       {reason: "No data is not zero.", tasks: monitorapi.Tasks{Reason: "the agent answers 500"}, after: hour, state: monitorapi.StateDraining, says: told + ": its load is not known: the agent answers 500"},
		"Open":          {reason: "A request that is open is a task.", tasks: known(0, 0), read: hour, after: hour, open: 2, state: monitorapi.StateDraining, says: told + ": 2 requests are open"},
		"ReadBeforeEnd": {reason: "What was read before a request ended may not have seen the task that it began.", tasks: known(0, 0), read: testGrace, after: hour, ended: testGrace + 1, state: monitorapi.StateDraining, says: told + ": its load was not read yet"},
		"ReadAfterEnd":  {reason: "What was read after it has.", tasks: known(0, 0), read: testGrace + 1, after: hour, ended: testGrace + 1, state: monitorapi.StateDrained, says: told},
		"Late":          {reason: "Nothing is waited for for ever, and what was left is said.", tasks: known(1, 1), read: testLimit, after: testLimit, state: monitorapi.StateDrained, says: told + ": its time was over, and 1 tasks are in flight"},
		"LateUnknown":   {reason: "Nor is an agent of which nothing is known.", tasks: monitorapi.Tasks{Reason: "x"}, after: testLimit, state: monitorapi.StateDrained, says: told + ": its time was over, and its load is not known: x"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			clock := epoch
			w := NewWorker(monitorapi.Status{}, testTimes, func() time.Time { return clock })
			w.Sense(Senses{
				Tasks: func() (monitorapi.Tasks, time.Time) { return tc.tasks, epoch.Add(tc.read) },
				Open:  func() int64 { return tc.open },
				Ended: func() time.Time { return epoch.Add(tc.ended) },
			})
			w.Obey(map[string]string{monitorapi.AnnotationDrain: "d1"})

			clock = epoch.Add(tc.after)

			got := w.Status()
			if got.State != tc.state || got.Reason != tc.says || got.Ready {
				t.Errorf("\n%s\n%s, %q\nwant %s, %q", tc.reason, got.State, got.Reason, tc.state, tc.says)
			}
		})
	}
}

// Whatever happens to a worker: it has not drained while a task is known to be in flight and there is time, it is ready if and
// only if it is active, what has drained stays so, a withdrawal brings it back at once, and another drain begins anew.
func TestDrainHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clock := epoch
		flight, known := int64(0), true
		w := NewWorker(monitorapi.Status{}, testTimes, func() time.Time { return clock })
		w.Sense(Senses{Tasks: func() (monitorapi.Tasks, time.Time) {
			n := flight

			return monitorapi.Tasks{Known: known, InFlight: &n}, clock
		}})

		var began time.Time

		id, before := 0, monitorapi.StateActive

		check := func(*rapid.T) {
			s := w.Status()

			switch {
			case s.Ready != (s.State == monitorapi.StateActive):
				t.Fatalf("%s, and ready is %t", s.State, s.Ready)
			case s.Ready != began.IsZero():
				t.Fatalf("it was told at %v and is %s", began, s.State)
			case before == monitorapi.StateDrained && s.State == monitorapi.StateDraining:
				t.Fatal("it drains again")
			case before != monitorapi.StateDrained && s.State == monitorapi.StateDrained && (flight > 0 || !known) && clock.Before(began.Add(testLimit)):
				t.Fatalf("it has drained with %d tasks in flight, known %t", flight, known)
			}

			before = s.State
		}

		t.Repeat(map[string]func(*rapid.T){
			"": check,
			"drain": func(*rapid.T) {
				if w.Obey(map[string]string{monitorapi.AnnotationDrain: fmt.Sprint("d", id)}); began.IsZero() {
					began = clock
				}
			},
			"another": func(*rapid.T) {
				id++
				began, before = clock, monitorapi.StateDraining

				w.Obey(map[string]string{monitorapi.AnnotationDrain: fmt.Sprint("d", id)})

				if _, deadline := w.Drain(); !deadline.Equal(clock.Add(testLimit)) {
					t.Fatalf("another drain ends at %s, want %s", deadline, clock.Add(testLimit))
				}
			},
			"withdraw": func(*rapid.T) { w.Obey(nil); began, before = time.Time{}, monitorapi.StateActive },
			"pass":     func(t *rapid.T) { clock = clock.Add(time.Duration(rapid.Int64Range(0, int64(testLimit)).Draw(t, "d"))) },
			"work":     func(t *rapid.T) { flight = rapid.Int64Range(0, 3).Draw(t, "n") },
			"sight":    func(t *rapid.T) { known = rapid.Bool().Draw(t, "known") },
		})
	})
}

// An agent whose task lasts until it is told otherwise, and that tells its load and hears of drains.
type testAgent struct {
	mu    sync.Mutex
	tasks int
	told  []bool
}

func (a *testAgent) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()

	switch r.URL.Path {
	case "/load":
		fmt.Fprintf(rw, `{"running":%d}`, a.tasks)
	case "/drain":
		var c hookCall
		_ = json.NewDecoder(r.Body).Decode(&c) // The test sees what was not told.
		a.told = append(a.told, c.Drain)
	case "/run":
		// Like an agent that takes a task and answers at once: nothing is open while it works.
		a.tasks++

		rw.WriteHeader(http.StatusAccepted)
	}
}

// A worker from its first task to its last, with all its parts: the task is waited for, a new one is refused, and the agent is
// told; a withdrawal brings it back.
func TestDrainOfAWorker(t *testing.T) {
	defer goleak.VerifyNone(t)

	a := &testAgent{}

	agent := httptest.NewServer(a)
	defer agent.Close()

	podinfo := t.TempDir()
	file := filepath.Join(podinfo, monitorapi.PodinfoAnnotations)
	tell := func(annotations string) {
		if err := os.WriteFile(file, []byte(annotations), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	tell("")

	lines := make(logged, 100)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)

	go func() {
		ended <- Run(ctx, Config{
			Listen: "127.0.0.1:0", InboundListen: "127.0.0.1:0", PodinfoDir: podinfo, Metering: monitorapi.MeteringOff, StopTimeout: time.Second,
			Drain:           Times{Grace: 50 * time.Millisecond, Timeout: time.Hour, Lapse: 100 * time.Millisecond},
			Tasks:           tasks.Config{Source: monitorapi.SourceHTTP, URL: agent.URL + "/load", QueueDepth: "/running", InFlight: "/running"},
			InboundUpstream: agent.URL, InboundProtocol: monitorapi.InboundHTTP, DrainHookURL: agent.URL + "/drain", DrainHookTimeout: time.Second,
		}, slog.New(slog.NewJSONHandler(lines, nil)))
	}()

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	at := regexp.MustCompile(`"listen":"([^"]+)","inbound":"([^"]+)"`).FindStringSubmatch(lines.wait(t, "the monitor runs"))

	call := func(method, url string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		if err != nil {
			t.Fatal(err)
		}

		rsp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer rsp.Body.Close()

		b, _ := io.ReadAll(rsp.Body) // What is missing is seen.

		return rsp.StatusCode, string(b)
	}
	becomes := func(what string, is func(monitorapi.Status) bool) {
		t.Helper()

		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			var s monitorapi.Status

			_, body := call(http.MethodGet, "http://"+at[1]+monitorapi.PathStatus)
			if err := json.Unmarshal([]byte(body), &s); err != nil {
				t.Fatal(err)
			}

			if is(s) {
				return
			}

			if time.Now().After(deadline) {
				t.Fatalf("it does not become %s: %s", what, body)
			}
		}
	}

	if code, body := call(http.MethodPost, "http://"+at[2]+"/run"); code != http.StatusAccepted {
		t.Fatalf("a task: %d %s", code, body)
	}

	becomes("busy", func(s monitorapi.Status) bool { return s.Tasks.InFlight != nil && *s.Tasks.InFlight == 1 })
	tell(monitorapi.AnnotationDrain + `="d1"`)
	becomes("held", func(s monitorapi.Status) bool {
		return s.State == monitorapi.StateDraining && strings.Contains(s.Reason, "1 tasks are in flight")
	})

	if code, body := call(http.MethodPost, "http://"+at[2]+"/run"); code != http.StatusServiceUnavailable || !strings.Contains(body, "draining") {
		t.Errorf("a draining worker answers a new task %d %s", code, body)
	}

	// The hook may wait for long and does not.
	if code, body := call(http.MethodGet, "http://"+at[1]+monitorapi.PathDrained); code != http.StatusGatewayTimeout {
		t.Errorf("the hook is answered %d %s", code, body)
	}

	a.mu.Lock()
	a.tasks = 0
	a.mu.Unlock()
	becomes("drained", func(s monitorapi.Status) bool { return s.State == monitorapi.StateDrained })

	tell("")
	becomes("active again", func(s monitorapi.Status) bool { return s.State == monitorapi.StateActive && s.Ready })

	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		a.mu.Lock()
		n := len(a.told)
		a.mu.Unlock()

		if n == 2 {
			break
		}
	}

	cancel()

	if err := <-ended; err != nil {
		t.Error(err)
	}

	a.mu.Lock()
	defer a.mu.Unlock()

	if diff := cmp.Diff([]bool{true, false}, a.told); diff != "" {
		t.Errorf("the agent was told: -want, +got:\n%s", diff)
	}
}

// A drain that is commanded while a preStop hook's goes on, or again after it was withdrawn, is another: it has a time of its own,
// waits for the tasks, and is saved for.
func TestDrainsAnew(t *testing.T) {
	type save struct {
		Drain string
		Since time.Duration
	}

	var (
		clock     = epoch
		inFlight  int64
		saves     []save
		withdrawn int
	)

	w := NewWorker(monitorapi.Status{}, testTimes, func() time.Time { return clock })
	w.Sense(Senses{
		Tasks: func() (monitorapi.Tasks, time.Time) { return monitorapi.Tasks{Known: true, InFlight: &inFlight}, clock },
		Saved: func(drain string, since time.Time) (bool, string) {
			if s := (save{drain, since.Sub(epoch)}); len(saves) == 0 || saves[len(saves)-1] != s {
				saves = append(saves, s)
			}

			return true, ""
		},
		Withdraw: func() { withdrawn++ },
	})

	is := func(want monitorapi.State) {
		t.Helper()

		if s := w.Status(); s.State != want {
			t.Errorf("after %v it is %s (%s), want %s", clock.Sub(epoch), s.State, s.Reason, want)
		}
	}
	drain := func(id string) { w.Obey(map[string]string{monitorapi.AnnotationDrain: id}) }

	// The agent is restarted, and has a task again when the command comes.
	done := w.Stop()
	clock = clock.Add(testGrace)

	is(monitorapi.StateDrained)
	done()

	inFlight = 1

	drain("d1")
	is(monitorapi.StateDraining)

	clock = clock.Add(testGrace)

	is(monitorapi.StateDraining)

	inFlight = 0
	clock = clock.Add(time.Second)

	is(monitorapi.StateDrained)

	// Withdrawn, and commanded again by the same name.
	clock = clock.Add(testLapse)

	drain("")
	is(monitorapi.StateActive)

	clock = clock.Add(time.Second)

	drain("d1")

	clock = clock.Add(testGrace)

	is(monitorapi.StateDrained)

	want := []save{{"", testGrace}, {"d1", 2*testGrace + time.Second}, {"d1", 3*testGrace + testLapse + 2*time.Second}}
	if diff := cmp.Diff(want, saves); diff != "" || withdrawn != 2 {
		t.Errorf("%d drains were withdrawn; saves: -want, +got:\n%s", withdrawn, diff)
	}
}
