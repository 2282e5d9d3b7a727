package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

// What becomes of a stream under fire: one in twenty is reset by the model server, and of the others a third is left by the
// agent at some point: half of those while the model writes, and half whenever it happens, perhaps when all is written.
const (
	reset    = "reset"
	left     = "left"
	raced    = "raced"
	finished = "finished"
)

func fate(i int) string {
	switch {
	case i%20 == 7:
		return reset
	case i%6 == 0:
		return left
	case i%3 == 0:
		return raced
	default:
		return finished
	}
}

// A fire is a model server whose streams end as they are asked to, and that remembers what it billed.
type fire struct {
	billed, maybe, asked, resets atomic.Int64
	// major is the version of HTTP that it was asked by.
	major atomic.Int64
}

// ServeHTTP implements http.Handler. The fate is asked for in a header.
func (f *fire) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	if strings.Contains(string(b), `"include_usage":true`) {
		f.asked.Add(1)
	}

	f.major.Store(int64(r.ProtoMajor))
	rw.Header().Set("Content-Type", "text/event-stream")

	n, fate, at := 5+rand.IntN(40), r.Header.Get("X-Fate"), -1
	if fate == reset {
		at = rand.IntN(n)
	}

	for i := range n {
		if i == at {
			f.reset(rw)

			return
		}

		fmt.Fprint(rw, words)
		_ = http.NewResponseController(rw).Flush()

		if fate == raced {
			time.Sleep(time.Duration(rand.IntN(int(time.Millisecond))))
		}
	}

	if fate == left {
		// Else all might be on its way before the agent leaves.
		<-r.Context().Done()

		return
	}

	if fate == raced {
		f.maybe.Add(int64(n))
	} else {
		f.billed.Add(int64(n))
	}

	fmt.Fprintf(rw, "data: {\"model\":\"m-2\",\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":1}}\n\ndata: [DONE]\n\n", n)
}

// reset ends a connection, or a stream of HTTP/2, by a reset: nothing says that it was meant to end.
func (f *fire) reset(rw http.ResponseWriter) {
	c, _, err := http.NewResponseController(rw).Hijack()
	if err != nil {
		f.resets.Add(1)
		panic(http.ErrAbortHandler)
	}

	if tcp, ok := c.(*net.TCPConn); ok && tcp.SetLinger(0) == nil && tcp.Close() == nil {
		f.resets.Add(1)
	}
}

// Under fire: many streams at once, a third of them left by the agent at some point and one in twenty reset by the model
// server. Each that came to its end is counted exactly once, with what the server billed; each that was reset is counted as
// broken, once; and each of the others once, too.
func TestUnderFire(t *testing.T) {
	for major, name := range map[int64]string{1: "HTTP1", 2: "HTTP2"} {
		t.Run(name, func(t *testing.T) { underFire(t, major) })
	}
}

func underFire(t *testing.T, major int64) {
	t.Helper()
	defer goleak.VerifyNone(t)

	const streams = 200

	var f fire

	model := httptest.NewUnstartedServer(&f)
	model.Config.ErrorLog = log.New(io.Discard, "", 0)

	if model.EnableHTTP2 = major == 2; model.EnableHTTP2 {
		model.StartTLS()
	} else {
		model.Start()
	}
	defer model.Close()

	m := startMetered(t, model.URL)
	if major == 2 {
		m.proxy.transport.TLSClientConfig = model.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	}

	m.settled = make(chan int64, streams)

	var (
		wg   sync.WaitGroup
		saw  sync.Map
		want = map[string]int{}
	)

	for i := range streams {
		want[fate(i)]++

		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()

			if got := m.stream(ctx, fate(i)); got != fate(i) {
				saw.Store(i, got)
			}
		})
	}

	wg.Wait()
	saw.Range(func(i, got any) bool {
		t.Errorf("stream %v is %v, want %s", i, got, fate(i.(int)))

		return true
	})

	// All are settled, also those that were left.
	for range streams {
		select {
		case <-m.settled:
		case <-time.After(20 * time.Second):
			t.Fatal("not all requests were settled")
		}
	}

	if f.resets.Load() != int64(want[reset]) || want[reset] != streams/20 || f.asked.Load() != streams {
		t.Errorf("%d of %d streams were reset, %d asked for the usage: want %v", f.resets.Load(), streams, f.asked.Load(), want)
	}

	if f.major.Load() != major {
		t.Errorf("the model server was asked by HTTP/%d", f.major.Load())
	}

	m.judge(t, want, f.billed.Load(), f.maybe.Load())
	m.client.CloseIdleConnections()
	m.stop()
}

