package checkpoint

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"testing"

	"gocloud.dev/blob"
	"gocloud.dev/blob/memblob"
)

func FuzzOpenChunk(f *testing.F) {
	k, err := deriveKeys(testKey, testPool.ID)
	if err != nil {
		f.Fatal(err)
	}
	id, _ := k.chunkID([]byte("seed"))
	obj, _ := k.sealChunk(id, []byte("seed"), nil)
	f.Add(obj)
	f.Fuzz(func(t *testing.T, obj []byte) {
		if plain, err := k.openChunk(id, bytes.Clone(obj), nil); err == nil && string(plain) != "seed" {
			t.Errorf("opened to %q", plain)
		}
	})
}

// Behind the signature, which a fuzzer cannot forge, lie the decoders: each takes what this code writes, byte for byte, or nothing.
// Whatever lies there, a look at all of it ends without a panic.
func FuzzDocument(f *testing.F) {
	at := Position{Epoch: 1, Sequence: 1}
	read := []struct {
		name string
		seed any
		read func(context.Context, *Repository) (any, error)
	}{
		{manifestName("0", at), Manifest{Version: 1, Slot: "0", Position: at, Parent: &at, Tree: []ID{{1}}, Lists: []ID{{2}}}, func(ctx context.Context, r *Repository) (any, error) {
			return r.Manifest(ctx, "0", at)
		}},
		{epochObject("0", 1), Epoch{Version: 1, Slot: "0", Epoch: 1, Holder: "a"}, func(ctx context.Context, r *Repository) (any, error) { return r.Highest(ctx, "0") }},
		{pinName("0", at), pin{Version: 1, Slot: "0", Position: at, Why: "w"}, func(ctx context.Context, r *Repository) (any, error) {
			doc, err := r.store.read(ctx, pinName("0", at))
			if err != nil {
				return nil, err
			}
			var p pin
			err = openDocument(r.keys.mac, pinName("0", at), doc, &p)
			return p, err
		}},
		{sweepName, sweep{Version: 1, Done: true}, func(ctx context.Context, r *Repository) (any, error) { return r.lastSweep(ctx) }},
		{poolName, testPool, func(ctx context.Context, r *Repository) (any, error) {
			again, err := Open(ctx, r.store.bucket, testKey, quick())
			if err != nil {
				return nil, err
			}
			return again.Pool(), nil
		}},
	}
	for i, k := range read {
		seed, err := json.Marshal(k.seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), seed)
	}
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		k := read[int(kind)%len(read)]
		mem := memblob.OpenBucket(nil)
		defer mem.Close()
		r, err := Create(t.Context(), mem, testKey, testPool, quick())
		if err != nil {
			t.Fatal(err)
		}
		forge(t, r, mem, k.name, body)
		if got, err := k.read(t.Context(), r); err == nil {
			again, err := json.Marshal(got)
			if err != nil || !bytes.Equal(again, body) {
				t.Errorf("%s was read from what is not its only form: %q, %q", k.name, body, again)
			}
		}
		_, _ = r.Summarize(t.Context(), "0")
		_, _ = r.Prune(t.Context(), "0", Retain{})
		_, _ = r.Sweep(t.Context())
		for cursor, step := Cursor(""), 0; step < 9; step++ {
			if _, cursor, err = r.Scrub(t.Context(), cursor, 1); err != nil || cursor == "" {
				break
			}
		}
	})
}

// forge writes a body with a signature that holds.
func forge(t *testing.T, r *Repository, b *blob.Bucket, name string, body []byte) {
	t.Helper()
	doc := append(bytes.Clone(body), '\n')
	doc = hex.AppendEncode(doc, documentMAC(r.keys.mac, name, body))
	if err := b.WriteAll(t.Context(), name, append(doc, '\n'), nil); err != nil {
		t.Fatal(err)
	}
}

// Whatever lies in a document's place, it is split in two or refused.
func FuzzSplitDocument(f *testing.F) {
	doc, _ := sealDocument([]byte("k"), "n", testPool)
	f.Add(doc)
	f.Fuzz(func(t *testing.T, doc []byte) {
		body, mac, err := splitDocument(doc)
		if err != nil {
			return
		}
		if again := append(hex.AppendEncode(append(bytes.Clone(body), '\n'), mac), '\n'); !bytes.Equal(bytes.ToLower(doc[len(body):]), again[len(body):]) {
			t.Errorf("%q was split into %q and %q", doc, body, mac)
		}
	})
}

// A list of chunks is whole ids or corrupt.
func FuzzReferences(f *testing.F) {
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, list []byte) {
		mem := memblob.OpenBucket(nil)
		defer mem.Close()
		r, err := Create(t.Context(), mem, testKey, testPool, quick())
		if err != nil {
			t.Fatal(err)
		}
		id, _ := r.ID(list)
		if _, err := r.put(t.Context(), id, list, noRenew); err != nil {
			return // Too short or too long for a chunk.
		}
		refs, err := r.References(t.Context(), Manifest{Lists: []ID{id}})
		if (err == nil) != (len(list)%len(ID{}) == 0) || len(refs) > len(list)/len(ID{})+1 {
			t.Errorf("a list of %d bytes has %d references, %v", len(list), len(refs), err)
		}
	})
}

func FuzzParsePosition(f *testing.F) {
	f.Add("0000000001-0000000002")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePosition(s)
		if err == nil && (p.String() != s || p.Epoch < 1 || p.Sequence < 1) {
			t.Errorf("%q was read as %s", s, p)
		}
	})
}
