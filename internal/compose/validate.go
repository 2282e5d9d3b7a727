package compose

import (
	"fmt"
	"maps"
	"net" //nolint:depguard // It takes an address apart, and opens none.
	"path"
	"slices"
	"strings"

	"github.com/distribution/reference"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/southwest-ai/agent-operator/apis/input/v1beta1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// The environment the function sets on an agent. A role cannot set it too: two writers of one variable would make the
// order of a list decide who wins.
var reservedEnv = []string{
	envOpenAIBaseURL, envOpenAIKey, envOpenAIModel, envAnthropicBaseURL, envAnthropicKey, envAnthropicModel, envStateDir,
	envVectorStore, envVectorEndpoint, envVectorCollection, envVectorDim, envVectorDistance, envVectorUser, envVectorPassword,
	envVectorAPIKey, envVectorSuccessor, envVectorSuccessorDim, envVectorCAFile,
}

// The directories of a worker that are taken, so that no state can lie there.
var reservedPaths = []string{
	"/", "/tmp", "/etc", monitorapi.PodinfoDir, memoryDir, path.Dir(monitorapi.ModelKeyFile), path.Dir(monitorapi.PushTokenFile), "/proc", "/sys", "/dev",
}

// validateCatalog returns everything that is wrong with a catalog, each with the field it stands in.
func validateCatalog(c *v1beta1.Catalog) []string {
	p := &problems{}
	p.image("monitor.image", c.Monitor.Image)
	validateMetrics(p, c.Monitor.Metrics)
	validateKEDACatalog(p, c.KEDA)

	if len(c.Roles) == 0 {
		p.add("roles", "is empty: add a role that claims can name")
	}

	names := make(map[string]bool, len(c.Roles))

	for i := range c.Roles {
		r := &c.Roles[i]
		at := fmt.Sprintf("roles[%s]", r.Name)
		p.name(fmt.Sprintf("roles[%d].name", i), r.Name, names)
		validateRole(p, at, r)
		validatePod(p, at, r, c.Monitor.Metrics)
	}

	names = make(map[string]bool, len(c.Models))

	for i := range c.Models {
		m := &c.Models[i]
		p.name(fmt.Sprintf("models[%d].name", i), m.Name, names)
		validateModel(p, fmt.Sprintf("models[%s]", m.Name), m)
	}

	return p.found
}

func validateRole(p *problems, at string, r *v1beta1.Role) {
	p.image(at+".image", r.Image)

	if r.Stateless && r.Checkpoint != nil {
		p.add(at+".checkpoint", "is for agents with state, and these are stateless: remove one of the two")
	}

	if r.Stateless && r.StateVolume != nil {
		p.add(at+".stateVolume", "contradicts stateless: true: remove the one or the other")
	}

	if clean := path.Clean(r.StatePath); !path.IsAbs(r.StatePath) || slices.Contains(reservedPaths, clean) {
		p.add(at+".statePath", "%q must be an absolute path of its own, such as %s", r.StatePath, defaultStatePath)
	}

	if v := r.StateVolume; v != nil && v.SizeLimit.Sign() <= 0 {
		p.add(at+".stateVolume.sizeLimit", "must be more than nothing, such as 1Gi")
	}

	if *r.TerminationGracePeriodSeconds < 2 {
		p.add(at+".terminationGracePeriodSeconds", "is %d and must be at least 2: a worker needs time to save its state", *r.TerminationGracePeriodSeconds)
	}

	if *r.RunAsUser < 1 {
		p.add(at+".runAsUser", "is %d and must be at least 1: workers do not run as root", *r.RunAsUser)
	}

	if r.MaxReplicas != nil && *r.MaxReplicas < 1 {
		p.add(at+".maxReplicas", "is %d and must be at least 1", *r.MaxReplicas)
	}

	for i := range r.Env {
		if slices.Contains(reservedEnv, r.Env[i].Name) {
			p.add(fmt.Sprintf("%s.env[%d]", at, i), "sets %s, which is set for every agent: remove it", r.Env[i].Name)
		}
	}

	validatePorts(p, at, r.Ports)
	validateMemory(p, at+".memory", r.Memory)
	validateMonitoring(p, at, r)
}

func validateKEDACatalog(p *problems, k *v1beta1.KEDA) {
	if a := k.Scaler.Address; a != "" {
		if host, port, err := net.SplitHostPort(a); err != nil || host == "" || port == "" {
			p.add("keda.scaler.address", "%q must be HOST:PORT, such as %s", a, defaultScalerAddress)
		}
	}

	refs := map[string]*v1beta1.KEDAAuthenticationRef{"keda.scaler.authenticationRef": k.Scaler.AuthenticationRef}

	if at := k.Prometheus; at != nil {
		refs["keda.prometheus.authenticationRef"] = at.AuthenticationRef

		if err := checkURL(at.ServerAddress); err != nil {
			p.add("keda.prometheus.serverAddress", "%s", err)
		}
	}

	for _, at := range slices.Sorted(maps.Keys(refs)) {
		if r := refs[at]; r != nil && (r.Name == "" || r.Kind != "TriggerAuthentication" && r.Kind != "ClusterTriggerAuthentication") {
			p.add(at, "must name a TriggerAuthentication or a ClusterTriggerAuthentication")
		}
	}
}

func validatePorts(p *problems, at string, ports []v1beta1.Port) {
	names, numbers := map[string]bool{}, map[int32]bool{}

	for i, port := range ports {
		here := fmt.Sprintf("%s.ports[%d]", at, i)

		if msgs := validation.IsValidPortName(port.Name); len(msgs) > 0 {
			p.add(here+".name", "%q cannot name a port: %s", port.Name, strings.Join(msgs, ", "))
		}

		for _, n := range []int32{port.ContainerPort, port.ServicePort} {
			if msgs := validation.IsValidPortNum(int(n)); len(msgs) > 0 {
				p.add(here, "has port %d, which %s", n, strings.Join(msgs, ", "))
			}
		}

		if slices.Contains(monitorPortNumbers, port.ContainerPort) {
			p.add(here+".containerPort", "%d is the monitor's own: choose another", port.ContainerPort)
		}

		if port.Name == monitorPortName || port.Name == inboundPortName || names[port.Name] {
			p.add(here+".name", "%q is taken: choose another", port.Name)
		}

		if numbers[port.ContainerPort] {
			p.add(here+".containerPort", "%d is listed twice", port.ContainerPort)
		}

		names[port.Name], numbers[port.ContainerPort] = true, true
	}
}

func validateModel(p *problems, at string, m *v1beta1.Model) {
	if err := checkURL(m.Endpoint); err != nil {
		p.add(at+".endpoint", "%s", err)
	}

	if m.Protocol != v1beta1.ProtocolOpenAI && m.Protocol != v1beta1.ProtocolAnthropic {
		p.add(at+".protocol", "%q is not a protocol: choose %s or %s", m.Protocol, v1beta1.ProtocolOpenAI, v1beta1.ProtocolAnthropic)
	}

	validateSecretKey(p, at+".secretRef", m.SecretRef)
	validateMetering(p, at, m)
}

// problems collects all that is wrong, so that a catalog is mended in one go.
type problems struct{ found []string }

func (p *problems) add(at, format string, args ...any) {
	p.found = append(p.found, at+": "+fmt.Sprintf(format, args...))
}

func (p *problems) image(at, image string) {
	if image == "" {
		p.add(at, "is empty: name an image")

		return
	}

	if _, err := reference.ParseNormalizedNamed(image); err != nil {
		p.add(at, "%q is not an image: %s", image, err)
	}
}

func (p *problems) name(at, name string, taken map[string]bool) {
	switch {
	case name == "":
		p.add(at, "is empty: claims need a name to refer to")
	case taken[name]:
		p.add(at, "%q is listed twice", name)
	}

	taken[name] = true
}

// pullPolicy returns p, or nil where Kubernetes is to choose.
func pullPolicy(p corev1.PullPolicy) any { return orNil(string(p)) }
