package meter

import (
	"compress/gzip"
	"io"
	"strings"
)

// A Body is an answer's body that is tapped while it is read.
type Body struct {
	src  io.ReadCloser
	tap  *Tap
	gzip *unzipper

	// ready is what has been read and may be passed; buf is what it is kept in.
	ready, buf []byte
	err        error
	begun      bool
	onBegin    func()
	onEnd      func(Result, error)
}

// Readable says whether an answer can be tapped that was sent with this Content-Encoding.
func Readable(encoding string) bool {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity", "gzip", "x-gzip":
		return true
	default:
		return false
	}
}

// NewBody returns the body of an answer with a tap. It calls onBegin, at most once, when a stream's first words have come,
// and onEnd, once, with what was learned: with io.EOF where the answer was read to its end, with the error where it broke
// off, with nil where it was closed before its end. A compressed answer is read by the tap and passed as it is, so nothing
// may be hidden in it. The encoding must be Readable.
func NewBody(src io.ReadCloser, tap *Tap, encoding string, onBegin func(), onEnd func(Result, error)) *Body {
	b := &Body{src: src, tap: tap, onBegin: onBegin, onEnd: onEnd}

	if e := strings.ToLower(strings.TrimSpace(encoding)); e == "gzip" || e == "x-gzip" {
		b.gzip = newUnzipper(tap)
	}

	return b
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	for {
		if len(b.ready) > 0 {
			n := copy(p, b.ready)
			b.ready = b.ready[n:]

			return n, nil
		}

		if b.err != nil || len(p) == 0 {
			return 0, b.err
		}

		n, err := b.src.Read(p)
		passed := b.look(p[:n])

		if err != nil {
			b.finish(err)
		}

		if passed > 0 {
			return passed, nil
		}
	}
}

// look shows the tap what was read. It returns how much of it is passed as it is; what else may be passed is ready.
func (b *Body) look(part []byte) int {
	passed := len(part)

	switch {
	case b.gzip != nil:
		b.gzip.feed(part)
	case b.tap.Hides():
		b.buf = b.tap.Next(b.buf, part)
		b.ready, passed = b.buf, 0
	default:
		b.tap.Next(nil, part)
	}

	if !b.begun && b.gzip == nil && b.tap.Result().Begun {
		b.begun = true
		b.onBegin()
	}

	return passed
}

// finish ends the tap.
func (b *Body) finish(err error) {
	if b.err != nil {
		return
	}

	b.err = err
	if err == nil {
		b.err = io.ErrClosedPipe
	}

	if b.gzip != nil {
		b.gzip.end()
	}

	if rest := b.tap.End(); len(rest) > 0 {
		b.ready = append(b.ready, rest...)
	}

	b.onEnd(b.tap.Result(), err)
}

// Close implements io.Closer.
func (b *Body) Close() error {
	b.finish(nil)

	return b.src.Close()
}

// An unzipper decompresses for a tap. The package it uses reads, so it has a goroutine of its own; a server that compresses
// though it was not asked to is rare.
type unzipper struct {
	in   *io.PipeWriter
	done chan struct{}
}

func newUnzipper(tap *Tap) *unzipper {
	out, in := io.Pipe()
	u := &unzipper{in: in, done: make(chan struct{})}

	go func() {
		defer close(u.done)

		zr, err := gzip.NewReader(out)
		if err == nil {
			buf := make([]byte, 4<<10)

			for err == nil {
				var n int

				n, err = zr.Read(buf)
				tap.Next(nil, buf[:n])
			}
		}

		// From here on what is fed is dropped.
		_ = out.CloseWithError(err)
	}()

	return u
}

// feed decompresses on. What cannot be decompressed tells nothing, and passes all the same.
func (u *unzipper) feed(part []byte) { _, _ = u.in.Write(part) }

// end waits until all has been seen.
func (u *unzipper) end() {
	_ = u.in.Close()
	<-u.done
}
