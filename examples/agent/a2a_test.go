package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What is refused, in the form of A2A's HTTP binding.
func TestRefusals(t *testing.T) {
	a := startAgent(t, newFakeModel(t, false), t.TempDir())
	done, _ := a.tell(t, "s", "done", false)

	const ok = `{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"x"}]}}`

	cases := map[string]struct {
		reason             string
		method, path, body string
		version            string
		code               int
		status, why        string
	}{
		"NoJSON":        {reason: "A body is JSON.", path: "/message:send", body: "x", code: 400, status: "INVALID_ARGUMENT"},
		"NoID":          {reason: "A message has an id.", path: "/message:send", body: `{"message":{"role":"ROLE_USER","parts":[{"text":"x"}]}}`, code: 400, status: "INVALID_ARGUMENT"},
		"NoRole":        {reason: "A message is a user's.", path: "/message:send", body: `{"message":{"messageId":"m","parts":[{"text":"x"}]}}`, code: 400, status: "INVALID_ARGUMENT"},
		"NoText":        {reason: "A message says something.", path: "/message:send", body: `{"message":{"messageId":"m","role":"ROLE_USER","parts":[]}}`, code: 400, status: "INVALID_ARGUMENT"},
		"History":       {reason: "Nobody has less than no history.", path: "/message:send", body: strings.TrimSuffix(ok, "}") + `,"configuration":{"historyLength":-1}}`, code: 400, status: "INVALID_ARGUMENT"},
		"NotText":       {reason: "This agent reads no files.", path: "/message:send", body: `{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"url":"http://x"}]}}`, code: 400, status: "INVALID_ARGUMENT", why: "CONTENT_TYPE_NOT_SUPPORTED"},
		"OldTask":       {reason: "A task that has ended is not continued.", path: "/message:send", body: strings.Replace(ok, `"role"`, `"taskId":"`+done.ID+`","role"`, 1), code: 400, status: "FAILED_PRECONDITION", why: "UNSUPPORTED_OPERATION"},
		"OtherTask":     {reason: "A task that is none is not found.", path: "/message:send", body: strings.Replace(ok, `"role"`, `"taskId":"none","role"`, 1), code: 404, status: "NOT_FOUND", why: "TASK_NOT_FOUND"},
		"Version":       {reason: "Who speaks another version is told.", path: "/message:send", body: ok, version: "0.3", code: 400, status: "FAILED_PRECONDITION", why: "VERSION_NOT_SUPPORTED"},
		"Get":           {reason: "There is no such task.", method: http.MethodGet, path: "/tasks/none", code: 404, status: "NOT_FOUND", why: "TASK_NOT_FOUND"},
		"GetHistory":    {reason: "A number is a number.", method: http.MethodGet, path: "/tasks/" + done.ID + "?historyLength=x", code: 400, status: "INVALID_ARGUMENT"},
		"Cancel":        {reason: "There is no such task.", path: "/tasks/none:cancel", code: 404, status: "NOT_FOUND", why: "TASK_NOT_FOUND"},
		"CancelOld":     {reason: "What has ended cannot be canceled.", path: "/tasks/" + done.ID + ":cancel", code: 400, status: "FAILED_PRECONDITION", why: "TASK_NOT_CANCELABLE"},
		"Stream":        {reason: "The card says that it does not stream.", path: "/message:stream", body: ok, code: 400, status: "FAILED_PRECONDITION", why: "UNSUPPORTED_OPERATION"},
		"Subscribe":     {reason: "As above.", method: http.MethodGet, path: "/tasks/" + done.ID + ":subscribe", code: 400, status: "FAILED_PRECONDITION", why: "UNSUPPORTED_OPERATION"},
		"SubscribePost": {reason: "As above.", path: "/tasks/" + done.ID + ":subscribe", code: 400, status: "FAILED_PRECONDITION", why: "UNSUPPORTED_OPERATION"},
		"Push":          {reason: "The card says that it does not push.", path: "/tasks/x/pushNotificationConfigs", code: 400, status: "FAILED_PRECONDITION", why: "PUSH_NOTIFICATION_NOT_SUPPORTED"},
		"PageSize":      {reason: "A page has 1 to 100 tasks.", method: http.MethodGet, path: "/tasks?pageSize=101", code: 400, status: "INVALID_ARGUMENT"},
		"NoPage":        {reason: "As above.", method: http.MethodGet, path: "/tasks?pageSize=0", code: 400, status: "INVALID_ARGUMENT"},
		"Token":         {reason: "A token is one that we gave.", method: http.MethodGet, path: "/tasks?pageToken=x", code: 400, status: "INVALID_ARGUMENT"},
		"Status":        {reason: "A state is one that there is.", method: http.MethodGet, path: "/tasks?status=working", code: 400, status: "INVALID_ARGUMENT"},
		"After":         {reason: "A time is a time.", method: http.MethodGet, path: "/tasks?statusTimestampAfter=now", code: 400, status: "INVALID_ARGUMENT"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.method == "" {
				tc.method = http.MethodPost
			}

			req := httptest.NewRequestWithContext(t.Context(), tc.method, tc.path, strings.NewReader(tc.body))
			if tc.version != "" {
				req.Header.Set("A2A-Version", tc.version)
			}

			rsp := httptest.NewRecorder()
			a.srv.Config.Handler.ServeHTTP(rsp, req)

			type detail struct{ Reason, Domain string }

			type refusal struct {
				Code    int
				Status  string
				Details []detail
			}

			var got struct{ Error refusal }
			decode(t, rsp.Body, &got)

			want := refusal{Code: tc.code, Status: tc.status}
			if tc.why != "" {
				want.Details = []detail{{tc.why, "a2a-protocol.org"}}
			}

			if diff := cmp.Diff(want, got.Error); diff != "" || rsp.Code != tc.code {
				t.Errorf("\n%s\n%s %s: %d, -want, +got:\n%s", tc.reason, tc.method, tc.path, rsp.Code, diff)
			}
		})
	}
}

