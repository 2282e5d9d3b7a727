package checkpoint

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

// setConditions says of a repository what there is to say beside that it is there.
func setConditions(mg *v1alpha1.Checkpoint, loss rpo) {
	at, quota := mg.Status.AtProvider, mg.Spec.ForProvider.Quota

	mg.SetConditions(intact(at.Corrupt), current(loss))

	if quota == nil {
		mg.Status.Conditions = slices.DeleteFunc(mg.Status.Conditions, func(c xpv2.Condition) bool { return c.Type == v1alpha1.ConditionWithinQuota })

		return
	}

	mg.SetConditions(withinQuota(at.StoredBytes, *quota))
}

func condition(t xpv2.ConditionType, s corev1.ConditionStatus, r xpv2.ConditionReason, message string) xpv2.Condition {
	return xpv2.Condition{Type: t, Status: s, Reason: r, Message: message, LastTransitionTime: metav1.Now()}
}

func intact(corrupt *int32) xpv2.Condition {
	switch {
	case corrupt == nil:
		return condition(v1alpha1.ConditionIntact, corev1.ConditionUnknown, v1alpha1.ReasonUnknown, "Nothing was read back yet")
	case *corrupt > 0:
		return condition(v1alpha1.ConditionIntact, corev1.ConditionFalse, v1alpha1.ReasonCorrupt,
			fmt.Sprintf("Objects that are lost or are not what was written: %d. The events name them", *corrupt))
	default:
		return condition(v1alpha1.ConditionIntact, corev1.ConditionTrue, v1alpha1.ReasonIntact, "")
	}
}

func current(r rpo) xpv2.Condition {
	met := r.met()

	switch {
	case met == nil:
		return condition(v1alpha1.ConditionRPOMet, corev1.ConditionUnknown, v1alpha1.ReasonUnknown,
			fmt.Sprintf("Workers that do not say how old their newest checkpoint is: %d of %d", r.silent, r.workers))
	case *met:
		return condition(v1alpha1.ConditionRPOMet, corev1.ConditionTrue, v1alpha1.ReasonCurrent, "")
	default:
		return condition(v1alpha1.ConditionRPOMet, corev1.ConditionFalse, v1alpha1.ReasonBehind,
			fmt.Sprintf("Workers whose state was in no checkpoint for more than %s, two intervals: %d of %d. Their monitors' logs say why", r.bound, r.behind, r.workers))
	}
}

// overQuota says that a repository is known to take more than it may.
func overQuota(stored *int64, quota *resource.Quantity) bool {
	return stored != nil && quota != nil && *stored > quota.Value()
}

func withinQuota(stored *int64, quota resource.Quantity) xpv2.Condition {
	switch {
	case stored == nil:
		return condition(v1alpha1.ConditionWithinQuota, corev1.ConditionUnknown, v1alpha1.ReasonUnknown, "It was not measured yet")
	case overQuota(stored, &quota):
		return condition(v1alpha1.ConditionWithinQuota, corev1.ConditionFalse, v1alpha1.ReasonQuotaExceeded,
			fmt.Sprintf("The repository takes %s (%d bytes) and its quota is %s: keep fewer checkpoints, or raise the quota. Saves go on", size(*stored), *stored, &quota))
	default:
		return condition(v1alpha1.ConditionWithinQuota, corev1.ConditionTrue, v1alpha1.ReasonWithinQuota, "")
	}
}

// size says a number of bytes to people.
func size(n int64) string {
	const step = 1024

	if n < step {
		return fmt.Sprintf("%d B", n)
	}

	units := []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}

	f := float64(n) / step
	for f >= step {
		f /= step
		units = units[1:]
	}

	return fmt.Sprintf("%.1f %s", f, units[0])
}
