package monitor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// Handler composes all that the monitor answers on its port. Nothing there changes a worker but the drain, and that can
// only be begun by who can reach the pod: the kubelet, before it ends the agent.
func Handler(w *Worker, reg *prometheus.Registry, drainTimeout time.Duration) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET "+monitorapi.PathMetrics, promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.Handle("GET "+monitorapi.PathStatus, status(w))
	mux.Handle("GET "+monitorapi.PathReady, ready(w))
	mux.Handle("GET "+monitorapi.PathLive, http.HandlerFunc(live))
	mux.Handle("GET "+monitorapi.PathDrained, drained(w, drainTimeout))

	return mux
}

func live(rw http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(rw, "ok") //nolint:errcheck // A caller that went away does not care.
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

		fmt.Fprintln(rw, "ok") //nolint:errcheck // A caller that went away does not care.
	})
}

// drained answers once the worker has drained, and begins the drain where nobody has: it is the agent's preStop hook.
func drained(w *Worker, timeout time.Duration) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.Delete()

		ctx, cancel := context.WithTimeout(r.Context(), timeout)
		defer cancel()

		if err := waitDrained(ctx, w); err != nil {
			answer(rw, http.StatusGatewayTimeout, w.Status())

			return
		}

		answer(rw, http.StatusOK, w.Status())
	})
}

func waitDrained(ctx context.Context, w *Worker) error {
	for {
		left := w.Left()
		if left == 0 {
			return nil
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(left):
		}
	}
}

func answer(rw http.ResponseWriter, code int, body any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(code)
	_ = json.NewEncoder(rw).Encode(body) //nolint:errchkjson // A caller that went away does not care.
}