// A page of tasks, as a client reads it.
type page struct {
	Tasks         []task
	NextPageToken *string
	PageSize      int
	TotalSize     *int
}

func TestListPages(t *testing.T) {
	a := startAgent(t, newFakeModel(t, false), t.TempDir())

	var want []string

	for i := range 5 {
		got, _ := a.tell(t, "s", fmt.Sprint(i), false)
		want = append([]string{got.ID}, want...)
		// The order is by time, and time has milliseconds.
		for now().Equal(got.Status.Timestamp) {
			time.Sleep(time.Millisecond)
		}
	}

	var got []string

	for token, n := "", 0; n < 3; n++ {
		var p page

		a.call(t, http.MethodGet, "/tasks?pageSize=2&pageToken="+token, "", &p)

		if p.TotalSize == nil || *p.TotalSize != 5+n || p.PageSize != 2 || p.NextPageToken == nil {
			t.Fatalf("a page without what it must have: %+v", p)
		}

		for _, task := range p.Tasks {
			got = append(got, task.ID)
		}

		// What is new between two pages does not shift the next.
		a.tell(t, "s", "more", false)

		if token = *p.NextPageToken; (token == "") != (n == 2) {
			t.Errorf("after page %d comes %q", n, token)
		}
	}

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("all pages: -want, +got:\n%s", diff)
	}
}

func TestListFilters(t *testing.T) {
	m := newFakeModel(t, true)
	a := startAgent(t, m, t.TempDir())

	running, _ := a.tell(t, "s1", "run", true)
	a.eventually(t, running.ID, stateWorking)
	a.tell(t, "s2", "wait", true)
	a.tell(t, "s1", "wait", true)

	cases := map[string]struct {
		reason string
		query  string
		total  int
		tasks  int
	}{
		"All":      {reason: "Without a filter all are there.", total: 3, tasks: 3},
		"Waiting":  {reason: "What waits is counted, whatever the page.", query: "status=TASK_STATE_SUBMITTED&pageSize=1", total: 2, tasks: 1},
		"Running":  {reason: "What runs is not what waits.", query: "status=TASK_STATE_WORKING", total: 1, tasks: 1},
		"Finished": {reason: "Nothing is an empty list and not null.", query: "status=TASK_STATE_COMPLETED"},
		"Session":  {reason: "A conversation's tasks can be told apart.", query: "contextId=s1", total: 2, tasks: 2},
		"Later":    {reason: "Nothing changed in the future.", query: "statusTimestampAfter=2999-01-01T00:00:00Z"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var p page

			a.call(t, http.MethodGet, "/tasks?"+tc.query, "", &p)

			if p.Tasks == nil || len(p.Tasks) != tc.tasks || *p.TotalSize != tc.total {
				t.Errorf("\n%s\n%d tasks of %d, want %d of %d", tc.reason, len(p.Tasks), *p.TotalSize, tc.tasks, tc.total)
			}
		})
	}
}

// Lists leave out what a task made, unless asked for it; a history is as long as it was asked to be.
func TestListContents(t *testing.T) {
	a := startAgent(t, newFakeModel(t, false), t.TempDir())
	done, _ := a.tell(t, "s", "hello", false)

	var short, long, bare string

	a.call(t, http.MethodGet, "/tasks", "", &short)
	a.call(t, http.MethodGet, "/tasks?includeArtifacts=true", "", &long)
	a.call(t, http.MethodGet, "/tasks/"+done.ID+"?historyLength=0", "", &bare)

	if strings.Contains(short, "artifacts") || !strings.Contains(long, "you said hello") || strings.Contains(bare, "history") {
		t.Errorf("a list: %s\nwith artifacts: %s\nwithout history: %s", short, long, bare)
	}
}

func TestCard(t *testing.T) {
	a := startAgent(t, newFakeModel(t, false), t.TempDir())

	var card struct {
		Name                string
		SupportedInterfaces []struct{ URL, ProtocolBinding, ProtocolVersion string }
	}
	if code := a.call(t, http.MethodGet, "/.well-known/agent-card.json", "", &card); code != http.StatusOK {
		t.Fatal(code)
	}

	if i := card.SupportedInterfaces[0]; i.URL != a.url || i.ProtocolBinding != "HTTP+JSON" || i.ProtocolVersion != "1.0" {
		t.Errorf("the card says %+v", i)
	}

	rsp := httptest.NewRecorder()
	handler(a.w, "https://agents.example.org/coder").ServeHTTP(rsp, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/.well-known/agent-card.json", nil))

	if b, _ := io.ReadAll(rsp.Body); !strings.Contains(string(b), "https://agents.example.org/coder") {
		t.Errorf("the card does not say where the agent was told it is: %s", b)
	}
}
