package tasks

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"go.uber.org/goleak"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// langGraphPage is a part of what a LangGraph server tells, of two workers of its own that share a database.
const langGraphPage = `# HELP lg_api_num_pending_runs The number of runs currently pending.
# TYPE lg_api_num_pending_runs gauge
lg_api_num_pending_runs{project_id="p",worker="1"} 7
lg_api_num_pending_runs{project_id="p",worker="2"} 7
# HELP lg_api_num_running_runs The number of runs currently running.
# TYPE lg_api_num_running_runs gauge
lg_api_num_running_runs{project_id="p",worker="1"} 3
lg_api_num_running_runs{project_id="p",worker="2"} 3
`

const page = `# TYPE jobs gauge
jobs{state="waiting",queue="a"} 2
jobs{state="waiting",queue="b"} 3
jobs{state="running",queue="a"} 1
# TYPE half gauge
half 0.5
# TYPE nan gauge
nan NaN
# TYPE took histogram
took_bucket{le="+Inf"} 1
took_sum 1
took_count 1
open_sessions_total 4
`

// a2aServer answers ListTasks as A2A 1.0 has it.
func a2aServer(totals map[string]int) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.URL.Path != "/tasks" || r.URL.Query().Get("pageSize") != "1" || r.Header.Get("A2A-Version") != "1.0" {
			http.Error(rw, "bad", http.StatusBadRequest)

			return
		}

		fmt.Fprintf(rw, `{"tasks":[],"nextPageToken":"","pageSize":1,"totalSize":%d}`, totals[r.URL.Query().Get("status")])
	}
}

func text(s string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, s) }
}

