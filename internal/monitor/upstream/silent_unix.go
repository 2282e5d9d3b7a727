//go:build unix

package upstream

import (
	"errors"
	"syscall"
)

// silent says whether nothing came on a connection that nobody was asked anything on: neither the end of it, which a server
// sends that has had enough, nor words that belong to no request. It does not wait.
func silent(raw syscall.RawConn) bool {
	var (
		one [1]byte
		got error
	)

	err := raw.Read(func(fd uintptr) bool {
		_, _, got = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)

		return true
	})

	return err == nil && errors.Is(got, syscall.EAGAIN)
}
