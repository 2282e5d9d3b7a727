package tree

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
)

// A decoder reads the records of a tree, and takes none that an encoder would not write.
type decoder struct {
	r       *bufio.Reader
	version byte
	depth   int
	// last is the name before, of each directory that is open: names are sorted, so that none is there twice.
	last []string
}

func newDecoder(r io.Reader) (*decoder, error) {
	d := &decoder{r: bufio.NewReaderSize(r, 64<<10), last: []string{""}}

	var magic [5]byte
	if _, err := io.ReadFull(d.r, magic[:]); err != nil {
		return nil, broken(err, "it ends before it begins")
	}

	switch {
	case string(magic[:4]) != "TREE" || magic[4] == 0:
		return nil, fmt.Errorf("it does not begin as a tree does: %w", ErrFormat)
	case magic[4] > version:
		return nil, fmt.Errorf("the tree has version %d, and this program knows versions up to %d; use the program that wrote it, or a newer one: %w", magic[4], version, checkpoint.ErrVersion)
	}

	d.version = magic[4]

	return d, nil
}

// broken returns an error for what cannot be read: a store's own error as it is, and the end as a format's.
func broken(err error, what string) error {
	if err == nil || err == io.EOF || err == io.ErrUnexpectedEOF { //nolint:errorlint // bufio returns these as they are.
		return fmt.Errorf("%s: %w", what, ErrFormat)
	}

	return err
}

func (d *decoder) number(limit uint64, what string) (uint64, error) {
	n, err := binary.ReadUvarint(d.r)
	if err != nil {
		return 0, broken(err, "it is cut at "+what)
	}

	if n > limit {
		return 0, fmt.Errorf("%s is %d and at most %d: %w", what, n, limit, ErrFormat)
	}

	return n, nil
}

func (d *decoder) text(limit uint64, what string) (string, error) {
	n, err := d.number(limit, what)
	if err != nil {
		return "", err
	}

	b := make([]byte, n)
	if _, err := io.ReadFull(d.r, b); err != nil {
		return "", broken(err, "it is cut at "+what)
	}

	return string(b), nil
}

// next returns the next record; kindEnd is the last.
func (d *decoder) next() (node, error) {
	kind, err := d.r.ReadByte()
	if err != nil {
		return node{}, broken(err, "it has no end")
	}

	n := node{kind: kind}
	if kind == kindLong && d.version > 1 {
		n.kind, n.sum.quick = kindFile, true
	}

	switch n.kind {
	case kindEnd:
		if d.depth != 0 {
			return n, fmt.Errorf("it ends in a directory: %w", ErrFormat)
		}

		if _, err := d.r.ReadByte(); err != io.EOF {
			return n, broken(err, "it goes on after its end")
		}

		return n, nil
	case kindLeave:
		if d.depth == 0 {
			return n, fmt.Errorf("it leaves its root: %w", ErrFormat)
		}

		d.depth--
		d.last = d.last[:len(d.last)-1]

		return n, nil
	case kindDir, kindFile, kindSymlink:
		if err := d.head(&n); err != nil {
			return n, err
		}
	case kindLink:
		if n.name, err = d.name(); err != nil {
			return n, err
		}
	default:
		return n, fmt.Errorf("a record of kind %d: %w", kind, ErrFormat)
	}

	err = d.body(&n)

	return n, err
}

func (d *decoder) body(n *node) (err error) {
	switch n.kind {
	case kindDir:
		if d.depth++; d.depth > maxDepth {
			return fmt.Errorf("it is deeper than %d: %w", maxDepth, ErrFormat)
		}

		d.last = append(d.last, "")
	case kindSymlink:
		n.target, err = d.text(maxTarget, "a target")
	case kindLink:
		n.target, err = d.text(maxLink, "a target")
	case kindFile:
		err = d.file(n)
	}

	return err
}

