package main

import (
	"context"
	"errors"
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
// when it has ended, so that whoever kills the agent only delays it.
type workshop struct {
	store *store
	model *model
	// memory is nil where there is none.
	memory *memory
	log    *slog.Logger
	// queue is the number of tasks that may wait; keep the number of finished ones that can still be asked for.
	queue, keep  int
	instructions string

	// ctx ends the work; only drain cancels it.
	ctx    context.Context //nolint:containedctx // It is the workers' life.
	cancel context.CancelFunc
	wg     sync.WaitGroup
	// stopping is closed when a drain begins.
	stopping chan struct{}

	mu sync.Mutex
	// held is closed while nothing new is to begin; holding says that it is.
	held    chan struct{}
	holding bool
	// more is signaled when a worker may find something to do, or nothing ever more.
	more     *sync.Cond
	draining bool
	tasks    map[string]*entry
	waiting  []*entry
	// busy are the conversations that are worked on: two tasks of one take turns, in the order in which they came.
	busy map[string]bool
	// finished are the ids of the tasks that have ended, the oldest first.
	finished []string
	outcomes *prometheus.CounterVec
}

// An entry is a task that is known. done is closed when it has ended.
type entry struct {
	task   task
	done   chan struct{}
	cancel context.CancelFunc
}

// newWorkshop takes up what was left unfinished and starts to work.
func newWorkshop(c config, s *store, mem *memory, log *slog.Logger) (*workshop, error) {
	kept, err := s.tasks()
	if err != nil {
		return nil, err
	}

	ctx, cancel := context.WithCancel(context.Background())
	w := &workshop{
		store: s, model: newModel(c), memory: mem, log: log, queue: c.queue, keep: c.keep, instructions: c.instructions,
		ctx: ctx, cancel: cancel, stopping: make(chan struct{}), held: make(chan struct{}),
		tasks: map[string]*entry{}, busy: map[string]bool{},
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "agent_tasks_total", Help: "Tasks that have ended, by outcome."}, []string{"outcome"}),
	}
	w.more = sync.NewCond(&w.mu)

	slices.SortFunc(kept, func(a, b task) int { return a.Status.Timestamp.Compare(b.Status.Timestamp) })

	for _, t := range kept {
		e := &entry{task: t, done: make(chan struct{})}
		w.tasks[t.ID] = e

		if t.finished() {
			w.finished = append(w.finished, t.ID)
			close(e.done)
		} else {
			e.task.Status.State = stateSubmitted
			w.waiting = append(w.waiting, e)
		}
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

	switch {
	case w.draining || w.holding:
		return nil, errDraining
	case len(w.waiting) >= w.queue:
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
	w.waiting = append(w.waiting, e)
	w.more.Signal()

	return e, nil
}

// wait returns when a task has ended, or will not before the agent does.
func (w *workshop) wait(ctx context.Context, e *entry) {
	w.mu.Lock()
	held := w.held
	w.mu.Unlock()

	select {
	case <-e.done:
		return
	case <-ctx.Done():
		return
	case <-held:
	case <-w.stopping:
	}

	if t, err := w.get(e.task.ID); err != nil || t.Status.State != stateWorking {
		return
	}

	select {
	case <-e.done:
	case <-ctx.Done():
	case <-w.ctx.Done():
	}
}

// work does one task after another until the workshop drains: what waits then is kept for next time.
func (w *workshop) work() {
	for {
		e, t, ctx := w.next()
		if e == nil {
			return
		}

		answer, err := w.converse(ctx, t)
		w.end(e, answer, err)
	}
}

// next returns the oldest task whose conversation nobody works on, as soon as there is one.
func (w *workshop) next() (*entry, task, context.Context) {
	w.mu.Lock()
	defer w.mu.Unlock()

	for !w.draining {
		i := slices.IndexFunc(w.waiting, func(e *entry) bool { return !w.holding && !w.busy[e.task.ContextID] })
		if i < 0 {
			w.more.Wait()

			continue
		}

		e := w.waiting[i]
		w.waiting = slices.Delete(w.waiting, i, i+1)
		w.busy[e.task.ContextID] = true
		e.task.Status = status{State: stateWorking, Timestamp: now()}

		ctx, cancel := context.WithCancel(w.ctx)
		e.cancel = cancel

		return e, e.task, ctx
	}

	return nil, task{}, nil
}

// converse asks the model within a conversation, which is longer by two turns when it has answered.
func (w *workshop) converse(ctx context.Context, t task) (string, error) {
	turns, err := w.store.session(t.ContextID)
	if err != nil {
		return "", err
	}

	// The agent ended between the answer and the end of its task: the answer is there, and is not asked for again.
	if n := len(turns); n > 0 && turns[n-1].Task == t.ID {
		return turns[n-1].Content, nil
	}

	if len(turns) == 0 {
		turns = append(turns, turn{Role: "system", Content: w.instructions})
	}

	// What is recalled is for this answer only: the conversation keeps what was said.
	asked := turn{Role: "user", Content: t.History[0].text(), Task: t.ID}
	text, thought := w.memory.recall(ctx, t)

	answer, err := w.model.ask(ctx, append(turns[:len(turns):len(turns)], turn{Role: "user", Content: text}))
	if err != nil {
		return "", err
	}

	turns = append(turns, asked)

	// Before the conversation has the answer: an agent that ends in between does both once more, under the same id.
	w.memory.remember(ctx, thought, answer)

	return answer, w.store.saveSession(t.ContextID, append(turns, turn{Role: "assistant", Content: answer, Task: t.ID}))
}

// end records how a task ended.
func (w *workshop) end(e *entry, answer string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()

	e.cancel()
	delete(w.busy, e.task.ContextID)
	w.more.Broadcast()

	switch {
	case e.task.finished():
		// Canceled by its client in the meantime.
	case err != nil && w.ctx.Err() != nil:
		// Cut off by the end of the agent: on disk it is still unfinished, and is taken up next time.
	case err != nil:
		w.close(e, status{State: stateFailed, Timestamp: now(), Message: &message{
			MessageID: newID(), ContextID: e.task.ContextID, TaskID: e.task.ID, Role: roleAgent, Parts: []part{{Text: err.Error()}},
		}})
	default:
		e.task.Artifacts = []artifact{{ArtifactID: "answer", Parts: []part{{Text: answer}}}}
		w.close(e, status{State: stateCompleted, Timestamp: now()})
	}
}

// close makes the end of a task durable and known, and forgets the oldest of those that ended. The caller holds the lock.
func (w *workshop) close(e *entry, s status) {
	e.task.Status = s
	if err := w.store.saveTask(e.task); err != nil {
		// It will be done again after a restart, which is better than lost.
		w.log.Error("cannot keep the end of a task", "error", err.Error())
	}

	w.outcomes.WithLabelValues(outcomes[s.State]).Inc()
	close(e.done)

	for w.finished = append(w.finished, e.task.ID); len(w.finished) > w.keep; w.finished = w.finished[1:] {
		if err := w.store.deleteTask(w.finished[0]); err != nil {
			w.log.Warn("cannot forget an old task", "error", err.Error())
		}

		delete(w.tasks, w.finished[0])
	}
}

// stop cancels a task that has not ended.
func (w *workshop) stop(id string) (task, error) {
	w.mu.Lock()
	defer w.mu.Unlock()

	e, ok := w.tasks[id]

	switch {
	case !ok:
		return task{}, errNotFound
	case e.task.finished():
		return task{}, errFinished
	case e.task.Status.State == stateWorking:
		e.cancel()
	default:
		w.waiting = slices.DeleteFunc(w.waiting, func(o *entry) bool { return o == e })
	}

	w.close(e, status{State: stateCanceled, Timestamp: now()})

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

// list returns the tasks that match, the last changed first.
func (w *workshop) list(match func(task) bool) []task {
	w.mu.Lock()
	defer w.mu.Unlock()

	out := []task{}

	for _, e := range w.tasks {
		if match(e.task) {
			out = append(out, e.task)
		}
	}

	slices.SortFunc(out, func(a, b task) int { return compare(b, a) })

	return out
}

// running returns the number of tasks that are worked on.
func (w *workshop) running() int {
	w.mu.Lock()
	defer w.mu.Unlock()

	return len(w.busy)
}

// unfinished returns the number of tasks that wait or run.
func (w *workshop) unfinished() int {
	w.mu.Lock()
	defer w.mu.Unlock()

	return len(w.waiting) + len(w.busy)
}

// hold takes no more tasks and begins none of those that wait, or goes on.
func (w *workshop) hold(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()

	if on == w.holding {
		return
	}

	if w.holding = on; on {
		close(w.held)

		return
	}

	w.held = make(chan struct{})
	w.more.Broadcast()
}

// drain takes no more tasks and waits until those that run have ended, or until ctx is done. What has not ended then is on
// disk, for next time.
func (w *workshop) drain(ctx context.Context) {
	w.mu.Lock()
	w.draining = true
	close(w.stopping)
	w.more.Broadcast()
	w.mu.Unlock()

	stop := context.AfterFunc(ctx, w.cancel)
	defer stop()

	w.wg.Wait()
	w.cancel()
}
