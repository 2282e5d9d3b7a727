package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
)

// Save stores a directory and returns what it is as a snapshot, and notes on what it does not have as it is: sockets, devices
// and what lies on other file systems are left out, and a file that nobody lets be read in one piece is taken as the snapshot
// before had it, or left out. Files that were not written since previous, which may be nil, are not read again.
//
// Symbolic links are never followed. Owners are not kept: all files of a worker are one user's.
func Save(ctx context.Context, dir string, put Put, previous *Snapshot, o Options) (*Snapshot, []Note, error) {
	o = o.withDefaults()

	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open the directory: %w", bare(err))
	}
	defer root.Close() // It was only read.

	s := &saver{ctx: ctx, root: root, put: put, o: o, limit: newLimit(o.Rate), links: map[inode]string{}, chunks: map[checkpoint.ID]struct{}{}}
	s.out.files = map[string]known{}

	if previous != nil {
		s.before = previous.files
	}

	if s.before == nil {
		s.before = map[string]known{}
	}

	if s.cut, err = newCutter(o.Chunker); err != nil {
		return nil, nil, err
	}

	if err := s.save(); err != nil {
		return nil, nil, err
	}

	return &s.out, s.notes, nil
}

type inode struct{ device, number uint64 }

// A saver saves one directory once.
type saver struct {
	ctx    context.Context //nolint:containedctx // A saver is one call.
	root   *os.Root
	put    Put
	o      Options
	limit  *limit
	cut    *cutter
	pack   pack
	before map[string]known
	device uint64
	// locked says that the database being read is.
	locked bool

	out    Snapshot
	notes  []Note
	links  map[inode]string
	chunks map[checkpoint.ID]struct{}
}

// save walks first, so that all parts have a chunk, and then writes the tree that names them.
func (s *saver) save() error {
	info, err := s.root.Lstat(".")
	if err != nil {
		return fmt.Errorf("cannot look at the directory: %w", bare(err))
	}

	s.device = stampOf(info).device

	nodes, err := s.dir(place{root: s.root}, 0)
	if err != nil {
		return err
	}

	if err := s.flushPack(); err != nil {
		return err
	}

	return s.encode(nodes)
}

// A leaf is something in a directory on its way into the tree.
type leaf struct {
	node
	// path of it in the directory; children of a directory.
	path     string
	children []leaf
}

// A place is a directory that is open, and its path.
type place struct {
	root *os.Root
	path string
}

func (p place) join(name string) string { return path.Join(p.path, name) }

// An item is what a directory lists.
type item struct {
	name string
	info fs.FileInfo
}

func (s *saver) dir(at place, depth int) ([]leaf, error) {
	if err := s.ctx.Err(); err != nil {
		return nil, err
	}

	items, err := list(at)
	if err != nil {
		return nil, err
	}

	var out []leaf

	groups := databases(at, items)

	for _, i := range items {
		var l *leaf

		if g := groups[i.name]; g != nil {
			l, err = g.leaf(s, i.name)
		} else {
			l, err = s.entry(at, i, depth)
		}

		if err != nil {
			return nil, err
		}

		if l != nil {
			out = append(out, *l)
		}
	}

	return out, nil
}

// list returns what is in a directory, by the bytes of names, which is the order of a tree. What went meanwhile is not.
func list(at place) ([]item, error) {
	f, err := at.root.Open(".")
	if err != nil {
		return nil, fmt.Errorf("cannot open a directory: %w", bare(err))
	}

	names, err := f.Readdirnames(-1)
	_ = f.Close() // It was only read.

	if err != nil {
		return nil, fmt.Errorf("cannot read a directory: %w", bare(err))
	}

	slices.Sort(names)

	out := make([]item, 0, len(names))

	for _, name := range names {
		info, err := at.root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}

		if err != nil {
			return nil, fmt.Errorf("cannot look at a file: %w", bare(err))
		}

		out = append(out, item{name, info})
	}

	return out, nil
}

// entry returns what an item is in a tree, nil for what is left out.
func (s *saver) entry(at place, i item, depth int) (*leaf, error) {
	p := at.join(i.name)

	if first, ok := s.linked(i); ok {
		return &leaf{path: p, node: node{kind: kindLink, name: i.name, target: first}}, nil
	}

	switch i.info.Mode().Type() {
	case fs.ModeDir:
		return s.child(at, i, depth)
	case fs.ModeSymlink:
		target, err := at.root.Readlink(i.name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil //nolint:nilnil // It went meanwhile.
		}

		if err != nil {
			return nil, fmt.Errorf("cannot read a symbolic link: %w", bare(err))
		}

		s.link(i, p)

		return &leaf{path: p, node: node{kind: kindSymlink, name: i.name, mode: 0o777, mtime: stampOf(i.info).mtime, target: target}}, nil
	case 0:
		return s.regular(at, i)
	default:
		s.note(p, "it is no file, directory or symbolic link, and is left out")

		return nil, nil //nolint:nilnil // As above.
	}
}

