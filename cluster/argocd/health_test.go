package argocd_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// read returns an object as a cluster had it.
func read(t *testing.T, path string) *unstructured.Unstructured {
	t.Helper()

	b, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		t.Fatal(err)
	}

	// As Argo CD reads objects: whole numbers are int64.
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal(b, &o.Object); err != nil {
		t.Fatal(err)
	}

	j, err := o.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}

	if err := o.UnmarshalJSON(j); err != nil {
		t.Fatal(err)
	}

	return o
}

// healthOf returns what Argo CD with these overrides shows of an object.
func healthOf(t *testing.T, with map[string]v1alpha1.ResourceOverride, o *unstructured.Unstructured) health.HealthStatus {
	t.Helper()

	h, err := health.GetResourceHealth(o, lua.ResourceHealthOverrides(with))
	if err != nil {
		t.Fatal(err)
	}

	if h == nil {
		t.Fatal("Argo CD knows no health of it")
	}

	return *h
}

// set returns an edit of one field.
func set(value any, path ...string) func(*testing.T, *unstructured.Unstructured) {
	return func(t *testing.T, o *unstructured.Unstructured) {
		t.Helper()

		if err := unstructured.SetNestedField(o.Object, value, path...); err != nil {
			t.Fatal(err)
		}
	}
}

// remove returns an edit that removes one field.
func remove(path ...string) func(*testing.T, *unstructured.Unstructured) {
	return func(_ *testing.T, o *unstructured.Unstructured) { unstructured.RemoveNestedField(o.Object, path...) }
}

// with returns an edit that sets a condition.
func with(typ, status, reason, message string) func(*testing.T, *unstructured.Unstructured) {
	return func(t *testing.T, o *unstructured.Unstructured) {
		t.Helper()

		was, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
		if err != nil {
			t.Fatal(err)
		}

		now := []any{map[string]any{
			"type": typ, "status": status, "reason": reason, "message": message, "lastTransitionTime": "2026-01-02T03:04:05Z",
		}}

		for _, c := range was {
			if m, ok := c.(map[string]any); ok && m["type"] != typ {
				now = append(now, c)
			}
		}

		if err := unstructured.SetNestedSlice(o.Object, now, "status", "conditions"); err != nil {
			t.Fatal(err)
		}
	}
}

// A healthCase is an object as it was seen, what is changed of it, and what Argo CD should show.
type healthCase struct {
	reason string
	file   string
	edit   func(*testing.T, *unstructured.Unstructured)
	want   health.HealthStatus
}

