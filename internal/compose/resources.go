package compose

import (
	"strings"

	"google.golang.org/protobuf/types/known/structpb"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// labels of everything that is composed, and of every worker.
func (p *pool) labels() object {
	return object{monitorapi.LabelDispatcher: p.Claim.Name, monitorapi.LabelRole: p.role.Name}
}

// selector of the pool's workers. It leaves the role out: a Deployment's selector cannot change and a role can.
func (p *pool) selector() object {
	return object{monitorapi.LabelDispatcher: p.Claim.Name}
}

func (p *pool) metadata() object {
	return object{"name": p.name, "namespace": p.Namespace, "labels": p.labels()}
}

// serviceAccount returns the identity the workers run as: one without rights and without a token.
func (p *pool) serviceAccount() *structpb.Struct {
	return asStruct(object{
		"apiVersion":                   "v1",
		"kind":                         "ServiceAccount",
		"metadata":                     p.metadata(),
		"automountServiceAccountToken": false,
	})
}

// service returns the Service of a role with ports. Workers that drain are not ready and so get no new requests.
func (p *pool) service() *structpb.Struct {
	ports := make(list, 0, len(p.role.Ports))

	for _, port := range p.role.Ports {
		sp := object{"name": port.Name, "port": port.ServicePort, "targetPort": p.role.targetPort(port), "protocol": "TCP"}
		if port.AppProtocol != nil {
			sp["appProtocol"] = *port.AppProtocol
		}

		ports = append(ports, sp)
	}

	return asStruct(object{
		"apiVersion": "v1",
		"kind":       "Service",
		"metadata":   p.metadata(),
		"spec":       object{"type": "ClusterIP", "selector": p.selector(), "ports": ports},
	})
}

// agentScaler returns the scaler, which alone writes the Deployment's replicas where KEDA does not.
func (p *pool) agentScaler() *structpb.Struct {
	params := object{
		"scaleTargetRef": object{"apiVersion": "apps/v1", "kind": "Deployment", "name": p.name},
		"replicas":       p.Spec.Replicas,
		"sizedBy":        p.sizedBy(),
	}

	if p.Spec.Suspend {
		params["suspend"] = true
	}

	if s := p.Spec.Scaling; s != nil {
		params["minReplicaCount"] = s.MinReplicas
		params["maxReplicaCount"] = s.MaxReplicas
		params["triggers"] = triggers(s.Metrics)
		params["scaleDown"] = object{
			"stabilizationSeconds": s.ScaleDown.StabilizationSeconds,
			"drainTimeoutSeconds":  s.ScaleDown.DrainTimeoutSeconds,
			"onDrainTimeout":       orNil(string(s.ScaleDown.OnDrainTimeout)),
		}

		if len(s.Schedules) > 0 {
			params["schedules"] = schedules(s.Schedules)
		}

		if u := s.ScaleUp; u != nil {
			params["scaleUp"] = object{"maxStep": u.MaxStep}
		}

		if f := s.Fallback; f != nil {
			params["fallback"] = object{"afterSeconds": f.AfterSeconds, "replicas": f.Replicas}
		}
	}

	if b := p.Spec.TokenBudget; b != nil {
		params["tokensPerMinute"] = b.TokensPerMinute
	}

	if q := p.model.tokensQuery; q != "" {
		params["tokensQuery"] = strings.NewReplacer("$NAMESPACE", p.Claim.Namespace, "$DISPATCHER", p.Claim.Name).Replace(q)
	}

	if c := p.model.prices; c != nil {
		params["tokenPrices"] = object{
			"currency": c.Currency, "inputPerMillion": c.InputPerMillion, "outputPerMillion": c.OutputPerMillion, "cachedInputPerMillion": orNil(c.CachedInputPerMillion),
		}
	}

	return p.managed("AgentScaler", params, nil, nil)
}

func triggers(metrics []v1alpha1.Metric) list {
	out := make(list, 0, len(metrics))
	for _, m := range metrics {
		out = append(out, object{"type": string(m.Type), "target": m.Target, "query": orNil(m.Query)})
	}

	return out
}

func schedules(all []agentv1alpha1.ScalingSchedule) list {
	out := make(list, 0, len(all))
	for _, s := range all {
		out = append(out, object{
			"schedule": s.Schedule, "timeZone": orNil(s.TimeZone), "durationSeconds": s.DurationSeconds, "minReplicas": s.MinReplicas,
		})
	}

	return out
}

// managed returns a managed resource, with the secret that its connection details go to, or nil. Without a reference the
// API's default configuration applies.
func (p *pool) managed(kind string, params object, ref *xpv2.ProviderConfigReference, secret object) *structpb.Struct {
	spec := object{"forProvider": params, "writeConnectionSecretToRef": secret}
	if ref != nil {
		spec["providerConfigRef"] = object{"kind": ref.Kind, "name": ref.Name}
	}

	return asStruct(object{
		"apiVersion": agentv1alpha1.GroupVersion.String(),
		"kind":       kind,
		"metadata":   p.metadata(),
		"spec":       spec,
	})
}
