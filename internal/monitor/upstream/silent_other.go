//go:build !unix

package upstream

import "syscall"

// silent cannot be known here, so that no connection is used twice.
func silent(syscall.RawConn) bool { return false }
