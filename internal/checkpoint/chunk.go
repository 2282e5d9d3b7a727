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

// coders is how many chunks are compressed, and how many decompressed, at once.
const coders = 2

// Encoders and decoders are the process's: each holds megabytes, which is too much to make for each chunk. One that nobody needs is
// not made.
var codecs = sync.OnceValues(func() (*zstd.Encoder, *zstd.Decoder) {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(coders), zstd.WithEncoderCRC(false), zstd.WithWindowSize(512<<10),
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // Constant options: it fails always or never.
	}
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(coders), zstd.WithDecoderMaxMemory(MaxChunk), zstd.WithDecoderMaxWindow(MaxChunk))
	if err != nil {
		panic(err) // As above.
	}
	return e, d
})

// A buffer holds any object, and what beyond it needs who tries to compress it, or reads it to its end.
type buffer [maxObject + 1<<10]byte

// buffers are those that nobody uses: no more are kept than are used at once.
var buffers = make(chan *buffer, coders)

func takeBuffer() *buffer {
	select {
	case b := <-buffers:
		return b
	default:
		return new(buffer)
	}
}

func (b *buffer) free() {
	select {
	case buffers <- b:
	default:
	}
}

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

// sealChunk makes a chunk's object, in a buffer if that is long enough.
func (k keys) sealChunk(id ID, plain, buf []byte) ([]byte, error) {
	if len(plain) == 0 || len(plain) > MaxChunk {
		return nil, fmt.Errorf("a chunk has 1 to %d bytes, not %d: %w", MaxChunk, len(plain), ErrInvalid)
	}
	aead, err := chacha20poly1305.NewX(k.seal)
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt the chunk: %w", err)
	}
	var head [headerSize]byte
	head[0], head[1] = chunkVersion, flagZstd
	_, _ = rand.Read(head[2:]) // Never fails: it ends the process instead.
	enc, _ := codecs()
	out := enc.EncodeAll(plain, append(buf[:0], head[:]...))
	if len(out)-headerSize >= len(plain) {
		out = append(out[:headerSize], plain...)
		out[1] = 0
	}
	return aead.Seal(out[:headerSize], head[2:], out[headerSize:], chunkData(out[:2], id)), nil
}

// chunkData is what the tag covers beside the content: version, flags and id.
func chunkData(head []byte, id ID) []byte {
	return append([]byte{head[0], head[1]}, id[:]...)
}

// openChunk returns the bytes of a chunk's object, which it spoils, in a buffer if that is long enough.
func (k keys) openChunk(id ID, obj, buf []byte) ([]byte, error) {
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
	packed := obj[1]&flagZstd != 0
	body, into := obj[headerSize:], buf[:0]
	if packed {
		into = body[:0]
	}
	plain, err := aead.Open(into, obj[2:headerSize], body, chunkData(obj[:2], id))
	if err != nil {
		return nil, fmt.Errorf("chunk %s does not decrypt: %w", id, ErrCorrupt)
	}
	if packed {
		_, dec := codecs()
		if plain, err = dec.DecodeAll(plain, buf[:0]); err != nil {
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
	buf := takeBuffer()
	defer buf.free()
	obj, err := r.store.readInto(ctx, chunkName(id), maxObject, buf[:])
	if err != nil {
		return nil, fmt.Errorf("cannot get chunk %s: %w", id, err)
	}
	var spare []byte
	select {
	case spare = <-r.spares:
	default:
	}
	return r.keys.openChunk(id, obj, spare)
}

// Free takes bytes that Get returned, and that nobody will read any more, for a later Get. Nobody has to free any.
func (r *Repository) Free(b []byte) {
	select {
	case r.spares <- b:
	default:
	}
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
	buf := takeBuffer()
	defer buf.free()
	obj, err := r.keys.sealChunk(id, plain, buf[:])
	if err != nil {
		return 0, err
	}
	// Over an old one, unconditionally: any object of this name that opens holds these bytes, and this one is young.
	if err := r.store.write(ctx, name, obj); err != nil {
		return 0, fmt.Errorf("cannot put chunk %s: %w", id, err)
	}
	return int64(len(obj)), nil
}