// stream reads a stream, or leaves it somewhere before its end, and says what became of it.
func (m *metered) stream(ctx context.Context, fate string) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url+"/v1/chat/completions", strings.NewReader(`{"model":"`+fate+`","stream":true}`))
	if err != nil {
		return err.Error()
	}

	req.Header.Set("X-Fate", fate)

	rsp, err := m.client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer rsp.Body.Close()

	// Before the first byte it is told, and later the answer breaks off.
	if rsp.StatusCode == http.StatusBadGateway {
		return reset
	}

	switch fate {
	case left:
		if _, err := io.CopyN(io.Discard, rsp.Body, int64(rand.IntN(5*len(words)))); err != nil {
			return err.Error()
		}

		return left
	case raced:
		if _, err := io.CopyN(io.Discard, rsp.Body, int64(rand.IntN(60*len(words)))); err != nil && !errors.Is(err, io.EOF) {
			return err.Error()
		}

		return raced
	}

	b, err := io.ReadAll(rsp.Body)

	switch {
	case err != nil:
		return reset
	case strings.HasSuffix(string(b), doneMark):
		return finished
	default:
		return "cut off without an error"
	}
}

// judge compares what was counted with what the agents and the model server know. Of the streams that were left whenever it
// happened, those were finished whose usage came; each has one token of output.
func (m *metered) judge(t *testing.T, want map[string]int, billed, maybe int64) {
	t.Helper()

	counted := m.counted(t)
	requests, missed := map[string]int{}, map[string]int{}

	for name, n := range counted {
		// What was not billed is counted under the name that the model is known by, once it was.
		name, _, _ = strings.Cut(name, " model=")
		if outcome, ok := strings.CutPrefix(name, "requests_total outcome="); ok {
			requests[outcome] += int(n)
		}

		if reason, ok := strings.CutPrefix(name, "usage_missing_total reason="); ok {
			missed[reason] += int(n)
		}
	}

	// A reset that comes with the beginning of an answer is one of a server that did not answer.
	unanswered := requests["unreachable"]
	got := m.proxy.Tokens()
	came := int(got.Output) - want[finished]
	all := map[string]int{
		"ok": want[finished] + came, "aborted": want[left] + want[raced] - came, "broken": want[reset] - unanswered,
	}

	if unanswered > 0 {
		all["unreachable"] = unanswered
	}

	if diff := cmp.Diff(all, requests); diff != "" {
		t.Errorf("-want, +counted:\n%s", diff)
	}

	untold := map[string]int{"aborted": want[left] + want[raced] - came, "broken": want[reset] - unanswered}
	if diff := cmp.Diff(untold, missed); diff != "" {
		t.Errorf("without a usage: -want, +counted:\n%s", diff)
	}

	if came < 0 || came > want[raced] || got.Input < billed || got.Input > billed+maybe || int64(counted["tokens_total direction=input model=m-2"]) != got.Input {
		t.Errorf("%d tokens were billed to %d, perhaps %d more to %d, and counted is %+v: %v", billed, want[finished], maybe, want[raced], got, counted)
	}

	t.Logf("%v: %d tokens were billed, %d of those that were left came to their end, %d resets came before the answer", want, got.Input, came, unanswered)
}
