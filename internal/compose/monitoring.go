package compose

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/structpb"
	corev1 "k8s.io/api/core/v1"

	"github.com/southwest-ai/agent-operator/apis/input/v1beta1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

const (
	inboundPortName = "inbound"
	volumePush      = "push"
	// The part of a pod's grace period that is the agent's, to end after its tasks have: at most half of it.
	endingSeconds = 10
	// The deadline of a drain hook's call.
	defaultHookSeconds = 5
)

var (
	inboundPort = asValue(object{"name": inboundPortName, "containerPort": monitorapi.InboundPort, "protocol": "TCP"})

	// The convention by which a Prometheus without an operator finds what to scrape.
	scrapeAnnotations = object{
		"prometheus.io/scrape": "true",
		"prometheus.io/port":   fmt.Sprint(monitorapi.Port),
		"prometheus.io/path":   monitorapi.PathMetrics,
	}

	taskSources = map[v1beta1.TaskSource]string{
		v1beta1.TasksA2A:        monitorapi.SourceA2A,
		v1beta1.TasksPrometheus: monitorapi.SourcePrometheus,
		v1beta1.TasksLangGraph:  monitorapi.SourceLangGraph,
		v1beta1.TasksHTTP:       monitorapi.SourceHTTP,
		v1beta1.TasksInbound:    monitorapi.SourceInbound,
	}
	inboundProtocols = map[v1beta1.InboundProtocol]string{
		v1beta1.InboundHTTP: monitorapi.InboundHTTP,
		v1beta1.InboundA2A:  monitorapi.InboundA2A,
	}
)

// monitoringEnv tells a running monitor what to watch, how to drain and where its figures go.
func (p *pool) monitoringEnv() list {
	return slices.Concat(p.modelEnv(), p.tasksEnv(), p.drainEnv(), p.metricsEnv())
}

func (p *pool) modelEnv() list {
	env := list{
		envVar(monitorapi.EnvModelEndpoint, p.model.endpoint),
		envVar(monitorapi.EnvModelProtocol, string(p.model.protocol)),
	}

	if p.model.gateway {
		env = append(env, envVar(monitorapi.EnvMetering, monitorapi.MeteringOff))
	}

	if p.model.neverAsks {
		env = append(env, envVar(monitorapi.EnvAskForUsage, "false"))
	}

	// A worker that comes has nothing until it is told what of the budget is its own: so none is anybody's twice.
	if p.Spec.TokenBudget != nil {
		env = append(env, envVar(monitorapi.EnvTokenShare, "0"))
	}

	return env
}

func (p *pool) tasksEnv() list {
	var env list

	if t := p.role.Tasks; t != nil {
		env = append(env, envVar(monitorapi.EnvTasksSource, taskSources[t.Source]))

		if t.Source != v1beta1.TasksInbound {
			env = append(env, envVar(monitorapi.EnvTasksURL, loopback(p.role.portOr(t.Port), t.Path)))
		}

		for _, f := range [][2]string{
			{monitorapi.EnvTasksQueueDepth, t.QueueDepth},
			{monitorapi.EnvTasksInFlight, t.InFlight},
			{monitorapi.EnvTasksWaitingForInput, t.WaitingForInput},
			{monitorapi.EnvTasksSessions, t.Sessions},
		} {
			if f[1] != "" {
				env = append(env, envVar(f[0], f[1]))
			}
		}
	}

	if in := p.role.Inbound; in != nil {
		env = append(env,
			envVar(monitorapi.EnvInboundUpstream, loopback(p.role.portOr(in.Port), "")),
			envVar(monitorapi.EnvInboundProtocol, inboundProtocols[in.Protocol]))
	}

	return env
}

