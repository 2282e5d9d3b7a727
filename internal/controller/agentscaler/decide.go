package agentscaler

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/load"
	"github.com/southwest-ai/agent-operator/internal/scale"
)

// A target is what was seen of the Deployment whose size a scaler owns.
type target struct {
	// Name of the Deployment.
	Name string
	// Replicas is the size the Deployment has been asked to have.
	Replicas int32
	// Selector of its pods, in the form the scale subresource wants, and the value of their dispatcher label.
	Selector, Dispatcher string
	// RollingOut says that its workers are being replaced by others of a newer template.
	RollingOut bool
}

// A decision is a change of a target's size and why it is made. A nil decision means that there is nothing to do.
type decision struct {
	From, To int32
	Reason   string
	Message  string
}

// An aim is the size that a target should have.
type aim struct {
	Want int32
	// Load is what it follows, nil for a size that was asked for.
	Load *load.View
}

// firstSize returns the size of a target that has none yet: with triggers it is within the bounds.
func firstSize(p v1alpha1.AgentScalerParameters) int32 {
	n := p.Replicas

	if len(p.Triggers) == 0 {
		return n
	}

	bounds := load.PolicyOf(p)

	return min(max(n, bounds.Min), bounds.Max)
}

// currentSize returns the size from which a decision goes on: what was last wanted, for the target may still be on its way there.
// A scaler that only recommends goes on from what others made of the target. False says that there is none to go on from.
func currentSize(mg *v1alpha1.AgentScaler, t target) (int32, bool) {
	seen := mg.Status.AtProvider.DesiredReplicas

	switch {
	case !decides(mg):
		return t.Replicas, true
	case seen == nil || mg.Status.GetCondition(v1alpha1.ConditionScalingActive).Reason == v1alpha1.ReasonSuspended:
		return firstSize(mg.Spec.ForProvider), false
	default:
		return *seen, true
	}
}

// aimOf returns the size that a target should have.
func (c *connector) aimOf(mg *v1alpha1.AgentScaler, t target) aim {
	p := mg.Spec.ForProvider
	current, known := currentSize(mg, t)
	v := c.meter.View(mg, load.Sized{Current: current, RollingOut: t.RollingOut, Dispatcher: t.Dispatcher})

	switch {
	case p.Suspend:
		return aim{Load: &v}
	case len(p.Triggers) == 0:
		return aim{Want: p.Replicas, Load: &v}
	case !known:
		return aim{Want: current, Load: &v}
	default:
		return aim{Want: v.Decision.Replicas, Load: &v}
	}
}

// mayUpdate says whether the policies let the scaler write. Without it the scaler only recommends.
func mayUpdate(p xpv2.ManagementPolicies) bool {
	return len(p) == 0 || slices.Contains(p, xpv2.ManagementActionAll) || slices.Contains(p, xpv2.ManagementActionUpdate)
}

// sizedBy returns who writes the target's size.
func sizedBy(mg *v1alpha1.AgentScaler) v1alpha1.SizeWriter {
	return cmp.Or(mg.Spec.ForProvider.SizedBy, v1alpha1.SizedByScaler)
}

// decides says whether the target gets the size that the scaler wants, whoever writes it.
func decides(mg *v1alpha1.AgentScaler) bool {
	return mayUpdate(mg.GetManagementPolicies()) && sizedBy(mg) != v1alpha1.SizedByOthers
}

// decide returns the change that brings the target to its size. The reason is found by comparing what the scaler recorded when it
// last looked with what it is asked for and sees now.
func decide(last v1alpha1.AgentScalerStatus, p v1alpha1.AgentScalerParameters, t target, a aim) *decision {
	if t.Replicas == a.Want {
		return nil
	}

	d := &decision{From: t.Replicas, To: a.Want, Reason: reasonFor(last, p, t, a)}
	d.Message = d.sentence(t.Name, a)

	return d
}

