package compose

import (
	"google.golang.org/protobuf/types/known/structpb"

	"k8s.io/utils/ptr"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/apis/input/v1beta1"
	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// The names of the composed resources within a composite.
const (
	resourceServiceAccount   = "serviceaccount"
	resourceDeployment       = "deployment"
	resourceService          = "service"
	resourceVectorCollection = "vectorcollection"
	resourceCheckpoint       = "checkpoint"
	resourceAgentScaler      = "agentscaler"
	resourcePodMonitor       = "podmonitor"
	resourceScaledObject     = "scaledobject"
)

// A Resource is a composed resource and whether it is ready.
type Resource struct {
	Object *structpb.Struct
	Ready  bool
}

// A Composition is what a claim becomes.
type Composition struct {
	Resources map[string]Resource
	Status    Status
	// Whether it needs KEDA.
	keda bool
}

// A pool is a claim with what the catalog says of it: everything the composed resources are made from.
type pool struct {
	Claim

	// Name of what is composed, which is the claim's own wherever that can be.
	name  string
	role  *role
	model model
	cat   *Catalog
	// Whether workers are given the memory, and how its collection is laid out already.
	wired   bool
	laidOut object
	// Whether workers are given the checkpoint repository.
	saves bool
}

// A model as the workers of a pool reach it.
type model struct {
	endpoint string
	name     string
	protocol v1beta1.ModelProtocol
	// The Secret with the key, or nil. A key is never sent to an endpoint that the claim chose: whoever may write a claim
	// could otherwise read it there.
	secretName, secretKey string
	// Whether agents speak to a gateway that counts, without a proxy of ours between; and whether the proxy asks for no usage.
	gateway, neverAsks bool
	// Where the gateway's figures are.
	tokensQuery string
	// What its tokens cost, nil where nobody knows.
	prices *agentv1alpha1.TokenPrices
}

// keyForMonitor says whether the monitor puts a key on requests.
func (m model) keyForMonitor() bool { return m.secretName != "" && !m.gateway }

// agentURL is the base URL of the agent's client library.
func (m model) agentURL() string {
	if m.gateway {
		return m.endpoint
	}

	return monitorapi.ProxyURL
}

// agentKey is the agent's variable for the key: a placeholder that the monitor replaces, or what the gateway knows it by.
func (m model) agentKey(name string) object {
	if !m.gateway || m.secretName == "" {
		return envVar(name, placeholderKey)
	}

	return object{"name": name, "valueFrom": object{"secretKeyRef": object{"name": m.secretName, "key": m.secretKey}}}
}

// Compose returns what a claim becomes under a catalog, given what was observed. It is pure: the same arguments give the
// same answer. Its error is a *Refusal when the request cannot be served; nothing may then be changed or deleted.
func Compose(xr *structpb.Struct, cat *Catalog, observed map[string]*structpb.Struct) (Composition, error) {
	claim, err := readClaim(xr)
	if err != nil {
		return Composition{}, err
	}

	p, err := newPool(claim, cat)
	if err != nil {
		return Composition{}, err
	}

	o := observe(xr, observed)
	p.wired, p.laidOut = wiresMemory(p, o), laidOut(observed[resourceVectorCollection])
	p.saves = savesState(p, o)
	status := deriveStatus(p, o)

	out := map[string]Resource{
		resourceServiceAccount: {Object: p.serviceAccount(), Ready: true},
		resourceAgentScaler:    {Object: p.agentScaler(), Ready: o.scaler.ready},
	}

	if p.Spec.MemoryConfig != nil {
		out[resourceVectorCollection] = Resource{Object: p.vectorCollection(), Ready: o.memory.ready}
	}

	if p.Spec.Checkpoint != nil {
		out[resourceCheckpoint] = Resource{Object: p.checkpoint(), Ready: o.checkpoint.ready}
	}

	if len(p.role.Ports) > 0 {
		out[resourceService] = Resource{Object: p.service(), Ready: true}
	}

	if m := p.cat.monitor.Metrics; m != nil && m.PodMonitor {
		out[resourcePodMonitor] = Resource{Object: p.podMonitor(), Ready: true}
	}

	if p.keda() != "" {
		out[resourceScaledObject] = Resource{Object: p.scaledObject(), Ready: p.Spec.Suspend || o.scaledObject.ready.isTrue()}
	}

	// An agent must not start before its memory was there once. What is withdrawn from a desired state is deleted, so a
	// Deployment that exists stays, whatever its memory does later.
	if o.deployment.exists || status.memoryWasReady {
		out[resourceDeployment] = Resource{Object: p.deployment(), Ready: status.allAvailable}
	}

	return Composition{Resources: out, Status: status, keda: p.keda() != ""}, nil
}

func newPool(c Claim, cat *Catalog) (*pool, error) {
	r, err := cat.role(c.Spec.Role)
	if err != nil {
		return nil, err
	}

	m, err := resolveModel(c.Spec, cat)
	if err != nil {
		return nil, err
	}

	if c.Spec.TokenBudget != nil && m.gateway {
		return nil, refuse(v1alpha1.ReasonUnsupported, "spec.tokenBudget cannot be kept for model %q, whose tokens a gateway counts: remove it, and have the platform team set the limit at the gateway", c.Spec.ModelRef)
	}

	if most := r.MaxReplicas; most != nil {
		if wants := mostReplicas(c.Spec); wants > *most {
			return nil, refuse(v1alpha1.ReasonInvalidClaim, "the pool may grow to %d workers and the platform allows %d for role %q: lower replicas or scaling.maxReplicas", wants, *most, r.Name)
		}
	}

	p := &pool{Claim: c, name: nameFor(c.Name), role: r, model: m, cat: cat}

	if err := p.validateCheckpoint(); err != nil {
		return nil, err
	}

	if err := p.validateKEDA(); err != nil {
		return nil, err
	}

	return p, nil
}

// mostReplicas returns the largest size a claim asks for.
func mostReplicas(s v1alpha1.AIDispatcherSpec) int32 {
	if s.Scaling == nil {
		return *s.Replicas
	}

	return max(*s.Replicas, ptr.Deref(s.Scaling.MaxReplicas, defaultMaxReplicas))
}

func resolveModel(s v1alpha1.AIDispatcherSpec, cat *Catalog) (model, error) {
	if s.ModelEndpoint == "" {
		m, err := cat.model(s.ModelRef)
		if err != nil {
			return model{}, err
		}

		out := model{
			endpoint: m.Endpoint, name: m.Model, protocol: m.Protocol,
			gateway: m.Metering == v1beta1.MeteringGateway, tokensQuery: m.TokensQuery, neverAsks: m.AskForUsage != nil && !*m.AskForUsage,
			prices: m.Prices,
		}
		if m.SecretRef != nil {
			out.secretName, out.secretKey = m.SecretRef.Name, m.SecretRef.Key
		}

		return out, nil
	}

	// The claim's own endpoint may serve models that no catalog knows; the name is passed on as it is.
	out := model{endpoint: s.ModelEndpoint, name: s.ModelRef, protocol: v1beta1.ProtocolOpenAI}
	if m, ok := cat.models[s.ModelRef]; ok {
		out.name, out.protocol = m.Model, m.Protocol
	}

	return out, nil
}
