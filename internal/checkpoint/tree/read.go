package tree

import (
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// tick is how coarse the kernel's times of files are, and more: of a file that was written less long ago it cannot be told
// whether it was written again meanwhile.
const tick = 20 * time.Millisecond

// read reads a file in one piece, and returns false if it is left out. What cannot be read in one piece is taken as it was saved
// before, if it was: no snapshot has a file of which one half is of another time than the other.
func (s *saver) read(at place, name string, before known, had bool) (known, bool, error) {
	p := at.join(name)

	for n := 1; ; n++ {
		k, err := s.readOnce(at.root, name, before, had)

		switch {
		case err == nil:
			return k, true, nil
		case errors.Is(err, fs.ErrNotExist):
			return known{}, false, nil // It went meanwhile.
		case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.ELOOP):
			s.note(p, "it cannot be opened, and is left out")

			return known{}, false, nil
		case !errors.Is(err, errTorn):
			return known{}, false, err
		}

		if n < s.o.Attempts {
			continue
		}

		if had {
			s.note(p, "it was written all the time, and is taken as it was saved before")

			return before, true, nil
		}

		s.note(p, "it was written all the time, and is left out until it is not")

		return known{}, false, nil
	}
}

// errTorn: a file was written while it was read.
var errTorn = errors.New("written while it was read")

// readOnce reads a file, or returns errTorn.
func (s *saver) readOnce(root *os.Root, name string, before known, had bool) (known, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return known{}, bare(err)
	}
	defer f.Close() // It was only read.

	info, err := f.Stat()
	if err != nil {
		return known{}, fmt.Errorf("cannot look at a file: %w", bare(err))
	}

	if !info.Mode().IsRegular() {
		return known{}, fs.ErrNotExist // It became something else, which the next save looks at.
	}

	k := known{stamp: stampOf(info)}

	// A write within the tick of the last one would not show.
	young := time.Since(time.Unix(0, max(k.stamp.mtime, k.stamp.ctime)))
	if young >= 0 && young < tick {
		if err := sleep(s.ctx, tick-young); err != nil {
			return known{}, err
		}
	}

	if k.attrs, err = readAttrs(int(f.Fd())); err != nil {
		return known{}, err
	}

	if err := s.content(f, &k, before, had); err != nil {
		return known{}, err
	}

	after, err := f.Stat()
	if err != nil {
		return known{}, fmt.Errorf("cannot look at a file: %w", bare(err))
	}

	// A log that nobody begins anew only grows, and its end is not taken for whole by whoever reads it.
	if log := s.locked && strings.HasSuffix(name, "-wal"); stampOf(after) != k.stamp && !log {
		return known{}, errTorn
	}

	return k, nil
}

// content reads what is in a file.
func (s *saver) content(f *os.File, k *known, before known, had bool) error {
	quick := k.stamp.size > small

	h, err := newSum(quick)
	if err != nil {
		return err
	}

	if !quick {
		return s.smallContent(f, k, h, before, had)
	}

	for at := int64(0); at < k.stamp.size; {
		data, end, err := extent(f, at, k.stamp.size)
		if err != nil {
			return err
		}

		if data > at {
			k.refs = append(k.refs, ref{hole: true, length: data - at})
		}

		if err := s.extent(f, k, h, data, end); err != nil {
			return err
		}

		at = end
	}

	k.sum = sumOf(h, quick)

	return nil
}

// extent returns where the next data begin and end, at or after a place. Both are the size where there are none.
func extent(f *os.File, at, size int64) (data, end int64, err error) {
	data, err = unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return size, size, nil
	}

	if err != nil {
		return at, size, nil //nolint:nilerr // A file system that knows no holes has only data.
	}

	end, err = unix.Seek(int(f.Fd()), data, unix.SEEK_HOLE)
	if err != nil {
		return 0, 0, errTorn
	}

	return min(data, size), min(end, size), nil
}

// extent stores a part of a file that has data. While some chunks are stored the next is read.
func (s *saver) extent(f *os.File, k *known, h hash.Hash, from, to int64) (err error) {
	if from == to {
		return nil
	}

	r := &counted{s: s, r: io.NewSectionReader(f, from, to-from)}
	s.cut.begin(r)

	chunks := &fleet{s: s, k: k}

	defer func() { err = errors.Join(err, chunks.empty()) }()

	for {
		b, err := s.cut.next()
		if errors.Is(err, io.EOF) {
			break
		}

		if err != nil {
			return fmt.Errorf("cannot read a file: %w", bare(err))
		}

		k.refs = append(k.refs, ref{length: int64(len(b))})

		if err := chunks.launch(b); err != nil {
			return err
		}

		_, _ = h.Write(b) // A hash takes everything.
	}

	if r.n != to-from {
		return errTorn
	}

	return nil
}

// smallContent reads a file that shares a chunk with others. One that has the bytes it had keeps its place.
func (s *saver) smallContent(f *os.File, k *known, h hash.Hash, before known, had bool) error {
	b := make([]byte, k.stamp.size)

	n, err := io.ReadFull(&counted{s: s, r: io.NewSectionReader(f, 0, k.stamp.size)}, b)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return fmt.Errorf("cannot read a file: %w", bare(err))
	}

	if int64(n) != k.stamp.size {
		return errTorn
	}

	_, _ = h.Write(b[:n]) // A hash takes everything.
	k.sum = sumOf(h, false)

	// Not before it is known to be whole does it take a place; the caller looks at the file once more after this, so that a
	// file that changed in the last moment leaves its bytes in the pack, unused.
	switch {
	case n == 0:
		return nil
	case had && before.sum == k.sum && before.stamp.size == k.stamp.size:
		k.refs = before.refs

		return nil
	}

	r, err := s.addToPack(b[:n])
	k.refs = []ref{r}

	return err
}

// counted counts what is read, at the rate that is allowed.
type counted struct {
	s *saver
	r io.Reader
	n int64
}

// Read waits where reading is too fast.
func (c *counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)

	if werr := c.s.limit.wait(c.s.ctx, n); werr != nil {
		return n, werr
	}

	return n, err
}
