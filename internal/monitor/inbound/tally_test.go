package inbound

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A tallied agent is what was counted of it.
type tallied struct {
	Unfinished, InFlight, Waits int64
	Err                         string
}

func countOf(ctx context.Context, t *Tally) tallied {
	var (
		c   tallied
		err error
	)

	if c.Unfinished, c.InFlight, c.Waits, err = t.Count(ctx); err != nil {
		c.Err = err.Error()
	}

	return c
}

func never() bool { return false }

// seeing puts a proxy before an agent that began after it. Its time stands still.
func seeing(t *testing.T, agent http.HandlerFunc) (*Proxy, string) {
	t.Helper()

	p, url := serve(t, monitorapi.InboundA2A, never, agent)
	now := time.Now()
	p.tally.now, p.tally.blind = func() time.Time { return now }, time.Time{}

	return p, url
}

func answers(typ string, code int, body string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", typ)
		rw.WriteHeader(code)
		fmt.Fprint(rw, body)
	}
}

const (
	plainJSON = "application/json"
	a2aJSON   = "application/a2a+json; charset=utf-8"
	events    = "text/event-stream"

	toREST  = `{"message":{"messageId":"m"}}`
	toRPC   = `{"jsonrpc":"2.0","id":"req","method":"SendMessage","params":{"message":{}}}`
	toOld   = `{"jsonrpc":"2.0","id":1,"method":"message/send","params":{"message":{}}}`
	blinded = "the inbound proxy may not have seen all of its tasks: "
)

