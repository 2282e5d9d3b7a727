package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTaskIsAnswered(t *testing.T) {
	m := newFakeModel(t, false)
	a := startAgent(t, m, t.TempDir())

	got, code := a.tell(t, "s1", "hello", false)
	if code != http.StatusOK || got.Status.State != stateCompleted || said(got) != "you said hello" || got.ContextID != "s1" {
		t.Errorf("answered %d %+v", code, got)
	}

	if got, _ := a.tell(t, "", "alone", false); got.ContextID == "" || got.ContextID == "s1" {
		t.Errorf("a message without a conversation began %q", got.ContextID)
	}

	want := []turn{{Role: "system", Content: "Help."}, {Role: "user", Content: "hello"}}
	if diff := cmp.Diff(want, <-m.asked); diff != "" {
		t.Errorf("what the model was asked: -want, +got:\n%s", diff)
	}
}

// A conversation is remembered by the agent that comes after, whatever the client called it.
func TestSessionSurvivesRestart(t *testing.T) {
	for name, session := range map[string]string{"Plain": "s1", "Path": "../../etc/passwd", "Long": strings.Repeat("é", 300), "Dot": "."} {
		t.Run(name, func(t *testing.T) {
			m, dir := newFakeModel(t, false), t.TempDir()

			first := startAgent(t, m, dir)
			before, _ := first.tell(t, session, "I am Ada", false)
			first.kill()
			<-m.asked

			second := startAgent(t, m, dir)
			second.tell(t, session, "who am I", false)

			want := []turn{
				{Role: "system", Content: "Help."}, {Role: "user", Content: "I am Ada"},
				{Role: "assistant", Content: "you said I am Ada"}, {Role: "user", Content: "who am I"},
			}
			if diff := cmp.Diff(want, <-m.asked); diff != "" {
				t.Errorf("what the model was asked after the restart: -want, +got:\n%s", diff)
			}

			if got := second.eventually(t, before.ID, stateCompleted); said(got) != "you said I am Ada" {
				t.Errorf("the task from before the restart: %+v", got)
			}
		})
	}
}

// What was accepted is done, also by an agent that comes after one that was killed.
func TestUnfinishedTasksAreResumed(t *testing.T) {
	m, dir := newFakeModel(t, true), t.TempDir()

	first := startAgent(t, m, dir)
	running, _ := first.tell(t, "s1", "one", true)
	first.eventually(t, running.ID, stateWorking)
	waiting, _ := first.tell(t, "s2", "two", true)
	first.kill()
	m.idle(t)

	second := startAgent(t, m, dir)
	for range 2 {
		m.gate <- struct{}{}
	}

	for id, want := range map[string]string{running.ID: "you said one", waiting.ID: "you said two"} {
		if got := second.eventually(t, id, stateCompleted); said(got) != want {
			t.Errorf("answered %q, want %q", said(got), want)
		}
	}
}

// An agent that is killed between the answer and the end of its task does not ask, nor remember, a second time.
func TestAnswerIsNotAskedForTwice(t *testing.T) {
	m, dir := newFakeModel(t, false), t.TempDir()

	first := startAgent(t, m, dir)
	done, _ := first.tell(t, "s1", "one", false)
	first.kill()
	<-m.asked

	// As it was before the end was written.
	unfinished := done
	unfinished.Status, unfinished.Artifacts = status{State: stateSubmitted, Timestamp: now()}, nil

	if err := first.w.store.saveTask(unfinished); err != nil {
		t.Fatal(err)
	}

	second := startAgent(t, m, dir)
	if got := second.eventually(t, done.ID, stateCompleted); said(got) != "you said one" {
		t.Errorf("answered %q", said(got))
	}

	turns, err := second.w.store.session("s1")
	if len(m.asked) != 0 || len(turns) != 3 || err != nil {
		t.Errorf("the model was asked %d times more, and the conversation has %d turns: %v", len(m.asked), len(turns), err)
	}
}

func TestFullQueue(t *testing.T) {
	m := newFakeModel(t, true)
	a := startAgent(t, m, t.TempDir())

	running, _ := a.tell(t, "s0", "run", true)
	a.eventually(t, running.ID, stateWorking)

	for i := range 2 {
		if got, code := a.tell(t, fmt.Sprint("s", i+1), "wait", true); code != http.StatusOK || got.Status.State != stateSubmitted {
			t.Errorf("task %d: %d %+v", i, code, got)
		}
	}

	rsp, err := http.Post(a.url+"/message:send", "application/json", strings.NewReader(sendBody("", "no", true)))
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()

	if rsp.StatusCode != http.StatusServiceUnavailable || rsp.Header.Get("Retry-After") == "" {
		t.Errorf("a full queue answered %d, Retry-After %q", rsp.StatusCode, rsp.Header.Get("Retry-After"))
	}

	var text string

	a.call(t, http.MethodGet, "/metrics", "", &text)

	for _, want := range []string{"agent_queue_depth 3", "agent_tasks_running 1"} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics do not say %q:\n%s", want, text)
		}
	}

	for range 3 {
		m.gate <- struct{}{}
	}

	if got := a.eventually(t, running.ID, stateCompleted); said(got) != "you said run" {
		t.Errorf("answered %q", said(got))
	}
}

