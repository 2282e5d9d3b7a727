//go:build integration

package controller

import (
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

// object reads a managed resource or configuration from the part of its manifest that a case is about.
func object(t *testing.T, ns, kind, body string) *unstructured.Unstructured {
	t.Helper()

	u := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(body), &u.Object); err != nil {
		t.Fatalf("the case is no YAML: %v", err)
	}

	u.SetAPIVersion(v1alpha1.GroupVersion.String())
	u.SetKind(kind)
	u.SetName("x")

	if !strings.HasPrefix(kind, "Cluster") {
		u.SetNamespace(ns)
	}

	return u
}

func TestCreate(t *testing.T) {
	cases := map[string]struct {
		reason string
		kind   string
		body   string
		err    string // A part of the message that a person gets, or "" when the object is accepted.
	}{
		"AgentScalerSmallest": {
			reason: "A target and a size are enough.",
			kind:   "AgentScaler",
			body:   `spec: {forProvider: {scaleTargetRef: {name: coder}, replicas: 3}}`,
		},
		"AgentScalerFull": {
			reason: "All that a scaler can be told is known.",
			kind:   "AgentScaler",
			body: `
spec:
  managementPolicies: [Observe]
  forProvider:
    scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: coder}
    replicas: 3
    suspend: false
    minReplicaCount: 1
    maxReplicaCount: 100
    pollingInterval: 15
    triggers: [{type: QueueDepth, target: 5}, {type: TokensPerMinute, target: 10000}]
    fallback: {afterSeconds: 300, replicas: 5}
    scaleDown: {stabilizationSeconds: 300, drainTimeoutSeconds: 600, onDrainTimeout: Keep}
    tokensPerMinute: 1000000`,
		},
		"AgentScalerNone": {
			reason: "A pool may be asked to have no workers.",
			kind:   "AgentScaler",
			body:   `spec: {forProvider: {scaleTargetRef: {name: coder}, replicas: 0}}`,
		},
		"AgentScalerNegative": {
			reason: "There are no negative sizes.",
			kind:   "AgentScaler",
			body:   `spec: {forProvider: {scaleTargetRef: {name: coder}, replicas: -1}}`,
			err:    "spec.forProvider.replicas: Invalid value: -1",
		},
		"AgentScalerMinOverMax": {
			reason: "Bounds that contradict each other are refused where they are written.",
			kind:   "AgentScaler",
			body:   `spec: {forProvider: {scaleTargetRef: {name: coder}, replicas: 3, minReplicaCount: 9, maxReplicaCount: 4}}`,
			err:    "minReplicaCount must not be larger than maxReplicaCount: lower the one or raise the other",
		},
		"AgentScalerOtherTarget": {
			reason: "Only what is scaled with slots can be a target.",
			kind:   "AgentScaler",
			body:   `spec: {forProvider: {scaleTargetRef: {kind: StatefulSet, name: coder}, replicas: 3}}`,
			err:    `supported values: "Deployment"`,
		},
		"AgentScalerNoTarget": {
			reason: "A scaler without a target scales nothing.",
			kind:   "AgentScaler",
			body:   `spec: {forProvider: {replicas: 3}}`,
			err:    "spec.forProvider.scaleTargetRef: Required value",
		},
		"AgentScalerTriggerTwice": {
			reason: "Two targets for one load would leave open which counts.",
			kind:   "AgentScaler",
			body:   `spec: {forProvider: {scaleTargetRef: {name: coder}, replicas: 3, triggers: [{type: QueueDepth, target: 5}, {type: QueueDepth, target: 6}]}}`,
			err:    "Duplicate value",
		},
		"AgentScalerUnknownTrigger": {
			reason: "A load that nobody measures is refused.",
			kind:   "AgentScaler",
			body:   `spec: {forProvider: {scaleTargetRef: {name: coder}, replicas: 3, triggers: [{type: CPU, target: 80}]}}`,
			err:    `supported values: "QueueDepth", "PendingTasks", "TokensPerMinute"`,
		},
		"VectorCollectionSmallest": {
			reason: "A name and a dimension are enough.",
			kind:   "VectorCollection",
			body:   `spec: {forProvider: {collection: coder-memory, dim: 1536}}`,
		},
		"VectorCollectionConfig": {
			reason: "Where the store is may be the namespace's own affair.",
			kind:   "VectorCollection",
			body:   `spec: {providerConfigRef: {kind: ProviderConfig, name: team-a}, forProvider: {collection: coder-memory, dim: 1536, distance: Dot}}`,
		},
		"VectorCollectionNoDim": {
			reason: "A collection of no dimension holds nothing.",
			kind:   "VectorCollection",
			body:   `spec: {forProvider: {collection: coder-memory, dim: 0}}`,
			err:    "spec.forProvider.dim: Invalid value: 0",
		},
		"VectorCollectionName": {
			reason: "A name that not every store takes is refused.",
			kind:   "VectorCollection",
			body:   `spec: {forProvider: {collection: "coder memory", dim: 1536}}`,
			err:    "spec.forProvider.collection: Invalid value",
		},
		"CheckpointSmallest": {
			reason: "A prefix is enough.",
			kind:   "Checkpoint",
			body:   `spec: {forProvider: {pool: team-a/coder}}`,
		},
		"CheckpointTooOften": {
			reason: "Saving every second would be all a worker does.",
			kind:   "Checkpoint",
			body:   `spec: {forProvider: {pool: team-a/coder, intervalSeconds: 1}}`,
			err:    "spec.forProvider.intervalSeconds: Invalid value: 1",
		},
		"ProviderConfigFull": {
			reason: "A namespace may have both stores of its own.",
			kind:   "ProviderConfig",
			body: `
spec:
  vectorStore: {type: Qdrant, endpoint: "http://qdrant:6333", credentials: {source: Secret, secretRef: {namespace: team-a, name: qdrant, key: apiKey}}}
  checkpointStore: {url: "s3://bucket?region=eu-central-1"}`,
		},
		"ProviderConfigEmpty": {
			reason: "A configuration without stores is one for scalers only.",
			kind:   "ProviderConfig",
			body:   `spec: {}`,
		},
		"ProviderConfigEnvironment": {
			reason: "A team must not read what is the provider's: it could have it sent to an endpoint of its own.",
			kind:   "ProviderConfig",
			body:   `spec: {vectorStore: {type: Qdrant, endpoint: "http://q:6334", credentials: {source: Environment, env: {name: KEY}}}}`,
			err:    "vectorStore.credentials.source must be None or Secret",
		},
		"ProviderConfigFile": {
			reason: "Nor its files, for agents.",
			kind:   "ProviderConfig",
			body:   `spec: {vectorStore: {type: Qdrant, endpoint: "http://q:6334", agentCredentials: {source: Filesystem, fs: {path: /token}}}}`,
			err:    "vectorStore.agentCredentials.source must be None or Secret",
		},
		"ProviderConfigCheckpointFile": {
			reason: "Nor for checkpoints.",
			kind:   "ProviderConfig",
			body:   `spec: {checkpointStore: {url: "s3://b", credentials: {source: Filesystem, fs: {path: /token}}}}`,
			err:    "checkpointStore.credentials.source must be None or Secret",
		},
		"ClusterProviderConfigFile": {
			reason: "The platform may.",
			kind:   "ClusterProviderConfig",
			body:   `spec: {vectorStore: {type: Qdrant, endpoint: "http://q:6334", credentials: {source: Filesystem, fs: {path: /token}}}}`,
		},
		"ProviderConfigNoSecret": {
			reason: "Credentials in a Secret that is not named cannot be found.",
			kind:   "ProviderConfig",
			body:   `spec: {vectorStore: {type: Qdrant, endpoint: "http://qdrant:6333", credentials: {source: Secret}}}`,
			err:    "source Secret needs secretRef",
		},
		"ClusterProviderConfigNoEnv": {
			reason: "The same rules hold for the whole cluster's configuration.",
			kind:   "ClusterProviderConfig",
			body:   `spec: {checkpointStore: {url: "s3://bucket", credentials: {source: Environment}}}`,
			err:    "source Environment needs env",
		},
		"ClusterProviderConfigNoFile": {
			reason: "The same rules hold for the whole cluster's configuration.",
			kind:   "ClusterProviderConfig",
			body:   `spec: {checkpointStore: {url: "s3://bucket", credentials: {source: Filesystem}}}`,
			err:    "source Filesystem needs fs",
		},
		"ClusterProviderConfigUnknownStore": {
			reason: "A store that we have no driver for is refused.",
			kind:   "ClusterProviderConfig",
			body:   `spec: {vectorStore: {type: Excel, endpoint: "file"}}`,
			err:    `supported values: "pgvector", "Qdrant", "Weaviate", "Milvus", "Chroma"`,
		},
	}

	ns := newNamespace(t)

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := kube.Create(t.Context(), object(t, ns, tc.kind, tc.body), client.DryRunAll)
			if tc.err == "" && err != nil {
				t.Errorf("%s\nrefused: %v", tc.reason, err)
			}

			if tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("%s\nerror %v, want one with %q", tc.reason, err, tc.err)
			}
		})
	}
}

