package compose

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/structpb"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

// monitored returns what a claim becomes under the example catalog with fields of its monitor, its first role and its
// first model set.
func monitored(t *testing.T, spec, monitor, role, model string) *fnv1.RunFunctionResponse {
	t.Helper()

	xr := parseStruct(t, `
apiVersion: southwest.ai/v1alpha1
kind: AIDispatcher
metadata: {name: pool, namespace: team-a}
spec: {role: coder, modelRef: gpt-4, replicas: 3}
`)
	set(t, field(xr, "spec").GetStructValue(), spec)

	req := request(t, xr, nil)
	set(t, field(req.GetInput(), "monitor").GetStructValue(), monitor)
	// What the example's role has of it is another case.
	delete(firstRole(req.GetInput()).Fields, "tasks")
	delete(firstRole(req.GetInput()).Fields, "inbound")
	set(t, firstRole(req.GetInput()), role)
	set(t, field(req.GetInput(), "models").GetListValue().GetValues()[0].GetStructValue(), model)

	return run(t, newFunction(), req)
}

// set sets the fields that stand in a text.
func set(t *testing.T, s *structpb.Struct, y string) {
	t.Helper()

	for k, v := range parseStruct(t, "{"+y+"}").GetFields() {
		s.Fields[k] = v
	}
}

// decode reads a composed resource strictly.
func decode(t *testing.T, rsp *fnv1.RunFunctionResponse, name string, into any) {
	t.Helper()

	for _, r := range rsp.GetResults() {
		t.Fatalf("unexpected result: %s", r.GetMessage())
	}

	o := rsp.GetDesired().GetResources()[name].GetResource()
	if o == nil {
		t.Fatalf("%s was not composed", name)
	}

	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.AsMap(), into, true); err != nil {
		t.Fatal(err)
	}
}

