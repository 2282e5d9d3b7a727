package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A fakeModel answers with what the last message says, as a stream, once it is let to.
type fakeModel struct {
	*httptest.Server

	// asked gets the messages of each request; gate lets one answer go, where it is not nil.
	asked chan []turn
	gate  chan struct{}
	busy  atomic.Int32
}

// idle waits until nobody asks any more, so that what the gate lets go is not an answer to one who is gone.
func (m *fakeModel) idle(t *testing.T) {
	t.Helper()

	for late := time.Now().Add(10 * time.Second); m.busy.Load() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatal("somebody still asks the model")
		}
	}
}

func newFakeModel(t *testing.T, gated bool) *fakeModel {
	t.Helper()

	m := &fakeModel{asked: make(chan []turn, 100)}
	if gated {
		m.gate = make(chan struct{})
	}

	m.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		m.busy.Add(1)
		defer m.busy.Add(-1)

		if r.URL.Path == "/embeddings" {
			answerEmbedding(t, rw, r)

			return
		}

		var req struct{ Messages []turn }
		if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
			t.Error(err)
		}

		m.asked <- req.Messages

		if m.gate != nil {
			select {
			case <-m.gate:
			case <-r.Context().Done():
				return
			}
		}

		for _, word := range []string{"you said ", req.Messages[len(req.Messages)-1].Content} {
			fmt.Fprintf(rw, "data: {\"choices\":[{\"delta\":{\"content\":%q}}]}\n\n", word)
		}

		fmt.Fprint(rw, "data: [DONE]\n\n")
	}))
	t.Cleanup(m.Close)

	return m
}

// answerEmbedding answers with how often each letter is in a text.
func answerEmbedding(t *testing.T, rw http.ResponseWriter, r *http.Request) {
	t.Helper()

	var req struct{ Model, Input string }
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || req.Model == "" {
		t.Errorf("asked for a vector with %+v: %v", req, err)
	}

	v := make([]float32, 26)

	for _, c := range strings.ToLower(req.Input) {
		if c >= 'a' && c <= 'z' {
			v[c-'a']++
		}
	}

	answer(rw, http.StatusOK, map[string]any{"data": []any{map[string]any{"embedding": v}}})
}

// An agent is one that can be talked to. In this process, w is its workshop and srv serves it.
type agent struct {
	url string
	w   *workshop
	srv *httptest.Server
}

// clientOf talks to an agent that is a process of its own.
func clientOf(p *program) *agent { return &agent{url: "http://" + p.logged.Listen} }

func startAgent(t *testing.T, m *fakeModel, dir string, change ...func(*config)) *agent {
	t.Helper()

	return startWithMemory(t, m, dir, nil, change...)
}

func startWithMemory(t *testing.T, m *fakeModel, dir string, mem *memory, change ...func(*config)) *agent {
	t.Helper()

	c := config{modelURL: m.URL, model: "m", instructions: "Help.", concurrency: 1, queue: 2, keep: 10, patience: time.Minute}
	for _, f := range change {
		f(&c)
	}

	st, err := openStore(dir)
	if err != nil {
		t.Fatal(err)
	}

	w, err := newWorkshop(c, st, mem, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}

	srv := httptest.NewServer(handler(w, ""))
	a := &agent{url: srv.URL, w: w, srv: srv}
	t.Cleanup(a.kill)

	return a
}

// kill ends an agent without giving it time to finish anything.
func (a *agent) kill() {
	select {
	case <-a.w.stopping:
	default:
		dead, cancel := context.WithCancel(context.Background())
		cancel()
		a.w.drain(dead)
	}

	a.srv.Close()
}

// call sends a request and reads the answer into a value. It returns the answer's code.
func (a *agent) call(t *testing.T, method, path, body string, into any) int {
	t.Helper()

	req, err := http.NewRequestWithContext(t.Context(), method, a.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}

	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()

	b, _ := io.ReadAll(rsp.Body)
	if s, ok := into.(*string); ok {
		*s = string(b)
	} else if err := json.Unmarshal(b, into); err != nil {
		t.Fatalf("%s %s: %s: %v", method, path, b, err)
	}

	return rsp.StatusCode
}

// tell sends a message and returns the task it became.
func (a *agent) tell(t *testing.T, session, text string, now bool) (task, int) {
	t.Helper()

	var out struct{ Task task }

	code := a.call(t, http.MethodPost, "/message:send", sendBody(session, text, now), &out)

	return out.Task, code
}

func sendBody(session, text string, now bool) string {
	return fmt.Sprintf(`{"message":{"messageId":"m","role":"ROLE_USER","contextId":%q,"parts":[{"text":%q}]},"configuration":{"returnImmediately":%t}}`, session, text, now)
}

// eventually polls until a task is in a state.
func (a *agent) eventually(t *testing.T, id, state string) task {
	t.Helper()

	for late := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		var got task
		if a.call(t, http.MethodGet, "/tasks/"+id, "", &got); got.Status.State == state {
			return got
		}

		if time.Now().After(late) {
			t.Fatalf("task %s is %s and does not become %s", id, got.Status.State, state)
		}
	}
}

func said(t task) string {
	if len(t.Artifacts) == 0 {
		return ""
	}

	return message{Parts: t.Artifacts[0].Parts}.text()
}
