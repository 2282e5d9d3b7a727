package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// A Cursor is where a scrub goes on: empty at the beginning, and after the end.
type Cursor string

// Where a scrub is: first in the slots, one after the other, and then in the chunks, in the order of their ids.
const (
	inSlots  = "slots/"
	inChunks = chunksPrefix
)

// A Hurt is a manifest that cannot be restored whole.
type Hurt struct {
	Slot     string
	Position Position
}

// A Damage is an object that is lost or corrupt, and what that hurts: nothing, if it is a chunk that no manifest needs.
type Damage struct {
	Object string
	Err    error
	Hurts  []Hurt
}

// A Scrubbed is what a portion of a scrub has looked at.
type Scrubbed struct {
	// Slots and Chunks are how many were looked at, Bytes how long those chunks are in the store.
	Slots, Chunks, Bytes int64
	Damaged              []Damage
}

// Scrub reads everything anew, a portion at a time: the manifests of each slot and what they refer to, and then the chunks until
// they are at least as many bytes as the budget. It returns where the next portion begins; an empty cursor says that all has been read.
// After an error, as when the store is not reached, the scrub goes on at that cursor, too, even an empty one.
// What is damaged is no error. A portion takes at least one slot or one chunk, and at most 80 bytes of memory for each chunk that its slots
// need; it lists the chunks once if it looks at slots. For each portion that finds damage all manifests are read, to say whom it
// hurts.
func (r *Repository) Scrub(ctx context.Context, from Cursor, budget int64) (Scrubbed, Cursor, error) {
	s := scrub{repo: r, lost: map[ID]error{}, budget: budget}
	next, err := s.portion(ctx, from)
	if len(s.lost) > 0 {
		if berr := s.blame(ctx); berr != nil {
			next, err = from, errors.Join(err, berr) // What was found would else be forgotten.
		}
	}
	if err != nil {
		return s.out, next, fmt.Errorf("cannot scrub to the end of the portion: %w", err)
	}
	return s.out, next, nil
}

type scrub struct {
	repo   *Repository
	out    Scrubbed
	budget int64
	// lost are the chunks that are not what they should be.
	lost map[ID]error
	// plain is the chunk that was read last, for the room that it takes.
	plain []byte
}

func (s *scrub) portion(ctx context.Context, from Cursor) (Cursor, error) {
	at := string(from)
	switch {
	case at == "":
		return s.slots(ctx, "")
	case strings.HasPrefix(at, inSlots):
		return s.slots(ctx, strings.TrimPrefix(at, inSlots))
	case strings.HasPrefix(at, inChunks):
		var last ID
		if err := last.UnmarshalText([]byte(strings.TrimPrefix(at, inChunks))); err != nil {
			return "", fmt.Errorf("cannot read the cursor: %w", err)
		}
		return s.chunks(ctx, last)
	}
	return "", fmt.Errorf("a scrub does not go on at %q: %w", at, ErrInvalid)
}

// slots looks at the slots behind one, until it has read enough of their lists. Then it looks for the chunks that they need.
func (s *scrub) slots(ctx context.Context, last string) (Cursor, error) {
	all, err := s.repo.Slots(ctx)
	if err != nil {
		return Cursor(inSlots + last), err
	}
	next := Cursor(inSlots + last)
	m := marked{repo: s.repo, needed: map[ID]struct{}{}, lists: map[ID]struct{}{}}
	for _, slot := range all {
		if slot <= last {
			continue
		}
		if int64(len(m.needed)*len(ID{})) > s.budget {
			return next, s.missing(ctx, m.needed)
		}
		if err := s.slot(ctx, &m, slot); err != nil {
			return next, errors.Join(err, s.missing(ctx, m.needed))
		}
		s.out.Slots++
		next = Cursor(inSlots + slot)
	}
	if err := s.missing(ctx, m.needed); err != nil {
		return next, err
	}
	return Cursor(inChunks + ID{}.String()), nil
}

// slot reads a slot's manifests, and marks what they need. What cannot be read is named, and the others are read.
func (s *scrub) slot(ctx context.Context, m *marked, slot string) error {
	all, err := s.repo.Positions(ctx, slot)
	if err != nil {
		return err
	}
	for _, p := range all {
		if err := s.manifest(ctx, m, slot, p); err != nil {
			return err
		}
	}
	return s.owner(ctx, slot)
}

// owner reads the highest claim, the only one that anybody asks for.
func (s *scrub) owner(ctx context.Context, slot string) error {
	top, err := s.repo.highestEpoch(ctx, slot)
	if err != nil || top == 0 {
		return err
	}
	_, err = s.repo.epoch(ctx, slot, top)
	if err != nil && !lostOrCorrupt(err) {
		return err
	}
	if errors.Is(err, ErrCorrupt) {
		s.damaged(epochObject(slot, top), err)
	}
	return nil
}

func (s *scrub) manifest(ctx context.Context, m *marked, slot string, p Position) error {
	is, err := s.repo.Manifest(ctx, slot, p)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil // It was removed after it was listed.
	case errors.Is(err, ErrCorrupt):
		s.damaged(manifestName(slot, p), err, Hurt{Slot: slot, Position: p})
		return nil
	case err != nil:
		return err
	}
	for _, id := range slices.Concat(is.Tree, is.Lists) {
		m.needed[id] = struct{}{}
	}
	for _, list := range is.Lists {
		if _, known := m.lists[list]; known {
			continue
		}
		m.lists[list] = struct{}{}
		refs, err := s.repo.References(ctx, Manifest{Slot: slot, Position: p, Lists: []ID{list}})
		if err != nil && !lostOrCorrupt(err) {
			return err
		}
		if err != nil {
			s.lost[list] = err
		}
		maps.Copy(m.needed, refs)
	}
	return nil
}