func TestChange(t *testing.T) {
	cases := map[string]struct {
		reason string
		kind   string
		body   string
		path   string
		value  any
		err    string
	}{
		"AgentScalerReplicas": {
			reason: "Sizes change.",
			kind:   "AgentScaler",
			body:   `spec: {forProvider: {scaleTargetRef: {name: coder}, replicas: 3}}`,
			path:   "replicas", value: int64(4),
		},
		"AgentScalerTarget": {
			reason: "A scaler that changes its target would leave the old one without an owner.",
			kind:   "AgentScaler",
			body:   `spec: {forProvider: {scaleTargetRef: {name: coder}, replicas: 3}}`,
			path:   "scaleTargetRef", value: map[string]any{"name": "other"},
			err: "scaleTargetRef cannot change: make a new AgentScaler for another target",
		},
		"VectorCollectionCollection": {
			reason: "A collection is not renamed.",
			kind:   "VectorCollection",
			body:   `spec: {forProvider: {collection: memory, dim: 8}}`,
			path:   "collection", value: "other",
			err: "collection cannot change but to that of a released successor, with its dim and distance: a collection is not renamed; set a successor, or make a new VectorCollection",
		},
		"VectorCollectionDim": {
			reason: "Vectors of two dimensions cannot be compared.",
			kind:   "VectorCollection",
			body:   `spec: {forProvider: {collection: memory, dim: 8}}`,
			path:   "dim", value: int64(9),
			err: "dim cannot change: vectors of two dimensions cannot be compared; set a successor, or make a new VectorCollection, and re-embed",
		},
		"VectorCollectionDistance": {
			reason: "An index is built for one distance.",
			kind:   "VectorCollection",
			body:   `spec: {forProvider: {collection: memory, dim: 8}}`,
			path:   "distance", value: "L2",
			err: "distance cannot change: the index is built for one distance; set a successor, or make a new VectorCollection, and re-embed",
		},
		"CheckpointPool": {
			reason: "A repository holds the state of one pool.",
			kind:   "Checkpoint",
			body:   `spec: {forProvider: {pool: team-a/coder}}`,
			path:   "pool", value: "team-a/other",
			err: "pool cannot change: the repository holds the state of one pool; make a new Checkpoint",
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			u := object(t, newNamespace(t), tc.kind, tc.body)
			create(t, u)

			if err := unstructured.SetNestedField(u.Object, tc.value, "spec", "forProvider", tc.path); err != nil {
				t.Fatal(err)
			}

			err := kube.Update(t.Context(), u)
			if (err == nil) != (tc.err == "") || (err != nil && !strings.Contains(err.Error(), tc.err)) {
				t.Errorf("%s\nerror %v, want one with %q", tc.reason, err, tc.err)
			}
		})
	}
}

