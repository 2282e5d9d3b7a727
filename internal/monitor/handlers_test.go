package monitor

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

func testHandler(w *Worker, timeout time.Duration) http.Handler {
	reg := prometheus.NewRegistry()
	register(reg, w)

	return Handler(w, reg, timeout, slog.New(slog.DiscardHandler))
}

func ask(ctx context.Context, h http.Handler, method, path string) *httptest.ResponseRecorder {
	rsp := httptest.NewRecorder()
	h.ServeHTTP(rsp, httptest.NewRequestWithContext(ctx, method, path, nil))

	return rsp
}

func TestHandler(t *testing.T) {
	drain := map[string]string{monitorapi.AnnotationDrain: "d1"}
	cases := map[string]struct {
		reason       string
		told         map[string]string
		method, path string
		code         int
		says         string
	}{
		"Live":          {reason: "A monitor that answers lives.", path: monitorapi.PathLive, code: http.StatusOK, says: "ok"},
		"LiveDraining":  {reason: "A drain is no reason to be restarted.", told: drain, path: monitorapi.PathLive, code: http.StatusOK, says: "ok"},
		"Ready":         {reason: "An active worker is ready.", path: monitorapi.PathReady, code: http.StatusOK, says: "ok"},
		"ReadyDraining": {reason: "A draining worker is not, and says why.", told: drain, path: monitorapi.PathReady, code: http.StatusServiceUnavailable, says: "told to drain"},
		"Status":        {reason: "The status is JSON.", told: drain, path: monitorapi.PathStatus, code: http.StatusOK, says: `"drainID":"d1"`},
		"Tasks":         {reason: "What is unknown is not zero.", path: monitorapi.PathStatus, code: http.StatusOK, says: `"tasks":{"known":false,"unknownSince":`},
		"ReadOnly":      {reason: "Nobody commands a worker over the network.", method: http.MethodPost, path: monitorapi.PathStatus, code: http.StatusMethodNotAllowed},
		"Metrics":       {reason: "A drain is to be seen.", told: drain, path: monitorapi.PathMetrics, code: http.StatusOK, says: monitorapi.MetricDraining + " 1"},
		"Info":          {reason: "A worker says whose it is.", path: monitorapi.PathMetrics, code: http.StatusOK, says: monitorapi.MetricInfo + `{dispatcher="pool",role="coder"} 1`},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			w := NewWorker(monitorapi.Status{Dispatcher: "pool", Role: "coder"}, testTimes, time.Now)
			w.Obey(tc.told)

			if tc.method == "" {
				tc.method = http.MethodGet
			}

			rsp := ask(t.Context(), testHandler(w, time.Hour), tc.method, tc.path)
			if rsp.Code != tc.code || !strings.Contains(rsp.Body.String(), tc.says) {
				t.Errorf("\n%s\n%s: %d %s\nwant %d with %q", tc.reason, tc.path, rsp.Code, rsp.Body, tc.code, tc.says)
			}
		})
	}
}

// The wait for a drain, in time that passes only when everybody waits.
func TestDrained(t *testing.T) {
	cases := map[string]struct {
		reason  string
		told    map[string]string
		timeout time.Duration
		// patience is how long the kubelet waits.
		patience time.Duration
		code     int
		state    monitorapi.State
		took     time.Duration
	}{
		"Begins":     {reason: "The hook begins a drain and waits for it.", timeout: time.Hour, patience: time.Hour, code: http.StatusOK, state: monitorapi.StateDrained, took: testGrace},
		"Told":       {reason: "It waits for the one that was begun, too.", told: map[string]string{monitorapi.AnnotationDrain: "d1"}, timeout: time.Hour, patience: time.Hour, code: http.StatusOK, state: monitorapi.StateDrained, took: testGrace},
		"TimeIsOver": {reason: "It does not wait longer than it may, and says how far it came.", timeout: time.Second, patience: time.Hour, code: http.StatusGatewayTimeout, state: monitorapi.StateDraining, took: time.Second},
		"Impatient":  {reason: "It does not wait for a kubelet that has gone away.", timeout: time.Hour, patience: time.Second, code: http.StatusGatewayTimeout, state: monitorapi.StateDraining, took: time.Second},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := NewWorker(monitorapi.Status{}, testTimes, time.Now)
				w.Obey(tc.told)

				ctx, cancel := context.WithTimeout(t.Context(), tc.patience)
				defer cancel()

				start := time.Now()
				rsp := ask(ctx, testHandler(w, tc.timeout), http.MethodGet, monitorapi.PathDrained)

				var s monitorapi.Status
				if err := json.Unmarshal(rsp.Body.Bytes(), &s); err != nil {
					t.Fatal(err)
				}

				type outcome struct {
					Code  int
					State monitorapi.State
					Took  time.Duration
				}
				if diff := cmp.Diff(outcome{tc.code, tc.state, tc.took}, outcome{rsp.Code, s.State, time.Since(start)}); diff != "" {
					t.Errorf("\n%s\n-want, +got:\n%s", tc.reason, diff)
				}

				time.Sleep(testLapse)

				if tc.told == nil && !w.Status().Ready {
					t.Errorf("\n%s\nA worker whose agent was restarted does not serve again: %+v", tc.reason, w.Status())
				}
			})
		})
	}
}
