package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/crossplane/crossplane-runtime/v2/pkg/statemetrics"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/southwest-ai/agent-operator/internal/controller/agentscaler"
	budgets "github.com/southwest-ai/agent-operator/internal/controller/budget"
	"github.com/southwest-ai/agent-operator/internal/controller/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/controller/slot"
	"github.com/southwest-ai/agent-operator/internal/controller/vectorcollection"
	page "github.com/southwest-ai/agent-operator/internal/dashboard"
	"github.com/southwest-ai/agent-operator/internal/monitor"
	"github.com/southwest-ai/agent-operator/internal/monitor/budget"
	"github.com/southwest-ai/agent-operator/internal/monitor/push"
	"github.com/southwest-ai/agent-operator/internal/monitor/saver"
	"github.com/southwest-ai/agent-operator/internal/monitor/tasks"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// Who tells a metric.
const (
	ofMonitor  = "monitor"
	ofProvider = "provider"
	// ofRuntime is what libraries of the provider tell, and ofCore what Crossplane itself does.
	ofRuntime = "runtime"
	ofCore    = "Crossplane"
)

// A metric is one that a query may name.
type metric struct {
	name, help string
	// labels are its own, sorted. Those of the target that it is scraped from come to it.
	labels []string
	of     string
}

// histograms have series for buckets, sum and count, and none by their own name. The code's descriptions of metrics do not
// say which they are; a test compares this with what is told.
var histograms = []string{
	monitorapi.MetricModelSeconds, monitorapi.MetricFirstTokenSeconds, monitorapi.MetricProxySeconds,
	monitorapi.MetricCheckpointSeconds, monitorapi.MetricCheckpointPaused,
	"gen_ai_client_token_usage", "gen_ai_client_operation_duration_seconds",
	slotWait, storeSeconds, sweepSeconds, scrubSeconds, reconcileSeconds, queueSeconds,
}

// kind returns a metric's type, in Prometheus' word.
func (m metric) kind() string {
	switch {
	case slices.Contains(histograms, m.name):
		return "histogram"
	case strings.HasSuffix(m.name, "_total"):
		return "counter"
	default:
		return "gauge"
	}
}

// series returns the names that the metric's series have.
func (m metric) series() []string {
	if m.kind() == "histogram" {
		return []string{m.name + "_bucket", m.name + "_sum", m.name + "_count"}
	}

	return []string{m.name}
}

// foreign are the metrics of others that are of use here. Those of the runtime are compared with the libraries by a test;
// Crossplane's are those of its version 2.4.
func foreign() []metric {
	const perController = "controller"

	return []metric{
		{reconciles, "Total number of reconciliations per controller", []string{perController, "result"}, ofRuntime},
		{reconcileErrors, "Total number of reconciliation errors per controller", []string{perController}, ofRuntime},
		{reconcileSeconds, "Length of time per reconciliation per controller", []string{perController}, ofRuntime},
		{queueDepth, "Current depth of workqueue by workqueue and priority", []string{perController, "name", "priority"}, ofRuntime},
		{queueSeconds, "How long in seconds an item stays in workqueue before being requested", []string{perController, "name"}, ofRuntime},
		{leads, "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master. 'name' is the string used to identify the lease. Please make sure to group by name.", []string{"name"}, ofRuntime},
		{processMemory, "Resident memory size in bytes.", nil, ofRuntime},
		{processCPU, "Total user and system CPU time spent in seconds.", nil, ofRuntime},
		{circuitOpens, "Number of times the XR circuit breaker transitioned from closed to open.", []string{perController}, ofCore},
	}
}

// metrics returns all metrics, by name. Those of the provider and the monitor are asked of the code that tells them.
func metrics() ([]metric, error) {
	parts, err := monitorParts()
	if err != nil {
		return nil, err
	}

	of := map[string][]prometheus.Collector{ofMonitor: parts, ofProvider: providerParts()}

	// The monitor makes these two of the whole worker, where nobody can ask for them alone.
	out := append(foreign(),
		metric{monitorapi.MetricDraining, "Whether the worker takes no new tasks.", nil, ofMonitor},
		metric{monitorapi.MetricInfo, "The pool this worker belongs to.", []string{monitorapi.LabelDispatcherName, monitorapi.LabelRoleName}, ofMonitor})

	for who, collectors := range of {
		for _, c := range collectors {
			found, err := described(c, who)
			if err != nil {
				return nil, err
			}

			out = append(out, found...)
		}
	}

	sort.Slice(out, func(i, j int) bool { return out[i].name < out[j].name })

	return out, nil
}

