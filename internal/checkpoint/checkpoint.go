// Package checkpoint keeps the checkpoints of a pool's slots in an object store: encrypted chunks, manifests, and the
// epochs that say who may write. It must not know files, Kubernetes, the monitor, nor any store but through a bucket.
package checkpoint

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"time"

	"gocloud.dev/blob"
)

// The format and its bounds. docs/checkpoint-format.md has every byte.
const (
	// FormatVersion is the version that this code writes, and the only one that it reads.
	FormatVersion = 1
	// MaxChunk is the most bytes that a chunk holds before compression.
	MaxChunk = 2 << 20
	// maxDocument bounds a JSON document: 40,000 chunks of a tree fit.
	maxDocument = 4 << 20
	// maxNumber is the highest epoch and sequence: ten digits, so that names sort as numbers do.
	maxNumber = 9_999_999_999
)

// What a caller may ask an error for, with errors.Is.
var (
	// ErrNotFound: there is no such repository, slot, manifest or chunk.
	ErrNotFound = errors.New("not found")
	// ErrExists: another has written it already.
	ErrExists = errors.New("exists already")
	// ErrFenced: another owns the slot. What was being saved is not acknowledged, and nothing more can be.
	ErrFenced = errors.New("the slot has another owner")
	// ErrCorrupt: what lies in the store is not what was written. Trying again does not help.
	ErrCorrupt = errors.New("corrupt")
	// ErrKey: the data key is not this repository's.
	ErrKey = errors.New("not the key of this repository")
	// ErrPinned: somebody asked to keep it.
	ErrPinned = errors.New("pinned")
	// ErrSlow: the save took longer than the safety window allows. Saving again goes on where it ended.
	ErrSlow = errors.New("the save took too long")
	// ErrSweeping: chunks are being removed, and the save relies on old ones. Saving again makes sure of them.
	ErrSweeping = errors.New("a sweep is under way")
	// ErrUnfit: the store does not do what the format needs of one. Work kept there could be lost.
	ErrUnfit = errors.New("the store is unfit for checkpoints")
	// ErrVersion: a newer program wrote it. Nothing is wrong with it, and nothing older must be taken in its place.
	ErrVersion = errors.New("of a newer version of the format")
	// ErrInvalid: the caller asked for what cannot be.
	ErrInvalid = errors.New("invalid")
)

// An ID names a chunk: a keyed hash of its bytes, so that nobody without the key can tell whether a pool holds a known
// file.
type ID [32]byte

// String returns 64 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText writes 64 hexadecimal digits.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads 64 lower-case hexadecimal digits and takes nothing else.
func (id *ID) UnmarshalText(b []byte) error {
	if len(b) != 2*len(id) {
		return fmt.Errorf("a chunk id has %d digits, not %d: %w", 2*len(id), len(b), ErrInvalid)
	}
	var got ID
	if _, err := hex.Decode(got[:], b); err != nil || got.String() != string(b) {
		return fmt.Errorf("a chunk id has lower-case hexadecimal digits only: %w", ErrInvalid)
	}
	*id = got
	return nil
}

var slotName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

func checkSlot(slot string) error {
	if !slotName.MatchString(slot) {
		return fmt.Errorf("a slot is named by up to 63 of a-z, 0-9 and -: %w", ErrInvalid)
	}
	return nil
}

// Options of a repository. The zero value is right for work against a real store.
type Options struct {
	// Timeout of each request to the store; 1 minute if 0.
	Timeout time.Duration
	// Attempts at each request; 4 if 0.
	Attempts int
	// Pause before the second attempt, doubled for each one after it; 200 ms if 0.
	Pause time.Duration
	// Window is the safety window: a sweep spares what is younger, and a save must end within a quarter of it. All who
	// use a repository must agree on it. 24 hours if 0.
	Window time.Duration
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.Attempts == 0 {
		o.Attempts = 4
	}
	if o.Pause == 0 {
		o.Pause = 200 * time.Millisecond
	}
	if o.Window == 0 {
		o.Window = 24 * time.Hour
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// A Repository holds the checkpoints of one pool. It is safe for concurrent use, and does not close its bucket.
type Repository struct {
	store store
	pool  Pool
	keys  keys
	opts  Options
	// spares are buffers that chunks were returned in.
	spares chan []byte
}

// Pool returns what pool.json says.
func (r *Repository) Pool() Pool { return r.pool }

// Create makes a repository in a bucket that has none, whose data key is key. It returns ErrExists where there is one.
func Create(ctx context.Context, b *blob.Bucket, key DataKey, p Pool, o Options) (*Repository, error) {
	o = o.withDefaults()
	s := store{bucket: b, opts: o}
	p.Version = FormatVersion
	if p.ID == "" {
		p.ID = randomHex(16)
	}
	if err := p.validate(); err != nil {
		return nil, fmt.Errorf("cannot create the repository: %w", err)
	}
	k, err := deriveKeys(key, p.ID)
	if err != nil {
		return nil, err
	}
	doc, err := sealDocument(k.mac, poolName, p)
	if err != nil {
		return nil, err
	}
	if err := s.create(ctx, poolName, doc); err != nil {
		return nil, fmt.Errorf("cannot create the repository: %w", err)
	}
	return &Repository{store: s, pool: p, keys: k, opts: o, spares: make(chan []byte, 2*coders)}, nil
}

// Open opens a repository with its data key. It returns ErrNotFound where there is none, and ErrKey for another's key.
func Open(ctx context.Context, b *blob.Bucket, key DataKey, o Options) (*Repository, error) {
	o = o.withDefaults()
	s := store{bucket: b, opts: o}
	doc, err := s.read(ctx, poolName)
	if err != nil {
		return nil, fmt.Errorf("cannot open the repository: %w", err)
	}
	p, err := peekPool(doc)
	if err != nil {
		return nil, fmt.Errorf("cannot open the repository: %w", err)
	}
	k, err := deriveKeys(key, p.ID)
	if err != nil {
		return nil, err
	}
	var checked Pool
	if err := openDocument(k.mac, poolName, doc, &checked); err != nil {
		return nil, fmt.Errorf("cannot open the repository, whose pool.json another key signed: %w", ErrKey)
	}
	return &Repository{store: s, pool: checked, keys: k, opts: o, spares: make(chan []byte, 2*coders)}, nil
}
