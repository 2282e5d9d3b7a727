package agentscaler

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/load"
	"github.com/southwest-ai/agent-operator/internal/scale"
)

func ptr[T any](v T) *T { return &v }

// wanted returns what is asked for where no load decides.
func wanted(p v1alpha1.AgentScalerParameters) aim {
	if p.Suspend {
		return aim{}
	}

	return aim{Want: firstSize(p)}
}

func TestFirstSize(t *testing.T) {
	trigger := []v1alpha1.Trigger{{Type: "QueueDepth", Target: 5}}

	cases := map[string]struct {
		reason string
		p      v1alpha1.AgentScalerParameters
		want   int32
	}{
		"Fixed":     {reason: "Without triggers the size is the one asked for.", p: v1alpha1.AgentScalerParameters{Replicas: 3}, want: 3},
		"Zero":      {reason: "Nobody is kept from asking for none.", p: v1alpha1.AgentScalerParameters{}, want: 0},
		"Suspended": {reason: "A suspended pool has none, whatever else is asked.", p: v1alpha1.AgentScalerParameters{Replicas: 3, Suspend: true, Triggers: trigger, MinReplicaCount: ptr[int32](2)}, want: 0},
		"Bounds":    {reason: "The bounds are for scaling on load and mean nothing without it.", p: v1alpha1.AgentScalerParameters{Replicas: 3, MinReplicaCount: ptr[int32](5)}, want: 3},
		"Low":       {reason: "With triggers the first size is within the bounds.", p: v1alpha1.AgentScalerParameters{Replicas: 3, Triggers: trigger, MinReplicaCount: ptr[int32](5)}, want: 5},
		"High":      {reason: "With triggers the first size is within the bounds.", p: v1alpha1.AgentScalerParameters{Replicas: 30, Triggers: trigger, MaxReplicaCount: ptr[int32](9)}, want: 9},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := wanted(tc.p).Want; got != tc.want {
				t.Errorf("%s\nfirstSize(...) = %d, want %d", tc.reason, got, tc.want)
			}
		})
	}
}

// lastSeen is a status in which the target had one size and should have had another.
func lastSeen(replicas, desired int32, reason xpv2.ConditionReason) v1alpha1.AgentScalerStatus {
	s := v1alpha1.AgentScalerStatus{AtProvider: v1alpha1.AgentScalerObservation{Replicas: &replicas, DesiredReplicas: &desired}}
	s.SetConditions(xpv2.Condition{Type: v1alpha1.ConditionScalingActive, Reason: reason})

	return s
}

func recorded(s v1alpha1.AgentScalerStatus, from, to int32, reason string) v1alpha1.AgentScalerStatus {
	s.AtProvider.LastScale = &v1alpha1.LastScale{From: from, To: to, Reason: reason}

	return s
}

