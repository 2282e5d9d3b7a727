package compose

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A Condition of a pool. Its message holds no time, so that it changes only when something did.
type Condition struct {
	Type    xpv2.ConditionType
	True    bool
	Reason  xpv2.ConditionReason
	Message string
}

// A Status is what a pool's status says.
type Status struct {
	// Phase before and now: when they differ, that is worth an event.
	Before, Phase v1alpha1.Phase
	State         v1alpha1.State
	// Message says in a sentence how many workers there are, or why there can be none. It is for events: a condition with a count in it would
	// change with every worker.
	Message    string
	Conditions []Condition
	// Fields of the composite resource's status.
	Fields *structpb.Struct

	// Whether the pool should be looked at again soon, whatever events say.
	unsettled      bool
	want           int64
	allAvailable   bool
	memoryWasReady bool
}

// Ready says whether the pool can be used, or is suspended as asked.
func (s Status) Ready() bool {
	return s.Phase == v1alpha1.PhaseReady || s.Phase == v1alpha1.PhaseProcessing || s.Phase == v1alpha1.PhaseSuspended
}

// unsettled says whether the pool is on its way, or the last word on it is not yet known to have been told.
func unsettled(o observation, s Status) bool {
	switch s.State {
	case v1alpha1.StateSteady, v1alpha1.StateSuspended, v1alpha1.StateWaitingForMemory, v1alpha1.StateMemoryRefused:
	case v1alpha1.StateDegraded:
		// Workers come back; a memory that failed may stay so for long, and tells when it does not.
		if !s.allAvailable {
			return true
		}
	default:
		return true
	}

	for k, v := range s.Fields.GetFields() {
		if !proto.Equal(v, o.said.GetFields()[k]) {
			return true
		}
	}

	return o.unresponsive
}

// deriveStatus judges what was observed.
func deriveStatus(p *pool, o observation) Status {
	want := wantReplicas(p, o)
	d := o.deployment
	s := Status{
		Before:         o.phase,
		want:           want,
		allAvailable:   d.exists && d.current && d.asked == want && d.available >= want && d.replicas == want,
		memoryWasReady: memoryWasReady(p, o),
		Message:        fmt.Sprintf("%d of %d workers are available", d.available, want),
	}
	s.State = stateOf(p, o, s, want)
	s.Phase = phaseOf(o, s.State)
	s.Conditions = conditionsOf(p, o, s)

	if s.State == v1alpha1.StateMemoryRefused {
		s.Message = storeCondition(v1alpha1.ConditionMemoryReady, "VectorCollection", p.name, o.memory).Message
	}

	s.Fields = statusFields(p, o, s)
	s.unsettled = unsettled(o, s)

	return s
}

// wantReplicas returns the size the pool should have now. With scaling that is the scaler's decision.
func wantReplicas(p *pool, o observation) int64 {
	switch {
	case p.Spec.Suspend:
		return 0
	// KEDA has decided whatever there is.
	case p.keda() == v1alpha1.KEDAScalerPrometheus && o.deployment.exists:
		return o.deployment.asked
	case p.Spec.Scaling != nil && o.scaler.desired != nil:
		return *o.scaler.desired
	default:
		return int64(*p.Spec.Replicas)
	}
}

// memoryWasReady says whether everything a worker loads before it starts has been there once.
func memoryWasReady(p *pool, o observation) bool {
	if p.Spec.MemoryConfig != nil && o.memory.firstReady == "" {
		return false
	}

	return p.Spec.Checkpoint == nil || o.checkpoint.firstReady != ""
}

