package slot

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
)

// lookers is how many slots are looked at at once.
const lookers = 16

// Repositories open the repositories that Checkpoints describe.
type Repositories interface {
	// Repository returns the repository of a Checkpoint. It is the callee's, which keeps it open.
	Repository(ctx context.Context, name types.NamespacedName) (*checkpoint.Repository, error)
}

// stored are States in the repository of a pool's Checkpoint.
type stored struct {
	repos Repositories
}

func (s *stored) repository(ctx context.Context, p Pool) (*checkpoint.Repository, error) {
	r, err := s.repos.Repository(ctx, types.NamespacedName{Namespace: p.Namespace, Name: p.Checkpoint})
	if err != nil {
		return nil, fmt.Errorf("cannot open the repository of Checkpoint %s: %w", p.Checkpoint, err)
	}

	return r, nil
}

// Look returns what the repository has of each slot. Slots that are none of a binder's are left alone.
func (s *stored) Look(ctx context.Context, p Pool) ([]State, error) {
	r, err := s.repository(ctx, p)
	if err != nil {
		return nil, err
	}

	names, err := r.Slots(ctx)
	if err != nil {
		return nil, err
	}

	var (
		wg    sync.WaitGroup
		out   = make([]State, len(names))
		errs  = make([]error, len(names))
		begin = make(chan struct{}, lookers)
	)

	for i, name := range names {
		n, err := strconv.Atoi(name)
		if err != nil || n < 0 {
			out[i].Slot = -1

			continue
		}

		begin <- struct{}{}

		wg.Go(func() {
			defer func() { <-begin }()

			out[i], errs[i] = look(ctx, r, n)
		})
	}

	wg.Wait()

	if err := errors.Join(errs...); err != nil {
		return nil, err
	}

	numbered := out[:0]
	for _, st := range out {
		if st.Slot >= 0 {
			numbered = append(numbered, st)
		}
	}

	return numbered, nil
}

func look(ctx context.Context, r *checkpoint.Repository, slot int) (State, error) {
	sum, err := r.Summarize(ctx, strconv.Itoa(slot))
	if err != nil {
		return State{}, fmt.Errorf("cannot look at slot %d: %w", slot, err)
	}

	out := State{Slot: slot, Epoch: sum.Owner.Epoch}
	switch {
	case sum.Newest != nil:
		out.Saved, out.Time = sum.Newest.Epoch, sum.Newest.Time
	case sum.Checkpoints > 0:
		// One that cannot be read is there all the same: which one the worker begins with is found out by its restore.
		out.Saved = 1
	}

	return out, nil
}

// At returns the newest checkpoint that is not later than a time.
func (s *stored) At(ctx context.Context, p Pool, slot int, t time.Time) (string, error) {
	r, err := s.repository(ctx, p)
	if err != nil {
		return "", err
	}

	positions, err := r.Positions(ctx, strconv.Itoa(slot))
	if errors.Is(err, checkpoint.ErrNotFound) {
		return "", nil
	}

	if err != nil {
		return "", err
	}

	for _, at := range positions {
		m, err := r.Manifest(ctx, strconv.Itoa(slot), at)
		// One that was removed meanwhile, or is corrupt, is none.
		if errors.Is(err, checkpoint.ErrNotFound) || errors.Is(err, checkpoint.ErrCorrupt) {
			continue
		}

		if err != nil {
			return "", err
		}

		if !m.Time.After(t) {
			return at.String(), nil
		}
	}

	return "", nil
}

// Claim makes a claim under its own epoch.
func (s *stored) Claim(ctx context.Context, p Pool, c Claim) error {
	r, err := s.repository(ctx, p)
	if err != nil {
		return err
	}

	_, err = r.ClaimAt(ctx, strconv.Itoa(c.Slot), c.Epoch, c.UID)
	if errors.Is(err, checkpoint.ErrFenced) || errors.Is(err, checkpoint.ErrExists) {
		return fmt.Errorf("%w: %w", ErrVoid, err)
	}

	return err
}
