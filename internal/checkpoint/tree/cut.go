package tree

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strconv"

	"github.com/restic/chunker"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
)

// readSize is how much of a file is read at once.
const readSize = 256 << 10

// A cutter cuts a stream where its content says, so that the same content is cut alike wherever it stands.
type cutter struct {
	seam *seam
	o    checkpoint.Chunker
	r    io.Reader
	// The buffers take turns: chunks are stored from the others while one is cut.
	buf [flights + 1][]byte
	n   int
	// rest is what was read behind the last cut, in that chunk's buffer.
	rest []byte
	end  bool
}

func newCutter(o checkpoint.Chunker) (*cutter, error) {
	pol, err := strconv.ParseUint(o.Polynomial, 16, 64)
	if err != nil || chunker.Pol(pol).Deg() != degree || o.Min <= 0 || o.Max < o.Min || o.Max > checkpoint.MaxChunk {
		return nil, fmt.Errorf("cannot cut files as the repository says: %w", checkpoint.ErrInvalid)
	}

	return &cutter{seam: newSeam(chunker.Pol(pol), o.Average), o: o}, nil
}

// begin prepares the cutter for a stream.
func (c *cutter) begin(r io.Reader) { c.r, c.rest, c.end = r, nil, false }

// next returns the next chunk, valid while as many more are asked for as there are flights, or io.EOF.
func (c *cutter) next() ([]byte, error) {
	c.n = (c.n + 1) % len(c.buf)
	if c.buf[c.n] == nil {
		c.buf[c.n] = make([]byte, c.o.Max)
	}

	b := c.buf[c.n]
	have, seen := copy(b, c.rest), max(c.o.Min, window)

	for {
		if cut, ok := c.seam.find(b[:have], seen); ok || have == len(b) {
			c.rest = b[cut:have]

			return b[:cut], nil
		}

		if c.end {
			break
		}

		seen = max(seen, have+1)

		n, err := io.ReadFull(c.r, b[have:min(have+readSize, len(b))])
		have += n

		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			c.end = true
		case err != nil:
			return nil, err
		}
	}

	c.rest = nil
	if have == 0 {
		return nil, io.EOF
	}

	return b[:have], nil
}

const (
	// window is how many bytes before a place say whether it is a cut.
	window = 64
	// degree is that of a polynomial.
	degree = 53
	// lanes are searched at once, each at most so long. A processor waits for one byte's digest before it begins with the next one's,
	// and has time for others meanwhile.
	lane = 8 << 10
)

// A seam finds where to cut, just where the chunker of restic does, which is where repositories are cut: behind the first 64
// bytes whose Rabin fingerprint ends in as many zeros as the average has. It is three times as fast.
//
// A fingerprint is a remainder of polynomials over bits. So it is that of the bytes before, less the one that leaves, times x^8, and the one
// that comes; the tables have what a byte that leaves was worth, and what the eight bits that grow over the polynomial are.
type seam struct {
	out, mod [256]uint64
	mask     uint64
}

func newSeam(pol chunker.Pol, average int) *seam {
	s := &seam{mask: 1<<(bits.Len(uint(average))-1) - 1}

	for b := range 256 {
		h := chunker.Pol(b).Mod(pol)
		for range window - 1 {
			h = (h << 8).Mod(pol)
		}

		over := chunker.Pol(b) << degree
		s.out[b], s.mod[b] = uint64(h), uint64(over.Mod(pol)|over)
	}

	return s
}

// add returns the digest with one more byte.
func (s *seam) add(digest uint64, b byte) uint64 {
	return (digest<<8 | uint64(b)) ^ s.mod[byte(digest>>(degree-8))] //nolint:gosec // These are its eight highest bits.
}

func (s *seam) digest(b []byte) (d uint64) {
	for _, c := range b {
		d = s.add(d, c)
	}

	return d
}

// find returns the first place at or behind from, which is not before the first window, where to cut, or else the end.
func (s *seam) find(b []byte, from int) (int, bool) {
	for from <= len(b) {
		length := min(lane, (len(b)-from)/4)
		if length < window {
			return s.one(b, from)
		}

		if at, ok := s.four(b[from-window:], length); ok {
			return from - window + at, true
		}

		from += 4 * length
	}

	return len(b), false
}

// one looks at one place after the other.
func (s *seam) one(b []byte, from int) (int, bool) {
	d := s.digest(b[from-window : from])

	for i := from; ; i++ {
		if d&s.mask == 0 {
			return i, true
		}

		if i == len(b) {
			return i, false
		}

		d = s.add(d^s.out[b[i-window]], b[i])
	}
}

// four looks at four lanes at once, the first of which begins behind a window.
func (s *seam) four(b []byte, length int) (int, bool) {
	all := length + window
	w0, w1, w2, w3 := b[:all], b[length:][:all], b[2*length:][:all], b[3*length:][:all]
	d0, d1, d2, d3 := s.digest(w0[:window]), s.digest(w1[:window]), s.digest(w2[:window]), s.digest(w3[:window])
	found := 4 * length

	for i := range length {
		if d0&s.mask == 0 {
			return window + i, true // Nothing in the other lanes comes before it.
		}

		if d1&s.mask == 0 {
			found = min(found, length+i)
		}

		if d2&s.mask == 0 {
			found = min(found, 2*length+i)
		}

		if d3&s.mask == 0 {
			found = min(found, 3*length+i)
		}

		d0 = s.add(d0^s.out[w0[i]], w0[i+window])
		d1 = s.add(d1^s.out[w1[i]], w1[i+window])
		d2 = s.add(d2^s.out[w2[i]], w2[i+window])
		d3 = s.add(d3^s.out[w3[i]], w3[i+window])
	}

	return window + found, found < 4*length
}
