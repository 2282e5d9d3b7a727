package tree

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
)

// Restore writes a tree into a directory, which is made or must be empty. Every byte is checked: by get, and against the hash of
// its file. When it returns nil, all of it is on the disk. Whatever a tree says, nothing is written outside of the directory,
// and no link is followed. After an error the directory holds a part.
func Restore(ctx context.Context, dir string, tree []checkpoint.ID, get Get, o Options) ([]Note, error) {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("cannot make the directory: %w", bare(err))
	}

	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the directory: %w", bare(err))
	}
	defer root.Close() // All of it is synced before.

	d, err := newDecoder(&reader{ctx: ctx, ids: tree, get: get})
	if err != nil {
		return nil, err
	}

	r := &restorer{ctx: ctx, root: root, get: get, free: o.Free, limit: newLimit(o.Rate)}
	if err := r.restore(d); err != nil {
		return r.notes, err
	}

	return r.notes, r.sync()
}

// A reader reads a tree's own chunks one after the other.
type reader struct {
	ctx  context.Context //nolint:containedctx // A reader is one call's.
	ids  []checkpoint.ID
	get  Get
	rest []byte
}

// Read gets the next chunk where one is over.
func (r *reader) Read(b []byte) (int, error) {
	for len(r.rest) == 0 {
		if len(r.ids) == 0 {
			return 0, io.EOF
		}

		var err error
		if r.rest, err = r.get(r.ctx, r.ids[0]); err != nil {
			return 0, fmt.Errorf("cannot read the tree: %w", err)
		}

		r.ids = r.ids[1:]
	}

	n := copy(b, r.rest)
	r.rest = r.rest[n:]

	return n, nil
}

// A restorer writes one tree.
type restorer struct {
	ctx   context.Context //nolint:containedctx // A restorer is one call.
	root  *os.Root
	get   Get
	free  func([]byte)
	limit *limit
	notes []Note
	// open are the directories on the way, whose modes and times are set when they are left.
	open []leaf
	// last is the chunk that was got last: small files share one.
	last     checkpoint.ID
	lastData []byte
	// ahead are the chunks that are on their way.
	ahead []*fetch
	// wrote is how much was written that the disk was not told to begin with.
	wrote int
}

func (r *restorer) path(name string) string {
	if len(r.open) == 0 {
		return name
	}

	return path.Join(r.open[len(r.open)-1].path, name)
}

func (r *restorer) restore(d *decoder) error {
	for {
		if err := r.ctx.Err(); err != nil {
			return err
		}

		n, err := d.next()
		if err != nil {
			return fmt.Errorf("cannot read the tree: %w", err)
		}

		switch p := r.path(n.name); n.kind {
		case kindEnd:
			return nil
		case kindDir:
			if err := r.root.Mkdir(p, 0o700); err != nil {
				return fmt.Errorf("cannot make a directory: %w", bare(err))
			}

			r.open = append(r.open, leaf{path: p, node: n})
		case kindLeave:
			if err := r.leave(); err != nil {
				return err
			}
		case kindSymlink:
			if err := r.symlink(p, n); err != nil {
				return err
			}
		case kindLink:
			if err := r.root.Link(n.target, p); err != nil {
				return fmt.Errorf("cannot make a hard link: %w", bare(err))
			}
		case kindFile:
			if err := r.file(p, n); err != nil {
				return err
			}
		}
	}
}

func (r *restorer) leave() error {
	l := r.open[len(r.open)-1]
	r.open = r.open[:len(r.open)-1]

	f, err := r.root.Open(l.path)
	if err != nil {
		return fmt.Errorf("cannot open a directory: %w", bare(err))
	}
	defer f.Close() // All of it is synced at the end.

	return r.dress(f, l.path, l.node)
}

func (r *restorer) symlink(p string, n node) error {
	if err := r.root.Symlink(n.target, p); err != nil {
		return fmt.Errorf("cannot make a symbolic link: %w", bare(err))
	}

	dir, err := r.root.Open(path.Dir(p))
	if err != nil {
		return fmt.Errorf("cannot open a directory: %w", bare(err))
	}
	defer dir.Close() // As above.

	t := unix.NsecToTimespec(n.mtime)
	if err := unix.UtimesNanoAt(int(dir.Fd()), path.Base(p), []unix.Timespec{t, t}, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("cannot set the time of a symbolic link: %w", bare(err))
	}

	return nil
}

func (r *restorer) file(p string, n node) (err error) {
	f, err := r.root.OpenFile(p, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("cannot make a file: %w", bare(err))
	}

	defer func() { err = errors.Join(err, f.Close()) }()

	h, err := newSum(n.sum.quick)
	if err != nil {
		return err
	}

	at := int64(0)

	defer r.landed() // Of a file that could not be restored.

	for i, part := range n.refs {
		if err := r.part(f, h, part, n.refs[i+1:], at); err != nil {
			return err
		}

		at += part.length
	}

	if n.size > 0 && sumOf(h, n.sum.quick) != n.sum {
		return fmt.Errorf("a file has other bytes than were saved: %w", checkpoint.ErrCorrupt)
	}

	// A hole at the end.
	if len(n.refs) > 0 && n.refs[len(n.refs)-1].hole {
		if err := f.Truncate(n.size); err != nil {
			return fmt.Errorf("cannot size a file: %w", bare(err))
		}
	}

	return r.dress(f, p, n)
}

