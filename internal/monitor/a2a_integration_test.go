//go:build integration

package monitor

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/internal/monitor/tasks"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// freePort returns an address that nobody listens at.
func freePort(t *testing.T) string {
	t.Helper()

	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	defer lis.Close()

	return lis.Addr().String()
}

// An a2aProgram is one of testdata's, to which lines are written and from which lines are read.
type a2aProgram struct {
	in  io.Writer
	out *bufio.Scanner
}

// startA2A starts a program of testdata and waits for its first line.
func startA2A(t *testing.T, program string, args ...string) *a2aProgram {
	t.Helper()

	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	cmd := exec.CommandContext(ctx, "node", append([]string{filepath.Join("testdata", program), clientLibraries(t)}, args...)...)
	cmd.Stderr = os.Stderr

	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}

	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		cancel()

		_ = cmd.Wait() // It was killed.
	})

	p := &a2aProgram{in: in, out: bufio.NewScanner(out)}
	p.out.Buffer(nil, 16<<20)

	if !p.out.Scan() {
		t.Fatalf("%s (node 20 is needed) said nothing: %v", program, p.out.Err())
	}

	return p
}

// call has a client do something, and returns what it got.
func (p *a2aProgram) call(t *testing.T, call string, args ...any) string {
	t.Helper()

	line := map[string]any{"call": call}
	for i := 0; i < len(args); i += 2 {
		line[args[i].(string)] = args[i+1]
	}

	b, err := json.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}

	if _, err := fmt.Fprintf(p.in, "%s\n", b); err != nil {
		t.Fatal(err)
	}

	if !p.out.Scan() {
		t.Fatalf("the client said nothing of %s: %v", b, p.out.Err())
	}

	return p.out.Text()
}

// begun returns the id of the task in what a client got.
func begun(t *testing.T, got string) string {
	t.Helper()

	id := regexp.MustCompile(`"contextId":"[^"]+","status"|"(?:taskId|id)":"([0-9a-f-]{36})"`).FindAllStringSubmatch(got, -1)
	for _, m := range id {
		if m[1] != "" {
			return m[1]
		}
	}

	t.Fatalf("there is no task in %s", got)

	return ""
}

// same makes the same of two runs of the same: ids by the order in which they came, and no times.
func same(lines []string) []string {
	names := map[string]string{}
	uuid := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	at := regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)

	out := make([]string, 0, len(lines))
	for _, l := range lines {
		out = append(out, at.ReplaceAllString(uuid.ReplaceAllStringFunc(l, func(id string) string {
			if names[id] == "" {
				names[id] = fmt.Sprintf("id-%d", len(names))
			}

			return names[id]
		}), "a-time"))
	}

	return out
}

// everything is what a client can do with an agent, and what it got.
func everything(t *testing.T, c *a2aProgram, server string) []string {
	t.Helper()

	asked := c.call(t, "send", "say", "ask me")
	out := []string{c.call(t, "card"), c.call(t, "send", "say", "say hi"), c.call(t, "send", "say", "work"), c.call(t, "open", "say", "work on"), c.call(t, "finish"), asked}

	waits := begun(t, asked)
	out = append(out, c.call(t, "send", "say", "work then", "task", waits), c.call(t, "get", "task", waits), c.call(t, "cancel", "task", waits), c.call(t, "get", "task", "nobody's"))

	held := begun(t, c.call(t, "open", "say", "hold", "until", 2))
	// The stream of the second subscription ends with the task.
	out = append(out, c.call(t, "again", "task", held), c.call(t, "cancel", "task", held), c.call(t, "finish"), c.call(t, "get", "task", held))

	c.call(t, "open", "say", "hold too", "until", 2)
	requestOf(t, http.MethodPost, server+"/release", nil)

	return append(out, c.call(t, "finish"))
}

// requestOf asks for JSON.
func requestOf(t *testing.T, method, url string, into any) {
	t.Helper()

	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}

	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()

	b, err := io.ReadAll(rsp.Body)
	if err == nil && into != nil {
		err = json.Unmarshal(b, into)
	}

	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
}

// figures are a worker's tasks, as its agent has them and as its monitor tells them.
type figures struct{ QueueDepth, InFlight, WaitingForInput int64 }

// tasksBecome waits until a monitor tells the figures that the agent has.
func tasksBecome(t *testing.T, monitor, server string, want figures, says string) {
	t.Helper()

	var (
		truth figures
		s     monitorapi.Status
	)

	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		truth, s = figures{}, monitorapi.Status{}
		requestOf(t, http.MethodGet, server+"/truth", &truth)
		requestOf(t, http.MethodGet, monitor+monitorapi.PathStatus, &s)

		got := s.Tasks
		if truth == want && got.Known && got.QueueDepth != nil && got.WaitingForInput != nil && strings.HasPrefix(got.Reason, says) &&
			(figures{*got.QueueDepth, *got.InFlight, *got.WaitingForInput}) == want {
			return
		}

		if time.Now().After(deadline) {
			b, _ := json.Marshal(s)
			t.Fatalf("want %+v (%s), the agent has %+v, and the monitor says %s", want, says, truth, b)
		}
	}
}

