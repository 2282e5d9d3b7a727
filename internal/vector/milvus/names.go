package milvus

import "strings"

// StoreName implements vector.Namer: in Milvus names have letters, digits and underscores only. A dash becomes two
// underscores. Where a dash or an underscore meets another the two could be taken for something else, so they are spelled,
// u and d, between three underscores and one: a-b is a__b, a--b is a___dd_b.
func (*driver) StoreName(name string) string { return storeName(name) }

func storeName(name string) string {
	var b strings.Builder

	for i := 0; i < len(name); {
		n := run(name[i:])

		switch r := name[i : i+max(n, 1)]; {
		case n == 0, r == "_":
			b.WriteString(r)
		case r == "-":
			b.WriteString("__")
		default:
			b.WriteString("___" + strings.NewReplacer("_", "u", "-", "d").Replace(r) + "_")
		}

		i += max(n, 1)
	}

	return b.String()
}

// run returns how many dashes and underscores a text begins with.
func run(s string) int { return len(s) - len(strings.TrimLeft(s, "_-")) }

// givenName returns the name whose store name this is. A name that was never one of ours stays as it is.
func givenName(stored string) string {
	var b strings.Builder

	for rest := stored; rest != ""; {
		var found bool

		switch {
		case strings.HasPrefix(rest, "___"):
			var r string

			r, rest, found = strings.Cut(rest[3:], "_")
			if !found {
				return stored
			}

			b.WriteString(strings.NewReplacer("u", "_", "d", "-").Replace(r))
		case strings.HasPrefix(rest, "__"):
			b.WriteByte('-')

			rest = rest[2:]
		default:
			b.WriteByte(rest[0])

			rest = rest[1:]
		}
	}

	if storeName(b.String()) != stored {
		return stored
	}

	return b.String()
}