// name reads a name that is one part of a path, and after the one before.
func (d *decoder) name() (string, error) {
	s, err := d.text(maxName, "a name")
	if err != nil {
		return "", err
	}

	if !validName(s) {
		return "", fmt.Errorf("a name that is none: %w", ErrFormat)
	}

	last := &d.last[len(d.last)-1]
	if s <= *last {
		return "", fmt.Errorf("names that are not in order: %w", ErrFormat)
	}

	*last = s

	return s, nil
}

// validName says whether a name is one part of a path, and leads nowhere else.
func validName(s string) bool {
	if s == "" || s == "." || s == ".." || len(s) > maxName {
		return false
	}

	for i := range len(s) {
		if s[i] == '/' || s[i] == 0 {
			return false
		}
	}

	return true
}

// maxModes are the bounds of permissions: setuid is for nothing, setgid for directories only.
var maxModes = map[byte]uint64{kindDir: 0o3777, kindFile: 0o1777, kindSymlink: 0o777}

func (d *decoder) head(n *node) (err error) {
	if n.name, err = d.name(); err != nil {
		return err
	}

	mode, err := d.number(maxModes[n.kind], "a mode")
	if err != nil {
		return err
	}

	n.mode = uint32(mode) //nolint:gosec // At most four digits.

	if n.mtime, err = binary.ReadVarint(d.r); err != nil {
		return broken(err, "it is cut at a time")
	}

	count, err := d.number(maxAttrs, "the number of attributes")
	if err != nil {
		return err
	}

	for range count {
		var a attr
		if a.name, err = d.text(maxName, "an attribute"); err != nil {
			return err
		}

		if !strings.HasPrefix(a.name, attrPrefix) {
			return fmt.Errorf("an attribute of the system's: %w", ErrFormat)
		}

		value, err := d.text(maxValue, "an attribute's value")
		if err != nil {
			return err
		}

		a.value = []byte(value)
		n.attrs = append(n.attrs, a)
	}

	return nil
}

func (d *decoder) file(n *node) error {
	size, err := d.number(1<<62, "a size")
	if err != nil {
		return err
	}

	n.size = int64(size) //nolint:gosec // Bounded above.
	if n.sum.quick && n.size <= small {
		return fmt.Errorf("a file of %d bytes has the sum of a long one: %w", n.size, ErrFormat)
	}

	if _, err := io.ReadFull(d.r, n.sum.bytes()); err != nil {
		return broken(err, "it is cut at a sum")
	}

	count, err := d.number(maxRefs, "the number of parts")
	if err != nil {
		return err
	}

	var sum int64

	for range count {
		r, err := d.ref()
		if err != nil {
			return err
		}

		if r.length > n.size-sum {
			return fmt.Errorf("a file is longer than it says: %w", ErrFormat)
		}

		sum += r.length
		n.refs = append(n.refs, r)
	}

	if sum != n.size {
		return fmt.Errorf("a file has %d bytes and says %d: %w", sum, n.size, ErrFormat)
	}

	return nil
}

func (d *decoder) ref() (ref, error) {
	var r ref

	kind, err := d.r.ReadByte()
	if err != nil {
		return r, broken(err, "it is cut at a part")
	}

	limit := uint64(1 << 62)

	switch kind {
	case 0:
		if _, err := io.ReadFull(d.r, r.chunk[:]); err != nil {
			return r, broken(err, "it is cut at a part")
		}

		offset, err := d.number(checkpoint.MaxChunk, "an offset")
		if err != nil {
			return r, err
		}

		r.offset = uint32(offset) //nolint:gosec // Bounded above.
		limit = checkpoint.MaxChunk - offset
	case 1:
		r.hole = true
	default:
		return r, fmt.Errorf("a part of kind %d: %w", kind, ErrFormat)
	}

	n, err := d.number(limit, "the length of a part")
	if err != nil {
		return r, err
	}

	if n == 0 {
		return r, fmt.Errorf("a part of no bytes: %w", ErrFormat)
	}

	r.length = int64(n) //nolint:gosec // Bounded above.

	return r, nil
}
