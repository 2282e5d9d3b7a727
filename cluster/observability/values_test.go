package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/southwest-ai/agent-operator/internal/monitor"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// values returns the values that a label of a metric has in a registry, sorted.
func values(t *testing.T, reg prometheus.Gatherer, metric, label string) []string {
	t.Helper()

	told, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}

	var out []string

	for _, f := range told {
		if f.GetName() != metric {
			continue
		}

		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if l.GetName() == label {
					out = append(out, l.GetValue())
				}
			}
		}
	}

	slices.Sort(out)

	return slices.Compact(out)
}

// The outcomes of saves that alerts ask for are those that the saver tells.
func TestOutcomesOfSaves(t *testing.T) {
	parts, err := monitorParts()
	if err != nil {
		t.Fatal(err)
	}

	reg := prometheus.NewRegistry()
	reg.MustRegister(parts...)

	want := []string{"failed", "fenced", "saved", "unchanged"}
	if diff := cmp.Diff(want, values(t, reg, monitorapi.MetricCheckpoints, monitorapi.LabelOutcome)); diff != "" {
		t.Errorf("-in alerts, +told:\n%s", diff)
	}
}

// The outcomes of requests that alerts ask for are those that the proxy tells of a server that fails, limits, breaks off, or
// tells no usage.
func TestOutcomesOfRequests(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/fail/"):
			rw.WriteHeader(http.StatusInternalServerError)
		case strings.HasPrefix(r.URL.Path, "/limit/"):
			rw.WriteHeader(http.StatusTooManyRequests)
		case strings.HasPrefix(r.URL.Path, "/break/"):
			rw.Header().Set("Content-Type", "application/json")
			rw.Header().Set("Content-Length", "100")
			_, _ = rw.Write([]byte(`{"id":`))
		default:
			rw.Header().Set("Content-Type", "application/json")
			_, _ = rw.Write([]byte(`{"id":"1","model":"m","choices":[]}`))
		}
	}))
	defer server.Close()

	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()

	outcomes, reasons := map[string]string{}, map[string]string{}

	for what, endpoint := range map[string]string{
		"fails": server.URL + "/fail", "limits": server.URL + "/limit", "breaks off": server.URL + "/break", "tells no usage": server.URL, "is gone": gone.URL,
	} {
		reg := prometheus.NewRegistry()
		ask(t, reg, endpoint)

		outcomes[what] = strings.Join(values(t, reg, monitorapi.MetricModelRequests, monitorapi.LabelOutcome), ",")
		reasons[what] = strings.Join(values(t, reg, monitorapi.MetricUsageMissing, monitorapi.LabelReason), ",")
	}

	want := map[string]string{"fails": "failed", "limits": "limited", "breaks off": "broken", "tells no usage": "ok", "is gone": "unreachable"}
	if diff := cmp.Diff(want, outcomes); diff != "" {
		t.Errorf("-in alerts, +told:\n%s", diff)
	}

	if got := reasons["tells no usage"]; got != "absent" {
		t.Errorf("of an answer without usage the reason is told as %q", got)
	}
}

// ask asks a model through a proxy of its own, and ends when the proxy has accounted for it.
func ask(t *testing.T, reg *prometheus.Registry, endpoint string) {
	t.Helper()

	proxy, err := monitor.NewProxy(monitor.ProxyConfig{Endpoint: endpoint, Protocol: monitor.ProtocolOpenAI}, reg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}

	defer proxy.Close()

	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/chat/completions", strings.NewReader(`{"model":"m","messages":[]}`))
	r.Header.Set("Content-Type", "application/json")

	// An answer that breaks off breaks off here, too.
	defer func() {
		if p := recover(); p != nil && p != http.ErrAbortHandler { //nolint:errorlint // It is this very value, in no chain.
			panic(p)
		}
	}()

	proxy.ServeHTTP(httptest.NewRecorder(), r)
}
