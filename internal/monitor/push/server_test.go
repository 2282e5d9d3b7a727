package push

import (
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// errDown is the failure to reach a server that does not listen.
var errDown = &net.OpError{Op: "dial", Err: errors.New("connection refused")}

// A server stores what it is told as Prometheus does: a push with one sample that is older than its series' newest, or another
// at the same time, is refused as a whole.
type server struct {
	mu     sync.Mutex
	series map[string][]point
	// at are the times of the requests, and sizes the numbers of their series.
	at    []time.Duration
	sizes []int
	began time.Time
	// fault, where there is one, answers in the server's stead. It may store first.
	fault func(store func()) (*http.Response, error)
}

func newServer() *server { return &server{series: map[string][]point{}, began: time.Now()} }

// RoundTrip answers a request.
func (s *server) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}

	told, err := decode(body)
	if err != nil {
		return reply(http.StatusBadRequest, err.Error()), nil
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.at = append(s.at, time.Since(s.began))
	s.sizes = append(s.sizes, len(told))

	if s.fault != nil {
		return s.fault(func() { s.store(told) }) //nolint:bodyclose // It has none.
	}

	return s.store(told), nil
}

// fail has the server fail from now on, or no longer, and returns how many requests there were.
func (s *server) fail(fault func(store func()) (*http.Response, error)) int {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.fault = fault

	return len(s.at)
}

func (s *server) store(all []told) *http.Response {
	for _, one := range all {
		old := s.series[one.Labels]
		for _, p := range one.Points {
			if n := len(old); n > 0 && (p.at < old[n-1].at || p.at == old[n-1].at && p.bits != old[n-1].bits) {
				return reply(http.StatusBadRequest, "out of order sample")
			}

			old = append(old, p)
		}
	}

	for _, one := range all {
		s.series[one.Labels] = append(s.series[one.Labels], one.Points...)
	}

	return reply(http.StatusNoContent, "")
}

// values are the bits that were stored of a series, in order.
func (s *server) values(name string) []uint64 {
	var out []uint64

	for labels, points := range s.series {
		if strings.HasPrefix(labels, "__name__="+name+",") {
			for _, p := range points {
				out = append(out, p.bits)
			}
		}
	}

	return out
}

// increase is what Prometheus' increase finds between the samples of a counter, without its extrapolation.
func (s *server) increase(name string) float64 {
	var sum, last float64

	for n, b := range s.values(name) {
		if b == staleNaN {
			continue
		}

		v := math.Float64frombits(b)
		if n > 0 && v >= last {
			sum += v - last
		} else if n > 0 {
			sum += v
		}

		last = v
	}

	return sum
}

func reply(code int, text string, header ...string) *http.Response {
	r := &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(text))}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}

	return r
}

// newTestPusher returns a pusher of a registry, which has the pusher's own figures too, to a server.
func newTestPusher(t *testing.T, reg *prometheus.Registry, s *server, log io.Writer) *Pusher {
	t.Helper()

	p, err := New(Config{URL: "http://127.0.0.1/api/v1/write", Labels: map[string]string{"pod": "pool-1"}}, reg, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}

	reg.MustRegister(p)

	p.sender.connect = func(ca string) (*http.Client, error) {
		c, err := newClient(ca)
		if err == nil {
			c.Transport = s
		}

		return c, err
	}
	p.sender.client, _ = p.sender.connect("")

	return p
}

func count(c prometheus.Metric) float64 {
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		return -1
	}

	return m.GetCounter().GetValue()
}
