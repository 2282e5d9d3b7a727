package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// What a task is refused with.
var (
	errBusy     = errors.New("the agent's queue is full")
	errDraining = errors.New("the agent is draining and takes no new tasks")
	errNotFound = errors.New("there is no such task")
	errFinished = errors.New("the task is finished and cannot be canceled")
)

// A workshop is where tasks are worked on: a bounded queue and a few workers. A task is on disk before it is accepted and
// after each change, so that whoever kills the agent only delays it.
type workshop struct {
	store        *store
	model        *model
	instructions string
	log          *slog.Logger

	// ctx ends the work; only drain cancels it.
	ctx    context.Context //nolint:containedctx // It is the workers' life.
	cancel context.CancelFunc
	queue  chan string
	wg     sync.WaitGroup

	mu       sync.Mutex
	draining bool
	tasks    map[string]*entry
	// sessions are locked one by one: two tasks of a conversation take turns.
	sessions map[string]*sync.Mutex

	finished *prometheus.CounterVec
}

// An entry is a task that is known. done is closed when it is finished.
type entry struct {
	task   task
	done   chan struct{}
	cancel context.CancelFunc
}

// newWorkshop takes up what was left unfinished and starts to work.
func newWorkshop(c config, s *store, log *slog.Logger) (*workshop, error) {
	kept, err := s.tasks()
	if err != nil {
		return nil, err
	}

	ctx, cancel := context.WithCancel(context.Background())
	w := &workshop{
		store: s, model: newModel(c), instructions: c.instructions, log: log,
		ctx: ctx, cancel: cancel,
		// What was unfinished must fit beside what may wait.
		queue: make(chan string, c.queue+len(kept)),
		tasks: map[string]*entry{}, sessions: map[string]*sync.Mutex{},
		finished: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "agent_tasks_total", Help: "Finished tasks by outcome."}, []string{"outcome"}),
	}

	slices.SortFunc(kept, func(a, b task) int { return a.Status.Timestamp.Compare(b.Status.Timestamp) })

	for _, t := range kept {
		e := &entry{task: t, done: make(chan struct{})}
		w.tasks[t.ID] = e

		if t.finished() {
			close(e.done)

			continue
		}

		e.task.Status.State = stateSubmitted
		w.queue <- t.ID
	}

	for range c.concurrency {
		w.wg.Go(w.work)
	}

	return w, nil
}

// accept takes a task on. It is durable when accept returns.
func (w *workshop) accept(m message) (*entry, error) {
	w.mu.Lock()
	defer w.mu.Unlock()

	if w.draining {
		return nil, errDraining
	}

	if len(w.queue) == cap(w.queue) {
		return nil, errBusy
	}

	if m.ContextID == "" {
		m.ContextID = newID()
	}

	m.TaskID = newID()
	e := &entry{done: make(chan struct{}), task: task{
		ID: m.TaskID, ContextID: m.ContextID, History: []message{m},
		Status: status{State: stateSubmitted, Timestamp: now()},
	}}

	if err := w.store.saveTask(e.task); err != nil {
		return nil, err
	}

	w.tasks[e.task.ID] = e
	w.queue <- e.task.ID

	return e, nil
}

// work takes tasks from the queue until the workshop is closed.
func (w *workshop) work() {
	for {
		select {
		case <-w.ctx.Done():
			return
		case id := <-w.queue:
			if w.begin() {
				w.do(id)
			}
		}
	}
}

// begin says whether work may begin: a workshop that drains keeps what waits for next time.
func (w *workshop) begin() bool {
	w.mu.Lock()
	defer w.mu.Unlock()

	return !w.draining
}

func (w *workshop) do(id string) {
	ctx, cancel := context.WithCancel(w.ctx)
	defer cancel()

	w.mu.Lock()
	e := w.tasks[id]

	if e.task.finished() {
		w.mu.Unlock()

		return
	}

	e.cancel = cancel
	e.task.Status = status{State: stateWorking, Timestamp: now()}
	ask := e.task.History[0]
	w.mu.Unlock()

	answer, err := w.converse(ctx, e.task.ContextID, ask.text())

	// Cut off by the end of the agent, not by its client: it stays unfinished and is taken up next time.
	if w.ctx.Err() != nil {
		return
	}

	w.finish(e, answer, err)
}

