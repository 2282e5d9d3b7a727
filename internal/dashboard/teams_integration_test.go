//go:build integration

package dashboard

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/slot"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

func to[T any](v T) *T { return &v }

// grant gives the provider what cluster/install gives it, and what Crossplane gives every provider.
func grant(t *testing.T) {
	t.Helper()

	b, err := os.ReadFile(filepath.Join("..", "..", "cluster", "install", "base", "rbac.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	docs := append(bytes.Split(b, []byte("\n---\n")), []byte(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: every-provider}
rules:
- {apiGroups: [agent.southwest.ai], resources: ["*"], verbs: [get, list, watch, update, patch, create]}
- {apiGroups: ["", coordination.k8s.io], resources: [secrets, configmaps, events, leases], verbs: ["*"]}
`), []byte(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: every-provider}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: every-provider}
subjects: [{kind: ServiceAccount, namespace: crossplane-system, name: provider-aidispatcher}]
`))

	for _, doc := range docs {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(doc, &u.Object); err != nil {
			t.Fatal(err)
		}

		create(t, u)
		t.Cleanup(func() { kube.Delete(t.Context(), u) })
	}
}

// twoTeams are a cluster with pools as they are on a working day.
func twoTeams(t *testing.T) {
	t.Helper()
	grant(t)
	newNamespace(t, "team-a")
	newNamespace(t, "team-b")

	at := func(ago time.Duration) metav1.Time { return metav1.NewTime(time.Now().Add(-ago).Truncate(time.Second)) }
	last := func(from, to int, reason string, ago time.Duration) fields {
		return fields{"time": at(ago).UTC().Format(time.RFC3339), "from": from, "to": to, "reason": reason, "message": "as the load"}
	}

	newPool(t, "team-a", "coder-agent-pool", "coder", fields{
		"currentPhase": "Processing", "state": "ScalingIn", "replicas": 5, "availableReplicas": 4, "activeWorkers": 3, "queueDepth": 17, "tokenUsage": 1482093,
		"tokensPerMinute": 18240, "lastScale": last(6, 5, "LoadLower", 3*time.Minute),
		"memory":     fields{"collection": "coder-memory", "store": "pgvector", "dim": 1536, "ready": true},
		"checkpoint": fields{"ready": true, "slots": 6, "hibernated": 1, "rpoMet": true, "corrupt": 0},
		"conditions": []fields{
			condition("Ready", "True", "Available", "", 50*time.Minute), condition("Synced", "True", "ReconcileSuccess", "", 50*time.Minute),
			condition("Accepted", "True", "Accepted", "role coder is in the platform's catalog", 26*time.Hour),
			condition("MemoryReady", "True", "Ready", "VectorCollection coder-agent-pool is ready", 26*time.Hour),
			condition("CheckpointReady", "True", "Ready", "Checkpoint coder-agent-pool is ready", 26*time.Hour),
			condition("ScalingActive", "True", "LoadKnown", "the size follows the load", 26*time.Hour),
			condition("WorkersAvailable", "False", "SomeUnavailable", "not all workers are available", 2*time.Minute),
		},
	})
	newPool(t, "team-a", "night-reviewers", "reviewer", fields{"currentPhase": "Suspended", "state": "Suspended", "replicas": 0, "availableReplicas": 0, "tokenUsage": 88120, "lastScale": last(4, 0, "Suspended", 9*time.Hour)})
	newPool(t, "team-b", "planner-pool", "planner", fields{
		"currentPhase": "Ready", "state": "Steady", "replicas": 3, "availableReplicas": 3, "activeWorkers": 0, "queueDepth": 2, "tokenUsage": 240311, "tokensPerMinute": 310,
		"lastScale": last(2, 3, "SizeChanged", 28*time.Hour),
	})
	newPool(t, "team-b", "release-reviewers", "reviewer", fields{
		"currentPhase": "Failed", "state": "Stuck", "replicas": 2, "availableReplicas": 0, "lastScale": last(0, 2, "InitialSize", 22*time.Minute),
		"conditions": []fields{condition("WorkersAvailable", "False", "WorkersStuck", "no worker has become available for long", 12*time.Minute)},
	})

	scaleOut, scaleIn := at(38*time.Minute), at(3*time.Minute)
	newScaler(t, "team-a", "coder-agent-pool", v1alpha1.AgentScalerObservation{
		Replicas: to[int32](5), DesiredReplicas: to[int32](4), ActiveWorkers: to[int32](3), QueueDepth: to[int64](17), TokenUsage: to[int64](1482093), TokensPerMinute: to[int64](18240),
		Load: &v1alpha1.ScalingLoad{
			Time: at(8 * time.Second), Reason: "LoadLower", Message: "17 unfinished tasks at 5 per worker want 4 workers, and have for 5 minutes.",
			Triggers: []v1alpha1.TriggerLoad{{Type: "QueueDepth", Value: "17", Target: "5", Want: to[int32](4)}},
		},
		Decisions: []v1alpha1.ScalingDecision{
			{
				LastScale: v1alpha1.LastScale{Time: scaleIn, From: 6, To: 5, Reason: "LoadLower", Message: "QueueDepth 22 at 5 per worker wants 5 workers; the highest in the last 5 minutes was 5"},
				Removed:   []v1alpha1.RemovedWorker{{Time: at(2 * time.Minute), Name: "coder-agent-pool-59f688ff44-b92zv", Slot: to[int32](4), Checkpoint: "4/0000000005-0000000031"}},
			},
			{LastScale: v1alpha1.LastScale{Time: scaleOut, From: 3, To: 6, Reason: "LoadHigher", Message: "QueueDepth 29 at 5 per worker wants 6 workers"}},
		},
	})
	newScaler(t, "team-b", "planner-pool", v1alpha1.AgentScalerObservation{Replicas: to[int32](3), QueueDepth: to[int64](2), ActiveWorkers: to[int32](0), TokensPerMinute: to[int64](310)})
	workersOfTeamA(t)
}

