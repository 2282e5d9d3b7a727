package agentscaler

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	cevent "sigs.k8s.io/controller-runtime/pkg/event"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/load"
	"github.com/southwest-ai/agent-operator/internal/worker"
)

var errBoom = errors.New("boom")

// A fakeTarget is one Deployment: what a cache shows of it, and what it is.
type fakeTarget struct {
	missing        bool
	cached, actual int32
	released       bool
	readErr        error
	writeErr       error
}

func (f *fakeTarget) Get(_ context.Context, key types.NamespacedName) (target, error) {
	if f.missing {
		return target{}, kerrors.NewNotFound(schema.GroupResource{Resource: "deployments"}, key.Name)
	}

	return target{Name: key.Name, Replicas: f.cached, Selector: "a=b"}, f.readErr
}

func (f *fakeTarget) Size(context.Context, types.NamespacedName) (int32, error) { return f.actual, nil }

// Advance resizes at once, as it does where no worker has a slot.
func (f *fakeTarget) Advance(_ context.Context, _ *v1alpha1.AgentScaler, p worker.Policy) (worker.Result, error) {
	r := worker.Result{View: worker.View{Replicas: int(f.actual)}}
	if p.From != nil && *p.From != int(f.actual) {
		r.Again, r.Moved = true, true

		return r, nil
	}

	if f.writeErr != nil || p.Want == int(f.actual) {
		return r, f.writeErr
	}

	f.actual, f.cached = int32(p.Want), int32(p.Want)
	r.Done = []worker.Step{{Act: worker.Resize, Size: p.Want}}

	return r, nil
}

func (f *fakeTarget) LetGo(context.Context, *v1alpha1.AgentScaler) error {
	f.released = true

	return nil
}

func (f *fakeTarget) Release(context.Context, *v1alpha1.AgentScaler) error {
	f.released = true

	return f.writeErr
}

// fakeAsks remember what was asked for.
type fakeAsks map[types.NamespacedName]int

func (f fakeAsks) Ask(pool types.NamespacedName, size int) { f[pool] = size }
func (f fakeAsks) Asked(types.NamespacedName) []int        { return nil }
func (f fakeAsks) Forget(pool types.NamespacedName)        { delete(f, pool) }

// A fakeStatus takes what is written to it for durable.
type fakeStatus struct {
	client.SubResourceWriter

	err    error
	writes int
	saved  *v1alpha1.AgentScaler
}

func (f *fakeStatus) Patch(_ context.Context, o client.Object, _ client.Patch, _ ...client.SubResourcePatchOption) error {
	if f.err != nil {
		return f.err
	}

	f.writes++
	o.SetResourceVersion("2")
	f.saved = o.DeepCopyObject().(*v1alpha1.AgentScaler)

	return nil
}

// A fakeMeter knows nothing.
type fakeMeter struct{}

func (fakeMeter) View(*v1alpha1.AgentScaler, load.Sized) load.View { return load.View{} }
func (fakeMeter) Forget(*v1alpha1.AgentScaler)                     {}
func (fakeMeter) Published(*v1alpha1.AgentScaler, load.View)       {}
func (fakeMeter) Wakes() <-chan cevent.GenericEvent                { return nil }

type events []event.Event

func (e *events) Event(_ runtime.Object, ev event.Event)     { *e = append(*e, ev) }
func (e *events) WithAnnotations(_ ...string) event.Recorder { return e }

func scaler(replicas int32, change ...func(*v1alpha1.AgentScaler)) *v1alpha1.AgentScaler {
	s := &v1alpha1.AgentScaler{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "coder", Generation: 4, ResourceVersion: "1"}}
	s.Spec.ForProvider = v1alpha1.AgentScalerParameters{ScaleTargetRef: v1alpha1.ScaleTargetReference{Name: "coder"}, Replicas: replicas}

	for _, c := range change {
		c(s)
	}

	return s
}

// What a reconcile leaves behind.
type outcome struct {
	Observation managed.ExternalObservation
	Actual      int32
	Status      v1alpha1.AgentScalerObservation
	Ready       xpv2.ConditionReason
	Active      xpv2.ConditionReason
	Version     string
	Writes      int
	Decisions   int
	Events      []event.Reason
	Released    bool
	Err         bool
}

