package checkpoint

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"gocloud.dev/blob"
)

const poolName = "pool.json"

// A Pool is what pool.json says of a repository, in plain text.
type Pool struct {
	// Version of the format.
	Version int `json:"version"`
	// ID is 32 random hexadecimal digits, which the keys are derived with.
	ID string `json:"id"`
	// Chunker says where files are cut. It never changes: other cuts would share no chunk with what is there.
	Chunker Chunker `json:"chunker"`
	// Keys are the data key, wrapped for those who may open the repository when the cluster is lost.
	Keys []WrappedKey `json:"keys,omitempty"`
}

// A Chunker says how files are cut into chunks. All sizes are bytes.
type Chunker struct {
	// Polynomial is an irreducible polynomial of degree 53, in hexadecimal. A random one for each pool, as the sizes of
	// chunks would else tell of known files.
	Polynomial string `json:"polynomial"`
	Min        int    `json:"min"`
	Average    int    `json:"average"`
	Max        int    `json:"max"`
}

// DefaultChunker returns the sizes of a new pool, with a polynomial of the caller's.
func DefaultChunker(polynomial uint64) Chunker {
	return Chunker{Polynomial: fmt.Sprintf("%016x", polynomial), Min: 128 << 10, Average: 512 << 10, Max: MaxChunk}
}

func (p Pool) validate() error {
	if p.Version != FormatVersion {
		return fmt.Errorf("its format is version %d, and this program knows %d: %w", p.Version, FormatVersion, ErrInvalid)
	}
	if id, err := hex.DecodeString(p.ID); err != nil || len(id) != 16 || hex.EncodeToString(id) != p.ID {
		return fmt.Errorf("its id is not 32 hexadecimal digits: %w", ErrInvalid)
	}
	c := p.Chunker
	if poly, err := hex.DecodeString(c.Polynomial); err != nil || len(poly) != 8 {
		return fmt.Errorf("its polynomial is not 16 hexadecimal digits: %w", ErrInvalid)
	}
	if c.Min <= 0 || c.Min > c.Average || c.Average > c.Max || c.Max > MaxChunk {
		return fmt.Errorf("its chunk sizes %d, %d, %d do not rise to at most %d: %w", c.Min, c.Average, c.Max, MaxChunk, ErrInvalid)
	}
	return nil
}

// peekPool reads a pool.json without a key, because its id is needed to derive the keys that prove it.
func peekPool(doc []byte) (Pool, error) {
	var p Pool
	body, _, err := splitDocument(doc)
	if err != nil {
		return p, err
	}
	if err := checkVersion(body); err != nil {
		return p, err
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return p, fmt.Errorf("pool.json is not JSON: %w", ErrCorrupt)
	}
	return p, p.validate()
}

// ReadPool reads pool.json without the data key, for who is about to unwrap it. Nothing proves what it returns.
func ReadPool(ctx context.Context, b *blob.Bucket, o Options) (Pool, error) {
	doc, err := store{bucket: b, opts: o.withDefaults()}.read(ctx, poolName)
	if err != nil {
		return Pool{}, fmt.Errorf("cannot read the pool: %w", err)
	}
	return peekPool(doc)
}

// Rewrap replaces the wrapped data keys, for other recipients. The data key stays: whoever had it can still read. It must
// have one caller at a time, since pool.json is the one object that is written over.
func (r *Repository) Rewrap(ctx context.Context, wrapped []WrappedKey) error {
	p := r.pool
	p.Keys = wrapped
	doc, err := sealDocument(r.keys.mac, poolName, p)
	if err != nil {
		return err
	}
	if err := r.store.write(ctx, poolName, doc); err != nil {
		return fmt.Errorf("cannot write the wrapped keys: %w", err)
	}
	got, err := r.store.read(ctx, poolName)
	if err != nil {
		return fmt.Errorf("cannot read the wrapped keys back: %w", err)
	}
	if !bytes.Equal(got, doc) {
		return fmt.Errorf("cannot rewrap the data key, as another did at the same time: %w", ErrExists)
	}
	return nil
}