// Two tasks of one conversation take turns in their order, while another conversation goes on.
func TestConversationsTakeTurns(t *testing.T) {
	m := newFakeModel(t, true)
	a := startAgent(t, m, t.TempDir(), func(c *config) { c.concurrency = 2; c.queue = 10 })

	first, _ := a.tell(t, "s1", "one", true)
	a.eventually(t, first.ID, stateWorking)
	second, _ := a.tell(t, "s1", "two", true)
	other, _ := a.tell(t, "s2", "three", true)
	a.eventually(t, other.ID, stateWorking)

	if got := a.eventually(t, second.ID, stateSubmitted); got.Status.State != stateSubmitted {
		t.Errorf("the second task is %s while the first runs", got.Status.State)
	}

	for range 3 {
		m.gate <- struct{}{}
	}

	a.eventually(t, second.ID, stateCompleted)

	turns, _ := a.w.store.session("s1")
	if len(turns) != 5 || turns[3].Content != "two" {
		t.Errorf("the conversation went %v", turns)
	}
}

// A drain refuses what is new, finishes what runs, and keeps what waits.
func TestDrain(t *testing.T) {
	m, dir := newFakeModel(t, true), t.TempDir()
	a := startAgent(t, m, dir)

	running, _ := a.tell(t, "s1", "run", true)
	a.eventually(t, running.ID, stateWorking)

	waited := make(chan task, 1)

	go func() {
		got, _ := a.tell(t, "s2", "wait", false)
		waited <- got
	}()

	for a.w.unfinished() < 2 {
		time.Sleep(time.Millisecond)
	}

	drained := make(chan struct{})

	go func() {
		a.w.drain(context.Background())
		close(drained)
	}()

	// Whoever waits for a task that will not begin is told so at once.
	kept := <-waited
	if kept.Status.State != stateSubmitted {
		t.Errorf("a task that waits when the drain begins is %s", kept.Status.State)
	}

	if _, code := a.tell(t, "s3", "new", true); code != http.StatusServiceUnavailable {
		t.Errorf("a draining agent took a task: %d", code)
	}

	m.gate <- struct{}{}
	<-drained

	if got := a.eventually(t, running.ID, stateCompleted); said(got) != "you said run" {
		t.Errorf("answered %q", said(got))
	}

	a.kill()

	next := startAgent(t, m, dir)
	m.gate <- struct{}{}
	next.eventually(t, kept.ID, stateCompleted)
}

// A drain that may not take longer keeps what runs, too.
func TestDrainIsBounded(t *testing.T) {
	m, dir := newFakeModel(t, true), t.TempDir()
	a := startAgent(t, m, dir)

	running, _ := a.tell(t, "s1", "run", true)
	a.eventually(t, running.ID, stateWorking)

	late, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()

	a.w.drain(late)

	var kept task
	if err := read(filepath.Join(dir, "tasks", running.ID+".json"), &kept); err != nil || kept.finished() {
		t.Errorf("the task that was cut off is kept as %+v, %v", kept, err)
	}
}

func TestCancel(t *testing.T) {
	m := newFakeModel(t, true)
	a := startAgent(t, m, t.TempDir())

	running, _ := a.tell(t, "s1", "run", true)
	a.eventually(t, running.ID, stateWorking)
	waiting, _ := a.tell(t, "s2", "wait", true)

	for _, id := range []string{waiting.ID, running.ID} {
		var got task
		if code := a.call(t, http.MethodPost, "/tasks/"+id+":cancel", "", &got); code != http.StatusOK || got.Status.State != stateCanceled {
			t.Errorf("canceled: %d %+v", code, got)
		}
	}

	for late := time.Now().Add(10 * time.Second); a.w.unfinished() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("%d tasks are unfinished", a.w.unfinished())
		}
	}

	if turns, err := a.w.store.session("s1"); len(turns) != 0 || err != nil {
		t.Errorf("a canceled task left %v in its conversation, %v", turns, err)
	}
}

// Finished tasks can be asked for a while, and then are forgotten on disk as well.
func TestOldTasksAreForgotten(t *testing.T) {
	dir := t.TempDir()
	a := startAgent(t, newFakeModel(t, false), dir, func(c *config) { c.keep = 2 })

	first, _ := a.tell(t, "s", "0", false)
	for i := range 2 {
		a.tell(t, "s", fmt.Sprint(i+1), false)
	}

	files, _ := filepath.Glob(filepath.Join(dir, "tasks", "*"))

	var refusal struct{ Error struct{ Code int } }
	if code := a.call(t, http.MethodGet, "/tasks/"+first.ID, "", &refusal); code != http.StatusNotFound || len(files) != 2 {
		t.Errorf("the oldest of three tasks: %d, and %d files", code, len(files))
	}
}

func TestOpenStore(t *testing.T) {
	dir := t.TempDir()
	if _, err := openStore(dir); err != nil {
		t.Fatal(err)
	}

	half := filepath.Join(dir, "tasks", ".new-1")
	if err := os.WriteFile(half, []byte(`{"id":`), 0o600); err != nil {
		t.Fatal(err)
	}

	s, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}

	if tasks, err := s.tasks(); len(tasks) != 0 || err != nil {
		t.Errorf("read %v, %v where a write was cut", tasks, err)
	}

	if _, err := os.Stat(half); err == nil {
		t.Error("what a killed agent was writing is still there")
	}

	if err := os.WriteFile(filepath.Join(dir, "tasks", "t.json"), []byte(`{`), 0o600); err != nil {
		t.Fatal(err)
	}

	if _, err := s.tasks(); err == nil || !strings.Contains(err.Error(), "t.json") {
		t.Errorf("a file that is broken: %v, want an error that names it", err)
	}
}