// part writes a part of a file. Holes are left out, in the file as in its hash.
func (r *restorer) part(f *os.File, h hash.Hash, part ref, next []ref, at int64) error {
	if part.hole {
		return nil
	}

	if r.lastData == nil || r.last != part.chunk {
		if r.free != nil && r.lastData != nil {
			r.free(r.lastData)
		}

		r.lastData = nil

		b, err := r.fetched(part.chunk)
		if err != nil {
			return fmt.Errorf("cannot read a file's bytes: %w", err)
		}

		r.last, r.lastData = part.chunk, b
		r.fetch(next)
	}

	end := int64(part.offset) + part.length
	if end > int64(len(r.lastData)) {
		return fmt.Errorf("a part is not in its chunk: %w", ErrFormat)
	}

	b := r.lastData[part.offset:end]
	_, _ = h.Write(b) // A hash takes everything.

	if _, err := f.WriteAt(b, at); err != nil {
		return fmt.Errorf("cannot write a file: %w", bare(err))
	}

	r.begin(f, len(b))

	return r.limit.wait(r.ctx, len(b))
}

// begin has the disk begin with what was written, now and then, so that little is left to wait for in the end.
func (r *restorer) begin(f *os.File, n int) {
	if r.wrote += n; r.wrote >= 8<<20 {
		r.wrote = 0
		writeEarly(f)
	}
}

// dress sets what is beside the content: attributes, permissions, and the time at last.
func (r *restorer) dress(f *os.File, p string, n node) error {
	for _, a := range n.attrs {
		err := unix.Fsetxattr(int(f.Fd()), a.name, a.value, 0)
		if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.E2BIG) {
			r.notes = append(r.notes, Note{Path: p, Why: "its extended attribute " + a.name + " cannot be kept by this file system"})

			continue
		}

		if err != nil {
			return fmt.Errorf("cannot set an extended attribute: %w", bare(err))
		}
	}

	if err := unix.Fchmod(int(f.Fd()), n.mode); err != nil {
		return fmt.Errorf("cannot set permissions: %w", bare(err))
	}

	if err := futimens(f, n.mtime); err != nil {
		return fmt.Errorf("cannot set a time: %w", bare(err))
	}

	return nil
}

// sync returns when all of it is on the disk.
func (r *restorer) sync() error {
	f, err := r.root.Open(".")
	if err != nil {
		return fmt.Errorf("cannot open the directory: %w", bare(err))
	}
	defer f.Close() // It was only read.

	if err := syncAll(f); err != nil {
		return fmt.Errorf("cannot sync the directory: %w", bare(err))
	}

	return nil
}

// List calls each for everything in a tree, in its order.
func List(ctx context.Context, tree []checkpoint.ID, get Get, each func(Entry) error) error {
	return walk(ctx, tree, get, func(p string, n node) error {
		e := Entry{Name: p, Mode: fs.FileMode(n.mode & 0o777), Size: n.size, ModTime: time.Unix(0, n.mtime), Target: n.target}

		switch n.kind {
		case kindDir:
			e.Mode |= fs.ModeDir
		case kindSymlink:
			e.Mode |= fs.ModeSymlink
		}

		if n.mode&unix.S_ISVTX != 0 {
			e.Mode |= fs.ModeSticky
		}

		return each(e)
	})
}

// walk calls each for every record of a tree that has a name.
func walk(ctx context.Context, tree []checkpoint.ID, get Get, each func(p string, n node) error) error {
	d, err := newDecoder(&reader{ctx: ctx, ids: tree, get: get})
	if err != nil {
		return err
	}

	var open []string

	for {
		n, err := d.next()
		if err != nil {
			return err
		}

		switch n.kind {
		case kindEnd:
			return nil
		case kindLeave:
			open = open[:len(open)-1]

			continue
		}

		p := n.name
		if len(open) > 0 {
			p = open[len(open)-1] + "/" + n.name
		}

		if n.kind == kindDir {
			open = append(open, p)
		}

		if err := each(p, n); err != nil {
			return err
		}
	}
}

// Load returns the snapshot that a tree is, for the next Save of the directory that it was restored to, and saved from since, to
// build on. Until a time nobody but Restore has written there: files that were not changed after it, which the file system knows,
// are taken as they are. All others are read once more. So is every file for the zero time.
func Load(ctx context.Context, dir string, until time.Time, tree []checkpoint.ID, get Get) (*Snapshot, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot open the directory: %w", bare(err))
	}
	defer root.Close() // It was only read.

	s := &Snapshot{Tree: tree, files: map[string]known{}}

	err = walk(ctx, tree, get, func(p string, n node) error {
		if n.kind != kindFile {
			return nil
		}

		k := known{stamp: stamp{size: n.size, mtime: n.mtime, mode: n.mode}, sum: n.sum, refs: n.refs, attrs: n.attrs}

		if info, err := root.Lstat(p); err == nil {
			if st := stampOf(info); st.size == n.size && st.mtime == n.mtime && st.mode&0o1777 == n.mode && time.Unix(0, st.ctime).Before(until.Add(-tick)) {
				k.stamp = st
			}
		}

		s.files[p] = k
		s.Files++
		s.Bytes += n.size

		return nil
	})

	return s, err
}
