package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"maps"
)

// A Rejected is a manifest that a restore could not use, and why.
type Rejected struct {
	Position Position
	Err      error
}

// A Restored is what a restore took, and what it had to leave: later manifests that are invalid, the latest first.
type Restored struct {
	Manifest Manifest
	Rejected []Rejected
}

// Restore gives the latest manifest with an epoch below the caller's to use, and the one before it if the store has lost
// bytes of that one, and so on. The caller must have claimed its epoch first. use restores, or verifies; where it returns
// ErrNotFound or ErrCorrupt the next is tried, and any other error ends the restore. Without a manifest at all
// it returns ErrNotFound; with none that is valid, ErrCorrupt and what was rejected.
func (r *Repository) Restore(ctx context.Context, slot string, below int64, use func(context.Context, Manifest) error) (Restored, error) {
	var out Restored
	all, err := r.Positions(ctx, slot)
	if err != nil {
		return out, err
	}
	for _, p := range all {
		if p.Epoch >= below {
			continue
		}
		m, err := r.Manifest(ctx, slot, p)
		if err == nil {
			err = use(ctx, m)
		}
		if err == nil {
			out.Manifest = m
			return out, nil
		}
		if !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt) {
			return out, fmt.Errorf("cannot restore manifest %s of slot %s: %w", p, slot, err)
		}
		out.Rejected = append(out.Rejected, Rejected{Position: p, Err: err})
	}
	if len(out.Rejected) > 0 {
		return out, fmt.Errorf("none of the %d manifests of slot %s is valid: %w", len(out.Rejected), slot, ErrCorrupt)
	}
	return out, fmt.Errorf("slot %s has no manifest: %w", slot, ErrNotFound)
}

// Adopt commits what was restored as the session's own first checkpoint, so that no later manifest of a lower epoch is
// ever taken for newer. It returns ErrNotFound if the restored manifest was removed meanwhile: restore again.
func (s *Session) Adopt(ctx context.Context, m Manifest, reason string) (Manifest, error) {
	refs, err := s.repo.References(ctx, m)
	if err != nil {
		return Manifest{}, err
	}
	from := m.Position
	s.mu.Lock()
	s.reset(&from, maps.Clone(refs))
	s.mu.Unlock()
	save := Save{Reason: reason, Files: m.Files, Bytes: m.Bytes, Tree: m.Tree}
	for _, list := range m.Lists {
		delete(refs, list) // Its own lists are the same chunks, and no part of the state.
	}
	for id := range refs {
		save.Chunks = append(save.Chunks, id)
	}
	got, err := s.Commit(ctx, save)
	if err != nil {
		return Manifest{}, err
	}
	// It kept its chunks from being swept as long as it was there. If it still is, ours keeps them from here on.
	if _, err := s.repo.Manifest(ctx, m.Slot, m.Position); err != nil {
		return Manifest{}, fmt.Errorf("cannot adopt: %w", err)
	}
	return got, nil
}
