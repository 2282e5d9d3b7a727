//go:build integration

package controller

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

// lastScaleIs waits until a scaler has recorded a change.
func lastScaleIs(t *testing.T, s *v1alpha1.AgentScaler, from, to int32, reason string) {
	t.Helper()

	want := &v1alpha1.LastScale{From: from, To: to, Reason: reason}

	eventually(t, func() string {
		diff := cmp.Diff(want, get(t, s).Status.AtProvider.LastScale, cmpopts.IgnoreFields(v1alpha1.LastScale{}, "Time", "Message"))
		if diff != "" {
			return "lastScale: -want, +got:\n" + diff
		}

		return ""
	})
}

func TestScalerKeepsSize(t *testing.T) {
	startProvider(t)

	ns := newNamespace(t)
	d, s := newDeployment(ns, "coder"), newScaler(ns, "coder", 3)
	create(t, d, s)

	replicasAre(t, d, 3)
	lastScaleIs(t, s, 1, 3, v1alpha1.ScaleReasonInitialSize)
	conditionIs(t, s, xpv2.TypeReady, corev1.ConditionTrue, xpv2.ReasonAvailable)
	conditionIs(t, s, xpv2.TypeSynced, corev1.ConditionTrue, xpv2.ReasonReconcileSuccess)
	conditionIs(t, s, v1alpha1.ConditionScalingActive, corev1.ConditionTrue, v1alpha1.ReasonFixedSize)

	if got := meta.GetExternalName(s); got != "coder" {
		t.Errorf("external name is %q, want the target's name", got)
	}

	want := v1alpha1.AgentScalerObservation{Replicas: ptr[int32](3), DesiredReplicas: ptr[int32](3), LabelSelector: "southwest.ai/dispatcher=coder"}
	if diff := cmp.Diff(want, s.Status.AtProvider, cmpopts.IgnoreFields(v1alpha1.AgentScalerObservation{}, "LastScale", "Decisions", "QueueDepth", "ActiveWorkers")); diff != "" {
		t.Errorf("atProvider: -want, +got:\n%s", diff)
	}

	// Another size is asked for.
	patch(t, s, func() { s.Spec.ForProvider.Replicas = 10 })
	replicasAre(t, d, 10)
	lastScaleIs(t, s, 3, 10, v1alpha1.ScaleReasonSizeChanged)

	// Somebody else changes it, twice in the same way: both are put back and recorded.
	for range 2 {
		before := get(t, s).Status.AtProvider.LastScale.Time
		// The record's time is in seconds: the second drift must be told from the first.
		eventually(t, func() string {
			if time.Since(before.Time) < time.Second {
				return "the second has not passed"
			}

			return ""
		})
		patch(t, get(t, d), func() { d.Spec.Replicas = ptr[int32](4) })
		replicasAre(t, d, 10)
		lastScaleIs(t, s, 4, 10, v1alpha1.ScaleReasonDriftCorrected)
		eventually(t, func() string {
			if !get(t, s).Status.AtProvider.LastScale.Time.After(before.Time) {
				return "the drift was not recorded anew"
			}

			return ""
		})
	}

	for reason, n := range map[string]int{
		v1alpha1.ScaleReasonInitialSize:    1,
		v1alpha1.ScaleReasonSizeChanged:    1,
		v1alpha1.ScaleReasonDriftCorrected: 2,
	} {
		eventually(t, func() string {
			if got := eventsOf(t, s, reason); got != n {
				return fmt.Sprintf("%d events %s, want %d", got, reason, n)
			}

			return ""
		})
	}
}

func TestScalerSuspendsAndResumes(t *testing.T) {
	startProvider(t)

	ns := newNamespace(t)
	d, s := newDeployment(ns, "coder"), newScaler(ns, "coder", 2)
	create(t, d, s)
	replicasAre(t, d, 2)
	conditionIs(t, s, xpv2.TypeReady, corev1.ConditionTrue, xpv2.ReasonAvailable)

	patch(t, s, func() { s.Spec.ForProvider.Suspend = true })
	replicasAre(t, d, 0)
	lastScaleIs(t, s, 2, 0, v1alpha1.ScaleReasonSuspended)
	conditionIs(t, s, v1alpha1.ConditionScalingActive, corev1.ConditionTrue, v1alpha1.ReasonSuspended)

	patch(t, s, func() { s.Spec.ForProvider.Suspend = false })
	replicasAre(t, d, 2)
	lastScaleIs(t, s, 0, 2, v1alpha1.ScaleReasonResumed)
	conditionIs(t, s, v1alpha1.ConditionScalingActive, corev1.ConditionTrue, v1alpha1.ReasonFixedSize)
}

