package compose

import (
	"maps"
	"path"
	"slices"

	"google.golang.org/protobuf/types/known/structpb"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
)

// What a worker is told of its memory. Each comes from a key of the VectorCollection's connection secret, so a container
// learns a new value when it is started anew; the files in memoryDir follow within about a minute.
const (
	envVectorStore        = "VECTOR_STORE"
	envVectorEndpoint     = "VECTOR_ENDPOINT"
	envVectorCollection   = "VECTOR_COLLECTION"
	envVectorDim          = "VECTOR_DIM"
	envVectorDistance     = "VECTOR_DISTANCE"
	envVectorUser         = "VECTOR_USER"
	envVectorPassword     = "VECTOR_PASSWORD"
	envVectorAPIKey       = "VECTOR_API_KEY"
	envVectorSuccessor    = "VECTOR_SUCCESSOR"
	envVectorSuccessorDim = "VECTOR_SUCCESSOR_DIM"
	envVectorCAFile       = "VECTOR_CA_FILE"
)

const (
	volumeMemory = "memory"
	// memoryDir is where an agent finds the connection secret, a file for each key.
	memoryDir = "/var/run/southwest.ai/memory"
	// suffixMemory follows the pool's name in the name of the connection secret. Names leave room for it.
	suffixMemory = "-memory"
)

var (
	// Where the memory is. That is no secret, and all the monitor needs.
	memoryPlace = []struct{ env, key string }{
		{envVectorStore, agentv1alpha1.ConnectionStore},
		{envVectorEndpoint, agentv1alpha1.ConnectionEndpoint},
		{envVectorCollection, agentv1alpha1.ConnectionCollection},
		{envVectorDim, agentv1alpha1.ConnectionDim},
		{envVectorDistance, agentv1alpha1.ConnectionDistance},
	}

	// What else there may be, for the agent.
	memoryAccess = []struct{ env, key string }{
		{envVectorUser, agentv1alpha1.ConnectionUser},
		{envVectorPassword, agentv1alpha1.ConnectionPassword},
		{envVectorAPIKey, agentv1alpha1.ConnectionAPIKey},
		{envVectorSuccessor, agentv1alpha1.ConnectionSuccessor},
		{envVectorSuccessorDim, agentv1alpha1.ConnectionSuccessorDim},
	}

	memoryMount = asValue(object{"name": volumeMemory, "mountPath": memoryDir, "readOnly": true})
	memoryCA    = asValue(envVar(envVectorCAFile, path.Join(memoryDir, agentv1alpha1.ConnectionCA)))
)

// memorySecret is the name of the secret that says where the pool's memory is and how to get in.
func (p *pool) memorySecret() string { return p.name + suffixMemory }

// wiresMemory says whether workers are given the memory: once it was ready. Workers of a pool that asks for memory later
// go on without it until then, because a pod whose secret is not there does not start.
func wiresMemory(p *pool, o observation) bool {
	return p.Spec.MemoryConfig != nil && (o.memory.firstReady != "" || o.deployment.hasMemory)
}

// memoryPlaceEnv tells a container where the memory is.
func (p *pool) memoryPlaceEnv() list {
	if !p.wired {
		return nil
	}

	env := make(list, 0, len(memoryPlace))
	for _, v := range memoryPlace {
		env = append(env, p.fromMemorySecret(v.env, v.key, false))
	}

	return env
}

// memoryAccessEnv tells the agent how to get in. What a store does not have is absent.
func (p *pool) memoryAccessEnv() list {
	if !p.wired {
		return nil
	}

	env := make(list, 0, len(memoryAccess)+1)
	for _, v := range memoryAccess {
		env = append(env, p.fromMemorySecret(v.env, v.key, true))
	}

	return append(env, memoryCA)
}

func (p *pool) fromMemorySecret(env, key string, optional bool) object {
	ref := object{"name": p.memorySecret(), "key": key}
	if optional {
		ref["optional"] = true
	}

	return object{"name": env, "valueFrom": object{"secretKeyRef": ref}}
}

// workerLabels are the labels of the pods. What a pod carries the name of is not deleted while it is there.
func (p *pool) workerLabels() object {
	labels := p.labels()

	if m := p.role.PodMetadata; m != nil {
		for k, v := range m.Labels {
			labels[k] = v
		}
	}

	if p.wired {
		labels[agentv1alpha1.LabelMemory] = p.name
	}

	if p.saves {
		labels[agentv1alpha1.LabelCheckpoint] = p.name
	}

	return labels
}

// vectorCollection returns the pool's memory: the claim's collection, made as the catalog says.
func (p *pool) vectorCollection() *structpb.Struct {
	m := p.Spec.MemoryConfig
	params := object{"collection": m.Collection, "dim": m.Dim, "distance": string(m.Distance), "onDelete": orNil(string(m.OnDelete))}

	for f, v := range p.role.tuning {
		params[f] = v
	}

	maps.Copy(params, p.laidOut)

	if len(m.Aliases) > 0 {
		aliases := make(list, 0, len(m.Aliases))
		for _, a := range m.Aliases {
			aliases = append(aliases, a)
		}

		params["aliases"] = aliases
	}

	if s := m.Successor; s != nil {
		params["successor"] = object{"collection": s.Collection, "dim": s.Dim, "distance": orNil(string(s.Distance)), "stage": orNil(string(s.Stage))}
	}

	ref := m.ProviderConfigRef
	if ref == nil && p.role.Memory != nil {
		ref = p.role.Memory.ProviderConfigRef
	}

	return p.managed("VectorCollection", params, ref, object{"name": p.memorySecret()})
}

// The tuning that cannot change once a collection is made.
var layout = []string{"shards", "tenancy"}

// laidOut returns the layout of a collection that is there already, which stands against a catalog that changed since: the
// API server would refuse the whole object else, and with it all that can change.
func laidOut(collection *structpb.Struct) object {
	if collection == nil {
		return nil
	}

	out := make(object, len(layout))
	for _, f := range layout {
		out[f] = field(collection, "spec", "forProvider", f)
	}

	return out
}

// Why a memory will never be what is asked for as long as nobody changes the claim, the catalog or the store. What else may
// be wrong, from a missing configuration to a wrong password, is put in place in any order and mends itself.
var refusedMemory = []xpv2.ConditionReason{
	agentv1alpha1.ReasonImmutableMismatch, agentv1alpha1.ReasonOwnedByAnother, agentv1alpha1.ReasonUnsupported,
}

// refusesMemory says whether somebody must act before the pool can have its memory.
func refusesMemory(p *pool, o observation) bool {
	return p.Spec.MemoryConfig != nil && o.memory.synced.Status == "False" &&
		slices.Contains(refusedMemory, xpv2.ConditionReason(o.memory.synced.Reason))
}

// memoryFailed says whether a memory that was there once is not as it should be.
func memoryFailed(p *pool, o observation) bool {
	return p.Spec.MemoryConfig != nil && o.memory.firstReady != "" && !o.memory.ready
}

// memoryFields returns what the pool's status says of its memory.
func memoryFields(m *v1alpha1.MemoryConfig, o observedStore) object {
	f := object{
		"collection": m.Collection, "ready": o.ready, "firstReadyTime": orNil(o.firstReady),
		"store": o.at["store"], "dim": o.at["dim"],
	}

	if m.Successor != nil {
		f["serving"] = o.at["serving"]
		f["successor"] = field(o.at["successor"].GetStructValue(), "stage")
	}

	return f
}
