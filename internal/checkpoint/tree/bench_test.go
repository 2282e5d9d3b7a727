package tree

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
)

// nowhere takes chunks and keeps none: what is measured is this package, and no store.
func nowhere(_ context.Context, b []byte) (checkpoint.ID, error) {
	return checkpoint.ID(sha256.Sum256(b)), nil
}

func BenchmarkUnchanged10000Files(b *testing.B) {
	dir := b.TempDir()
	for i := range 10_000 {
		write(b, fmt.Sprintf("%s/%d/%d", dir, i%100, i), noise(2000, uint64(i)))
	}

	before, _, err := Save(b.Context(), dir, nowhere, nil, options)
	if err != nil {
		b.Fatal(err)
	}

	b.ReportAllocs()

	for b.Loop() {
		s, _, err := Save(b.Context(), dir, nowhere, before, options)
		if err != nil || !s.Same(before) {
			b.Fatal("saved as another", err)
		}
	}
}

func BenchmarkSaveOneFile(b *testing.B) {
	dir := b.TempDir()
	size := bigFile(b, dir+"/large")

	b.SetBytes(size)
	b.ReportAllocs()

	for b.Loop() {
		if _, _, err := Save(b.Context(), dir, nowhere, nil, options); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRestore10000Files(b *testing.B) {
	dir, h := b.TempDir(), newHeap()
	for i := range 10_000 {
		write(b, fmt.Sprintf("%s/%d/%d", dir, i%100, i), noise(2000, uint64(i)))
	}

	s, _ := save(b, dir, h, nil)
	into, n := b.TempDir(), 0

	b.SetBytes(s.Bytes)
	b.ReportAllocs()

	for b.Loop() {
		n++
		if _, err := Restore(b.Context(), filepath.Join(into, fmt.Sprint(n)), s.Tree, h.get, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// bigFile writes a gigabyte, or less where a machine is asked for short tests, and returns how long it is.
func bigFile(b *testing.B, p string) int64 {
	b.Helper()

	f, err := os.Create(p)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()

	parts := 256
	if testing.Short() {
		parts = 16
	}

	for i := range parts {
		if _, err := f.Write(noise(4<<20, uint64(i))); err != nil {
			b.Fatal(err)
		}
	}

	return int64(parts) * 4 << 20
}
