package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrConflict is what a Cluster returns when what is to be changed is not what was looked at any longer, and ErrPending when a
// checkpoint is still being read back. Both say that the pool has to be looked at again, soon.
var (
	ErrConflict = errors.New("it has changed meanwhile")
	ErrPending  = errors.New("it is still being read back")
)

// A Cluster is where pools are. Each change is made only to what was looked at, or is an ErrConflict.
type Cluster interface {
	// View looks at the pool.
	View(ctx context.Context) (View, error)
	// Drain tells a worker to drain, Withdraw takes that back. Refused is when the worker did not drain in time, or zero.
	Drain(ctx context.Context, w Worker, id string, until time.Time) error
	Withdraw(ctx context.Context, w Worker, refused time.Time) error
	// Verify reads the checkpoint back that a worker made for its drain, all of it, and returns its name. With any it is the newest
	// checkpoint of the slot, whatever it was made for.
	Verify(ctx context.Context, w Worker, anyDrain bool) (string, error)
	// Detach takes a worker out of its ReplicaSet's selector and notes the checkpoint by which its state is safe, if it has one.
	Detach(ctx context.Context, w Worker, checkpoint string) error
	// Cap has the ledger give no slot to more than n workers.
	Cap(ctx context.Context, v View, n int) error
	// Resize has the Deployment ask for n workers.
	Resize(ctx context.Context, v View, n int) error
	// Delete deletes a worker's pod; one that is gone is no error.
	Delete(ctx context.Context, w Worker) error
}

// A Result is what was seen of a pool and made of it.
type Result struct {
	View View
	// Done are the steps that were made. Again says that others came to nothing because the pool changed meanwhile or a checkpoint
	// is still being read back.
	Done  []Step
	Again bool
	// Moved says that nothing was done, for the size is not the one from which the policy's was decided.
	Moved bool
	// Ask is the size that the Deployment should ask for, for who writes it if the policy says that somebody else does. It is negative
	// where he must not be told another than before.
	Ask int
}

// Quiet says that nothing is to be done until something happens: nobody drains, nobody is detached, and no cap is still to be raised.
func (r Result) Quiet() bool {
	if r.Again || len(r.Done) > 0 || r.View.Cap >= 0 && r.View.Cap < r.View.Replicas {
		return false
	}

	return !slices.ContainsFunc(r.View.Workers, func(w Worker) bool { return w.Drain != "" && !w.Terminating || w.Detached })
}

// Advance looks at the pool once and makes the steps that its plan has. What concerns one worker does not hold the others up.
func Advance(ctx context.Context, c Cluster, now func() time.Time, p Policy) (Result, error) {
	v, err := c.View(ctx)
	if err != nil {
		return Result{Ask: -1}, fmt.Errorf("cannot look at the pool: %w", err)
	}

	if p.From != nil && *p.From != v.Replicas {
		return Result{View: v, Ask: -1, Again: true, Moved: true}, nil
	}

	var (
		r    = Result{View: v, Ask: v.Replicas}
		errs []error
		// stuck says that the size is not what it must be for the steps that come after.
		stuck bool
	)

	for _, s := range Plan(now(), p, v) {
		if stuck && s.sized() {
			continue
		}

		if p.Asks && s.Act == Resize {
			r.Ask = s.Size

			continue
		}

		s, err = s.do(ctx, c, now, v)

		switch {
		case err == nil:
			r.Done = append(r.Done, s)

			continue
		case errors.Is(err, ErrConflict) || errors.Is(err, ErrPending):
			r.Again = true
		default:
			errs = append(errs, err)
		}

		stuck = stuck || s.sized()

		if s.Act == Cap {
			r.Ask = -1
		}
	}

	return r, errors.Join(errs...)
}

// sized says whether a step is one of those of which each needs the one before it.
func (s Step) sized() bool { return s.Act == Cap || s.Act == Resize || s.Act == Delete }

// do makes a step and returns the one that was made.
func (s Step) do(ctx context.Context, c Cluster, now func() time.Time, v View) (Step, error) {
	switch s.Act {
	case Drain:
		return s, told(s, c.Drain(ctx, s.Worker, s.ID, s.Until))
	case Withdraw:
		return s, told(s, c.Withdraw(ctx, s.Worker, s.refusedAt(now())))
	case Detach:
		return s.detach(ctx, c, now)
	case Cap:
		return s, told(s, c.Cap(ctx, v, s.Size))
	case Resize:
		return s, told(s, c.Resize(ctx, v, s.Size))
	case Delete:
		return s, told(s, c.Delete(ctx, s.Worker))
	default:
		return s, fmt.Errorf("there is no step %q", s.Act)
	}
}

// detach detaches a worker whose checkpoint can be read back. One of which it cannot, until its time is over, serves again.
func (s Step) detach(ctx context.Context, c Cluster, now func() time.Time) (Step, error) {
	if !s.Worker.Stateful || s.Worker.Unstarted {
		return s, told(s, c.Detach(ctx, s.Worker, ""))
	}

	checkpoint, err := c.Verify(ctx, s.Worker, s.Forced)
	if err == nil {
		s.Checkpoint = checkpoint

		return s, told(s, c.Detach(ctx, s.Worker, checkpoint))
	}

	err = fmt.Errorf("cannot read the checkpoint of worker %s back: %w", s.Worker.Name, err)
	if s.Forced || errors.Is(err, ErrPending) || now().Before(s.Worker.Until) {
		return s, err
	}

	s.Act, s.Refused, s.Why = Withdraw, true, fmt.Sprintf("worker %s serves again: %s", s.Worker.Name, err)

	return s, told(s, c.Withdraw(ctx, s.Worker, now()))
}

func (s Step) refusedAt(now time.Time) time.Time {
	if s.Refused {
		return now
	}

	return time.Time{}
}

func told(s Step, err error) error {
	if err == nil {
		return nil
	}

	return fmt.Errorf("cannot make the step %s (%s): %w", s.Act, s.Why, err)
}
