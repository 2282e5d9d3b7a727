package checkpoint

import (
	"encoding/json"
	"errors"
	"testing"

	"gocloud.dev/blob/memblob"
)

// later is a document as some later version may have it: with a field that nobody knows today.
func later(t *testing.T, r *Repository, name string) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"version": FormatVersion + 1, "id": 7, "news": true})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := sealDocument(r.keys.mac, name, json.RawMessage(body))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.store.write(t.Context(), name, doc); err != nil {
		t.Fatal(err)
	}
}

// What a newer program wrote is refused for its version. It is not taken for corrupt, or an older state would be restored in
// its place, and what it needs be swept.
func TestNewerVersion(t *testing.T) {
	mem := memblob.OpenBucket(nil)
	defer mem.Close()
	r, err := Create(t.Context(), mem, testKey, testPool, quick())
	if err != nil {
		t.Fatal(err)
	}
	s := mustClaim(t, r)
	for _, text := range []string{"one", "two"} {
		if _, err := save(t.Context(), s, text); err != nil {
			t.Fatal(err)
		}
	}
	first := Position{Epoch: 1, Sequence: 1}
	check := map[string]func() error{
		"Restore":   func() error { _, err := r.Restore(t.Context(), "w-0", maxNumber, r.Verify); return err },
		"Sweep":     func() error { _, err := aging(t, r, mem, always).Sweep(t.Context()); return err },
		"Prune":     func() error { _, err := r.Prune(t.Context(), "w-0", Retain{Last: 1}); return err },
		"Summarize": func() error { _, err := r.Summarize(t.Context(), "w-0"); return err },
	}
	later(t, r, manifestName("w-0", Position{Epoch: 2, Sequence: 1}))
	before := names(t, mem, "")
	for name, f := range check {
		if err := f(); !errors.Is(err, ErrVersion) || errors.Is(err, ErrCorrupt) {
			t.Errorf("%s beside a newer manifest: got %v, want ErrVersion", name, err)
		}
	}
	later(t, r, pinName("w-0", first))
	if _, err := r.Pins(t.Context(), "w-0"); !errors.Is(err, ErrVersion) {
		t.Errorf("Pins with a newer one: got %v, want ErrVersion", err)
	}
	if err := r.Remove(t.Context(), "w-0", first, true); !errors.Is(err, ErrVersion) {
		t.Errorf("Remove beside a newer pin: got %v, want ErrVersion", err)
	}
	if got := names(t, mem, ""); len(got) != len(before)+1 {
		t.Errorf("there were %q and a pin, there are %q", before, got)
	}
	later(t, r, poolName)
	if _, err := Open(t.Context(), mem, testKey, quick()); !errors.Is(err, ErrVersion) {
		t.Errorf("Open of a newer repository: got %v, want ErrVersion", err)
	}
	if _, err := ReadPool(t.Context(), mem, quick()); !errors.Is(err, ErrVersion) {
		t.Errorf("ReadPool of a newer repository: got %v, want ErrVersion", err)
	}
}
