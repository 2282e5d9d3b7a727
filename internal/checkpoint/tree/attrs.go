package tree

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// attrPrefix is of the extended attributes that are kept.
const attrPrefix = "user."

// attrsOf returns the extended attributes of a directory.
func attrsOf(dir *os.Root) ([]attr, error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, fmt.Errorf("cannot open a directory: %w", bare(err))
	}
	defer f.Close() // It was only read.

	return readAttrs(int(f.Fd()))
}

// readAttrs returns the extended attributes of the user's namespace. Others are the system's.
func readAttrs(fd int) ([]attr, error) {
	n, err := unix.Flistxattr(fd, nil)
	if errors.Is(err, unix.ENOTSUP) || n == 0 {
		return nil, nil
	}

	if err != nil {
		return nil, fmt.Errorf("cannot list extended attributes: %w", err)
	}

	list := make([]byte, n+4096)
	if n, err = unix.Flistxattr(fd, list); err != nil {
		return nil, fmt.Errorf("cannot list extended attributes: %w", err)
	}

	var out []attr

	for name := range strings.SplitSeq(strings.TrimRight(string(list[:n]), "\x00"), "\x00") {
		if !strings.HasPrefix(name, attrPrefix) {
			continue
		}

		value := make([]byte, maxValue)

		n, err := unix.Fgetxattr(fd, name, value)
		if errors.Is(err, unix.ENODATA) {
			continue
		}

		if err != nil {
			return nil, fmt.Errorf("cannot read an extended attribute: %w", err)
		}

		out = append(out, attr{name: name, value: bytes.Clone(value[:n])})
	}

	slices.SortFunc(out, func(a, b attr) int { return strings.Compare(a.name, b.name) })

	return out, nil
}
