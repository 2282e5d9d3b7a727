package checkpoint

import (
	"context"
	"fmt"
	"maps"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossplane/crossplane-runtime/v2/pkg/event"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	cp "github.com/southwest-ai/agent-operator/internal/checkpoint"
)

const (
	// defaultScrub is the time in which everything is read again.
	defaultScrub = 168 * time.Hour
	// maxCatchUp is how much of the time that went by without a turn is made up for at once.
	maxCatchUp = time.Hour
	// blind is how many bytes are read in a turn while it is not known how many there are.
	blind = 16 << 20
	// ordered is how many bytes are read in a turn of a round that somebody asked for.
	ordered = 1 << 30
)

// A round is how far the reading of everything is.
type round struct {
	// began is zero before the first.
	began, last time.Time
	cursor      cp.Cursor
	// read is how many bytes were read in it.
	read int64
	// order is the request that it was begun for; empty for one whose time had come.
	order string
}

// portion returns how many bytes are to be read now, so that all are read in a period, and 0 if none is: a round that has ended
// sooner, as portions are no smaller than a chunk, is not begun again before its time.
func (r round) portion(now time.Time, turn, period time.Duration, stored *int64) int64 {
	going := r.cursor != ""

	if period == 0 || !going && !r.began.IsZero() && now.Sub(r.began) < period {
		return 0
	}

	if stored == nil {
		return blind
	}

	elapsed := turn
	if going {
		elapsed = min(max(now.Sub(r.last), turn), max(maxCatchUp, turn))
	}

	return int64(float64(*stored)*elapsed.Seconds()/period.Seconds()) + 1
}

func scrubPeriod(hours *int32) time.Duration {
	if hours == nil {
		return defaultScrub
	}

	return time.Duration(*hours) * time.Hour
}

// scrub reads a portion of everything again, or as much as can be in a turn where somebody has asked for it.
func (k *Keeper) scrub(ctx context.Context, mg *v1alpha1.Checkpoint, repo repository, r *report) error {
	portion := r.round.portion(k.now(), k.turn, scrubPeriod(mg.Spec.ForProvider.ScrubHours), r.at.StoredBytes)

	order := mg.GetAnnotations()[v1alpha1.AnnotationScrubNow]
	if order == "" || order == r.at.ScrubbedFor {
		if portion > 0 {
			_, err := k.read(ctx, mg, repo, r, portion)

			return err
		}

		return nil
	}

	if r.round.order != order {
		r.round = round{order: order} // What was read before it was asked for does not count.
	}

	for left := int64(ordered); left > 0 && order != r.at.ScrubbedFor; {
		n, err := k.read(ctx, mg, repo, r, left)
		if err != nil {
			return err
		}

		left -= n
	}

	return nil
}

// read reads the next portion, and returns how much it was.
func (k *Keeper) read(ctx context.Context, mg *v1alpha1.Checkpoint, repo repository, r *report, portion int64) (int64, error) {
	now := k.now()

	at := r.round
	if at.cursor == "" {
		at = round{began: now, order: at.order}
		r.found = map[string]bool{}
	}

	done, cursor, err := repo.Scrub(ctx, at.cursor, portion)
	k.metrics.scrubbed.Observe(k.now().Sub(now).Seconds())
	k.metrics.scrubbedBytes.Add(float64(done.Bytes))

	for _, d := range done.Damaged {
		k.damage(mg, r, d)
	}

	if err != nil && cursor == "" {
		return 0, err // It has not begun.
	}

	at.last, at.cursor = now, cursor
	at.read += done.Bytes
	r.round = at

	if err != nil || cursor != "" {
		return done.Bytes, err
	}

	k.readAll(mg, r)

	return done.Bytes, nil
}

// readAll ends a round: what was not found again in it has been mended.
func (k *Keeper) readAll(mg *v1alpha1.Checkpoint, r *report) {
	k.mu.Lock()
	defer k.mu.Unlock()

	maps.DeleteFunc(r.damaged, func(object string, _ map[string]bool) bool { return !r.found[object] })

	r.earlier = 0

	if observesOnly(mg) {
		read := r.round.read
		r.at.StoredBytes = &read // Who may not sweep has no other measure.
	}

	if order := r.round.order; order != "" {
		r.at.ScrubbedFor = order
		k.record.Event(mg, event.Normal(eventScrubbed, fmt.Sprintf("Read everything again, %d bytes, as was asked for by %s; %d objects are lost or corrupt", r.round.read, order, len(r.damaged))))
	}

	if len(r.damaged) == 0 {
		maps.DeleteFunc(r.unread, func(p place, _ bool) bool { return p.at != (cp.Position{}) })

		r.at.ScrubbedTime = &metav1.Time{Time: k.now()}
	}
}