func TestReconcile(t *testing.T) {
	now := metav1.NewTime(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC))
	last := func(from, to int32, reason, msg string) *v1alpha1.LastScale {
		return &v1alpha1.LastScale{Time: now, From: from, To: to, Reason: reason, Message: msg}
	}

	cases := map[string]struct {
		reason string
		mg     *v1alpha1.AgentScaler
		target *fakeTarget
		status *fakeStatus
		want   outcome
	}{
		"UpToDate": {
			reason: "A target of the right size is reported, and looked at once: something may have been left half done.",
			mg:     scaler(3),
			target: &fakeTarget{cached: 3, actual: 3},
			want: outcome{
				Observation: managed.ExternalObservation{ResourceExists: true},
				Actual:      3,
				Status:      v1alpha1.AgentScalerObservation{Replicas: ptr[int32](3), DesiredReplicas: ptr[int32](3), LabelSelector: "a=b"},
				Ready:       xpv2.ReasonAvailable,
				Active:      v1alpha1.ReasonFixedSize,
				Version:     "1",
			},
		},
		"Scales": {
			reason: "A target of another size is scaled once the reason is recorded, and an event tells.",
			mg:     scaler(3),
			target: &fakeTarget{cached: 1, actual: 1},
			want: outcome{
				Observation: managed.ExternalObservation{ResourceExists: true, Diff: "Deployment coder gets its first size: 3 replicas (it asked for 1)"},
				Actual:      3,
				Status: v1alpha1.AgentScalerObservation{
					Replicas: ptr[int32](3), DesiredReplicas: ptr[int32](3), LabelSelector: "a=b",
					LastScale: last(1, 3, v1alpha1.ScaleReasonInitialSize, "Deployment coder gets its first size: 3 replicas (it asked for 1)"),
				},
				Ready:   xpv2.ReasonAvailable,
				Active:  v1alpha1.ReasonFixedSize,
				Version: "2",
				Writes:  1, Decisions: 1,
				Events: []event.Reason{v1alpha1.ScaleReasonInitialSize},
			},
		},
		"LateCache": {
			reason: "A cache that has not heard of a change does not have it made and told again.",
			mg:     scaler(3),
			target: &fakeTarget{cached: 1, actual: 3},
			want: outcome{
				Observation: managed.ExternalObservation{ResourceExists: true},
				Actual:      3,
				Status:      v1alpha1.AgentScalerObservation{Replicas: ptr[int32](3), DesiredReplicas: ptr[int32](3), LabelSelector: "a=b"},
				Ready:       xpv2.ReasonAvailable,
				Active:      v1alpha1.ReasonFixedSize,
				Version:     "1",
			},
		},
		"ChangedMeanwhile": {
			reason: "A size that somebody changed after it was looked at is not put back before it is known, and recorded, why.",
			mg:     scaler(3),
			target: &fakeTarget{cached: 3, actual: 4},
			want: outcome{
				Observation: managed.ExternalObservation{ResourceExists: true},
				Actual:      4,
				Status:      v1alpha1.AgentScalerObservation{Replicas: ptr[int32](3), DesiredReplicas: ptr[int32](3), LabelSelector: "a=b"},
				Ready:       xpv2.ReasonAvailable,
				Active:      v1alpha1.ReasonFixedSize,
				Version:     "1",
			},
		},
		"NotRecorded": {
			reason: "What cannot be recorded is not done.",
			mg:     scaler(3),
			target: &fakeTarget{cached: 1, actual: 1},
			status: &fakeStatus{err: errBoom},
			want: outcome{
				Observation: managed.ExternalObservation{ResourceExists: true, Diff: "Deployment coder gets its first size: 3 replicas (it asked for 1)"},
				Actual:      1,
				Status: v1alpha1.AgentScalerObservation{
					Replicas: ptr[int32](1), DesiredReplicas: ptr[int32](3), LabelSelector: "a=b",
					LastScale: last(1, 3, v1alpha1.ScaleReasonInitialSize, "Deployment coder gets its first size: 3 replicas (it asked for 1)"),
				},
				Active:  v1alpha1.ReasonFixedSize,
				Version: "1", Decisions: 1,
				Err: true,
			},
		},
		"NotScaled": {
			reason: "A change that was recorded and then failed is no reason to be ready, nor for an event.",
			mg:     scaler(3),
			target: &fakeTarget{cached: 1, actual: 1, writeErr: errBoom},
			want: outcome{
				Observation: managed.ExternalObservation{ResourceExists: true, Diff: "Deployment coder gets its first size: 3 replicas (it asked for 1)"},
				Actual:      1,
				Status: v1alpha1.AgentScalerObservation{
					Replicas: ptr[int32](1), DesiredReplicas: ptr[int32](3), LabelSelector: "a=b",
					LastScale: last(1, 3, v1alpha1.ScaleReasonInitialSize, "Deployment coder gets its first size: 3 replicas (it asked for 1)"),
				},
				Ready:   xpv2.ReasonUnavailable,
				Active:  v1alpha1.ReasonFixedSize,
				Version: "2",
				Writes:  1, Decisions: 1,
				Err: true,
			},
		},
		"Finishes": {
			reason: "A change that was recorded and not made is made without another record.",
			mg: scaler(3, func(s *v1alpha1.AgentScaler) {
				s.Status = recorded(lastSeen(1, 3, v1alpha1.ReasonFixedSize), 1, 3, v1alpha1.ScaleReasonInitialSize)
				s.Status.AtProvider.LastScale.Message = "recorded before"
			}),
			target: &fakeTarget{cached: 1, actual: 1},
			want: outcome{
				Observation: managed.ExternalObservation{ResourceExists: true, Diff: "Deployment coder gets its first size: 3 replicas (it asked for 1)"},
				Actual:      3,
				Status: v1alpha1.AgentScalerObservation{
					Replicas: ptr[int32](3), DesiredReplicas: ptr[int32](3), LabelSelector: "a=b",
					LastScale: &v1alpha1.LastScale{From: 1, To: 3, Reason: v1alpha1.ScaleReasonInitialSize, Message: "recorded before"},
				},
				Ready:   xpv2.ReasonAvailable,
				Active:  v1alpha1.ReasonFixedSize,
				Version: "1",
				Events:  []event.Reason{v1alpha1.ScaleReasonInitialSize},
			},
		},
		"Missing": {
			reason: "A target that is not there is waited for; what was known of it is unknown.",
			mg: scaler(3, func(s *v1alpha1.AgentScaler) {
				s.Status = lastSeen(3, 3, v1alpha1.ReasonFixedSize)
			}),
			target: &fakeTarget{missing: true},
			want: outcome{
				Observation: managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true},
				Ready:       xpv2.ReasonUnavailable,
				Active:      v1alpha1.ReasonTargetNotFound,
				Version:     "1",
			},
		},
		"Deleted": {
			reason: "A scaler that is deleted has no target any more.",
			mg:     scaler(3, func(s *v1alpha1.AgentScaler) { s.DeletionTimestamp = &now }),
			target: &fakeTarget{cached: 1, actual: 1},
			want:   outcome{Actual: 1, Version: "1", Released: true},
		},
		"Unreadable": {
			reason: "An error is returned to the reconciler, which tries again.",
			mg:     scaler(3),
			target: &fakeTarget{cached: 1, actual: 1, readErr: errBoom},
			want:   outcome{Actual: 1, Version: "1", Err: true},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.status == nil {
				tc.status = &fakeStatus{}
			}

			recorder := &events{}
			c := &connector{targets: tc.target, pools: tc.target, meter: fakeMeter{}, asks: fakeAsks{}, metrics: NewMetrics(), work: newWork(), status: tc.status, record: recorder, log: logging.NewNopLogger(), now: func() metav1.Time { return now }}

			e, err := c.Connect(t.Context(), tc.mg)
			if err != nil {
				t.Fatal(err)
			}

			got := outcome{}

			// As the reconciler does.
			got.Observation, err = e.Observe(t.Context(), tc.mg)
			if err == nil && got.Observation.ResourceExists && !got.Observation.ResourceUpToDate {
				_, err = e.Update(t.Context(), tc.mg)
			}

			got.Err = err != nil
			got.Actual = tc.target.actual
			got.Released = tc.target.released
			got.Status = tc.mg.Status.AtProvider

			for _, d := range got.Status.Decisions {
				if diff := cmp.Diff(*got.Status.LastScale, d.LastScale); diff != "" {
					t.Errorf("the decisions tell of another change than the last: %s", diff)
				}
			}

			got.Decisions, got.Status.Decisions = len(got.Status.Decisions), nil
			got.Ready = tc.mg.GetCondition(xpv2.TypeReady).Reason
			got.Active = tc.mg.GetCondition(v1alpha1.ConditionScalingActive).Reason
			got.Version = tc.mg.GetResourceVersion()
			got.Writes = tc.status.writes

			for _, ev := range *recorder {
				got.Events = append(got.Events, ev.Reason)
			}

			if diff := cmp.Diff(tc.want, got, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
