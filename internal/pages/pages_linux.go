// Package pages gives memory back that a program needed to get started and no longer needs.
package pages

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"syscall"
)

// Return gives the kernel back the pages of the program that were needed to get it started: most packages, those of the
// object stores above all, are read once and then lie idle. What is needed again comes back from the page cache. Only what can
// never have been written is given back. It is for memory alone, so nothing depends on its success.
func Return() {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}

	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}

	for lines := bufio.NewScanner(bytes.NewReader(maps)); lines.Scan(); {
		var (
			from, to           uintptr
			mode, offset, node string
			inode              uint64
			path               string
		)

		n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s %s %s %d %s", &from, &to, &mode, &offset, &node, &inode, &path)
		if n == 7 && path == self && (mode == "r-xp" || mode == "r--p") {
			_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_DONTNEED)
		}
	}
}
