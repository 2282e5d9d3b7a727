package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// While the monitor drains the worker, the agent takes nothing new, finishes what runs, and keeps what waits; when that is
// withdrawn it goes on where it was.
func TestDrainHook(t *testing.T) {
	m := newFakeModel(t, true)
	a := startAgent(t, m, t.TempDir())

	tell := func(body string) {
		t.Helper()

		var said string
		if code := a.call(t, http.MethodPost, "/drain", body, &said); code != http.StatusNoContent {
			t.Fatalf("the hook answers %d %s", code, said)
		}
	}

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

	tell(`{"drain":true,"id":"d1","deadline":"2026-01-02T03:04:05Z"}`)
	tell(`{"drain":true,"id":"d1","deadline":"2026-01-02T03:04:05Z"}`)

	// No request is open for a task that does not begin: the monitor would wait for it.
	kept := <-waited
	if kept.Status.State != stateSubmitted {
		t.Errorf("a task that waits when the drain begins is %s", kept.Status.State)
	}

	if _, code := a.tell(t, "s3", "new", true); code != http.StatusServiceUnavailable {
		t.Errorf("a draining agent took a task: %d", code)
	}

	m.gate <- struct{}{}
	a.eventually(t, running.ID, stateCompleted)

	if len(m.asked) != 1 || a.w.running() != 0 || a.w.unfinished() != 1 {
		t.Errorf("the model was asked %d times, %d tasks run and %d are unfinished", len(m.asked), a.w.running(), a.w.unfinished())
	}

	tell(`{"drain":false}`)

	m.gate <- struct{}{}
	a.eventually(t, kept.ID, stateCompleted)

	if got, code := a.tell(t, "s3", "new", true); code != http.StatusOK || got.ID == "" {
		t.Errorf("an agent whose drain was withdrawn took no task: %d", code)
	}
}

// Nobody else drains an agent.
func TestDrainHookRefuses(t *testing.T) {
	cases := map[string]struct {
		reason, from, forwarded, body string
		want                          int
	}{
		"Monitor":   {reason: "The monitor is on loopback.", from: "127.0.0.1:1", body: `{"drain":true}`, want: http.StatusNoContent},
		"Monitor6":  {reason: "Also by IPv6.", from: "[::1]:1", body: `{"drain":false}`, want: http.StatusNoContent},
		"Elsewhere": {reason: "Another pod is not.", from: "192.0.2.1:1", body: `{"drain":true}`, want: http.StatusForbidden},
		"Through":   {reason: "Nor a client that comes through the monitor.", from: "127.0.0.1:1", forwarded: "192.0.2.1", body: `{"drain":true}`, want: http.StatusForbidden},
		"Nowhere":   {reason: "Nor one of whom nothing is known.", body: `{"drain":true}`, want: http.StatusForbidden},
		"NotSaid":   {reason: "A call says what is to be done.", from: "127.0.0.1:1", body: `{}`, want: http.StatusBadRequest},
		"NotJSON":   {reason: "In JSON.", from: "127.0.0.1:1", body: `drain`, want: http.StatusBadRequest},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			a := startAgent(t, newFakeModel(t, false), t.TempDir())
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/drain", strings.NewReader(tc.body))

			if req.RemoteAddr = tc.from; tc.forwarded != "" {
				req.Header.Set("X-Forwarded-For", tc.forwarded)
			}

			rsp := httptest.NewRecorder()
			a.srv.Config.Handler.ServeHTTP(rsp, req)

			if rsp.Code != tc.want {
				t.Errorf("\n%s\n%d %s, want %d", tc.reason, rsp.Code, rsp.Body, tc.want)
			}
		})
	}
}
