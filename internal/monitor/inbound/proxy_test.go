package inbound

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve puts a proxy before an agent.
func serve(t *testing.T, protocol string, refusing func() bool, agent http.HandlerFunc) (*Proxy, string) {
	t.Helper()

	up := httptest.NewServer(agent)
	t.Cleanup(up.Close)

	p, err := New(up.URL, protocol, refusing, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(p.Close)

	srv := httptest.NewServer(p)
	t.Cleanup(srv.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)

	return p, srv.URL
}

func send(ctx context.Context, t *testing.T, method, url, body string) (int, string, http.Header) {
	t.Helper()

	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}

	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}

	defer func() { _ = rsp.Body.Close() }()

	b, err := io.ReadAll(rsp.Body)
	if err != nil {
		t.Fatal(err)
	}

	return rsp.StatusCode, string(b), rsp.Header
}

// While a worker drains, what begins a task is refused in the protocol's words, and all else passes.
func TestRefusals(t *testing.T) {
	const says = `"this worker is draining and takes no new tasks: try again, another one will answer"`

	cases := map[string]struct {
		reason, protocol, method, path, body string
		refusal                              string
	}{
		"HTTPPost":   {reason: "A POST is a task.", protocol: monitorapi.InboundHTTP, method: "POST", path: "/run", refusal: `{"error":{"message":` + says + `,"type":"draining"}}`},
		"HTTPGet":    {reason: "Who reads is not refused.", protocol: monitorapi.InboundHTTP, method: "GET", path: "/run"},
		"A2ASend":    {reason: "A message without a task begins one.", protocol: monitorapi.InboundA2A, method: "POST", path: "/message:send", body: `{"message":{"parts":[]}}`, refusal: `{"error":{"code":503,"message":` + says + `,"status":"UNAVAILABLE"}}`},
		"A2AStream":  {reason: "So does one that is answered by a stream.", protocol: monitorapi.InboundA2A, method: "POST", path: "/v1/message:stream", body: `{"message":{}}`, refusal: `{"error":{"code":503,"message":` + says + `,"status":"UNAVAILABLE"}}`},
		"A2AOn":      {reason: "A message to a task goes on with it.", protocol: monitorapi.InboundA2A, method: "POST", path: "/message:send", body: `{"message":{"taskId":"t1"}}`},
		"A2AGet":     {reason: "A client may ask for its task.", protocol: monitorapi.InboundA2A, method: "GET", path: "/tasks/t1"},
		"A2ACancel":  {reason: "And cancel it.", protocol: monitorapi.InboundA2A, method: "POST", path: "/tasks/t1:cancel"},
		"A2ABroken":  {reason: "What cannot be read may begin a task.", protocol: monitorapi.InboundA2A, method: "POST", path: "/message:send", body: `{"message`, refusal: `{"error":{"code":503,"message":` + says + `,"status":"UNAVAILABLE"}}`},
		"RPCSend":    {reason: "JSON-RPC has an answer of its own.", protocol: monitorapi.InboundA2A, method: "POST", path: "/", body: `{"jsonrpc":"2.0","id":7,"method":"SendMessage","params":{"message":{}}}`, refusal: `{"error":{"code":-32000,"message":` + says + `},"id":7,"jsonrpc":"2.0"}`},
		"RPCOld":     {reason: "A2A 0.3 has other names.", protocol: monitorapi.InboundA2A, method: "POST", path: "/", body: `{"jsonrpc":"2.0","id":"a","method":"message/stream","params":{"message":{}}}`, refusal: `{"error":{"code":-32000,"message":` + says + `},"id":"a","jsonrpc":"2.0"}`},
		"RPCOn":      {reason: "A message to a task goes on with it.", protocol: monitorapi.InboundA2A, method: "POST", path: "/", body: `{"jsonrpc":"2.0","id":7,"method":"message/send","params":{"message":{"taskId":"t"}}}`},
		"RPCColon":   {reason: "The path of JSON-RPC is the agent's to choose.", protocol: monitorapi.InboundA2A, method: "POST", path: "/agents/a:b", body: `{"jsonrpc":"2.0","id":7,"method":"SendMessage","params":{"message":{}}}`, refusal: `{"error":{"code":-32000,"message":` + says + `},"id":7,"jsonrpc":"2.0"}`},
		"RPCGetTask": {reason: "A client may ask for its task.", protocol: monitorapi.InboundA2A, method: "POST", path: "/", body: `{"jsonrpc":"2.0","id":7,"method":"GetTask","params":{"id":"t"}}`},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var refusing atomic.Bool

			// The agent echoes, so that what it got is seen.
			p, url := serve(t, tc.protocol, refusing.Load, func(rw http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body) // The test sees what is missing.
				fmt.Fprintf(rw, "%s %s %s", r.Method, r.URL.Path, b)
			})

			passed := fmt.Sprintf("%s %s %s", tc.method, tc.path, tc.body)
			if code, got, _ := send(t.Context(), t, tc.method, url+tc.path, tc.body); code != http.StatusOK || got != passed {
				t.Errorf("an active worker: %d %s", code, got)
			}

			refusing.Store(true)

			code, got, header := send(t.Context(), t, tc.method, url+tc.path, tc.body)
			wantCode, want := http.StatusOK, passed

			if tc.refusal != "" {
				wantCode, want = http.StatusServiceUnavailable, tc.refusal+"\n"
				if header.Get("Retry-After") == "" {
					t.Error("a refusal does not say when to try again")
				}
			}

			if diff := cmp.Diff(want, got); code != wantCode || diff != "" {
				t.Errorf("\n%s\n%d, -want, +got:\n%s", tc.reason, code, diff)
			}

			noneOpen(t, p)
		})
	}
}

