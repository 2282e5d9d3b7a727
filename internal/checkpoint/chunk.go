package checkpoint

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/crypto/blake2b"
	"golang.org/x/crypto/chacha20poly1305"
)

// A chunk object: version, flags, nonce, ciphertext and tag.
const (
	chunkVersion = 1
	flagZstd     = 1 << 0
	headerSize   = 2 + chacha20poly1305.NonceSizeX
	maxObject    = headerSize + MaxChunk + chacha20poly1305.Overhead
)

func chunkName(id ID) string {
	s := id.String()
	return "chunks/" + s[:2] + "/" + s
}

// One encoder and one decoder for the process: each holds about a megabyte, which is too much to make for each chunk.
var codecs = sync.OnceValues(func() (*zstd.Encoder, *zstd.Decoder) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false), zstd.WithWindowSize(1<<20))
	if err != nil {
		panic(err) // Constant options: it fails always or never.
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxChunk), zstd.WithDecoderMaxWindow(MaxChunk))
	if err != nil {
		panic(err) // As above.
	}
	return e, d
})

// ID returns the name that a chunk of these bytes has in this repository.
func (r *Repository) ID(plain []byte) (ID, error) { return r.keys.chunkID(plain) }

func (k keys) chunkID(plain []byte) (ID, error) {
	h, err := blake2b.New256(k.id)
	if err != nil {
		return ID{}, fmt.Errorf("cannot name the chunk: %w", err)
	}
	h.Write(plain)
	return ID(h.Sum(nil)), nil
}

func (k keys) sealChunk(id ID, plain []byte) ([]byte, error) {
	if len(plain) == 0 || len(plain) > MaxChunk {
		return nil, fmt.Errorf("a chunk has 1 to %d bytes, not %d: %w", MaxChunk, len(plain), ErrInvalid)
	}
	aead, err := chacha20poly1305.NewX(k.seal)
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt the chunk: %w", err)
	}
	enc, _ := codecs()
	flags, body := byte(flagZstd), enc.EncodeAll(plain, nil)
	if len(body) >= len(plain) {
		flags, body = 0, plain
	}
	out := make([]byte, headerSize, headerSize+len(body)+aead.Overhead())
	out[0], out[1] = chunkVersion, flags
	_, _ = rand.Read(out[2:headerSize]) // Never fails: it ends the process instead.
	return aead.Seal(out, out[2:headerSize], body, chunkData(out[:2], id)), nil
}

// chunkData is what the tag covers beside the content: version, flags and id.
func chunkData(head []byte, id ID) []byte {
	return append([]byte{head[0], head[1]}, id[:]...)
}

func (k keys) openChunk(id ID, obj []byte) ([]byte, error) {
	if len(obj) < headerSize+chacha20poly1305.Overhead || len(obj) > maxObject {
		return nil, fmt.Errorf("chunk %s has an impossible size: %w", id, ErrCorrupt)
	}
	if obj[0] != chunkVersion || obj[1]&^flagZstd != 0 {
		return nil, fmt.Errorf("chunk %s is of another version: %w", id, ErrCorrupt)
	}
	aead, err := chacha20poly1305.NewX(k.seal)
	if err != nil {
		return nil, fmt.Errorf("cannot decrypt the chunk: %w", err)
	}
	plain, err := aead.Open(nil, obj[2:headerSize], obj[headerSize:], chunkData(obj[:2], id))
	if err != nil {
		return nil, fmt.Errorf("chunk %s does not decrypt: %w", id, ErrCorrupt)
	}
	if obj[1]&flagZstd != 0 {
		_, dec := codecs()
		if plain, err = dec.DecodeAll(plain, nil); err != nil {
			return nil, fmt.Errorf("chunk %s does not decompress: %w", id, ErrCorrupt)
		}
	}
	got, err := k.chunkID(plain)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(got[:], id[:]) != 1 {
		return nil, fmt.Errorf("chunk %s holds other bytes: %w", id, ErrCorrupt)
	}
	return plain, nil
}

// Get returns a chunk's bytes, verified. It returns ErrNotFound or ErrCorrupt if they are lost.
func (r *Repository) Get(ctx context.Context, id ID) ([]byte, error) {
	obj, err := r.store.read(ctx, chunkName(id), maxObject)
	if err != nil {
		return nil, fmt.Errorf("cannot get chunk %s: %w", id, err)
	}
	return r.keys.openChunk(id, obj)
}

// put stores a chunk unless the store has it, young enough that no sweep takes it before the caller's commit. It returns
// the bytes that it wrote. Before it writes over an old one, which a sweep may be about to take, it calls renew.
func (r *Repository) put(ctx context.Context, id ID, plain []byte, renew func(context.Context) error) (int64, error) {
	name := chunkName(id)
	at, err := r.store.modified(ctx, name)
	switch {
	case err == nil && r.opts.Now().Sub(at) < r.opts.Window/2:
		return 0, nil
	case err == nil:
		if err := renew(ctx); err != nil {
			return 0, err
		}
	case !errors.Is(err, ErrNotFound):
		return 0, fmt.Errorf("cannot look for chunk %s: %w", id, err)
	}
	obj, err := r.keys.sealChunk(id, plain)
	if err != nil {
		return 0, err
	}
	// Over an old one, unconditionally: any object of this name that opens holds these bytes, and this one is young.
	if err := r.store.write(ctx, name, obj); err != nil {
		return 0, fmt.Errorf("cannot put chunk %s: %w", id, err)
	}
	return int64(len(obj)), nil
}
