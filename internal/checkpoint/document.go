package checkpoint

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// A document is one line of canonical JSON and one line of 64 hexadecimal digits: HMAC-SHA256 over its name in the
// store, a zero byte, and the first line. With its name signed too, none can be taken for another.

const macDigits = 2 * sha256.Size

func sealDocument(key []byte, name string, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("cannot encode the document: %w", err)
	}
	out := make([]byte, 0, len(body)+macDigits+2)
	out = append(append(out, body...), '\n')
	out = hex.AppendEncode(out, documentMAC(key, name, body))
	out = append(out, '\n')
	if len(out) > maxDocument {
		return nil, fmt.Errorf("a document of %d bytes is over %d: %w", len(out), maxDocument, ErrInvalid)
	}
	return out, nil
}

func documentMAC(key []byte, name string, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(name))
	h.Write([]byte{0})
	h.Write(body)
	return h.Sum(nil)
}

// splitDocument returns a document's JSON and MAC, of which nothing is proven yet.
func splitDocument(doc []byte) (body, mac []byte, err error) {
	n := len(doc) - macDigits - 2
	if n < 0 || doc[n] != '\n' || doc[len(doc)-1] != '\n' {
		return nil, nil, fmt.Errorf("the document is cut short: %w", ErrCorrupt)
	}
	mac, err = hex.DecodeString(string(doc[n+1 : len(doc)-1]))
	if err != nil {
		return nil, nil, fmt.Errorf("the document has no signature: %w", ErrCorrupt)
	}
	return doc[:n], mac, nil
}

// openDocument proves a document and decodes it. What it takes is what sealDocument makes, byte for byte.
func openDocument[T any](key []byte, name string, doc []byte, v *T) error {
	body, mac, err := splitDocument(doc)
	if err != nil {
		return err
	}
	if !hmac.Equal(mac, documentMAC(key, name, body)) {
		return fmt.Errorf("the document's signature is wrong: %w", ErrCorrupt)
	}
	if err := checkVersion(body); err != nil {
		return err
	}
	return decodeCanonical(body, v)
}

// checkVersion looks at nothing but the version of a document, as a newer one may have other fields.
func checkVersion(body []byte) error {
	var is struct {
		Version int `json:"version"`
	}
	if err := json.Unmarshal(body, &is); err != nil || is.Version < 1 {
		return fmt.Errorf("the document has no version: %w", ErrCorrupt)
	}
	if is.Version > FormatVersion {
		return fmt.Errorf("it has version %d, and this program knows versions up to %d; use the program that wrote it, or a newer one: %w", is.Version, FormatVersion, ErrVersion)
	}
	return nil
}

func decodeCanonical[T any](body []byte, v *T) error {
	var got T
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&got); err != nil {
		return fmt.Errorf("the document is of another form: %w", ErrCorrupt)
	}
	again, err := json.Marshal(got)
	if err != nil || !bytes.Equal(again, body) {
		return fmt.Errorf("the document is not canonical: %w", ErrCorrupt)
	}
	*v = got
	return nil
}