func TestDecide(t *testing.T) {
	fixed, suspended := v1alpha1.ReasonFixedSize, v1alpha1.ReasonSuspended
	triggered := v1alpha1.AgentScalerParameters{Replicas: 3, Triggers: []v1alpha1.Trigger{{Type: v1alpha1.TriggerQueueDepth, Target: 5}}}

	cases := map[string]struct {
		reason string
		last   v1alpha1.AgentScalerStatus
		p      v1alpha1.AgentScalerParameters
		size   int32
		load   *load.View
		want   *decision
	}{
		"Load": {
			reason: "A size that follows the load has the load's reason.",
			last:   lastSeen(3, 3, v1alpha1.ReasonLoadKnown),
			p:      triggered,
			size:   3,
			load:   &load.View{Decision: scale.Decision{Replicas: 7, Reason: scale.ReasonLoadHigher, Message: "from 3 to 7 of 7 wanted: QueueDepth 33 at 5 per worker wants 7"}},
			want:   &decision{From: 3, To: 7, Reason: scale.ReasonLoadHigher, Message: "Deployment coder: from 3 to 7 of 7 wanted: QueueDepth 33 at 5 per worker wants 7"},
		},
		"LoadDrift": {
			reason: "A load that wants what it did has nothing to do with a size that somebody else changed.",
			last:   lastSeen(3, 3, v1alpha1.ReasonLoadKnown),
			p:      triggered,
			size:   2,
			load:   &load.View{Decision: scale.Decision{Replicas: 3, Reason: scale.ReasonSteady, Message: "3 is what is wanted"}},
			want:   &decision{From: 2, To: 3, Reason: v1alpha1.ScaleReasonDriftCorrected, Message: "Deployment coder was set to 2 replicas by somebody else and is put back to 3"},
		},
		"Halfway": {
			reason: "A change that removes workers is one change until it is done.",
			last:   recorded(lastSeen(9, 3, fixed), 10, 3, v1alpha1.ScaleReasonResumed),
			p:      v1alpha1.AgentScalerParameters{Replicas: 3},
			size:   7,
			want:   &decision{From: 7, To: 3, Reason: v1alpha1.ScaleReasonResumed, Message: "Deployment coder is resumed: from 7 replicas to 3"},
		},
		"Nothing": {
			reason: "A target of the right size is left alone.",
			p:      v1alpha1.AgentScalerParameters{Replicas: 3},
			size:   3,
		},
		"First": {
			reason: "A scaler that has seen nothing yet gives the first size.",
			p:      v1alpha1.AgentScalerParameters{Replicas: 3},
			size:   1,
			want:   &decision{From: 1, To: 3, Reason: v1alpha1.ScaleReasonInitialSize, Message: "Deployment coder gets its first size: 3 replicas (it asked for 1)"},
		},
		"FirstSuspended": {
			reason: "A pool that is born suspended was not suspended now.",
			p:      v1alpha1.AgentScalerParameters{Replicas: 3, Suspend: true},
			size:   1,
			want:   &decision{From: 1, To: 0, Reason: v1alpha1.ScaleReasonInitialSize, Message: "Deployment coder gets its first size: 0 replicas (it asked for 1)"},
		},
		"Changed": {
			reason: "Another size than before is asked for.",
			last:   lastSeen(3, 3, fixed),
			p:      v1alpha1.AgentScalerParameters{Replicas: 10},
			size:   3,
			want:   &decision{From: 3, To: 10, Reason: v1alpha1.ScaleReasonSizeChanged, Message: "Deployment coder is asked to go from 3 replicas to 10"},
		},
		"Drift": {
			reason: "The same size is asked for, the target had it, and has it no more.",
			last:   lastSeen(3, 3, fixed),
			p:      v1alpha1.AgentScalerParameters{Replicas: 3},
			size:   5,
			want:   &decision{From: 5, To: 3, Reason: v1alpha1.ScaleReasonDriftCorrected, Message: "Deployment coder was set to 5 replicas by somebody else and is put back to 3"},
		},
		"SameDriftAgain": {
			reason: "A record of a change that was made is not one of a change that is still to make.",
			last:   recorded(lastSeen(3, 3, fixed), 5, 3, v1alpha1.ScaleReasonSizeChanged),
			p:      v1alpha1.AgentScalerParameters{Replicas: 3},
			size:   5,
			want:   &decision{From: 5, To: 3, Reason: v1alpha1.ScaleReasonDriftCorrected, Message: "Deployment coder was set to 5 replicas by somebody else and is put back to 3"},
		},
		"Unfinished": {
			reason: "A change that was recorded and not made is finished for the reason recorded.",
			last:   recorded(lastSeen(3, 10, fixed), 3, 10, v1alpha1.ScaleReasonResumed),
			p:      v1alpha1.AgentScalerParameters{Replicas: 10},
			size:   3,
			want:   &decision{From: 3, To: 10, Reason: v1alpha1.ScaleReasonResumed, Message: "Deployment coder is resumed: from 3 replicas to 10"},
		},
		"Overtaken": {
			reason: "A recorded change is forgotten when another is asked for before it was made.",
			last:   recorded(lastSeen(3, 10, fixed), 3, 10, v1alpha1.ScaleReasonResumed),
			p:      v1alpha1.AgentScalerParameters{Replicas: 12},
			size:   3,
			want:   &decision{From: 3, To: 12, Reason: v1alpha1.ScaleReasonSizeChanged, Message: "Deployment coder is asked to go from 3 replicas to 12"},
		},
		"Suspended": {
			reason: "The pool is suspended now.",
			last:   lastSeen(3, 3, fixed),
			p:      v1alpha1.AgentScalerParameters{Replicas: 3, Suspend: true},
			size:   3,
			want:   &decision{From: 3, To: 0, Reason: v1alpha1.ScaleReasonSuspended, Message: "Deployment coder is suspended: from 3 replicas to 0"},
		},
		"DriftWhileSuspended": {
			reason: "A suspended pool that somebody else gave workers drifted; it was suspended before.",
			last:   lastSeen(0, 0, suspended),
			p:      v1alpha1.AgentScalerParameters{Replicas: 3, Suspend: true},
			size:   2,
			want:   &decision{From: 2, To: 0, Reason: v1alpha1.ScaleReasonDriftCorrected, Message: "Deployment coder was set to 2 replicas by somebody else and is put back to 0"},
		},
		"Resumed": {
			reason: "The pool is no longer suspended.",
			last:   lastSeen(0, 0, suspended),
			p:      v1alpha1.AgentScalerParameters{Replicas: 3},
			size:   0,
			want:   &decision{From: 0, To: 3, Reason: v1alpha1.ScaleReasonResumed, Message: "Deployment coder is resumed: from 0 replicas to 3"},
		},
		"AllowedAtLast": {
			reason: "A scaler that only recommended so far corrects nothing that drifted: the size never was what it wanted.",
			last:   lastSeen(6, 3, v1alpha1.ReasonRecommendOnly),
			p:      v1alpha1.AgentScalerParameters{Replicas: 3},
			size:   6,
			want:   &decision{From: 6, To: 3, Reason: v1alpha1.ScaleReasonSizeChanged, Message: "Deployment coder is asked to go from 6 replicas to 3"},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			a := wanted(tc.p)
			a.Load = tc.load

			if tc.load != nil {
				a.Want = tc.load.Decision.Replicas
			}

			got := decide(tc.last, tc.p, target{Name: "coder", Replicas: tc.size}, a)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\ndecide(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func TestMayUpdate(t *testing.T) {
	cases := map[string]struct {
		reason   string
		policies xpv2.ManagementPolicies
		want     bool
	}{
		"None":    {reason: "The API's default is everything.", want: true},
		"All":     {reason: "Everything is allowed.", policies: xpv2.ManagementPolicies{xpv2.ManagementActionAll}, want: true},
		"Update":  {reason: "Writing is allowed.", policies: xpv2.ManagementPolicies{xpv2.ManagementActionObserve, xpv2.ManagementActionUpdate}, want: true},
		"Observe": {reason: "Only looking is allowed.", policies: xpv2.ManagementPolicies{xpv2.ManagementActionObserve}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := mayUpdate(tc.policies); got != tc.want {
				t.Errorf("%s\nmayUpdate(%v) = %t, want %t", tc.reason, tc.policies, got, tc.want)
			}
		})
	}
}

func TestDecideProperties(t *testing.T) {
	sizes := rapid.Int32Range(0, 20)

	rapid.Check(t, func(t *rapid.T) {
		p := v1alpha1.AgentScalerParameters{Replicas: sizes.Draw(t, "replicas"), Suspend: rapid.Bool().Draw(t, "suspend")}
		if rapid.Bool().Draw(t, "triggers") {
			p.Triggers = []v1alpha1.Trigger{{Type: "QueueDepth", Target: 5}}
			p.MinReplicaCount = ptr(1 + sizes.Draw(t, "min"))
			p.MaxReplicaCount = ptr(*p.MinReplicaCount + sizes.Draw(t, "max - min"))
		}

		reasons := []xpv2.ConditionReason{v1alpha1.ReasonFixedSize, v1alpha1.ReasonSuspended, v1alpha1.ReasonRecommendOnly}
		last := lastSeen(sizes.Draw(t, "seen"), sizes.Draw(t, "wanted"), rapid.SampledFrom(reasons).Draw(t, "active"))
		seen := target{Name: "coder", Replicas: sizes.Draw(t, "size")}

		a := wanted(p)
		if n := a.Want; !p.Suspend && len(p.Triggers) > 0 && (n < *p.MinReplicaCount || n > *p.MaxReplicaCount) {
			t.Fatalf("%d is not within %d and %d", n, *p.MinReplicaCount, *p.MaxReplicaCount)
		}

		d := decide(last, p, seen, a)
		if (d == nil) != (seen.Replicas == a.Want) {
			t.Fatalf("decision %v from %d to %d", d, seen.Replicas, a.Want)
		}

		if d == nil {
			return
		}

		if d.From != seen.Replicas || d.To != a.Want || d.Reason == "" || d.Message == "" {
			t.Fatalf("decision %+v does not lead from %d to %d with a reason", d, seen.Replicas, a.Want)
		}

		// Whoever finds the record of a change that was not made makes the same change for the same reason.
		crashed := recorded(lastSeen(d.From, d.To, v1alpha1.ReasonFixedSize), d.From, d.To, d.Reason)
		if diff := cmp.Diff(d, decide(crashed, p, seen, a)); diff != "" {
			t.Fatalf("after a crash another decision is made:\n%s", diff)
		}

		if d := decide(crashed, p, target{Name: "coder", Replicas: d.To}, a); d != nil {
			t.Fatalf("a change that was made is made again: %+v", d)
		}
	})
}
