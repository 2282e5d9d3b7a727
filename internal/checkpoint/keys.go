package checkpoint

import (
	"bytes"
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
	"gocloud.dev/secrets"
)

// A DataKey opens a repository: 32 random bytes, from which all its keys are derived.
type DataKey [32]byte

// String hides the key from logs and errors.
func (DataKey) String() string { return "(a data key)" }

// GoString hides the key from %#v.
func (DataKey) GoString() string { return "(a data key)" }

// NewDataKey returns a new random key.
func NewDataKey() DataKey {
	var k DataKey
	_, _ = rand.Read(k[:]) // Never fails: it ends the process instead.
	return k
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // Never fails: it ends the process instead.
	return hex.EncodeToString(b)
}

// keys are what is derived from the data key: one for each use, so that no use weakens another.
type keys struct{ id, seal, mac []byte }

func deriveKeys(k DataKey, poolID string) (keys, error) {
	var out keys
	for label, dst := range map[string]*[]byte{"chunk-id": &out.id, "chunk-seal": &out.seal, "document-mac": &out.mac} {
		b, err := hkdf.Key(sha256.New, k[:], []byte(poolID), "aidispatcher checkpoint v1 "+label, 32)
		if err != nil {
			return keys{}, fmt.Errorf("cannot derive the keys: %w", err)
		}
		*dst = b
	}
	return out, nil
}

// The ways to wrap a data key.
const (
	WrapAge = "age"
	WrapKMS = "kms"
)

// A WrappedKey is a data key that only its recipient can read.
type WrappedKey struct {
	// How it is wrapped: WrapAge or WrapKMS.
	How string `json:"how"`
	// Recipient says for whom, to people: an age recipient, or the name of a KMS key. No secret.
	Recipient string `json:"recipient"`
	// Wrapped is the encrypted data key.
	Wrapped []byte `json:"wrapped"`
}

// errUnwrap hides the reason: it would tell of the identities.
var errUnwrap = errors.New("no identity of the caller opens it")

// WrapForAge wraps a data key for one age recipient.
func WrapForAge(k DataKey, name string, to age.Recipient) (WrappedKey, error) {
	var buf bytes.Buffer
	w, err := age.Encrypt(&buf, to)
	if err != nil {
		return WrappedKey{}, fmt.Errorf("cannot wrap the data key for %s: %w", name, err)
	}
	if _, err := w.Write(k[:]); err != nil {
		return WrappedKey{}, fmt.Errorf("cannot wrap the data key for %s: %w", name, err)
	}
	if err := w.Close(); err != nil {
		return WrappedKey{}, fmt.Errorf("cannot wrap the data key for %s: %w", name, err)
	}
	return WrappedKey{How: WrapAge, Recipient: name, Wrapped: buf.Bytes()}, nil
}

// WrapForKMS wraps a data key with a KMS.
func WrapForKMS(ctx context.Context, k DataKey, name string, kms *secrets.Keeper) (WrappedKey, error) {
	b, err := kms.Encrypt(ctx, k[:])
	if err != nil {
		return WrappedKey{}, fmt.Errorf("cannot wrap the data key for %s: %w", name, reasoned(err))
	}
	return WrappedKey{How: WrapKMS, Recipient: name, Wrapped: b}, nil
}

// UnwrapWithAge returns the data key from the first wrapping that one of the identities opens.
func UnwrapWithAge(p Pool, ids ...age.Identity) (DataKey, error) {
	for _, w := range p.Keys {
		if w.How != WrapAge {
			continue
		}
		r, err := age.Decrypt(bytes.NewReader(w.Wrapped), ids...)
		if err != nil {
			continue // Wrapped for another.
		}
		b, err := io.ReadAll(io.LimitReader(r, 64))
		if err == nil && len(b) == len(DataKey{}) {
			return DataKey(b), nil
		}
	}
	return DataKey{}, fmt.Errorf("cannot unwrap the data key: %w", errUnwrap)
}

// UnwrapWithKMS returns the data key from the first wrapping that the KMS opens. That for the name is tried first, and its
// error is the one that is returned; then the others, since one key can have several names.
func UnwrapWithKMS(ctx context.Context, p Pool, name string, kms *secrets.Keeper) (DataKey, error) {
	var named, others []WrappedKey
	for _, w := range p.Keys {
		switch {
		case w.How != WrapKMS:
		case w.Recipient == name:
			named = append(named, w)
		default:
			others = append(others, w)
		}
	}
	var first error
	for _, w := range append(named, others...) {
		b, err := kms.Decrypt(ctx, w.Wrapped)
		switch {
		case err == nil && len(b) == len(DataKey{}):
			return DataKey(b), nil
		case first == nil && err != nil:
			first = reasoned(err)
		case first == nil:
			first = fmt.Errorf("what %s opens is no data key", name)
		}
	}
	if first == nil {
		first = errors.New("it is wrapped for no key of a KMS")
	}
	return DataKey{}, fmt.Errorf("cannot unwrap the data key with %s: %w", name, first)
}

// reasoned leaves out what others say around an error that has a reason for people.
func reasoned(err error) error {
	var f interface {
		error
		Reason() string
	}
	if errors.As(err, &f) {
		return f
	}
	return err
}
