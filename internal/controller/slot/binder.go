package slot

import (
	"context"
	"errors"
	"fmt"
)

// ErrConflict is what a Store returns when a ledger is not the one that was loaded.
var ErrConflict = errors.New("the ledger of slots has changed")

// ErrCapped says that workers wait because their pool is being made smaller: the ledger gives no more slots until its cap is raised.
var ErrCapped = errors.New("the ledger of slots is capped")

// A Pool is a Deployment whose workers have slots, as the cache knows it.
type Pool struct {
	Namespace  string
	Deployment string
	// Dispatcher is the value of the workers' dispatcher label.
	Dispatcher string
	// Checkpoint is the Checkpoint that keeps the workers' state; empty for a pool without.
	Checkpoint string
	// Owner is the AgentScaler with which the ledger goes.
	Owner Owner
	// Waiting are the workers that wait for a slot.
	Waiting []Pod
	// Alive are the UIDs of the workers that the cache knows to exist and not to have ended, among them all that wait:
	// so a claim of a worker that waits is never taken for one that ended.
	Alive map[string]bool
}

// An Owner is the object with which a pool's ledger goes.
type Owner struct {
	APIVersion, Kind, Name, UID string
}

// A Store is where the binder keeps the ledgers, and what it knows the cluster by. All it reads is what the API server
// knows now, never what a cache remembers.
type Store interface {
	// Load returns the pool's ledger and its version, which is "" for a ledger that was never saved.
	Load(ctx context.Context, p Pool) (Ledger, string, error)

	// Save replaces the ledger of that version, or returns ErrConflict. When it returns nil the ledger is durable.
	Save(ctx context.Context, p Pool, l Ledger, version string) error

	// Size returns how many workers the pool has been asked to have.
	Size(ctx context.Context, p Pool) (int, error)

	// Ended says whether the pod of a claim is gone or has ended, for good. A pod that is terminating has not, unless it is
	// lost with its node and what it may still write is fenced.
	Ended(ctx context.Context, p Pool, c Claim) (bool, error)

	// Bind tells the pod of a claim its slot and lets it be scheduled, in one write. A pod that is bound already stays
	// as it is; for one that is gone Bind does nothing and returns nil.
	Bind(ctx context.Context, p Pool, c Claim) error
}

// A Binder gives slots to waiting workers. Any number of binders may work on one pool, be late, and stop at any point:
// no slot is ever held by two workers, because
//
//  1. a slot is given by adding a claim to the ledger, guarded by the ledger's version, before the pod hears of it;
//  2. a claim never changes, and is removed only when its pod has been seen, not in a cache, to be gone or ended;
//  3. a pod is told what the ledger says of it and nothing else;
//  4. where the slots' state is in a store, the claim is made there, too, under the ledger's epoch, before the pod hears of it:
//     so a binder that is late cannot fence a newer owner, and whoever held the slot before is heard no more.
//
// So a claim whose pod was never told is found again in the ledger and completed, and whoever completes it tells the
// same. The guard does not cover the pool's size: a scale-in between the reading of the size and the writing of the
// ledger may leave one worker more bound than asked for, until the ReplicaSet has removed it.
type Binder struct {
	store  Store
	states States
}

// Bind gives slots to the pool's waiting workers and returns the claims of which the pods were told. Where nothing but the ledger's cap
// keeps one from a slot it returns ErrCapped.
func (b *Binder) Bind(ctx context.Context, p Pool) ([]Claim, error) {
	if len(p.Waiting) == 0 {
		return nil, nil
	}

	ledger, version, err := b.store.Load(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("cannot load the ledger of slots: %w", err)
	}

	ledger, err = b.claim(ctx, p, ledger, version)

	var missing *LostError
	if err != nil && !errors.As(err, &missing) && !errors.Is(err, ErrCapped) {
		return nil, err
	}

	var (
		told []Claim
		errs = []error{err}
	)

	capped := errors.Is(err, ErrCapped)
	if capped {
		errs = nil
	}

	for _, w := range p.Waiting {
		c, ok := ledger.claimOf(w.UID)
		if !ok {
			continue
		}

		if err := b.tell(ctx, p, c); err != nil {
			errs = append(errs, fmt.Errorf("cannot bind pod %s to slot %d: %w", c.Pod, c.Slot, err))
			continue
		}

		told = append(told, c)
	}

	if capped && len(errs) == 0 {
		return told, ErrCapped
	}

	return told, errors.Join(errs...)
}

