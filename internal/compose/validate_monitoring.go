package compose

import (
	"net/textproto"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/southwest-ai/agent-operator/apis/input/v1beta1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

var (
	// Metrics as the monitor reads and adds them up: how the series are put together, the name, and labels they must have.
	metricFigure = regexp.MustCompile(`^` + oneMetric + `( *\+ *` + oneMetric + `)*$`)
	// A JSON pointer, RFC 6901.
	jsonFigure = regexp.MustCompile(`^(/([^/~]|~[01])*)+$`)
	headerName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")
)

func validateMonitoring(p *problems, at string, r *v1beta1.Role) {
	if t := r.Tasks; t != nil {
		validateTasks(p, at+".tasks", r)
	}

	if in := r.Inbound; in != nil {
		if _, ok := inboundProtocols[in.Protocol]; !ok {
			p.add(at+".inbound.protocol", "%q is not a protocol: choose %s or %s", in.Protocol, v1beta1.InboundHTTP, v1beta1.InboundA2A)
		}

		if !slices.ContainsFunc(r.Ports, func(port v1beta1.Port) bool { return in.Port == 0 || in.Port == port.ContainerPort }) {
			p.add(at+".inbound.port", "%d is none of the role's ports: the proxy stands before one of them, so that the Service can lead to it", in.Port)
		}
	}

	if d := r.Drain; d != nil {
		validateDrain(p, at+".drain", r)
	}

	if c := r.Checkpoint; c != nil && c.Quiesce != nil {
		validateHook(p, at+".checkpoint.quiesce", r, c.Quiesce.Port, c.Quiesce.Path, *c.Quiesce.TimeoutSeconds)
	}
}

func validateTasks(p *problems, at string, r *v1beta1.Role) {
	t := r.Tasks
	figures := map[string]string{"queueDepth": t.QueueDepth, "inFlight": t.InFlight, "waitingForInput": t.WaitingForInput, "sessions": t.Sessions}

	var form *regexp.Regexp

	switch t.Source {
	case v1beta1.TasksPrometheus:
		form = metricFigure
	case v1beta1.TasksHTTP:
		form = jsonFigure

		if t.Path == "" {
			p.add(at+".path", "is empty: say which document of the agent has the figures")
		}
	case v1beta1.TasksInbound:
		if r.Inbound == nil {
			p.add(at+".source", "%s counts at the inbound proxy, and the role has none: set inbound", t.Source)
		}
	case v1beta1.TasksA2A, v1beta1.TasksLangGraph:
	default:
		p.add(at+".source", "%q is not a source: choose %s", t.Source, known(taskSources))

		return
	}

	if t.Source != v1beta1.TasksInbound {
		validateAgentPort(p, at, r, t.Port)
		validatePath(p, at, t.Path)
	}

	if form != nil && t.QueueDepth == "" {
		p.add(at+".queueDepth", "is empty: say where the number of unfinished tasks is")
	}

	for name, f := range figures {
		switch {
		case f == "":
		case form == nil:
			p.add(at+"."+name, "is not for %s, which knows where its figures are: remove it", t.Source)
		case !form.MatchString(f):
			p.add(at+"."+name, `%q is not what %s reads: write a metric such as sum:jobs{state="waiting"} for Prometheus, or a JSON pointer such as /queue/length for HTTP`, f, t.Source)
		}
	}
}

func validateDrain(p *problems, at string, r *v1beta1.Role) {
	if t := r.Drain.TimeoutSeconds; t != nil && *t < 1 {
		p.add(at+".timeoutSeconds", "is %d and must be at least 1", *t)
	}

	if h := r.Drain.Hook; h != nil {
		validateHook(p, at+".hook", r, h.Port, h.Path, *h.TimeoutSeconds)
	}
}

func validateHook(p *problems, at string, r *v1beta1.Role, port int32, path string, timeout int64) {
	if path == "" {
		p.add(at+".path", "is empty: say what to POST to")
	}

	if timeout < 1 {
		p.add(at+".timeoutSeconds", "is %d and must be at least 1", timeout)
	}

	validateAgentPort(p, at, r, port)
	validatePath(p, at, path)
}

func validateAgentPort(p *problems, at string, r *v1beta1.Role, port int32) {
	switch {
	case port == 0 && len(r.Ports) == 0:
		p.add(at+".port", "is empty, and the role has no ports: say which port of the agent is asked")
	case port != 0 && len(validation.IsValidPortNum(int(port))) > 0:
		p.add(at+".port", "is %d and must be 1 to 65535", port)
	case slices.Contains(monitorPortNumbers, port):
		p.add(at+".port", "%d is the monitor's own: name one of the agent's", port)
	}
}

func validatePath(p *problems, at, path string) {
	if path != "" && (!strings.HasPrefix(path, "/") || strings.ContainsAny(path, " \t\r\n#")) {
		p.add(at+".path", "%q must begin with / and hold no spaces", path)
	}
}

func validateMetrics(p *problems, m *v1beta1.Metrics) {
	if m == nil || m.Push == nil {
		return
	}

	const at = "monitor.metrics.push"
	if err := checkURL(m.Push.URL); err != nil {
		p.add(at+".url", "%s", err)
	}

	validateSecretKey(p, at+".tokenSecretRef", m.Push.TokenSecretRef)
	validateSecretKey(p, at+".caSecretRef", m.Push.CASecretRef)

	for name, value := range m.Push.Headers {
		if !headerName.MatchString(name) || strings.ContainsFunc(value, func(c rune) bool { return c < ' ' || c > '~' || c == ',' }) {
			p.add(at+".headers", "%q: %q cannot be sent: a name is letters, digits and dashes, a value printable ASCII without commas", name, value)
		}

		if slices.Contains([]string{"Authorization", "Host", "Content-Type", "Content-Encoding", "Content-Length"}, textproto.CanonicalMIMEHeaderKey(name)) {
			p.add(at+".headers", "%s is set by the monitor, a token by tokenSecretRef: remove it", name)
		}
	}
}

func validateSecretKey(p *problems, at string, s *corev1.SecretKeySelector) {
	if s == nil {
		return
	}

	if msgs := validation.IsDNS1123Subdomain(s.Name); len(msgs) > 0 {
		p.add(at+".name", "%q cannot name a Secret: %s", s.Name, strings.Join(msgs, ", "))
	}

	if msgs := validation.IsConfigMapKey(s.Key); len(msgs) > 0 {
		p.add(at+".key", "%q cannot be a Secret's key: %s", s.Key, strings.Join(msgs, ", "))
	}
}

const oneMetric = `((sum|max):)?[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^{}]*\})?`

// monitorPortNumbers are taken in every worker.
var monitorPortNumbers = []int32{monitorapi.Port, monitorapi.ProxyPort, monitorapi.InboundPort}

func validateMetering(p *problems, at string, m *v1beta1.Model) {
	if m.Metering != v1beta1.MeteringProxy && m.Metering != v1beta1.MeteringGateway {
		p.add(at+".metering", "%q is not a way to count: choose %s or %s", m.Metering, v1beta1.MeteringProxy, v1beta1.MeteringGateway)
	}

	if m.TokensQuery != "" && m.Metering != v1beta1.MeteringGateway {
		p.add(at+".tokensQuery", "is for tokens that a gateway counts: set metering: %s, or remove it", v1beta1.MeteringGateway)
	}

	validatePrices(p, at+".prices", m)

	if m.AskForUsage != nil && m.Metering == v1beta1.MeteringGateway {
		p.add(at+".askForUsage", "is for the monitor's own proxy, and %s has none: remove it", m.Metering)
	}
}

// The rules of the API, which nobody checks in a function's input.
var (
	oneCurrency = regexp.MustCompile(`^[A-Z]{3}$`)
	onePrice    = regexp.MustCompile(`^[0-9]{1,6}(\.[0-9]{1,6})?$`)
)

func validatePrices(p *problems, at string, m *v1beta1.Model) {
	c := m.Prices
	if c == nil {
		return
	}

	if m.Metering == v1beta1.MeteringGateway {
		p.add(at, "are for tokens that the monitor counts, and %s has a bill of its own: remove them", m.Metering)
	}

	if !oneCurrency.MatchString(c.Currency) {
		p.add(at+".currency", "%q is no currency: write its three letters, such as USD", c.Currency)
	}

	for name, price := range map[string]string{"inputPerMillion": c.InputPerMillion, "outputPerMillion": c.OutputPerMillion, "cachedInputPerMillion": c.CachedInputPerMillion} {
		if !onePrice.MatchString(price) && (price != "" || name != "cachedInputPerMillion") {
			p.add(at+"."+name, "%q is no price of a million tokens: write a decimal number in quotes, such as \"2.50\"", price)
		}
	}
}
