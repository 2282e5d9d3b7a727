package meter

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

const stream = "text/event-stream; charset=utf-8"

// An answer of the corpus: what it tells, and the part of it that is hidden from who did not ask for usage.
type answer struct {
	reason string
	api    API
	want   Result
	// hidden is how the hidden part begins and last what comes behind it. Nothing is hidden where both are empty.
	hidden, last string
}

var (
	chatUsage  = Usage{Input: 19, Output: 10, Cached: 4, Reasoning: 3}
	chatResult = Result{Usage: chatUsage, Told: true, Model: "gpt-4o-2024-08-06", Begun: true}
)

const (
	usageChunk = `data: {"id":"chatcmpl-A1","object":"chat.completion.chunk","created":1763800000,"model":"gpt-4o-2024-08-06","service_tier":"default","system_fingerprint":"fp_1","choices":[],"usage":{"`
	done       = "data: [DONE]"
)

func told(model string, u Usage) Result {
	return Result{Usage: u, Told: true, Model: model, Begun: true}
}

func body(r Result) Result {
	r.Begun = false

	return r
}

var corpus = map[string]answer{
	"chat.sse":               {"Usage comes in a chunk of its own.", Chat, chatResult, usageChunk, done},
	"chat-without-usage.sse": {"Usage that was not asked for does not come.", Chat, Result{Model: "gpt-4o-2024-08-06", Begun: true}, "", ""},
	"chat-crlf.sse":          {"A line may end with CR LF.", Chat, chatResult, usageChunk, done},
	"chat-cr.sse":            {"A line may end with CR.", Chat, chatResult, usageChunk, done},
	"chat-bom-comments.sse":  {"Marks of the byte order, comments and other fields are no data.", Chat, chatResult, usageChunk, done},
	"chat-multi-line-data.sse": {
		"Data may come in several lines.", Chat, chatResult, "data: {\ndata:  \"id\"", done,
	},
	"chat-usage-with-choices.sse": {"A usage may come with choices, which are the client's.", Chat, chatResult, "", ""},
	"chat-usage-repeated.sse": {
		"A usage may come with each chunk, as the sum so far: it is never added up.", Chat,
		told("gpt-4o-2024-08-06", Usage{Input: 19, Output: 3}), usageChunk, done,
	},
	"chat-filter-first.sse": {"A chunk without choices is not a usage yet.", Chat, chatResult, usageChunk, done},
	"chat-n2-tools.sse":     {"What the model writes is not read, however it looks.", Chat, chatResult, usageChunk, done},
	"chat-error-midway.sse": {"A server may fail in the middle.", Chat, Result{Model: "gpt-4o-2024-08-06", Begun: true, Failed: true}, "", ""},
	"chat-cut.sse":          {"Half a usage is none.", Chat, Result{Model: "gpt-4o-2024-08-06", Begun: true}, "", ""},
	"chat-no-last-blank-line.sse": {
		"A whole usage counts though the stream ended behind it.", Chat, chatResult, usageChunk, "",
	},
	"chat-unreadable-usage.sse": {
		"A usage without counts is not guessed at.", Chat, Result{Model: "gpt-4o-2024-08-06", Begun: true, Unreadable: true}, usageChunk, done,
	},
	"chat-model-escaped.sse": {
		"Names may be escaped, and lists written with space.", Chat, told("a/b", Usage{Input: 1, Output: 2}), `data: {"\u0075sage"`, done,
	},
	"chat-usage-beside.sse": {
		"What a server tells beside the usage is not told twice.", Chat, told("llama-3.3-70b-versatile", Usage{Input: 41, Output: 2}),
		`data: {"id":"chatcmpl-g","object":"chat.completion.chunk","created":1763800000,"model":"llama-3.3-70b-versatile","system_fingerprint":"fp_g","choices":[],`, done,
	},
	"chat-no-space.sse": {
		"No space has to follow a colon, and the last words may bring the usage.", Chat,
		told("deepseek-reasoner", Usage{Input: 12, Output: 30, Cached: 8, Reasoning: 21}), "", "",
	},
	"chat.json":                  {"Usage comes at the end of the answer.", Chat, body(chatResult), "", ""},
	"chat-reasoning-beside.json": {"The total tells that reasoning was counted beside.", Chat, body(told("grok", Usage{Input: 10, Output: 32, Reasoning: 30})), "", ""},
	"completions.json":           {"So it does for completions.", Completions, body(told("davinci", Usage{Input: 5, Output: 7})), "", ""},
	"completions.sse": {
		"Completions stream as chats do, and text that looks like a usage is text.", Completions,
		told("davinci-002", Usage{Input: 5, Output: 9}), `data: {"id":"cmpl-2","object":"text_completion","created":1763800000,"model":"davinci-002","choices":[],`, done,
	},
	"embeddings.json":           {"Embeddings have no output.", Embeddings, body(told("text-embedding-3-small", Usage{Input: 8})), "", ""},
	"responses.json":            {"Responses have names of their own.", Responses, body(told("o4-mini-2025", Usage{36, 87, 16, 64})), "", ""},
	"responses-background.json": {"What is only queued has billed nothing yet.", Responses, Result{Model: "o4-mini-2025"}, "", ""},
	"responses.sse":             {"The last event has the whole response.", Responses, told("o4-mini-2025", Usage{36, 87, 16, 64}), "", ""},
	"responses-incomplete.sse":  {"A response that ran out of tokens is billed.", Responses, told("o4-mini-2025", Usage{36, 87, 16, 64}), "", ""},
	"responses-tools.sse":       {"What a tool is called with is not read.", Responses, told("gpt-5-mini", Usage{58, 24, 0, 12}), "", ""},
	"responses-failed.sse":      {"One that failed may tell no usage.", Responses, Result{Model: "o4-mini-2025", Begun: true, Failed: true}, "", ""},
	"messages.sse":              {"What a cache read and wrote is input.", Messages, told("claude-sonnet-4", Usage{Input: 2125, Output: 15, Cached: 2000}), "", ""},
	"messages-nulls.sse":        {"What is null is what it was before.", Messages, told("claude-sonnet-4", Usage{Input: 2125, Output: 15, Cached: 2000}), "", ""},
	"messages-two-deltas.sse":   {"Deltas are totals so far.", Messages, told("claude-sonnet-4", Usage{Input: 2030, Output: 15, Cached: 2000}), "", ""},
	"messages-overloaded.sse":   {"What a message began with is not what it ended with.", Messages, Result{Model: "claude-sonnet-4", Begun: true, Failed: true}, "", ""},
	"messages-thinking-tools.sse": {
		"What is thought and what tools are told is not read, and the last counts are the bill.", Messages,
		told("claude-opus-4", Usage{Input: 509, Output: 89, Cached: 7}), "", "",
	},
	"messages-crlf.sse": {"Here, too, a line may end with CR LF.", Messages, told("claude-opus-4", Usage{Input: 472, Output: 15}), "", ""},
	"messages.json":     {"Usage comes with the message.", Messages, body(told("claude-sonnet-4", Usage{Input: 2095, Output: 503})), "", ""},
	"html.json":         {"What is no JSON tells nothing.", Chat, Result{}, "", ""},
}

