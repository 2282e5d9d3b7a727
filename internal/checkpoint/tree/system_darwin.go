package tree

import (
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Here people look at checkpoints with the command line, and no monitor runs.

// setLock sets a lock of the process: this system offers programs no other.
const setLock = unix.F_SETLK

func stampOf(info fs.FileInfo) stamp {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		panic("a file of this system has a stat")
	}

	return stamp{
		size: st.Size, mtime: st.Mtimespec.Nano(), ctime: st.Ctimespec.Nano(), inode: st.Ino, device: uint64(st.Dev), mode: uint32(st.Mode) & 0o7777,
	}
}

func writeEarly(*os.File) {}

// syncAll returns when the disk has everything: one file system cannot be named.
func syncAll(*os.File) error { return unix.Sync() }

// futimens sets the time of an open file, to the microsecond.
func futimens(f *os.File, mtime int64) error {
	t := unix.NsecToTimeval(mtime)

	return unix.Futimes(int(f.Fd()), []unix.Timeval{t, t})
}
