//go:build integration

package examples_test

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A protocol is how the clients of an agent speak to it.
type protocol struct {
	// open begins a conversation and returns its name.
	open func(t *testing.T, w *worker) string
	// say asks in a conversation, and returns the answer's code and body, which may come late; kept is what the agent has of the
	// conversation.
	say  func(t *testing.T, w *worker, name, text string) (int, string)
	kept func(t *testing.T, w *worker, name string) string
}

var protocols = map[string]protocol{
	"langgraph": {
		open: func(t *testing.T, w *worker) string {
			t.Helper()

			return found(t, `"thread_id":"([^"]+)"`, w, "/threads", `{}`)
		},
		say: func(t *testing.T, w *worker, name, text string) (int, string) {
			t.Helper()

			return ask(t, http.MethodPost, w.clients()+"/threads/"+name+"/runs/wait", fmt.Sprintf(`{"assistant_id":"agent","input":{"messages":[{"role":"user","content":%q}]}}`, text))
		},
		kept: func(t *testing.T, w *worker, name string) string {
			t.Helper()

			return got(t, w, "/threads/"+name+"/state")
		},
	},
	"a2a": {
		open: func(*testing.T, *worker) string { return "" },
		say: func(t *testing.T, w *worker, _, text string) (int, string) {
			t.Helper()

			return ask(t, http.MethodPost, w.clients()+"/message:send", fmt.Sprintf(`{"message":{"messageId":%q,"role":"ROLE_USER","parts":[{"text":%q}]}}`, text, text))
		},
		kept: func(t *testing.T, w *worker, _ string) string {
			t.Helper()

			return got(t, w, "/tasks?includeArtifacts=true")
		},
	},
	"openai-agents": {
		open: func(t *testing.T, _ *worker) string { t.Helper(); return t.Name()[strings.LastIndex(t.Name(), "/")+1:] },
		say: func(t *testing.T, w *worker, name, text string) (int, string) {
			t.Helper()

			return ask(t, http.MethodPost, w.clients()+"/sessions/"+name, fmt.Sprintf(`{"input":%q}`, text))
		},
		kept: func(t *testing.T, w *worker, name string) string { t.Helper(); return got(t, w, "/sessions/"+name) },
	},
	"workspace": {
		open: func(*testing.T, *worker) string { return "notes" },
		say: func(t *testing.T, w *worker, name, text string) (int, string) {
			t.Helper()

			code, body := ask(t, http.MethodPost, w.clients()+"/tasks", fmt.Sprintf(`{"workspace":%q,"input":%q}`, name, "[tool note] "+text))
			if code != http.StatusAccepted {
				return code, body
			}

			id := regexp.MustCompile(`"id":"([^"]+)"`).FindStringSubmatch(body)[1]

			eventually(t, "the task is done", func() bool {
				code, body = ask(t, http.MethodGet, w.clients()+"/tasks/"+id, "")

				return strings.Contains(body, `"state":"done"`) || strings.Contains(body, `"state":"failed"`)
			})

			return code, body
		},
		kept: func(t *testing.T, w *worker, name string) string {
			t.Helper()

			// The commits are whole: git looks at each object of them.
			dir := filepath.Join(w.volume, monitorapi.StateSubPath, "workspaces", name)
			if out, err := exec.CommandContext(t.Context(), "git", "-C", dir, "fsck", "--strict", "--full").CombinedOutput(); err != nil {
				t.Errorf("the workspace is damaged: %v: %s", err, out)
			}

			out, err := exec.CommandContext(t.Context(), "git", "-C", dir, "log", "-p").CombinedOutput()
			if err != nil {
				t.Fatalf("git: %v: %s", err, out)
			}

			return string(out)
		},
	},
}

// got returns what an agent answers.
func got(t *testing.T, w *worker, path string) string {
	t.Helper()

	code, body := ask(t, http.MethodGet, w.clients()+path, "")
	if code != http.StatusOK {
		t.Fatalf("%s: %d: %s\n%s", path, code, body, w.agent.said())
	}

	return body
}

