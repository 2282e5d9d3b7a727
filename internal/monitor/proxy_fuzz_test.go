package monitor

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
)

// A rawServer answers each connection's first request with bytes of its own, in pieces, and hangs up.
type rawServer struct {
	lis net.Listener
	wg  sync.WaitGroup

	mu     sync.Mutex
	answer []byte
	piece  int
}

func startRaw(tb testing.TB) *rawServer {
	tb.Helper()

	lis, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}

	s := &rawServer{lis: lis}

	s.wg.Go(func() {
		for {
			c, err := lis.Accept()
			if err != nil {
				return
			}

			s.wg.Go(func() { s.serve(c) })
		}
	})

	return s
}

func (s *rawServer) serve(c net.Conn) {
	defer func() { _ = c.Close() }()

	_ = c.SetDeadline(time.Now().Add(10 * time.Second))

	r, err := http.ReadRequest(bufio.NewReader(c))
	if err != nil {
		return
	}

	_, _ = io.Copy(io.Discard, r.Body) // So that hanging up is no reset.

	s.mu.Lock()
	answer, piece := s.answer, s.piece
	s.mu.Unlock()

	for len(answer) > 0 {
		n := min(piece, len(answer))
		if _, err := c.Write(answer[:n]); err != nil {
			return
		}

		answer = answer[n:]
	}
}

func (s *rawServer) close() {
	_ = s.lis.Close()
	s.wg.Wait()
}

// A got answer is what a client made of it.
type gotAnswer struct {
	Code    int
	Type    []string
	Custom  []string
	Body    string
	Broken  bool
	Trailer string
}

func answerTo(t *testing.T, c *http.Client, url, body string) gotAnswer {
	t.Helper()

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}

	rsp, err := c.Do(req)
	if err != nil {
		return gotAnswer{Broken: true}
	}
	defer rsp.Body.Close()

	b, err := io.ReadAll(rsp.Body)

	return gotAnswer{rsp.StatusCode, rsp.Header["Content-Type"], rsp.Header["X-Custom"], string(b), err != nil, rsp.Trailer.Get("X-After")}
}

// framed is an answer of a model server as bytes: its body in one piece, in chunks, or up to the end of the connection, and
// perhaps cut off before that.
func framed(code int, typ, custom string, framing byte, body []byte, chunk int) []byte {
	var b bytes.Buffer

	fmt.Fprintf(&b, "HTTP/1.1 %d X\r\nContent-Type: %s\r\nX-Custom: %s\r\nConnection: close\r\n", code, typ, custom)

	switch framing % 5 {
	case 0, 1: // A length, which may not be kept.
		fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body)+int(framing%5), body)
	case 2, 3: // Chunks, which may have no last.
		b.WriteString("Transfer-Encoding: chunked\r\nTrailer: X-After\r\n\r\n")

		for left := body; len(left) > 0; {
			n := min(chunk, len(left))
			fmt.Fprintf(&b, "%x\r\n%s\r\n", n, left[:n])
			left = left[n:]
		}

		if framing%5 == 2 {
			b.WriteString("0\r\nX-After: all\r\n\r\n")
		}
	default:
		fmt.Fprintf(&b, "\r\n%s", body)
	}

	return b.Bytes()
}

// FuzzProxy holds that whatever a model server answers, an agent gets through the proxy what it gets without: status,
// headers, body, trailers, and whether it broke off; but a usage that it did not ask for. And that nothing is left of it.
func FuzzProxy(f *testing.F) {
	types := []string{"text/event-stream", "application/json", "text/plain", "text/event-stream; charset=utf-8", "", "\x80;;"}
	paths := []string{"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/embeddings", "/v1/messages", "/v1/models", "/"}

	for i, body := range []string{words + lastUsage + doneMark, whole, zipped(whole), "event: message_start\r\ndata: {\"message\":{\"usage\":{\"input_tokens\":3}}}\r\n\r\n", "data: {\ndata: \"usage\":1}\n\n", ""} {
		for framing := range byte(5) {
			f.Add(uint16(0), byte(i), framing, []byte(body), byte(7*i+1), byte(i), framing%2 == 0, i%2 == 0)
		}
	}

	f.Add(uint16(200), byte(1), byte(0), []byte("stream_options"), byte(9), byte(0), true, true)
	f.Add(uint16(229), byte(1), byte(2), []byte("slow"), byte(1), byte(0), true, true)
	f.Add(uint16(4), byte(1), byte(0), []byte(""), byte(1), byte(0), true, false)
	f.Add(uint16(799), byte(1), byte(4), []byte("x"), byte(1), byte(5), true, false)

	raw := startRaw(f)
	f.Cleanup(raw.close)

	url := "http://" + raw.lis.Addr().String()
	client := &http.Client{
		Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}

	proxied := map[bool]string{}

	for _, asks := range []bool{false, true} {
		p, err := NewProxy(ProxyConfig{Endpoint: url, Protocol: ProtocolOpenAI, AskForUsage: asks}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
		if err != nil {
			f.Fatal(err)
		}

		srv := httptest.NewServer(p)
		f.Cleanup(func() { srv.Close(); p.Close() })

		proxied[asks] = srv.URL
	}

	f.Fuzz(func(t *testing.T, code uint16, typ, framing byte, body []byte, sizes, path byte, asks, streams bool) {
		rest := runtime.NumGoroutine()
		custom := fmt.Sprintf("%x", body[:min(3, len(body))])
		status := 200 + int(code)%800

		raw.mu.Lock()
		raw.answer = framed(status, types[int(typ)%len(types)], custom, framing, body, 1+int(sizes))
		raw.piece = 1 + int(sizes)*3
		raw.mu.Unlock()

		request := fmt.Sprintf(`{"model":"m","stream":%t}`, streams)
		at := paths[int(path)%len(paths)]
		want, got := answerTo(t, client, url+at, request), answerTo(t, client, proxied[asks]+at, request)

		// Of what breaks off at once, and is no stream, the agent may get less, but never all: the proxy passes what it has when
		// there is enough of it. Before its first byte it is a server that does not answer.
		if want.Broken && (got.Broken || want.Code == 0 && got.Code == http.StatusBadGateway) && strings.HasPrefix(want.Body, got.Body) &&
			(asks || want.Body == "" || !strings.HasPrefix(types[int(typ)%len(types)], "text/event-stream")) {
			want = got
		}

		// The standard library's server does not say of what type that is that has not changed.
		if want.Code == http.StatusNotModified {
			want.Type = got.Type
		}

		if asks && streams && want.Body != got.Body && strings.Contains(want.Body, "usage") && within(got.Body, want.Body) {
			want.Body = got.Body
		}

		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%d by %s: -without the proxy, +through it:\n%s", status, at, diff)
		}

		for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > rest; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Fatalf("%d goroutines are left, and %d were there", runtime.NumGoroutine(), rest)
			}
		}
	})
}

// within says whether a text is another with something left out.
func within(part, whole string) bool {
	for len(part) > 0 {
		i := strings.IndexByte(whole, part[0])
		if i < 0 {
			return false
		}

		part, whole = part[1:], whole[i+1:]
	}

	return true
}
