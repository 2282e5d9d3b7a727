package argocd_test

import (
	"testing"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const (
	pausedMessage = "The provider leaves this alone: remove the annotation crossplane.io/paused to go on"
	newMessage    = "Waiting for the provider. If it takes long: is the Provider healthy, and this kind active (kubectl get managedresourcedefinitions)?"
)

// What an AgentScaler shows.
func TestAgentScalerHealth(t *testing.T) {
	testHealth(t, "agentscaler", map[string]healthCase{
		"New": {
			reason: "Nobody has looked at it.", file: "new.yaml",
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: newMessage},
		},
		"Fixed": {
			reason: "It keeps the size.", file: "fixed.yaml",
			want: health.HealthStatus{Status: health.HealthStatusHealthy, Message: "FixedSize: Deployment coder is kept at 2 replicas"},
		},
		"Suspended": {
			reason: "It keeps the target at nothing.", file: "suspended.yaml",
			want: health.HealthStatus{Status: health.HealthStatusSuspended, Message: "Suspended: Deployment coder is kept at no replicas until spec.forProvider.suspend is removed"},
		},
		"Recommends": {
			reason: "It was told not to write.", file: "recommends.yaml",
			want: health.HealthStatus{Status: health.HealthStatusSuspended, Message: "RecommendOnly: spec.managementPolicies do not let the scaler write: Deployment coder asks for 3 replicas, the scaler would ask for 3"},
		},
		"LoadUnknown": {
			reason: "The size is kept while the load is not known, which is as it should be.", file: "fixed.yaml",
			edit: with("ScalingActive", "False", "LoadUnknown", "the load is not known"),
			want: health.HealthStatus{Status: health.HealthStatusHealthy, Message: "LoadUnknown: the load is not known"},
		},
		"NoTarget": {
			reason: "The Deployment comes when the pool's memory is there.", file: "no-target.yaml",
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Unavailable: Waiting for Deployment coder with the label southwest.ai/dispatcher: there is none in namespace test-rtpgz"},
		},
		"Paused": {
			reason: "Somebody paused it.", file: "paused.yaml",
			want: health.HealthStatus{Status: health.HealthStatusSuspended, Message: pausedMessage},
		},
		"PauseEnded": {
			reason: "The trace of a pause is no fault.", file: "paused.yaml", edit: remove("metadata", "annotations"),
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: newMessage},
		},
		"NewSpec": {
			reason: "A status about an older spec says nothing about this one.", file: "fixed.yaml", edit: set(int64(2), "metadata", "generation"),
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Waiting for the provider to see the newest spec"},
		},
	})
}

// What a Checkpoint shows.
func TestCheckpointHealth(t *testing.T) {
	testHealth(t, "checkpoint", map[string]healthCase{
		"New": {
			reason: "Nobody has looked at it.", file: "new.yaml",
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: newMessage},
		},
		"Creating": {
			reason: "The repository is being made.", file: "creating.yaml",
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Creating: not ready yet"},
		},
		"Ready": {
			reason: "It can be used.", file: "ready.yaml",
			want: health.HealthStatus{Status: health.HealthStatusHealthy, Message: "Checkpoints can be saved and restored"},
		},
		"Corrupt": {
			reason: "It can be used, and not all of it is what was written.", file: "corrupt.yaml",
			want: health.HealthStatus{Status: health.HealthStatusDegraded, Message: "Corrupt: Objects that are lost or are not what was written: 1. The events name them"},
		},
		"LostStore": {
			reason: "The store cannot be reached any more.", file: "lost-store.yaml",
			want: health.HealthStatus{Status: health.HealthStatusDegraded, Message: "ReconcileError: observe failed: cannot open the repository: cannot open the repository: the store says Unknown"},
		},
		"NoSecret": {
			reason: "The configuration names a Secret that is not there.", file: "no-secret.yaml",
			want: health.HealthStatus{Status: health.HealthStatusDegraded, Message: "ReconcileError: connect failed: ClusterProviderConfig test-khb24: checkpointStore.workerCredentials: there is no Secret test-jx4sm/workers"},
		},
		"Paused": {
			reason: "Somebody paused it.", file: "paused.yaml",
			want: health.HealthStatus{Status: health.HealthStatusSuspended, Message: pausedMessage},
		},
		"Behind": {
			reason: "Workers' state is not saved in time.", file: "ready.yaml", edit: with("RPOMet", "False", "Behind", "Workers whose state was in no checkpoint for more than 2m, two intervals: 1 of 3. Their monitors' logs say why"),
			want: health.HealthStatus{Status: health.HealthStatusDegraded, Message: "Behind: Workers whose state was in no checkpoint for more than 2m, two intervals: 1 of 3. Their monitors' logs say why"},
		},
		"OverQuota": {
			reason: "Nothing is refused for it.", file: "ready.yaml", edit: with("WithinQuota", "False", "QuotaExceeded", "The repository takes 2 GiB and its quota is 1Gi"),
			want: health.HealthStatus{Status: health.HealthStatusHealthy, Message: "QuotaExceeded: The repository takes 2 GiB and its quota is 1Gi"},
		},
	})
}

