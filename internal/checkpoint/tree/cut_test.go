package tree

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/restic/chunker"
	"pgregory.net/rapid"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
)

// Cuts are where the library cuts that repositories have been cut with: else what is there already would be stored once more.
func TestCutsWhereTheLibraryDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pol := chunker.Pol(rapid.SampledFrom([]uint64{0x3DA3358B4DC173, 0x2482734cacca49, 0x3abc9bff07d9e5}).Draw(t, "polynomial"))
		least := rapid.IntRange(window, 40_000).Draw(t, "min")
		o := checkpoint.Chunker{
			Polynomial: pol.String()[2:], Min: least, Average: least + rapid.IntRange(0, 100_000).Draw(t, "average"),
			Max: 150_000 + rapid.IntRange(0, 500_000).Draw(t, "max"),
		}
		b := cuttable(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(0, 2<<20).Draw(t, "length"))

		want := libraryCuts(t, o, pol, b)

		if got := cuts(t, o, bytes.NewReader(b)); !slices.Equal(got, want) {
			t.Fatalf("cut into %v, want %v", got, want)
		}

		if got := cuts(t, o, iotest.HalfReader(bytes.NewReader(b))); !slices.Equal(got, want) {
			t.Fatalf("what comes in pieces is cut into %v, want %v", got, want)
		}
	})
}

// cuttable is noise, with stretches of one byte and of what was before: fingerprints that are zero, and such that never are.
func cuttable(seed uint64, n int) (out []byte) {
	r := rand.New(rand.NewPCG(seed, seed))

	for len(out) < n {
		switch size := 1 + r.IntN(300_000); r.IntN(4) {
		case 0:
			out = append(out, bytes.Repeat([]byte{byte(r.IntN(3))}, size)...)
		case 1:
			out = append(out, out[:min(size, len(out))]...)
		default:
			out = append(out, noise(size, r.Uint64())...)
		}
	}

	return out[:n]
}

func cuts(t *rapid.T, o checkpoint.Chunker, r io.Reader) (out []int) {
	c, err := newCutter(o)
	if err != nil {
		t.Fatal(err)
	}

	c.begin(r)

	for {
		b, err := c.next()
		if errors.Is(err, io.EOF) {
			return out
		}

		if err != nil {
			t.Fatal(err)
		}

		out = append(out, len(b))
	}
}

func libraryCuts(t *rapid.T, o checkpoint.Chunker, pol chunker.Pol, b []byte) (out []int) {
	c := chunker.NewWithBoundaries(bytes.NewReader(b), pol, uint(o.Min), uint(o.Max))
	average := 0

	for 1<<(average+1) <= o.Average {
		average++
	}

	c.SetAverageBits(average)

	for {
		part, err := c.Next(nil)
		if errors.Is(err, io.EOF) {
			return out
		}

		if err != nil {
			t.Fatal(err)
		}

		out = append(out, len(part.Data))
	}
}

func TestCutterEndsWithItsReader(t *testing.T) {
	broken := errors.New("the disk is gone")

	c, err := newCutter(options.Chunker)
	if err != nil {
		t.Fatal(err)
	}

	c.begin(io.MultiReader(bytes.NewReader(make([]byte, 10)), iotest.ErrReader(broken)))

	if _, err := c.next(); !errors.Is(err, broken) {
		t.Errorf("next() = %v, want what the reader says", err)
	}
}

func BenchmarkCut(b *testing.B) {
	data := noise(32<<20, 1)

	c, err := newCutter(options.Chunker)
	if err != nil {
		b.Fatal(err)
	}

	b.SetBytes(int64(len(data)))

	for b.Loop() {
		c.begin(bytes.NewReader(data))

		for {
			if _, err := c.next(); errors.Is(err, io.EOF) {
				break
			}
		}
	}
}