// found returns a part of what an agent answers.
func found(t *testing.T, expr string, w *worker, path, body string) string {
	t.Helper()

	_, answer := ask(t, http.MethodPost, w.clients()+path, body)

	m := regexp.MustCompile(expr).FindStringSubmatch(answer)
	if m == nil {
		t.Fatalf("%s: %s\n%s", path, answer, w.agent.said())
	}

	return m[1]
}

// Agents of each kind, made with the libraries that such agents are made with, are workers under the monitor with nothing but what
// their entries render to: the monitor tells their tasks as they are, and counts what the model billed; while a worker drains it takes
// no new task and ends those it has; and what it knew is in its checkpoint, from which its slot's next worker goes on.
func TestAgents(t *testing.T) {
	cases := map[string]struct {
		reason string
		busy   load
		// again is what the model says of a second turn.
		again string
	}{
		"langgraph":     {reason: "One run at a time, and another one waits.", busy: load{2, 1}, again: "in turn 2"},
		"a2a":           {reason: "Both tasks are worked on.", busy: load{2, 2}},
		"openai-agents": {reason: "Both requests are open.", busy: load{2, 2}, again: "in turn 2"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			speak, p := protocols[name], newPool(t, name)
			w := p.worker(t, 0)
			w.becomes(t, monitorapi.StateActive, load{})

			talk := speak.open(t, w)
			other := speak.open(t, w) + "2"

			if name == "langgraph" {
				other = speak.open(t, w)
			}

			p.model.close()

			answers := make(chan string, 2)
			for talk, text := range map[string]string{talk: "Mind the first.", other: "Mind the second."} {
				go func() {
					_, body := speak.say(t, w, talk, text)
					answers <- body
				}()
			}

			w.becomes(t, monitorapi.StateActive, tc.busy)
			w.annotate(t, "d1")
			w.becomes(t, monitorapi.StateDraining, tc.busy)

			if code, body := speak.say(t, w, talk, "No more."); code != http.StatusServiceUnavailable || !strings.Contains(body, "drain") {
				t.Errorf("%s\na task is not refused while the worker drains: %d: %s", tc.reason, code, body)
			}

			p.model.open()

			if both := <-answers + <-answers; !strings.Contains(both, "Mind the first.") || !strings.Contains(both, "Mind the second.") {
				t.Errorf("%s\nthe tasks in flight were not ended: %s", tc.reason, both)
			}

			s := w.becomes(t, monitorapi.StateDrained, load{})
			compareTokens(t, p, s)

			if s.Checkpoint.Drain != "d1" {
				t.Errorf("the drain's checkpoint is not there: %+v", s.Checkpoint)
			}

			w.end(t)

			next := p.worker(t, 0)
			next.becomes(t, monitorapi.StateActive, load{})

			if kept := speak.kept(t, next, talk); !strings.Contains(kept, "Mind the first.") {
				t.Errorf("the next worker does not know of it: %s", kept)
			}

			if _, body := speak.say(t, next, talk, "Go on."); !strings.Contains(body, tc.again) || !strings.Contains(body, "Go on.") {
				t.Errorf("the conversation does not go on: %s", body)
			}

			next.end(t)
		})
	}
}

// compareTokens compares what a monitor counted with what the model billed.
func compareTokens(t *testing.T, p *pool, s monitorapi.Status) {
	t.Helper()

	in, out := p.model.billed(t)
	if in == 0 || out == 0 || s.Tokens == nil || s.Tokens.Input != in || s.Tokens.Output != out || s.Tokens.Missing != 0 {
		t.Errorf("the model billed %d and %d tokens, and the monitor counted %+v", in, out, s.Tokens)
	}
}

