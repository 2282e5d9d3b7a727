package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// The bytes that SQLite locks (https://sqlite.org/lockingv3.html and https://sqlite.org/walformat.html).
const (
	sqliteHeader = "SQLite format 3\x00"

	pendingByte = 0x40000000
	sharedFirst = pendingByte + 2
	sharedSize  = 510

	// In the -shm file: whoever moves the log into the database holds this one, and whoever reads from the log one of the others,
	// without which nobody begins the log anew.
	walCheckpoint = 121
	walRead       = 124
)

// A database is a SQLite database with its journal and log, read under its own locks, so that all are of one moment.
type database struct {
	at    place
	name  string
	read  bool
	found map[string]*leaf
}

// databases returns, by the names of their files, the SQLite databases of a directory.
func databases(at place, items []item) map[string]*database {
	var out map[string]*database

	for _, i := range items {
		// Their pages are at least that long, so that few other files have to be opened.
		if size := i.info.Size(); !i.info.Mode().IsRegular() || size < 512 || size%512 != 0 || !isDatabase(at.root, i.name) {
			continue
		}

		if out == nil {
			out = map[string]*database{}
		}

		db := &database{at: at, name: i.name, found: map[string]*leaf{}}
		for _, suffix := range []string{"", "-wal", "-journal", "-shm"} {
			out[i.name+suffix] = db
		}
	}

	return out
}

func isDatabase(root *os.Root, name string) bool {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer f.Close() // It was only read.

	b := make([]byte, len(sqliteHeader))
	n, _ := f.ReadAt(b, 0) // A shorter one is none.

	return n == len(b) && string(b) == sqliteHeader
}

// leaf returns one of the database's files. The first that is asked for reads all of them.
func (d *database) leaf(s *saver, name string) (*leaf, error) {
	if !d.read {
		d.read = true

		if err := d.load(s); err != nil {
			return nil, err
		}
	}

	return d.found[name], nil
}

// load reads all files of a database under its locks. The shared memory is made anew by whoever opens it, and is no part of it.
func (d *database) load(s *saver) error {
	unlock, err := s.lock(d.at.root, d.name)
	if errors.Is(err, errBusy) {
		d.before(s)

		return nil
	}

	if err != nil {
		return bare(err)
	}

	s.locked = true

	defer func() {
		s.locked = false

		unlock()
	}()

	for _, suffix := range []string{"", "-journal", "-wal"} {
		// What came or went since the directory was listed is looked at under the lock.
		i := item{name: d.name + suffix}
		if i.info, err = d.at.root.Lstat(i.name); errors.Is(err, fs.ErrNotExist) {
			continue
		}

		if err != nil {
			return fmt.Errorf("cannot look at a database: %w", bare(err))
		}

		l, err := s.entry(d.at, i, 0)
		if err != nil {
			return err
		}

		if l != nil {
			d.found[i.name] = l
		}
	}

	return nil
}

// before takes a database that could not be locked as it was saved before.
func (d *database) before(s *saver) {
	base := d.at.join(d.name)
	if _, had := s.before[base]; !had {
		s.note(base, "the database was locked all the time, and is left out until it is not")

		return
	}

	s.note(base, "the database was locked all the time, and is taken as it was saved before")

	for _, suffix := range []string{"", "-journal", "-wal"} {
		if k, had := s.before[base+suffix]; had {
			s.keep(base+suffix, k)
			d.found[d.name+suffix] = &leaf{path: base + suffix, node: k.node(d.name + suffix)}
		}
	}
}

// errBusy: another holds a lock.
var errBusy = errors.New("locked")

// lock keeps everybody from writing a database's file, and from moving its log into it or beginning the log anew. Writers of a
// log go on meanwhile: what they append behind the last commit that was read is ignored by whoever opens the copy.
func (s *saver) lock(root *os.Root, name string) (unlock func(), err error) {
	db, err := root.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}

	files := []*os.File{db}
	unlock = func() {
		for _, f := range slices.Backward(files) {
			_ = f.Close() // Which releases its locks.
		}
	}

	// As any reader does: the pending byte first, so that a writer that waits is not kept out for ever.
	steps := []lockStep{{db, unix.F_RDLCK, pendingByte, 1}, {db, unix.F_RDLCK, sharedFirst, sharedSize}, {db, unix.F_UNLCK, pendingByte, 1}}

	// The file system may be the agent's own idea, but the log's locks are made in the shared memory, which must be writable.
	shm, err := root.OpenFile(name+"-shm", os.O_RDWR|unix.O_NOFOLLOW, 0)
	switch {
	case err == nil:
		files = append(files, shm)
		steps = append(steps, lockStep{shm, unix.F_WRLCK, walCheckpoint, 1}, lockStep{shm, unix.F_RDLCK, walRead, 1})
	case !errors.Is(err, fs.ErrNotExist):
		unlock()

		return nil, errBusy
	}

	deadline := time.Now().Add(s.o.LockWait)

	for _, step := range steps {
		if err := step.take(s.ctx, deadline); err != nil {
			unlock()

			return nil, err
		}
	}

	return unlock, nil
}

// A lockStep is a lock on bytes of a file, of the open file and not of the process, where there are such locks: the process may be its
// only monitor, but not its only opener.
type lockStep struct {
	f           *os.File
	kind        int16
	start, size int64
}

func (l lockStep) take(ctx context.Context, deadline time.Time) error {
	for {
		err := unix.FcntlFlock(l.f.Fd(), setLock, &unix.Flock_t{Type: l.kind, Whence: 0, Start: l.start, Len: l.size})
		if err == nil || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.EINVAL) {
			return nil // A file system without locks has no database that anybody shares.
		}

		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EINTR) || time.Now().After(deadline) {
			return errBusy
		}

		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()

	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
