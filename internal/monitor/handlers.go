package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// drainPoll is how often it is looked whether a drain is over, while somebody waits for it.
const drainPoll = 100 * time.Millisecond

// Handler composes all that the monitor answers on its port. Nothing there changes a worker but the question whether it
// has drained, which is the kubelet's before it ends the agent. Whoever else reaches the pod and asks it takes the worker
// out of service until the drain lapses, and no more than that: commands are annotations.
func Handler(w *Worker, reg *prometheus.Registry, stopTimeout time.Duration, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+monitorapi.PathMetrics, promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.Handle("GET "+monitorapi.PathStatus, status(w))
	mux.Handle("GET "+monitorapi.PathReady, ready(w))
	mux.Handle("GET "+monitorapi.PathLive, http.HandlerFunc(live))
	mux.Handle("GET "+monitorapi.PathDrained, drained(w, stopTimeout, log))

	return mux
}

func live(rw http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(rw, "ok")
}

func status(w *Worker) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		answer(rw, http.StatusOK, w.Status())
	})
}

func ready(w *Worker) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		if s := w.Status(); !s.Ready {
			http.Error(rw, s.Reason, http.StatusServiceUnavailable)

			return
		}

		fmt.Fprintln(rw, "ok")
	})
}

// drained answers once the worker has drained, and begins the drain where nobody has: it is the agent's preStop hook.
func drained(w *Worker, timeout time.Duration, log *slog.Logger) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		start := time.Now()

		done := w.Stop()
		defer done()

		log.Info("the agent is about to be ended: the worker drains")

		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()

		code := http.StatusOK
		if err := waitDrained(ctx, w); err != nil {
			code = http.StatusGatewayTimeout
		}

		s := w.Status()
		log.Info("the wait for the drain is over", "state", s.State, "seconds", time.Since(start).Seconds())
		answer(rw, code, s)
	})
}

func waitDrained(ctx context.Context, w *Worker) error {
	tick := time.NewTicker(drainPoll)
	defer tick.Stop()

	for w.Status().State != monitorapi.StateDrained {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}

	return nil
}

func answer(rw http.ResponseWriter, code int, body any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(code)
	_ = json.NewEncoder(rw).Encode(body) //nolint:errchkjson // A caller that went away does not care.
}