// tell makes a claim known where the state is, and then to its pod.
func (b *Binder) tell(ctx context.Context, p Pool, c Claim) error {
	if p.Checkpoint == "" {
		return b.store.Bind(ctx, p, c)
	}

	err := b.states.Claim(ctx, p, c)
	if errors.Is(err, ErrVoid) {
		return errors.Join(err, b.release(ctx, p, c))
	}

	if err != nil {
		return fmt.Errorf("cannot claim it in the store: %w", err)
	}

	return b.store.Bind(ctx, p, c)
}

// release takes a claim out of the ledger that is void in the store, so that its pod gets another: the ledger was lost, and
// what was made again from the workers did not know of all epochs. Of a pod that was told, the store takes nothing.
func (b *Binder) release(ctx context.Context, p Pool, c Claim) error {
	l, version, err := b.store.Load(ctx, p)
	if err != nil {
		return fmt.Errorf("cannot load the ledger of slots: %w", err)
	}

	if now, ok := l.claimOf(c.UID); !ok || now != c {
		return nil
	}

	next := l.without(map[string]bool{c.UID: true})
	next.Epoch++

	return b.store.Save(ctx, p, next, version)
}

// claim makes the claims of waiting pods durable and returns the ledger as it is then. With a *LostError it returns the
// ledger all the same, in which all pods have claims but those that wait for a state that was lost, and so with ErrCapped.
func (b *Binder) claim(ctx context.Context, p Pool, l Ledger, version string) (Ledger, error) {
	if l.serves(p.Waiting) {
		return l, nil
	}

	ended, err := b.ended(ctx, p, l)
	if err != nil {
		return Ledger{}, err
	}

	size, err := b.store.Size(ctx, p)
	if err != nil {
		return Ledger{}, fmt.Errorf("cannot get the size of the pool: %w", err)
	}

	capped := l.Cap != nil && *l.Cap < size
	if capped {
		size = *l.Cap
	}

	next, missing, err := b.assign(ctx, p, l.without(ended), size)
	if err != nil {
		return Ledger{}, err
	}

	if capped && missing == nil && !next.serves(p.Waiting) {
		missing = ErrCapped
	}

	// Claims that ended are forgotten when something needs their slots, not before: it saves a write per pod.
	if next.Epoch == l.Epoch {
		return l, missing
	}

	if err := b.store.Save(ctx, p, next, version); err != nil {
		return Ledger{}, fmt.Errorf("cannot save the ledger of slots: %w", err)
	}

	return next, missing
}

// assign returns the ledger with the claims that waiting pods get. Its first error says that some wait for a state that was
// lost, its second that nothing could be assigned.
func (b *Binder) assign(ctx context.Context, p Pool, l Ledger, size int) (next Ledger, missing, err error) {
	if p.Checkpoint == "" {
		return l.with(assign(l, p.Waiting, size, nil, nil)), nil, nil
	}

	known, err := b.states.Look(ctx, p)
	if err != nil {
		return l, nil, fmt.Errorf("cannot look for the states of the slots: %w", err)
	}

	withheld := lost(l, known)
	if len(withheld) > 0 {
		missing = &LostError{Slots: withheld}
	}

	from := l
	from.Epoch = max(l.Epoch, highest(known))

	claims := assign(from, p.Waiting, size, preferred(known), withheld)
	if len(claims) == 0 {
		return l, missing, nil
	}

	next, err = b.restores(ctx, p, l, claims, known)

	return next.with(claims), missing, err
}

// ended returns the UIDs of the pods whose claims are over. A pod that the cache shows alive may only be more dead than
// that, and its event is on the way; one that the cache does not show may be too new for it, so it is asked for.
func (b *Binder) ended(ctx context.Context, p Pool, l Ledger) (map[string]bool, error) {
	out := map[string]bool{}

	for _, c := range l.Claims {
		if p.Alive[c.UID] {
			continue
		}

		over, err := b.store.Ended(ctx, p, c)
		if err != nil {
			return nil, fmt.Errorf("cannot tell whether pod %s still holds slot %d: %w", c.Pod, c.Slot, err)
		}

		if over {
			out[c.UID] = true
		}
	}

	return out, nil
}
