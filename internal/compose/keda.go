package compose

import (
	"fmt"
	"strconv"

	"google.golang.org/protobuf/types/known/structpb"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/apis/input/v1beta1"
	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// kedaDefinition is the kind that a ScaledObject is of. Where it is not defined, KEDA is not installed.
const kedaDefinition = "scaledobjects.keda.sh"

// defaultScalerAddress is where the provider is reached by who installed it as we do.
const defaultScalerAddress = "aidispatcher-scaler.crossplane-system.svc:9095"

const (
	// mostReplicasOfAll is the largest size that the API allows.
	mostReplicasOfAll = 1000
	// maxHPAStabilization is the longest window that an HPA has, and hpaPeriod the time between two of its looks, in seconds.
	maxHPAStabilization, hpaPeriod = 3600, 15
	// kedaPollingInterval is the time between two looks of KEDA's, in seconds.
	kedaPollingInterval = 30
	// staleSeconds is how old a sample may be.
	staleSeconds = 60
)

// keda returns what the ScaledObject asks, or empty for a pool without one.
func (p *pool) keda() v1alpha1.KEDAScaler {
	if s := p.Spec.Scaling; s != nil && s.Engine == v1alpha1.EngineKEDA {
		return s.KEDA.Scaler
	}

	return ""
}

// sizedBy returns who writes the pool's size, nil for the scaler itself.
func (p *pool) sizedBy() any {
	switch p.keda() {
	case v1alpha1.KEDAScalerExternal:
		return string(agentv1alpha1.SizedByKEDA)
	case v1alpha1.KEDAScalerPrometheus:
		return string(agentv1alpha1.SizedByOthers)
	default:
		return nil
	}
}

// validateKEDA refuses what KEDA cannot do, for callers whom no API server told.
func validateKEDA(s *v1alpha1.Scaling) error {
	if s.Engine != v1alpha1.EngineKEDA {
		if s.KEDA != nil {
			return refuse(v1alpha1.ReasonInvalidClaim, "spec.scaling.keda is for the KEDA engine: remove it or set engine: KEDA")
		}

		return nil
	}

	if s.KEDA.Scaler != v1alpha1.KEDAScalerPrometheus {
		return nil
	}

	const instead = "set keda.scaler: External"

	switch d := s.ScaleDown; {
	case d.DrainTimeoutSeconds != nil || d.OnDrainTimeout != "":
		return refuse(v1alpha1.ReasonUnsupported, "spec.scaling.scaleDown.drainTimeoutSeconds and onDrainTimeout are for an engine that chooses the worker, which KEDA with Prometheus does not: remove them or %s", instead)
	case len(s.Schedules) > 0:
		return refuse(v1alpha1.ReasonUnsupported, "KEDA with Prometheus has no spec.scaling.schedules: remove them or %s", instead)
	case *d.StabilizationSeconds > maxHPAStabilization:
		return refuse(v1alpha1.ReasonUnsupported, "spec.scaling.scaleDown.stabilizationSeconds is %d and KEDA with Prometheus knows at most %d: lower it or %s", *d.StabilizationSeconds, maxHPAStabilization, instead)
	default:
		return nil
	}
}

// validateKEDA refuses what the platform's catalog does not let KEDA do.
func (p *pool) validateKEDA() error {
	if p.keda() != v1alpha1.KEDAScalerPrometheus {
		return nil
	}

	if p.cat.keda.Prometheus == nil {
		return refuse(v1alpha1.ReasonUnsupported, "the platform's catalog names no Prometheus for KEDA to ask: set spec.scaling.keda.scaler: External, or have the platform team set keda.prometheus")
	}

	for _, m := range p.Spec.Scaling.Metrics {
		if m.Type == v1alpha1.MetricTokensPerMinute && p.model.gateway {
			return refuse(v1alpha1.ReasonUnsupported, "KEDA with Prometheus does not know the tokens of model %q, which a gateway counts: remove the metric TokensPerMinute or set keda.scaler: External", p.Spec.ModelRef)
		}
	}

	return nil
}

// scaledObject returns KEDA's object, of which KEDA makes an HPA that writes the Deployment's replicas.
func (p *pool) scaledObject() *structpb.Struct {
	spec := p.externalSpec()
	if p.keda() == v1alpha1.KEDAScalerPrometheus {
		spec = p.prometheusSpec()
	}

	spec["scaleTargetRef"] = object{"apiVersion": "apps/v1", "kind": "Deployment", "name": p.name}

	meta := p.metadata()
	if p.Spec.Suspend {
		meta["annotations"] = object{"autoscaling.keda.sh/paused-replicas": "0"}
	}

	return asStruct(object{"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": meta, "spec": spec})
}

// externalSpec has KEDA ask the provider. What the provider says is the size, exactly and at once: it has waited, stepped and bounded
// already. An HPA that brought a pool within other bounds would remove workers that the provider has not let go, so it gets the widest
// there are; and it must not call a tenth more or less the same, as it does without a word about it.
func (p *pool) externalSpec() object {
	at := p.cat.keda.Scaler

	address := at.Address
	if address == "" {
		address = defaultScalerAddress
	}

	trigger := object{"type": "external-push", "metadata": object{"scalerAddress": address}, "authenticationRef": authentication(at.AuthenticationRef)}
	if at.TLS {
		trigger["metadata"] = object{"scalerAddress": address, "enableTLS": "true"}
	}

	atOnce := func(kind string, value int32) object {
		return object{
			"stabilizationWindowSeconds": int32(0), "tolerance": "0",
			"policies": list{object{"type": kind, "value": value, "periodSeconds": int32(hpaPeriod)}},
		}
	}

	return object{
		"minReplicaCount": int32(1),
		"maxReplicaCount": int32(mostReplicasOfAll),
		"triggers":        list{trigger},
		"advanced":        behavior(atOnce("Pods", mostReplicasOfAll), atOnce("Percent", 100)),
	}
}

// prometheusSpec has KEDA decide by what a Prometheus says. Nothing is then known of a worker, so the words are those of the claim as far
// as an HPA understands them.
func (p *pool) prometheusSpec() object {
	s, at := p.Spec.Scaling, p.cat.keda.Prometheus
	triggers := make(list, 0, len(s.Metrics))

	for _, m := range s.Metrics {
		triggers = append(triggers, object{
			"type": "prometheus", "metricType": "AverageValue", "authenticationRef": authentication(at.AuthenticationRef),
			"metadata": object{
				"serverAddress": at.ServerAddress, "query": p.query(m), "threshold": strconv.FormatInt(m.Target, 10),
				// No data is not zero.
				"ignoreNullValues": "false", "authModes": orNil(at.AuthModes),
			},
		})
	}

	up := object{"stabilizationWindowSeconds": int32(0), "policies": list{object{"type": "Pods", "value": int32(mostReplicasOfAll), "periodSeconds": int32(hpaPeriod)}}}
	if u := s.ScaleUp; u != nil && u.MaxStep != nil {
		up["policies"] = list{object{"type": "Pods", "value": *u.MaxStep, "periodSeconds": int32(hpaPeriod)}}
	}

	spec := object{
		"minReplicaCount": s.MinReplicas,
		"maxReplicaCount": s.MaxReplicas,
		"pollingInterval": int32(kedaPollingInterval),
		"triggers":        triggers,
		"advanced":        behavior(up, object{"stabilizationWindowSeconds": s.ScaleDown.StabilizationSeconds}),
	}

	if f := s.Fallback; f != nil {
		// Never to none: a fallback is for when nothing is known.
		spec["fallback"] = object{
			"failureThreshold": (f.AfterSeconds + kedaPollingInterval - 1) / kedaPollingInterval,
			"replicas":         min(max(f.Replicas, *s.MinReplicas), *s.MaxReplicas),
		}
	}

	return spec
}

func behavior(up, down object) object {
	return object{"horizontalPodAutoscalerConfig": object{"behavior": object{"scaleUp": up, "scaleDown": down}}}
}

func authentication(r *v1beta1.KEDAAuthenticationRef) object {
	if r == nil {
		return nil
	}

	return object{"kind": r.Kind, "name": r.Name}
}

// query returns the PromQL for a metric of the pool. What is stale is left out: the samples of a worker that is gone are found for five
// minutes.
func (p *pool) query(m v1alpha1.Metric) string {
	of := func(metric string) string {
		return fmt.Sprintf("%s{%s=%q, %s=%q}", metric, monitorapi.LabelNamespace, p.Namespace, monitorapi.LabelDispatcherName, p.Claim.Name)
	}
	fresh := func(metric string) string {
		return fmt.Sprintf("sum(%s and timestamp(%s) > time() - %d)", of(metric), of(metric), staleSeconds)
	}

	switch m.Type {
	case v1alpha1.MetricPendingTasks:
		return fmt.Sprintf("clamp_min(%s - %s, 0)", fresh(monitorapi.MetricQueueDepth), fresh(monitorapi.MetricTasksInFlight))
	case v1alpha1.MetricTokensPerMinute:
		return fmt.Sprintf("60 * sum(rate(%s[2m]))", of(monitorapi.MetricTokens))
	case v1alpha1.MetricPrometheus:
		return m.Query
	default:
		return fresh(monitorapi.MetricQueueDepth)
	}
}

// An observedScaledObject is what KEDA says of a pool.
type observedScaledObject struct {
	exists     bool
	ready, hpa condition
}

func observeScaledObject(s *structpb.Struct) observedScaledObject {
	return observedScaledObject{exists: s != nil, ready: conditionOf(s, "Ready"), hpa: conditionOf(s, "HPAActive")}
}

// trouble says what keeps KEDA from writing the pool's size, empty for nothing.
func (o observedScaledObject) trouble(name string) string {
	switch {
	case o.ready.Status == "":
		return fmt.Sprintf("KEDA has not said anything of ScaledObject %s yet: is its operator running?", name)
	case !o.ready.isTrue():
		return fmt.Sprintf("KEDA calls ScaledObject %s not ready: %s", name, o.ready.Message)
	case o.hpa.Status == "False":
		return fmt.Sprintf("the HPA of ScaledObject %s does not scale: %s", name, o.hpa.Reason)
	default:
		return ""
	}
}

// kedaCondition is the scaler's word on a pool that KEDA sizes, and KEDA's own where the scaler has no objection.
func kedaCondition(p *pool, o observation, scaler Condition) Condition {
	c := Condition{
		Type: v1alpha1.ConditionScalingActive, True: true, Reason: v1alpha1.ReasonSizedByKEDA,
		Message: fmt.Sprintf("KEDA keeps the size by ScaledObject %s", p.name),
	}

	if !p.Spec.Suspend {
		if trouble := o.scaledObject.trouble(p.name); trouble != "" {
			c.True, c.Reason, c.Message = false, v1alpha1.ReasonKEDANotReady, trouble

			return c
		}
	}

	if p.keda() == v1alpha1.KEDAScalerExternal && !scaler.True {
		return scaler
	}

	return c
}
