package proc

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
)

// fingerprint is equal for two Specs that would start the same process, and otherwise differs.
func (s Spec) fingerprint() (string, error) {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(s); err != nil {
		return "", fmt.Errorf("cannot encode the spec of %s: %w", s.Name, err)
	}
	for _, path := range append([]string{}, s.Inputs...) {
		b, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("cannot read an input of %s: %w", s.Name, err)
		}
		sum := sha256.Sum256(b)
		h.Write(sum[:])
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
