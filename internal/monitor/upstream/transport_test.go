package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// A script is a server that reads one request after another and answers each with the next of these texts. Where there is
// none left it closes the connection; then the next connection begins with the script's next line.
type script struct {
	url         *url.URL
	connections atomic.Int64
	bodies      chan string
}

// play starts a server with the texts of each connection.
func play(t *testing.T, conns ...[]string) *script {
	t.Helper()

	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	s := &script{url: &url.URL{Scheme: "http", Host: lis.Addr().String()}, bodies: make(chan string, 16)}
	ended := make(chan struct{})

	t.Cleanup(func() {
		_ = lis.Close()
		<-ended
	})

	go func() {
		defer close(ended)

		for _, answers := range conns {
			c, err := lis.Accept()
			if err != nil {
				return
			}

			s.connections.Add(1)
			s.talk(c, answers)
		}
	}()

	return s
}

func (s *script) talk(c net.Conn, answers []string) {
	defer c.Close()

	_ = c.SetDeadline(time.Now().Add(patience))

	for in := bufio.NewReader(c); len(answers) > 0; answers = answers[1:] {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}

		b, _ := io.ReadAll(r.Body) // What is missing is seen.
		s.bodies <- string(b)

		_, _ = io.WriteString(c, answers[0]) // As above.
	}
}

func newTransport(t *testing.T, endpoint *url.URL) *Transport {
	t.Helper()

	tr := New(Config{Endpoint: endpoint, DialTimeout: patience, FirstByteTimeout: patience, MaxIdle: 2, IdleTimeout: time.Minute})
	t.Cleanup(tr.CloseIdleConnections)

	return tr
}

func question(ctx context.Context, t *testing.T, endpoint *url.URL, body string) *http.Request {
	t.Helper()

	r, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint.String()+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}

	return r
}

// An answered question: what came, or whether it could not be had.
type answered struct {
	Interim []int
	Code    int
	Body    string
	Trailer string
	Failed  bool
	Broken  bool
}

func ask(t *testing.T, tr *Transport, endpoint *url.URL, body string) answered {
	t.Helper()

	var got answered

	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
		got.Interim = append(got.Interim, code)

		return nil
	}})

	rsp, err := tr.RoundTrip(question(ctx, t, endpoint, body))
	if err != nil {
		got.Failed = true

		return got
	}
	defer rsp.Body.Close()

	b, err := io.ReadAll(rsp.Body)
	got.Code, got.Body, got.Trailer, got.Broken = rsp.StatusCode, string(b), rsp.Trailer.Get("X-After"), err != nil

	return got
}