func contentType(name string) string {
	if filepath.Ext(name) == ".sse" {
		return stream
	}

	return "application/json"
}

// passed is what remains of a text when the hidden part is taken out.
func (a answer) passed(t *testing.T, whole string) string {
	t.Helper()

	if a.hidden == "" {
		return whole
	}

	from, to := strings.Index(whole, a.hidden), len(whole)
	if a.last != "" {
		to = strings.LastIndex(whole, a.last)
	}

	if from < 0 || to < from {
		t.Fatalf("the corpus has no %q before %q", a.hidden, a.last)
	}

	return whole[:from] + whole[to:]
}

// read reads an answer through a tap, and returns what came through and what it told.
func read(t testing.TB, api API, content, encoding string, hide bool, src io.Reader) (string, Result, error) {
	t.Helper()

	var (
		got  Result
		told error
		n    int
	)

	b := NewBody(io.NopCloser(src), NewTap(api, content, hide), encoding, func() {}, func(r Result, err error) { got, told, n = r, err, n+1 })

	out, err := io.ReadAll(b)
	_ = b.Close()

	if n != 1 {
		t.Fatalf("the end was told %d times", n)
	}

	if err != nil && !errors.Is(told, err) {
		t.Fatalf("read until %v, but told %v", err, told)
	}

	return string(out), got, err
}

