package compose

import (
	"google.golang.org/protobuf/types/known/structpb"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
)

// An observation is what was seen of a pool. A figure that is nil is unknown.
type observation struct {
	// What the pool's status says already.
	phase                       v1alpha1.Phase
	state                       v1alpha1.State
	saidReplicas, saidAvailable *int64
	said                        *structpb.Struct
	// Whether Crossplane's circuit breaker is open for the pool, so that events of it are dropped.
	unresponsive bool

	deployment observedDeployment
	scaler     observedScaler
	memory     observedStore
	checkpoint observedStore

	scaledObject observedScaledObject
}

type observedDeployment struct {
	exists bool
	// Whether the status speaks of the present spec.
	current                    bool
	asked, replicas, available int64
	progressing                condition
	// Whether its workers are given the memory.
	hasMemory bool
	// Whether its workers are given the checkpoint repository.
	hasCheckpoint bool
}

// rollingOut says whether pods are being replaced, in the words of the Deployment controller (pkg/controller/deployment/util).
// Adding or removing pods leaves these reasons alone.
func (d observedDeployment) rollingOut() bool {
	switch d.progressing.Reason {
	case "NewReplicaSetCreated", "FoundNewReplicaSet", "ReplicaSetUpdated":
		return d.progressing.isTrue()
	default:
		return false
	}
}

type observedScaler struct {
	exists  bool
	ready   bool
	synced  condition
	active  condition
	desired *int64
	// What the scaler saw of the load, passed on as it is.
	figures   map[string]*structpb.Value
	lastScale *structpb.Value
}

// An observedStore is a vector collection or a checkpoint repository.
type observedStore struct {
	// Whether it is there, and as it is asked for.
	ready     bool
	condition condition
	synced    condition
	// When it was first ready, as the composite's status remembers it.
	firstReady string
	// What its controller saw of it.
	at map[string]*structpb.Value
}

// The figures of a scaler that become the pool's.
var scalerFigures = []string{"activeWorkers", "queueDepth", "tokenUsage", "tokensPerMinute", "cost"}

func observe(xr *structpb.Struct, composed map[string]*structpb.Struct) observation {
	return observation{
		phase:         v1alpha1.Phase(text(xr, "status", "currentPhase")),
		state:         v1alpha1.State(text(xr, "status", "state")),
		saidReplicas:  number(xr, "status", "replicas"),
		saidAvailable: number(xr, "status", "availableReplicas"),
		said:          field(xr, "status").GetStructValue(),
		unresponsive:  conditionOf(xr, "Responsive").Status == "False",
		deployment:    observeDeployment(composed[resourceDeployment]),
		scaler:        observeScaler(composed[resourceAgentScaler]),
		memory:        observeStore(composed[resourceVectorCollection], text(xr, "status", "memory", "firstReadyTime")),
		checkpoint:    observeStore(composed[resourceCheckpoint], text(xr, "status", "checkpoint", "firstReadyTime")),
		scaledObject:  observeScaledObject(composed[resourceScaledObject]),
	}
}

func observeDeployment(d *structpb.Struct) observedDeployment {
	if d == nil {
		return observedDeployment{}
	}

	return observedDeployment{
		exists:        true,
		current:       zeroIfNil(number(d, "status", "observedGeneration")) >= zeroIfNil(number(d, "metadata", "generation")),
		asked:         zeroIfNil(number(d, "spec", "replicas")),
		replicas:      zeroIfNil(number(d, "status", "replicas")),
		available:     zeroIfNil(number(d, "status", "availableReplicas")),
		progressing:   conditionOf(d, "Progressing"),
		hasMemory:     field(d, "spec", "template", "metadata", "labels", agentv1alpha1.LabelMemory) != nil,
		hasCheckpoint: hasCheckpoint(d),
	}
}

func observeScaler(s *structpb.Struct) observedScaler {
	if s == nil {
		return observedScaler{}
	}

	o := observedScaler{
		exists:    true,
		ready:     conditionOf(s, "Ready").isTrue(),
		synced:    conditionOf(s, "Synced"),
		active:    conditionOf(s, "ScalingActive"),
		desired:   number(s, "status", "atProvider", "desiredReplicas"),
		lastScale: field(s, "status", "atProvider", "lastScale"),
		figures:   make(map[string]*structpb.Value, len(scalerFigures)),
	}

	for _, f := range scalerFigures {
		if v := field(s, "status", "atProvider", f); v != nil {
			o.figures[f] = v
		}
	}

	return o
}

func observeStore(s *structpb.Struct, firstReady string) observedStore {
	o := observedStore{firstReady: firstReady}
	if s == nil {
		return o
	}

	o.condition, o.synced = conditionOf(s, "Ready"), conditionOf(s, "Synced")
	// A resource whose reconciliation is paused, on request, is as it was.
	o.ready = o.condition.isTrue() && (o.synced.Status != "False" || o.synced.Reason == string(xpv2.ReasonReconcilePaused))
	o.at = field(s, "status", "atProvider").GetStructValue().GetFields()

	if o.ready && o.firstReady == "" {
		o.firstReady = o.condition.Time
	}

	return o
}

func zeroIfNil(n *int64) int64 {
	if n == nil {
		return 0
	}

	return *n
}
