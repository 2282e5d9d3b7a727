package weaviate

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strconv"
	"strings"
)

const (
	// maxClass is the longest name of a class, and maxName what always fits into it: each byte becomes at most four.
	maxClass = 255
	maxName  = (maxClass - len(escaped)) / 4
	// escaped begins what was written with an escape.
	escaped = "C_"

	// ours begins the names of logins and roles that we make, and so those that we change and remove.
	ours = "aidispatcher-"
	// maxUser is the longest name of a user, and maxUserWords what is kept of one that is longer, before its hash.
	maxUser      = 128
	maxUserWords = maxUser - 33
)

var className = regexp.MustCompile(`^[A-Z][_0-9A-Za-z]*$`)

// StoreName implements vector.Namer. A class's name stays as it is, unless it begins with "C_". Any other becomes "C_" and
// the name, in which a dash is two underscores, an underscore is "_0", a capital has an underscore before it, and any
// other byte is "_1" and its two hexadecimal digits. Two names never become one, not even in other case.
func (d *driver) StoreName(name string) string { return storeName(name) }

func storeName(name string) string {
	if className.MatchString(name) && !strings.HasPrefix(name, escaped) {
		return name
	}

	var b strings.Builder

	b.WriteString(escaped)

	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			b.WriteByte(c)
		case c == '-':
			b.WriteString("__")
		case c == '_':
			b.WriteString("_0")
		case c >= 'A' && c <= 'Z':
			b.WriteByte('_')
			b.WriteByte(c)
		default:
			b.WriteString("_1" + hex.EncodeToString([]byte{c}))
		}
	}

	return b.String()
}

// nameOf returns the name that has a name in the store, which is that name itself if no other has it.
func nameOf(stored string) string {
	rest, ok := strings.CutPrefix(stored, escaped)
	if !ok {
		return stored
	}

	var b strings.Builder

	for i := 0; i < len(rest); i++ {
		if rest[i] != '_' {
			b.WriteByte(rest[i])

			continue
		}

		c, n, ok := unescape(rest[i+1:])
		if !ok {
			return stored
		}

		b.WriteByte(c)

		i += n
	}

	if storeName(b.String()) != stored { // Somebody else's, that only looks like ours.
		return stored
	}

	return b.String()
}

// unescape returns the byte that was escaped, and the length of what stands for it behind the underscore.
func unescape(s string) (c byte, n int, ok bool) {
	switch {
	case s == "":
		return 0, 0, false
	case s[0] == '_':
		return '-', 1, true
	case s[0] == '0':
		return '_', 1, true
	case s[0] >= 'A' && s[0] <= 'Z':
		return s[0], 1, true
	case s[0] == '1' && len(s) >= 3:
		v, err := strconv.ParseUint(s[1:3], 16, 8)

		return byte(v), 3, err == nil
	default:
		return 0, 0, false
	}
}

// propertyName returns the name that a field has in the store.
func propertyName(field string) string {
	if field == "" {
		return ""
	}

	return strings.ToLower(field[:1]) + field[1:]
}

// userName returns the name of a login in the store, which is also that of its role. Letters, digits and dashes stay,
// any other byte is an underscore and its two hexadecimal digits. What is then too long ends with a hash.
func userName(login string) string {
	var b strings.Builder

	b.WriteString(ours)

	for _, c := range []byte(login) {
		if c == '-' || c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' {
			b.WriteByte(c)
		} else {
			b.WriteString("_" + hex.EncodeToString([]byte{c}))
		}
	}

	name := b.String()
	if len(name) <= maxUser {
		return name
	}

	sum := sha256.Sum256([]byte(login))

	return name[:maxUserWords] + "_" + hex.EncodeToString(sum[:16])
}
