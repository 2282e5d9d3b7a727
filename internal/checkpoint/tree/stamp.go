package tree

import (
	"io/fs"
	"syscall"
)

func linkCount(info fs.FileInfo) uint64 {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 1
	}

	return uint64(st.Nlink) //nolint:unconvert // It has 32 bits on other machines.
}
