// Package kmstest is a key management service in memory that speaks the protocols of AWS KMS, Google Cloud KMS and Azure Key
// Vault as far as wrapping goes, with their rules about versions, states and rights and their error codes. It is there
// because those services cannot be run on a machine of one's own. It must not know what is wrapped.
package kmstest

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"
)

// The identities that a Service knows, and what they may do with all keys. Anybody else is refused as unknown.
const (
	// Encrypter may encrypt and nothing else, as a provider should.
	Encrypter = "encrypter"
	// Decrypter may decrypt and nothing else, as who restores should.
	Decrypter = "decrypter"
	// Nobody may do nothing.
	Nobody = "nobody"
)

var rights = map[string][]string{Encrypter: {"encrypt"}, Decrypter: {"decrypt"}, Nobody: nil}

// A refusal is why something is not done. Each protocol has its own words for it.
type refusal int

const (
	done refusal = iota
	unknown
	denied
	missing
	disabled
	foreign
)

// A Service has keys, by short names that are letters and digits.
type Service struct {
	mu   sync.Mutex
	keys map[string]*key
	// calls counts what was asked of keys, by identity and verb.
	calls map[string]int
}

type key struct {
	disabled bool
	// versions are the secrets, the newest last.
	versions [][]byte
}

// New returns a service with some keys.
func New(names ...string) *Service {
	s := &Service{keys: map[string]*key{}, calls: map[string]int{}}
	for _, n := range names {
		s.keys[n] = &key{}
		s.Rotate(n)
	}
	return s
}

// Rotate gives a key a new version, with which it encrypts from now on.
func (s *Service) Rotate(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	secret := make([]byte, chacha20poly1305.KeySize)
	_, _ = rand.Read(secret) // Never fails: it ends the process instead.
	s.keys[name].versions = append(s.keys[name].versions, secret)
}

// Disable makes a key unusable, and Enable usable again.
func (s *Service) Disable(name string) { s.set(name, true) }

// Enable makes a key usable.
func (s *Service) Enable(name string) { s.set(name, false) }

func (s *Service) set(name string, to bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys[name].disabled = to
}

// Calls returns how often an identity has asked for a verb: encrypt or decrypt.
func (s *Service) Calls(who, verb string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[who+" "+verb]
}

// admit returns a key, if an identity may use it.
func (s *Service) admit(who, verb, name string) (*key, refusal) {
	s.calls[who+" "+verb]++
	may, known := rights[who]
	k := s.keys[name]
	switch {
	case !known:
		return nil, unknown
	case !slices.Contains(may, verb):
		return nil, denied
	case k == nil:
		return nil, missing
	case k.disabled:
		return nil, disabled
	}
	return k, done
}

// encrypt returns what was encrypted, and the number of the version it was encrypted with, from 1.
func (s *Service) encrypt(who, name string, plain []byte) ([]byte, int, refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, no := s.admit(who, "encrypt", name)
	if no != done {
		return nil, 0, no
	}
	n := len(k.versions)
	return seal(k.versions[n-1], plain), n, done
}

// decrypt needs to be told the version.
func (s *Service) decrypt(who, name string, version int, sealed []byte) ([]byte, refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k, no := s.admit(who, "decrypt", name)
	if no != done {
		return nil, no
	}
	if version < 1 || version > len(k.versions) {
		return nil, foreign
	}
	plain, ok := unseal(k.versions[version-1], sealed)
	if !ok {
		return nil, foreign
	}
	return plain, done
}

func seal(secret, plain []byte) []byte {
	c, err := chacha20poly1305.NewX(secret)
	if err != nil {
		panic(err) // It has the length that Rotate gave it.
	}
	nonce := make([]byte, c.NonceSize())
	_, _ = rand.Read(nonce) // Never fails: it ends the process instead.
	return c.Seal(nonce, nonce, plain, nil)
}

func unseal(secret, sealed []byte) ([]byte, bool) {
	c, err := chacha20poly1305.NewX(secret)
	if err != nil || len(sealed) < c.NonceSize() {
		return nil, false
	}
	plain, err := c.Open(nil, sealed[:c.NonceSize()], sealed[c.NonceSize():], nil)
	return plain, err == nil
}

// label puts a key's name and version before what it sealed, as AWS and Google do in ways of their own.
func label(name string, version int, sealed []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte(name+"\x00"), uint16(version)), sealed...) //nolint:gosec // A test makes few versions.
}

func unlabel(b []byte) (name string, version int, sealed []byte) {
	n, rest, found := bytes.Cut(b, []byte{0})
	if !found || len(rest) < 2 {
		return "", 0, nil
	}
	return string(n), int(binary.BigEndian.Uint16(rest)), rest[2:]
}

// versionID is how Azure writes a version: 32 hexadecimal digits.
func versionID(n int) string { return fmt.Sprintf("%032x", n) }
