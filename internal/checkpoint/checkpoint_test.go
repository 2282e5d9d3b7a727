package checkpoint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"
	"gocloud.dev/secrets/localsecrets"
)

var (
	testKey  = DataKey{1, 2, 3}
	testPool = Pool{ID: strings.Repeat("0a", 16), Chunker: DefaultChunker(0x3DA3358B4DC173)}
)

// quick makes no second attempt: a test's store fails where it is told to.
func quick() Options { return Options{Attempts: 1, Pause: time.Nanosecond} }

func buckets(t *testing.T) map[string]*blob.Bucket {
	t.Helper()
	dir, err := fileblob.OpenBucket(t.TempDir(), &fileblob.Options{NoTempDir: true, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		t.Fatal(err)
	}
	mem := memblob.OpenBucket(nil)
	t.Cleanup(func() { dir.Close(); mem.Close() })
	return map[string]*blob.Bucket{"Mem": mem, "File": blob.PrefixedBucket(dir, "team/pool/")}
}

func TestRepository(t *testing.T) {
	for name, b := range buckets(t) {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if _, err := Open(ctx, b, testKey, quick()); !errors.Is(err, ErrNotFound) {
				t.Errorf("Open before Create: got %v, want ErrNotFound", err)
			}
			if _, err := Create(ctx, b, testKey, testPool, quick()); err != nil {
				t.Fatal(err)
			}
			if _, err := Create(ctx, b, NewDataKey(), newPool(), quick()); !errors.Is(err, ErrExists) {
				t.Errorf("Create again: got %v, want ErrExists", err)
			}
			if _, err := Open(ctx, b, NewDataKey(), quick()); !errors.Is(err, ErrKey) {
				t.Errorf("Open with another key: got %v, want ErrKey", err)
			}
			r, err := Open(ctx, b, testKey, quick())
			if err != nil {
				t.Fatal(err)
			}
			want := testPool
			want.Version = FormatVersion
			if diff := cmp.Diff(want, r.Pool()); diff != "" {
				t.Errorf("Pool: -want, +got:\n%s", diff)
			}
		})
	}
}

func newPool() Pool { return Pool{Chunker: DefaultChunker(0x3DA3358B4DC173)} }

func noRenew(context.Context) error { return errors.New("a young chunk was renewed") }

func TestChunk(t *testing.T) {
	cases := map[string]struct {
		reason string
		plain  []byte
		err    error
	}{
		"Compressible": {reason: "Text is stored compressed.", plain: bytes.Repeat([]byte("word "), 1000)},
		"Random":       {reason: "What does not compress is stored as it is.", plain: []byte(randomHex(500))},
		"Byte":         {reason: "One byte is a chunk.", plain: []byte{0}},
		"Largest":      {reason: "The largest chunk fits.", plain: make([]byte, MaxChunk)},
		"Empty":        {reason: "Nothing is no chunk.", err: ErrInvalid},
		"TooLarge":     {reason: "One byte more does not fit.", plain: make([]byte, MaxChunk+1), err: ErrInvalid},
	}
	for bucket, b := range buckets(t) {
		r, err := Create(t.Context(), b, testKey, testPool, quick())
		if err != nil {
			t.Fatal(err)
		}
		for name, tc := range cases {
			t.Run(bucket+name, func(t *testing.T) {
				id, err := r.ID(tc.plain)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := r.put(t.Context(), id, tc.plain, noRenew); !errors.Is(err, tc.err) {
					t.Fatalf("%s put: got %v, want %v", tc.reason, err, tc.err)
				}
				if tc.err != nil {
					return
				}
				got, err := r.Get(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, tc.plain) {
					t.Errorf("%s Get: other bytes than were put", tc.reason)
				}
				if n, err := r.put(t.Context(), id, tc.plain, noRenew); n != 0 || err != nil {
					t.Errorf("put again: got %d bytes, %v, want none", n, err)
				}
			})
		}
	}
}

// Every single bit of a chunk's object is held by its tag.
func TestChunkFlippedBits(t *testing.T) {
	k, err := deriveKeys(testKey, testPool.ID)
	if err != nil {
		t.Fatal(err)
	}
	plain := []byte("a few words, a few words")
	id, err := k.chunkID(plain)
	if err != nil {
		t.Fatal(err)
	}
	obj, err := k.sealChunk(id, plain, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 8 * len(obj) {
		bad := bytes.Clone(obj)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := k.openChunk(id, bad, nil); !errors.Is(err, ErrCorrupt) {
			t.Errorf("bit %d flipped: got %v, want ErrCorrupt", i, err)
		}
	}
	for n := range obj {
		if _, err := k.openChunk(id, bytes.Clone(obj[:n]), nil); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut to %d bytes: got %v, want ErrCorrupt", n, err)
		}
	}
	other := id
	other[0]++
	if _, err := k.openChunk(other, bytes.Clone(obj), nil); !errors.Is(err, ErrCorrupt) {
		t.Errorf("under another's name: got %v, want ErrCorrupt", err)
	}
}

func TestWrap(t *testing.T) {
	ctx := t.Context()
	mine, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	kms := localsecrets.NewKeeper([32]byte{1})
	defer kms.Close()
	forAge, err := WrapForAge(testKey, "me", mine.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	forKMS, err := WrapForKMS(ctx, testKey, "kms", kms)
	if err != nil {
		t.Fatal(err)
	}
	b := memblob.OpenBucket(nil)
	defer b.Close()
	r, err := Create(ctx, b, testKey, testPool, quick())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Rewrap(ctx, []WrappedKey{forKMS, forAge}); err != nil {
		t.Fatal(err)
	}
	p, err := ReadPool(ctx, b, quick())
	if err != nil {
		t.Fatal(err)
	}
	if k, err := UnwrapWithAge(p, mine); err != nil || k != testKey {
		t.Errorf("UnwrapWithAge: got %v", err)
	}
	if k, err := UnwrapWithKMS(ctx, p, "kms", kms); err != nil || k != testKey {
		t.Errorf("UnwrapWithKMS: got %v", err)
	}
	if _, err := UnwrapWithAge(p, other); err == nil {
		t.Error("UnwrapWithAge with another's identity: got no error")
	}
	if s := fmt.Sprintf("%v %+v %#v %s", testKey, testKey, testKey, testKey); strings.Contains(s, "1 2 3") || strings.Contains(s, "0x1") {
		t.Errorf("a printed key shows itself: %s", s)
	}
}