// What the catalog says of a role and a model reaches the monitor, in the words that it reads.
func TestMonitorIsTold(t *testing.T) {
	always := map[string]string{
		"MONITOR_DISPATCHER": "pool", "MONITOR_ROLE": "coder", "MONITOR_STATE_VOLUME": "/var/lib/southwest.ai/volume",
		"MONITOR_MODEL_ENDPOINT": "http://model-server.aidispatcher-models.svc.cluster.local/v1", "MONITOR_MODEL_PROTOCOL": "OpenAI",
		"MONITOR_STOP_TIMEOUT": "290s",
	}
	cases := map[string]struct {
		reason                     string
		spec, monitor, role, model string
		want                       map[string]string
	}{
		"Nothing": {reason: "What nobody wrote is not said."},
		"Gateway": {
			reason: "Where a gateway counts there is no proxy.",
			model:  "metering: Gateway",
			want:   map[string]string{"MONITOR_METERING": "off"},
		},
		"NeverAsks": {
			reason: "A model server that bears no question is not asked.",
			model:  "askForUsage: false",
			want:   map[string]string{"MONITOR_ASK_FOR_USAGE": "false"},
		},
		"A2A": {
			reason: "An A2A server is asked at the role's first port.",
			role:   "tasks: {source: A2A}, inbound: {protocol: A2A}",
			want: map[string]string{
				"MONITOR_TASKS_SOURCE": "a2a", "MONITOR_TASKS_URL": "http://127.0.0.1:8080",
				"MONITOR_INBOUND_UPSTREAM": "http://127.0.0.1:8080", "MONITOR_INBOUND_PROTOCOL": "a2a",
			},
		},
		"Prometheus": {
			reason: "Metrics are read where the catalog says, and /metrics is the custom.",
			role:   `tasks: {source: Prometheus, port: 9100, queueDepth: 'sum:jobs{state="waiting"}', inFlight: 'max:jobs_running'}`,
			want: map[string]string{
				"MONITOR_TASKS_SOURCE": "prometheus", "MONITOR_TASKS_URL": "http://127.0.0.1:9100/metrics",
				"MONITOR_TASKS_QUEUE_DEPTH": `sum:jobs{state="waiting"}`, "MONITOR_TASKS_IN_FLIGHT": "max:jobs_running",
			},
		},
		"LangGraph": {
			reason: "A LangGraph server's figures are known.",
			role:   "tasks: {source: LangGraph, port: 2024}",
			want:   map[string]string{"MONITOR_TASKS_SOURCE": "langgraph", "MONITOR_TASKS_URL": "http://127.0.0.1:2024/metrics"},
		},
		"HTTP": {
			reason: "A document has its figures at JSON pointers.",
			role:   "tasks: {source: HTTP, path: /load, queueDepth: /queue/length, waitingForInput: /blocked, sessions: /sessions}",
			want: map[string]string{
				"MONITOR_TASKS_SOURCE": "http", "MONITOR_TASKS_URL": "http://127.0.0.1:8080/load", "MONITOR_TASKS_QUEUE_DEPTH": "/queue/length",
				"MONITOR_TASKS_WAITING_FOR_INPUT": "/blocked", "MONITOR_TASKS_SESSIONS": "/sessions",
			},
		},
		"Inbound": {
			reason: "What is counted at the proxy is asked nowhere.",
			role:   "tasks: {source: Inbound}, inbound: {port: 8080}",
			want: map[string]string{
				"MONITOR_TASKS_SOURCE": "inbound", "MONITOR_INBOUND_UPSTREAM": "http://127.0.0.1:8080", "MONITOR_INBOUND_PROTOCOL": "http",
			},
		},
		"Drain": {
			reason: "The preStop hook leaves the agent time to end, half of the grace period where that is short.",
			role:   "terminationGracePeriodSeconds: 6, drain: {timeoutSeconds: 7200, hook: {path: /drain}}",
			want: map[string]string{
				"MONITOR_STOP_TIMEOUT": "3s", "MONITOR_DRAIN_TIMEOUT": "7200s",
				"MONITOR_DRAIN_HOOK_URL": "http://127.0.0.1:8080/drain", "MONITOR_DRAIN_HOOK_TIMEOUT": "5s",
			},
		},
		"Push": {
			reason: "Figures are pushed with headers, in an order that does not change.",
			monitor: `metrics: {otelNames: true, push: {url: "https://metrics.example.org/api/v1/write", headers: {X-Scope-OrgID: team-a, X-A: b},
tokenSecretRef: {name: push, key: token}, caSecretRef: {name: push-ca, key: ca}}}`,
			want: map[string]string{
				"MONITOR_OTEL_NAMES": "true", "MONITOR_PUSH_URL": "https://metrics.example.org/api/v1/write",
				"MONITOR_PUSH_HEADERS": "X-A=b,X-Scope-OrgID=team-a",
			},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := &appsv1.Deployment{}
			decode(t, monitored(t, tc.spec, tc.monitor, tc.role, tc.model), resourceDeployment, d)

			want := map[string]string{}
			for _, m := range []map[string]string{always, tc.want} {
				for k, v := range m {
					want[k] = v
				}
			}

			got := map[string]string{}

			for _, e := range d.Spec.Template.Spec.InitContainers[1].Env {
				if e.ValueFrom == nil {
					got[e.Name] = e.Value
				}
			}

			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("\n%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// With an inbound proxy the Service leads to it, for its port and no other.
func TestServiceLeadsToTheInboundProxy(t *testing.T) {
	rsp := monitored(t, "", "", `inbound: {port: 8080}, ports: [{name: http, containerPort: 8080, servicePort: 80}, {name: debug, containerPort: 8081}]`, "")

	s, d := &corev1.Service{}, &appsv1.Deployment{}
	decode(t, rsp, resourceService, s)
	decode(t, rsp, resourceDeployment, d)

	var got []string
	for _, p := range s.Spec.Ports {
		got = append(got, p.Name+" -> "+p.TargetPort.String())
	}

	for _, p := range d.Spec.Template.Spec.InitContainers[1].Ports {
		got = append(got, p.Name)
	}

	if diff := cmp.Diff([]string{"http -> inbound", "debug -> debug", "monitor", "inbound"}, got); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

// Where a gateway counts, agents speak to it with the key that is theirs then; the monitor has none.
func TestGatewayGetsTheAgentsKey(t *testing.T) {
	d := &appsv1.Deployment{}
	rsp := monitored(t, "", "", "", `metering: Gateway, secretRef: {name: gateway, key: token}, tokensQuery: 'sum(used{ns="$NAMESPACE",pool="$DISPATCHER"})'`)
	decode(t, rsp, resourceDeployment, d)

	s := &agentv1alpha1.AgentScaler{}
	decode(t, rsp, resourceAgentScaler, s)

	if got, want := s.Spec.ForProvider.TokensQuery, fmt.Sprintf(`sum(used{ns=%q,pool=%q})`, d.GetNamespace(), d.GetName()); got != want {
		t.Errorf("the scaler asks for tokens by %s, want %s", got, want)
	}

	pod := d.Spec.Template.Spec
	got := map[string]string{}

	for _, e := range pod.Containers[0].Env {
		got[e.Name] = e.Value
		if e.ValueFrom != nil {
			got[e.Name] = "secret " + e.ValueFrom.SecretKeyRef.Name + "/" + e.ValueFrom.SecretKeyRef.Key
		}
	}

	want := map[string]string{
		"AGENT_INSTRUCTIONS": "You write code.", "OPENAI_API_KEY": "secret gateway/token", "OPENAI_MODEL": "gpt-4", "STATE_DIR": "/var/lib/agent",
		"OPENAI_BASE_URL": "http://model-server.aidispatcher-models.svc.cluster.local/v1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the agent's environment: -want, +got:\n%s", diff)
	}

	for _, v := range pod.Volumes {
		if v.Name == volumeModelKey {
			t.Error("the monitor got the gateway's key")
		}
	}
}

// What the tokens cost is for the scaler to reckon, and its sum is the pool's. An endpoint of the claim's own has prices that no catalog knows.
func TestPricesReachTheScaler(t *testing.T) {
	const model = `prices: {currency: USD, inputPerMillion: "2.50", outputPerMillion: "10", cachedInputPerMillion: "1.25"}`

	want := &agentv1alpha1.TokenPrices{Currency: "USD", InputPerMillion: "2.50", OutputPerMillion: "10", CachedInputPerMillion: "1.25"}

	for spec, want := range map[string]*agentv1alpha1.TokenPrices{"": want, "modelEndpoint: https://own.example.org/v1": nil} {
		s := &agentv1alpha1.AgentScaler{}
		decode(t, monitored(t, spec, "", "", model), resourceAgentScaler, s)

		if diff := cmp.Diff(want, s.Spec.ForProvider.TokenPrices); diff != "" {
			t.Errorf("%q: -want, +got:\n%s", spec, diff)
		}
	}
}

// Figures are scraped by annotation unless the catalog says otherwise, by a PodMonitor where it says so, and pushed with
// secrets that only the monitor sees.
func TestFiguresGetOut(t *testing.T) {
	d := &appsv1.Deployment{}
	rsp := monitored(t, "", "", "", "")
	decode(t, rsp, resourceDeployment, d)

	want := map[string]string{"prometheus.io/scrape": "true", "prometheus.io/port": "9797", "prometheus.io/path": "/metrics"}
	if diff := cmp.Diff(want, d.Spec.Template.Annotations); diff != "" {
		t.Errorf("annotations: -want, +got:\n%s", diff)
	}

	if rsp.GetDesired().GetResources()[resourcePodMonitor] != nil {
		t.Error("a PodMonitor was composed that nobody asked for")
	}

	rsp = monitored(t, "", `metrics: {annotations: false, podMonitor: true, push: {url: "https://m.example.org/w", tokenSecretRef: {name: push, key: tok}, caSecretRef: {name: cas, key: ca}}}`, "", "")
	d = &appsv1.Deployment{}
	decode(t, rsp, resourceDeployment, d)

	if len(d.Spec.Template.Annotations) > 0 {
		t.Errorf("annotations that were opted out of: %v", d.Spec.Template.Annotations)
	}

	pm := rsp.GetDesired().GetResources()[resourcePodMonitor].GetResource()
	if got := text(pm, "spec", "selector", "matchLabels", "southwest.ai/dispatcher"); got != "pool" {
		t.Errorf("the PodMonitor selects the pool %q", got)
	}

	wantFiles := []string{"push/tok -> token", "cas/ca -> ca.crt"}

	var files []string

	for _, v := range d.Spec.Template.Spec.Volumes {
		if v.Name == volumePush {
			for _, s := range v.Projected.Sources {
				files = append(files, s.Secret.Name+"/"+s.Secret.Items[0].Key+" -> "+s.Secret.Items[0].Path)
			}
		}
	}

	if diff := cmp.Diff(wantFiles, files); diff != "" {
		t.Errorf("files: -want, +got:\n%s", diff)
	}

	for _, c := range append(d.Spec.Template.Spec.Containers, d.Spec.Template.Spec.InitContainers...) {
		for _, m := range c.VolumeMounts {
			if m.Name == volumePush && c.Name != containerMonitor {
				t.Errorf("container %s sees the secrets of remote write", c.Name)
			}
		}
	}
}

// What a catalog says wrongly of monitoring is said with its field, all at once.
func TestMonitoringIsValidated(t *testing.T) {
	cases := map[string]struct {
		reason                     string
		spec, monitor, role, model string
		want                       string
	}{
		"Source":       {reason: "A source is one that there is.", role: "tasks: {source: Redis}", want: `roles[coder].tasks.source: "Redis" is not a source: choose A2A, HTTP, Inbound, LangGraph, Prometheus`},
		"NoProxy":      {reason: "Nothing is counted at a proxy that is not there.", role: "tasks: {source: Inbound}", want: "roles[coder].tasks.source: Inbound counts at the inbound proxy, and the role has none: set inbound"},
		"NoPath":       {reason: "A document has a path.", role: "tasks: {source: HTTP, queueDepth: /a}", want: "roles[coder].tasks.path: is empty: say which document of the agent has the figures"},
		"NoQueueDepth": {reason: "A pool is scaled on unfinished tasks.", role: "tasks: {source: Prometheus}", want: "roles[coder].tasks.queueDepth: is empty: say where the number of unfinished tasks is"},
		"KnownFigure":  {reason: "LangGraph's figures have names of their own.", role: "tasks: {source: LangGraph, inFlight: x}", want: "roles[coder].tasks.inFlight: is not for LangGraph, which knows where its figures are: remove it"},
		"NoPointer": {
			reason: "A pointer begins with a slash.", role: "tasks: {source: HTTP, path: /load, queueDepth: queue.length}",
			want: `roles[coder].tasks.queueDepth: "queue.length" is not what HTTP reads: write a metric such as sum:jobs{state="waiting"} for Prometheus, or a JSON pointer such as /queue/length for HTTP`,
		},
		"NoMetric": {
			reason: "A metric is no query.", role: "tasks: {source: Prometheus, queueDepth: 'rate(jobs[5m])'}",
			want: `roles[coder].tasks.queueDepth: "rate(jobs[5m])" is not what Prometheus reads: write a metric such as sum:jobs{state="waiting"} for Prometheus, or a JSON pointer such as /queue/length for HTTP`,
		},
		"NoPort":       {reason: "A role without ports must say which is asked.", role: "ports: [], tasks: {source: A2A}", want: "roles[coder].tasks.port: is empty, and the role has no ports: say which port of the agent is asked"},
		"MonitorPort":  {reason: "The monitor does not ask itself.", role: "tasks: {source: A2A, port: 9797}", want: "roles[coder].tasks.port: 9797 is the monitor's own: name one of the agent's"},
		"Path":         {reason: "A path begins with a slash.", role: "drain: {hook: {path: drain}}", want: `roles[coder].drain.hook.path: "drain" must begin with / and hold no spaces`},
		"HookNoPath":   {reason: "A hook is somewhere.", role: "drain: {hook: {}}", want: "roles[coder].drain.hook.path: is empty: say what to POST to"},
		"DrainZero":    {reason: "A drain that waits for nothing is none.", role: "drain: {timeoutSeconds: 0}", want: "roles[coder].drain.timeoutSeconds: is 0 and must be at least 1"},
		"InboundPort":  {reason: "The Service leads to the role's ports.", role: "inbound: {port: 1234}", want: "roles[coder].inbound.port: 1234 is none of the role's ports: the proxy stands before one of them, so that the Service can lead to it"},
		"InboundProto": {reason: "A protocol is one that there is.", role: "inbound: {protocol: gRPC}", want: `roles[coder].inbound.protocol: "gRPC" is not a protocol: choose HTTP or A2A`},
		"PortName":     {reason: "The names of the monitor's ports are taken.", role: "ports: [{name: inbound, containerPort: 8080}]", want: `roles[coder].ports[0].name: "inbound" is taken: choose another`},
		"Metering":     {reason: "Somebody counts.", model: "metering: Nobody", want: `models[gpt-4].metering: "Nobody" is not a way to count: choose Proxy or Gateway`},
		"PricesGateway": {
			reason: "A gateway has its own bill.", model: "metering: Gateway, prices: {currency: USD, inputPerMillion: '1', outputPerMillion: '2'}",
			want: "models[gpt-4].prices: are for tokens that the monitor counts, and Gateway has a bill of its own: remove them",
		},
		"Currency":   {reason: "An amount has a currency.", model: "prices: {currency: Dollar, inputPerMillion: '1', outputPerMillion: '2'}", want: `models[gpt-4].prices.currency: "Dollar" is no currency`},
		"Price":      {reason: "And a price is a number.", model: "prices: {currency: USD, inputPerMillion: '1', outputPerMillion: '2,50'}", want: `models[gpt-4].prices.outputPerMillion: "2,50" is no price of a million tokens`},
		"NoPrice":    {reason: "Of which none is missing.", model: "prices: {currency: USD, outputPerMillion: '2'}", want: `models[gpt-4].prices.inputPerMillion: "" is no price of a million tokens`},
		"AskGateway": {reason: "What is not there asks for nothing.", model: "metering: Gateway, askForUsage: true", want: "models[gpt-4].askForUsage: is for the monitor's own proxy, and Gateway has none: remove it"},
		"PushURL":    {reason: "Figures go to a URL.", monitor: "metrics: {push: {url: metrics}}", want: `monitor.metrics.push.url: "metrics" is not a URL such as https://models.example.org/v1`},
		"PushSecret": {reason: "A Secret has a name.", monitor: "metrics: {push: {url: 'https://m.example.org', tokenSecretRef: {name: A_B, key: k}}}", want: `monitor.metrics.push.tokenSecretRef.name: "A_B" cannot name a Secret`},
		"PushHeader": {reason: "A comma would make two of one.", monitor: "metrics: {push: {url: 'https://m.example.org', headers: {X-A: 'b,c'}}}", want: `monitor.metrics.push.headers: "X-A": "b,c" cannot be sent`},
		"PushKey":    {reason: "A token is no header of the catalog.", monitor: "metrics: {push: {url: 'https://m.example.org', headers: {authorization: x}}}", want: "monitor.metrics.push.headers: authorization is set by the monitor, a token by tokenSecretRef: remove it"},
		"Budget": {
			reason: "A budget that nobody keeps is refused.", spec: "tokenBudget: {tokensPerMinute: 10}", model: "metering: Gateway",
			want: `spec.tokenBudget cannot be kept for model "gpt-4", whose tokens a gateway counts: remove it, and have the platform team set the limit at the gateway`,
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rsp := monitored(t, tc.spec, tc.monitor, tc.role, tc.model)

			var said string
			for _, r := range rsp.GetResults() {
				said += r.GetMessage()
			}

			if !strings.Contains(said, tc.want) {
				t.Errorf("\n%s\nwant %s\ngot  %s", tc.reason, tc.want, said)
			}

			if n := len(rsp.GetDesired().GetResources()); n > 0 {
				t.Errorf("%d resources were composed of what was refused", n)
			}
		})
	}
}
