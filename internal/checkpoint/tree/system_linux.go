package tree

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// setLock sets a lock of the open file.
const setLock = unix.F_OFD_SETLK

func stampOf(info fs.FileInfo) stamp {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		panic("a file of this system has a stat")
	}

	return stamp{
		size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(), inode: st.Ino, device: st.Dev, mode: st.Mode & 0o7777,
	}
}

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