func TestSources(t *testing.T) {
	load := func(n ...int64) Load {
		var l Load
		for i, into := range []**int64{&l.QueueDepth, &l.InFlight, &l.WaitingForInput, &l.Sessions} {
			if i < len(n) && n[i] >= 0 {
				*into = &n[i]
			}
		}

		return l
	}

	cases := map[string]struct {
		reason  string
		config  Config
		handler http.HandlerFunc
		want    Load
		err     string
	}{
		"A2A": {
			reason: "Unfinished is submitted and working; what waits for a person is apart.",
			config: Config{Source: monitorapi.SourceA2A},
			handler: a2aServer(map[string]int{
				"TASK_STATE_SUBMITTED": 4, "TASK_STATE_WORKING": 1, "TASK_STATE_INPUT_REQUIRED": 2, "TASK_STATE_AUTH_REQUIRED": 1, "TASK_STATE_COMPLETED": 90,
			}),
			want: load(5, 1, 3),
		},
		"A2ANeverWaits": {
			reason: "A server that refuses a state its tasks are never in tells the others.", config: Config{Source: monitorapi.SourceA2A},
			handler: func(rw http.ResponseWriter, r *http.Request) {
				if strings.HasSuffix(r.URL.Query().Get("status"), "_REQUIRED") {
					rw.WriteHeader(http.StatusBadRequest)

					return
				}

				a2aServer(map[string]int{"TASK_STATE_WORKING": 1})(rw, r)
			},
			want: load(1, 1),
		},
		"A2ARefuses": {
			reason: "A server that refuses all is not idle.", config: Config{Source: monitorapi.SourceA2A},
			handler: func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadRequest) }, err: "the agent answers 400",
		},
		"A2AWithout": {
			reason: "A server without ListTasks is told from one without tasks.", config: Config{Source: monitorapi.SourceA2A},
			handler: http.NotFound, err: "the agent cannot list its tasks (it answers 404): set inbound.protocol to A2A",
		},
		"A2AOtherVersion": {
			reason: "Nor can one of another version.", config: Config{Source: monitorapi.SourceA2A},
			handler: func(rw http.ResponseWriter, _ *http.Request) {
				rw.WriteHeader(http.StatusBadRequest)
				fmt.Fprint(rw, `{"error":{"details":[{"reason":"VERSION_NOT_SUPPORTED"}]}}`)
			}, err: "the agent cannot list its tasks (it answers 400): set inbound.protocol to A2A",
		},
		"A2ACounted": {
			reason: "Where somebody else counts, that is told.", config: Config{Source: monitorapi.SourceA2A, Counted: Func(func(context.Context) (Load, error) { return load(3, 2, 1), nil })},
			handler: http.NotFound, want: func() Load {
				l := load(3, 2, 1)
				l.Says = "counted at the inbound proxy, because the agent cannot list its tasks (it answers 404)"

				return l
			}(),
		},
		"A2AUncounted": {
			reason: "Who counts may not know either.", config: Config{Source: monitorapi.SourceA2A, Counted: Func(func(context.Context) (Load, error) { return load(1), errors.New("it is blind") })},
			handler: http.NotFound, err: "the agent cannot list its tasks (it answers 404), and it is blind",
		},
		"A2AFailsNow": {
			reason: "A server that fails may list its tasks again.", config: Config{Source: monitorapi.SourceA2A, Counted: Func(func(context.Context) (Load, error) { return load(1), nil })},
			handler: func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) }, err: "the agent answers 500",
		},
		"A2ANoTotal": {
			reason: "A page without a total is no count.", config: Config{Source: monitorapi.SourceA2A},
			handler: text(`{"tasks":[]}`), err: "its ListTasks does not say how many there are",
		},
		"LangGraph": {
			reason: "Servers that share a database tell the same figure each.",
			config: Config{Source: monitorapi.SourceLangGraph}, handler: text(langGraphPage), want: load(10, 3),
		},
		"Prometheus": {
			reason: "Series are added up, those with the labels.",
			config: Config{
				Source: monitorapi.SourcePrometheus, QueueDepth: `sum:jobs`, InFlight: `jobs{state="running"}`,
				WaitingForInput: `max:jobs{state="waiting"}`, Sessions: "open_sessions_total",
			},
			handler: text(page), want: load(6, 1, 3, 4),
		},
		"PrometheusSum": {
			reason: "What is unfinished may be told in two metrics.",
			config: Config{Source: monitorapi.SourcePrometheus, QueueDepth: `jobs{state="waiting", queue="a"} + max:jobs{queue="b"}`}, handler: text(page), want: load(5),
		},
		"Absent":    {reason: "What is absent is not zero.", config: Config{Source: monitorapi.SourcePrometheus, QueueDepth: "nothing"}, handler: text(page), err: "cannot read the metric nothing: the agent does not tell it"},
		"NoSeries":  {reason: "Nor is what has no such series.", config: Config{Source: monitorapi.SourcePrometheus, QueueDepth: `jobs{state="lost"}`}, handler: text(page), err: "the agent does not tell it"},
		"Half":      {reason: "Tasks are whole.", config: Config{Source: monitorapi.SourcePrometheus, QueueDepth: "half"}, handler: text(page), err: "it is not a whole number from 0"},
		"NaN":       {reason: "No number is no count.", config: Config{Source: monitorapi.SourcePrometheus, QueueDepth: "nan"}, handler: text(page), err: "it is not a whole number from 0"},
		"Histogram": {reason: "A histogram is no count.", config: Config{Source: monitorapi.SourcePrometheus, QueueDepth: "took"}, handler: text(page), err: "it is a histogram or a summary"},
		"NoPage":    {reason: "A page of something else is an error.", config: Config{Source: monitorapi.SourcePrometheus, QueueDepth: "a"}, handler: text("<html>"), err: "cannot read the agent's metrics"},
		"HTTP": {
			reason:  "A figure is a number or the length of a list.",
			config:  Config{Source: monitorapi.SourceHTTP, QueueDepth: "/queue/0/a~1b", InFlight: "/running", WaitingForInput: "/blocked", Sessions: "/sessions"},
			handler: text(`{"queue":[{"a/b":3}],"running":[{},{}],"blocked":0,"sessions":1e1}`), want: load(3, 2, 0, 10),
		},
		"HTTPAbsent": {reason: "A pointer to nothing is an error.", config: Config{Source: monitorapi.SourceHTTP, QueueDepth: "/a/1"}, handler: text(`{"a":[1]}`), err: "cannot read /a/1: it is not in the document"},
		"HTTPText":   {reason: "A word is no count.", config: Config{Source: monitorapi.SourceHTTP, QueueDepth: "/a"}, handler: text(`{"a":"3"}`), err: "it is not a whole number from 0"},
		"HTTPMinus":  {reason: "There is no debt of tasks.", config: Config{Source: monitorapi.SourceHTTP, QueueDepth: "/a"}, handler: text(`{"a":-3}`), err: "it is not a whole number from 0"},
		"HTTPBroken": {reason: "Half a document is none.", config: Config{Source: monitorapi.SourceHTTP, QueueDepth: "/a"}, handler: text(`{"a":3`), err: "cannot read the agent's figures"},
		"HTTPLong": {
			reason: "A document has a bound.", config: Config{Source: monitorapi.SourceHTTP, QueueDepth: "/a"},
			handler: text(`{"b":"` + strings.Repeat("x", longestJSON) + `","a":3}`), err: "cannot read the agent's figures",
		},
		"Failed": {
			reason: "An agent that fails is not an idle one.", config: Config{Source: monitorapi.SourceHTTP, QueueDepth: "/a"},
			handler: func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) }, err: "the agent answers 500",
		},
		"Moved": {
			reason: "A redirect is not followed.", config: Config{Source: monitorapi.SourceHTTP, QueueDepth: "/a"},
			handler: func(rw http.ResponseWriter, r *http.Request) {
				http.Redirect(rw, r, "http://example.org/", http.StatusFound)
			}, err: "the agent answers 302",
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewServer(tc.handler)
			defer srv.Close()

			tc.config.URL = srv.URL

			s, err := NewSource(tc.config)
			if err != nil {
				t.Fatal(err)
			}

			got, err := s.Read(t.Context())
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\n%s\n-want, +got:\n%s", tc.reason, diff)
			}

			if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("\n%s\nerror %v, want %q", tc.reason, err, tc.err)
			}
		})
	}
}