// A stream passes event by event, is open as long as it lasts, and goes on while the worker drains.
func TestStream(t *testing.T) {
	var refusing atomic.Bool

	next := make(chan struct{})
	p, url := serve(t, monitorapi.InboundHTTP, refusing.Load, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")

		for n := range 3 {
			fmt.Fprintf(rw, "data: %d\n\n", n)
			_ = http.NewResponseController(rw).Flush() // The test sees what does not come.
			<-next
		}
	})

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/run", nil)
	if err != nil {
		t.Fatal(err)
	}

	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}

	defer func() { _ = rsp.Body.Close() }()

	lines := bufio.NewScanner(rsp.Body)

	for n := range 3 {
		if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", n) {
			t.Fatalf("event %d is %q: %v", n, lines.Text(), lines.Err())
		}

		if p.Open() != 1 {
			t.Errorf("%d requests are open", p.Open())
		}

		refusing.Store(true)
		lines.Scan()
		next <- struct{}{}
	}

	_, _ = io.Copy(io.Discard, rsp.Body) // Until it has ended.

	noneOpen(t, p)
}

// noneOpen waits until a proxy has noticed that the last client has its answer.
func noneOpen(t *testing.T, p *Proxy) {
	t.Helper()

	for deadline := time.Now().Add(10 * time.Second); p.Open() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d requests stay open", p.Open())
		}
	}
}

