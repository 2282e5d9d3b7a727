package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// recalled is how many notes are recalled for a task.
	recalled = 3
	// maxNote bounds a note's question and its answer, in bytes: what is recalled is part of each prompt.
	maxNote = 2000
	// memoryPatience bounds each of recalling and remembering.
	memoryPatience = 10 * time.Second
)

// Notes are kept by their vectors and found by their likeness. Others in the pool keep and find the same ones.
type notes interface {
	// dim is the dimension of the vectors.
	dim() int
	// near returns what the n notes nearest to a vector say, the nearest first, but for the one with the id.
	near(ctx context.Context, id string, v []float32, n int) ([]string, error)
	// keep keeps a note. One with the same id is replaced.
	keep(ctx context.Context, id string, v []float32, content string, about map[string]string) error
	close()
}

// A memory is what the agents of a pool know together: what they were asked, and what they answered. It helps with a
// task; a task does not fail for want of it.
type memory struct {
	model    *model
	notes    notes
	log      *slog.Logger
	outcomes *prometheus.CounterVec
}

// openMemory returns the memory that the environment names, or nil where it names none. A memory whose vectors are of
// another length than the model's is refused now, and not at each task.
func openMemory(ctx context.Context, c config, log *slog.Logger) (*memory, error) {
	if c.memory.store == "" {
		return nil, nil //nolint:nilnil // None is asked for.
	}

	// A worker that cannot read and write its memory should not take tasks, so what goes wrong here ends it.
	n, err := openNotes(ctx, c.memory)
	if err != nil {
		return nil, err
	}

	m := newMemory(newModel(c), n, log)

	v, err := m.model.embed(ctx, "How long is a vector?")
	if err == nil && len(v) != n.dim() {
		err = fmt.Errorf("the collection %s is for vectors of dimension %d and the model %s makes them with %d: name another model in AGENT_EMBEDDING_MODEL, or its dimension in the AIDispatcher's memoryConfig",
			c.memory.collection, n.dim(), c.memory.model, len(v))
	}

	if err != nil {
		n.close()

		return nil, fmt.Errorf("cannot use the memory: %w", err)
	}

	return m, nil
}

func newMemory(m *model, n notes, log *slog.Logger) *memory {
	return &memory{model: m, notes: n, log: log, outcomes: prometheus.NewCounterVec(
		prometheus.CounterOpts{Name: "agent_memory_operations_total", Help: "Uses of the memory, by operation and outcome."}, []string{"operation", "outcome"})}
}

func (m *memory) close() {
	if m != nil {
		m.notes.close()
	}
}

// A thought is a task's text with its vector, which is wanted twice: to recall, and to remember.
type thought struct {
	task   task
	text   string
	vector []float32
}

// recall returns a task's text with what is known that is like it, for the model, and the thought to remember it by.
func (m *memory) recall(ctx context.Context, t task) (string, *thought) {
	text := t.History[0].text()
	if m == nil {
		return text, nil
	}

	ctx, cancel := context.WithTimeout(ctx, memoryPatience)
	defer cancel()

	v, err := m.model.embed(ctx, text)
	if err != nil {
		m.count("recall", err)

		return text, nil
	}

	known, err := m.notes.near(ctx, t.ID, v, recalled)
	m.count("recall", err)

	return withNotes(text, known), &thought{task: t, text: text, vector: v}
}

// withNotes puts what is known before what is asked.
func withNotes(text string, known []string) string {
	if len(known) == 0 {
		return text
	}

	var s strings.Builder

	s.WriteString("What you remember, which may help or not:\n")

	for _, k := range known {
		s.WriteString("- " + strings.ReplaceAll(k, "\n", "\n  ") + "\n")
	}

	return s.String() + "\n" + text
}

// remember keeps a thought and its answer. Doing it twice is doing it once.
func (m *memory) remember(ctx context.Context, th *thought, answer string) {
	if m == nil || th == nil {
		return
	}

	ctx, cancel := context.WithTimeout(ctx, memoryPatience)
	defer cancel()

	note := "Asked: " + shortened(th.text) + "\nAnswered: " + shortened(answer)
	m.count("remember", m.notes.keep(ctx, th.task.ID, th.vector, note, map[string]string{"context": th.task.ContextID}))
}

func (m *memory) count(operation string, err error) {
	outcome := "done"
	if err != nil {
		outcome = "failed"
		m.log.Warn("cannot use the memory", "operation", operation, "error", err.Error())
	}

	m.outcomes.WithLabelValues(operation, outcome).Inc()
}

// shortened cuts a text that is too long for a note, between two characters.
func shortened(s string) string {
	if len(s) <= maxNote {
		return s
	}

	cut := maxNote
	for !utf8.RuneStart(s[cut]) {
		cut--
	}

	return s[:cut] + "..."
}
