//go:build bench

package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// percentile returns a percentile of durations, which it sorts.
func percentile(d []time.Duration, p int) time.Duration {
	slices.Sort(d)

	return d[min(len(d)-1, len(d)*p/100)]
}

// small asks for small answers, and returns how long each took.
func small(t *testing.T, p proxy) []time.Duration {
	t.Helper()

	c := p.client()
	defer c.CloseIdleConnections()

	var (
		left atomic.Int64
		mu   sync.Mutex
		all  []time.Duration
		wg   sync.WaitGroup
	)

	left.Store(smallRequests)

	for range smallClients {
		wg.Go(func() {
			took := make([]time.Duration, 0, smallRequests/smallClients)

			for left.Add(-1) >= 0 {
				began := time.Now()

				rsp := post(t.Context(), t, c, p.url, chatRequest)
				if rsp == nil {
					return
				}

				n, err := io.Copy(io.Discard, rsp.Body)
				_ = rsp.Body.Close()

				if err != nil || n != int64(len(chatAnswer)) {
					t.Errorf("%d bytes of an answer came: %v", n, err)

					return
				}

				took = append(took, time.Since(began))
			}

			mu.Lock()
			defer mu.Unlock()

			all = append(all, took...)
		})
	}

	wg.Wait()

	return all
}

var streamRequest = strings.Replace(chatRequest, "{", `{"stream":true,`, 1)

// latencies returns how long each event of some streams was on its way.
func latencies(t *testing.T, p proxy) []time.Duration {
	t.Helper()

	c := p.client()
	defer c.CloseIdleConnections()

	var (
		mu  sync.Mutex
		all []time.Duration
		wg  sync.WaitGroup
	)

	for range streams {
		wg.Go(func() {
			rsp := post(t.Context(), t, c, p.url, streamRequest, "X-Events", strconv.Itoa(eventsPerStream))
			if rsp == nil {
				return
			}
			defer rsp.Body.Close()

			took := make([]time.Duration, 0, eventsPerStream)

			for lines := bufio.NewScanner(rsp.Body); lines.Scan(); {
				now := time.Now().UnixNano()

				_, rest, ok := strings.Cut(lines.Text(), `"delta":{"content":"`)
				if !ok {
					continue
				}

				digits, _, _ := strings.Cut(rest, `"`)
				sent, _ := strconv.ParseInt(digits, 10, 64)
				took = append(took, time.Duration(now-sent))
			}

			if len(took) != eventsPerStream {
				t.Errorf("%d events came", len(took))
			}

			mu.Lock()
			defer mu.Unlock()

			all = append(all, took...)
		})

		time.Sleep(eventPause / streams)
	}

	wg.Wait()

	return all
}

// memory returns how much more a proxy holds for each of many open streams, in KiB.
func memory(t *testing.T, p proxy) float64 {
	t.Helper()

	c := p.client()
	defer c.CloseIdleConnections()

	before := p.rss(t)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()

	open := make([]io.Closer, 0, manyStreams)

	defer func() {
		for _, body := range open {
			_ = body.Close()
		}
	}()

	for range manyStreams {
		rsp := post(ctx, t, c, p.url, streamRequest, "X-Events", "3", "X-Hold", "1") //nolint:bodyclose // All are closed together.
		if rsp == nil {
			return 0
		}

		open = append(open, rsp.Body)

		for n, lines := 0, bufio.NewScanner(rsp.Body); n < 3 && lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "data: ") {
				n++
			}
		}
	}

	time.Sleep(2 * time.Second)

	return float64(p.rss(t)-before) / manyStreams
}

// Figures of a proxy, of all rounds.
type figures struct {
	small, events []time.Duration
	cpu           time.Duration
}

// take takes the figures of one round.
func (f *figures) take(t *testing.T, p proxy) {
	t.Helper()

	if p.pid != 0 {
		f.cpu -= p.cpu(t)
	}

	f.small = append(f.small, small(t, p)...)

	if p.pid != 0 {
		f.cpu += p.cpu(t)
	}

	f.events = append(f.events, latencies(t, p)...)
}

// perSecond returns how many small answers a second of the processor's time is enough for.
func (f *figures) perSecond() float64 { return float64(len(f.small)) / f.cpu.Seconds() }

// both returns the 50th and the 99th percentile.
func both(d []time.Duration) string {
	return fmt.Sprintf("%s, %s", percentile(d, 50).Round(time.Microsecond), percentile(d, 99).Round(time.Microsecond))
}
