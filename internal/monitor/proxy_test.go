package monitor

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A seen request, as the model server saw it.
type seen struct {
	Method, URI, Host, Authorization, APIKey, Encoding, Forwarded, Agent, Body string
}

func startModel(tb testing.TB) (*httptest.Server, *seen) {
	tb.Helper()

	s := &seen{}
	srv := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		*s = seen{
			r.Method, r.RequestURI, r.Host, r.Header.Get("Authorization"), r.Header.Get("X-Api-Key"), r.Header.Get("Accept-Encoding"),
			r.Header.Get("X-Forwarded-For"), r.Header.Get("User-Agent"), string(b),
		}

		rw.Header().Set("X-Request-Id", "r1")
		rw.WriteHeader(http.StatusTeapot)
		fmt.Fprint(rw, "\x1f\x8bnot touched")
	}))
	tb.Cleanup(srv.Close)

	return srv, s
}

func startProxy(tb testing.TB, endpoint, protocol, keyFile string, log io.Writer) (*httptest.Server, *prometheus.Registry) {
	tb.Helper()

	reg := prometheus.NewRegistry()

	p, err := NewProxy(ProxyConfig{Endpoint: endpoint, Protocol: protocol, KeyFile: keyFile, AskForUsage: true}, reg, slog.New(slog.NewJSONHandler(log, nil)))
	if err != nil {
		tb.Fatal(err)
	}

	srv := httptest.NewServer(p)
	tb.Cleanup(func() { srv.Close(); p.Close() })

	return srv, reg
}

func TestProxy(t *testing.T) {
	const sent = "Bearer set-by-the-monitor"

	cases := map[string]struct {
		reason   string
		path     string
		protocol string
		key      *string
		want     seen
	}{
		"NoKey": {
			reason: "Without a key requests go as they came.", path: "/v1", protocol: ProtocolOpenAI,
			want: seen{URI: "/v1/chat/completions?a=b;c&d=%zz", Authorization: sent, APIKey: "old"},
		},
		"OpenAI": {
			reason: "The platform's key replaces whatever the agent sent.", path: "/v1/", protocol: ProtocolOpenAI, key: new("k1\n"),
			want: seen{URI: "/v1/chat/completions?a=b;c&d=%zz", Authorization: "Bearer k1"},
		},
		"Anthropic": {
			reason: "Each protocol has its own header.", protocol: ProtocolAnthropic, key: new("k2"),
			want: seen{URI: "/chat/completions?a=b;c&d=%zz", APIKey: "k2"},
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			model, got := startModel(t)
			key := filepath.Join(t.TempDir(), "key")

			if tc.key != nil {
				if err := os.WriteFile(key, []byte(*tc.key), 0o600); err != nil {
					t.Fatal(err)
				}
			}

			proxy, reg := startProxy(t, model.URL+tc.path, tc.protocol, key, io.Discard)

			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, proxy.URL+"/chat/completions?a=b;c&d=%zz", strings.NewReader("{ \"x\":1}"))
			req.Header = http.Header{"Authorization": {sent}, "X-Api-Key": {"old"}, "Accept-Encoding": {"br"}, "User-Agent": {"agent/1"}}

			rsp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer rsp.Body.Close()

			body, _ := io.ReadAll(rsp.Body)
			if rsp.StatusCode != http.StatusTeapot || rsp.Header.Get("X-Request-Id") != "r1" || string(body) != "\x1f\x8bnot touched" {
				t.Errorf("\n%s\nthe answer was changed: %d %v %q", tc.reason, rsp.StatusCode, rsp.Header, body)
			}

			tc.want.Method, tc.want.Host = http.MethodPut, strings.TrimPrefix(model.URL, "http://")
			tc.want.Encoding, tc.want.Agent, tc.want.Body = "br", "agent/1", "{ \"x\":1}"

			if diff := cmp.Diff(tc.want, *got); diff != "" {
				t.Errorf("\n%s\nwhat the model saw: -want, +got:\n%s", tc.reason, diff)
			}

			if n := counted(t, reg); n != 1 {
				t.Errorf("\n%s\n%v requests were counted", tc.reason, n)
			}
		})
	}
}

// counted returns how many requests the proxy's metrics tell of.
func counted(t *testing.T, reg *prometheus.Registry) float64 {
	t.Helper()

	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}

	n := 0.0

	for _, f := range families {
		if f.GetName() == monitorapi.MetricProxyRequests {
			for _, m := range f.GetMetric() {
				n += m.GetCounter().GetValue()
			}
		}
	}

	return n
}

