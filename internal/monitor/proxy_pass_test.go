package monitor

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A passage is a request as the model server saw it, and its answer as the agent did.
type passage struct {
	Method, Query, Host, Body string
	Asked, Answered           http.Header
	Said                      string
}

// through sends a request as it is written, and waits for the answer to it.
func (m *metered) through(t *testing.T, wire string) passage {
	t.Helper()

	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(m.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()

	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(conn, wire) // What is missing is seen.

	rsp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()

	b, err := io.ReadAll(rsp.Body)
	if err != nil {
		t.Fatal(err)
	}

	return passage{Answered: rsp.Header, Said: string(b)}
}

// A request that is counted looks to the model server as one that the standard library's reverse proxy passes, and so does its
// answer to the agent: what is for one hop alone goes no further, and all else goes as it came.
func TestPassesAsTheLibraryDoes(t *testing.T) {
	got := make(chan passage, 1)
	model := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body) // What is missing is seen.
		got <- passage{Method: r.Method, Query: r.URL.RawQuery, Host: r.Host, Body: string(b), Asked: r.Header}

		rw.Header()["Date"] = []string{"Tue, 01 Jan 2030 00:00:00 GMT"}
		rw.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
		rw.Header().Set("Connection", "X-Ours")
		rw.Header().Set("X-Ours", "for the next hop")
		rw.Header().Set("Keep-Alive", "timeout=5")
		rw.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = io.WriteString(rw, `{"usage":null}`) // As above.
	}))
	defer model.Close()

	m := startMetered(t, model.URL+"/prefix")

	cases := map[string]struct{ reason, head, body string }{
		"Plain":      {reason: "With what every client sends.", head: "Host: x\r\nContent-Length: 13\r\nContent-Type: application/json\r\n", body: `{"model":"m"}`},
		"Chunked":    {reason: "The length need not be known.", head: "Host: x\r\nTransfer-Encoding: chunked\r\n", body: "d\r\n{\"model\":\"m\"}\r\n0\r\n\r\n"},
		"OneHop":     {reason: "What Connection names, and what is known to be for one hop.", head: "Host: x\r\nContent-Length: 2\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Authorization: k\r\nX-Stays: 1\r\nX-Stays: 2\r\n", body: "{}"},
		"Trailers":   {reason: "Who understands trailers still does.", head: "Host: x\r\nContent-Length: 2\r\nTe: deflate, trailers\r\nConnection: Te\r\n", body: "{}"},
		"NoTrailers": {reason: "And who does not, does not.", head: "Host: x\r\nContent-Length: 2\r\nTe: deflate\r\n", body: "{}"},
		"Claims":     {reason: "Nobody is told who asks.", head: "Host: x\r\nContent-Length: 2\r\nForwarded: for=a\r\nX-Forwarded-For: a\r\nX-Forwarded-Host: b\r\nX-Forwarded-Proto: c\r\nUser-Agent: agent/1\r\n", body: "{}"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ask := func(path string) passage {
				seen := m.through(t, "POST "+path+"?a=b;c&d=%zz HTTP/1.1\r\n"+tc.head+"\r\n"+tc.body)
				asked := <-got
				asked.Answered, asked.Said = seen.Answered, seen.Said

				// How a body is delimited is for one hop, too, and where it is not known in advance we know better.
				asked.Asked.Del("Content-Length")

				return asked
			}

			want, counted := ask("/v1/files"), ask("/v1/chat/completions")
			if diff := cmp.Diff(want, counted); diff != "" {
				t.Errorf("\n%s\n-as the library passes it, +as we do:\n%s", tc.reason, diff)
			}
		})
	}
}
