package compose

import (
	"google.golang.org/protobuf/types/known/structpb"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

const (
	volumeCheckpoint = "checkpoint"
	// suffixCheckpoint follows the pool's name in the name of the connection secret. Names leave room for it.
	suffixCheckpoint = "-checkpoint"
	// The deadline of a quiesce hook's call.
	defaultQuiesceSeconds = 10
)

var (
	stateVolumeMount = asValue(object{"name": volumeState, "mountPath": monitorapi.StateVolumeDir})
	stateVolumeEnv   = asValue(envVar(monitorapi.EnvStateVolume, monitorapi.StateVolumeDir))

	checkpointMount = asValue(object{"name": volumeCheckpoint, "mountPath": monitorapi.CheckpointDir, "readOnly": true})
	checkpointEnv   = asValue(envVar(monitorapi.EnvCheckpointDir, monitorapi.CheckpointDir))
)

// The figures of a repository that become the pool's. None of them moves with each save.
var checkpointFigures = []string{"slots", "hibernated", "rpoMet", "corrupt"}

// checkpointSecret is the name of the secret that says where the pool's checkpoints are and how to get in. Only monitors read it.
func (p *pool) checkpointSecret() string { return p.name + suffixCheckpoint }

// savesState says whether workers are given the repository: once it was ready. Workers of a pool that asks for checkpoints
// later go on without them until then, because a pod whose secret is not there does not start.
func savesState(p *pool, o observation) bool {
	return p.Spec.Checkpoint != nil && (o.checkpoint.firstReady != "" || o.deployment.hasCheckpoint)
}

// checkpoint returns the pool's checkpoint repository. Two pools of one name in two namespaces must not share one.
func (p *pool) checkpoint() *structpb.Struct {
	c := p.Spec.Checkpoint
	params := object{
		"pool":            p.Namespace + "/" + p.Claim.Name,
		"intervalSeconds": c.IntervalSeconds,
		"onDelete":        orNil(string(c.OnDelete)),
	}

	if r := c.Retain; r != nil {
		params["retain"] = object{"last": r.Last, "hourly": r.Hourly, "daily": r.Daily}
	}

	if c.Quota != nil {
		params["quota"] = c.Quota.String()
	}

	ref := c.ProviderConfigRef
	if ref == nil && p.role.Checkpoint != nil {
		ref = p.role.Checkpoint.ProviderConfigRef
	}

	return p.managed("Checkpoint", params, ref, object{"name": p.checkpointSecret()})
}

// stateEnv tells a monitor where the state is, and where its checkpoints are.
func (p *pool) stateEnv() list {
	if p.role.Stateless {
		return nil
	}

	env := list{stateVolumeEnv}
	if p.saves {
		env = append(env, checkpointEnv)
	}

	return env
}

func (p *pool) stateMounts() list {
	if p.role.Stateless {
		return nil
	}

	mounts := list{stateVolumeMount}
	if p.saves {
		mounts = append(mounts, checkpointMount)
	}

	return mounts
}

// saveEnv tells a running monitor when to save, and whom to ask to hold still.
func (p *pool) saveEnv() list {
	if !p.saves {
		return nil
	}

	env := list{envVar(monitorapi.EnvCheckpointInterval, seconds(int64(*p.Spec.Checkpoint.IntervalSeconds)))}

	if c := p.role.Checkpoint; c != nil && c.Quiesce != nil {
		env = append(env,
			envVar(monitorapi.EnvQuiesceURL, loopback(p.role.portOr(c.Quiesce.Port), c.Quiesce.Path)),
			envVar(monitorapi.EnvQuiesceTimeout, seconds(*c.Quiesce.TimeoutSeconds)))
	}

	return env
}

// agentStateMount gives the agent its directory of the state volume, and nothing of what the monitor keeps beside it.
func (p *pool) agentStateMount() object {
	return object{"name": volumeState, "mountPath": p.role.StatePath, "subPath": monitorapi.StateSubPath}
}

func (p *pool) checkpointVolume() object {
	return object{"name": volumeCheckpoint, "secret": object{"secretName": p.checkpointSecret()}}
}

// validateCheckpoint refuses checkpoints of what has no state, and an earlier state that nobody can find.
func (p *pool) validateCheckpoint() error {
	if p.Spec.Checkpoint != nil && p.role.Stateless {
		return refuse(v1alpha1.ReasonUnsupported, "spec.checkpoint is for agents with state, and those of role %q have none: remove it, or choose another role", p.role.Name)
	}

	if p.RestoreFrom == "" {
		return nil
	}

	if p.Spec.Checkpoint == nil {
		return refuse(v1alpha1.ReasonInvalidClaim, "annotation %s asks for an earlier state, and the pool has no checkpoints: remove it, or set spec.checkpoint", monitorapi.AnnotationRestoreFrom)
	}

	if _, err := monitorapi.ParseRestoreFrom(p.RestoreFrom); err != nil {
		return refuse(v1alpha1.ReasonInvalidClaim, "annotation %s: %s", monitorapi.AnnotationRestoreFrom, err)
	}

	return nil
}

func checkpointFields(o observedStore) object {
	f := object{"ready": o.ready, "firstReadyTime": orNil(o.firstReady)}

	for _, name := range checkpointFigures {
		if v := o.at[name]; v != nil {
			f[name] = v
		}
	}

	return f
}

// hasCheckpoint says whether a Deployment's workers are given a repository.
func hasCheckpoint(d *structpb.Struct) bool {
	return field(d, "spec", "template", "metadata", "labels", agentv1alpha1.LabelCheckpoint) != nil
}
