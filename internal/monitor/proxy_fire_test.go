package monitor

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Under fire: many streams at once, a third of them left by the agent at some point and some reset by the model server.
// Each that came to its end is counted exactly once, with what the server billed, and of the others none is counted twice.
func TestUnderFire(t *testing.T) {
	defer goleak.VerifyNone(t)

	const streams = 200

	var billed, finished, untold atomic.Int64

	model := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(b), `"include_usage":true`) {
			untold.Add(1)
		}

		rw.Header().Set("Content-Type", "text/event-stream")

		n := 5 + rand.IntN(40)
		for i := range n {
			if rand.IntN(20*n) == i {
				panic(http.ErrAbortHandler)
			}

			fmt.Fprint(rw, words)
			_ = http.NewResponseController(rw).Flush()
		}

		billed.Add(int64(n))
		fmt.Fprintf(rw, "data: {\"model\":\"m-2\",\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":1}}\n\ndata: [DONE]\n\n", n)
	}))
	defer model.Close()

	m := startMetered(t, model.URL)
	m.settled = make(chan int64, streams)

	var wg sync.WaitGroup

	for i := range streams {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()

			leave := -1
			if i%3 == 0 {
				leave = rand.IntN(20 * len(words))
			}

			if m.stream(ctx, leave) {
				finished.Add(1)
			}
		})
	}

	wg.Wait()

	// All are settled, also those that were left.
	for range streams {
		select {
		case <-m.settled:
		case <-time.After(20 * time.Second):
			t.Fatal("not all requests were settled")
		}
	}

	m.judge(t, streams, finished.Load(), billed.Load())

	if untold.Load() > 0 {
		t.Errorf("%d requests did not ask for the usage", untold.Load())
	}

	m.client.CloseIdleConnections()
	m.stop()
}

// stream reads a stream, or leaves it after so many bytes, and says whether it came to its end.
func (m *metered) stream(ctx context.Context, leave int) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.url+"/v1/chat/completions", strings.NewReader(streamed))
	if err != nil {
		return false
	}

	rsp, err := m.client.Do(req)
	if err != nil {
		return false
	}
	defer rsp.Body.Close()

	if leave >= 0 {
		_, _ = io.CopyN(io.Discard, rsp.Body, int64(leave))

		return false
	}

	b, err := io.ReadAll(rsp.Body)

	return err == nil && strings.HasSuffix(string(b), doneMark)
}

// judge compares what was counted with what the agents and the model server know.
func (m *metered) judge(t *testing.T, streams, finished, billed int64) {
	t.Helper()

	counted := m.counted(t)
	requests, missed := 0.0, 0.0

	for name, n := range counted {
		switch {
		case strings.HasPrefix(name, "requests_total"):
			requests += n
		case strings.HasPrefix(name, "usage_missing_total"):
			missed += n
		}
	}

	// Each that told its usage wrote one token.
	told := counted["tokens_total direction=output model=m-2"]
	input := counted["tokens_total direction=input model=m-2"]

	if requests != float64(streams) || told+missed > requests || told < float64(finished) || input > float64(billed) {
		t.Errorf("%d streams, of which %d came to their end and %d tokens were billed: %v", streams, finished, billed, counted)
	}

	if ok := counted["requests_total outcome=ok model=m-2"]; ok < float64(finished) || ok > told {
		t.Errorf("%v are ok, but %d came to their end and %v told their usage", ok, finished, told)
	}

	t.Logf("%d streams: %d came to their end, %v told %v tokens of %d billed, %v did not", streams, finished, told, input, billed, missed)
}
