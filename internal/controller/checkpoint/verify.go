package checkpoint

import (
	"context"
	"time"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	cp "github.com/southwest-ai/agent-operator/internal/checkpoint"
)

// verifyAgain is how long a checkpoint is left that could not be read back, before it is read again. To read all of it each turn
// would tell nothing new.
const verifyAgain = time.Hour

// lost says that an error is about what lies in the store, and not about reaching it.
func lost(err error) bool { return errors.Is(err, cp.ErrCorrupt) || errors.Is(err, cp.ErrNotFound) }

// verifyDue says whether a slot's newest checkpoint is to be read back: once if all is well.
func verifyDue(now time.Time, last check, newest cp.Position) bool {
	return last.at != newest || !last.ok && now.Sub(last.when) >= verifyAgain
}

// readable remembers which slots have a manifest that cannot be read, and forgets those that have none any longer.
func (k *Keeper) readable(mg *v1alpha1.Checkpoint, r *report, sums []cp.Summary) {
	for _, s := range sums {
		p := place{slot: s.Slot}

		if s.Problem != nil && lost(s.Problem) {
			k.unreadable(mg, r, p, s.Problem)

			continue
		}

		k.mu.Lock()
		delete(r.unread, p)
		k.mu.Unlock()
	}
}

// verify reads the newest checkpoint of each slot back, once. This is another process than the one that wrote it.
func (k *Keeper) verify(ctx context.Context, mg *v1alpha1.Checkpoint, repo repository, r *report, sums []cp.Summary) error {
	if err := k.gone(ctx, repo, r); err != nil {
		return err
	}

	for _, s := range sums {
		if s.Newest == nil || !verifyDue(k.now(), r.checked[s.Slot], s.Newest.Position) {
			continue
		}

		err := repo.Verify(ctx, *s.Newest)
		if err != nil && !lost(err) {
			k.metrics.verified.WithLabelValues(outcomeFailed).Inc()

			return err
		}

		p := place{slot: s.Slot, at: s.Newest.Position}

		if err != nil {
			// One that was removed while it was read is neither good nor bad.
			if _, merr := repo.Manifest(ctx, p.slot, p.at); errors.Is(merr, cp.ErrNotFound) {
				continue
			}

			k.metrics.verified.WithLabelValues(outcomeCorrupt).Inc()
			k.unreadable(mg, r, p, err)
		} else {
			k.metrics.verified.WithLabelValues(outcomeOK).Inc()
			k.metrics.verifiedBytes.Add(float64(s.Newest.Bytes))
		}

		k.mu.Lock()
		r.checked[s.Slot] = check{at: p.at, ok: err == nil, when: k.now()}

		if err == nil {
			delete(r.unread, p) // A save of the same bytes has mended it.
		}
		k.mu.Unlock()
	}

	return nil
}

// gone forgets the checkpoints that could not be read back and were removed since.
func (k *Keeper) gone(ctx context.Context, repo repository, r *report) error {
	k.mu.Lock()

	var old []place

	for p := range r.unread {
		if p.at != (cp.Position{}) && r.checked[p.slot].at != p.at {
			old = append(old, p)
		}
	}
	k.mu.Unlock()

	for _, p := range old {
		_, err := repo.Manifest(ctx, p.slot, p.at)

		switch {
		case errors.Is(err, cp.ErrNotFound):
			k.mu.Lock()
			delete(r.unread, p)
			k.mu.Unlock()
		case err != nil && !lost(err):
			return err
		}
	}

	return nil
}
