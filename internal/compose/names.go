package compose

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// The longest name a composed object gets. A Deployment's name grows by a hash of ten and a dash where a ReplicaSet is
// named after it, and what people see should not be cut at the 63 characters of a label.
const maxNameLength = 52

// nameFor returns the name of what is composed for a claim: the claim's own where it is a DNS label that leaves room,
// else a shortened one that ends in a hash of the whole, so that two long claims never meet.
func nameFor(claim string) string {
	name := strings.ReplaceAll(claim, ".", "-")
	// A Service's name must begin with a letter; an object's may begin with a digit.
	if name != "" && (name[0] < 'a' || name[0] > 'z') {
		name = "ad-" + name
	}

	if name == claim && len(name) <= maxNameLength {
		return name
	}

	sum := sha256.Sum256([]byte(claim))
	suffix := "-" + hex.EncodeToString(sum[:])[:8]

	if most := maxNameLength - len(suffix); len(name) > most {
		name = name[:most]
	}

	return strings.TrimRight(name, "-") + suffix
}