func testHealth(t *testing.T, dir string, cases map[string]healthCase) {
	t.Helper()

	ours := overrides(t)

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := read(t, filepath.Join("testdata/health", dir, tc.file))
			if tc.edit != nil {
				tc.edit(t, o)
			}

			if diff := cmp.Diff(tc.want, healthOf(t, ours, o)); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

const leftAlone = "Crossplane leaves this pool alone: remove the annotation crossplane.io/paused to go on"

// What a pool shows while it comes to be, serves, and is put aside.
func TestPoolHealth(t *testing.T) {
	testHealth(t, "pool", map[string]healthCase{
		"NoStatus": {
			reason: "A pool that nobody has looked at is not healthy.", file: "starting.yaml", edit: remove("status"),
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Waiting for Crossplane. If it takes long: is there a Composition, and are the Function and the Provider healthy?"},
		},
		"Starting": {
			reason: "The first workers are on their way.", file: "starting.yaml",
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Starting: not all workers are available"},
		},
		"MemoryNotThereYet": {
			reason: "A collection that is being made is no fault.", file: "memory-not-there-yet.yaml",
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Waiting for the memory or the checkpoints that a worker loads before it starts"},
		},
		"Ready": {
			reason: "All workers serve.", file: "ready.yaml",
			want: health.HealthStatus{Status: health.HealthStatusHealthy, Message: "Serving"},
		},
		"Processing": {
			reason: "A busy pool is healthy.", file: "ready.yaml", edit: set("Processing", "status", "currentPhase"),
			want: health.HealthStatus{Status: health.HealthStatusHealthy, Message: "Serving"},
		},
		"ScalingOut": {
			reason: "A pool that follows its load does not flap.", file: "scaling-out.yaml",
			want: health.HealthStatus{Status: health.HealthStatusHealthy, Message: "Serving"},
		},
		"ScalingIn": {
			reason: "A pool that follows its load does not flap.", file: "scaling-in.yaml",
			want: health.HealthStatus{Status: health.HealthStatusHealthy, Message: "Serving"},
		},
		"RollingOut": {
			reason: "A new version is not there before all workers run it.", file: "rolling-out.yaml",
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Workers are being replaced, a few at a time; the others serve"},
		},
		"Suspending": {
			reason: "Workers save their state before they go.", file: "suspending.yaml",
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: "The workers save their state and go, as spec.suspend asks"},
		},
		"Suspended": {
			reason: "A pool that is put aside is no fault, and not healthy either.", file: "suspended.yaml",
			want: health.HealthStatus{Status: health.HealthStatusSuspended, Message: "No workers, as asked; all else is kept. Set spec.suspend to false to go on"},
		},
		"Resumed": {
			reason: "A status from before the resume is no suspension.", file: "suspended.yaml", edit: set(false, "spec", "suspend"),
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Waiting for the first workers"},
		},
		"Paused": {
			reason: "A pool that Crossplane leaves alone shows that before all else.", file: "stuck.yaml",
			edit: set("true", "metadata", "annotations", "crossplane.io/paused"),
			want: health.HealthStatus{Status: health.HealthStatusSuspended, Message: leftAlone},
		},
		"PauseEnded": {
			reason: "The trace of a pause is no fault.", file: "ready.yaml", edit: with("Synced", "False", "ReconcilePaused", "Reconciliation is paused"),
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Waiting for Crossplane. If it takes long: is there a Composition, and are the Function and the Provider healthy?"},
		},
		"NewSpec": {
			reason: "A status about an older spec says nothing about this one, or a sync would be over before it began.",
			file:   "ready.yaml", edit: set(int64(3), "metadata", "generation"),
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Waiting for Crossplane to see the newest spec"},
		},
		"OtherComposed": {
			reason: "A platform may compose more than the pool.", file: "ready.yaml", edit: with("Ready", "False", "Creating", "Unready resources: bucket"),
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Unready resources: bucket"},
		},
		"ScalerPaused": {
			reason: "Somebody paused the AgentScaler: the pool serves, and its size is nobody's.", file: "ready.yaml",
			edit: with("ScalingActive", "False", "ReconcilePaused", "Reconciliation is paused via the pause annotation"),
			want: health.HealthStatus{Status: health.HealthStatusHealthy, Message: "Serving. Its size is not kept: Reconciliation is paused via the pause annotation"},
		},
		"BeingDeleted": {
			reason: "Argo CD's own word for what is being deleted.", file: "ready.yaml",
			edit: set("2026-01-02T03:04:05Z", "metadata", "deletionTimestamp"),
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Pending deletion"},
		},
		"ClaimWaits": {
			reason: "A claim whose composite resource is not there yet.", file: "starting.yaml",
			edit: func(t *testing.T, o *unstructured.Unstructured) {
				t.Helper()
				remove("status")(t, o)
				with("Ready", "False", "Waiting", "Claim is waiting for composite resource to become Ready")(t, o)
				with("Synced", "True", "ReconcileSuccess", "")(t, o)
			},
			want: health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Waiting for the first workers"},
		},
		"XAIDispatcher": {
			reason: "The composite resource behind a claim is judged alike.", file: "suspended.yaml", edit: set("XAIDispatcher", "kind"),
			want: health.HealthStatus{Status: health.HealthStatusSuspended, Message: "No workers, as asked; all else is kept. Set spec.suspend to false to go on"},
		},
	})
}

// What a pool shows when somebody has to act, and that it says what for.
func TestPoolDegraded(t *testing.T) {
	degraded := func(message string) health.HealthStatus {
		return health.HealthStatus{Status: health.HealthStatusDegraded, Message: message}
	}

	testHealth(t, "pool", map[string]healthCase{
		"UnknownRole": {
			reason: "The catalog's word comes first.", file: "unknown-role.yaml",
			want: degraded(`UnknownRole: role "tester" is not in the platform's catalog, which has coder, planner, reviewer: choose one of these or ask the platform team to add it`),
		},
		"NotApplied": {
			reason: "Crossplane cannot make what the function asks for.", file: "ready.yaml",
			edit: with("Synced", "False", "ReconcileError", "Unsynced resources: deployment"),
			want: degraded("Unsynced resources: deployment"),
		},
		"Stuck": {
			reason: "Workers that do not start.", file: "stuck.yaml",
			want: degraded("Stuck: not all workers are available, and none has become so for long: look at the workers' events and logs"),
		},
		"WorkersLost": {
			reason: "Fewer workers than there should be, and no change that explains it.", file: "workers-lost.yaml",
			want: degraded("not all workers are available: look at the workers' events and logs"),
		},
		"NoneLeft": {
			reason: "A pool that lost all its workers is not one that starts.", file: "none-left.yaml",
			want: degraded("not all workers are available: look at the workers' events and logs"),
		},
		"MemoryRefused": {
			reason: "A memory that cannot become what is asked for.", file: "memory-refused.yaml",
			want: degraded("ImmutableMismatch: VectorCollection coder-agent-pool is not ready: the collection has dimension 768 and 1536 is asked for"),
		},
		"MemoryNotConfigured": {
			reason: "A configuration that is not there will not come by waiting.", file: "memory-not-configured.yaml",
			want: degraded("InvalidConfiguration: VectorCollection coder-agent-pool is not ready: there is no ProviderConfig vectors"),
		},
		"MemoryLost": {
			reason: "Workers serve, and their memory does not.", file: "memory-lost.yaml",
			want: degraded("StoreUnavailable: VectorCollection coder-agent-pool is not ready: connection refused"),
		},
		"CheckpointsLost": {
			reason: "Workers serve, and nothing is saved.", file: "ready.yaml",
			edit: with("CheckpointReady", "False", "ReconcileError", "Checkpoint coder-agent-pool is not ready: cannot open the repository"),
			want: degraded("ReconcileError: Checkpoint coder-agent-pool is not ready: cannot open the repository"),
		},
		"Corrupt": {
			reason: "Stored state is not what was written.", file: "ready.yaml", edit: set(int64(2), "status", "checkpoint", "corrupt"),
			want: degraded("Stored objects that are lost or are not what was written: 2. See the events of the pool's Checkpoint"),
		},
	})
}