// What a VectorCollection shows.
func TestVectorCollectionHealth(t *testing.T) {
	degraded := func(message string) health.HealthStatus {
		return health.HealthStatus{Status: health.HealthStatusDegraded, Message: message}
	}

	testHealth(t, "vectorcollection", map[string]healthCase{
		"New": {
			reason: "Nobody has looked at it.", file: "new.yaml",
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: newMessage},
		},
		"Creating": {
			reason: "The collection is being made.", file: "creating.yaml",
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Creating: not ready yet"},
		},
		"Ready": {
			reason: "It can be used.", file: "ready.yaml",
			want: health.HealthStatus{Status: health.HealthStatusHealthy, Message: "The collection is there as asked"},
		},
		"Indexing": {
			reason: "A new index is no fault: searches are slower.", file: "ready.yaml", edit: set("Building", "status", "atProvider", "index", "state"),
			want: health.HealthStatus{Status: health.HealthStatusHealthy, Message: "The collection serves; its index is being built"},
		},
		"IndexFailed": {
			reason: "The store gave up.", file: "ready.yaml", edit: with("Ready", "False", "Unavailable", "The store gave up building the index"),
			want: degraded("Unavailable: The store gave up building the index"),
		},
		"Unavailable": {
			reason: "The store cannot be reached.", file: "unavailable.yaml",
			want: degraded(`StoreUnavailable: observe failed: cannot look at collection "test-jbd85-coder": the store says no. Does the store run, and is its endpoint right?`),
		},
		"Unauthenticated": {
			reason: "The store does not know the password.", file: "unauthenticated.yaml",
			want: degraded(`Unauthenticated: observe failed: cannot look at collection "test-j55pk-coder": password authentication failed for user "admin". Mend the credentials in the Secret that the configuration names`),
		},
		"InvalidConfiguration": {
			reason: "The configuration is not there.", file: "invalid-configuration.yaml",
			want: degraded(`InvalidConfiguration: connect failed: there is no ProviderConfig test-gtlvj/memory. Mend what spec.providerConfigRef names, or what that refers to`),
		},
		"Certificate": {
			reason: "The store's certificate is not trusted.", file: "certificate.yaml",
			want: degraded(`CertificateInvalid: observe failed: cannot look at collection "test-9gj6m-coder": the store says no. Renew the store's certificate, or tell the configuration its certificate authority`),
		},
		"Quota": {
			reason: "The store is full.", file: "quota.yaml",
			want: degraded(`QuotaExceeded: create failed: cannot create collection "test-4gmjb-coder": the store says no. Make room in the store`),
		},
		"Permission": {
			reason: "The store does not let us.", file: "permission.yaml",
			want: degraded(`PermissionDenied: create failed: cannot create collection "test-h9j55-coder": the store says no. Let the configuration's credentials make and read collections`),
		},
	})
}