// stateOf names what the pool is doing. The order matters: what keeps workers from being there at all comes first.
func stateOf(p *pool, o observation, s Status, want int64) v1alpha1.State {
	d := o.deployment

	switch {
	case !d.exists && !s.memoryWasReady && refusesMemory(p, o):
		return v1alpha1.StateMemoryRefused
	case !d.exists && !s.memoryWasReady:
		return v1alpha1.StateWaitingForMemory
	case p.Spec.Suspend && d.exists && d.replicas == 0 && d.asked == 0:
		return v1alpha1.StateSuspended
	case p.Spec.Suspend:
		return v1alpha1.StateSuspending
	case d.progressing.Status == "False" && !s.allAvailable:
		return v1alpha1.StateStuck
	// Between two replacements all workers are available for a moment, which is not the end of it.
	case hasServed(o.phase) && d.rollingOut():
		return v1alpha1.StateRollingOut
	case s.allAvailable && hasServed(o.phase) && memoryFailed(p, o):
		return v1alpha1.StateDegraded
	case s.allAvailable:
		return v1alpha1.StateSteady
	case !hasServed(o.phase):
		return v1alpha1.StateStarting
	case d.asked > want, d.replicas > want:
		return v1alpha1.StateScalingIn
	// Workers that are being added are not there at first and not available for a while: it is one change until it ends.
	case d.asked < want, d.current && d.replicas < want, o.state == v1alpha1.StateScalingOut:
		return v1alpha1.StateScalingOut
	default:
		return v1alpha1.StateDegraded
	}
}

// hasServed says whether a pool with this phase once had all its workers available.
func hasServed(p v1alpha1.Phase) bool {
	return p == v1alpha1.PhaseReady || p == v1alpha1.PhaseProcessing
}

// phaseOf returns the state in one word. A pool that has served stays Ready while workers come and go, as long as the
// Deployment calls itself available or the change was asked for: a phase that flaps tells nobody anything.
func phaseOf(o observation, s v1alpha1.State) v1alpha1.Phase {
	switch s {
	case v1alpha1.StateSuspended:
		return v1alpha1.PhaseSuspended
	case v1alpha1.StateStuck, v1alpha1.StateMemoryRefused:
		return v1alpha1.PhaseFailed
	case v1alpha1.StateWaitingForMemory, v1alpha1.StateStarting:
		return v1alpha1.PhaseInitializing
	case v1alpha1.StateSuspending:
		if !hasServed(o.phase) {
			return v1alpha1.PhaseInitializing
		}
	case v1alpha1.StateDegraded, v1alpha1.StateRollingOut:
		if o.deployment.available == 0 {
			return v1alpha1.PhaseInitializing
		}
	case v1alpha1.StateSteady, v1alpha1.StateScalingOut, v1alpha1.StateScalingIn:
		// It serves; whether it is busy is below.
	}

	if v := o.scaler.figures["activeWorkers"]; v.GetNumberValue() > 0 {
		return v1alpha1.PhaseProcessing
	}

	return v1alpha1.PhaseReady
}

func conditionsOf(p *pool, o observation, s Status) []Condition {
	out := []Condition{{
		Type: v1alpha1.ConditionAccepted, True: true, Reason: v1alpha1.ReasonAccepted,
		Message: fmt.Sprintf("role %s is in the platform's catalog", p.role.Name),
	}}

	if p.Spec.MemoryConfig != nil {
		out = append(out, storeCondition(v1alpha1.ConditionMemoryReady, "VectorCollection", p.name, o.memory))
	}

	if p.Spec.Checkpoint != nil {
		out = append(out, storeCondition(v1alpha1.ConditionCheckpointReady, "Checkpoint", p.name, o.checkpoint))
	}

	scaling := scalingCondition(p, o)
	if p.keda() != "" {
		scaling = kedaCondition(p, o, scaling)
	}

	return append(out, workersCondition(s), scaling)
}

func storeCondition(typ xpv2.ConditionType, kind, name string, o observedStore) Condition {
	c := Condition{Type: typ, True: o.ready, Reason: v1alpha1.ReasonReady, Message: fmt.Sprintf("%s %s is ready", kind, name)}
	if o.ready {
		return c
	}

	c.Reason = v1alpha1.ReasonWaiting
	c.Message = fmt.Sprintf("%s %s is not ready", kind, name)

	// What keeps it from being ready, in the words of its own controller.
	if o.synced.Status == "False" && o.synced.Reason != "" {
		c.Reason = xpv2.ConditionReason(o.synced.Reason)
	}

	for _, why := range []condition{o.synced, o.condition} {
		if why.Status == "False" && why.Message != "" {
			c.Message += ": " + why.Message

			break
		}
	}

	return c
}

