package meter

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// longestModel bounds what is kept of a model's name, with its quotes. A longer one is nobody's.
const longestModel = 256

var requestPaths = []path{
	{"model", longestModel}, {"stream", 8}, {"stream_options", 8}, {"stream_options.include_usage", 8},
	{"max_tokens", 16}, {"max_completion_tokens", 16}, {"max_output_tokens", 16},
}

// A Request is what of a request's body decides how its usage comes.
type Request struct {
	API API
	// Model is what the agent asked for. Anything may be written there.
	Model string
	// Stream says whether the answer is to come in events.
	Stream bool
	// MaxOutput is the most tokens that the agent allows for one answer, or 0 where it does not say.
	MaxOutput int64

	options, include field
}

// ReadRequest reads a request's body. A body that is no JSON object is a request of which nothing is known.
func ReadRequest(api API, body []byte) Request {
	p := newPicker(requestPaths)
	p.feed(body)

	r := Request{API: api, Model: text(p.get("model")), options: *p.get("stream_options"), include: *p.get("stream_options.include_usage")}
	r.Stream = p.complete() && p.get("stream").is("true")

	for _, name := range []string{"max_tokens", "max_completion_tokens", "max_output_tokens"} {
		if f := p.get(name); f.found() && f.whole {
			if n, err := strconv.ParseInt(string(f.raw), 10, 64); err == nil && n > 0 {
				r.MaxOutput = n
			}
		}
	}

	return r
}

// AskUsage returns the body of the request with the usage asked for, or false where it need not be, because it comes anyhow,
// or cannot be. All other bytes stay as they are. The body is the one the request was read from, and is not changed.
func (r Request) AskUsage(body []byte) ([]byte, bool) {
	if !r.Stream || !r.API.streamsOnRequest() || r.include.is("true") || !json.Valid(body) {
		return nil, false
	}

	const include = `"include_usage":true`

	switch {
	case !r.options.found():
		// A stream has a member, so there is something behind the comma.
		at := int64(bytes.IndexByte(body, '{') + 1)

		return splice(body, at, at, `"stream_options":{`+include+`},`), true
	case r.options.is("null"):
		return splice(body, r.options.start, r.options.end, "{"+include+"}"), true
	case r.include.is("false"), r.include.is("null"):
		return splice(body, r.include.start, r.include.end, "true"), true
	case r.include.found() || len(r.options.raw) == 0 || r.options.raw[0] != '{':
		// The server will say what is wrong with it.
		return nil, false
	}

	at := r.options.start + int64(bytes.IndexByte(body[r.options.start:r.options.end], '{')) + 1

	var members map[string]json.RawMessage
	if json.Unmarshal(body[r.options.start:r.options.end], &members) == nil && len(members) == 0 {
		return splice(body, at, at, include), true
	}

	return splice(body, at, at, include+","), true
}

// splice returns a copy of the body with the text in place of a part.
func splice(body []byte, start, end int64, text string) []byte {
	out := make([]byte, 0, len(body)+len(text))
	out = append(out, body[:start]...)
	out = append(out, text...)

	return append(out, body[end:]...)
}

// text returns the string in a field, or nothing where it is none.
func text(f *field) string {
	if !f.found() || !f.whole {
		return ""
	}

	// As most are.
	if n := len(f.raw); n > 1 && f.raw[0] == '"' && f.raw[n-1] == '"' && plain(f.raw[1:n-1]) {
		return string(f.raw[1 : n-1])
	}

	var s string
	if json.Unmarshal(f.raw, &s) != nil {
		return ""
	}

	return s
}

// plain says whether what is between a string's quotes is what it means.
func plain(s []byte) bool {
	for _, b := range s {
		if b < ' ' || b > '~' || b == '"' || b == '\\' {
			return false
		}
	}

	return true
}
