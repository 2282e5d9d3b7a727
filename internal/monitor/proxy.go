package monitor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// The protocols of model servers, by how a key is sent. They are written as the catalog writes them.
const (
	ProtocolOpenAI    = "OpenAI"
	ProtocolAnthropic = "Anthropic"
)

// How long a model server may take to accept a connection, and to begin its answer: reasoning models think for minutes
// before the first byte. An answer that has begun may take as long as the agent waits for it.
const (
	dialTimeout      = 10 * time.Second
	firstByteTimeout = 10 * time.Minute
)

// A Proxy stands between the agent and its model: what the agent asks for goes to the endpoint, with the key of the file
// instead of what the agent sent, and what the model answers goes back byte by byte as it arrives.
type Proxy struct {
	http.Handler

	transport *http.Transport
}

// Close lets go of the connections to the model server that no request uses.
func (p *Proxy) Close() { p.transport.CloseIdleConnections() }

// NewProxy returns the proxy to an endpoint that speaks a protocol. The key file may come and go.
func NewProxy(endpoint, protocol, keyFile string, reg prometheus.Registerer, log *slog.Logger) (*Proxy, error) {
	target, err := url.Parse(endpoint)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return nil, fmt.Errorf("cannot use %q as the model's endpoint: want a URL such as https://models.example.org/v1", endpoint)
	}

	if protocol != ProtocolOpenAI && protocol != ProtocolAnthropic {
		return nil, fmt.Errorf("cannot speak %q to a model: want %s or %s", protocol, ProtocolOpenAI, ProtocolAnthropic)
	}

	transport := newTransport()

	return &Proxy{transport: transport, Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			// As it came: the package drops what it cannot parse, for handlers that read it. This one does not.
			r.Out.URL.RawQuery = r.In.URL.RawQuery
			r.SetURL(target)
			r.Out.Host = target.Host
		},
		Transport:     &keyed{next: &timed{next: transport, metrics: newProxyMetrics(reg)}, file: keyFile, protocol: protocol},
		FlushInterval: -1,
		BufferPool:    &buffers{},
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ErrorHandler:  upstreamError(target.Host, log),
	}}, nil
}

// buffers are used again: one for each answer would be most of what the proxy allocates.
type buffers struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}

	return make([]byte, 32<<10)
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(p []byte) { b.pool.Put(&p) }

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: dialTimeout}).DialContext,
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: firstByteTimeout,
		ForceAttemptHTTP2:     true,
		MaxIdleConnsPerHost:   32,
		IdleConnTimeout:       90 * time.Second,
		// The bytes are the client's: we neither ask for compression nor undo it.
		DisableCompression: true,
	}
}

// keyed sends the platform's key in the protocol's way, and nothing of what the agent took for one. Without a key file
// requests go as they came.
type keyed struct {
	next           http.RoundTripper
	file, protocol string
}

// RoundTrip implements http.RoundTripper.
func (k *keyed) RoundTrip(r *http.Request) (*http.Response, error) {
	// Read for each request: Secrets are rotated under running workers, and a read is nothing beside a model's answer.
	key, err := readKey(k.file)
	if err != nil {
		return nil, err
	}

	if key == "" {
		return k.next.RoundTrip(r)
	}

	r = r.Clone(r.Context())
	r.Header.Del("Authorization")
	r.Header.Del("X-Api-Key")

	if k.protocol == ProtocolAnthropic {
		r.Header.Set("X-Api-Key", key)
	} else {
		r.Header.Set("Authorization", "Bearer "+key)
	}

	return k.next.RoundTrip(r)
}

// readKey returns the key in a file, or none where there is no file. A file without a key is a mistake that is told here,
// because a model server would only say 401.
func readKey(file string) (string, error) {
	b, err := os.ReadFile(file)

	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("cannot read the model's key: %w", err)
	}

	key := strings.TrimSpace(string(b))
	if key == "" || strings.ContainsFunc(key, unicode.IsControl) {
		return "", errors.New("cannot use the model's key: the Secret's value is empty or not one line")
	}

	return key, nil
}

// upstreamError answers for a model that did not. It names the host, never a key, a path or a prompt.
func upstreamError(host string, log *slog.Logger) func(http.ResponseWriter, *http.Request, error) {
	return func(rw http.ResponseWriter, r *http.Request, err error) {
		if errors.Is(r.Context().Err(), context.Canceled) {
			// The agent went away; nobody reads an answer.
			rw.WriteHeader(http.StatusBadGateway)

			return
		}

		log.Warn("no answer from the model server", "host", host, "error", err.Error())
		answer(rw, http.StatusBadGateway, map[string]any{"error": map[string]string{
			"type":    "upstream_unreachable",
			"message": fmt.Sprintf("the monitor got no answer from the model server %s: %s", host, err),
		}})
	}
}

type proxyMetrics struct {
	requests  *prometheus.CounterVec
	firstByte prometheus.Histogram
}

func newProxyMetrics(reg prometheus.Registerer) *proxyMetrics {
	m := &proxyMetrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: monitorapi.MetricProxyRequests, Help: "Requests to the model server, by the class of its answer.",
		}, []string{"code"}),
		firstByte: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: monitorapi.MetricProxySeconds, Help: "Time until the model server began its answer.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
		}),
	}
	reg.MustRegister(m.requests, m.firstByte)

	return m
}

// timed counts what the model server answers.
type timed struct {
	next    http.RoundTripper
	metrics *proxyMetrics
}

// RoundTrip implements http.RoundTripper.
func (t *timed) RoundTrip(r *http.Request) (*http.Response, error) {
	start := time.Now()

	rsp, err := t.next.RoundTrip(r)
	if err != nil {
		t.metrics.requests.WithLabelValues("error").Inc()

		return nil, err
	}

	t.metrics.requests.WithLabelValues(fmt.Sprintf("%dxx", rsp.StatusCode/100)).Inc()
	t.metrics.firstByte.Observe(time.Since(start).Seconds())

	return rsp, nil
}
