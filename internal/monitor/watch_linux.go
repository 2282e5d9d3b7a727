package monitor

import (
	"fmt"
	"os"
	"syscall"
)

// changes returns a channel that gets something when a name in a directory begins to mean something else, until stop is
// called.
func changes(dir string) (changed <-chan struct{}, stop func(), err error) {
	fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make a watch: %w", err)
	}

	// A descriptor that does not block is read through Go's poller, so that closing it ends the read.
	f := os.NewFile(uintptr(fd), "inotify")

	if _, err := syscall.InotifyAddWatch(fd, dir, syscall.IN_MOVED_TO|syscall.IN_CLOSE_WRITE); err != nil {
		_ = f.Close()

		return nil, nil, fmt.Errorf("cannot watch %s: %w", dir, err)
	}

	out, ended := make(chan struct{}, 1), make(chan struct{})

	go func() {
		defer close(ended)
		// What changed does not matter: the reader looks at all of it.
		for b := make([]byte, 4096); ; {
			if _, err := f.Read(b); err != nil {
				return
			}

			select {
			case out <- struct{}{}:
			default:
			}
		}
	}()

	return out, func() { _ = f.Close(); <-ended }, nil
}
