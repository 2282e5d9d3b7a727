package checkpoint

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"gocloud.dev/blob/fileblob"
)

// testdata/golden was written once, by the first version of the format. It is never written again, and restores for ever.
func TestGolden(t *testing.T) {
	b, err := fileblob.OpenBucket("testdata/golden", &fileblob.Options{Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	r, err := Open(t.Context(), b, testKey, quick())
	if err != nil {
		t.Fatal(err)
	}
	got, err := r.Restore(t.Context(), "w-0", maxNumber, r.Verify)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Position{Epoch: 2, Sequence: 1}, got.Manifest.Position); diff != "" {
		t.Errorf("Restore: -want, +got:\n%s", diff)
	}
	text, err := r.Get(t.Context(), got.Manifest.Tree[0])
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("a month of work", string(text)); diff != "" {
		t.Errorf("state: -want, +got:\n%s", diff)
	}
}
