package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

const (
	chunksPrefix = "chunks/"
	// sweepName is the object that announces that chunks are being removed.
	sweepName = "sweep.json"
	// removing is how long chunks are removed at a time: as long, saves that renew old chunks wait.
	removing = time.Minute
	// maxRelist is how often a slot is listed again whose manifests are removed while they are read.
	maxRelist = 8
)

// A sweep announces that chunks are being removed, until it is done.
type sweep struct {
	Version int       `json:"version"`
	Token   string    `json:"token"`
	Time    time.Time `json:"time"`
	Done    bool      `json:"done"`
}

// A Swept is what a sweep did.
type Swept struct {
	// Chunks is how many there were, Young how many of them were spared for their age, and Needed how many a manifest needs.
	Chunks, Young, Needed int64
	// Removed is how many were removed, Freed their bytes in the store, and Left how many are to go the next time.
	Removed, Freed, Left int64
	// Stored is how many bytes all chunks take that are left.
	Stored int64
}

// Sweep removes the chunks that no manifest needs and that are older than the safety window. Only one may run at a time in a
// repository; it removes for a minute at most, and goes on the next time. It removes nothing unless it has read all that
// every manifest needs: one that cannot be read ends it. It holds at most 180 bytes of memory for a chunk that is old and
// needed: 360 KiB for each GiB of states, by chunks of 512 KiB.
//
// It never takes what a save relies on. What a save found younger than half a window is not old before the manifest is there,
// and then it is needed. Before a save renews what it found older, and again before it commits, it looks for the last sweep: if
// one goes on, or is another the second time, the save is not made. Else the next sweep announces itself after the commit's
// look, looks at the chunk after that, and finds it young.
func (r *Repository) Sweep(ctx context.Context) (Swept, error) {
	var out Swept
	old, err := r.oldChunks(ctx, &out)
	if err != nil || len(old) == 0 {
		return out, err
	}
	needed, err := r.mark(ctx)
	if err != nil {
		return out, fmt.Errorf("cannot sweep, since what is needed is not known: %w", err)
	}
	out.Needed = int64(len(needed))
	for id := range needed {
		delete(old, id)
	}
	if len(old) == 0 {
		return out, nil
	}
	out.Left = int64(len(old))
	err = r.announced(ctx, func() error { return r.removeOld(ctx, old, &out) })
	return out, err
}

// announced does what removes chunks, between the two announcements of a sweep.
func (r *Repository) announced(ctx context.Context, remove func() error) error {
	this := sweep{Version: FormatVersion, Token: randomHex(16), Time: r.now()}
	if err := r.announce(ctx, this); err != nil {
		return err
	}
	err := remove()
	// That it is over is told even when time is up: saves wait for that.
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.opts.Timeout)
	defer cancel()
	this.Done = true
	return errors.Join(err, r.announce(late, this))
}

func (r *Repository) announce(ctx context.Context, s sweep) error {
	doc, err := sealDocument(r.keys.mac, sweepName, s)
	if err != nil {
		return err
	}
	if err := r.store.write(ctx, sweepName, doc); err != nil {
		return fmt.Errorf("cannot announce the sweep: %w", err)
	}
	return nil
}

// lastSweep returns the last sweep that was announced; one that is done, and has no token, where none ever was.
func (r *Repository) lastSweep(ctx context.Context) (sweep, error) {
	var s sweep
	doc, err := r.store.read(ctx, sweepName)
	if errors.Is(err, ErrNotFound) {
		return sweep{Done: true}, nil
	}
	if err == nil {
		err = openDocument(r.keys.mac, sweepName, doc, &s)
	}
	if err != nil {
		return s, fmt.Errorf("cannot look for a sweep: %w", err)
	}
	return s, nil
}

// EndSweep says that a sweep is over whose process died. Whoever is alone allowed to sweep calls it before anything else.
func (r *Repository) EndSweep(ctx context.Context) error {
	s, err := r.lastSweep(ctx)
	if err != nil && !errors.Is(err, ErrCorrupt) || s.Done {
		return err
	}
	return r.announce(ctx, sweep{Version: FormatVersion, Token: randomHex(16), Time: r.now(), Done: true})
}

