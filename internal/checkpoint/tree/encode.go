package tree

import (
	"bufio"
	"encoding/binary"
	"io"
)

// docs/checkpoint-format.md has every byte.
const (
	version = 2

	kindEnd     = 0
	kindDir     = 1
	kindLeave   = 2
	kindFile    = 3
	kindSymlink = 4
	kindLink    = 5
	// kindLong is a kindFile with a quick sum, which nothing but encoder and decoder tells apart.
	kindLong = 6

	// The bounds of what a reader takes, so that a hostile tree costs nothing. They are those of Linux.
	maxName   = 255
	maxTarget = 4096
	maxLink   = 4 * maxTarget
	maxAttrs  = 16 << 10
	maxValue  = 64 << 10
	maxDepth  = 1024
	maxRefs   = 1 << 24
)

// A node is one record of a tree.
type node struct {
	kind byte
	name string
	// mode are the permissions; mtime is in nanoseconds since 1970.
	mode  uint32
	mtime int64
	// target of a symbolic link, or path of the file or symbolic link of which a hard link is another name.
	target string
	size   int64
	sum    sum
	refs   []ref
	attrs  []attr
}

// An encoder writes the records of a tree.
type encoder struct {
	w   *bufio.Writer
	buf []byte
	err error
}

func newEncoder(w io.Writer) *encoder {
	e := &encoder{w: bufio.NewWriterSize(w, 64<<10), buf: make([]byte, 0, 512)}
	e.flush([]byte{'T', 'R', 'E', 'E', version})

	return e
}

func (e *encoder) flush(b []byte) {
	if e.err == nil {
		_, e.err = e.w.Write(b)
	}
}

func (e *encoder) number(n uint64) { e.buf = binary.AppendUvarint(e.buf, n) }

// length writes a number that is never negative.
func (e *encoder) length(n int64) { e.number(uint64(n)) } //nolint:gosec // As it says.

func (e *encoder) text(s string) {
	e.number(uint64(len(s)))
	e.buf = append(e.buf, s...)
}

func (e *encoder) node(n node) error {
	kind := n.kind
	if n.sum.quick {
		kind = kindLong
	}

	e.buf = append(e.buf[:0], kind)

	switch n.kind {
	case kindEnd, kindLeave:
	case kindDir:
		e.head(n)
	case kindSymlink:
		e.head(n)
		e.text(n.target)
	case kindLink:
		e.text(n.name)
		e.text(n.target)
	case kindFile:
		e.head(n)
		e.length(n.size)
		e.buf = append(e.buf, n.sum.bytes()...)
		e.number(uint64(len(n.refs)))

		for _, r := range n.refs {
			e.ref(r)
		}
	}

	e.flush(e.buf)

	return e.err
}

func (e *encoder) head(n node) {
	e.text(n.name)
	e.number(uint64(n.mode))
	e.buf = binary.AppendVarint(e.buf, n.mtime)
	e.number(uint64(len(n.attrs)))

	for _, a := range n.attrs {
		e.text(a.name)
		e.text(string(a.value))
	}
}

func (e *encoder) ref(r ref) {
	if r.hole {
		e.buf = append(e.buf, 1)
		e.length(r.length)

		return
	}

	e.buf = append(e.buf, 0)
	e.buf = append(e.buf, r.chunk[:]...)
	e.number(uint64(r.offset))
	e.length(r.length)
}

func (e *encoder) close() error {
	if err := e.node(node{kind: kindEnd}); err != nil {
		return err
	}

	return e.w.Flush()
}
