package compose

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/structpb"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
)

const memoryClaim = `
apiVersion: southwest.ai/v1alpha1
kind: AIDispatcher
metadata: {name: pool, namespace: team-a}
spec: {role: coder, modelRef: gpt-4, memoryConfig: {collection: notes, dim: 1536}}
`

// firstReady makes a claim one whose memory was ready once.
func firstReady(t *testing.T, y string) *structpb.Struct {
	t.Helper()

	xr := parseStruct(t, y)
	xr.Fields["status"] = asValue(object{"currentPhase": "Ready", "memory": object{"ready": true, "firstReadyTime": "2026-01-02T03:04:05Z"}})

	return xr
}

// collectionSays returns an observed VectorCollection with a condition Synced.
func collectionSays(t *testing.T, ready, synced, reason, message string) *structpb.Struct {
	t.Helper()

	return parseStruct(t, fmt.Sprintf(`{kind: VectorCollection, status: {conditions: [{type: Ready, status: %q, lastTransitionTime: "2026-01-02T03:04:05Z"}, {type: Synced, status: %q, reason: %q, message: %q}]}}`, ready, synced, reason, message))
}

// The pool says in the words of the collection what is wrong with its memory, and takes no worker away for it.
func TestMemoryStatus(t *testing.T) {
	type view struct{ Phase, State, Ready, Reason, Message string }

	mismatch := "the collection has dimension 768 and 1536 is asked for"
	running := map[string]*structpb.Struct{resourceDeployment: parseStruct(t, deploymentYAML), resourceAgentScaler: parseStruct(t, scalerYAML)}

	cases := map[string]struct {
		reason     string
		collection *structpb.Struct
		running    bool
		want       view
	}{
		"Nothing": {
			reason: "Nothing was observed yet.",
			want:   view{"Initializing", "WaitingForMemory", "STATUS_CONDITION_FALSE", "Waiting", "VectorCollection pool is not ready"},
		},
		"Mismatch": {
			reason:     "What the store has can never become what is asked for: somebody must act.",
			collection: collectionSays(t, "False", "False", "ImmutableMismatch", mismatch),
			want:       view{"Failed", "MemoryRefused", "STATUS_CONDITION_FALSE", "ImmutableMismatch", "VectorCollection pool is not ready: " + mismatch},
		},
		"Unreachable": {
			reason:     "A store that does not answer may answer soon.",
			collection: collectionSays(t, "False", "False", "StoreUnavailable", "connection refused"),
			want:       view{"Initializing", "WaitingForMemory", "STATUS_CONDITION_FALSE", "StoreUnavailable", "VectorCollection pool is not ready: connection refused"},
		},
		"NotConfigured": {
			reason:     "A claim may come before its configuration.",
			collection: collectionSays(t, "False", "False", "InvalidConfiguration", "there is no ProviderConfig vectors"),
			want:       view{"Initializing", "WaitingForMemory", "STATUS_CONDITION_FALSE", "InvalidConfiguration", "VectorCollection pool is not ready: there is no ProviderConfig vectors"},
		},
		"Ready": {
			reason:     "All is well.",
			collection: collectionSays(t, "True", "True", "ReconcileSuccess", ""), running: true,
			want: view{"Ready", "Steady", "STATUS_CONDITION_TRUE", "Ready", "VectorCollection pool is ready"},
		},
		"FailsLater": {
			reason:     "A memory that fails later is said, and the workers stay.",
			collection: collectionSays(t, "True", "False", "StoreUnavailable", "connection refused"), running: true,
			want: view{"Ready", "Degraded", "STATUS_CONDITION_FALSE", "StoreUnavailable", "VectorCollection pool is not ready: connection refused"},
		},
		"RefusedLater": {
			reason:     "Workers that run are not failed by an edit that the store refuses.",
			collection: collectionSays(t, "False", "False", "ImmutableMismatch", mismatch), running: true,
			want: view{"Ready", "Degraded", "STATUS_CONDITION_FALSE", "ImmutableMismatch", "VectorCollection pool is not ready: " + mismatch},
		},
		"Paused": {
			reason:     "What is paused on request is as it was.",
			collection: collectionSays(t, "True", "False", "ReconcilePaused", ""), running: true,
			want: view{"Ready", "Steady", "STATUS_CONDITION_TRUE", "Ready", "VectorCollection pool is ready"},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			xr, observed := parseStruct(t, memoryClaim), map[string]*structpb.Struct{}
			if tc.running {
				xr, observed = firstReady(t, strings.Replace(memoryClaim, "role:", "replicas: 3, role:", 1)), maps.Clone(running)
			}

			if tc.collection != nil {
				observed[resourceVectorCollection] = tc.collection
			}

			rsp := run(t, newFunction(), request(t, xr, observed))
			got := view{Phase: text(composite(rsp), "status", "currentPhase"), State: text(composite(rsp), "status", "state")}

			for _, c := range rsp.GetConditions() {
				switch c.GetType() {
				case "MemoryReady":
					got.Ready, got.Reason, got.Message = c.GetStatus().String(), c.GetReason(), c.GetMessage()
				case "WorkersAvailable":
					if all := c.GetStatus() == fnv1.Status_STATUS_CONDITION_TRUE; all != tc.running {
						t.Errorf("WorkersAvailable is %s: %s", c.GetStatus(), c.GetMessage())
					}
				}
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func composite(rsp *fnv1.RunFunctionResponse) *structpb.Struct {
	return rsp.GetDesired().GetComposite().GetResource()
}

// Workers are given the memory once it was there, keep it whatever becomes of it, and the monitor is given no secret.
func TestWorkersGetTheMemory(t *testing.T) {
	without := strings.Replace(memoryClaim, ", memoryConfig: {collection: notes, dim: 1536}", "", 1)
	plain, wired := parseStruct(t, deploymentYAML), parseStruct(t, deploymentYAML)
	field(wired, "spec").GetStructValue().Fields["template"] = asValue(object{"metadata": object{"labels": object{"southwest.ai/memory": "pool"}}})

	place := []string{"VECTOR_STORE", "VECTOR_ENDPOINT", "VECTOR_COLLECTION", "VECTOR_DIM", "VECTOR_DISTANCE"}
	all := slices.Concat(place, []string{"VECTOR_USER?", "VECTOR_PASSWORD?", "VECTOR_API_KEY?", "VECTOR_SUCCESSOR?", "VECTOR_SUCCESSOR_DIM?", "VECTOR_CA_FILE=/var/run/southwest.ai/memory/ca.crt"})

	type view struct {
		Label          string
		Agent, Monitor []string
		Mounted        bool
	}

	given := view{Label: "pool", Agent: all, Monitor: place, Mounted: true}
	cases := map[string]struct {
		reason   string
		xr       *structpb.Struct
		observed map[string]*structpb.Struct
		want     view
	}{
		"None":       {reason: "A pool that asks for no memory is as it was.", xr: parseStruct(t, without), want: view{}},
		"Ready":      {reason: "The memory is there.", xr: parseStruct(t, memoryClaim), observed: map[string]*structpb.Struct{resourceVectorCollection: collectionSays(t, "True", "True", "ReconcileSuccess", "")}, want: given},
		"WasReady":   {reason: "The memory was there.", xr: firstReady(t, memoryClaim), want: given},
		"AskedLater": {reason: "Workers go on without a memory that is not there yet.", xr: parseStruct(t, memoryClaim), observed: map[string]*structpb.Struct{resourceDeployment: plain}, want: view{}},
		"Forgotten":  {reason: "A pool whose status was lost, as by a restore, keeps its workers as they are.", xr: parseStruct(t, memoryClaim), observed: map[string]*structpb.Struct{resourceDeployment: wired}, want: given},
		"Removed":    {reason: "A pool that asks for no memory any more loses it.", xr: parseStruct(t, without), observed: map[string]*structpb.Struct{resourceDeployment: wired}, want: view{}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rsp := run(t, newFunction(), request(t, tc.xr, tc.observed))
			template := field(rsp.GetDesired().GetResources()[resourceDeployment].GetResource(), "spec", "template").GetStructValue()
			agent := field(template, "spec", "containers").GetListValue().GetValues()[0].GetStructValue()
			monitor := field(template, "spec", "initContainers").GetListValue().GetValues()[1].GetStructValue()

			got := view{
				Label: text(template, "metadata", "labels", "southwest.ai/memory"),
				Agent: vectorEnv(t, agent), Monitor: vectorEnv(t, monitor),
				Mounted: named(field(agent, "volumeMounts"), "memory") != nil,
			}

			if named(field(monitor, "volumeMounts"), "memory") != nil {
				t.Error("the monitor mounts the memory's secret")
			}

			if v := named(field(template, "spec", "volumes"), "memory"); got.Mounted != (text(v, "secret", "secretName") == "pool-memory") {
				t.Errorf("mounted: %t, of volume %v", got.Mounted, v)
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// named returns the object of a list that has a name, or nil.
func named(l *structpb.Value, name string) *structpb.Struct {
	for _, v := range l.GetListValue().GetValues() {
		if text(v.GetStructValue(), "name") == name {
			return v.GetStructValue()
		}
	}

	return nil
}

// vectorEnv returns what a container is told of its memory, with a mark on what may be absent.
func vectorEnv(t *testing.T, container *structpb.Struct) []string {
	t.Helper()

	var out []string

	for _, v := range field(container, "env").GetListValue().GetValues() {
		e := v.GetStructValue()

		name := text(e, "name")
		if !strings.HasPrefix(name, "VECTOR_") {
			continue
		}

		ref := field(e, "valueFrom", "secretKeyRef").GetStructValue()

		switch {
		case ref == nil:
			name += "=" + text(e, "value")
		case text(ref, "name") != "pool-memory":
			t.Errorf("%s comes from %v", name, ref)
		case field(ref, "optional").GetBoolValue():
			name += "?"
		}

		out = append(out, name)
	}

	return out
}

// The claim says what the collection is, the catalog how it is made, and neither changes what cannot change.
func TestVectorCollection(t *testing.T) {
	tuning := object{
		"index": object{"type": "HNSW", "m": 32}, "shards": 4, "quantization": "Half",
		"indexedFields": list{object{"name": "author", "type": "Keyword"}}, "providerConfigRef": object{"kind": "ClusterProviderConfig", "name": "fast"},
	}
	base := func(more object) object {
		params := object{
			"collection": "notes", "dim": 1536, "distance": "Cosine", "index": object{"type": "HNSW", "m": 32}, "shards": 4,
			"quantization": "Half", "indexedFields": list{object{"name": "author", "type": "Keyword"}},
		}

		maps.Copy(params, more)

		return params
	}
	fast := object{"kind": "ClusterProviderConfig", "name": "fast"}

	cases := map[string]struct {
		reason   string
		config   string
		observed string
		want     object
	}{
		"Catalog": {
			reason: "What the claim leaves open the catalog decides.",
			config: "{collection: notes, dim: 1536}",
			want:   object{"forProvider": base(nil), "providerConfigRef": fast},
		},
		"Claim": {
			reason: "What the claim says is passed on.",
			config: "{collection: notes, dim: 1536, distance: Cosine, aliases: [now], onDelete: Delete, successor: {collection: notes-2, dim: 3072, stage: Switch}, providerConfigRef: {kind: ProviderConfig, name: mine}}",
			want: object{"forProvider": base(object{
				"aliases": list{"now"}, "onDelete": "Delete", "successor": object{"collection": "notes-2", "dim": 3072, "stage": "Switch"},
			}), "providerConfigRef": object{"kind": "ProviderConfig", "name": "mine"}},
		},
		"CatalogChanged": {
			reason: "Shards of a collection that is there cannot change; the rest follows the catalog.",
			config: "{collection: notes, dim: 1536}", observed: "{spec: {forProvider: {shards: 2, tenancy: Single, quantization: None}}}",
			want: object{"forProvider": base(object{"shards": 2, "tenancy": "Single"}), "providerConfigRef": fast},
		},
		"CatalogAdds": {
			reason: "A collection made without shards is not given any.",
			config: "{collection: notes, dim: 1536}", observed: "{spec: {forProvider: {collection: notes}}}",
			want: object{"forProvider": base(object{"shards": nil}), "providerConfigRef": fast},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			observed := map[string]*structpb.Struct{}
			if tc.observed != "" {
				observed[resourceVectorCollection] = parseStruct(t, tc.observed)
			}

			req := request(t, parseStruct(t, strings.Replace(memoryClaim, "{collection: notes, dim: 1536}", tc.config, 1)), observed)
			req.Input = clone(req.GetInput())
			firstRole(req.GetInput()).Fields["memory"] = asValue(tuning)

			rsp := run(t, newFunction(), req)
			tc.want["writeConnectionSecretToRef"] = object{"name": "pool-memory"}

			got := field(rsp.GetDesired().GetResources()[resourceVectorCollection].GetResource(), "spec").GetStructValue()
			if diff := cmp.Diff(asStruct(tc.want).AsMap(), got.AsMap()); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