func TestScalerWaitsForTarget(t *testing.T) {
	startProvider(t)

	ns := newNamespace(t)
	d, s := newDeployment(ns, "coder"), newScaler(ns, "coder", 3)
	create(t, s)
	conditionIs(t, s, v1alpha1.ConditionScalingActive, corev1.ConditionFalse, v1alpha1.ReasonTargetNotFound)
	conditionIs(t, s, xpv2.TypeReady, corev1.ConditionFalse, xpv2.ReasonUnavailable)
	// Waiting is no error.
	conditionIs(t, s, xpv2.TypeSynced, corev1.ConditionTrue, xpv2.ReasonReconcileSuccess)

	create(t, d)
	replicasAre(t, d, 3)
	lastScaleIs(t, s, 1, 3, v1alpha1.ScaleReasonInitialSize)
	conditionIs(t, s, xpv2.TypeReady, corev1.ConditionTrue, xpv2.ReasonAvailable)

	if err := kube.Delete(t.Context(), d); err != nil {
		t.Fatal(err)
	}

	conditionIs(t, s, v1alpha1.ConditionScalingActive, corev1.ConditionFalse, v1alpha1.ReasonTargetNotFound)

	d = newDeployment(ns, "coder")
	create(t, d)
	replicasAre(t, d, 3)
	conditionIs(t, s, xpv2.TypeReady, corev1.ConditionTrue, xpv2.ReasonAvailable)
}

