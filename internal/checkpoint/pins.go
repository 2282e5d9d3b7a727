package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// maxWhy bounds the reason of a pin, in bytes.
const maxWhy = 1000

// A pin keeps a manifest from whatever would remove it.
type pin struct {
	Version int    `json:"version"`
	Slot    string `json:"slot"`
	Position
	// Why says to people why it is kept.
	Why   string    `json:"why"`
	Token string    `json:"token"`
	Time  time.Time `json:"time"`
}

func pinsPrefix(slot string) string { return slotPrefix(slot) + "pins/" }

func pinName(slot string, p Position) string { return pinsPrefix(slot) + p.String() + ".json" }

// Pin keeps a manifest whatever retention says. It returns ErrNotFound for a manifest that is not there, and ErrExists for one
// that is pinned. A manifest that is removed at the same moment is found gone, and the pin with it.
func (r *Repository) Pin(ctx context.Context, slot string, p Position, why string) error {
	if why == "" || len(why) > maxWhy || strings.ContainsFunc(why, unicode.IsControl) {
		return fmt.Errorf("the reason of a pin is one line of at most %d bytes: %w", maxWhy, ErrInvalid)
	}
	if _, err := r.Manifest(ctx, slot, p); err != nil {
		return err
	}
	name := pinName(slot, p)
	doc, err := sealDocument(r.keys.mac, name, pin{Version: FormatVersion, Slot: slot, Position: p, Why: why, Token: randomHex(16), Time: r.now()})
	if err != nil {
		return err
	}
	if err := r.store.create(ctx, name, doc); err != nil {
		return fmt.Errorf("cannot pin manifest %s of slot %s: %w", p, slot, err)
	}
	if _, err := r.Manifest(ctx, slot, p); err != nil {
		return errors.Join(err, r.Unpin(ctx, slot, p))
	}
	return nil
}

// Unpin takes a pin away. It returns ErrNotFound where there is none.
func (r *Repository) Unpin(ctx context.Context, slot string, p Position) error {
	if err := checkSlot(slot); err != nil {
		return err
	}
	if err := r.store.remove(ctx, pinName(slot, p)); err != nil {
		return fmt.Errorf("cannot unpin manifest %s of slot %s: %w", p, slot, err)
	}
	return nil
}

// Pins returns why each pinned manifest of a slot is kept. A pin that is corrupt is kept, too.
func (r *Repository) Pins(ctx context.Context, slot string) (map[Position]string, error) {
	if err := checkSlot(slot); err != nil {
		return nil, err
	}
	out := map[Position]string{}
	err := r.store.list(ctx, pinsPrefix(slot), "", func(o object) error {
		p, err := ParsePosition(strings.TrimSuffix(o.name, ".json"))
		if err != nil {
			return nil //nolint:nilerr // What is none of ours is none of our business.
		}
		var is pin
		name := pinName(slot, p)
		doc, err := r.store.read(ctx, name)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err == nil {
			err = openDocument(r.keys.mac, name, doc, &is)
		}
		switch {
		case err == nil:
			out[p] = is.Why
		case errors.Is(err, ErrCorrupt):
			out[p] = "the pin is corrupt"
		default:
			return err
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list the pins of slot %s: %w", slot, err)
	}
	return out, nil
}

// Remove removes a manifest. It returns ErrPinned for one that is pinned, and ErrInvalid for the slot's newest unless forced: a
// worker would begin with the one before. The chunks go with a sweep. Force it only while nobody writes the slot: a writer holds the
// chunks of its last manifest to be there for the next one.
func (r *Repository) Remove(ctx context.Context, slot string, p Position, force bool) error {
	all, err := r.Positions(ctx, slot)
	if err != nil {
		return err
	}
	if !slices.Contains(all, p) {
		return fmt.Errorf("slot %s has no manifest %s: %w", slot, p, ErrNotFound)
	}
	if p == all[0] && !force {
		return fmt.Errorf("manifest %s is the newest of slot %s: %w", p, slot, ErrInvalid)
	}
	pins, err := r.Pins(ctx, slot)
	if err != nil {
		return err
	}
	return r.removeUnpinned(ctx, slot, p, pins)
}

func (r *Repository) removeUnpinned(ctx context.Context, slot string, p Position, pins map[Position]string) error {
	if why, pinned := pins[p]; pinned {
		return fmt.Errorf("manifest %s of slot %s is pinned (%s): %w", p, slot, why, ErrPinned)
	}
	if err := r.store.remove(ctx, manifestName(slot, p)); err != nil && !errors.Is(err, ErrNotFound) {
		return fmt.Errorf("cannot remove manifest %s of slot %s: %w", p, slot, err)
	}
	return nil
}
