package compose

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/structpb"
)

// A view is what a person sees of a pool.
type view struct {
	Phase, State        string
	Replicas, Available int64
	Ready               string
	TTL                 time.Duration
}

// A pool's phase and state follow from what was observed and from what was said before.
func TestStatus(t *testing.T) {
	type deployment struct {
		asked, replicas, available int64
		stuck, rolling             bool
	}

	type said struct {
		phase, state        string
		replicas, available int64
	}

	cases := map[string]struct {
		reason  string
		want    int64
		suspend bool
		said    said
		seen    *deployment
		view    view
	}{
		"New": {
			reason: "A pool of which nothing is there starts.", want: 3,
			view: view{Phase: "Initializing", State: "Starting", Ready: "READY_FALSE", TTL: ttlUnsettled},
		},
		"Starting": {
			reason: "Workers that are not all there for the first time start.", want: 3,
			said: said{phase: "Initializing", state: "Starting"}, seen: &deployment{asked: 3, replicas: 3, available: 2},
			view: view{Phase: "Initializing", State: "Starting", Replicas: 3, Available: 2, Ready: "READY_FALSE", TTL: ttlUnsettled},
		},
		"Ready": {
			reason: "All workers are there.", want: 3,
			said: said{phase: "Initializing", state: "Starting", replicas: 3, available: 2}, seen: &deployment{asked: 3, replicas: 3, available: 3},
			view: view{Phase: "Ready", State: "Steady", Replicas: 3, Available: 3, Ready: "READY_TRUE", TTL: ttlUnsettled},
		},
		"ScalingOut": {
			reason: "A pool that grows goes on serving.", want: 10,
			said: said{phase: "Ready", state: "Steady", replicas: 3, available: 3}, seen: &deployment{asked: 3, replicas: 3, available: 3},
			view: view{Phase: "Ready", State: "ScalingOut", Replicas: 3, Available: 3, Ready: "READY_TRUE", TTL: ttlUnsettled},
		},
		"ScalingOutGoesOn": {
			reason: "Workers that were added but do not serve yet are no loss.", want: 10,
			said: said{phase: "Ready", state: "ScalingOut", replicas: 10, available: 3}, seen: &deployment{asked: 10, replicas: 10, available: 4},
			view: view{Phase: "Ready", State: "ScalingOut", Replicas: 10, Available: 3, Ready: "READY_TRUE", TTL: ttlUnsettled},
		},
		"ScalingOutInQuarters": {
			reason: "Under way a figure is said anew when it has moved by a quarter of the pool.", want: 10,
			said: said{phase: "Ready", state: "ScalingOut", replicas: 10, available: 3}, seen: &deployment{asked: 10, replicas: 10, available: 6},
			view: view{Phase: "Ready", State: "ScalingOut", Replicas: 10, Available: 6, Ready: "READY_TRUE", TTL: ttlUnsettled},
		},
		"ScalingIn": {
			reason: "A pool that shrinks goes on serving.", want: 3,
			said: said{phase: "Ready", state: "Steady", replicas: 10, available: 10}, seen: &deployment{asked: 3, replicas: 7, available: 7},
			view: view{Phase: "Ready", State: "ScalingIn", Replicas: 7, Available: 7, Ready: "READY_TRUE", TTL: ttlUnsettled},
		},
		"Degraded": {
			reason: "A worker that is lost without a change is a loss, and the figures are exact when that begins.", want: 10,
			said: said{phase: "Ready", state: "Steady", replicas: 10, available: 10}, seen: &deployment{asked: 10, replicas: 10, available: 9},
			view: view{Phase: "Ready", State: "Degraded", Replicas: 10, Available: 9, Ready: "READY_TRUE", TTL: ttlUnsettled},
		},
		"RollingOut": {
			reason: "Workers that are replaced are no loss, not even when all are there between two of them.", want: 10,
			said: said{phase: "Ready", state: "RollingOut", replicas: 10, available: 9}, seen: &deployment{asked: 10, replicas: 10, available: 10, rolling: true},
			view: view{Phase: "Ready", State: "RollingOut", Replicas: 10, Available: 9, Ready: "READY_TRUE", TTL: ttlUnsettled},
		},
		"NoneLeft": {
			reason: "A pool that lost all its workers cannot be used.", want: 2,
			said: said{phase: "Ready", state: "Steady", replicas: 2, available: 2}, seen: &deployment{asked: 2, replicas: 2, available: 0},
			view: view{Phase: "Initializing", State: "Degraded", Replicas: 2, Available: 0, Ready: "READY_FALSE", TTL: ttlUnsettled},
		},
		"Stuck": {
			reason: "Workers that make no progress need somebody.", want: 3,
			said: said{phase: "Initializing", state: "Starting"}, seen: &deployment{asked: 3, replicas: 3, available: 1, stuck: true},
			view: view{Phase: "Failed", State: "Stuck", Replicas: 3, Available: 1, Ready: "READY_FALSE", TTL: ttlUnsettled},
		},
		"Suspending": {
			reason: "Workers go before the pool is suspended.", want: 3, suspend: true,
			said: said{phase: "Ready", state: "Steady", replicas: 3, available: 3}, seen: &deployment{asked: 3, replicas: 3, available: 3},
			view: view{Phase: "Ready", State: "Suspending", Replicas: 3, Available: 3, Ready: "READY_TRUE", TTL: ttlUnsettled},
		},
		"Suspended": {
			reason: "A pool without workers, on request, is as it should be.", want: 3, suspend: true,
			said: said{phase: "Ready", state: "Suspending", replicas: 3, available: 3}, seen: &deployment{},
			view: view{Phase: "Suspended", State: "Suspended", Ready: "READY_TRUE", TTL: ttlUnsettled},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			xr := parseStruct(t, fmt.Sprintf(`{metadata: {name: pool, namespace: team-a}, spec: {role: coder, modelRef: gpt-4, replicas: %d, suspend: %t}}`, tc.want, tc.suspend))
			if s := tc.said; s.phase != "" {
				status := object{"currentPhase": s.phase, "state": s.state}
				if s.replicas > 0 {
					status["replicas"], status["availableReplicas"] = s.replicas, s.available
				}

				xr.Fields["status"] = asValue(status)
			}

			observed := map[string]*structpb.Struct{resourceAgentScaler: parseStruct(t, scalerYAML)}
			if d := tc.seen; d != nil {
				progressing, reason := "True", "NewReplicaSetAvailable"
				if d.stuck {
					progressing, reason = "False", "ProgressDeadlineExceeded"
				}

				if d.rolling {
					reason = "ReplicaSetUpdated"
				}

				observed[resourceDeployment] = parseStruct(t, fmt.Sprintf(`{metadata: {generation: 1}, spec: {replicas: %d}, status: {observedGeneration: 1, replicas: %d, availableReplicas: %d, conditions: [{type: Progressing, status: %q, reason: %s}]}}`,
					d.asked, d.replicas, d.available, progressing, reason))
			}

			rsp := run(t, newFunction(), request(t, xr, observed))
			status := field(rsp.GetDesired().GetComposite().GetResource(), "status").GetStructValue()
			got := view{
				Phase: text(status, "currentPhase"), State: text(status, "state"),
				Replicas: zeroIfNil(number(status, "replicas")), Available: zeroIfNil(number(status, "availableReplicas")),
				Ready: rsp.GetDesired().GetComposite().GetReady().String(), TTL: rsp.GetMeta().GetTtl().AsDuration(),
			}

			if diff := cmp.Diff(tc.view, got); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// A pool is left alone once what is said of it is what it is, and its events are heard.
func TestSettled(t *testing.T) {
	xr := readStruct(t, root+"/examples/quickstart/aidispatcher.yaml")
	observed := map[string]*structpb.Struct{resourceDeployment: parseStruct(t, deploymentYAML), resourceAgentScaler: parseStruct(t, scalerYAML)}
	first := run(t, newFunction(), request(t, xr, observed))

	told := clone(xr)
	told.Fields["status"] = field(first.GetDesired().GetComposite().GetResource(), "status")
	deaf := clone(told)
	deaf.Fields["status"] = structpb.NewStructValue(clone(field(told, "status").GetStructValue()))
	field(deaf, "status").GetStructValue().Fields["conditions"] = asValue(list{object{"type": "Responsive", "status": "False", "reason": "WatchCircuitOpen"}})

	for name, tc := range map[string]struct {
		reason string
		xr     *structpb.Struct
		want   time.Duration
	}{
		"News": {reason: "What has just changed is looked at again.", xr: xr, want: ttlUnsettled},
		"Told": {reason: "What has not is left alone.", xr: told, want: ttlSettled},
		"Deaf": {reason: "While events are dropped, an edit would be too.", xr: deaf, want: ttlUnsettled},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, run(t, newFunction(), request(t, tc.xr, observed)).GetMeta().GetTtl().AsDuration()); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