// converse asks the model within a conversation, which is longer by two turns when it has answered.
func (w *workshop) converse(ctx context.Context, session, ask string) (string, error) {
	lock := w.lockOf(session)
	lock.Lock()
	defer lock.Unlock()

	turns, err := w.store.session(session)
	if err != nil {
		return "", err
	}

	if len(turns) == 0 {
		turns = append(turns, turn{Role: "system", Content: w.instructions})
	}

	turns = append(turns, turn{Role: "user", Content: ask})

	answer, err := w.model.ask(ctx, turns)
	if err != nil {
		return "", err
	}

	return answer, w.store.saveSession(session, append(turns, turn{Role: "assistant", Content: answer}))
}

func (w *workshop) lockOf(session string) *sync.Mutex {
	w.mu.Lock()
	defer w.mu.Unlock()

	l, ok := w.sessions[session]
	if !ok {
		l = &sync.Mutex{}
		w.sessions[session] = l
	}

	return l
}

// finish records how a task ended.
func (w *workshop) finish(e *entry, answer string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()

	if e.task.finished() {
		return
	}

	e.task.Status = status{State: stateCompleted, Timestamp: now()}
	e.task.Artifacts = []artifact{{ArtifactID: "answer", Parts: []part{{Text: answer}}}}

	if err != nil {
		e.task.Artifacts = nil
		e.task.Status = status{State: stateFailed, Timestamp: now(), Message: &message{
			MessageID: newID(), ContextID: e.task.ContextID, TaskID: e.task.ID, Role: roleAgent, Parts: []part{{Text: err.Error()}},
		}}
	}

	w.close(e)
}

// close makes the end of a task durable and known. The caller holds the lock.
func (w *workshop) close(e *entry) {
	if err := w.store.saveTask(e.task); err != nil {
		// It will be done again after a restart, which is better than lost.
		w.log.Error("cannot keep a finished task", "error", err.Error())
	}

	w.finished.WithLabelValues(e.task.Status.State).Inc()
	close(e.done)
}

// stop cancels a task that is not finished.
func (w *workshop) stop(id string) (task, error) {
	w.mu.Lock()
	defer w.mu.Unlock()

	e, ok := w.tasks[id]

	switch {
	case !ok:
		return task{}, errNotFound
	case e.task.finished():
		return e.task, errFinished
	}

	if e.cancel != nil {
		e.cancel()
	}

	e.task.Status = status{State: stateCanceled, Timestamp: now()}
	w.close(e)

	return e.task, nil
}

// get returns a task as it is now.
func (w *workshop) get(id string) (task, error) {
	w.mu.Lock()
	defer w.mu.Unlock()

	e, ok := w.tasks[id]
	if !ok {
		return task{}, errNotFound
	}

	return e.task, nil
}

// list returns the tasks that match, newest first.
func (w *workshop) list(match func(task) bool) []task {
	w.mu.Lock()
	defer w.mu.Unlock()

	out := []task{}

	for _, e := range w.tasks {
		if match(e.task) {
			out = append(out, e.task)
		}
	}

	slices.SortFunc(out, func(a, b task) int {
		return -cmp.Or(a.Status.Timestamp.Compare(b.Status.Timestamp), cmp.Compare(a.ID, b.ID))
	})

	return out
}

func (w *workshop) count(states ...string) int {
	return len(w.list(func(t task) bool { return slices.Contains(states, t.Status.State) }))
}

// unfinished returns the number of tasks that wait or run.
func (w *workshop) unfinished() int { return w.count(stateSubmitted, stateWorking) }

// drain takes no more tasks and waits until those that run have ended, or until ctx is done; the others stay on disk.
func (w *workshop) drain(ctx context.Context) {
	w.mu.Lock()
	w.draining = true

	var running []chan struct{}

	for _, e := range w.tasks {
		if e.task.Status.State == stateWorking {
			running = append(running, e.done)
		}
	}
	w.mu.Unlock()

	for _, done := range running {
		select {
		case <-done:
		case <-ctx.Done():
			w.log.Warn("tasks that still run are kept for next time", "why", fmt.Sprint(ctx.Err()))
		}
	}

	w.cancel()
	w.wg.Wait()
}
