package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	gocmp "github.com/google/go-cmp/cmp"
)

// bookNotes keep notes in this process, and fail when they are told to.
type bookNotes struct {
	mu     sync.Mutex
	kept   map[string]note
	broken error
}

type note struct {
	vector  []float32
	content string
	about   map[string]string
}

func (b *bookNotes) dim() int { return 26 }

func (b *bookNotes) close() {}

func (b *bookNotes) near(_ context.Context, id string, v []float32, n int) ([]string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	ids := make([]string, 0, len(b.kept))

	for k := range b.kept {
		if k != id {
			ids = append(ids, k)
		}
	}

	slices.SortFunc(ids, func(x, y string) int { return cmp.Compare(apart(b.kept[x].vector, v), apart(b.kept[y].vector, v)) })

	out := []string{}
	for _, k := range ids[:min(n, len(ids))] {
		out = append(out, b.kept[k].content)
	}

	return out, b.broken
}

func apart(a, b []float32) float32 {
	sum := float32(0)
	for i := range a {
		sum += (a[i] - b[i]) * (a[i] - b[i])
	}

	return sum
}

func (b *bookNotes) keep(_ context.Context, id string, v []float32, content string, about map[string]string) error {
	b.mu.Lock()
	defer b.mu.Unlock()

	if b.broken == nil {
		b.kept[id] = note{v, content, about}
	}

	return b.broken
}

func (b *bookNotes) breakWith(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()

	b.broken = err
}

func fakeMemory(m *fakeModel) (*memory, *bookNotes) {
	b := &bookNotes{kept: map[string]note{}}
	mod := newModel(config{modelURL: m.URL, patience: time.Minute, memory: memoryConfig{model: "letters"}})
	mod.firstWait = time.Millisecond

	return newMemory(mod, b, slog.New(slog.DiscardHandler)), b
}

// What one agent was told another one knows, in a conversation that has never heard of it, and the conversation keeps only
// what was said in it.
func TestRemembersAcrossAgents(t *testing.T) {
	m := newFakeModel(t, false)
	mem, _ := fakeMemory(m)
	first, second := startWithMemory(t, m, t.TempDir(), mem), startWithMemory(t, m, t.TempDir(), mem)

	for _, text := range []string{"the key is under the mat", "zzz", "zz", "z"} {
		first.tell(t, text, text, false)
		<-m.asked
	}

	second.tell(t, "other", "where is the key?", false)

	want := []turn{{Role: "system", Content: "Help."}, {Role: "user", Content: "What you remember, which may help or not:\n" +
		"- Asked: the key is under the mat\n  Answered: you said the key is under the mat\n" +
		"- Asked: z\n  Answered: you said "}}
	got := <-m.asked

	if gocmp.Diff(want[0], got[0]) != "" || len(got) != 2 || !strings.HasPrefix(got[1].Content, want[1].Content) || !strings.HasSuffix(got[1].Content, "\n\nwhere is the key?") {
		t.Errorf("the model was asked %+v", got)
	}

	second.tell(t, "other", "thanks", false)

	if got := <-m.asked; len(got) != 4 || got[1].Content != "where is the key?" {
		t.Errorf("the conversation went on with %+v", got)
	}
}

// A task is answered without a memory that fails, and the failure is counted.
func TestMemoryFails(t *testing.T) {
	m := newFakeModel(t, false)
	mem, book := fakeMemory(m)
	a := startWithMemory(t, m, t.TempDir(), mem)

	book.breakWith(errors.New("the store is down"))

	if got, code := a.tell(t, "s", "hello", false); code != http.StatusOK || said(got) != "you said hello" {
		t.Errorf("answered %d %+v", code, got)
	}

	book.breakWith(nil)
	a.tell(t, "s", "again", false)

	var got string

	a.call(t, http.MethodGet, "/metrics", "", &got)

	for _, want := range []string{
		`agent_memory_operations_total{operation="recall",outcome="failed"} 1`, `agent_memory_operations_total{operation="recall",outcome="done"} 1`,
		`agent_memory_operations_total{operation="remember",outcome="failed"} 1`, `agent_memory_operations_total{operation="remember",outcome="done"} 1`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the metrics do not say %s", want)
		}
	}
}

// An agent does not start with a memory that it cannot use, and says why.
func TestMemoryRefused(t *testing.T) {
	m := newFakeModel(t, false)
	cases := map[string]struct {
		reason string
		change func(*memoryConfig)
		says   string
	}{
		"Store":    {"A store that it does not speak.", func(c *memoryConfig) { c.store = "Qdrant" }, "this agent can remember in pgvector only, and VECTOR_STORE is Qdrant"},
		"Distance": {"A distance that nobody knows.", func(c *memoryConfig) { c.distance = "Far" }, `VECTOR_DISTANCE is "Far"`},
		"URL":      {"An endpoint that is no URL.", func(c *memoryConfig) { c.endpoint = "postgres://%zz" }, "VECTOR_ENDPOINT is not a URL"},
		"Scheme":   {"An endpoint of another kind.", func(c *memoryConfig) { c.endpoint = "http://store" }, "cannot use VECTOR_ENDPOINT"},
		"Down":     {"A store that is not there.", func(*memoryConfig) {}, "cannot connect to the memory"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := config{modelURL: m.URL, memory: memoryConfig{store: "pgvector", endpoint: "postgres://127.0.0.1:1/db?sslmode=disable", collection: "c", distance: "Cosine", dim: 26, password: "hidden"}}
			tc.change(&c.memory)

			if _, err := openMemory(t.Context(), c, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("%s\nopenMemory(...): %v, want %q", tc.reason, err, tc.says)
			}
		})
	}
}

// A note is of bounded length and whole characters, however long what was said.
func TestShortened(t *testing.T) {
	for _, s := range []string{"", "short", strings.Repeat("a", 5000), strings.Repeat("ä", 5000), "a" + strings.Repeat("世", 5000)} {
		got := shortened(s)
		if len(got) > maxNote+3 || !utf8.ValidString(got) || !strings.HasPrefix(s, strings.TrimSuffix(got, "...")) {
			t.Errorf("%d bytes became %d", len(s), len(got))
		}
	}
}

func TestLiteral(t *testing.T) {
	if diff := gocmp.Diff("[1,-0.5,1e-07]", literal([]float32{1, -0.5, 1e-7})); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}