// providerParts returns the parts of a provider that tell metrics.
func providerParts() []prometheus.Collector {
	return []prometheus.Collector{agentscaler.NewMetrics(), slot.NewMetrics(), page.NewRequests(), budgets.NewMetrics(), vectorcollection.NewMetrics(), checkpoint.NewMetrics(), statemetrics.NewMRStateMetrics()}
}

// monitorParts returns the parts of a monitor that tell metrics. None of them runs.
func monitorParts() ([]prometheus.Collector, error) {
	// The saver notes in the state's volume that there is one.
	dir, err := os.MkdirTemp("", "observability")
	if err != nil {
		return nil, err
	}

	defer os.RemoveAll(dir) // A left temporary directory harms nobody.

	id := monitorapi.Status{Namespace: "ns", Dispatcher: "pool", Role: "role"}
	log := slog.New(slog.DiscardHandler)
	proxied := &recorder{}

	proxy, err := monitor.NewProxy(monitor.ProxyConfig{
		Endpoint: "http://127.0.0.1:1", Protocol: monitor.ProtocolOpenAI, Identity: id, OTelNames: true,
	}, proxied, log)
	if err != nil {
		return nil, err
	}

	defer proxy.Close()

	limiter, err := budget.New(id.Dispatcher, "1", time.Second, time.Now)
	if err != nil {
		return nil, err
	}

	pusher, err := push.New(push.Config{URL: "http://127.0.0.1:1"}, prometheus.NewRegistry(), log)
	if err != nil {
		return nil, err
	}

	saves, err := saver.New(saver.Config{Place: saver.Place{Volume: dir}}, time.Now, log)
	if err != nil {
		return nil, err
	}

	pool := prometheus.Labels{monitorapi.LabelNamespace: id.Namespace, monitorapi.LabelDispatcherName: id.Dispatcher, monitorapi.LabelRoleName: id.Role}

	return append(proxied.collectors, tasks.NewWatcher(nil, pool, time.Now), limiter, pusher, saves), nil
}

// A recorder is a prometheus.Registerer that remembers.
type recorder struct{ collectors []prometheus.Collector }

func (r *recorder) Register(c prometheus.Collector) error {
	r.collectors = append(r.collectors, c)

	return nil
}

func (r *recorder) MustRegister(cs ...prometheus.Collector) {
	r.collectors = append(r.collectors, cs...)
}

func (r *recorder) Unregister(prometheus.Collector) bool { return false }

// described returns the metrics that a collector describes.
func described(c prometheus.Collector, of string) ([]metric, error) {
	ch := make(chan *prometheus.Desc)

	go func() { c.Describe(ch); close(ch) }()

	var (
		out    []metric
		failed error
	)

	for d := range ch {
		m, err := parseDesc(d.String())
		m.of = of
		out, failed = append(out, m), errors.Join(failed, err)
	}

	return out, failed
}

var (
	descForm  = regexp.MustCompile(`^Desc\{fqName: ("(?:[^"\\]|\\.)*"), help: ("(?:[^"\\]|\\.)*"), constLabels: \{(.*)\}, variableLabels: \{(.*)\}\}$`)
	constForm = regexp.MustCompile(`([a-zA-Z0-9_]+)="(?:[^"\\]|\\.)*"`)
)

// parseDesc reads what the library tells of a description; it has no other way to tell.
func parseDesc(s string) (metric, error) {
	parts := descForm.FindStringSubmatch(s)
	if parts == nil {
		return metric{}, fmt.Errorf("cannot read the description %s", s)
	}

	name, err := strconv.Unquote(parts[1])
	if err != nil {
		return metric{}, err
	}

	help, err := strconv.Unquote(parts[2])
	if err != nil {
		return metric{}, err
	}

	m := metric{name: name, help: help}
	for _, l := range constForm.FindAllStringSubmatch(parts[3], -1) {
		m.labels = append(m.labels, l[1])
	}

	if parts[4] != "" {
		m.labels = append(m.labels, strings.Split(parts[4], ",")...)
	}

	sort.Strings(m.labels)

	return m, nil
}