func reasonFor(last v1alpha1.AgentScalerStatus, p v1alpha1.AgentScalerParameters, t target, a aim) string {
	seen := last.AtProvider
	wasSuspended := last.GetCondition(v1alpha1.ConditionScalingActive).Reason == v1alpha1.ReasonSuspended

	switch {
	// A record of this very change that the size has not followed yet: we were stopped, or the write failed, between
	// recording and acting. The reason found then stands; by now the status it was derived from is gone.
	case unfinished(seen, t, a.Want):
		return seen.LastScale.Reason
	case p.Suspend && !wasSuspended && seen.DesiredReplicas != nil:
		return v1alpha1.ScaleReasonSuspended
	case seen.DesiredReplicas == nil:
		return v1alpha1.ScaleReasonInitialSize
	case !p.Suspend && wasSuspended:
		return v1alpha1.ScaleReasonResumed
	case *seen.DesiredReplicas != a.Want && a.byLoad(p):
		return a.Load.Decision.Reason
	case *seen.DesiredReplicas != a.Want:
		return v1alpha1.ScaleReasonSizeChanged
	// The target had what it should have when we last looked, nobody asked us for another size, and it changed.
	case seen.Replicas != nil && *seen.Replicas == *seen.DesiredReplicas:
		return v1alpha1.ScaleReasonDriftCorrected
	default:
		return v1alpha1.ScaleReasonSizeChanged
	}
}

// byLoad says whether the size follows the load.
func (a aim) byLoad(p v1alpha1.AgentScalerParameters) bool {
	return a.Load != nil && len(p.Triggers) > 0 && !p.Suspend && a.Load.Decision.Reason != ""
}

// unfinished says whether the change that is needed now has been recorded already but not been made. The record alone
// does not say so, for the same drift may come twice: when a change is made the observed size is recorded too. A change that removes
// workers is made step by step.
func unfinished(seen v1alpha1.AgentScalerObservation, t target, want int32) bool {
	s := seen.LastScale

	return s != nil && s.To == want && between(s.From, t.Replicas, s.To) && seen.Replicas != nil && *seen.Replicas != s.To
}

// between says whether a size is on the way from one to another, and not there yet. Workers are added in one step.
func between(from, size, to int32) bool {
	return size == from || from > size && size > to
}

func (d *decision) sentence(name string, a aim) string {
	if a.Load != nil && d.Reason == a.Load.Decision.Reason {
		return fmt.Sprintf("Deployment %s: %s", name, a.Load.Decision.Message)
	}

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
func observe(mg *v1alpha1.AgentScaler, t target, a aim) {
	want := a.Want
	mg.Status.AtProvider.Replicas = &t.Replicas
	mg.Status.AtProvider.DesiredReplicas = &want
	mg.Status.AtProvider.LabelSelector = t.Selector
	mg.SetConditions(scalingActive(mg, t, a))

	// A scaler that only recommends has done what it is asked to do whatever the target's size.
	if t.Replicas == want || !decides(mg) {
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

func scalingActive(mg *v1alpha1.AgentScaler, t target, a aim) xpv2.Condition {
	p, want := mg.Spec.ForProvider, a.Want

	switch {
	case !mayUpdate(mg.GetManagementPolicies()):
		return condition(mg, corev1.ConditionFalse, v1alpha1.ReasonRecommendOnly,
			fmt.Sprintf("spec.managementPolicies do not let the scaler write: Deployment %s asks for %d replicas, the scaler would ask for %d", t.Name, t.Replicas, want))
	case sizedBy(mg) == v1alpha1.SizedByOthers:
		return condition(mg, corev1.ConditionFalse, v1alpha1.ReasonSizedByOthers,
			fmt.Sprintf("spec.forProvider.sizedBy leaves the size of Deployment %s to others, who do not ask the scaler", t.Name))
	case p.Suspend:
		return condition(mg, corev1.ConditionTrue, v1alpha1.ReasonSuspended,
			fmt.Sprintf("Deployment %s is kept at no replicas until spec.forProvider.suspend is removed", t.Name))
	case len(p.Triggers) > 0:
		return loadCondition(mg, t, a)
	default:
		return condition(mg, corev1.ConditionTrue, v1alpha1.ReasonFixedSize,
			fmt.Sprintf("Deployment %s is kept at %d replicas", t.Name, want))
	}
}

// loadCondition says whether the load is known that the size follows. Its message has no figure in it that changes with each look.
func loadCondition(mg *v1alpha1.AgentScaler, t target, a aim) xpv2.Condition {
	var held []string

	for _, v := range a.Load.Decision.Vetoes {
		if v.Name == scale.VetoNoData || v.Name == scale.VetoStale || v.Name == scale.VetoPartial {
			held = append(held, v.Why)
		}
	}

	if len(held) == 0 {
		return condition(mg, corev1.ConditionTrue, v1alpha1.ReasonLoadKnown, fmt.Sprintf("The size of Deployment %s follows its load", t.Name))
	}

	return condition(mg, corev1.ConditionFalse, v1alpha1.ReasonLoadUnknown,
		fmt.Sprintf("No worker of Deployment %s is removed: %s", t.Name, strings.Join(held, ", and ")))
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
