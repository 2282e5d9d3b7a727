package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A Session writes the checkpoints of one slot for the holder of one epoch: any number of Put, then Commit, and again.
type Session struct {
	repo   *Repository
	slot   string
	epoch  int64
	writer string

	// renewing is held while it is found out which sweep was the last.
	renewing sync.Mutex

	mu     sync.Mutex
	next   int64
	parent *Position
	// held are the chunks of the last manifest, which no sweep takes before the next one is committed.
	held map[ID]struct{}
	// fresh are the chunks put since then; the first put began at started.
	fresh   map[ID]struct{}
	started time.Time
	stored  int64
	// sweep is the last sweep that was announced before the first of them was renewed; nil if none was.
	sweep *sweep
}

// A Save is what Commit makes a manifest of.
type Save struct {
	Reason string
	Drain  string
	Files  int64
	Bytes  int64
	// Tree are the chunks of the tree, in order.
	Tree []ID
	// Chunks are all others that the tree needs. Each was put since the last commit, or was in the last manifest.
	Chunks []ID
}

// Session returns a writer for the holder of an epoch. It goes on behind what that epoch has written already.
func (r *Repository) Session(ctx context.Context, slot string, epoch int64) (*Session, error) {
	if epoch < 1 || epoch > maxNumber {
		return nil, fmt.Errorf("epoch %d is out of range: %w", epoch, ErrInvalid)
	}
	all, err := r.Positions(ctx, slot)
	if err != nil {
		return nil, err
	}
	s := &Session{repo: r, slot: slot, epoch: epoch, writer: randomHex(16), next: 1}
	for _, p := range all {
		if p.Epoch == epoch {
			s.next = max(s.next, p.Sequence+1)
		}
	}
	s.reset(nil, nil)
	if err := s.owns(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Session) reset(parent *Position, held map[ID]struct{}) {
	s.parent, s.held, s.fresh, s.started, s.stored, s.sweep = parent, held, make(map[ID]struct{}), time.Time{}, 0, nil
}

// owns returns ErrFenced unless the session's epoch is the slot's highest.
func (s *Session) owns(ctx context.Context) error {
	top, err := s.repo.highestEpoch(ctx, s.slot)
	if err != nil {
		return err
	}
	if top != s.epoch {
		return fmt.Errorf("epoch %d of slot %s is not the highest, %d: %w", s.epoch, s.slot, top, ErrFenced)
	}
	return nil
}

// Put stores a chunk and returns its id. What the session knows to be there costs no request. Many may put at once.
func (s *Session) Put(ctx context.Context, plain []byte) (ID, error) {
	id, err := s.repo.ID(plain)
	if err != nil {
		return ID{}, err
	}
	s.mu.Lock()
	_, held := s.held[id]
	_, fresh := s.fresh[id]
	if s.started.IsZero() && !held {
		s.started = s.repo.opts.Now()
	}
	s.mu.Unlock()
	if held || fresh {
		return id, nil
	}
	n, err := s.repo.put(ctx, id, plain, s.renew)
	if err != nil {
		return ID{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fresh[id] = struct{}{}
	s.stored += n
	return id, nil
}

// Get returns a chunk's bytes, verified.
func (s *Session) Get(ctx context.Context, id ID) ([]byte, error) { return s.repo.Get(ctx, id) }

// Commit makes a checkpoint of what was put. Once it returns nil, whoever claims the slot later sees this checkpoint or a
// later one. ErrFenced is for good. After any other error the checkpoint may exist or not; the next one goes behind it.
func (s *Session) Commit(ctx context.Context, save Save) (Manifest, error) {
	refs, err := s.check(save)
	if err != nil {
		return Manifest{}, err
	}
	lists, err := s.putLists(ctx, refs)
	if err != nil {
		return Manifest{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if d := s.repo.opts.Now().Sub(s.started); !s.started.IsZero() && d > s.repo.opts.Window/4 {
		s.reset(s.parent, s.held) // Chunks that were put are looked for again, and renewed where they are old.
		return Manifest{}, fmt.Errorf("cannot commit after %s: %w", d, ErrSlow)
	}
	if err := s.unswept(ctx); err != nil {
		return Manifest{}, err
	}
	m := Manifest{
		Version: FormatVersion, Slot: s.slot, Position: Position{Epoch: s.epoch, Sequence: s.next}, Writer: s.writer,
		Time: s.repo.now(), Reason: save.Reason, Drain: save.Drain, Files: save.Files, Bytes: save.Bytes,
		Stored: s.stored, Parent: s.parent, Tree: slices.Clone(save.Tree), Lists: lists,
	}
	if err := s.create(ctx, &m); err != nil {
		return Manifest{}, err
	}
	s.next = m.Sequence + 1
	// Only now: who claims after this look lists after it too, and so sees the manifest.
	if err := s.owns(ctx); err != nil {
		return Manifest{}, err
	}
	held := make(map[ID]struct{}, len(refs)+len(lists))
	for _, id := range slices.Concat(refs, lists) {
		held[id] = struct{}{}
	}
	s.reset(&m.Position, held)
	return m, nil
}

// renew looks which sweep was the last, before a chunk is renewed. While one goes on nothing is: it may have found the chunk
// old, and take it when it is young. Of many at once one looks, since the first look is what counts: who looked before it and
// was slower may have renewed a chunk under an older sweep than the one that is remembered.
func (s *Session) renew(ctx context.Context) error {
	s.renewing.Lock()
	defer s.renewing.Unlock()
	s.mu.Lock()
	seen := s.sweep
	s.mu.Unlock()
	if seen != nil {
		return nil
	}
	last, err := s.repo.lastSweep(ctx)
	if err != nil {
		return err
	}
	if !last.Done {
		return fmt.Errorf("cannot renew a chunk: %w", ErrSweeping)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sweep == nil {
		s.sweep = &last
	}
	return nil
}

// unswept returns ErrSweeping if a sweep was announced since the first chunk of this save was renewed.
func (s *Session) unswept(ctx context.Context) error {
	if s.sweep == nil {
		return nil
	}
	last, err := s.repo.lastSweep(ctx)
	if err != nil {
		return err
	}
	if last.Token != s.sweep.Token || !last.Done {
		s.reset(s.parent, s.held)
		return fmt.Errorf("cannot commit over renewed chunks: %w", ErrSweeping)
	}
	return nil
}

// Resume goes on from what this epoch has committed already, as a writer does that was started again: what the manifest has
// costs no request. It returns ErrInvalid for a manifest of another slot or epoch.
func (s *Session) Resume(ctx context.Context, m Manifest) error {
	if m.Slot != s.slot || m.Epoch != s.epoch {
		return fmt.Errorf("manifest %s of slot %s is not of epoch %d of slot %s: %w", m.Position, m.Slot, s.epoch, s.slot, ErrInvalid)
	}
	refs, err := s.repo.References(ctx, m)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reset(&m.Position, refs)
	return nil
}

// check returns what a save refers to, sorted, each once, all of it known to be in the store.
func (s *Session) check(save Save) ([]ID, error) {
	refs := slices.Concat(save.Tree, save.Chunks)
	slices.SortFunc(refs, func(a, b ID) int { return bytes.Compare(a[:], b[:]) })
	refs = slices.Compact(refs)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range refs {
		_, held := s.held[id]
		if _, fresh := s.fresh[id]; !held && !fresh {
			return nil, fmt.Errorf("cannot commit chunk %s, which was not put: %w", id, ErrInvalid)
		}
	}
	return refs, nil
}

func (s *Session) putLists(ctx context.Context, refs []ID) ([]ID, error) {
	lists := []ID{}
	for part := range slices.Chunk(refs, idsPerList) {
		var b []byte
		for _, id := range part {
			b = append(b, id[:]...)
		}
		id, err := s.Put(ctx, b)
		if err != nil {
			return nil, fmt.Errorf("cannot put the list of chunks: %w", err)
		}
		lists = append(lists, id)
	}
	return lists, nil
}

// create writes the manifest at the next sequence, behind any of this session's whose answer was lost.
func (s *Session) create(ctx context.Context, m *Manifest) error {
	for range maxRaces {
		name := manifestName(s.slot, m.Position)
		doc, err := sealDocument(s.repo.keys.mac, name, m)
		if err != nil {
			return err
		}
		err = s.repo.store.create(ctx, name, doc)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrExists) {
			return fmt.Errorf("cannot commit manifest %s of slot %s: %w", m.Position, s.slot, err)
		}
		there, err := s.repo.Manifest(ctx, s.slot, m.Position)
		if err != nil {
			return err
		}
		if there.Writer != s.writer {
			return fmt.Errorf("another writes epoch %d of slot %s: %w", s.epoch, s.slot, ErrFenced)
		}
		m.Sequence++
	}
	return fmt.Errorf("cannot find a free sequence in epoch %d of slot %s: %w", s.epoch, s.slot, ErrExists)
}