// What a configuration shows, which nobody reports on.
func TestConfigurationHealth(t *testing.T) {
	testHealth(t, "configuration", map[string]healthCase{
		"Used": {
			reason: "It says how many use it.", file: "clusterproviderconfig.yaml", edit: set(int64(3), "status", "users"),
			want: health.HealthStatus{Status: health.HealthStatusHealthy, Message: "Resources that use it: 3"},
		},
		"Unused": {
			reason: "No status is no fault of it.", file: "providerconfig.yaml",
			want: health.HealthStatus{Status: health.HealthStatusHealthy},
		},
		"Usage": {
			reason: "It has no status at all.", file: "usage.yaml",
			want: health.HealthStatus{Status: health.HealthStatusHealthy},
		},
	})
}

// What an Application inside another shows, and so when the wave after it begins.
func TestApplicationHealth(t *testing.T) {
	ended := func(phase, sync, commit string) func(*testing.T, *unstructured.Unstructured) {
		return func(t *testing.T, o *unstructured.Unstructured) {
			t.Helper()
			set(phase, "status", "operationState", "phase")(t, o)
			set("said", "status", "operationState", "message")(t, o)
			set(commit, "status", "operationState", "syncResult", "revision")(t, o)
			set(sync, "status", "sync", "status")(t, o)
		}
	}

	const commit = "bb3ffda47a8308df005ef0b3445d9d01a5a1982d"

	testHealth(t, "application", map[string]healthCase{
		"New": {
			reason: "Nobody has looked at it.", file: "first-wave.yaml", edit: remove("status"),
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Waiting for Argo CD to look at it"},
		},
		"NeverSynced": {
			reason: "What is not there yet does not make it unhealthy.", file: "first-wave.yaml", edit: remove("status", "operationState"),
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Waiting to be synced"},
		},
		"FirstWave": {
			reason: "It calls itself healthy, and most of it is to come.", file: "first-wave.yaml",
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Waiting for its sync to end"},
		},
		"AllWaves": {
			reason: "All of it is there.", file: "first-wave.yaml", edit: ended("Succeeded", "Synced", commit),
			want: health.HealthStatus{Status: health.HealthStatusHealthy},
		},
		"Degraded": {
			reason: "When nothing of it is to come, it is as healthy as it says.", file: "first-wave.yaml",
			edit: func(t *testing.T, o *unstructured.Unstructured) {
				t.Helper()
				ended("Succeeded", "Synced", commit)(t, o)
				set(map[string]any{"status": "Degraded", "message": "a pool is stuck"}, "status", "health")(t, o)
			},
			want: health.HealthStatus{Status: health.HealthStatusDegraded, Message: "a pool is stuck"},
		},
		"NotLookedAtAgain": {
			reason: "Its sync has brought all of this commit.", file: "first-wave.yaml", edit: ended("Succeeded", "OutOfSync", commit),
			want: health.HealthStatus{Status: health.HealthStatusHealthy},
		},
		"NewCommit": {
			reason: "A sync of another commit says nothing of this one.", file: "first-wave.yaml", edit: ended("Succeeded", "OutOfSync", "older"),
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Waiting to be synced"},
		},
		"Failed": {
			reason: "Some of it is not there, and does not come by itself.", file: "first-wave.yaml", edit: ended("Failed", "OutOfSync", commit),
			want: health.HealthStatus{Status: health.HealthStatusDegraded, Message: "said"},
		},
		"SyncedByPeople": {
			reason: "Nobody is to wait for a person.", file: "first-wave.yaml",
			edit: func(t *testing.T, o *unstructured.Unstructured) {
				t.Helper()
				remove("status", "operationState")(t, o)
				remove("spec", "syncPolicy")(t, o)
			},
			want: health.HealthStatus{Status: health.HealthStatusHealthy},
		},
	})
}