// ways of reading the same bytes.
var ways = map[string]func(io.Reader) io.Reader{
	"Whole":     func(r io.Reader) io.Reader { return r },
	"OneByOne":  iotest.OneByteReader,
	"WithError": iotest.DataErrReader,
	"AnySizes": func(r io.Reader) io.Reader {
		rng := rand.New(rand.NewPCG(1, 2))

		return readerFunc(func(p []byte) (int, error) { return r.Read(p[:min(len(p), 1+rng.IntN(40))]) })
	},
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/answers/*")
	if err != nil || len(files) != len(corpus) {
		t.Fatalf("there are %d files and %d answers: %v", len(files), len(corpus), err)
	}

	for name, tc := range corpus {
		whole, err := os.ReadFile(filepath.Join("testdata/answers", name))
		if err != nil {
			t.Fatal(err)
		}

		for way, reader := range ways {
			for _, hide := range []bool{false, true} {
				want := string(whole)
				if hide {
					want = tc.passed(t, want)
				}

				got, result, err := read(t, tc.api, contentType(name), "", hide, reader(bytes.NewReader(whole)))
				if diff := cmp.Diff(want, got); err != nil || diff != "" {
					t.Errorf("%s: %s\n%s, hide %t: error %v, passed: -want, +got:\n%.2000s", name, tc.reason, way, hide, err, diff)
				}

				if diff := cmp.Diff(tc.want, result); diff != "" {
					t.Errorf("%s: %s\n%s, hide %t: told: -want, +got:\n%s", name, tc.reason, way, hide, diff)
				}
			}
		}
	}
}

// A line may be longer than any buffer, and what is in it is not kept.
func TestLongLines(t *testing.T) {
	const usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n"

	for _, n := range []int{1 << 20, 8 << 20} {
		event := "data: {\"choices\":[{\"delta\":{\"content\":\"" + strings.Repeat("x", n) + "\"}}],\"usage\":null}\n\n"
		want := Result{Usage: Usage{Input: 1, Output: 2}, Told: true, Begun: true}

		got, result, err := read(t, Chat, stream, "", true, strings.NewReader(event+usage+event))
		if err != nil || got != event+event || result != want {
			t.Errorf("lines of %d bytes: %d bytes passed, told %+v, error %v", n, len(got), result, err)
		}
	}

	tap := NewTap(Chat, "application/json", false)
	tap.Next(nil, []byte("{\"choices\":\""+strings.Repeat("x", 1<<20)+"\",\"usage\":{\"x\":\""+strings.Repeat("y", 1<<20)+"\"}}"))
	tap.End()

	if n := cap(tap.body.get("usage").raw); n > 2*longestUsage || !tap.Result().Unreadable {
		t.Errorf("%d bytes were kept of a usage that is none: %+v", n, tap.Result())
	}
}

// A compressed answer passes as it is, and tells what it would tell otherwise. Only when its words began is not known in time.
func TestCompressed(t *testing.T) {
	for name, tc := range corpus {
		whole, err := os.ReadFile(filepath.Join("testdata/answers", name))
		if err != nil {
			t.Fatal(err)
		}

		var zipped bytes.Buffer

		w := gzip.NewWriter(&zipped)
		_, _ = w.Write(whole)
		_ = w.Close()

		got, result, err := read(t, tc.api, contentType(name), "gzip", false, bytes.NewReader(zipped.Bytes()))
		if err != nil || got != zipped.String() {
			t.Errorf("%s: %d bytes became %d: %v", name, zipped.Len(), len(got), err)
		}

		if diff := cmp.Diff(tc.want, result); diff != "" {
			t.Errorf("%s: %s\ntold: -want, +got:\n%s", name, tc.reason, diff)
		}
	}

	if got, result, err := read(t, Chat, stream, "gzip", false, strings.NewReader("no gzip")); got != "no gzip" || result != (Result{}) || err != nil {
		t.Errorf("what only says that it is compressed: %q %v %v", got, result, err)
	}
}

// What came before an answer broke off is passed, and counts where it was the usage.
func TestBroken(t *testing.T) {
	broken := errors.New("reset")
	cases := map[string]struct {
		reason, text string
		want         Result
	}{
		"Before": {"A stream that broke off before its usage has none.", "data: {\"choices\":[{}]}\n\ndata: {\"cho", Result{Begun: true}},
		"Behind": {
			"One that broke off behind it is counted.", "data: {\"choices\":[{}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\nda",
			Result{Usage: Usage{Input: 1, Output: 2}, Told: true, Begun: true},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, result, err := read(t, Chat, stream, "", true, io.MultiReader(strings.NewReader(tc.text), iotest.ErrReader(broken)))
			if !errors.Is(err, broken) || got != tc.text {
				t.Errorf("%s\npassed %q, error %v", tc.reason, got, err)
			}

			if diff := cmp.Diff(tc.want, result); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// An event is passed as soon as it is whole, whatever follows.
func TestEventsPassAtOnce(t *testing.T) {
	for _, hide := range []bool{false, true} {
		tap := NewTap(Chat, stream, hide)

		for _, event := range []string{"data: {\"choices\":[1]}\n\n", ": ping\n\n", "data: x\r\n\r", "\n", "data: y\r\r", "\n", "event: z\r\n\r\n"} {
			if got := string(tap.Next(nil, []byte(event))); got != event {
				t.Errorf("hide %t: of %q came %q", hide, event, got)
			}
		}
	}
}

// No more of an event is held back than a usage could be.
func TestHoldsBackLittle(t *testing.T) {
	tap := NewTap(Chat, stream, true)
	part := bytes.Repeat([]byte("x"), 1000)
	sent, passed := 6, len(tap.Next(nil, []byte("data: ")))

	for range 2000 {
		sent += len(part)
		passed += len(tap.Next(nil, part))

		if sent-passed > longestHeld {
			t.Fatalf("%d bytes are held back", sent-passed)
		}
	}

	if len(tap.events.held) != 0 {
		t.Errorf("%d bytes are kept of what was passed", len(tap.events.held))
	}
}

// A stream may be as long as it likes: an event costs no memory, and the usage is found at the end.
func TestVeryLongStream(t *testing.T) {
	const events = 50_000

	event := []byte("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"word\"}}],\"usage\":null}\n\n")

	for _, hide := range []bool{false, true} {
		var (
			tap    = NewTap(Chat, stream, hide)
			out    []byte
			passed int
		)

		// It calls once more than it counts.
		allocs := testing.AllocsPerRun(events-1, func() {
			out = tap.Next(out, event)
			passed += len(out)
		})
		if allocs != 0 || passed != events*len(event) {
			t.Errorf("hide %t: an event is allocated for %v times, %d bytes of %d passed", hide, allocs, passed, events*len(event))
		}

		tap.Next(out, []byte("data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":50000}}\n\n"))
		tap.End()

		want := Result{Usage: Usage{Input: 7, Output: events}, Told: true, Begun: true}
		if diff := cmp.Diff(want, tap.Result()); diff != "" {
			t.Errorf("hide %t: -want, +told:\n%s", hide, diff)
		}
	}
}

func TestReadable(t *testing.T) {
	for encoding, want := range map[string]bool{"": true, "gzip": true, " GZIP": true, "identity": true, "br": false, "zstd": false, "gzip, br": false} {
		if got := Readable(encoding); got != want {
			t.Errorf("%q: got %t", encoding, got)
		}
	}
}
