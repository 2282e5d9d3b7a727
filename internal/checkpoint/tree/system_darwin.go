package tree

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Here people look at checkpoints with the command line, and no monitor runs.

// setLock sets a lock of the process: this system offers programs no other.
const setLock = unix.F_SETLK

// times are when a file's content and its inode were changed, in nanoseconds since 1970.
func times(st *syscall.Stat_t) (mtime, ctime int64) { return st.Mtimespec.Nano(), st.Ctimespec.Nano() }

func writeEarly(*os.File) {}

// syncAll returns when the disk has everything: one file system cannot be named.
func syncAll(*os.File) error { return unix.Sync() }

// futimens sets the time of an open file, to the microsecond.
func futimens(f *os.File, mtime int64) error {
	t := unix.NsecToTimeval(mtime)

	return unix.Futimes(int(f.Fd()), []unix.Timeval{t, t})
}