// An agent that is down is said to be, and one that goes away breaks the answer off.
func TestAgentDown(t *testing.T) {
	_, url := serve(t, monitorapi.InboundHTTP, func() bool { return false }, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	if code, got, _ := send(t.Context(), t, http.MethodGet, url, ""); code != http.StatusBadGateway || !strings.Contains(got, "it broke off") {
		t.Errorf("%d %s", code, got)
	}

	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()

	p, err := New(down.URL, monitorapi.InboundHTTP, func() bool { return false }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}

	rsp := httptest.NewRecorder()
	p.ServeHTTP(rsp, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/run", nil))

	if rsp.Code != http.StatusBadGateway || !strings.Contains(rsp.Body.String(), "it does not listen") || p.Open() != 0 {
		t.Errorf("%d %s, %d open", rsp.Code, rsp.Body, p.Open())
	}
}

// The agent sees the name it was asked by, who asked, and what proxies further out said of that.
func TestHeaders(t *testing.T) {
	cases := map[string]struct {
		reason string
		sent   http.Header
		want   string
	}{
		"Direct": {reason: "Without another proxy this one says who asked.", want: "127.0.0.1 http HOST "},
		"BehindIngress": {
			reason: "Only the outermost proxy knows how the client came.",
			sent: http.Header{
				"X-Forwarded-For": {"192.0.2.7"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"agents.example.org"}, "Forwarded": {"proto=https"},
			},
			want: "192.0.2.7, 127.0.0.1 https agents.example.org proto=https",
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, url := serve(t, monitorapi.InboundA2A, func() bool { return true }, func(rw http.ResponseWriter, r *http.Request) {
				h := r.Header
				fmt.Fprint(rw, r.Host, " ", r.URL.RawQuery, " ", h.Get("X-Forwarded-For"), " ", h.Get("X-Forwarded-Proto"), " ", h.Get("X-Forwarded-Host"), " ", h.Get("Forwarded"))
			})

			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/x?a=1;b=2", nil)
			if err != nil {
				t.Fatal(err)
			}

			maps.Copy(req.Header, tc.sent)

			rsp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}

			defer func() { _ = rsp.Body.Close() }()

			got, err := io.ReadAll(rsp.Body)
			if err != nil {
				t.Fatal(err)
			}

			host := strings.TrimPrefix(url, "http://")
			if diff := cmp.Diff(host+" a=1;b=2 "+strings.ReplaceAll(tc.want, "HOST", host), string(got)); diff != "" {
				t.Errorf("\n%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// When the last task's request ended is told, and what was refused is none: a drain must not wait for those that are.
func TestEnded(t *testing.T) {
	var refusing atomic.Bool

	p, url := serve(t, monitorapi.InboundHTTP, refusing.Load, func(http.ResponseWriter, *http.Request) {})

	send(t.Context(), t, http.MethodGet, url, "")

	if at := p.Ended(); !at.IsZero() {
		t.Errorf("what reads began a task until %s", at)
	}

	began := time.Now()

	send(t.Context(), t, http.MethodPost, url, "")
	noneOpen(t, p)

	ended := p.Ended()
	if ended.Before(began) {
		t.Errorf("a task that began at %s ended at %s", began, ended)
	}

	refusing.Store(true)
	send(t.Context(), t, http.MethodPost, url, "")
	noneOpen(t, p)

	if at := p.Ended(); at != ended {
		t.Errorf("what was refused began a task until %s", at)
	}
}

func TestConfigs(t *testing.T) {
	for upstream, protocol := range map[string]string{"http://192.0.2.1:80": "http", "agent": "http", "http://127.0.0.1:1": "grpc"} {
		if _, err := New(upstream, protocol, nil, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s by %s is taken", upstream, protocol)
		}
	}
}

// A connection that an agent may be told by what to do is a task as long as it is open, and none begins while the worker drains.
func TestUpgrade(t *testing.T) {
	var refusing atomic.Bool

	p, url := serve(t, monitorapi.InboundHTTP, refusing.Load, func(rw http.ResponseWriter, r *http.Request) {
		c, buf, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Error(err)

			return
		}
		defer c.Close()

		fmt.Fprintf(buf, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", r.Header.Get("Upgrade"))
		_ = buf.Flush()

		// Until the client leaves.
		_, _ = io.Copy(buf, buf)
	})

	open := func() (net.Conn, int) {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}

		fmt.Fprint(c, "GET /session HTTP/1.1\r\nHost: agent\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")

		rsp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = rsp.Body.Close()

		return c, rsp.StatusCode
	}

	c, code := open()
	if code != http.StatusSwitchingProtocols || p.Open() != 1 {
		t.Errorf("an active worker: %d, %d open", code, p.Open())
	}

	refusing.Store(true)

	refused, code := open()
	if code != http.StatusServiceUnavailable {
		t.Errorf("a worker that drains: %d", code)
	}

	_ = refused.Close()
	_ = c.Close()

	for deadline := time.Now().Add(20 * time.Second); p.Open() != 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it counts although the client has left")
		}
	}
}
