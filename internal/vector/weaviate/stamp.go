package weaviate

import (
	"encoding/json"
	"strings"
)

// stamped begins the line of a description that holds the stamp.
const stamped = "aidispatcher: "

// A stamp is what we keep of a collection in its class's description.
type stamp struct {
	Owner string `json:"owner,omitempty"`
	// Dim is the dimension that was asked for.
	Dim int32 `json:"dim,omitempty"`
	// Fields are the indexed fields that were asked for, by the names that they were given. Nil is no opinion so far.
	Fields []string `json:"fields,omitzero"`
}

// stampOf returns the stamp in a description, and the text before it, which is somebody else's.
func stampOf(description string) (s stamp, text string) {
	text, line := "", description
	if i := strings.LastIndexByte(description, '\n'); i >= 0 {
		text, line = description[:i], description[i+1:]
	}

	b, ok := strings.CutPrefix(line, stamped)
	if !ok || json.Unmarshal([]byte(b), &s) != nil {
		return stamp{}, description
	}

	return s, text
}

// under returns a description that is a text and a stamp.
func (s stamp) under(text string) string {
	var b strings.Builder

	if text != "" {
		b.WriteString(text + "\n")
	}

	b.WriteString(stamped)

	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // People read it.

	if err := e.Encode(s); err != nil {
		panic(err) // Strings and numbers always encode.
	}

	return strings.TrimSuffix(b.String(), "\n")
}