// An agent that does not answer is not waited for.
func TestHungAgent(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer srv.Close()

	s, err := NewSource(Config{Source: monitorapi.SourceHTTP, URL: srv.URL, QueueDepth: "/a"})
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()

	if _, err := s.Read(ctx); err == nil {
		t.Error("it answered")
	}
}

// What cannot work is said at the start.
func TestConfigs(t *testing.T) {
	const here = "http://127.0.0.1:1/x"

	for name, tc := range map[string]struct {
		config Config
		want   string
	}{
		"Source":    {Config{Source: "redis", URL: here}, `cannot read tasks from "redis"`},
		"Elsewhere": {Config{Source: monitorapi.SourceA2A, URL: "http://192.0.2.1/"}, "want the agent itself, on loopback"},
		"URL":       {Config{Source: monitorapi.SourceA2A, URL: "agent"}, "want a URL such as"},
		"NoMetric":  {Config{Source: monitorapi.SourcePrometheus, URL: here}, "say which metric"},
		"Query":     {Config{Source: monitorapi.SourcePrometheus, URL: here, QueueDepth: "rate(jobs[5m])"}, "cannot use"},
		"Label":     {Config{Source: monitorapi.SourcePrometheus, URL: here, QueueDepth: `jobs{state=~"a"}`}, "cannot use"},
		"NoPointer": {Config{Source: monitorapi.SourceHTTP, URL: here}, "say where"},
		"Pointer":   {Config{Source: monitorapi.SourceHTTP, URL: here, QueueDepth: "a/b"}, "want one such as /queue/length"},
		"Tilde":     {Config{Source: monitorapi.SourceHTTP, URL: here, QueueDepth: "/a~b"}, "~ is written ~0"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := NewSource(tc.config); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

// A source that fails is unknown after a while, says since when and why, and its series are gone.
func TestWatcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now().UTC()
		seven := int64(7)

		var broken atomic.Bool

		w := NewWatcher(Func(func(context.Context) (Load, error) {
			if broken.Load() {
				return Load{}, errors.New("the agent answers 500")
			}

			return Load{QueueDepth: &seven}, nil
		}), prometheus.Labels{monitorapi.LabelNamespace: "team-a"}, time.Now)

		if got, _ := w.Tasks(); got.Known || !got.UnknownSince.Equal(began) || got.Reason == "" {
			t.Errorf("before the first reading: %+v", got)
		}

		ctx, cancel := context.WithCancel(t.Context())
		go w.Run(ctx)

		synctest.Wait()

		if got, at := w.Tasks(); !got.Known || *got.QueueDepth != 7 || got.InFlight != nil || !at.Equal(began) {
			t.Errorf("after it: %+v at %v", got, at)
		}

		const series = `# HELP agent_queue_depth Unfinished tasks, waiting for the agent and in flight. Absent while it is unknown.
# TYPE agent_queue_depth gauge
agent_queue_depth{namespace="team-a"} 7
`
		if err := testutil.CollectAndCompare(w, strings.NewReader(series), monitorapi.MetricQueueDepth); err != nil {
			t.Error(err)
		}

		broken.Store(true)

		time.Sleep(2 * time.Second)

		if got, _ := w.Tasks(); !got.Known {
			t.Error("a reading that failed once is taken for news")
		}

		time.Sleep(staleAfter)

		got, _ := w.Tasks()
		if got.Known || got.QueueDepth != nil || got.Reason != "the agent answers 500" || got.UnknownSince.Before(began) {
			t.Errorf("after failures: %+v", got)
		}

		const unknown = `# HELP aidispatcher_monitor_tasks_known Whether the figures of the tasks are known.
# TYPE aidispatcher_monitor_tasks_known gauge
aidispatcher_monitor_tasks_known{namespace="team-a"} 0
`
		if err := testutil.CollectAndCompare(w, strings.NewReader(unknown)); err != nil {
			t.Error(err)
		}

		broken.Store(false)

		time.Sleep(2 * time.Second)

		if got, _ := w.Tasks(); !got.Known {
			t.Errorf("after it healed: %+v", got)
		}

		cancel()
		synctest.Wait()
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{`sum:jobs{state="waiting"}`, "max:a + b", "/a/b~0", `a{b="c",d="e"}`, "", "+"} {
		f.Add(s)
	}

	f.Fuzz(func(t *testing.T, s string) {
		figure, err := parseFigure(s)
		if err == nil && s != "" && len(figure) == 0 {
			t.Error("a figure of nothing")
		}

		pointer, err := parsePointer(s)
		if err == nil && s != "" && len(pointer) == 0 {
			t.Error("a pointer to nothing")
		}
	})
}
