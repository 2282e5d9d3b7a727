package tree

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/restic/chunker"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
)

const (
	// small is up to which size files share chunks, and packSize how long such a chunk is. Ten thousand small files are a few
	// dozens of objects so, and not ten thousand.
	small    = 128 << 10
	packSize = 1 << 20
)

// A cutter cuts a stream where its content says, so that the same content is cut alike wherever it stands.
type cutter struct {
	c   *chunker.Chunker
	pol chunker.Pol
	o   checkpoint.Chunker
	// Two buffers in turn: while one chunk is stored the next one is cut.
	buf [2][]byte
	n   int
}

func newCutter(o checkpoint.Chunker) (*cutter, error) {
	pol, err := strconv.ParseUint(o.Polynomial, 16, 64)
	if err != nil || o.Min <= 0 || o.Max < o.Min || o.Max > checkpoint.MaxChunk {
		return nil, fmt.Errorf("cannot cut files as the repository says: %w", checkpoint.ErrInvalid)
	}

	c := &cutter{pol: chunker.Pol(pol), o: o, buf: [2][]byte{make([]byte, o.Max), make([]byte, o.Max)}}
	c.c = chunker.New(nil, c.pol)

	return c, nil
}

// begin prepares the cutter for a stream.
func (c *cutter) begin(r io.Reader) {
	c.c.ResetWithBoundaries(r, c.pol, uint(c.o.Min), uint(c.o.Max))

	bits := 0
	for 1<<(bits+1) <= c.o.Average {
		bits++
	}

	c.c.SetAverageBits(bits)
}

// next returns the next chunk, valid until it has been called twice again, or io.EOF.
func (c *cutter) next() ([]byte, error) {
	c.n++
	chunk, err := c.c.Next(c.buf[c.n%2])

	return chunk.Data, err
}

// store stores a chunk.
func (s *saver) store(b []byte) (checkpoint.ID, error) {
	id, err := s.put(s.ctx, b)
	if err != nil {
		return id, fmt.Errorf("cannot store a chunk: %w", err)
	}

	return id, nil
}

// A flight is a chunk that is being stored.
type flight struct {
	id   checkpoint.ID
	err  error
	done chan struct{}
}

// launch begins to store a chunk. Who launches waits until it has landed.
func (s *saver) launch(b []byte) *flight {
	f := &flight{done: make(chan struct{})}

	go func() {
		defer close(f.done)

		f.id, f.err = s.store(b)
	}()

	return f
}

// land returns the chunk's id when it is stored. Nothing that flies lands at once.
func (f *flight) land() (checkpoint.ID, error) {
	if f == nil {
		return checkpoint.ID{}, nil
	}

	<-f.done

	return f.id, f.err
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