func (s *scrub) damaged(name string, err error, hurts ...Hurt) {
	s.out.Damaged = append(s.out.Damaged, Damage{Object: name, Err: err, Hurts: hurts})
}

// missing finds which of the needed chunks are not there.
func (s *scrub) missing(ctx context.Context, needed map[ID]struct{}) error {
	if len(needed) == 0 {
		return nil
	}
	if err := s.repo.eachChunk(ctx, chunksPrefix, func(id ID, _ object) error {
		delete(needed, id)
		return nil
	}); err != nil {
		return err
	}
	for id := range needed {
		// A listing takes long enough for a chunk to come behind it.
		_, err := s.repo.store.modified(ctx, chunkName(id))
		if err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("cannot look for chunk %s: %w", id, err)
		}
		if err != nil {
			s.lost[id] = err
		}
	}
	return nil
}

// errEnough ends a listing.
var errEnough = errors.New("enough")

// chunks reads the chunks behind one. They are listed by the first two digits, so that a portion lists few that it does not read.
func (s *scrub) chunks(ctx context.Context, last ID) (Cursor, error) {
	begin, enough := last, false
	for first := int(begin[0]); first <= 0xff; first++ {
		err := s.repo.eachChunk(ctx, fmt.Sprintf("%s%02x/", chunksPrefix, first), func(id ID, _ object) error {
			if bytes.Compare(id[:], begin[:]) <= 0 {
				return nil
			}
			if err := s.chunk(ctx, id); err != nil {
				return err
			}
			last = id
			if enough = s.out.Bytes >= s.budget; enough {
				return errEnough
			}
			return nil
		})
		if enough {
			return Cursor(inChunks + last.String()), nil
		}
		if err != nil {
			return Cursor(inChunks + last.String()), err
		}
	}
	return "", nil
}

func (s *scrub) chunk(ctx context.Context, id ID) error {
	buf := takeBuffer()
	defer buf.free()
	obj, err := s.repo.store.readInto(ctx, chunkName(id), maxObject, buf[:])
	if errors.Is(err, ErrNotFound) {
		return nil // It was swept after it was listed.
	}
	if err == nil {
		s.out.Bytes += int64(len(obj))
		s.plain, err = s.repo.keys.openChunk(id, obj, s.plain)
	}
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return err
	}
	s.out.Chunks++
	if err != nil {
		s.lost[id] = err
	}
	return nil
}

// blame says whom the lost chunks hurt.
func (s *scrub) blame(ctx context.Context) error {
	slots, err := s.repo.Slots(ctx)
	if err != nil {
		return err
	}
	hurts := map[ID][]Hurt{}
	for _, slot := range slots {
		all, err := s.repo.Positions(ctx, slot)
		if err != nil {
			return err
		}
		for _, p := range all {
			ids, err := s.needs(ctx, slot, p)
			if err != nil {
				return err
			}
			for _, id := range ids {
				hurts[id] = append(hurts[id], Hurt{Slot: slot, Position: p})
			}
		}
	}
	for id, err := range s.lost {
		if errors.Is(err, ErrNotFound) && len(hurts[id]) == 0 {
			continue // Who needed it is gone, too, since it was looked for.
		}
		s.damaged(chunkName(id), err, hurts[id]...)
	}
	slices.SortFunc(s.out.Damaged, func(a, b Damage) int { return strings.Compare(a.Object, b.Object) })
	return nil
}

// needs returns which of the lost chunks a manifest needs, as far as it can be read.
func (s *scrub) needs(ctx context.Context, slot string, p Position) ([]ID, error) {
	m, err := s.repo.Manifest(ctx, slot, p)
	if err != nil {
		if lostOrCorrupt(err) {
			return nil, nil // It is named for itself.
		}
		return nil, err
	}
	refs := map[ID]struct{}{}
	for _, id := range slices.Concat(m.Tree, m.Lists) {
		refs[id] = struct{}{}
	}
	all, err := s.repo.References(ctx, m)
	if err != nil && !lostOrCorrupt(err) {
		return nil, err
	}
	var out []ID
	for id := range s.lost {
		_, here := refs[id]
		if _, there := all[id]; here || there {
			out = append(out, id)
		}
	}
	return out, nil
}

// Discard removes a chunk that is corrupt. Nothing is lost, as nobody can read it; but a save that finds it relies on it. Once it is
// gone a save of the same bytes stores it anew, and heals every manifest that needs it. It does nothing to a chunk that is
// whole or gone. It counts as a sweep: only one of both may run at a time.
func (r *Repository) Discard(ctx context.Context, id ID) error {
	return r.announced(ctx, func() error {
		var err error
		for range r.opts.Attempts {
			// Looked at before each attempt, as a sweep does.
			if _, err = r.Get(ctx, id); err == nil || errors.Is(err, ErrNotFound) {
				return nil
			}
			if !errors.Is(err, ErrCorrupt) {
				break
			}
			err = r.store.once(ctx, func(ctx context.Context) error { return fromStore(r.store.bucket.Delete(ctx, chunkName(id))) })
			if err == nil || errors.Is(err, ErrNotFound) {
				return nil
			}
		}
		return fmt.Errorf("cannot discard chunk %s: %w", id, err)
	})
}
