package compose

import (
	"path"
	"slices"

	"google.golang.org/protobuf/types/known/structpb"

	"github.com/southwest-ai/agent-operator/apis/input/v1beta1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// What the containers, volumes and ports of a worker are called.
const (
	containerAgent   = "agent"
	containerMonitor = "monitor"
	containerRestore = "restore"
	volumeState      = "state"
	volumePodinfo    = "podinfo"
	volumeTmp        = "tmp"
	volumeModelKey   = "model-key"
	monitorPortName  = "monitor"
)

// What an agent is told by its environment. The key is a placeholder: client libraries refuse to start without one, and
// the monitor replaces it by the real key on the way.
const (
	envOpenAIBaseURL    = "OPENAI_BASE_URL"
	envOpenAIKey        = "OPENAI_API_KEY"
	envOpenAIModel      = "OPENAI_MODEL"
	envAnthropicBaseURL = "ANTHROPIC_BASE_URL"
	envAnthropicKey     = "ANTHROPIC_API_KEY"
	envAnthropicModel   = "ANTHROPIC_MODEL"
	envStateDir         = "STATE_DIR"
	placeholderKey      = "set-by-the-monitor"
)

const (
	// A rollout replaces one worker in ten at a time, and at least one. It never makes more than there are slots.
	maxSurge       = 0
	maxUnavailable = "10%"
	// The time after which workers that do not start are called stuck.
	progressDeadlineSeconds = 600
	revisionHistoryLimit    = 3
)

// The parts that all workers have in common, converted once: they are half of what a call would otherwise convert. They
// are shared by all answers, which nobody changes.
var (
	strategy = asValue(object{
		"type":          "RollingUpdate",
		"rollingUpdate": object{"maxSurge": maxSurge, "maxUnavailable": maxUnavailable},
	})

	// restricted is what the "restricted" pod security standard asks of a container, and a root file system that stays as
	// it was built.
	restricted = asValue(object{
		"allowPrivilegeEscalation": false,
		"readOnlyRootFilesystem":   true,
		"capabilities":             object{"drop": list{"ALL"}},
	})

	startupProbe   = probe(monitorapi.PathLive, 1, 60)
	readinessProbe = probe(monitorapi.PathReady, 1, 1)
	livenessProbe  = probe(monitorapi.PathLive, 10, 3)

	// The kubelet asks the monitor, which answers once the worker has drained; only then is the agent told to end.
	lifecycle = asValue(object{"preStop": object{"httpGet": object{"path": monitorapi.PathDrained, "port": monitorapi.Port, "scheme": "HTTP"}}})

	monitorPort  = asValue(object{"name": monitorPortName, "containerPort": monitorapi.Port, "protocol": "TCP"})
	monitorPorts = asValue(list{monitorPort})

	defaultMonitorResources = asValue(object{
		"requests": object{"cpu": "10m", "memory": "32Mi"},
		"limits":   object{"memory": "128Mi"},
	})

	namespaceEnv = asValue(object{"name": monitorapi.EnvNamespace, "valueFrom": fieldRef("metadata.namespace")})
	podEnv       = asValue(object{"name": monitorapi.EnvPod, "valueFrom": fieldRef("metadata.name")})

	podinfoMount  = asValue(object{"name": volumePodinfo, "mountPath": monitorapi.PodinfoDir, "readOnly": true})
	podinfoVolume = asValue(object{"name": volumePodinfo, "downwardAPI": object{"items": list{
		object{"path": monitorapi.PodinfoAnnotations, "fieldRef": object{"apiVersion": "v1", "fieldPath": "metadata.annotations"}},
		object{"path": monitorapi.PodinfoLabels, "fieldRef": object{"apiVersion": "v1", "fieldPath": "metadata.labels"}},
	}}})

	tmpMount  = asValue(object{"name": volumeTmp, "mountPath": "/tmp"})
	tmpVolume = asValue(object{"name": volumeTmp, "emptyDir": object{}})
)

// deployment returns the workers. It never says how many: that is the AgentScaler's alone.
func (p *pool) deployment() *structpb.Struct {
	return asStruct(object{
		"apiVersion": "apps/v1",
		"kind":       "Deployment",
		"metadata":   p.metadata(),
		"spec": object{
			"selector":                object{"matchLabels": p.selector()},
			"strategy":                strategy,
			"progressDeadlineSeconds": progressDeadlineSeconds,
			"revisionHistoryLimit":    revisionHistoryLimit,
			"template": object{
				"metadata": object{"labels": p.workerLabels(), "annotations": p.workerAnnotations()},
				"spec":     p.podSpec(),
			},
		},
	})
}

func (p *pool) podSpec() object {
	r := p.role
	spec := object{
		"serviceAccountName":            p.name,
		"automountServiceAccountToken":  false,
		"enableServiceLinks":            false,
		"terminationGracePeriodSeconds": r.TerminationGracePeriodSeconds,
		"securityContext": object{
			"runAsNonRoot":   true,
			"runAsUser":      r.RunAsUser,
			"runAsGroup":     r.RunAsUser,
			"fsGroup":        r.RunAsUser,
			"seccompProfile": object{"type": "RuntimeDefault"},
		},
		"initContainers":            p.initContainers(),
		"containers":                list{p.agent()},
		"volumes":                   p.volumes(),
		"imagePullSecrets":          r.fragments["imagePullSecrets"],
		"nodeSelector":              r.fragments["nodeSelector"],
		"tolerations":               r.fragments["tolerations"],
		"affinity":                  r.fragments["affinity"],
		"topologySpreadConstraints": p.spread(),
		"priorityClassName":         orNil(r.PriorityClassName),
	}

	if r.RuntimeClassName != nil {
		spec["runtimeClassName"] = *r.RuntimeClassName
	}

	// A worker is born gated: it is scheduled once the binder has given it a slot.
	if !r.Stateless {
		spec["schedulingGates"] = list{object{"name": monitorapi.SlotGate}}
	}

	return spec
}

// initContainers returns the monitor, and before it, where there is state, the restore of a slot's newest checkpoint.
func (p *pool) initContainers() list {
	monitor := p.monitorContainer(containerMonitor, "run")
	// A native sidecar: it is there before the agent starts and until after the agent has ended.
	monitor["restartPolicy"] = "Always"
	monitor["ports"] = monitorPorts
	if p.role.Inbound != nil {
		monitor["ports"] = list{monitorPort, inboundPort}
	}

	monitor["startupProbe"] = startupProbe
	monitor["readinessProbe"] = readinessProbe
	monitor["livenessProbe"] = livenessProbe

	if p.role.Stateless {
		return list{monitor}
	}

	return list{p.monitorContainer(containerRestore, "restore"), monitor}
}

func (p *pool) monitorContainer(name, command string) object {
	env := list{
		namespaceEnv,
		podEnv,
		envVar(monitorapi.EnvDispatcher, p.Claim.Name),
		envVar(monitorapi.EnvRole, p.role.Name),
	}
	env = append(env, p.stateEnv()...)
	mounts := append(list{podinfoMount}, p.stateMounts()...)

	if command == "run" {
		env = slices.Concat(env, p.saveEnv(), p.monitoringEnv(), p.memoryPlaceEnv())

		if p.model.keyForMonitor() {
			mounts = append(mounts, object{"name": volumeModelKey, "mountPath": path.Dir(monitorapi.ModelKeyFile), "readOnly": true})
		}

		if p.pushVolume() != nil {
			mounts = append(mounts, object{"name": volumePush, "mountPath": path.Dir(monitorapi.PushTokenFile), "readOnly": true})
		}
	}

	return object{
		"name":            name,
		"image":           p.cat.monitor.Image,
		"imagePullPolicy": pullPolicy(p.cat.monitor.ImagePullPolicy),
		"args":            list{command},
		"env":             env,
		"volumeMounts":    mounts,
		"resources":       p.monitorResources(),
		"securityContext": restricted,
	}
}

func (p *pool) monitorResources() *structpb.Value {
	if r := p.cat.monitorResources; r != nil {
		return r
	}

	return defaultMonitorResources
}

func (p *pool) agent() object {
	r := p.role
	mounts := list{tmpMount}

	if !r.Stateless {
		mounts = append(mounts, p.agentStateMount())
	}

	if p.wired {
		mounts = append(mounts, memoryMount)
	}

	mounts = append(mounts, r.mounts...)

	ports := make(list, 0, len(r.Ports))
	for _, port := range r.Ports {
		ports = append(ports, object{"name": port.Name, "containerPort": port.ContainerPort, "protocol": "TCP"})
	}

	agent := object{
		"name":            containerAgent,
		"image":           r.Image,
		"imagePullPolicy": pullPolicy(r.ImagePullPolicy),
		"command":         r.fragments["command"],
		"args":            r.fragments["args"],
		"env":             append(p.agentEnv(), r.env...),
		"envFrom":         r.fragments["envFrom"],
		"resources":       r.fragments["resources"],
		"startupProbe":    r.fragments["startupProbe"],
		"readinessProbe":  r.fragments["readinessProbe"],
		"livenessProbe":   r.fragments["livenessProbe"],
		"volumeMounts":    mounts,
		"securityContext": restricted,
		"lifecycle":       lifecycle,
	}

	if len(ports) > 0 {
		agent["ports"] = ports
	}

	return agent
}

// agentEnv points the agent's client library at the monitor, in the words of the model's protocol.
func (p *pool) agentEnv() list {
	base, key, name := envOpenAIBaseURL, envOpenAIKey, envOpenAIModel
	if p.model.protocol == v1beta1.ProtocolAnthropic {
		base, key, name = envAnthropicBaseURL, envAnthropicKey, envAnthropicModel
	}

	env := list{envVar(base, p.model.agentURL()), p.model.agentKey(key)}

	if p.model.name != "" {
		env = append(env, envVar(name, p.model.name))
	}

	if !p.role.Stateless {
		env = append(env, envVar(envStateDir, p.role.StatePath))
	}

	return slices.Concat(env, p.memoryPlaceEnv(), p.memoryAccessEnv())
}

func (p *pool) volumes() list {
	vols := list{podinfoVolume, tmpVolume}

	if !p.role.Stateless {
		vols = append(vols, p.stateVolume())
	}

	if p.model.keyForMonitor() {
		vols = append(vols, object{"name": volumeModelKey, "secret": object{
			"secretName": p.model.secretName,
			"items":      list{object{"key": p.model.secretKey, "path": path.Base(monitorapi.ModelKeyFile)}},
		}})
	}

	if v := p.pushVolume(); v != nil {
		vols = append(vols, v)
	}

	if p.wired {
		vols = append(vols, object{"name": volumeMemory, "secret": object{"secretName": p.memorySecret()}})
	}

	if p.saves {
		vols = append(vols, p.checkpointVolume())
	}

	return append(vols, p.role.vols...)
}

func (p *pool) stateVolume() object {
	v := p.role.StateVolume

	switch {
	case v == nil:
		return object{"name": volumeState, "emptyDir": object{}}
	case v.StorageClassName == nil:
		return object{"name": volumeState, "emptyDir": object{"sizeLimit": v.SizeLimit.String()}}
	default:
		return object{"name": volumeState, "ephemeral": object{"volumeClaimTemplate": object{
			"metadata": object{"labels": p.labels()},
			"spec": object{
				"accessModes":      list{"ReadWriteOnce"},
				"storageClassName": *v.StorageClassName,
				"resources":        object{"requests": object{"storage": v.SizeLimit.String()}},
			},
		}}}
	}
}

// spread returns the role's spread constraints, with the pool's selector where the platform team wrote none: a catalog
// cannot know the names of the pools it will serve.
func (p *pool) spread() any {
	raw := p.role.fragments["topologySpreadConstraints"].GetListValue().GetValues()
	if len(raw) == 0 {
		return nil
	}

	out := make(list, 0, len(raw))

	for _, c := range raw {
		if field(c.GetStructValue(), "labelSelector") != nil {
			out = append(out, c)

			continue
		}

		with := object{"labelSelector": object{"matchLabels": p.selector()}}
		for k, v := range c.GetStructValue().GetFields() {
			with[k] = v
		}

		out = append(out, with)
	}

	return out
}

func probe(path string, period, failures int) *structpb.Value {
	return asValue(object{
		"httpGet":          object{"path": path, "port": monitorapi.Port, "scheme": "HTTP"},
		"periodSeconds":    period,
		"failureThreshold": failures,
		"timeoutSeconds":   2,
	})
}

func envVar(name, value string) object { return object{"name": name, "value": value} }

func fieldRef(p string) object {
	return object{"fieldRef": object{"apiVersion": "v1", "fieldPath": p}}
}