// A task is what it was once the agent has refused the messages that would have gone on with it.
func TestTallyOfRefusals(t *testing.T) {
	k := kind{task: true, a2a: true, on: "t", from: origin{path: "/rpc", rpc: "GetTask"}}
	begin := func(tally *Tally) *listener { return tally.listen(k) }
	refused := func(l *listener) {
		l.answered(&http.Response{StatusCode: http.StatusUnauthorized})
		l.end()
	}
	taken := func(l *listener) {
		l.answered(&http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/plain"}}})
		l.end()
	}

	cases := map[string]struct {
		reason string
		do     func(*Tally)
		want   tallied
	}{
		"Open":         {"Until there is an answer the agent may work.", func(y *Tally) { begin(y) }, tallied{1, 1, 0, ""}},
		"Waiting":      {"It waits for its client as before.", func(y *Tally) { y.hear("t", waiting, k.from); refused(begin(y)) }, tallied{Waits: 1}},
		"Ended":        {"It has ended as before.", func(y *Tally) { y.hear("t", waiting, k.from); y.hear("t", ended, k.from); refused(begin(y)) }, tallied{}},
		"Both":         {"Two messages may be refused in any order.", func(y *Tally) { a, b := begin(y), begin(y); refused(a); refused(b) }, tallied{}},
		"BothBackward": {"Two messages may be refused in any order.", func(y *Tally) { a, b := begin(y), begin(y); refused(b); refused(a) }, tallied{}},
		"OneTaken":     {"One that was taken is worked on, whatever becomes of others.", func(y *Tally) { a, b := begin(y), begin(y); taken(a); refused(b) }, tallied{1, 1, 0, ""}},
		"Told":         {"What the agent has told since is so.", func(y *Tally) { l := begin(y); y.hear("t", waiting, k.from); refused(l) }, tallied{Waits: 1}},
		"ToldEnd":      {"So is that it has ended.", func(y *Tally) { l := begin(y); y.hear("t", ended, k.from); refused(l) }, tallied{}},
		"Unreachable": {"An agent that does not listen has taken nothing.", func(y *Tally) {
			l := begin(y)
			r := httptest.NewRequest(http.MethodPost, "/rpc", nil)
			agentError(httptest.NewRecorder(), r.WithContext(context.WithValue(r.Context(), listenerKey{}, l)), &net.OpError{Op: "dial", Err: io.EOF})
			l.end()
		}, tallied{}},
		"BrokenOff": {"One that breaks off may have.", func(y *Tally) { begin(y).end() }, tallied{1, 1, 0, ""}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			tally := &Tally{now: func() time.Time { return now }, tasks: map[string]*task{}, room: &room{}}
			tc.do(tally)

			if diff := cmp.Diff(tc.want, countOf(t.Context(), tally)); diff != "" {
				t.Errorf("\n%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// However many clients send how much, and however slowly, what is kept of it has a bound, and is given back.
func TestRoom(t *testing.T) {
	const clients = 40

	release := make(chan struct{})
	p, url := serve(t, monitorapi.InboundA2A, never, func(rw http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body) // The test sees what is missing.
		rw.Header().Set("Content-Type", plainJSON)
		fmt.Fprintf(rw, `{"artifact":"%s","got":%d}`, strings.Repeat("x", longestAnswer/2), n)
	})

	long := `{"message":{"parts":"` + strings.Repeat("x", longestPeek-1<<10)
	ends := make(chan error, clients)

	for range clients {
		go func() {
			body := io.MultiReader(strings.NewReader(long), readFunc(func([]byte) (int, error) {
				<-release

				return 0, io.EOF
			}), strings.NewReader(`"}}`))

			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/message:send", io.NopCloser(body))
			if err != nil {
				ends <- err

				return
			}

			rsp, err := http.DefaultClient.Do(req)
			if err != nil {
				ends <- err

				return
			}
			defer rsp.Body.Close()

			b, err := io.ReadAll(rsp.Body)
			if want := fmt.Sprintf(`"got":%d}`, len(long)+3); err == nil && !strings.HasSuffix(string(b), want) {
				err = fmt.Errorf("the agent got something else: %.100q", b[max(0, len(b)-100):])
			}

			ends <- err
		}()
	}

	// All of it has come, or is held up for want of room.
	for deadline := time.Now().Add(20 * time.Second); p.room.held.Load() < mostHeld/2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("only %d bytes are held", p.room.held.Load())
		}
	}

	close(release)

	for range clients {
		if err := <-ends; err != nil {
			t.Error(err)
		}

		if held := p.room.held.Load(); held > mostHeld {
			t.Errorf("%d bytes are held", held)
		}
	}

	for deadline := time.Now().Add(20 * time.Second); p.room.held.Load() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes were not given back", p.room.held.Load())
		}
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(b []byte) (int, error) { return f(b) }

// What an agent tells its clients of its tasks, in the bindings and versions of A2A, is what is counted; and what cannot be
// read is not zero.
func TestTally(t *testing.T) {
	unread := tallied{Err: blinded + "the answer to a message did not come whole, or could not be read"}
	long := strings.Repeat("x", longestAnswer)

	cases := map[string]struct {
		reason, method, path, body string
		agent                      http.HandlerFunc
		want                       tallied
	}{
		"RESTSubmitted": {reason: "A task that waits for the agent.", path: "/message:send", body: toREST, agent: answers(a2aJSON, 200, `{"task":{"id":"t","status":{"state":"TASK_STATE_SUBMITTED"}}}`), want: tallied{Unfinished: 1}},
		"RESTWorking":   {reason: "A task that it works on.", path: "/v1/message:send", body: toREST, agent: answers(plainJSON, 201, `{"task":{"id":"t","status":{"state":"TASK_STATE_WORKING"}}}`), want: tallied{1, 1, 0, ""}},
		"RESTDone":      {reason: "A task that has ended.", path: "/message:send", body: toREST, agent: answers(a2aJSON, 200, `{"task":{"id":"t","status":{"state":"TASK_STATE_COMPLETED"}}}`)},
		"RESTMessage":   {reason: "An answer without a task.", path: "/message:send", body: toREST, agent: answers(a2aJSON, 200, `{"message":{"messageId":"m","parts":[]}}`)},
		"RESTAuth":      {reason: "A task that waits for somebody else.", path: "/message:send", body: toREST, agent: answers(a2aJSON, 200, `{"task":{"id":"t","status":{"state":"TASK_STATE_AUTH_REQUIRED"}}}`), want: tallied{Waits: 1}},
		"RPCWorking":    {reason: "JSON-RPC has an envelope, whose id is not a task's.", path: "/rpc", body: toRPC, agent: answers(plainJSON, 200, `{"jsonrpc":"2.0","id":"req","result":{"task":{"id":"t","status":{"state":"TASK_STATE_WORKING"}}}}`), want: tallied{1, 1, 0, ""}},
		"OldInput":      {reason: "0.3 writes states in another way, and tasks without an envelope of their own.", path: "/", body: toOld, agent: answers(plainJSON, 200, `{"jsonrpc":"2.0","id":1,"result":{"kind":"task","id":"t","status":{"state":"input-required"}}}`), want: tallied{Waits: 1}},
		"OldCanceled":   {reason: "0.3 by HTTP has a spelling of its own.", path: "/v1/message:send", body: toREST, agent: answers(plainJSON, 200, `{"task":{"id":"t","status":{"state":"TASK_STATE_CANCELLED"}}}`)},
		"OldUnknown":    {reason: "A state that nobody knows is not the end.", path: "/", body: toOld, agent: answers(plainJSON, 200, `{"jsonrpc":"2.0","id":1,"result":{"kind":"task","id":"t","status":{"state":"unknown"}}}`), want: tallied{1, 1, 0, ""}},
		"RPCError":      {reason: "An error begins nothing.", path: "/", body: toRPC, agent: answers(plainJSON, 200, `{"jsonrpc":"2.0","id":"req","error":{"code":-32602,"message":"no"}}`)},
		"Refused":       {reason: "A refusal neither.", path: "/message:send", body: toREST, agent: answers("text/html", 500, `<p>no`)},
		"Stream":        {reason: "A stream tells a task's states one by one.", path: "/message:stream", body: toREST, agent: answers(events, 200, "data: {\"task\":{\"id\":\"t\",\"status\":{\"state\":\"TASK_STATE_SUBMITTED\"}}}\n\ndata: {\"statusUpdate\":{\"taskId\":\"t\",\"status\":{\"state\":\"TASK_STATE_INPUT_REQUIRED\"}}}\n\n"), want: tallied{Waits: 1}},
		"StreamLines":   {reason: "An event's data may have lines, comments between, and CRLF.", path: "/message:stream", body: toREST, agent: answers(events, 200, ": hi\r\nevent: x\r\ndata: {\"task\":{\"id\":\"t\",\r\ndata: \"status\":{\"state\":\"TASK_STATE_WORKING\"}}}\r\n\r\n"), want: tallied{1, 1, 0, ""}},
		"OldStream":     {reason: "0.3's updates have no envelope.", path: "/", body: `{"id":1,"method":"message/stream","params":{"message":{}}}`, agent: answers(events, 200, "data: {\"id\":1,\"result\":{\"kind\":\"status-update\",\"taskId\":\"t\",\"status\":{\"state\":\"working\"}}}\n\n"), want: tallied{1, 1, 0, ""}},
		"LongEvent":     {reason: "An event that is too long is not the last.", path: "/message:stream", body: toREST, agent: answers(events, 200, "data: {\"artifactUpdate\":\""+long+"\"}\n\ndata: {\"statusUpdate\":{\"taskId\":\"t\",\"status\":{\"state\":\"TASK_STATE_WORKING\"}}}\n\n"), want: tallied{1, 1, 0, ""}},
		"OnlyLong":      {reason: "But one that was not read may have named a task.", path: "/message:stream", body: toREST, agent: answers(events, 200, "data: {\"task\":\""+long+"\"}\n\n"), want: unread},
		"Long":          {reason: "Nor is an answer read that is too long.", path: "/message:send", body: toREST, agent: answers(a2aJSON, 200, `{"task":{"id":"`+long+`"}}`), want: unread},
		"Broken":        {reason: "An answer that is no JSON may have begun a task.", path: "/message:send", body: toREST, agent: answers(a2aJSON, 200, `{"task`), want: unread},
		"OtherType":     {reason: "So may one of another kind.", path: "/message:send", body: toREST, agent: answers("text/plain", 200, `ok`), want: unread},
		"Zipped": {reason: "So may one that is compressed though nobody asked for that.", path: "/message:send", body: toREST, agent: func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Encoding", "br")
			fmt.Fprint(rw, "x")
		}, want: unread},
		"BrokenOff": {reason: "So may one that broke off.", path: "/message:send", body: toREST, agent: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, want: unread},
		"LongName":  {reason: "A name has a bound.", path: "/message:send", body: toREST, agent: answers(a2aJSON, 200, `{"task":{"id":"`+strings.Repeat("n", longestName+1)+`","status":{"state":"TASK_STATE_WORKING"}}}`), want: tallied{Err: blinded + "its tasks have names that are too long to be kept"}},
		"Get":       {reason: "A client that asks hears of its task.", method: http.MethodGet, path: "/tasks/t", agent: answers(a2aJSON, 200, `{"id":"t","status":{"state":"TASK_STATE_WORKING"}}`), want: tallied{1, 1, 0, ""}},
		"GetPlain":  {reason: "What else it hears says nothing of tasks.", method: http.MethodGet, path: "/.well-known/agent-card.json", agent: answers("text/html", 200, `x`)},
		"List":      {reason: "So does one that asks for all.", method: http.MethodGet, path: "/tasks", agent: answers(a2aJSON, 200, `{"tasks":[{"id":"a","status":{"state":"TASK_STATE_WORKING"}},{"id":"b","status":{"state":"TASK_STATE_SUBMITTED"}},{"id":"c","status":{"state":"TASK_STATE_FAILED"}}]}`), want: tallied{2, 1, 0, ""}},
		"OnRefused": {reason: "Unless the agent refuses: strangers may name tasks.", path: "/message:send", body: `{"message":{"taskId":"t"}}`, agent: answers(plainJSON, 401, `{}`)},
		"OnError":   {reason: "It may do so by JSON-RPC.", path: "/", body: `{"id":1,"method":"SendMessage","params":{"message":{"taskId":"t"}}}`, agent: answers(plainJSON, 200, `{"id":1,"error":{"code":-32001,"message":"no such task"}}`)},
		"On":        {reason: "A task that is gone on with is worked on, whatever the answer is.", path: "/message:send", body: `{"message":{"taskId":"t"}}`, agent: answers("text/plain", 200, `ok`), want: tallied{1, 1, 0, ""}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			p, url := seeing(t, tc.agent)

			method := tc.method
			if method == "" {
				method = http.MethodPost
			}

			direct := httptest.NewServer(tc.agent)
			t.Cleanup(direct.Close)

			if name != "BrokenOff" {
				want, wantBody, _ := send(t.Context(), t, method, direct.URL+tc.path, tc.body)
				if got, body, _ := send(t.Context(), t, method, url+tc.path, tc.body); got != want || body != wantBody {
					t.Errorf("the answer was changed: %d %.100q, want %d %.100q", got, body, want, wantBody)
				}
			} else {
				send(t.Context(), t, method, url+tc.path, tc.body)
			}

			noneOpen(t, p)

			if diff := cmp.Diff(tc.want, countOf(t.Context(), p.tally)); diff != "" {
				t.Errorf("\n%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// A message is worked on as long as it is open and its task has no name, and once as long as it has one.
func TestTallyOfOpen(t *testing.T) {
	next := make(chan string)
	p, url := seeing(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", events)

		for s := range next {
			fmt.Fprint(rw, s)
			_ = http.NewResponseController(rw).Flush() // The test sees what does not come.
		}
	})

	becomes := func(want tallied) {
		t.Helper()

		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			got := countOf(t.Context(), p.tally)
			if got == want {
				return
			}

			if time.Now().After(deadline) {
				t.Fatalf("it does not become %+v but %+v", want, got)
			}
		}
	}

	done := make(chan struct{})

	go func() {
		defer close(done)
		send(t.Context(), t, http.MethodPost, url+"/message:stream", toREST)
	}()

	next <- ": begun\n\n"

	becomes(tallied{1, 1, 0, ""})

	next <- "data: {\"task\":{\"id\":\"t\",\"status\":{\"state\":\"TASK_STATE_SUBMITTED\"}}}\n\n"

	becomes(tallied{Unfinished: 1})

	next <- "data: {\"statusUpdate\":{\"taskId\":\"t\",\"status\":{\"state\":\"TASK_STATE_FAILED\"}}}\n\n"

	becomes(tallied{})
	close(next)
	<-done
	noneOpen(t, p)
	becomes(tallied{})
}

// A client that leaves before its task has a name leaves one that nobody can ask for. That is known to end only with the
// agent, or after long.
func TestTallyOfLeft(t *testing.T) {
	arrived := make(chan struct{})
	p, url := seeing(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // Only then it is noticed that the client leaves.

		close(arrived)
		<-r.Context().Done()
	})

	ctx, cancel := context.WithCancel(t.Context())

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/message:send", strings.NewReader(toREST))
	if err != nil {
		t.Fatal(err)
	}

	left := make(chan struct{})

	go func() {
		defer close(left)

		if rsp, err := http.DefaultClient.Do(req); err == nil {
			_ = rsp.Body.Close()

			t.Error("it was answered")
		}
	}()

	<-arrived
	cancel()
	<-left
	noneOpen(t, p)

	if got := countOf(t.Context(), p.tally); !strings.HasPrefix(got.Err, blinded) {
		t.Errorf("a task was forgotten: %+v", got)
	}

	p.tally.now = func() time.Time { return time.Now().Add(blindness) }

	if diff := cmp.Diff(tallied{}, countOf(t.Context(), p.tally)); diff != "" {
		t.Errorf("after long: -want, +got:\n%s", diff)
	}
}

// A tally that began beside an agent that ran knows nothing of its tasks until that agent has ended.
func TestTallyOfRestart(t *testing.T) {
	up := httptest.NewServer(http.NotFoundHandler())
	defer up.Close()

	p, err := New(up.URL, monitorapi.InboundA2A, never, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}

	defer p.Close()

	if got := countOf(t.Context(), p.tally); got.Err != blinded+"the agent ran before its monitor" {
		t.Errorf("beside an agent that ran: %+v", got)
	}

	p.tally.look(t.Context())

	if got := countOf(t.Context(), p.tally); got.Err == "" {
		t.Errorf("beside an agent that still runs: %+v", got)
	}

	up.Close()

	ctx, cancel := context.WithCancel(t.Context())
	ran := make(chan struct{})

	go func() { defer close(ran); p.tally.Run(ctx) }()

	for deadline := time.Now().Add(10 * time.Second); countOf(t.Context(), p.tally) != (tallied{}); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("an agent that has ended is taken to go on")
		}
	}

	cancel()
	<-ran

	// One that begins after its monitor has told it all.
	before, err := New(up.URL, monitorapi.InboundA2A, never, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(tallied{}, countOf(t.Context(), before.tally)); diff != "" {
		t.Errorf("of an agent that is yet to begin: -want, +got:\n%s", diff)
	}
}

// An agent is asked for the tasks that nothing was heard of, in the way in which they were heard of, and no more of them at
// once than it can bear.
func TestTallyAsks(t *testing.T) {
	cases := map[string]struct {
		reason, path, body string
		told               string
		// asks is how the agent is asked, and answer how it answers.
		asks, answer string
		code         int
		want         tallied
		// after is when, where that is not askAfter.
		after time.Duration
	}{
		"REST": {
			reason: "A task that has ended is forgotten.", path: "/team/message:send", body: toREST, told: `{"task":{"id":"a/b","status":{"state":"TASK_STATE_WORKING"}}}`,
			asks: "GET /team/tasks/a%2Fb?historyLength=0 1.0 ", answer: `{"id":"a/b","status":{"state":"TASK_STATE_CANCELED"}}`, code: 200,
		},
		"RESTGone":    {reason: "A task that the agent does not know has.", path: "/message:send", body: toREST, told: `{"task":{"id":"t","status":{"state":"TASK_STATE_WORKING"}}}`, asks: "GET /tasks/t?historyLength=0 1.0 ", code: 404},
		"RESTSecret":  {reason: "Of a task that it does not tell of nothing new is known.", path: "/message:send", body: toREST, told: `{"task":{"id":"t","status":{"state":"TASK_STATE_WORKING"}}}`, asks: "GET /tasks/t?historyLength=0 1.0 ", code: 401, want: tallied{1, 1, 0, ""}},
		"RPC":         {reason: "JSON-RPC asks its own way.", path: "/rpc", body: toRPC, told: `{"id":"req","result":{"task":{"id":"t","status":{"state":"TASK_STATE_WORKING"}}}}`, asks: `POST /rpc 1.0 {"id":1,"jsonrpc":"2.0","method":"GetTask","params":{"historyLength":0,"id":"t"}}`, answer: `{"id":1,"result":{"id":"t","status":{"state":"TASK_STATE_INPUT_REQUIRED"}}}`, code: 200, want: tallied{Waits: 1}},
		"Old":         {reason: "So does 0.3.", path: "/", body: toOld, told: `{"id":1,"result":{"id":"t","status":{"state":"working"}}}`, asks: `POST / 1.0 {"id":1,"jsonrpc":"2.0","method":"tasks/get","params":{"historyLength":0,"id":"t"}}`, answer: `{"id":1,"error":{"code":-32001}}`, code: 200},
		"RPCBegan":    {reason: "A task that waited for the agent is asked for soon, because it may have begun.", path: "/", body: toRPC, told: `{"id":"req","result":{"task":{"id":"t","status":{"state":"TASK_STATE_SUBMITTED"}}}}`, asks: `POST / 1.0 {"id":1,"jsonrpc":"2.0","method":"GetTask","params":{"historyLength":0,"id":"t"}}`, answer: `{"id":1,"result":{"id":"t","status":{"state":"TASK_STATE_WORKING"}}}`, code: 200, want: tallied{1, 1, 0, ""}, after: askIdleAfter},
		"RPCWaits":    {reason: "It may still wait.", path: "/", body: toRPC, told: `{"id":"req","result":{"task":{"id":"t","status":{"state":"TASK_STATE_SUBMITTED"}}}}`, asks: `POST / 1.0 {"id":1,"jsonrpc":"2.0","method":"GetTask","params":{"historyLength":0,"id":"t"}}`, answer: `{"id":1,"result":{"id":"t","status":{"state":"TASK_STATE_SUBMITTED"}}}`, code: 200, want: tallied{Unfinished: 1}, after: askIdleAfter},
		"RPCNotTold":  {reason: "If the agent does not say, it is taken to have begun.", path: "/", body: toRPC, told: `{"id":"req","result":{"task":{"id":"t","status":{"state":"TASK_STATE_SUBMITTED"}}}}`, asks: `POST / 1.0 {"id":1,"jsonrpc":"2.0","method":"GetTask","params":{"historyLength":0,"id":"t"}}`, answer: `{}`, code: 403, want: tallied{1, 1, 0, ""}, after: askIdleAfter + 1},
		"RPCNoMethod": {reason: "An agent that has no such method knows its tasks all the same.", path: "/", body: toOld, told: `{"id":1,"result":{"id":"t","status":{"state":"working"}}}`, asks: `POST / 1.0 {"id":1,"jsonrpc":"2.0","method":"tasks/get","params":{"historyLength":0,"id":"t"}}`, answer: `{"id":1,"error":{"code":-32601}}`, code: 404, want: tallied{1, 1, 0, ""}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			asked := make(chan string, 2)
			told := false
			p, url := seeing(t, func(rw http.ResponseWriter, r *http.Request) {
				if !told {
					told = true

					answers(plainJSON, 200, tc.told)(rw, r)

					return
				}

				b, _ := io.ReadAll(r.Body) // What is missing is seen.
				asked <- fmt.Sprintf("%s %s %s %s", r.Method, r.RequestURI, r.Header.Get("A2A-Version"), b)

				answers(plainJSON, tc.code, tc.answer)(rw, r)
			})

			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+tc.path, strings.NewReader(tc.body))
			if err != nil {
				t.Fatal(err)
			}

			req.Header.Set("A2A-Version", "1.0")

			rsp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}

			_, _ = io.Copy(io.Discard, rsp.Body)
			_ = rsp.Body.Close()

			noneOpen(t, p)

			if got := countOf(t.Context(), p.tally); got.Unfinished != 1 || len(asked) > 0 {
				t.Fatalf("%+v, and it was asked %d times at once", got, len(asked))
			}

			if tc.after == 0 {
				tc.after = askAfter
			}

			p.tally.now = func() time.Time { return time.Now().Add(tc.after) }

			got := countOf(t.Context(), p.tally)
			if diff := cmp.Diff(tc.asks, <-asked); diff != "" {
				t.Errorf("\n%s\nit was asked: -want, +got:\n%s", tc.reason, diff)
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\n%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// There is a bound to what is kept, and to what is asked at once; beyond the first the count is unknown, and all are asked for
// in turn within the second.
func TestTallyBounds(t *testing.T) {
	p, _ := seeing(t, http.NotFound)

	for n := range mostTasks {
		p.tally.hear(fmt.Sprint(n), working, origin{})
	}

	if diff := cmp.Diff(tallied{mostTasks, mostTasks, 0, ""}, countOf(t.Context(), p.tally)); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}

	p.tally.hear("one more", working, origin{})

	if got := countOf(t.Context(), p.tally); got.Err != blinded+"it has more tasks than can be kept" || len(p.tally.tasks) != mostTasks {
		t.Errorf("with one more: %+v, %d kept", got, len(p.tally.tasks))
	}

	p.tally.blind = time.Time{}
	p.tally.now = func() time.Time { return time.Now().Add(askAfter) }

	if diff := cmp.Diff(tallied{mostTasks - mostAsked, mostTasks - mostAsked, 0, ""}, countOf(t.Context(), p.tally)); diff != "" {
		t.Errorf("after one round: -want, +got:\n%s", diff)
	}
}