func workersCondition(s Status) Condition {
	c := Condition{Type: v1alpha1.ConditionWorkersAvailable, Message: "not all workers are available"}

	switch s.State {
	case v1alpha1.StateSuspended:
		c.Reason, c.Message = v1alpha1.ReasonSuspended, "the pool has no workers because suspend is true"
	case v1alpha1.StateStuck:
		c.Reason, c.Message = v1alpha1.ReasonWorkersStuck, c.Message+", and none has become so for long: look at the workers' events and logs"
	case v1alpha1.StateWaitingForMemory, v1alpha1.StateMemoryRefused:
		c.Reason, c.Message = v1alpha1.ReasonWaiting, "no worker starts before the pool's memory has been ready once"
	case v1alpha1.StateSteady:
		c.True, c.Reason, c.Message = true, v1alpha1.ReasonAllAvailable, "all workers are available"
	default:
		c.Reason = v1alpha1.ReasonSomeUnavailable

		// It is the memory that is degraded.
		if s.State == v1alpha1.StateDegraded && s.allAvailable {
			c.True, c.Reason, c.Message = true, v1alpha1.ReasonAllAvailable, "all workers are available"
		}
	}

	return c
}

func scalingCondition(p *pool, o observation) Condition {
	c := Condition{Type: v1alpha1.ConditionScalingActive, Reason: v1alpha1.ReasonWaiting, Message: fmt.Sprintf("AgentScaler %s has not reported yet", p.name)}

	switch {
	case o.scaler.synced.Status == "False":
		c.Reason, c.Message = xpv2.ConditionReason(o.scaler.synced.Reason), o.scaler.synced.Message
	case o.scaler.active.Status != "":
		c.True = o.scaler.active.isTrue()
		c.Reason, c.Message = xpv2.ConditionReason(o.scaler.active.Reason), o.scaler.active.Message

		// The scaler names the size, which would make each change of it one of the condition.
		if c.True {
			c.Message = fmt.Sprintf("AgentScaler %s keeps the size that is asked for", p.name)
		}
	}

	return c
}

// figures returns how many workers there are and how many are available: exactly while the pool is steady or has just
// begun to do something else, and in quarters of its size while workers come and go. Each write of a composite's status
// costs it two of the hundred events that Crossplane allows in a burst, and an edit by a user is one of them.
func figures(o observation, s Status) (replicas, available int64) {
	d := o.deployment
	if o.state != s.State || s.State == v1alpha1.StateSteady || o.saidReplicas == nil || o.saidAvailable == nil {
		return d.replicas, d.available
	}

	step := max(1, (s.want+3)/4)
	if distance(d.replicas, *o.saidReplicas) < step && distance(d.available, *o.saidAvailable) < step {
		return *o.saidReplicas, *o.saidAvailable
	}

	return d.replicas, d.available
}

func distance(a, b int64) int64 { return max(a-b, b-a) }

// statusFields returns the composite resource's status. What is unknown is absent, which is not zero.
func statusFields(p *pool, o observation, s Status) *structpb.Struct {
	f := object{
		"currentPhase":  string(s.Phase),
		"state":         string(s.State),
		"labelSelector": monitorapi.LabelDispatcher + "=" + p.Claim.Name,
		"lastScale":     o.scaler.lastScale,
	}

	if o.deployment.exists {
		f["replicas"], f["availableReplicas"] = figures(o, s)
	}

	for k, v := range o.scaler.figures {
		f[k] = v
	}

	if m := p.Spec.MemoryConfig; m != nil {
		f["memory"] = memoryFields(m, o.memory)
	}

	if p.Spec.Checkpoint != nil {
		f["checkpoint"] = checkpointFields(o.checkpoint)
	}

	return asStruct(f)
}
