package compose

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
)

// Every request that cannot be served says so in a sentence, and nothing is changed.
func TestRefusals(t *testing.T) {
	const claim = `
apiVersion: southwest.ai/v1alpha1
kind: AIDispatcher
metadata: {name: pool, namespace: team-a}
spec: {role: coder, modelRef: gpt-4, replicas: 3}
`
	cases := map[string]struct {
		reason  string
		claim   func(y string) string
		catalog func(y *structpb.Struct)
		want    string
		because string
	}{
		"UnknownRole": {
			reason:  "A role the catalog lacks is refused with those it has.",
			claim:   func(y string) string { return strings.Replace(y, "role: coder", "role: tester", 1) },
			want:    `role "tester" is not in the platform's catalog, which has coder, planner, reviewer: choose one of these or ask the platform team to add it`,
			because: "UnknownRole",
		},
		"NoRole": {
			reason:  "A claim must say what its agents do.",
			claim:   func(y string) string { return strings.Replace(y, "role: coder, ", "", 1) },
			want:    "spec.role is empty: name a role of the platform's catalog",
			because: "InvalidClaim",
		},
		"UnknownModel": {
			reason:  "A model the catalog lacks is refused with those it has.",
			claim:   func(y string) string { return strings.Replace(y, "gpt-4", "gpt-5", 1) },
			want:    `model "gpt-5" is not in the platform's catalog, which has claude, gpt-4: choose one of these, ask the platform team to add it, or set spec.modelEndpoint`,
			because: "UnknownModel",
		},
		"NoModel": {
			reason:  "Neither a model nor an endpoint is refused.",
			claim:   func(y string) string { return strings.Replace(y, "modelRef: gpt-4, ", "", 1) },
			want:    "name a model: set spec.modelRef to a model of the platform's catalog, or spec.modelEndpoint to the URL of one",
			because: "InvalidClaim",
		},
		"BadSchedule": {
			reason: "A schedule that nobody can read is refused, and not ignored.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", `replicas: 3, scaling: {schedules: [{schedule: "0 25 * * *", durationSeconds: 3600, minReplicas: 2}]}`, 1)
			},
			want:    `spec.scaling.schedules: "0 25 * * *" is no schedule such as "0 8 * * MON-FRI": end of range (25) above maximum (23): 25`,
			because: "InvalidClaim",
		},
		"HighSchedule": {
			reason: "Nor one that asks for more than may be.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", `replicas: 3, scaling: {maxReplicas: 4, schedules: [{schedule: "0 5 * * *", durationSeconds: 3600, minReplicas: 5}]}`, 1)
			},
			want:    `spec.scaling.schedules: "0 5 * * *" asks for at least 5 workers, and maxReplicas is 4: lower the one or raise the other`,
			because: "InvalidClaim",
		},
		"QueryOfAnother": {
			reason: "A query belongs to type Prometheus.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", `replicas: 3, scaling: {metrics: [{type: QueueDepth, target: 5, query: up}]}`, 1)
			},
			want:    "spec.scaling.metrics: type Prometheus needs a query, and no other type has one",
			because: "InvalidClaim",
		},
		"StatelessCheckpoint": {
			reason: "What has no state has no checkpoints.",
			claim: func(y string) string {
				return strings.Replace(y, "role: coder, modelRef: gpt-4, replicas: 3", "role: planner, modelRef: gpt-4, checkpoint: {}", 1)
			},
			want:    `spec.checkpoint is for agents with state, and those of role "planner" have none: remove it, or choose another role`,
			because: "Unsupported",
		},
		"RestoreWithoutCheckpoint": {
			reason: "An earlier state is one that was kept.",
			claim: func(y string) string {
				return strings.Replace(y, "name: pool,", `name: pool, annotations: {southwest.ai/restore-from: "2026-01-02T03:04:05Z"},`, 1)
			},
			want:    "annotation southwest.ai/restore-from asks for an earlier state, and the pool has no checkpoints: remove it, or set spec.checkpoint",
			because: "InvalidClaim",
		},
		"RestoreFromNowhere": {
			reason: "A state that cannot be found is not guessed.",
			claim: func(y string) string {
				y = strings.Replace(y, "replicas: 3", "checkpoint: {}", 1)

				return strings.Replace(y, "name: pool,", `name: pool, annotations: {southwest.ai/restore-from: yesterday},`, 1)
			},
			want:    `annotation southwest.ai/restore-from: "yesterday" is neither a time such as 2026-01-02T15:04:05Z nor a checkpoint such as 3/0000000007-0000000042`,
			because: "InvalidClaim",
		},
		"DimZero": {
			reason: "A vector has at least one dimension.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", "memoryConfig: {collection: c, dim: 0}", 1)
			},
			want:    "spec.memoryConfig.dim is 0 and must be the embedding model's dimension, 1 to 65535 (1536 for many models)",
			because: "InvalidClaim",
		},
		"CollectionNoName": {
			reason: "A collection's name is one that all stores take.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", "memoryConfig: {collection: 9 lives, dim: 3}", 1)
			},
			want:    "spec.memoryConfig.collection is \"9 lives\" and must be a letter, then at most 62 letters, digits, dashes or underscores",
			because: "InvalidClaim",
		},
		"AliasOfItself": {
			reason: "An alias is another name.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", "memoryConfig: {collection: c, dim: 3, aliases: [c]}", 1)
			},
			want:    "spec.memoryConfig.aliases names c, which is the collection itself: remove it there",
			because: "InvalidClaim",
		},
		"AliasNoName": {
			reason: "An alias is a name like any other.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", "memoryConfig: {collection: c, dim: 3, aliases: ['']}", 1)
			},
			want:    "spec.memoryConfig.aliases has \"\", which must be a letter, then at most 62 letters, digits, dashes or underscores",
			because: "InvalidClaim",
		},
		"SuccessorOfItself": {
			reason: "A successor is another collection.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", "memoryConfig: {collection: c, dim: 3, aliases: [a], successor: {collection: c, dim: 4}}", 1)
			},
			want:    "spec.memoryConfig.successor.collection is the collection itself and must be another one; once it is released, remove successor",
			because: "InvalidClaim",
		},
		"SuccessorWithoutAlias": {
			reason: "A successor takes over what agents use.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", "memoryConfig: {collection: c, dim: 3, successor: {collection: d, dim: 4}}", 1)
			},
			want:    "spec.memoryConfig.successor takes over the aliases, and there is none: set aliases, and let agents use one",
			because: "InvalidClaim",
		},
		"SuccessorIsAlias": {
			reason: "A name means one thing.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", "memoryConfig: {collection: c, dim: 3, aliases: [d], successor: {collection: d, dim: 4}}", 1)
			},
			want:    "spec.memoryConfig.aliases names d, which is the successor: choose another name",
			because: "InvalidClaim",
		},
		"SuccessorNoDim": {
			reason: "A successor has a dimension too.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", "memoryConfig: {collection: c, dim: 3, aliases: [a], successor: {collection: d}}", 1)
			},
			want:    "spec.memoryConfig.successor.dim is 0 and must be the new embedding model's dimension, 1 to 65535",
			because: "InvalidClaim",
		},
		"SuccessorNoName": {
			reason: "A successor has a name.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", "memoryConfig: {collection: c, dim: 3, aliases: [a], successor: {dim: 3}}", 1)
			},
			want:    "spec.memoryConfig.successor.collection is \"\" and must be a letter, then at most 62 letters, digits, dashes or underscores",
			because: "InvalidClaim",
		},
		"CatalogMemory": {
			reason: "What no VectorCollection could be is told the platform, all of it at once.",
			catalog: func(c *structpb.Struct) {
				firstRole(c).Fields["memory"] = asValue(object{
					"index": object{"type": "Tree", "m": 1}, "shards": 0, "quantization": "Tiny",
					"indexedFields":     list{object{"name": "a", "type": "Keyword"}, object{"name": "a", "type": "Blob"}, object{"name": "a b", "type": "Text"}},
					"providerConfigRef": object{"kind": "Config", "name": ""},
				})
			},
			want: `cannot use the catalog: roles[coder].memory.index.type: "Tree" is not one of HNSW, IVFFlat, DiskANN, Flat; ` +
				`roles[coder].memory.index.m: is 1 and must be 2 to 2048; ` +
				`roles[coder].memory.shards: is 0 and must be 1 to 1024; ` +
				`roles[coder].memory.quantization: "Tiny" is not one of None, Scalar, Binary, Product, Half; ` +
				`roles[coder].memory.indexedFields[1].name: "a" is listed twice; ` +
				`roles[coder].memory.indexedFields[1].type: "Blob" is not one of Keyword, Text, Integer, Float, Boolean, Datetime; ` +
				`roles[coder].memory.indexedFields[2].name: "a b" must be a letter or underscore, then at most 62 letters, digits or underscores; ` +
				`roles[coder].memory.providerConfigRef.kind: "Config" is not one of ProviderConfig, ClusterProviderConfig; ` +
				`roles[coder].memory.providerConfigRef.name: is empty: name the configuration`,
			because: "InvalidCatalog",
		},
		"ReplicasZero": {
			reason:  "No workers is what suspend is for.",
			claim:   func(y string) string { return strings.Replace(y, "replicas: 3", "replicas: 0", 1) },
			want:    "spec.replicas is 0 and must be at least 1; to run no worker for a while set suspend: true",
			because: "InvalidClaim",
		},
		"ReplicasNegative": {
			reason:  "A pool has no negative size.",
			claim:   func(y string) string { return strings.Replace(y, "replicas: 3", "replicas: -2", 1) },
			want:    "spec.replicas is -2 and must be at least 1; to run no worker for a while set suspend: true",
			because: "InvalidClaim",
		},
		"ReplicasFraction": {
			reason:  "A pool has whole workers.",
			claim:   func(y string) string { return strings.Replace(y, "replicas: 3", "replicas: 1.5", 1) },
			want:    "cannot read spec: cannot decode: json: cannot unmarshal number 1.5 into Go struct field AIDispatcherSpec.replicas of type int32",
			because: "InvalidClaim",
		},
		"MinAboveMax": {
			reason: "Bounds that exclude every size are refused.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", "scaling: {minReplicas: 9, maxReplicas: 3}", 1)
			},
			want:    "spec.scaling.minReplicas (9) must not be larger than maxReplicas (3): lower the one or raise the other",
			because: "InvalidClaim",
		},
		"KEDAWithoutPrometheus": {
			reason: "What KEDA would ask must be there.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", "scaling: {engine: KEDA, keda: {scaler: Prometheus}}", 1)
			},
			want:    "the platform's catalog names no Prometheus for KEDA to ask: set spec.scaling.keda.scaler: External, or have the platform team set keda.prometheus",
			because: "Unsupported",
		},
		"KEDADrain": {
			reason: "An HPA does not choose a worker.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", "scaling: {engine: KEDA, keda: {scaler: Prometheus}, scaleDown: {onDrainTimeout: Force}}", 1)
			},
			want:    "spec.scaling.scaleDown.drainTimeoutSeconds and onDrainTimeout are for an engine that chooses the worker, which KEDA with Prometheus does not: remove them or set keda.scaler: External",
			because: "Unsupported",
		},
		"KEDASchedules": {
			reason: "A schedule that begins and lasts cannot be said to KEDA.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", `scaling: {engine: KEDA, keda: {scaler: Prometheus}, schedules: [{schedule: "0 8 * * *", durationSeconds: 3600, minReplicas: 2}]}`, 1)
			},
			want:    "KEDA with Prometheus has no spec.scaling.schedules: remove them or set keda.scaler: External",
			because: "Unsupported",
		},
		"KEDAStabilization": {
			reason: "An HPA's memory is short.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", "scaling: {engine: KEDA, keda: {scaler: Prometheus}, scaleDown: {stabilizationSeconds: 7200}}", 1)
			},
			want:    "spec.scaling.scaleDown.stabilizationSeconds is 7200 and KEDA with Prometheus knows at most 3600: lower it or set keda.scaler: External",
			because: "Unsupported",
		},
		"KEDAWithoutEngine": {
			reason: "Who says how KEDA scales means KEDA to scale.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", "scaling: {keda: {scaler: External}}", 1)
			},
			want:    "spec.scaling.keda is for the KEDA engine: remove it or set engine: KEDA",
			because: "InvalidClaim",
		},
		"KEDAAddress": {
			reason: "What KEDA cannot call is found before any pool is made.",
			catalog: func(c *structpb.Struct) {
				c.Fields["keda"] = asValue(object{"scaler": object{"address": "provider"}, "prometheus": object{"serverAddress": "prometheus:9090", "authenticationRef": object{"name": ""}}})
			},
			want:    `cannot use the catalog: keda.scaler.address: "provider" must be HOST:PORT, such as aidispatcher-scaler.crossplane-system.svc:9095; keda.prometheus.serverAddress: "prometheus:9090" is not a URL such as https://models.example.org/v1; keda.prometheus.authenticationRef: must name a TriggerAuthentication or a ClusterTriggerAuthentication`,
			because: "InvalidCatalog",
		},
		"EndpointIsNoURL": {
			reason: "An endpoint must be a URL.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", "modelEndpoint: models.example.org", 1)
			},
			want:    `spec.modelEndpoint "models.example.org" is not a URL such as https://models.example.org/v1`,
			because: "InvalidClaim",
		},
		"EndpointWithPassword": {
			reason: "A key in a URL would stand in every status and log; the message must not repeat it.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", `modelEndpoint: "https://u:secret@m.example.org"`, 1)
			},
			want:    "spec.modelEndpoint must not carry a user or a password: a key belongs in a Secret that the catalog's model names",
			because: "InvalidClaim",
		},
		"ClusterScopedWithoutClaim": {
			reason:  "Workers need a namespace.",
			claim:   func(y string) string { return strings.Replace(y, ", namespace: team-a", "", 1) },
			want:    `composite resource "pool" has neither a namespace nor a claim: create an AIDispatcher in a namespace`,
			because: "InvalidClaim",
		},
		"ImageIsNone": {
			reason:  "An image that cannot be pulled is found before any pod is made.",
			catalog: func(c *structpb.Struct) { firstRole(c).Fields["image"] = structpb.NewStringValue("Not An Image") },
			want:    `cannot use the catalog: roles[coder].image: "Not An Image" is not an image: invalid reference format: repository name (library/Not An Image) must be lowercase`,
			because: "InvalidCatalog",
		},
		"CatalogTypo": {
			reason:  "A misspelt field is an error, not a default.",
			catalog: func(c *structpb.Struct) { firstRole(c).Fields["imgae"] = structpb.NewStringValue("x") },
			want:    `cannot use the catalog: unknown field "roles[0].imgae": check the spelling`,
			because: "InvalidCatalog",
		},
		"CatalogReservedEnv": {
			reason:  "What the function sets, a role cannot set too.",
			catalog: func(c *structpb.Struct) { firstRole(c).Fields["env"] = asValue(list{envVar("OPENAI_API_KEY", "x")}) },
			want:    "cannot use the catalog: roles[coder].env[0]: sets OPENAI_API_KEY, which is set for every agent: remove it",
			because: "InvalidCatalog",
		},
		"CatalogOfAnotherKind": {
			reason:  "The input must be a Catalog.",
			catalog: func(c *structpb.Struct) { c.Fields["kind"] = structpb.NewStringValue("Resources") },
			want:    "the Composition's input is a aidispatcher.fn.southwest.ai/v1beta1 Resources and must be a aidispatcher.fn.southwest.ai/v1beta1 Catalog",
			because: "InvalidCatalog",
		},
		"TooManyForTheRole": {
			reason:  "The platform team may bound a role.",
			catalog: func(c *structpb.Struct) { firstRole(c).Fields["maxReplicas"] = structpb.NewNumberValue(2) },
			want:    `the pool may grow to 3 workers and the platform allows 2 for role "coder": lower replicas or scaling.maxReplicas`,
			because: "InvalidClaim",
		},
		"CatalogPod": {
			reason: "What Kubernetes or pod security would refuse in each worker is told the platform, all of it at once.",
			catalog: func(c *structpb.Struct) {
				r := firstRole(c)
				r.Fields["imagePullSecrets"] = asValue(list{object{"name": "Registry"}})
				r.Fields["envFrom"] = asValue(list{object{"prefix": "A_"}})
				r.Fields["livenessProbe"] = asValue(object{"tcpSocket": object{"host": "10.0.0.1", "port": 80}})
				r.Fields["podMetadata"] = asValue(object{
					"labels":      object{"southwest.ai/dispatcher": "other", "tier": "a b"},
					"annotations": object{"prometheus.io/scrape": "false", "x.southwest.ai/drain": "d1"},
				})
				r.Fields["volumes"] = asValue(list{
					object{"name": "state", "mountPath": "/a", "emptyDir": object{}},
					object{"name": "b", "mountPath": "b", "subPath": "../c"},
					object{"name": "b", "mountPath": "/proc/1", "emptyDir": object{}, "secret": object{"secretName": "s"}},
					object{"name": "c", "mountPath": "/var/lib", "emptyDir": object{}},
					object{"name": "d", "mountPath": "/var/lib/agent/cache", "emptyDir": object{}},
					object{"name": "e", "mountPath": "/a/", "emptyDir": object{}},
				})
			},
			want: `cannot use the catalog: roles[coder].imagePullSecrets[0].name: "Registry" cannot name a Secret: a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*'); ` +
				`roles[coder].envFrom[0]: must have one of secretRef and configMapRef; ` +
				`roles[coder].livenessProbe: names a host, which pod security forbids: remove it, so that the worker itself is asked; ` +
				`roles[coder].volumes[0].name: "state" is taken: choose another; ` +
				`roles[coder].volumes[1]: has 0 sources and must have one: secret, configMap, emptyDir, ephemeral, persistentVolumeClaim, csi or image; ` +
				`roles[coder].volumes[1].subPath: "../c" must be a path in the volume, without ..; ` +
				`roles[coder].volumes[1].mountPath: "b" must be an absolute path of its own, such as /etc/agent; ` +
				`roles[coder].volumes[2].name: "b" is taken: choose another; ` +
				`roles[coder].volumes[2]: has 2 sources and must have one: secret, configMap, emptyDir, ephemeral, persistentVolumeClaim, csi or image; ` +
				`roles[coder].volumes[2].mountPath: "/proc/1" must be an absolute path of its own, such as /etc/agent; ` +
				`roles[coder].volumes[3].mountPath: "/var/lib" and the state's /var/lib/agent lie in one another: choose another, because a checkpoint is of the state alone; ` +
				`roles[coder].volumes[4].mountPath: "/var/lib/agent/cache" and the state's /var/lib/agent lie in one another: choose another, because a checkpoint is of the state alone; ` +
				`roles[coder].volumes[5].mountPath: "/a/" is listed twice; ` +
				`roles[coder].podMetadata.labels: "southwest.ai/dispatcher" is the pool's own: remove it; ` +
				`roles[coder].podMetadata.labels: "tier": "a b" cannot be a label's value: a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?'); ` +
				`roles[coder].podMetadata.annotations: "prometheus.io/scrape" is set for every worker, unless monitor.metrics.annotations is false: remove it; ` +
				`roles[coder].podMetadata.annotations: "x.southwest.ai/drain" is the pool's own: remove it`,
			because: "InvalidCatalog",
		},
		"HostPath": {
			reason: "A volume that pod security forbids is none that a role can have.",
			catalog: func(c *structpb.Struct) {
				firstRole(c).Fields["volumes"] = asValue(list{object{"name": "docker", "mountPath": "/docker", "hostPath": object{"path": "/"}}})
			},
			want:    `cannot use the catalog: unknown field "roles[0].volumes[0].hostPath": check the spelling`,
			because: "InvalidCatalog",
		},
		"StatePathTaken": {
			reason:  "State cannot lie over a directory the worker needs.",
			catalog: func(c *structpb.Struct) { firstRole(c).Fields["statePath"] = structpb.NewStringValue("/etc/podinfo") },
			want:    `cannot use the catalog: roles[coder].statePath: "/etc/podinfo" must be an absolute path of its own, such as /var/lib/agent`,
			because: "InvalidCatalog",
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			y := claim
			if tc.claim != nil {
				y = tc.claim(y)
			}

			req := request(t, parseStruct(t, y), map[string]*structpb.Struct{resourceDeployment: parseStruct(t, deploymentYAML)})
			req.Desired = foreignState()

			if tc.catalog != nil {
				req.Input = clone(req.GetInput())
				tc.catalog(req.GetInput())
			}

			rsp := run(t, newFunction(), req)
			want := &fnv1.RunFunctionResponse{
				Meta:    rsp.GetMeta(),
				Desired: foreignState(),
				Results: []*fnv1.Result{{
					Severity: fnv1.Severity_SEVERITY_FATAL, Message: tc.want, Reason: &tc.because,
					Target: fnv1.Target_TARGET_COMPOSITE_AND_CLAIM.Enum(),
				}},
				Conditions: []*fnv1.Condition{{
					Type: "Accepted", Status: fnv1.Status_STATUS_CONDITION_FALSE, Reason: tc.because, Message: &tc.want,
					Target: fnv1.Target_TARGET_COMPOSITE_AND_CLAIM.Enum(),
				}},
			}

			if diff := cmp.Diff(want, rsp, protocmp.Transform()); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func firstRole(c *structpb.Struct) *structpb.Struct {
	roles := field(c, "roles").GetListValue()
	first := clone(roles.GetValues()[0].GetStructValue())
	c.Fields["roles"] = asValue(list{structpb.NewStructValue(first)})

	return first
}
