package agentscaler

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

// A target is what was seen of the Deployment whose size a scaler owns.
type target struct {
	// Name of the Deployment.
	Name string
	// Replicas is the size the Deployment has been asked to have.
	Replicas int32
	// Selector of its pods, in the form the scale subresource wants.
	Selector string
}

// A decision is a change of a target's size and why it is made. A nil decision means that there is nothing to do.
type decision struct {
	From, To int32
	Reason   string
	Message  string
}

// desired returns the size a target should have. Triggers are not evaluated by this version: with them the size is the
// first size, within the bounds.
func desired(p v1alpha1.AgentScalerParameters) int32 {
	if p.Suspend {
		return 0
	}

	n := p.Replicas

	if len(p.Triggers) == 0 {
		return n
	}

	if p.MaxReplicaCount != nil {
		n = min(n, *p.MaxReplicaCount)
	}

	if p.MinReplicaCount != nil {
		n = max(n, *p.MinReplicaCount)
	}

	return n
}

// upToDate says whether the target asks for the size it should have.
func upToDate(p v1alpha1.AgentScalerParameters, t target) bool {
	return t.Replicas == desired(p)
}

// mayUpdate says whether the policies let the scaler write. Without it the scaler only recommends.
func mayUpdate(p xpv2.ManagementPolicies) bool {
	return len(p) == 0 || slices.Contains(p, xpv2.ManagementActionAll) || slices.Contains(p, xpv2.ManagementActionUpdate)
}

// decide returns the change that brings the target to its desired size. The reason is found by comparing what the
// scaler recorded when it last looked with what it is asked for and sees now.
func decide(last v1alpha1.AgentScalerStatus, p v1alpha1.AgentScalerParameters, t target) *decision {
	if upToDate(p, t) {
		return nil
	}

	d := &decision{From: t.Replicas, To: desired(p), Reason: reasonFor(last, p, t)}
	d.Message = d.sentence(t.Name)

	return d
}

func reasonFor(last v1alpha1.AgentScalerStatus, p v1alpha1.AgentScalerParameters, t target) string {
	seen := last.AtProvider
	wasSuspended := last.GetCondition(v1alpha1.ConditionScalingActive).Reason == v1alpha1.ReasonSuspended

	switch {
	// A record of this very change that the size has not followed yet: we were stopped, or the write failed, between
	// recording and acting. The reason found then stands; by now the status it was derived from is gone.
	case unfinished(seen, p, t):
		return seen.LastScale.Reason
	case p.Suspend && !wasSuspended && seen.DesiredReplicas != nil:
		return v1alpha1.ScaleReasonSuspended
	case seen.DesiredReplicas == nil:
		return v1alpha1.ScaleReasonInitialSize
	case !p.Suspend && wasSuspended:
		return v1alpha1.ScaleReasonResumed
	case *seen.DesiredReplicas != desired(p):
		return v1alpha1.ScaleReasonSizeChanged
	// The target had what it should have when we last looked, nobody asked us for another size, and it changed.
	case seen.Replicas != nil && *seen.Replicas == *seen.DesiredReplicas:
		return v1alpha1.ScaleReasonDriftCorrected
	default:
		return v1alpha1.ScaleReasonSizeChanged
	}
}

// unfinished says whether the change that is needed now has been recorded already but not been made. The record alone
// does not say so, for the same drift may come twice: when a change is made the observed size is recorded too. A change that removes
// workers is made step by step.
func unfinished(seen v1alpha1.AgentScalerObservation, p v1alpha1.AgentScalerParameters, t target) bool {
	s := seen.LastScale

	return s != nil && s.To == desired(p) && between(s.From, t.Replicas, s.To) && seen.Replicas != nil && *seen.Replicas != s.To
}

// between says whether a size is on the way from one to another, and not there yet.
func between(from, size, to int32) bool {
	return from <= size && size < to || from >= size && size > to
}

