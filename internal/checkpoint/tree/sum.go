package tree

import (
	"encoding/binary"
	"hash"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/crypto/blake2b"
)

// A sum says which bytes a file has, without those of holes. Every chunk has a name that says which bytes are its own, and a tree of
// chunks says which make up a file; so a sum is for finding a file whose chunks were noted or put together wrongly, by a fault of
// ours. A quick one is good enough for that, and a tenth of the work; it is XXH64. That of a small file also says whether it has the
// bytes that it had before, on which a state hangs: it is BLAKE2b-256.
type sum struct {
	quick bool
	value [blake2b.Size256]byte
}

// bytes are those that a tree has of a sum.
func (s *sum) bytes() []byte {
	if s.quick {
		return s.value[:8]
	}

	return s.value[:]
}

// newSum returns what a sum is made with.
func newSum(quick bool) (hash.Hash, error) {
	if quick {
		return xxhash.New(), nil
	}

	return blake2b.New256(nil)
}

// sumOf returns the sum of all that was written to a hash.
func sumOf(h hash.Hash, quick bool) (s sum) {
	if s.quick = quick; quick {
		binary.BigEndian.PutUint64(s.value[:], h.(hash.Hash64).Sum64()) //nolint:forcetypeassert // newSum made it.

		return s
	}

	h.Sum(s.value[:0])

	return s
}
