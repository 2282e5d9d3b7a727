package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// maxRaces is how many others may win an epoch before a claim gives up.
const maxRaces = 32

// An Epoch says who claimed a slot. Whoever holds the highest one owns it.
type Epoch struct {
	Version int    `json:"version"`
	Slot    string `json:"slot"`
	Epoch   int64  `json:"epoch"`
	// Holder says who, to people.
	Holder string `json:"holder"`
	// Token is random, so that a claimer whose answer was lost knows its own claim again.
	Token string    `json:"token"`
	Time  time.Time `json:"time"`
}

// Claim takes a slot from whoever has it, and returns the epoch, which is higher than all before. From now on no save of
// a lower epoch is acknowledged. A claim whose error is not nil may have been made all the same: claim again.
func (r *Repository) Claim(ctx context.Context, slot, holder string) (Epoch, error) {
	top, err := r.highestEpoch(ctx, slot)
	if err != nil {
		return Epoch{}, err
	}
	for range maxRaces {
		top++
		e := Epoch{
			Version: FormatVersion, Slot: slot, Epoch: top, Holder: holder, Token: randomHex(16), Time: r.now(),
		}
		name := epochObject(slot, top)
		doc, err := sealDocument(r.keys.mac, name, e)
		if err != nil {
			return Epoch{}, err
		}
		err = r.store.create(ctx, name, doc)
		if err == nil {
			return e, nil
		}
		if !errors.Is(err, ErrExists) {
			return Epoch{}, fmt.Errorf("cannot claim slot %s: %w", slot, err)
		}
	}
	return Epoch{}, fmt.Errorf("cannot claim slot %s, which %d others claimed first: %w", slot, maxRaces, ErrExists)
}

// ClaimAt takes a slot under an epoch that the caller has reserved elsewhere, in a ledger that gives each epoch of a slot to one
// holder only. It may be repeated, and may be late: what it claims under an epoch that is not the slot's highest owns nothing.
// It returns ErrFenced where a higher epoch is there, and ErrExists where the epoch is another holder's.
func (r *Repository) ClaimAt(ctx context.Context, slot string, epoch int64, holder string) (Epoch, error) {
	if epoch < 1 || epoch >= maxNumber {
		return Epoch{}, fmt.Errorf("epoch %d is out of range: %w", epoch, ErrInvalid)
	}
	top, err := r.highestEpoch(ctx, slot)
	if err != nil {
		return Epoch{}, err
	}
	if top > epoch {
		return Epoch{}, fmt.Errorf("slot %s is claimed under epoch %d: %w", slot, top, ErrFenced)
	}
	e := Epoch{Version: FormatVersion, Slot: slot, Epoch: epoch, Holder: holder, Token: randomHex(16), Time: r.now()}
	name := epochObject(slot, epoch)
	doc, err := sealDocument(r.keys.mac, name, e)
	if err != nil {
		return Epoch{}, err
	}
	err = r.store.create(ctx, name, doc)
	if err == nil {
		return e, nil
	}
	if !errors.Is(err, ErrExists) {
		return Epoch{}, fmt.Errorf("cannot claim slot %s: %w", slot, err)
	}
	there, err := r.epoch(ctx, slot, epoch)
	if err != nil {
		return Epoch{}, err
	}
	if there.Holder != holder {
		return Epoch{}, fmt.Errorf("epoch %d of slot %s is held by %s: %w", epoch, slot, there.Holder, ErrExists)
	}
	return there, nil
}

// Highest returns the claim that owns a slot, or ErrNotFound for a slot that nobody claimed.
func (r *Repository) Highest(ctx context.Context, slot string) (Epoch, error) {
	top, err := r.highestEpoch(ctx, slot)
	if err != nil {
		return Epoch{}, err
	}
	if top == 0 {
		return Epoch{}, fmt.Errorf("nobody claimed slot %s: %w", slot, ErrNotFound)
	}
	return r.epoch(ctx, slot, top)
}

func (r *Repository) epoch(ctx context.Context, slot string, epoch int64) (Epoch, error) {
	name := epochObject(slot, epoch)
	doc, err := r.store.read(ctx, name)
	if err != nil {
		return Epoch{}, fmt.Errorf("cannot read epoch %d of slot %s: %w", epoch, slot, err)
	}
	var e Epoch
	if err := openDocument(r.keys.mac, name, doc, &e); err != nil {
		return Epoch{}, fmt.Errorf("cannot take epoch %d of slot %s: %w", epoch, slot, err)
	}
	if e.Version != FormatVersion || e.Slot != slot || e.Epoch != epoch {
		return Epoch{}, fmt.Errorf("epoch %d of slot %s says that it is another: %w", epoch, slot, ErrCorrupt)
	}
	return e, nil
}

// highestEpoch returns 0 for a slot that nobody claimed.
func (r *Repository) highestEpoch(ctx context.Context, slot string) (int64, error) {
	if err := checkSlot(slot); err != nil {
		return 0, err
	}
	var top int64
	err := r.store.list(ctx, epochsPrefix(slot), "", func(o object) error {
		if m := epochName.FindStringSubmatch(o.name); m != nil {
			n, _ := strconv.ParseInt(m[1], 10, 64) // Ten digits always fit.
			top = max(top, n)
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("cannot list the epochs of slot %s: %w", slot, err)
	}
	if top >= maxNumber {
		return 0, fmt.Errorf("slot %s has no epoch left: %w", slot, ErrInvalid)
	}
	return top, nil
}

// now is the clock in the form that documents keep: UTC, whole milliseconds.
func (r *Repository) now() time.Time { return r.opts.Now().UTC().Truncate(time.Millisecond) }
