package agentscaler

import (
	"fmt"
	"math"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/scale"
	"github.com/southwest-ai/agent-operator/internal/worker"
)

const (
	// decisions is how many changes of a size are remembered, and removals how many removed workers of each.
	decisions = 10
	removals  = 20
)

// publish has the status tell the load, if that is due or the size changes.
func (e *external) publish(mg *v1alpha1.AgentScaler) {
	v := e.aim.Load
	if v == nil || !v.Due && (e.decision == nil || e.unfinished) {
		return
	}

	at, f := &mg.Status.AtProvider, v.Figures
	at.ActiveWorkers, at.QueueDepth, at.TokenUsage, at.TokensPerMinute, at.TokenCounters = narrow(f.Active), f.Depth, f.Tokens, f.PerMinute, f.Counters
	at.Cost, at.CostCounters = f.Cost, f.CostCounters
	at.Load = nil

	if e.aim.byLoad(mg.Spec.ForProvider) {
		at.Load = loadOf(e.now(), v.Decision)
	}

	e.meter.Published(mg, *v)
}

func narrow(n *int64) *int32 {
	if n == nil {
		return nil
	}

	out := int32(min(*n, math.MaxInt32)) //nolint:gosec // It is bounded.

	return &out
}

func loadOf(now metav1.Time, d scale.Decision) *v1alpha1.ScalingLoad {
	l := &v1alpha1.ScalingLoad{Time: now, Reason: d.Reason, Message: d.Message, Triggers: triggersOf(d)}

	for _, v := range d.Vetoes {
		l.Vetoes = append(l.Vetoes, v1alpha1.ScalingVeto{Name: v.Name, Message: v.Why})
	}

	return l
}

func triggersOf(d scale.Decision) []v1alpha1.TriggerLoad {
	out := make([]v1alpha1.TriggerLoad, 0, len(d.Wants))

	for _, w := range d.Wants {
		t := v1alpha1.TriggerLoad{Type: w.Metric.Name, Target: fmt.Sprint(w.Metric.Target), Unknown: w.Unknown}
		if w.Unknown == "" {
			t.Value, t.Want = fmt.Sprint(w.Value), &w.Want
		}

		out = append(out, t)
	}

	return out
}

// remember adds a decision to those that the status tells of.
func (e *external) remember(mg *v1alpha1.AgentScaler, last v1alpha1.LastScale) {
	d := v1alpha1.ScalingDecision{LastScale: last}
	if e.aim.byLoad(mg.Spec.ForProvider) {
		d.Triggers = triggersOf(e.aim.Load.Decision)
	}

	at := &mg.Status.AtProvider
	at.Decisions = append([]v1alpha1.ScalingDecision{d}, at.Decisions[:min(len(at.Decisions), decisions-1)]...)
}

// removed adds the workers that were detached to the newest decision.
func removed(mg *v1alpha1.AgentScaler, now metav1.Time, done []worker.Step) {
	at := &mg.Status.AtProvider
	if len(at.Decisions) == 0 {
		return
	}

	d := &at.Decisions[0]

	for _, s := range done {
		if s.Act != worker.Detach {
			continue
		}

		slot := int32(s.Worker.Slot) //nolint:gosec // At most a thousand.
		d.Removed = append(d.Removed, v1alpha1.RemovedWorker{Time: now, Name: s.Worker.Name, Slot: &slot, Checkpoint: s.Checkpoint, Forced: s.Forced})
	}

	d.Removed = slices.Clone(d.Removed[max(0, len(d.Removed)-removals):])
}