// A configuration stays while it is used, and counts who uses it.
func TestProviderConfigInUse(t *testing.T) {
	startProvider(t)

	for _, kind := range []string{"ProviderConfig", "ClusterProviderConfig"} {
		t.Run(kind, func(t *testing.T) {
			ns := newNamespace(t)
			pc := object(t, ns, kind, `spec: {}`)
			pc.SetName("in-use")
			create(t, pc)

			user := newScaler(ns, "coder", 1)
			create(t, user)

			usage := object(t, ns, "ProviderConfigUsage", fmt.Sprintf(`
metadata: {labels: {crossplane.io/provider-config: in-use, crossplane.io/provider-config-kind: %s}}
providerConfigRef: {kind: %s, name: in-use}
resourceRef: {apiVersion: agent.southwest.ai/v1alpha1, kind: AgentScaler, name: coder}`, kind, kind))
			usage.SetOwnerReferences(asController(user))
			create(t, usage)

			users := func(want int64) func() string {
				return func() string {
					if n, _, _ := unstructured.NestedInt64(get(t, pc).Object, "status", "users"); n != want {
						return fmt.Sprintf("%s has %d users, want %d", kind, n, want)
					}

					return ""
				}
			}
			eventually(t, users(1))

			if err := kube.Delete(t.Context(), pc); err != nil {
				t.Fatal(err)
			}

			eventually(t, func() string {
				conditions, _, _ := unstructured.NestedSlice(get(t, pc).Object, "status", "conditions")
				if !strings.Contains(fmt.Sprint(conditions), "InUse") {
					return fmt.Sprintf("conditions of a deleted %s that is in use: %v", kind, conditions)
				}

				return ""
			})

			if err := kube.Delete(t.Context(), usage); err != nil {
				t.Fatal(err)
			}

			eventually(t, func() string {
				if err := kube.Get(t.Context(), client.ObjectKeyFromObject(pc), pc); err == nil {
					return kind + " is still there although nothing uses it"
				}

				return ""
			})
		})
	}
}