// A coding agent's workspace is whole in its checkpoint, though it is saved while it is written to; and a task that waited when the
// worker drained is done by its slot's next one.
func TestWorkspace(t *testing.T) {
	speak, p := protocols["workspace"], newPool(t, "workspace")
	w := p.worker(t, 0)
	w.becomes(t, monitorapi.StateActive, load{})

	if _, body := speak.say(t, w, "notes", "the start"); !strings.Contains(body, `"state":"done"`) {
		t.Fatalf("the task was not done: %s\n%s", body, w.agent.said())
	}

	p.model.close()

	for _, text := range []string{"in flight", "that waits"} {
		if code, body := ask(t, http.MethodPost, w.clients()+"/tasks", fmt.Sprintf(`{"workspace":"notes","input":"[tool note] %s"}`, text)); code != http.StatusAccepted {
			t.Fatalf("a task is not taken on: %d: %s", code, body)
		}
	}

	w.becomes(t, monitorapi.StateActive, load{2, 1})
	w.annotate(t, "d1")
	w.becomes(t, monitorapi.StateDraining, load{2, 1})

	if code, body := speak.say(t, w, "notes", "No more."); code != http.StatusServiceUnavailable {
		t.Errorf("a task is not refused while the worker drains: %d: %s", code, body)
	}

	// The hooks are the monitor's.
	if code, _ := ask(t, http.MethodPost, w.clients()+"/hooks/drain?", `{"drain":false}`); code == http.StatusNoContent {
		t.Error("a client calls a hook")
	}

	p.model.open()

	s := w.becomes(t, monitorapi.StateDrained, load{1, 0})
	compareTokens(t, p, s)

	if s.Checkpoint.Drain != "d1" {
		t.Errorf("the drain's checkpoint is not there: %+v", s.Checkpoint)
	}

	// A hook that fails holds no save up, and is logged.
	if said := w.monitor.said(); strings.Contains(said, "WARN") {
		t.Errorf("the agent was asked to hold still, and did not: %s", said)
	}

	w.end(t)

	next := p.worker(t, 0)
	next.becomes(t, monitorapi.StateActive, load{})

	log := speak.kept(t, next, "notes")
	for _, text := range []string{"the start", "in flight", "that waits"} {
		if !strings.Contains(log, "+[tool note] "+text) {
			t.Errorf("%q is not in the workspace: %s\n%s", text, log, next.agent.said())
		}
	}

	holdsStill(t, next)
	next.end(t)
}

// holdsStill has a coding agent hold still, as the monitor does: what it is asked for meanwhile is not written before it may go on.
func holdsStill(t *testing.T, w *worker) {
	t.Helper()

	hook := func(body string) {
		t.Helper()

		if code, answer := ask(t, http.MethodPost, w.url(8080)+"/hooks/quiesce", body); code != http.StatusNoContent {
			t.Fatalf("the hook answers %d: %s", code, answer)
		}
	}

	hook(fmt.Sprintf(`{"quiesce":true,"deadline":%q}`, time.Now().Add(5*time.Minute).Format(time.RFC3339)))

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()

	if code, body := askIn(ctx, t, http.MethodPost, w.clients()+"/tasks", `{"workspace":"notes","input":"[tool note] held"}`); code != 0 {
		t.Errorf("a task is written while the agent should hold still: %d: %s", code, body)
	}

	hook(`{"quiesce":false}`)

	speak := protocols["workspace"]
	// Whether all of a repository is there can be asked only when nothing is written to it any more.
	eventually(t, "the agent goes on", func() bool {
		dir := filepath.Join(w.volume, monitorapi.StateSubPath, "workspaces", "notes")
		out, err := exec.CommandContext(t.Context(), "git", "-C", dir, "log", "-p").CombinedOutput()

		return err == nil && strings.Contains(string(out), "+[tool note] held")
	})
	w.becomes(t, monitorapi.StateActive, load{})

	speak.kept(t, w, "notes")
}
