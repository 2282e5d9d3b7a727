package checkpoint

import (
	"context"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	cp "github.com/southwest-ai/agent-operator/internal/checkpoint"
)

const (
	// sweepEvery is the time between two sweeps of a repository, and measureEvery that of one with a quota: a sweep is also what
	// measures it.
	sweepEvery   = 24 * time.Hour
	measureEvery = time.Hour
	// sweepAgain is how long a repository is left of which it is not known what is needed, since a manifest of it is corrupt.
	sweepAgain = time.Hour
	// keptEpochs is how many claims of a slot are left.
	keptEpochs = 8
)

// The retention of a Checkpoint that says nothing of it.
var defaultRetain = cp.Retain{Last: 3, Hourly: 24, Daily: 7}

// prune removes the checkpoints that no rule keeps, but of a slot whose newest one was not read back whole: an older one may be
// all that is left of its state.
func (k *Keeper) prune(ctx context.Context, mg *v1alpha1.Checkpoint, repo repository, r *report, sums []cp.Summary) error {
	rules := retainOf(mg.Spec.ForProvider.Retain)

	for _, s := range sums {
		c := r.checked[s.Slot]
		// Fewer are removed by no rule.
		if s.Checkpoints <= rules.Last || s.Newest == nil || !c.ok || c.at != s.Newest.Position {
			continue
		}

		removed, err := repo.Prune(ctx, s.Slot, rules)
		k.metrics.pruned.Add(float64(len(removed)))

		if err != nil {
			return err
		}
	}

	return nil
}

func retainOf(r *v1alpha1.Retain) cp.Retain {
	if r == nil {
		return defaultRetain
	}

	// Who names one rule means it alone.
	out := cp.Retain{Last: 1}
	for from, to := range map[*int32]*int{r.Last: &out.Last, r.Hourly: &out.Hourly, r.Daily: &out.Daily} {
		if from != nil {
			*to = int(*from)
		}
	}

	return out
}

// sweepDue says whether it is time to sweep. Both times are zero where there was none.
func sweepDue(now, swept, failed time.Time, quota bool) bool {
	if now.Sub(failed) < sweepAgain {
		return false
	}

	every := sweepEvery
	if quota {
		every = measureEvery
	}

	return now.Sub(swept) >= every
}

// sweep removes what no checkpoint needs, and measures what is left.
func (k *Keeper) sweep(ctx context.Context, mg *v1alpha1.Checkpoint, repo repository, r *report, sums []cp.Summary) error {
	quota := mg.Spec.ForProvider.Quota

	// Who has just set a quota wants to know how it stands.
	asked := quota != nil && quota.String() != r.quota
	if !asked && !sweepDue(k.now(), r.swept, r.sweepFailed, quota != nil) {
		return nil
	}

	for _, s := range sums {
		if _, err := repo.PruneEpochs(ctx, s.Slot, keptEpochs); err != nil {
			return err
		}
	}

	began := k.now()
	done, err := repo.Sweep(ctx)
	k.metrics.swept.Observe(k.now().Sub(began).Seconds())
	k.metrics.sweptChunks.Add(float64(done.Removed))
	k.metrics.freed.Add(float64(done.Freed))

	// Without knowing what is needed nothing is removed; but all was listed, and so measured. The scrub must not wait for it.
	unknown := err != nil && (lost(err) || errors.Is(err, cp.ErrVersion))
	if err != nil && !unknown {
		return err
	}

	k.mu.Lock()
	defer k.mu.Unlock()

	r.at.StoredBytes = &done.Stored

	if quota != nil {
		r.quota = quota.String()
	}

	switch {
	case unknown:
		r.sweepFailed = k.now()
		k.log.Info("Nothing is swept while a manifest cannot be read", "namespace", mg.GetNamespace(), "name", mg.GetName(), "error", err)
	case done.Left == 0:
		r.swept, r.sweepFailed = k.now(), time.Time{}
		r.at.SweptTime = &metav1.Time{Time: r.swept}
	}

	return nil
}