// oldChunks lists all chunks and returns the sizes of those that are older than the window.
func (r *Repository) oldChunks(ctx context.Context, out *Swept) (map[ID]int64, error) {
	old := map[ID]int64{}
	before := r.opts.Now().Add(-r.opts.Window)
	err := r.eachChunk(ctx, chunksPrefix, func(id ID, o object) error {
		out.Chunks++
		out.Stored += o.size
		if o.modified.After(before) {
			out.Young++
		} else {
			old[id] = o.size
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return old, nil
}

// eachChunk calls f for the chunks whose names begin so, in the order of their ids.
func (r *Repository) eachChunk(ctx context.Context, prefix string, f func(ID, object) error) error {
	err := r.store.list(ctx, prefix, "", func(o object) error {
		var id ID
		name := prefix + o.name
		if id.UnmarshalText([]byte(name[strings.LastIndexByte(name, '/')+1:])) != nil || chunkName(id) != name {
			return nil //nolint:nilerr // What is none of ours is none of our business.
		}
		return f(id, o)
	})
	if err != nil {
		return fmt.Errorf("cannot go through the chunks: %w", err)
	}
	return nil
}

// removeOld removes chunks that are still old, for a while.
func (r *Repository) removeOld(ctx context.Context, old map[ID]int64, out *Swept) error {
	began := r.opts.Now()
	ids := slices.SortedFunc(maps.Keys(old), func(a, b ID) int { return bytes.Compare(a[:], b[:]) })
	for _, id := range ids {
		size := old[id]
		if r.opts.Now().Sub(began) > removing {
			return nil
		}
		removed, err := r.removeIfOld(ctx, id, began.Add(-r.opts.Window))
		if err != nil {
			return fmt.Errorf("cannot remove chunk %s: %w", id, err)
		}
		out.Left--
		if !removed {
			out.Young++ // It was renewed.
			continue
		}
		out.Removed++
		out.Freed += size
		out.Stored -= size
	}
	return nil
}

// removeIfOld removes a chunk that was not written since. It looks before each attempt: one whose answer was lost may have
// removed the chunk, and a save have stored it anew.
func (r *Repository) removeIfOld(ctx context.Context, id ID, before time.Time) (bool, error) {
	var err error
	for range r.opts.Attempts {
		var at time.Time
		at, err = r.store.modified(ctx, chunkName(id))
		if err == nil && at.After(before) {
			return false, nil
		}
		if err == nil {
			err = r.store.once(ctx, func(ctx context.Context) error { return fromStore(r.store.bucket.Delete(ctx, chunkName(id))) })
		}
		if err == nil || errors.Is(err, ErrNotFound) {
			return true, nil
		}
		if final(err) || ctx.Err() != nil {
			break
		}
	}
	return false, err
}

// mark returns all chunks that any manifest needs.
func (r *Repository) mark(ctx context.Context) (map[ID]struct{}, error) {
	slots, err := r.Slots(ctx)
	if err != nil {
		return nil, err
	}
	m := marked{repo: r, needed: map[ID]struct{}{}, lists: map[ID]struct{}{}}
	for _, slot := range slots {
		if err := m.slot(ctx, slot); err != nil {
			return nil, err
		}
	}
	return m.needed, nil
}

// marked are chunks that some manifest needs, and the lists that were read for it.
type marked struct {
	repo          *Repository
	needed, lists map[ID]struct{}
}

// slot marks what a slot needs. A manifest that was removed after it was listed may have a younger one by now that needs what
// it needed: so the slot is listed again.
func (m *marked) slot(ctx context.Context, slot string) error {
	for range maxRelist {
		all, err := m.repo.Positions(ctx, slot)
		if err != nil {
			return err
		}
		for _, p := range all {
			if err = m.manifest(ctx, slot, p); err != nil {
				break
			}
		}
		if !errors.Is(err, errGone) {
			return err
		}
	}
	return fmt.Errorf("the manifests of slot %s are removed faster than they can be read: %w", slot, ErrSlow)
}

// errGone: a manifest was removed after it was listed.
var errGone = errors.New("the manifest is gone")

func (m *marked) manifest(ctx context.Context, slot string, p Position) error {
	is, err := m.repo.Manifest(ctx, slot, p)
	if errors.Is(err, ErrNotFound) {
		return errGone
	}
	if err != nil {
		return err
	}
	for _, id := range is.Tree {
		m.needed[id] = struct{}{}
	}
	// Lists that another manifest had are not read again.
	is.Lists = slices.DeleteFunc(is.Lists, func(id ID) bool { _, known := m.lists[id]; return known })
	refs, err := m.repo.References(ctx, is)
	if err != nil {
		return err
	}
	for id := range refs {
		m.needed[id] = struct{}{}
	}
	for _, id := range is.Lists {
		m.lists[id] = struct{}{}
	}
	return nil
}
