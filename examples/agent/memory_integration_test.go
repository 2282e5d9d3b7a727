//go:build integration

package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/southwest-ai/agent-operator/internal/vector/vectortest/servers"
)

// atStore runs statements in a store and returns what the last one says.
func atStore(t *testing.T, endpoint string, statements ...string) (answer string) {
	t.Helper()

	conn, err := pgx.Connect(t.Context(), endpoint+"&user=postgres&default_query_exec_mode=simple_protocol")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())

	for _, s := range statements {
		rows, err := conn.Query(t.Context(), s)
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}

		got, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}

		answer = strings.Join(got, ", ")
	}

	return answer
}

// Collections as the provider makes them: a table in a schema of its name, and an alias that is a view.
var collections = []string{
	`create extension vector`,
	`create schema "two-words"`,
	`create table "two-words"."two-words" (id text primary key, embedding vector(26) not null, content text, metadata jsonb not null default '{}')`,
	`create schema "alias"`,
	`create view "alias"."alias" as select * from "two-words"."two-words"`,
	`create schema "half"`,
	`create table "half"."half" (id text primary key, embedding halfvec(26) not null, content text, metadata jsonb not null default '{}')`,
	`create schema "large"`,
	`create table "large"."large" (id text primary key, embedding vector(768) not null, content text, metadata jsonb not null default '{}')`,
}

// Notes are kept and found in a real pgvector, whatever the collection's form and distance, and are those of all agents.
func TestNotesInPGVector(t *testing.T) {
	endpoint := servers.PGlite(t)
	atStore(t, endpoint, collections...)

	m := newFakeModel(t, false)
	open := func(t *testing.T, change func(*memoryConfig)) (*memory, error) {
		t.Helper()

		c := config{modelURL: m.URL, patience: time.Minute, memory: memoryConfig{
			store: "pgvector", endpoint: endpoint, collection: "two-words", distance: "Cosine", dim: 26, user: "postgres", model: "letters",
		}}
		change(&c.memory)

		mem, err := openMemory(t.Context(), c, slog.New(slog.DiscardHandler))
		t.Cleanup(mem.close)

		return mem, err
	}

	for name, tc := range map[string]struct {
		reason string
		change func(*memoryConfig)
	}{
		"Table": {"A table.", func(*memoryConfig) {}},
		"Alias": {"An alias of it, which has what the table has.", func(c *memoryConfig) { c.collection = "alias" }},
		"Half":  {"Vectors of half the precision.", func(c *memoryConfig) { c.collection = "half" }},
		"L2":    {"Another distance.", func(c *memoryConfig) { c.distance = "L2" }},
		"Dot":   {"And another.", func(c *memoryConfig) { c.distance = "Dot" }},
	} {
		t.Run(name, func(t *testing.T) {
			mem, err := open(t, tc.change)
			if err != nil {
				t.Fatal(err)
			}

			for range 2 {
				for id, text := range map[string]string{"a": "it's a \"mango\"", "b": "zzzz"} {
					if err := mem.notes.keep(t.Context(), id, vectorOf(t, mem, text), text, map[string]string{"context": `b"'`}); err != nil {
						t.Fatal(err)
					}
				}
			}

			got, err := mem.notes.near(t.Context(), "c", vectorOf(t, mem, "a mango, is it?"), 5)
			if diff := cmp.Diff([]string{"it's a \"mango\"", "zzzz"}, got); diff != "" || err != nil {
				t.Errorf("%s: %v\n-want, +got:\n%s", tc.reason, err, diff)
			}

			got, err = mem.notes.near(t.Context(), "a", vectorOf(t, mem, "a mango, is it?"), 5)
			if diff := cmp.Diff([]string{"zzzz"}, got); diff != "" || err != nil {
				t.Errorf("a note was recalled for its own task: %v\n-want, +got:\n%s", err, diff)
			}
		})
	}

	if got := atStore(t, endpoint, `select count(*)::text || ' ' || (array_agg(metadata ->> 'context'))[1] from "two-words"."two-words"`); got != `2 b"'` {
		t.Errorf("the store has %s", got)
	}

	for name, tc := range map[string]struct {
		reason, says string
		change       func(*memoryConfig)
	}{
		"None":      {"A collection that is not there.", "the collection nobody is not there", func(c *memoryConfig) { c.collection = "nobody" }},
		"Injection": {"A name that is more than a name.", `is not there`, func(c *memoryConfig) { c.collection = `x"; drop table "two-words"."two-words"; --` }},
		"Told":      {"Another dimension than was told.", "has dimension 768 and VECTOR_DIM is 26", func(c *memoryConfig) { c.collection = "large" }},
		"Model":     {"Another dimension than the model's.", "for vectors of dimension 768 and the model letters makes them with 26", func(c *memoryConfig) { c.collection, c.dim = "large", 768 }},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := open(t, tc.change); err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%s\nopenMemory(...): %v, want %q", tc.reason, err, tc.says)
			}
		})
	}
}

func vectorOf(t *testing.T, m *memory, text string) []float32 {
	t.Helper()

	v, err := m.model.embed(t.Context(), text)
	if err != nil {
		t.Fatal(err)
	}

	return v
}

// A connection that broke is made anew, with the login that is there then.
func TestNotesSurviveTheirConnection(t *testing.T) {
	endpoint := servers.PGlite(t)
	atStore(t, endpoint, collections...)

	dir, m := t.TempDir(), newFakeModel(t, false)
	rotate := func(password string) {
		t.Helper()

		if err := os.WriteFile(filepath.Join(dir, "password"), []byte(password), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rotate("first")

	mem, err := openMemory(t.Context(), config{modelURL: m.URL, patience: time.Minute, memory: memoryConfig{
		store: "pgvector", endpoint: endpoint, collection: "two-words", distance: "Cosine", dim: 26, user: "postgres", model: "letters", caFile: filepath.Join(dir, "ca.crt"),
	}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer mem.close()

	p, ok := mem.notes.(*pgNotes)
	if !ok || p.conn.Config().Password != "first" {
		t.Fatalf("it did not connect with the password of the file")
	}

	rotate("second")

	// As a server does that restarts.
	if err := p.conn.PgConn().Conn().Close(); err != nil {
		t.Fatal(err)
	}

	if err := mem.notes.keep(t.Context(), "a", vectorOf(t, mem, "a"), "a", nil); err != nil {
		t.Errorf("after its connection broke: %v", err)
	}

	if got := p.conn.Config().Password; got != "second" {
		t.Errorf("it connected anew with the password %s", got)
	}
}
