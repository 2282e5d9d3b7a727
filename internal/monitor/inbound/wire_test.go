package inbound

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// Interim answers and trailers are the client's.
func TestInterimAndTrailers(t *testing.T) {
	for _, protocol := range []string{monitorapi.InboundHTTP, monitorapi.InboundA2A} {
		_, url := serve(t, protocol, never, func(rw http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // It is only sent.

			rw.Header().Set("Link", "</early>")
			rw.WriteHeader(http.StatusEarlyHints)
			rw.Header().Set("Trailer", "X-After")
			fmt.Fprint(rw, "body")
			rw.Header().Set("X-After", "all")
			rw.Header().Set(http.TrailerPrefix+"X-Late", "more")
		})

		var interim int

		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			interim = code

			return nil
		}})

		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/message:send", strings.NewReader(toREST))
		if err != nil {
			t.Fatal(err)
		}

		rsp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}

		b, err := io.ReadAll(rsp.Body)
		_ = rsp.Body.Close()

		if err != nil || interim != http.StatusEarlyHints || string(b) != "body" || rsp.Trailer.Get("X-After") != "all" || rsp.Trailer.Get("X-Late") != "more" {
			t.Errorf("%s: %d before %q (%v), %v behind", protocol, interim, b, err, rsp.Trailer)
		}
	}
}

// gRPC needs HTTP/2, which the proxy does not speak: whether a message goes on with a task is deep in its bytes, and a drain
// that cannot tell would cut tasks off. A client is told at once, and the agent sees nothing of it.
func TestHTTP2IsRefused(t *testing.T) {
	reached := make(chan struct{}, 1)
	p, url := serve(t, monitorapi.InboundA2A, never, func(http.ResponseWriter, *http.Request) { reached <- struct{}{} })

	var only http.Protocols

	only.SetUnencryptedHTTP2(true)

	tr := &http.Transport{Protocols: &only}
	defer tr.CloseIdleConnections()

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/lf.a2a.v1.A2AService/SendMessage", strings.NewReader("\x00\x00\x00\x00\x00"))
	if err != nil {
		t.Fatal(err)
	}

	req.Header.Set("Content-Type", "application/grpc")

	rsp, err := tr.RoundTrip(req)
	if err == nil {
		_ = rsp.Body.Close()

		t.Fatalf("it is answered %d", rsp.StatusCode)
	}

	if ctx.Err() != nil || len(reached) > 0 || p.Open() != 0 {
		t.Errorf("after %v %d requests reached the agent, and %d are open", err, len(reached), p.Open())
	}
}

// An agent that hangs holds its own clients and nobody else: a request to it is open as long as its client waits, is not
// asked about for longer than a reading may take, and ends with its client.
func TestHungAgent(t *testing.T) {
	arrived := make(chan struct{}, 2)
	p, url := seeing(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // Only then it is noticed that the client leaves.

		arrived <- struct{}{}
		<-r.Context().Done()
	})

	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan error, 1)

	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/message:send", strings.NewReader(`{"message":{"taskId":"t"}}`))
		if err != nil {
			left <- err

			return
		}

		rsp, err := http.DefaultClient.Do(req)
		if err == nil {
			_ = rsp.Body.Close()
		}

		left <- err
	}()

	<-arrived

	if p.Open() != 1 {
		t.Errorf("%d requests are open", p.Open())
	}

	// The agent does not say what became of the task, which is therefore still there.
	p.tally.now = func() time.Time { return time.Now().Add(askAfter) }

	short, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer stop()

	if got := countOf(short, p.tally); got != (tallied{1, 1, 0, ""}) || short.Err() == nil {
		t.Errorf("%+v", got)
	}

	cancel()

	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("the client got %v", err)
	}

	noneOpen(t, p)
}

// An agent may begin its answer before it has read all of the request, and the answer is not cut off for that.
func TestEarlyAnswer(t *testing.T) {
	for _, protocol := range []string{monitorapi.InboundHTTP, monitorapi.InboundA2A} {
		_, url := serve(t, protocol, never, func(rw http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(rw).EnableFullDuplex() // As agents in other languages have it.

			for n := range 20 {
				fmt.Fprintln(rw, n)
				_ = http.NewResponseController(rw).Flush() // The test sees what does not come.
			}

			_, _ = io.Copy(io.Discard, r.Body) // It is only sent.
		})

		for range 100 {
			code, got, _ := send(t.Context(), t, http.MethodPost, url+"/message:send", toREST)
			if code != http.StatusOK || !strings.HasSuffix(got, "\n19\n") {
				t.Fatalf("%s: %d %q", protocol, code, got)
			}
		}
	}
}
