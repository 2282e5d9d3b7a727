package agentscaler

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/worker"
)

// askedPools are pools of which the size is asked for: they remember the policy, and answer what is to be asked.
type askedPools struct {
	fakeTarget

	policy worker.Policy
	ask    int
}

func (p *askedPools) Advance(_ context.Context, _ *v1alpha1.AgentScaler, policy worker.Policy) (worker.Result, error) {
	p.policy = policy

	return worker.Result{View: worker.View{Replicas: int(p.actual)}, Ask: p.ask}, nil
}

// Who writes a target's size: what is asked of him, and that nobody else does.
func TestSizedBy(t *testing.T) {
	key := types.NamespacedName{Namespace: "ns", Name: "coder"}
	by := func(w v1alpha1.SizeWriter) *v1alpha1.AgentScaler {
		return scaler(3, func(s *v1alpha1.AgentScaler) { s.Spec.ForProvider.SizedBy = w })
	}

	type outcome struct {
		Asked    fakeAsks
		Asks     bool
		Released bool
		Actual   int32
		Desired  int32
		Change   *v1alpha1.LastScale
		Active   xpv2.ConditionReason
	}

	cases := map[string]struct {
		reason string
		mg     *v1alpha1.AgentScaler
		before fakeAsks
		ask    int
		want   outcome
	}{
		"KEDA": {
			reason: "The scaler decides, and asks for what may be written now.",
			mg:     by(v1alpha1.SizedByKEDA),
			before: fakeAsks{},
			ask:    2,
			want:   outcome{Asked: fakeAsks{key: 2}, Asks: true, Actual: 1, Desired: 3, Change: &v1alpha1.LastScale{From: 1, To: 3, Reason: v1alpha1.ScaleReasonInitialSize}, Active: v1alpha1.ReasonFixedSize},
		},
		"KEDAUnsafe": {
			reason: "Where nothing may be told that was not, what was told stands.",
			mg:     by(v1alpha1.SizedByKEDA),
			before: fakeAsks{key: 1},
			ask:    -1,
			want:   outcome{Asked: fakeAsks{key: 1}, Asks: true, Actual: 1, Desired: 3, Change: &v1alpha1.LastScale{From: 1, To: 3, Reason: v1alpha1.ScaleReasonInitialSize}, Active: v1alpha1.ReasonFixedSize},
		},
		"Others": {
			reason: "Others do not ask, and are not interfered with: what was begun before them is brought to an end.",
			mg:     by(v1alpha1.SizedByOthers),
			before: fakeAsks{key: 1},
			want:   outcome{Asked: fakeAsks{}, Released: true, Actual: 1, Desired: 3, Active: v1alpha1.ReasonSizedByOthers},
		},
		"Deleted": {
			reason: "A scaler that goes asks for nothing.",
			mg: scaler(3, func(s *v1alpha1.AgentScaler) {
				s.Spec.ForProvider.SizedBy = v1alpha1.SizedByKEDA
				s.DeletionTimestamp = &metav1.Time{}
				s.DeletionTimestamp.Time = metav1.Now().Time
			}),
			before: fakeAsks{key: 1},
			want:   outcome{Asked: fakeAsks{}, Released: true, Actual: 1},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			pools := &askedPools{fakeTarget: fakeTarget{cached: 1, actual: 1}, ask: tc.ask}
			c := &connector{
				targets: pools, pools: pools, meter: fakeMeter{}, asks: tc.before, metrics: NewMetrics(), work: newWork(),
				status: &fakeStatus{}, record: &events{}, log: logging.NewNopLogger(), now: metav1.Now,
			}

			// What is settled is not done again.
			for range 2 {
				e, err := c.Connect(t.Context(), tc.mg)
				if err != nil {
					t.Fatal(err)
				}

				o, err := e.Observe(t.Context(), tc.mg)
				if err == nil && o.ResourceExists && !o.ResourceUpToDate {
					_, err = e.Update(t.Context(), tc.mg)
				}

				if err != nil {
					t.Fatal(err)
				}
			}

			at := tc.mg.Status.AtProvider
			got := outcome{Asked: tc.before, Asks: pools.policy.Asks, Released: pools.released, Actual: pools.actual, Active: tc.mg.GetCondition(v1alpha1.ConditionScalingActive).Reason}

			if at.DesiredReplicas != nil {
				got.Desired = *at.DesiredReplicas
			}

			if l := at.LastScale; l != nil {
				got.Change = &v1alpha1.LastScale{From: l.From, To: l.To, Reason: l.Reason}
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}

			if tc.mg.Spec.ForProvider.SizedBy == v1alpha1.SizedByOthers && !c.work.settled(tc.mg, released) {
				t.Error("a pool that is left to others is not left alone")
			}
		})
	}
}
