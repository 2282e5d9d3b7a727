// Package tree turns a directory into chunks and chunks into a directory. It must not know where chunks are kept: it is given
// a function that stores one and one that gets one back.
package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
)

// Put stores a chunk of at most checkpoint.MaxChunk bytes. It must not keep the bytes. A save calls it twice at once at most.
type Put func(context.Context, []byte) (checkpoint.ID, error)

// Get returns the bytes of a chunk, verified: other bytes than were put are an error. A restore calls it thrice at once at most.
type Get func(context.Context, checkpoint.ID) ([]byte, error)

// ErrFormat is returned for what is no tree that this version writes.
var ErrFormat = errors.New("not a tree of this format")

// Options of a save or a restore. The zero value is right for a restore; a save needs a Chunker.
type Options struct {
	// Chunker says where files are cut.
	Chunker checkpoint.Chunker
	// Rate bounds how many bytes a second are read from files, or written to them; 0 is no bound.
	Rate int64
	// Attempts at a file that changes while it is read; 4 if 0.
	Attempts int
	// Free is given the bytes that a restore got and needs no more; nil for nobody.
	Free func([]byte)
	// LockWait is how long to wait for a SQLite database that somebody writes; 2 seconds if 0.
	LockWait time.Duration
}

func (o Options) withDefaults() Options {
	if o.Attempts == 0 {
		o.Attempts = 4
	}

	if o.LockWait == 0 {
		o.LockWait = 2 * time.Second
	}

	return o
}

// A Snapshot is a directory as it was saved.
type Snapshot struct {
	// Tree are the chunks of the tree, in order; Chunks are all others that it needs, each once, sorted.
	Tree, Chunks []checkpoint.ID
	// Files is the number of regular files; Bytes how long they are together.
	Files, Bytes int64

	// files are what is known of each regular file, by path: about 300 bytes of memory each.
	files map[string]known
}

// Same says whether two snapshots are of the same state: names, contents, modes and times.
func (s *Snapshot) Same(other *Snapshot) bool {
	return s != nil && other != nil && slices.Equal(s.Tree, other.Tree)
}

// A Note is something in a directory that a snapshot does not have as it is.
type Note struct {
	// Path in the directory. It is for people, and never for logs or labels.
	Path string
	Why  string
}

// String returns the note as a sentence.
func (n Note) String() string { return fmt.Sprintf("%s: %s", n.Path, n.Why) }

// An Entry is something in a tree.
type Entry struct {
	// Name is the path below the directory.
	Name string `json:"name"`
	// Mode has the type and the permissions.
	Mode fs.FileMode `json:"mode"`
	Size int64       `json:"size"`
	// ModTime is when it was last written.
	ModTime time.Time `json:"modTime"`
	// Target is where a symbolic link leads, and which file a hard link is another name of.
	Target string `json:"target,omitempty"`
}

// known is what is known of a regular file that was saved.
type known struct {
	stamp stamp
	sum   sum
	refs  []ref
	attrs []attr
}

// A stamp tells whether a file has been written since. It is of one file system and never leaves the process.
type stamp struct {
	size, mtime, ctime int64
	inode, device      uint64
	mode               uint32
}

// A ref is a part of a file: bytes of a chunk, or a hole.
type ref struct {
	// hole says that there are no bytes but zeros.
	hole   bool
	chunk  checkpoint.ID
	offset uint32
	length int64
}

// An attr is an extended attribute.
type attr struct {
	name  string
	value []byte
}