func TestScalerThatMayNotWrite(t *testing.T) {
	cases := map[string]struct {
		reason   string
		forbid   func(*v1alpha1.AgentScaler)
		allow    func(*v1alpha1.AgentScaler)
		settled  func(*testing.T, *v1alpha1.AgentScaler)
		recorded string
	}{
		"Paused": {
			reason: "A paused scaler is left alone, and puts the size back when it is resumed.",
			forbid: func(s *v1alpha1.AgentScaler) {
				meta.AddAnnotations(s, map[string]string{meta.AnnotationKeyReconciliationPaused: "true"})
			},
			allow: func(s *v1alpha1.AgentScaler) { meta.RemoveAnnotations(s, meta.AnnotationKeyReconciliationPaused) },
			settled: func(t *testing.T, s *v1alpha1.AgentScaler) {
				conditionIs(t, s, xpv2.TypeSynced, corev1.ConditionFalse, xpv2.ReasonReconcilePaused)
			},
			recorded: v1alpha1.ScaleReasonDriftCorrected,
		},
		"ObserveOnly": {
			reason: "A scaler that may only observe says what it would do.",
			forbid: func(s *v1alpha1.AgentScaler) {
				s.SetManagementPolicies(xpv2.ManagementPolicies{xpv2.ManagementActionObserve})
			},
			allow: func(s *v1alpha1.AgentScaler) {
				s.SetManagementPolicies(xpv2.ManagementPolicies{xpv2.ManagementActionAll})
			},
			settled: func(t *testing.T, s *v1alpha1.AgentScaler) {
				conditionIs(t, s, v1alpha1.ConditionScalingActive, corev1.ConditionFalse, v1alpha1.ReasonRecommendOnly)
			},
			recorded: v1alpha1.ScaleReasonSizeChanged,
		},
		"SizedByOthers": {
			reason: "A scaler whose target is others' to size says what it would do.",
			forbid: func(s *v1alpha1.AgentScaler) { s.Spec.ForProvider.SizedBy = v1alpha1.SizedByOthers },
			allow:  func(s *v1alpha1.AgentScaler) { s.Spec.ForProvider.SizedBy = v1alpha1.SizedByScaler },
			settled: func(t *testing.T, s *v1alpha1.AgentScaler) {
				conditionIs(t, s, v1alpha1.ConditionScalingActive, corev1.ConditionFalse, v1alpha1.ReasonSizedByOthers)
			},
			recorded: v1alpha1.ScaleReasonSizeChanged,
		},
		"SizedByKEDA": {
			reason: "A scaler whose target is KEDA's to size decides all the same, and waits for KEDA to write.",
			forbid: func(s *v1alpha1.AgentScaler) { s.Spec.ForProvider.SizedBy = v1alpha1.SizedByKEDA },
			allow:  func(s *v1alpha1.AgentScaler) { s.Spec.ForProvider.SizedBy = v1alpha1.SizedByScaler },
			settled: func(t *testing.T, s *v1alpha1.AgentScaler) {
				eventually(t, func() string {
					if now := get(t, s); now.GetCondition(xpv2.TypeReady).ObservedGeneration != now.GetGeneration() {
						return "the scaler has not been looked at again"
					}

					return ""
				})
			},
			recorded: v1alpha1.ScaleReasonDriftCorrected,
		},
	}

	startProvider(t)

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ns := newNamespace(t)
			d, s := newDeployment(ns, "coder"), newScaler(ns, "coder", 3)
			create(t, d, s)
			replicasAre(t, d, 3)
			conditionIs(t, s, xpv2.TypeReady, corev1.ConditionTrue, xpv2.ReasonAvailable)

			patch(t, s, func() { tc.forbid(s) })
			tc.settled(t, s)
			patch(t, get(t, d), func() { d.Spec.Replicas = ptr[int32](6) })

			// A second pool, asked for later, has its size: so the first's turn is over.
			other, os := newDeployment(ns, "other"), newScaler(ns, "other", 2)
			create(t, other, os)
			replicasAre(t, other, 2)

			if got := *get(t, d).Spec.Replicas; got != 6 {
				t.Fatalf("%s: Deployment asks for %d replicas, want the 6 it was set to", tc.reason, got)
			}

			patch(t, get(t, s), func() { tc.allow(s) })
			replicasAre(t, d, 3)
			lastScaleIs(t, s, 6, 3, tc.recorded)
		})
	}
}

func TestScalerLetsGo(t *testing.T) {
	startProvider(t)

	ns := newNamespace(t)
	d, s := newDeployment(ns, "coder"), newScaler(ns, "coder", 3)
	create(t, d, s)
	conditionIs(t, s, xpv2.TypeReady, corev1.ConditionTrue, xpv2.ReasonAvailable)

	// As Crossplane deletes: others hold it too, for a while.
	patch(t, s, func() { s.Finalizers = append(s.Finalizers, "southwest.ai/test") })

	if err := kube.Delete(t.Context(), s); err != nil {
		t.Fatal(err)
	}

	patch(t, get(t, s), func() { meta.RemoveFinalizer(s, "southwest.ai/test") })
	eventually(t, func() string {
		if err := kube.Get(t.Context(), client.ObjectKeyFromObject(s), s); !kerrors.IsNotFound(err) {
			return fmt.Sprintf("the scaler is still there (%v)", err)
		}

		return ""
	})

	if got := *get(t, d).Spec.Replicas; got != 3 {
		t.Errorf("Deployment asks for %d replicas after its scaler was deleted, want the 3 it had", got)
	}

	patch(t, d, func() { d.Spec.Replicas = ptr[int32](5) })

	other, os := newDeployment(ns, "other"), newScaler(ns, "other", 2)
	create(t, other, os)
	replicasAre(t, other, 2)

	if got := *get(t, d).Spec.Replicas; got != 5 {
		t.Errorf("Deployment without a scaler asks for %d replicas, want the 5 it was set to", got)
	}
}

