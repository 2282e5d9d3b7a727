package meter

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func addCorpus(f *testing.F, add func([]byte)) {
	f.Helper()

	files, _ := filepath.Glob("testdata/answers/*")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}

		add(b)
	}
}

// FuzzEvents holds that any bytes pass a stream's tap as they are, except a usage that is to be hidden, and that neither
// what passes nor what is told depends on the sizes in which they come.
func FuzzEvents(f *testing.F) {
	addCorpus(f, func(b []byte) { f.Add(b, uint64(1), true, int(Chat)) })

	f.Fuzz(func(t *testing.T, b []byte, seed uint64, hide bool, api int) {
		a := Chat + API(uint(api)%5)

		whole, result, err := read(t, a, stream, "", hide, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}

		if hidden := hide && a.streamsOnRequest() && (result.Told || result.Unreadable); whole != string(b) && (!hidden || !within(whole, b)) {
			t.Fatalf("%q became %q", b, whole)
		}

		rng := rand.New(rand.NewPCG(seed, 1))
		pieces := readerFunc(func(p []byte) (int, error) {
			if len(b) == 0 {
				return 0, io.EOF
			}

			n := copy(p[:min(len(p), 1+rng.IntN(5))], b)
			b = b[n:]

			return n, nil
		})

		parts, again, err := read(t, a, stream, "", hide, pieces)
		if err != nil || parts != whole || again != result {
			t.Fatalf("in pieces %q told %+v, at once %q told %+v", parts, again, whole, result)
		}
	})
}

// An eventText is an event with the blank line that ends it, or what a stream ends with instead.
var eventText = regexp.MustCompile(`(?s)(?:[^\r\n]+(?:\r\n|\r|\n|$))*(?:\r\n|\r|\n|$)`)

// within says whether a text is what remains of a stream when whole events are taken out that may be a usage: those in which a
// member has this name, however it is spelled, and in which no words of a model stand.
func within(text string, of []byte) bool {
	for len(of) > 0 {
		event := eventText.Find(of)
		if len(event) == 0 {
			return false
		}

		of = of[len(event):]

		if strings.HasPrefix(text, string(event)) {
			text = text[len(event):]

			continue
		}

		spelled := bytes.ReplaceAll(event, []byte(`\`), nil)
		if !bytes.Contains(spelled, []byte("usage")) && !bytes.Contains(event, []byte(`\u`)) ||
			// Of a name that is repeated the last counts.
			bytes.Contains(event, []byte(`"choices":[{`)) && bytes.Count(event, []byte("choices")) == 1 && !bytes.Contains(event, []byte(`\u`)) {
			return false
		}
	}

	return text == ""
}

// FuzzJSON holds that any bytes pass the tap of a whole answer, and that of an object it picks what a decoder finds.
func FuzzJSON(f *testing.F) {
	addCorpus(f, func(b []byte) { f.Add(b) })

	f.Fuzz(func(t *testing.T, b []byte) {
		if got, _, err := read(t, Responses, "application/json", "", true, bytes.NewReader(b)); err != nil || got != string(b) {
			t.Fatalf("%q became %q: %v", b, got, err)
		}

		var object map[string]json.RawMessage
		if json.Unmarshal(b, &object) != nil || object == nil {
			return
		}

		p := newPicker([]path{{"usage", 1 << 20}, {"choices", 1 << 20}})
		for i := range b {
			p.feed(b[i : i+1])
		}

		for _, name := range []string{"usage", "choices"} {
			got := p.get(name)
			if diff := cmp.Diff(string(object[name]), string(got.raw)); diff != "" || got.found() != (object[name] != nil) || !p.complete() {
				t.Fatalf("%q: %s: found %t, -want, +got:\n%s", b, name, got.found(), diff)
			}

			if got.found() && string(bytes.TrimSpace(b[got.start:got.end])) != string(object[name]) {
				t.Fatalf("%q: %s lies elsewhere: %d to %d", b, name, got.start, got.end)
			}
		}
	})
}
