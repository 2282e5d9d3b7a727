package tree

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
)

const (
	// small is up to which size files share chunks, and packSize how long such a chunk is. Ten thousand small files are a few
	// dozens of objects so, and not ten thousand.
	small    = 128 << 10
	packSize = 1 << 20
)

// store stores a chunk.
func (s *saver) store(b []byte) (checkpoint.ID, error) {
	id, err := s.put(s.ctx, b)
	if err != nil {
		return id, fmt.Errorf("cannot store a chunk: %w", err)
	}

	return id, nil
}

// flights is how many chunks are stored at once: with the one that is read meanwhile, enough for two processors and for a store that
// is far away, and few enough for the memory.
const flights = 2

// A flight is a chunk that is being stored, for a part of a file.
type flight struct {
	part int
	id   checkpoint.ID
	err  error
	done chan struct{}
}

// A fleet is what is being stored of one file, in order. Who launches waits until all have landed.
type fleet struct {
	s   *saver
	k   *known
	all []*flight
}

// launch begins to store the bytes of the file's last part, once there is room.
func (l *fleet) launch(b []byte) error {
	for len(l.all) >= flights {
		if err := l.land(); err != nil {
			return err
		}
	}

	f := &flight{part: len(l.k.refs) - 1, done: make(chan struct{})}
	l.all = append(l.all, f)

	go func() {
		defer close(f.done)

		f.id, f.err = l.s.store(b)
	}()

	return nil
}

// land waits for the first and notes where its part is.
func (l *fleet) land() error {
	f := l.all[0]
	l.all = l.all[1:]

	<-f.done

	l.k.refs[f.part].chunk = f.id

	return f.err
}

// empty waits for all, and returns the first error.
func (l *fleet) empty() (err error) {
	for len(l.all) > 0 {
		if e := l.land(); err == nil {
			err = e
		}
	}

	return err
}

// A pack is a chunk that small files share. Until it is stored its parts are known by a number only.
type pack struct {
	buf    []byte
	number uint64
	ids    map[uint64]checkpoint.ID
}

// pending marks a part of a pack that is not stored yet: the number stands where the chunk's id will.
func pending(number uint64) (id checkpoint.ID) {
	binary.LittleEndian.PutUint64(id[:], number)

	return id
}

func (s *saver) addToPack(b []byte) (ref, error) {
	if len(s.pack.buf)+len(b) > packSize {
		if err := s.flushPack(); err != nil {
			return ref{}, err
		}
	}

	r := ref{chunk: pending(s.pack.number), offset: uint32(len(s.pack.buf)) | unresolved, length: int64(len(b))} //nolint:gosec // A pack is a megabyte.
	s.pack.buf = append(s.pack.buf, b...)

	return r, nil
}

// unresolved is set in the offset of a part whose pack was not stored when it was read. Offsets are far below it.
const unresolved = 1 << 31

func (s *saver) flushPack() error {
	if len(s.pack.buf) == 0 {
		return nil
	}

	id, err := s.store(s.pack.buf)
	if err != nil {
		return err
	}

	if s.pack.ids == nil {
		s.pack.ids = map[uint64]checkpoint.ID{}
	}

	s.pack.ids[s.pack.number] = id
	s.pack.number++
	s.pack.buf = s.pack.buf[:0]

	return nil
}

// resolved returns parts with the ids of their packs, all of which are stored.
func (s *saver) resolved(refs []ref) []ref {
	for i, r := range refs {
		if r.offset&unresolved == 0 || r.hole {
			continue
		}

		refs[i].chunk, refs[i].offset = s.pack.ids[binary.LittleEndian.Uint64(r.chunk[:])], r.offset&^unresolved
	}

	return refs
}

// A chunkWriter cuts the tree itself.
type chunkWriter struct {
	s   *saver
	buf []byte
	ids []checkpoint.ID
}

// treeChunk is how long the chunks of a tree are.
const treeChunk = 256 << 10

// Write stores whole chunks of what is written.
func (w *chunkWriter) Write(b []byte) (int, error) {
	w.buf = append(w.buf, b...)

	for len(w.buf) >= 2*treeChunk {
		if err := w.cut(treeChunk); err != nil {
			return 0, err
		}
	}

	return len(b), nil
}

func (w *chunkWriter) cut(n int) error {
	id, err := w.s.store(w.buf[:n])
	if err != nil {
		return err
	}

	w.ids = append(w.ids, id)
	w.buf = append(w.buf[:0], w.buf[n:]...)

	return nil
}

func (w *chunkWriter) flush() error {
	if len(w.buf) == 0 {
		return nil
	}

	return w.cut(len(w.buf))
}

// A limit bounds how fast files are read.
type limit struct {
	rate  int64
	began time.Time
	read  int64
}

func newLimit(rate int64) *limit { return &limit{rate: rate, began: time.Now()} }

// wait waits until n more bytes may be read.
func (l *limit) wait(ctx context.Context, n int) error {
	if l.rate <= 0 {
		return ctx.Err()
	}

	l.read += int64(n)
	due := l.began.Add(time.Duration(float64(l.read) / float64(l.rate) * float64(time.Second)))

	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Until(due)):
		return nil
	}
}