func length(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func TestRoundTrip(t *testing.T) {
	cases := map[string]struct {
		reason      string
		conns       [][]string
		want        []answered
		connections int64
	}{
		"Kept": {
			reason: "A connection is used again once its answer has been read.",
			conns:  [][]string{{length("a"), "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nb\r\n0\r\n\r\n", "HTTP/1.1 204 No Content\r\n\r\n", length("d")}},
			want:   []answered{{Code: 200, Body: "a"}, {Code: 200, Body: "b"}, {Code: 204}, {Code: 200, Body: "d"}}, connections: 1,
		},
		"Left": {
			reason: "A connection that the server has left is not used, and nobody is told.",
			conns:  [][]string{{length("a")}, {length("b")}},
			want:   []answered{{Code: 200, Body: "a"}, {Code: 200, Body: "b"}}, connections: 2,
		},
		"SaysClose": {
			reason: "Nor is one of which the server says that it leaves it.",
			conns:  [][]string{{"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\na"}, {length("b")}},
			want:   []answered{{Code: 200, Body: "a"}, {Code: 200, Body: "b"}}, connections: 2,
		},
		"UntilTheEnd": {
			reason: "An answer without a length ends with the connection.",
			conns:  [][]string{{"HTTP/1.0 200 OK\r\n\r\nall of it"}, {length("b")}},
			want:   []answered{{Code: 200, Body: "all of it"}, {Code: 200, Body: "b"}}, connections: 2,
		},
		"Babble": {
			reason: "What follows an answer unasked is nobody's answer.",
			conns:  [][]string{{length("a") + length("evil")}, {length("b")}},
			want:   []answered{{Code: 200, Body: "a"}, {Code: 200, Body: "b"}}, connections: 2,
		},
		"Interim": {
			reason: "Interim answers are told, but for the leave to go on that nobody asked for; trailers come with the body's end.",
			conns: [][]string{{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" +
				"HTTP/1.1 200 OK\r\nTrailer: X-After\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-After: all\r\n\r\n"}},
			want: []answered{{Interim: []int{103}, Code: 200, Body: "a", Trailer: "all"}}, connections: 1,
		},
		"BreaksOff": {
			reason: "An answer that breaks off does so for who reads it.",
			conns:  [][]string{{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"}, {length("b")}},
			want:   []answered{{Code: 200, Body: "half", Broken: true}, {Code: 200, Body: "b"}}, connections: 2,
		},
		"HangsUp": {
			reason: "A server that hangs up upon a request is not asked again: it may have worked already.",
			conns:  [][]string{{length("a"), ""}, {length("c")}},
			want:   []answered{{Code: 200, Body: "a"}, {Failed: true}, {Code: 200, Body: "c"}}, connections: 2,
		},
		"Nonsense": {
			reason: "What is no answer is none.",
			conns:  [][]string{{"220 mail.example.org ESMTP\r\n"}},
			want:   []answered{{Failed: true}}, connections: 1,
		},
		"OtherProtocol": {
			reason: "A protocol that nobody asked for is not spoken.",
			conns:  [][]string{{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"}},
			want:   []answered{{Failed: true}}, connections: 1,
		},
		"LongHead": {
			reason: "A head has a bound.",
			conns:  [][]string{{"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", longestHead) + "\r\n\r\n"}},
			want:   []answered{{Failed: true}}, connections: 1,
		},
		"InterimWithoutEnd": {
			reason: "So have interim answers together.",
			conns:  [][]string{{strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", longestHead/20)}},
			want:   []answered{{Failed: true}}, connections: 1,
		},
		"LongAnswer": {
			reason: "What follows the head has none.",
			conns:  [][]string{{length(strings.Repeat("x", 2*longestHead)), length("b")}},
			want:   []answered{{Code: 200, Body: strings.Repeat("x", 2*longestHead)}, {Code: 200, Body: "b"}}, connections: 1,
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := play(t, tc.conns...)
			tr := newTransport(t, s.url)

			for i, want := range tc.want {
				sent := fmt.Sprintf(`{"n":%d}`, i)

				got := ask(t, tr, s.url, sent)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("\n%s\nanswer %d: -want, +got:\n%s", tc.reason, i, diff)
				}

				if b := <-s.bodies; b != sent {
					t.Errorf("\n%s\nthe server read %q, want %q", tc.reason, b, sent)
				}

				settle(t, tr)
			}

			if n := s.connections.Load(); n != tc.connections {
				t.Errorf("\n%s\n%d connections were made, want %d", tc.reason, n, tc.connections)
			}
		})
	}
}

// settle waits until what a server says of its own accord behind an answer, if only that it leaves, is there to be seen: by
// then its answers are all sent. A server that keeps the connection says nothing, so this ends early only where it does.
func settle(t *testing.T, tr *Transport) {
	t.Helper()

	for end := time.Now().Add(50 * time.Millisecond); time.Now().Before(end); {
		tr.mu.Lock()
		left := len(tr.idle) > 0 && !silent(tr.idle[len(tr.idle)-1].raw)
		tr.mu.Unlock()

		if left {
			return
		}
	}
}

// Who goes away takes the question along, before the head of the answer and behind it.
func TestLeaving(t *testing.T) {
	cases := map[string]struct {
		answer string
		begun  bool
	}{
		"BeforeTheHead": {answer: "HTTP/1.1 103 Early Hints\r\n\r\n"},
		"BehindTheHead": {answer: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", begun: true},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := play(t, []string{tc.answer, "never"})
			tr := newTransport(t, s.url)

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()

			if !tc.begun {
				go func() {
					<-s.bodies
					cancel()
				}()
			}

			rsp, err := tr.RoundTrip(question(ctx, t, s.url, "{}"))
			if begun := err == nil; begun != tc.begun {
				t.Fatalf("the answer began: %t (%v)", begun, err)
			}

			if err == nil {
				cancel()

				_, err = io.ReadAll(rsp.Body)
				_ = rsp.Body.Close()
			}

			if !errors.Is(err, context.Canceled) {
				t.Errorf("ended with %v, want that the context is done", err)
			}
		})
	}
}

// An answer that does not begin is not waited for without end.
func TestFirstByteTimeout(t *testing.T) {
	s := play(t, []string{"", ""})
	tr := newTransport(t, s.url)
	tr.config.FirstByteTimeout = 20 * time.Millisecond

	rsp, err := tr.RoundTrip(question(t.Context(), t, s.url, "{}"))
	if err == nil {
		_ = rsp.Body.Close()
	}

	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("ended with %v, want a timeout", err)
	}
}

// An error of the dialer says that it is one: nothing was sent.
func TestNobodyThere(t *testing.T) {
	s := play(t)
	tr := newTransport(t, &url.URL{Scheme: "http", Host: "127.0.0.1:1"})

	rsp, err := tr.RoundTrip(question(t.Context(), t, s.url, "{}"))
	if err == nil {
		_ = rsp.Body.Close()
	}

	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "dial" {
		t.Errorf("ended with %v, want the dialer's error", err)
	}
}

// No more connections are kept than may be, and none for longer than it may.
func TestIdle(t *testing.T) {
	srv := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(rw, r.Body) // What is missing is seen.
	})}

	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	served := make(chan error, 1)

	go func() { served <- srv.Serve(lis) }()

	defer func() {
		_ = srv.Close()
		<-served
	}()

	endpoint := &url.URL{Scheme: "http", Host: lis.Addr().String()}
	tr := newTransport(t, endpoint)
	open := make([]*http.Response, 0, 3)

	for range 3 {
		rsp, err := tr.RoundTrip(question(t.Context(), t, endpoint, "{}")) //nolint:bodyclose // All are closed together.
		if err != nil {
			t.Fatal(err)
		}

		open = append(open, rsp) //nolint:bodyclose // As above.
	}

	for _, rsp := range open {
		_, _ = io.Copy(io.Discard, rsp.Body)
		_ = rsp.Body.Close()
	}

	if n := idle(tr); n != 2 {
		t.Errorf("%d connections are kept, want 2", n)
	}

	tr.mu.Lock()
	for _, c := range tr.idle {
		c.since = c.since.Add(-2 * time.Minute)
	}

	tr.reaper.Reset(0)
	tr.mu.Unlock()

	for end := time.Now().Add(patience); idle(tr) > 0; {
		if time.Now().After(end) {
			t.Fatal("old connections are kept")
		}
	}

	if got := ask(t, tr, endpoint, "{}"); got.Body != "{}" || idle(tr) != 1 {
		t.Errorf("then %+v was answered, and %d connections are kept", got, idle(tr))
	}
}

