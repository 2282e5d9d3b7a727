package monitor

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

type tooMuch struct{}

func (tooMuch) Error() string {
	return "the pool's budget of 10 tokens per minute is used up: come back later"
}
func (tooMuch) Wait() time.Duration { return 1500 * time.Millisecond }

// A request over the budget is not sent, and is refused as the agent's API refuses.
func TestOverBudget(t *testing.T) {
	var sent atomic.Int64

	model := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { sent.Add(1) }))
	defer model.Close()

	p, err := NewProxy(ProxyConfig{
		Endpoint: model.URL, Protocol: ProtocolOpenAI,
		Admit: func(context.Context, int64) (func(int64), error) {
			return nil, fmt.Errorf("cannot admit the request: %w", tooMuch{})
		},
	}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()

	for path, want := range map[string]string{
		"/v1/messages":         `{"error":{"message":"cannot admit the request: ` + tooMuch{}.Error() + `","type":"rate_limit_error"},"type":"error"}`,
		"/v1/chat/completions": `{"error":{"code":"token_budget_exceeded","message":"cannot admit the request: ` + tooMuch{}.Error() + `","param":null,"type":"rate_limit_error"}}`,
	} {
		rsp := httptest.NewRecorder()
		p.ServeHTTP(rsp, httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, strings.NewReader(`{"model":"m"}`)))

		if diff := cmp.Diff(want, strings.TrimSpace(rsp.Body.String())); rsp.Code != http.StatusTooManyRequests || rsp.Header().Get("Retry-After") != "2" || diff != "" {
			t.Errorf("%s: %d, retry after %q, -want, +got:\n%s", path, rsp.Code, rsp.Header().Get("Retry-After"), diff)
		}
	}

	if got := p.Tokens(); sent.Load() != 0 || got.Requests != 0 {
		t.Errorf("%d requests were sent: %+v", sent.Load(), got)
	}
}

// A server that refused to be asked for usage is not asked again for that model, and one that hangs up is not asked twice,
// though the agent calls its request idempotent: it may have worked already.
func TestAskedOnce(t *testing.T) {
	var asked, hungUp atomic.Int64

	model := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)

		switch {
		case strings.Contains(string(b), "hang up"):
			if r.Header.Get("Idempotency-Key") == "k" {
				hungUp.Add(1)
			}

			panic(http.ErrAbortHandler)
		case strings.Contains(string(b), "include_usage"):
			asked.Add(1)
			say(http.StatusBadRequest, "include_usage is not known")(rw, r)
		default:
			sse(words, doneMark)(rw, r)
		}
	}))
	defer model.Close()

	m := startMetered(t, model.URL)
	for range 3 {
		if got := m.post(t, "/v1/chat/completions", streamed); got.Code != http.StatusOK || got.Body != words+doneMark {
			t.Errorf("got %+v", got)
		}
	}

	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, m.url+"/v1/chat/completions", strings.NewReader(`{"model":"hang up"}`))
	req.Header.Set("Idempotency-Key", "k")

	rsp, err := m.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}

	_ = rsp.Body.Close()

	if asked.Load() != 1 || hungUp.Load() != 1 || rsp.StatusCode != http.StatusBadGateway {
		t.Errorf("asked for usage %d times, and %d times the one who hung up: %d", asked.Load(), hungUp.Load(), rsp.StatusCode)
	}
}

// A server that has a fault of its own when it is asked without the usage has not shown that it was that which it refused.
func TestAskedAgainAfterAFault(t *testing.T) {
	var asked atomic.Int64

	model := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if strings.Contains(string(b), "include_usage") {
			asked.Add(1)
			say(http.StatusBadRequest, "include_usage is not known")(rw, r)

			return
		}

		say(http.StatusServiceUnavailable, "down")(rw, r)
	}))
	defer model.Close()

	m := startMetered(t, model.URL)
	for range 3 {
		if got := m.post(t, "/v1/chat/completions", streamed); got.Code != http.StatusServiceUnavailable {
			t.Errorf("got %+v", got)
		}
	}

	if asked.Load() != 3 {
		t.Errorf("asked for usage %d times, want 3", asked.Load())
	}
}

// An agent that goes away takes its request to the model with it.
func TestAbort(t *testing.T) {
	gone := make(chan struct{})
	model := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		sse(words)(rw, r)
		<-r.Context().Done()
		close(gone)
	}))
	defer model.Close()

	m := startMetered(t, model.URL)
	ctx, cancel := context.WithCancel(t.Context())
	req, _ := http.NewRequestWithContext(ctx, http.MethodPost, m.url+"/v1/chat/completions", strings.NewReader(streamed))

	rsp, err := m.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()

	if line, err := bufio.NewReader(rsp.Body).ReadString('\n'); err != nil || !strings.HasPrefix(words, line) {
		t.Fatalf("read %q: %v", line, err)
	}

	cancel()

	select {
	case <-gone:
	case <-time.After(10 * time.Second):
		t.Fatal("the model server works on for nobody")
	}

	if n := <-m.settled; n != estimated {
		t.Errorf("settled %d, want the estimate", n)
	}

	if diff := cmp.Diff(missing("aborted", "aborted"), m.counted(t)); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

// A model server may speak HTTP/2.
func TestHTTP2(t *testing.T) {
	var major atomic.Int64

	model := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		major.Store(int64(r.ProtoMajor))
		sse(words, lastUsage, doneMark)(rw, r)
	}))
	model.EnableHTTP2 = true
	model.StartTLS()
	defer model.Close()

	m := startMetered(t, model.URL)
	m.proxy.transport.TLSClientConfig = model.Client().Transport.(*http.Transport).TLSClientConfig.Clone()

	got := m.post(t, "/v1/chat/completions", streamed)
	if diff := cmp.Diff(accounted{http.StatusOK, words + doneMark, false, billedOnce, []int64{12}}, got); diff != "" || major.Load() != 2 {
		t.Errorf("by HTTP/%d: -want, +got:\n%s", major.Load(), diff)
	}
}

// A connection that becomes another protocol's passes, and is counted as what nobody measures.
func TestUpgrade(t *testing.T) {
	model := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		conn, buf, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()

		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		line, _ := buf.ReadString('\n')
		_, _ = io.WriteString(conn, "echo "+line)
	}))
	defer model.Close()

	m := startMetered(t, model.URL)

	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(m.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(conn, "GET /v1/realtime HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	in := bufio.NewReader(conn)

	rsp, err := http.ReadResponse(in, nil) //nolint:bodyclose // It is the connection.
	if err != nil || rsp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("answered %+v: %v", rsp, err)
	}

	_, _ = io.WriteString(conn, "hello\n")

	if line, err := in.ReadString('\n'); line != "echo hello\n" {
		t.Errorf("read %q: %v", line, err)
	}

	if diff := cmp.Diff(outcomeOf("unmetered"), m.counted(t)); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}
