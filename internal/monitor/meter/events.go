package meter

import "bytes"

// longestHeld bounds the bytes of one event that are held back to see whether it is the one to hide. That one has no more
// than a usage and a few names.
const longestHeld = 64 << 10

var bom = []byte("\ufeff")

// events reads a stream of server-sent events in pieces of any size, as the HTML standard has them ("Parsing an event
// stream"): lines end with CR, LF or both, a comment is no field, data of several lines is one text, and a mark of the byte
// order is skipped. Of an event it knows the data, which it feeds to a picker: an event may be of any length.
type events struct {
	data *picker
	// ended is called at each event that has data, and says whether to hide it. It reads the picker.
	ended func() (hide bool)
	// hiding says whether events are held back until it is known whether to hide them. A client does nothing with an
	// event before its end, so that costs it no time.
	hiding bool

	// head is the line's first bytes, until the field is known.
	head  []byte
	begun bool
	kind  lineKind
	lines int
	// afterCR says that a line ended with CR, to whose end an LF may belong; hid that this was the end of a hidden event.
	afterCR, hid bool

	held   []byte
	passed bool
}

type lineKind int

const (
	lineUnknown lineKind = iota
	lineData
	lineOther
)

// next reads on and, where events may be hidden, appends to out what may be passed.
func (e *events) next(out, p []byte) []byte {
	for len(p) > 0 {
		if e.afterCR {
			e.afterCR = false

			if p[0] == '\n' {
				out = e.lateLF(out, p[:1])
				p = p[1:]

				continue
			}
		}

		e.hid = false
		n, ended := lineLength(p)
		e.line(p[:n])

		if !ended {
			out = e.pass(out, p[:n])
			p = p[n:]

			continue
		}

		out = e.pass(out, p[:n+1])
		e.afterCR = p[n] == '\r'
		p = p[n+1:]

		if e.lineEnd() {
			out = e.eventEnd(out)
		}
	}

	return out
}

// lineLength returns the length of the line that text begins with and whether its end is there, or else of a part of it.
func lineLength(text []byte) (n int, ended bool) {
	// Two fast searches in a short window are faster than a slow one for either end, and stay linear whatever there is.
	window := text[:min(len(text), 1<<10)]

	n = bytes.IndexByte(window, '\n')
	if n < 0 {
		n = len(window)
	}

	if cr := bytes.IndexByte(window[:n], '\r'); cr >= 0 {
		n = cr
	}

	return n, n < len(window)
}

// lateLF passes the LF that belongs to a CR which came before it.
func (e *events) lateLF(out, lf []byte) []byte {
	switch {
	case e.hid || !e.hiding:
		return out
	case len(e.held) == 0:
		// The end of an event that has been passed.
		return append(out, lf...)
	default:
		return e.pass(out, lf)
	}
}

// line reads a part of a line, without its end.
func (e *events) line(part []byte) {
	if e.kind == lineUnknown && len(part) > 0 {
		part = e.field(part)
	}

	if e.kind == lineData {
		e.data.feed(part)
	}
}

// field reads a line until its field is known, and returns what of the part is its value.
func (e *events) field(part []byte) []byte {
	const name = "data:"

	for i, b := range part {
		e.head = append(e.head, b)

		if !e.begun && len(e.head) <= len(bom) && bytes.HasPrefix(bom, e.head) {
			if len(e.head) == len(bom) {
				e.begun = true
				e.head = e.head[:0]
			}

			continue
		}

		e.begun = true

		switch {
		case string(e.head) == name:
			e.startData()

			return part[i+1:]
		case len(e.head) > len(name) || string(e.head) != name[:len(e.head)]:
			e.kind = lineOther

			return nil
		}
	}

	return nil
}

// startData begins a line of data. The space that may follow the colon is nothing to JSON, and neither is the line feed
// between two lines of data, except that it parts what stands before it from what follows.
func (e *events) startData() {
	e.kind = lineData

	if e.lines > 0 {
		e.data.feed([]byte{'\n'})
	}

	e.lines++
}

// lineEnd ends a line and says whether that ended an event.
func (e *events) lineEnd() bool {
	blank := e.kind == lineUnknown && len(e.head) == 0
	if e.kind == lineUnknown && string(e.head) == "data" {
		e.startData()
	}

	e.kind, e.head, e.begun = lineUnknown, e.head[:0], true

	return blank
}

// eventEnd ends an event.
func (e *events) eventEnd(out []byte) []byte {
	hide := e.lines > 0 && e.ended() && e.hiding && !e.passed
	e.hid = hide && e.afterCR

	if e.lines > 0 {
		e.data.reset()
		e.lines = 0
	}

	if !hide {
		out = append(out, e.held...)
	}

	e.held, e.passed = e.held[:0], false

	return out
}

// pass passes bytes on or holds them back. Where nothing is to be hidden the caller passes what it was given.
func (e *events) pass(out, p []byte) []byte {
	switch {
	case !e.hiding:
		return out
	case e.passed:
		return append(out, p...)
	}

	if len(e.held)+len(p) <= longestHeld {
		e.held = append(e.held, p...)

		return out
	}

	e.passed = true
	out = append(out, e.held...)
	e.held = e.held[:0]

	return append(out, p...)
}

// end ends the stream, perhaps within an event.
func (e *events) end(out []byte) []byte {
	// Clients differ in whether they heed an event that has no blank line. To us what it says is enough.
	if e.lines > 0 && e.data.complete() {
		return e.eventEnd(out)
	}

	out = append(out, e.held...)
	e.held = nil

	return out
}
