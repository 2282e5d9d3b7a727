package meter

import (
	"bytes"
	"encoding/json"
)

// A path is a member of a JSON object, "usage", or of an object in it, "response.usage". Of its value so many bytes are kept.
type path struct {
	name string
	keep int
}

// A field is what was found at a path: where its value lies in the text, and its first bytes.
type field struct {
	start, end int64
	raw        []byte
	// whole says that raw is all of the value.
	whole bool
}

// found says whether the value has been read to its end.
func (f *field) found() bool { return f.end > 0 }

// is says whether the value is this text.
func (f *field) is(text string) bool { return f.found() && f.whole && string(f.raw) == text }

const (
	// deepest is how many objects in one another have members that are looked at.
	deepest = 2
	// longestKey bounds what is kept of a member's name. No name that is looked for is as long.
	longestKey = 64
)

// A picker reads a JSON text in pieces of any size and picks fields from it, in memory that does not grow with the text. It
// does not validate: from what is no JSON it may pick anything or nothing. Where a name is repeated the last one counts, as
// in most decoders.
type picker struct {
	paths  []path
	fields []field

	pos   int64
	depth int
	// object says of each level whether it is an object, and key which member of it is read, or -1.
	object [deepest + 1]bool
	key    [deepest + 1]int
	// name is the name that is read, or the last one that was. outer is the one at level 1.
	name, outer []byte

	inString, escaped, inKey, wantKey, ended bool
}

func newPicker(paths []path) *picker {
	p := &picker{paths: paths, fields: make([]field, len(paths))}
	p.reset()

	return p
}

// reset makes the picker ready for another text.
func (p *picker) reset() {
	for i := range p.fields {
		p.fields[i] = field{raw: p.fields[i].raw[:0]}
	}

	p.pos, p.depth = 0, 0
	p.object, p.key = [deepest + 1]bool{}, [deepest + 1]int{-1, -1, -1}
	p.name, p.outer = p.name[:0], p.outer[:0]
	p.inString, p.escaped, p.inKey, p.wantKey, p.ended = false, false, false, false, false
}

// complete says whether a whole object or array has been read.
func (p *picker) complete() bool { return p.ended }

// get returns the field at a path that the picker was made for.
func (p *picker) get(name string) *field {
	for i := range p.paths {
		if p.paths[i].name == name {
			return &p.fields[i]
		}
	}

	return &field{}
}

// feed reads on.
func (p *picker) feed(text []byte) {
	for i := 0; i < len(text) && !p.ended; {
		n := 1
		if p.inString {
			n = p.stringPart(text[i:])
		} else {
			p.structure(text[i])
		}

		p.keepPart(text[i : i+n])
		p.pos += int64(n)
		i += n
	}
}

// stringPart reads what it can of a string, with its closing quote, and returns how much that is.
func (p *picker) stringPart(text []byte) int {
	if p.escaped {
		p.escaped = false
		p.addName(text[:1])

		return 1
	}

	n := bytes.IndexByte(text, '"')
	if n < 0 {
		n = len(text)
	}

	if b := bytes.IndexByte(text[:n], '\\'); b >= 0 {
		p.escaped = true
		p.addName(text[:b+1])

		return b + 1
	}

	p.addName(text[:n])

	if n == len(text) {
		return n
	}

	p.inString = false

	if p.inKey {
		p.inKey = false
		p.enter()
	}

	return n + 1
}

func (p *picker) addName(part []byte) {
	if p.inKey && len(p.name) <= longestKey {
		p.name = append(p.name, part[:min(len(part), longestKey+1-len(p.name))]...)
	}
}

// enter looks up the name that has been read.
func (p *picker) enter() {
	if bytes.IndexByte(p.name, '\\') >= 0 {
		var s string
		if json.Unmarshal([]byte(`"`+string(p.name)+`"`), &s) == nil {
			p.name = append(p.name[:0], s...)
		}
	}

	if p.depth == 1 {
		p.outer = append(p.outer[:0], p.name...)
	}

	p.key[p.depth] = -1

	for i := range p.paths {
		if p.at(p.paths[i].name) {
			p.key[p.depth] = i
			p.fields[i] = field{raw: p.fields[i].raw[:0]}

			return
		}
	}
}

// at says whether the name that has been read is the end of a path.
func (p *picker) at(name string) bool {
	if p.depth == 1 {
		return string(p.name) == name
	}

	n := len(p.outer)

	return len(name) == n+1+len(p.name) && name[:n] == string(p.outer) && name[n] == '.' && name[n+1:] == string(p.name)
}

// structure reads a byte that is outside of strings.
func (p *picker) structure(b byte) {
	looked := p.depth >= 1 && p.depth <= deepest

	switch b {
	case '"':
		p.inString = true
		p.inKey = p.wantKey && looked
		p.wantKey = false

		if p.inKey {
			p.name = p.name[:0]
		}
	case ':':
		if looked && p.key[p.depth] >= 0 && p.fields[p.key[p.depth]].start == 0 {
			p.fields[p.key[p.depth]].start = p.pos + 1
		}
	case ',':
		p.leave()
		p.wantKey = looked && p.object[p.depth]
	case '{', '[':
		p.depth++
		p.wantKey = false

		if p.depth <= deepest {
			p.object[p.depth], p.key[p.depth] = b == '{', -1
			p.wantKey = b == '{'
		}
	case '}', ']':
		p.leave()
		p.depth--
		p.wantKey = false
		p.ended = p.depth <= 0
	}
}

// leave ends the value that is read at this level.
func (p *picker) leave() {
	if p.depth < 1 || p.depth > deepest || p.key[p.depth] < 0 {
		return
	}

	i := p.key[p.depth]
	p.key[p.depth] = -1

	f := &p.fields[i]
	if f.start == 0 {
		return
	}

	f.end = p.pos
	f.whole = f.end-f.start <= int64(p.paths[i].keep)
	f.raw = bytes.TrimSpace(f.raw)
}

// keepPart keeps of the text that was just read what belongs to values that are looked for.
func (p *picker) keepPart(text []byte) {
	for level := 1; level <= min(p.depth, deepest); level++ {
		i := p.key[level]
		if i < 0 {
			continue
		}

		f := &p.fields[i]
		if f.start == 0 || p.pos < f.start {
			continue
		}

		if room := p.paths[i].keep - len(f.raw); room > 0 {
			f.raw = append(f.raw, text[:min(len(text), room)]...)
		}
	}
}