func (d *decision) sentence(name string) string {
	switch d.Reason {
	case v1alpha1.ScaleReasonInitialSize:
		return fmt.Sprintf("Deployment %s gets its first size: %d replicas (it asked for %d)", name, d.To, d.From)
	case v1alpha1.ScaleReasonDriftCorrected:
		return fmt.Sprintf("Deployment %s was set to %d replicas by somebody else and is put back to %d", name, d.From, d.To)
	case v1alpha1.ScaleReasonSuspended:
		return fmt.Sprintf("Deployment %s is suspended: from %d replicas to %d", name, d.From, d.To)
	case v1alpha1.ScaleReasonResumed:
		return fmt.Sprintf("Deployment %s is resumed: from %d replicas to %d", name, d.From, d.To)
	default:
		return fmt.Sprintf("Deployment %s is asked to go from %d replicas to %d", name, d.From, d.To)
	}
}

// observe records in the status what was seen of a target that exists.
func observe(mg *v1alpha1.AgentScaler, t target) {
	want := desired(mg.Spec.ForProvider)
	mg.Status.AtProvider.Replicas = &t.Replicas
	mg.Status.AtProvider.DesiredReplicas = &want
	mg.Status.AtProvider.LabelSelector = t.Selector
	mg.SetConditions(scalingActive(mg, t))

	// A scaler that only recommends has done what it is asked to do whatever the target's size.
	if t.Replicas == want || !mayUpdate(mg.GetManagementPolicies()) {
		mg.SetConditions(xpv2.Available().WithObservedGeneration(mg.GetGeneration()))
	}
}

// observeMissing records in the status that there is no target. What was known of it is unknown now; the last change
// of its size stays, for it did happen.
func observeMissing(mg *v1alpha1.AgentScaler, why string) {
	mg.Status.AtProvider.Replicas = nil
	mg.Status.AtProvider.DesiredReplicas = nil
	mg.Status.AtProvider.LabelSelector = ""
	mg.SetConditions(
		condition(mg, corev1.ConditionFalse, v1alpha1.ReasonTargetNotFound, why),
		xpv2.Unavailable().WithMessage(why).WithObservedGeneration(mg.GetGeneration()),
	)
}

func scalingActive(mg *v1alpha1.AgentScaler, t target) xpv2.Condition {
	p := mg.Spec.ForProvider
	want := desired(p)

	switch {
	case !mayUpdate(mg.GetManagementPolicies()):
		return condition(mg, corev1.ConditionFalse, v1alpha1.ReasonRecommendOnly,
			fmt.Sprintf("spec.managementPolicies do not let the scaler write: Deployment %s asks for %d replicas, the scaler would ask for %d", t.Name, t.Replicas, want))
	case p.Suspend:
		return condition(mg, corev1.ConditionTrue, v1alpha1.ReasonSuspended,
			fmt.Sprintf("Deployment %s is kept at no replicas until spec.forProvider.suspend is removed", t.Name))
	case len(p.Triggers) > 0:
		return condition(mg, corev1.ConditionFalse, v1alpha1.ReasonTriggersUnsupported,
			fmt.Sprintf("This version does not evaluate spec.forProvider.triggers: Deployment %s is kept at %d replicas", t.Name, want))
	default:
		return condition(mg, corev1.ConditionTrue, v1alpha1.ReasonFixedSize,
			fmt.Sprintf("Deployment %s is kept at %d replicas", t.Name, want))
	}
}

func condition(mg *v1alpha1.AgentScaler, s corev1.ConditionStatus, r xpv2.ConditionReason, msg string) xpv2.Condition {
	return xpv2.Condition{
		Type:               v1alpha1.ConditionScalingActive,
		Status:             s,
		Reason:             r,
		Message:            msg,
		LastTransitionTime: metav1.Now(),
		ObservedGeneration: mg.GetGeneration(),
	}
}