func (s *saver) child(at place, i item, depth int) (*leaf, error) {
	st, p := stampOf(i.info), at.join(i.name)

	switch {
	case st.device != s.device:
		s.note(p, "it is another file system, and is left out")

		return nil, nil //nolint:nilnil // As above.
	case depth+1 >= maxDepth:
		return nil, fmt.Errorf("a directory is deeper than %d", maxDepth)
	}

	sub, err := at.root.OpenRoot(i.name)
	if errors.Is(err, fs.ErrPermission) {
		s.note(p, "it cannot be opened, and is left out")

		return nil, nil //nolint:nilnil // As above.
	}

	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // It went meanwhile.
	}

	if err != nil {
		return nil, fmt.Errorf("cannot open a directory: %w", bare(err))
	}
	defer sub.Close() // It was only read.

	attrs, err := attrsOf(sub)
	if err != nil {
		return nil, err
	}

	children, err := s.dir(place{sub, p}, depth+1)

	return &leaf{path: p, children: children, node: node{kind: kindDir, name: i.name, mode: st.mode & 0o3777, mtime: st.mtime, attrs: attrs}}, err
}

// linked returns the path of a file or symbolic link of which an item is another name. A directory has no other names.
func (s *saver) linked(i item) (string, bool) {
	if i.info.IsDir() || linkCount(i.info) < 2 {
		return "", false
	}

	st := stampOf(i.info)
	first, ok := s.links[inode{st.device, st.inode}]

	return first, ok
}

// link remembers what has other names. A path that is longer than a reader takes is no target: the other name becomes a file of
// its own.
func (s *saver) link(i item, p string) {
	if st := stampOf(i.info); linkCount(i.info) > 1 && len(p) <= maxLink {
		s.links[inode{st.device, st.inode}] = p
	}
}

// regular returns a regular file: as it was saved before if it was not written since.
func (s *saver) regular(at place, i item) (*leaf, error) {
	st, p := stampOf(i.info), at.join(i.name)

	k, ok := s.before[p]
	if !ok || k.stamp != st {
		var err error
		if k, ok, err = s.read(at, i.name, k, ok); err != nil || !ok {
			return nil, err
		}
	}

	s.link(i, p)
	s.keep(p, k)

	return &leaf{path: p, node: k.node(i.name)}, nil
}

func (k known) node(name string) node {
	return node{kind: kindFile, name: name, mode: k.stamp.mode & 0o1777, mtime: k.stamp.mtime, size: k.stamp.size, sum: k.sum, refs: k.refs, attrs: k.attrs}
}

// keep adds a file to the snapshot.
func (s *saver) keep(p string, k known) {
	s.out.files[p] = k
	s.out.Files++
	s.out.Bytes += k.stamp.size
}

func (s *saver) note(p, why string) { s.notes = append(s.notes, Note{Path: p, Why: why}) }

// encode stores the tree.
func (s *saver) encode(nodes []leaf) error {
	w := &chunkWriter{s: s}
	e := newEncoder(w)

	if err := s.encodeDir(e, nodes); err != nil {
		return err
	}

	if err := e.close(); err != nil {
		return err
	}

	if err := w.flush(); err != nil {
		return err
	}

	for _, id := range w.ids {
		delete(s.chunks, id)
	}

	s.out.Tree = w.ids
	for id := range s.chunks {
		s.out.Chunks = append(s.out.Chunks, id)
	}

	slices.SortFunc(s.out.Chunks, func(a, b checkpoint.ID) int { return bytes.Compare(a[:], b[:]) })

	return nil
}

func (s *saver) encodeDir(e *encoder, nodes []leaf) error {
	for _, l := range nodes {
		if l.kind == kindFile {
			l.refs = s.resolved(l.refs)
			s.remember(l.path, l.refs)
		}

		if err := e.node(l.node); err != nil {
			return err
		}

		if l.kind != kindDir {
			continue
		}

		if err := s.encodeDir(e, l.children); err != nil {
			return err
		}

		if err := e.node(node{kind: kindLeave}); err != nil {
			return err
		}
	}

	return nil
}

// remember keeps where the parts of a file are for the next save.
func (s *saver) remember(p string, refs []ref) {
	k := s.out.files[p]
	k.refs = refs
	s.out.files[p] = k

	for _, r := range refs {
		if !r.hole {
			s.chunks[r.chunk] = struct{}{}
		}
	}
}

// bare returns an error without the path in it: what files are called is the agent's own.
func bare(err error) error {
	var (
		p *fs.PathError
		l *os.LinkError
	)

	switch {
	case errors.As(err, &p):
		return p.Err
	case errors.As(err, &l):
		return l.Err
	default:
		return err
	}
}