// workersOfTeamA are five workers of one pool: two busy, one that drains, one without an answer and one that waits for a slot.
func workersOfTeamA(t *testing.T) {
	t.Helper()

	const pool = "coder-agent-pool"

	saved := func(position string, ago time.Duration) *monitorapi.Checkpoint {
		when := time.Now().Add(-ago)

		return &monitorapi.Checkpoint{Position: position, Time: &when}
	}
	does := func(state monitorapi.State, ready bool, flight, depth, tokens int64, c *monitorapi.Checkpoint) *monitorapi.Status {
		return &monitorapi.Status{State: state, Ready: ready, Checkpoint: c, Tokens: &monitorapi.Tokens{Input: tokens}, Tasks: monitorapi.Tasks{Known: true, InFlight: &flight, QueueDepth: &depth}}
	}

	var claims []slot.Claim

	for i, w := range []struct {
		name string
		says *monitorapi.Status
	}{
		{"6h292", does(monitorapi.StateActive, true, 2, 7, 412903, saved("0000000001-0000000118", 21*time.Second))},
		{"9fzt9", does(monitorapi.StateActive, true, 1, 6, 388110, saved("0000000002-0000000094", 48*time.Second))},
		{"k4mvl", does(monitorapi.StateDraining, false, 1, 4, 291004, saved("0000000006-0000000012", 70*time.Second))},
		{"x7c2d", nil},
	} {
		name := pool + "-59f688ff44-" + w.name
		p := newWorker(t, "team-a", pool, name, "127.0.21."+string(rune('1'+i)), w.says)
		claims = append(claims, slot.Claim{Slot: i, Epoch: int64([]int{1, 2, 6, 7}[i]), Pod: name, UID: string(p.UID)})
	}

	waits := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: pool + "-59f688ff44-zz5qp", Labels: map[string]string{monitorapi.LabelDispatcher: pool}},
		Spec:       corev1.PodSpec{SchedulingGates: []corev1.PodSchedulingGate{{Name: monitorapi.SlotGate}}, Containers: []corev1.Container{{Name: "agent", Image: "agent:v1"}}},
	}
	create(t, waits)
	newLedger(t, "team-a", pool, slot.Ledger{Epoch: 7, Claims: claims, Kept: []int{0, 1, 2, 3, 4}})
}