// A key that has changed is used a second later, one that came for the first time or was mended, too, and none where there is
// none any more.
func TestProxyReadsTheKeyAnew(t *testing.T) {
	model, got := startModel(t)
	key := filepath.Join(t.TempDir(), "key")

	p, err := NewProxy(ProxyConfig{Endpoint: model.URL, Protocol: ProtocolOpenAI, KeyFile: key}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()

	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p.key.now = func() time.Time { return now }

	for _, step := range []struct {
		file  string
		later time.Duration
		want  string
	}{
		{"", 0, ""}, {"first", keyLasts, "Bearer first"}, {"second", keyLasts - 1, "Bearer first"}, {"second", 1, "Bearer second"},
		{"\n", keyLasts, "502"}, {"third", 0, "Bearer third"}, {"", keyLasts, ""}, {"third", keyLasts, "Bearer third"},
	} {
		now = now.Add(step.later)

		err := os.WriteFile(key, []byte(step.file), 0o600)
		if step.file == "" {
			err = errors.Join(err, os.Remove(key))
		}

		if err != nil {
			t.Fatal(err)
		}

		rsp := httptest.NewRecorder()
		p.ServeHTTP(rsp, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/models", nil))

		saw := got.Authorization
		if rsp.Code == http.StatusBadGateway {
			saw = "502"
		}

		if saw != step.want {
			t.Errorf("the model saw %q after %s with %q in the file, want %q", saw, step.later, step.file, step.want)
		}
	}
}

// A chunk must arrive before the next is sent: the model waits for the client to have read it.
func TestProxyStreams(t *testing.T) {
	read := make(chan struct{})
	model := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		for i := range 3 {
			fmt.Fprintf(rw, "data: %d\n", i)
			_ = http.NewResponseController(rw).Flush()

			select {
			case <-read:
			case <-r.Context().Done():
				return
			}
		}

		panic(http.ErrAbortHandler)
	}))
	defer model.Close()

	proxy, _ := startProxy(t, model.URL, ProtocolOpenAI, "", io.Discard)

	rsp, err := http.Get(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()

	lines := bufio.NewScanner(rsp.Body)
	for i := range 3 {
		if !lines.Scan() || lines.Text() != fmt.Sprintf("data: %d", i) {
			t.Fatalf("read %q: %v", lines.Text(), lines.Err())
		}

		read <- struct{}{}
	}

	if lines.Scan() || lines.Err() == nil {
		t.Errorf("a stream that was cut ended as if it were whole: %q", lines.Text())
	}
}

func TestProxyWithoutModel(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()

	cases := map[string]struct {
		reason string
		key    string
		says   string
	}{
		"Unreachable": {reason: "An agent is told which server did not answer.", key: "a-secret", says: strings.TrimPrefix(gone.URL, "http://")},
		"EmptyKey":    {reason: "An empty key is the platform team's mistake, and told as that.", key: "\n", says: "the Secret's value is empty"},
		"TwoLines":    {reason: "A key that cannot be sent is not sent in part.", key: "a-secret\nb", says: "not one line"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			key := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(key, []byte(tc.key), 0o600); err != nil {
				t.Fatal(err)
			}

			var log bytes.Buffer

			proxy, _ := startProxy(t, gone.URL, ProtocolOpenAI, key, &log)

			rsp, err := http.Post(proxy.URL+"/a-path", "text/plain", strings.NewReader("a-prompt"))
			if err != nil {
				t.Fatal(err)
			}
			defer rsp.Body.Close()

			body, _ := io.ReadAll(rsp.Body)
			if rsp.StatusCode != http.StatusBadGateway || !strings.Contains(string(body), tc.says) {
				t.Errorf("\n%s\n%d %s\nwant 502 with %q", tc.reason, rsp.StatusCode, body, tc.says)
			}

			for _, secret := range []string{"a-secret", "a-prompt", "a-path"} {
				if strings.Contains(string(body)+log.String(), secret) {
					t.Errorf("\n%s\n%q was told on: %s %s", tc.reason, secret, body, log.String())
				}
			}
		})
	}
}

func TestNewProxyRefuses(t *testing.T) {
	for name, args := range map[string][2]string{
		"NoURL": {"models", ProtocolOpenAI}, "NoScheme": {"//models/v1", ProtocolOpenAI}, "OtherScheme": {"ftp://models", ProtocolOpenAI},
		"NoProtocol": {"http://models", "openai"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := NewProxy(ProxyConfig{Endpoint: args[0], Protocol: args[1]}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler)); err == nil {
				t.Errorf("NewProxy(%q, %q) succeeded", args[0], args[1])
			}
		})
	}
}

// BenchmarkProxy measures what the proxy adds to a model that answers at once.
func BenchmarkProxy(b *testing.B) {
	model := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "ok") }))
	defer model.Close()

	proxy, _ := startProxy(b, model.URL, ProtocolOpenAI, "", io.Discard)

	for name, url := range map[string]string{"Direct": model.URL, "Proxied": proxy.URL} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()

			for b.Loop() {
				rsp, err := http.Get(url)
				if err != nil {
					b.Fatal(err)
				}

				_, _ = io.Copy(io.Discard, rsp.Body)
				_ = rsp.Body.Close()
			}
		})
	}
}