func (p *pool) drainEnv() list {
	grace := *p.role.TerminationGracePeriodSeconds
	env := list{envVar(monitorapi.EnvStopTimeout, seconds(grace-min(endingSeconds, grace/2)))}

	d := p.role.Drain
	if d == nil {
		return env
	}

	if d.TimeoutSeconds != nil {
		env = append(env, envVar(monitorapi.EnvDrainTimeout, seconds(*d.TimeoutSeconds)))
	}

	if h := d.Hook; h != nil {
		env = append(env,
			envVar(monitorapi.EnvDrainHookURL, loopback(p.role.portOr(h.Port), h.Path)),
			envVar(monitorapi.EnvDrainHookTimeout, seconds(*h.TimeoutSeconds)))
	}

	return env
}

func (p *pool) metricsEnv() list {
	m := p.cat.monitor.Metrics
	if m == nil {
		return nil
	}

	var env list
	if m.OTelNames {
		env = append(env, envVar(monitorapi.EnvOTelNames, "true"))
	}

	if m.Push == nil {
		return env
	}

	env = append(env, envVar(monitorapi.EnvPushURL, m.Push.URL))

	if h := m.Push.Headers; len(h) > 0 {
		pairs := make([]string, 0, len(h))
		for _, name := range slices.Sorted(maps.Keys(h)) {
			pairs = append(pairs, name+"="+h[name])
		}

		env = append(env, envVar(monitorapi.EnvPushHeaders, strings.Join(pairs, ",")))
	}

	return env
}

// pushVolume holds the secrets of remote write, or is nil where there are none.
func (p *pool) pushVolume() object {
	m := p.cat.monitor.Metrics
	if m == nil || m.Push == nil {
		return nil
	}

	var sources list

	for _, s := range []struct {
		ref  *corev1.SecretKeySelector
		file string
	}{{m.Push.TokenSecretRef, monitorapi.PushTokenFile}, {m.Push.CASecretRef, monitorapi.PushCAFile}} {
		if s.ref != nil {
			sources = append(sources, object{"secret": object{
				"name": s.ref.Name, "items": list{object{"key": s.ref.Key, "path": path.Base(s.file)}},
			}})
		}
	}

	if sources == nil {
		return nil
	}

	return object{"name": volumePush, "projected": object{"sources": sources}}
}

// workerAnnotations of the pod template. An earlier state is asked for here, because workers are replaced for it.
func (p *pool) workerAnnotations() any {
	out := object{}

	if m := p.role.PodMetadata; m != nil {
		for k, v := range m.Annotations {
			out[k] = v
		}
	}

	if scrapes(p.cat.monitor.Metrics) {
		maps.Copy(out, scrapeAnnotations)
	}

	if p.RestoreFrom != "" {
		out[monitorapi.AnnotationRestoreFrom] = p.RestoreFrom
	}

	if len(out) == 0 {
		return nil
	}

	return out
}

// scrapes says whether the workers are marked for a Prometheus that finds its targets by annotation.
func scrapes(m *v1beta1.Metrics) bool { return m == nil || m.Annotations == nil || *m.Annotations }

// podMonitor has the Prometheus Operator scrape the pool's workers.
func (p *pool) podMonitor() *structpb.Struct {
	return asStruct(object{
		"apiVersion": "monitoring.coreos.com/v1",
		"kind":       "PodMonitor",
		"metadata":   p.metadata(),
		"spec": object{
			"selector":            object{"matchLabels": p.selector()},
			"podMetricsEndpoints": list{object{"port": monitorPortName, "path": monitorapi.PathMetrics}},
		},
	})
}

// targetPort is where a port of the Service leads: to the agent, or to the proxy before it.
func (r *role) targetPort(port v1beta1.Port) string {
	if r.Inbound != nil && r.portOr(r.Inbound.Port) == port.ContainerPort {
		return inboundPortName
	}

	return port.Name
}

// portOr returns a port, or the role's first where it is 0.
func (r *role) portOr(port int32) int32 {
	if port == 0 && len(r.Ports) > 0 {
		return r.Ports[0].ContainerPort
	}

	return port
}

func loopback(port int32, path string) string {
	return fmt.Sprintf("http://127.0.0.1:%d%s", port, path)
}

func seconds(n int64) string { return fmt.Sprintf("%ds", n) }
