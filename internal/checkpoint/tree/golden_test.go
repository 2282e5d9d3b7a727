package tree

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
)

// What is in testdata was written once, by each version of the format: its chunks, the ids of the tree's in order, and what was in
// the directory. It is never written again, and restores for ever.
func TestGolden(t *testing.T) {
	for _, dir := range []string{"testdata/golden", "testdata/golden-2"} {
		t.Run(dir, func(t *testing.T) { restoresGolden(t, dir) })
	}
}

func restoresGolden(t *testing.T, golden string) {
	t.Helper()

	ids, err := os.ReadFile(golden + "/tree")
	if err != nil {
		t.Fatal(err)
	}

	var tree []checkpoint.ID

	for line := range strings.FieldsSeq(string(ids)) {
		var id checkpoint.ID
		if err := id.UnmarshalText([]byte(line)); err != nil {
			t.Fatal(err)
		}

		tree = append(tree, id)
	}

	dir := filepath.Join(t.TempDir(), "restored")
	if notes, err := Restore(t.Context(), dir, tree, goldenChunk(golden), Options{}); err != nil || len(notes) > 0 {
		t.Fatal(err, notes)
	}

	want, err := os.ReadFile(golden + "/want")
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(string(want), lines(describe(t, dir))); diff != "" {
		t.Errorf("the restored directory: -want, +got:\n%s", diff)
	}
}

func goldenChunk(golden string) Get {
	return func(_ context.Context, id checkpoint.ID) ([]byte, error) {
		b, err := os.ReadFile(golden + "/chunks/" + id.String())
		if err != nil {
			return nil, err
		}

		if sha256.Sum256(b) != id {
			return nil, checkpoint.ErrCorrupt
		}

		return b, nil
	}
}

// lines writes a description with names in quotes, as some are no text.
func lines(description map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(description)) {
		fmt.Fprintf(&b, "%q %q\n", name, description[name])
	}

	return b.String()
}