func idle(tr *Transport) int {
	tr.mu.Lock()
	defer tr.mu.Unlock()

	return len(tr.idle)
}

func TestTakes(t *testing.T) {
	cases := map[string]struct {
		reason string
		change func(*http.Request)
		want   bool
	}{
		"Question":   {reason: "A short body in memory.", change: func(*http.Request) {}, want: true},
		"Encrypted":  {reason: "TLS may be HTTP/2.", change: func(r *http.Request) { r.URL.Scheme = "https" }},
		"NoBody":     {reason: "A request without a body is the standard library's, which may send some of those again.", change: func(r *http.Request) { r.ContentLength = 0 }},
		"Long":       {reason: "A server may answer before it has read a long body.", change: func(r *http.Request) { r.ContentLength = LongestBody + 1 }},
		"Unknown":    {reason: "So may it one whose length is unknown.", change: func(r *http.Request) { r.ContentLength = -1 }},
		"ReadOnce":   {reason: "A body that is on its way cannot be had again.", change: func(r *http.Request) { r.GetBody = nil }},
		"Expects":    {reason: "Who expects leave to send waits for it.", change: func(r *http.Request) { r.Header.Set("Expect", "100-continue") }},
		"Upgrade":    {reason: "An upgraded connection is no answer.", change: func(r *http.Request) { r.Header.Set("Upgrade", "websocket") }},
		"HasTrailer": {reason: "Trailers need a body in chunks.", change: func(r *http.Request) { r.Trailer = http.Header{"X": nil} }},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			endpoint := &url.URL{Scheme: "http", Host: "models.example.org"}
			r := question(t.Context(), t, endpoint, "{}")
			tc.change(r)

			if got := newTransport(t, endpoint).Takes(r); got != tc.want {
				t.Errorf("\n%s\ngot %t", tc.reason, got)
			}
		})
	}
}
