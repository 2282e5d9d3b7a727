package monitor

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A wired answer is what an agent sees of one beside its body: interim answers before it, and trailers behind.
type wired struct {
	Interim  []string
	Code     int
	Body     string
	Trailers string
	Protocol string
}

// wire asks through a proxy and looks at all that comes.
func (m *metered) wire(t *testing.T, body string) wired {
	t.Helper()

	var got wired

	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		got.Interim = append(got.Interim, fmt.Sprint(code, " ", h.Get("Link")))

		return nil
	}})

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}

	rsp, err := m.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()

	b, err := io.ReadAll(rsp.Body)
	if err != nil {
		t.Fatal(err)
	}

	got.Code, got.Body, got.Protocol = rsp.StatusCode, string(b), rsp.Header.Get("X-Protocol")
	got.Trailers = rsp.Trailer.Get("X-After") + "/" + rsp.Trailer.Get("X-Late")

	return got
}

// Interim answers and trailers pass, those that were announced and those that were not, whichever HTTP the model server
// speaks; and with a usage hidden in between.
func TestInterimAndTrailers(t *testing.T) {
	answer := func(events ...string) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // It is only sent.

			rw.Header().Set("Link", "</early>")
			rw.WriteHeader(http.StatusEarlyHints)
			rw.Header().Del("Link")
			rw.Header().Set("Trailer", "X-After")
			rw.Header().Set("X-Protocol", r.Proto)
			sse(events...)(rw, r)
			rw.Header().Set("X-After", "all")
			rw.Header().Set(http.TrailerPrefix+"X-Late", "more")
		}
	}

	want := wired{Interim: []string{"103 </early>"}, Code: http.StatusOK, Body: words + doneMark, Trailers: "all/more"}

	for name, tc := range map[string]struct {
		reason string
		http2  bool
	}{
		"HTTP1": {reason: "As HTTP/1.1 has them."},
		"HTTP2": {reason: "As HTTP/2 has them, over TLS.", http2: true},
	} {
		t.Run(name, func(t *testing.T) {
			model := httptest.NewUnstartedServer(answer(words, lastUsage, doneMark))
			want.Protocol = "HTTP/1.1"

			if tc.http2 {
				model.EnableHTTP2 = true
				want.Protocol = "HTTP/2.0"

				model.StartTLS()
			} else {
				model.Start()
			}
			defer model.Close()

			m := startMetered(t, model.URL)
			if tc.http2 {
				m.proxy.transport.TLSClientConfig = model.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
			}

			if diff := cmp.Diff(want, m.wire(t, streamed)); diff != "" {
				t.Errorf("\n%s\n-want, +got:\n%s", tc.reason, diff)
			}

			if n := <-m.settled; n != 12 {
				t.Errorf("%d tokens were settled, want 12", n)
			}
		})
	}
}

// A client that waits for leave to send its body gets it, and one whose request is refused is told so.
func TestExpectContinue(t *testing.T) {
	model := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body) // What is missing is seen.
		fmt.Fprintf(rw, "%d bytes, expects %q", len(b), r.Header.Get("Expect"))
	}))
	defer model.Close()

	m := startMetered(t, model.URL)

	for _, path := range []string{"/v1/chat/completions", "/v1/files"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, m.url+path, strings.NewReader(`{"model":"m"}`))
		if err != nil {
			t.Fatal(err)
		}

		req.Header.Set("Expect", "100-continue")

		rsp, err := m.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}

		b, err := io.ReadAll(rsp.Body)
		_ = rsp.Body.Close()

		if err != nil || !strings.HasPrefix(string(b), "13 bytes") {
			t.Errorf("%s: the model server got %s (%v)", path, b, err)
		}
	}
}

// A model server may begin its answer before it has read all of the request, and the answer is not cut off for that.
func TestEarlyAnswer(t *testing.T) {
	model := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(rw).EnableFullDuplex() // As servers in other languages have it.

		for n := range 20 {
			fmt.Fprintln(rw, n)
			_ = http.NewResponseController(rw).Flush() // The test sees what does not come.
		}

		_, _ = io.Copy(io.Discard, r.Body) // It is only sent.
	}))
	defer model.Close()

	m := startMetered(t, model.URL)

	for _, path := range []string{"/v1/chat/completions", "/v1/files"} {
		for range 100 {
			if got := m.post(t, path, `{"model":"m"}`); got.Code != http.StatusOK || !strings.HasSuffix(got.Body, "\n19\n") || got.Broken {
				t.Fatalf("%s: %+v", path, got)
			}
		}
	}
}