// What a client of the A2A library gets of an agent made with it is the same through the inbound proxy and without; the tasks
// that are told are those that the agent has, whether it can list them or not; and while the worker drains new tasks are
// refused, and those that are there can be asked for and followed to their end.
func TestA2AClients(t *testing.T) {
	counted := "counted at the inbound proxy, because the agent cannot list its tasks"

	cases := map[string]struct {
		reason     string
		interfaces []string
		client     string
		says       string
	}{
		"REST":      {reason: "A2A 1.0 by HTTP.", interfaces: []string{"rest", "rpc"}, client: "rest"},
		"RPC":       {reason: "A2A 1.0 by JSON-RPC, of an agent that lists its tasks by HTTP.", interfaces: []string{"rest", "rpc"}, client: "rpc"},
		"RPCOnly":   {reason: "By JSON-RPC alone there is no ListTasks by HTTP.", interfaces: []string{"rpc"}, client: "rpc", says: counted},
		"RESTOfOld": {reason: "A2A 0.3 cannot list tasks.", interfaces: []string{"rest03", "rpc03"}, client: "rest03", says: counted},
		"RPCOfOld":  {reason: "Nor by JSON-RPC.", interfaces: []string{"rpc03"}, client: "rpc03", says: counted},
		"OldOfBoth": {reason: "An agent may speak both.", interfaces: []string{"rest", "rpc", "rpc03"}, client: "rpc03"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			address, podinfo := freePort(t), t.TempDir()
			server := "http://" + address
			file := filepath.Join(podinfo, monitorapi.PodinfoAnnotations)

			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}

			lines := make(logged, 100)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)

			// As in a pod, the monitor begins before its agent.
			go func() {
				ended <- Run(ctx, Config{
					Listen: "127.0.0.1:0", InboundListen: "127.0.0.1:0", PodinfoDir: podinfo, Metering: monitorapi.MeteringOff,
					Drain: Times{Grace: 50 * time.Millisecond, Timeout: time.Hour, Lapse: time.Minute},
					Tasks: tasks.Config{Source: monitorapi.SourceA2A, URL: server}, InboundUpstream: server, InboundProtocol: monitorapi.InboundA2A,
				}, slog.New(slog.NewJSONHandler(lines, nil)))
			}()

			at := regexp.MustCompile(`"listen":"([^"]+)","inbound":"([^"]+)"`).FindStringSubmatch(lines.wait(t, "the monitor runs"))
			status, proxied := "http://"+at[1], "http://"+at[2]

			startA2A(t, "a2a_server.mjs", append([]string{strings.TrimPrefix(address, "127.0.0.1:")}, tc.interfaces...)...)

			want := everything(t, startA2A(t, "a2a_client.mjs", server, tc.client), server)
			c := startA2A(t, "a2a_client.mjs", proxied, tc.client)

			if diff := cmp.Diff(same(want), same(everything(t, c, server))); diff != "" {
				t.Errorf("\n%s\n-without the proxy, +through it:\n%s", tc.reason, diff)
			}

			drains(t, c, status, server, file, tc.says)
			cancel()

			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// drains has a client begin tasks, and holds what is told and refused from there to the worker's drain.
func drains(t *testing.T, c *a2aProgram, status, server, annotations, says string) {
	t.Helper()

	tasksBecome(t, status, server, figures{}, says)
	c.call(t, "send", "say", "ask me")

	// Nobody is told of the end of this one.
	silent := begun(t, c.call(t, "send", "say", "hold", "now", true))
	followed := begun(t, c.call(t, "open", "say", "hold", "until", 2))

	tasksBecome(t, status, server, figures{2, 2, 1}, says)

	if err := os.WriteFile(annotations, []byte(monitorapi.AnnotationDrain+`="d1"`), 0o600); err != nil {
		t.Fatal(err)
	}

	// stateBecomes asks the monitor itself.
	stateBecomes := func(state monitorapi.State, why string) {
		t.Helper()

		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			var s monitorapi.Status

			if requestOf(t, http.MethodGet, status+monitorapi.PathStatus, &s); s.State == state && strings.Contains(s.Reason, why) {
				return
			}

			if time.Now().After(deadline) {
				t.Fatalf("it does not become %s (%s): %+v", state, why, s)
			}
		}
	}

	stateBecomes(monitorapi.StateDraining, "request")

	// What the client says of it is its library's; that it is an error, and what came, is the protocol's.
	if got := c.call(t, "send", "say", "work"); !strings.Contains(got, `"made":{"error":`) || !strings.Contains(got, `"status":503`) || !strings.Contains(got, `"retry":"2"`) || !strings.Contains(got, "draining") {
		t.Errorf("a new task is not refused: %s", got)
	}

	if got := c.call(t, "get", "task", silent); !strings.Contains(got, `"status":200`) || begun(t, got) != silent {
		t.Errorf("a task cannot be asked for: %s", got)
	}

	requestOf(t, http.MethodPost, server+"/release", nil)

	if got := c.call(t, "get", "task", followed); !strings.Contains(got, `"status":200`) {
		t.Errorf("a task cannot be asked for: %s", got)
	}

	tasksBecome(t, status, server, figures{0, 0, 1}, says)
	stateBecomes(monitorapi.StateDrained, "")
}