// A provider that is stopped between recording a change and making it, or that was away while everything changed, does
// what is left to do.
func TestScalerResumesAfterRestart(t *testing.T) {
	stop := startProvider(t)

	ns := newNamespace(t)
	d, s := newDeployment(ns, "coder"), newScaler(ns, "coder", 3)
	create(t, d, s)
	replicasAre(t, d, 3)
	conditionIs(t, s, xpv2.TypeReady, corev1.ConditionTrue, xpv2.ReasonAvailable)
	stop()

	// The record of a change that was never made.
	s.Spec.ForProvider.Replicas = 7
	if err := kube.Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}

	s.Status.AtProvider.DesiredReplicas = ptr[int32](7)
	s.Status.AtProvider.LastScale = &v1alpha1.LastScale{Time: metav1.Now(), From: 3, To: 7, Reason: v1alpha1.ScaleReasonSizeChanged, Message: "recorded before the crash"}
	if err := kube.Status().Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}

	startProvider(t)
	replicasAre(t, d, 7)
	lastScaleIs(t, s, 3, 7, v1alpha1.ScaleReasonSizeChanged)

	if got := get(t, s).Status.AtProvider.LastScale.Message; !strings.Contains(got, "before the crash") {
		t.Errorf("lastScale.message is %q: the reason was found a second time", got)
	}
}

// At rest nothing is written: every write of a composed object costs its composite tokens.
// loadIsTold waits until the status tells the load, which is not told again for a while.
func loadIsTold(t *testing.T, s *v1alpha1.AgentScaler) {
	t.Helper()
	eventually(t, func() string {
		if get(t, s).Status.AtProvider.QueueDepth == nil {
			return "the status does not tell the load"
		}

		return ""
	})
}

func TestScalerIsQuietAtRest(t *testing.T) {
	startProvider(t)

	ns := newNamespace(t)
	d, s := newDeployment(ns, "coder"), newScaler(ns, "coder", 3)
	create(t, d, s)
	conditionIs(t, s, xpv2.TypeReady, corev1.ConditionTrue, xpv2.ReasonAvailable)
	loadIsTold(t, s)

	settled := get(t, s).GetResourceVersion()

	for i := range 5 {
		patch(t, get(t, d), func() { meta.AddAnnotations(d, map[string]string{"touched": fmt.Sprint(i)}) })
		patch(t, get(t, d), func() { d.Spec.MinReadySeconds = int32(i) + 1 })
	}

	other, os := newDeployment(ns, "other"), newScaler(ns, "other", 2)
	create(t, other, os)
	conditionIs(t, os, xpv2.TypeReady, corev1.ConditionTrue, xpv2.ReasonAvailable)

	if got := get(t, s).GetResourceVersion(); got != settled {
		t.Errorf("the scaler was written although nothing had changed: version %s, then %s", settled, got)
	}
}

// A change of size is one record, one write of the size and one report.
func TestScalerWritesTwicePerChange(t *testing.T) {
	startProvider(t)

	ns := newNamespace(t)
	d, s := newDeployment(ns, "coder"), newScaler(ns, "coder", 3)
	create(t, d, s)
	conditionIs(t, s, xpv2.TypeReady, corev1.ConditionTrue, xpv2.ReasonAvailable)
	loadIsTold(t, s)

	cfg, err := client.NewWithWatch(server, client.Options{Scheme: NewScheme()})
	if err != nil {
		t.Fatal(err)
	}

	w, err := cfg.Watch(t.Context(), &v1alpha1.AgentScalerList{}, client.InNamespace(ns),
		&client.ListOptions{Raw: listFrom(get(t, s).GetResourceVersion())})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()

	patch(t, s, func() { s.Spec.ForProvider.Replicas = 10 })
	lastScaleIs(t, s, 3, 10, v1alpha1.ScaleReasonSizeChanged)
	eventually(t, func() string {
		if r := get(t, s).Status.AtProvider.Replicas; r == nil || *r != 10 {
			return "the status does not tell the new size"
		}

		return ""
	})

	// A mark after which nothing of the change is left to come.
	patch(t, s, func() { meta.AddLabels(s, map[string]string{"mark": "end"}) })

	writes := 0

	for e := range w.ResultChan() {
		writes++

		if e.Object.(*v1alpha1.AgentScaler).GetLabels()["mark"] == "end" {
			break
		}
	}

	// Ours of the spec, the record, the report, and our mark.
	if want := 4; writes > want {
		t.Errorf("a change of size wrote the scaler %d times, want at most %d", writes, want)
	}
}