// A package has some minutes to become healthy, in any zone of time.
func TestPackageHealth(t *testing.T) {
	was := time.Local
	time.Local = time.FixedZone("far", -11*60*60) // Lua's clock is that of the place.

	t.Cleanup(func() { time.Local = was })

	condition := func(typ, status, reason, message string, age time.Duration) map[string]any {
		return map[string]any{
			"type": typ, "status": status, "reason": reason, "message": message,
			"lastTransitionTime": time.Now().Add(-age).UTC().Format(time.RFC3339),
		}
	}

	installed := condition("Installed", "True", "ActivePackageRevision", "", time.Hour)
	starts := `post establish runtime hook failed for package: provider package deployment has no condition of type "Available" yet`

	ours := overrides(t)

	for name, tc := range map[string]struct {
		reason      string
		annotations map[string]any
		conditions  []any
		want        health.HealthStatus
	}{
		"NoStatus": {
			reason: "Nobody has looked at it.",
			want:   health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Waiting for Crossplane to install the package"},
		},
		"Unpacking": {
			reason:     "A package that is being fetched is on its way.",
			conditions: []any{condition("Installed", "False", "UnpackingPackage", "", time.Minute)},
			want:       health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Installed: UnpackingPackage"},
		},
		"Starts": {
			reason:     "A provider whose pod starts is on its way, or a sync would fail here each time.",
			conditions: []any{installed, condition("Healthy", "False", "UnhealthyPackageRevision", starts, 4*time.Minute)},
			want:       health.HealthStatus{Status: health.HealthStatusProgressing, Message: "Healthy: UnhealthyPackageRevision: " + starts},
		},
		"DoesNotStart": {
			reason:     "One whose pod does not start for long is not.",
			conditions: []any{installed, condition("Healthy", "False", "UnhealthyPackageRevision", starts, 6*time.Minute)},
			want:       health.HealthStatus{Status: health.HealthStatusDegraded, Message: "Healthy: UnhealthyPackageRevision: " + starts},
		},
		"NotFetched": {
			reason:     "A package that cannot be fetched.",
			conditions: []any{condition("Installed", "False", "UnpackingPackage", "cannot unpack package: manifest unknown", time.Hour)},
			want:       health.HealthStatus{Status: health.HealthStatusDegraded, Message: "Installed: UnpackingPackage: cannot unpack package: manifest unknown"},
		},
		"Healthy": {
			reason:     "Installed and healthy.",
			conditions: []any{installed, condition("Healthy", "True", "HealthyPackageRevision", "", time.Hour)},
			want:       health.HealthStatus{Status: health.HealthStatusHealthy, Message: "Installed and healthy"},
		},
		"Paused": {
			reason: "Somebody paused it.", annotations: map[string]any{"crossplane.io/paused": "true"},
			want: health.HealthStatus{Status: health.HealthStatusSuspended, Message: "Crossplane leaves this package alone: remove the annotation crossplane.io/paused to go on"},
		},
	} {
		for _, kind := range []string{"Provider", "Function", "Configuration"} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				o := &unstructured.Unstructured{Object: map[string]any{
					"apiVersion": "pkg.crossplane.io/v1", "kind": kind,
					"metadata": map[string]any{"name": "southwest-ai", "annotations": tc.annotations},
				}}
				if tc.conditions != nil {
					set(tc.conditions, "status", "conditions")(t, o)
				}

				if diff := cmp.Diff(tc.want, healthOf(t, ours, o)); diff != "" {
					t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
				}
			})
		}
	}
}

// Why packages need a health of ours: Argo CD's own fails a sync at a Provider that starts.
func TestOwnPackageHealth(t *testing.T) {
	o := read(t, "testdata/health/package/starts.yaml")

	if got := healthOf(t, nil, o).Status; got != health.HealthStatusDegraded {
		t.Errorf("Argo CD's own health of a Provider that starts is %s: settings/packages is needed no more", got)
	}
}
