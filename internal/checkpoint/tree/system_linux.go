package tree

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// setLock sets a lock of the open file.
const setLock = unix.F_OFD_SETLK

// times are when a file's content and its inode were changed, in nanoseconds since 1970.
func times(st *syscall.Stat_t) (mtime, ctime int64) { return st.Mtim.Nano(), st.Ctim.Nano() }

// writeEarly has the disk begin with what was written to a file.
func writeEarly(f *os.File) {
	_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE) // It is only early: syncAll says what went wrong.
}

// syncAll returns when the disk has all of the file system that a file is in.
func syncAll(f *os.File) error { return unix.Syncfs(int(f.Fd())) }

// futimens sets the time of an open file, to the nanosecond.
func futimens(f *os.File, mtime int64) error {
	t := unix.NsecToTimespec(mtime)

	return unix.UtimesNanoAt(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), []unix.Timespec{t, t}, 0)
}
