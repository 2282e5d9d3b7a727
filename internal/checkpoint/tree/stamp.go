package tree

import (
	"io/fs"
	"syscall"
)

func stampOf(info fs.FileInfo) stamp {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		panic("a file of this system has a stat")
	}

	mtime, ctime := times(st)

	return stamp{
		size: st.Size, mtime: mtime, ctime: ctime, inode: st.Ino,
		device: uint64(st.Dev), mode: uint32(st.Mode) & 0o7777, //nolint:unconvert // They have fewer bits on other systems.
	}
}

func linkCount(info fs.FileInfo) uint64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 1
	}

	return uint64(st.Nlink) //nolint:unconvert // It has 32 bits on other machines.
}
