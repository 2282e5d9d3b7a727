package monitor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

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

// NewProxy returns the handler between the agent and its model: what the agent asks for goes to the endpoint, with the
// key of the file instead of what the agent sent, and what the model answers goes back byte by byte as it arrives.
func NewProxy(endpoint, protocol, keyFile string, reg prometheus.Registerer, log *slog.Logger) (http.Handler, error) {
	target, err := url.Parse(endpoint)
	if err != nil || target.Host == "" {
		return nil, fmt.Errorf("cannot use %q as the model's endpoint: want a URL such as https://models.example.org/v1", endpoint)
	}

	if protocol != ProtocolOpenAI && protocol != ProtocolAnthropic {
		return nil, fmt.Errorf("cannot speak %q to a model: want %s or %s", protocol, ProtocolOpenAI, ProtocolAnthropic)
	}

	keys := &keyReader{file: keyFile}
	m := newProxyMetrics(reg)

	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = target.Host
			setKey(r.Out.Header, protocol, keys.get())
		},
		Transport:     &timed{next: newTransport(), metrics: m},
		FlushInterval: -1,
		ErrorLog:      slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ErrorHandler:  upstreamError(target.Host, log),
	}, nil
}

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

// setKey sends the platform's key in the protocol's way, and nothing of what the agent took for one.
func setKey(h http.Header, protocol, key string) {
	if key == "" {
		return
	}

	h.Del("Authorization")
	h.Del("X-Api-Key")

	if protocol == ProtocolAnthropic {
		h.Set("X-Api-Key", key)

		return
	}

	h.Set("Authorization", "Bearer "+key)
}

// upstreamError answers for a model that did not. It names the host, never a key, a path or a prompt.
func upstreamError(host string, log *slog.Logger) func(http.ResponseWriter, *http.Request, error) {
	return func(rw http.ResponseWriter, r *http.Request, err error) {
		if errors.Is(err, context.Canceled) {
			// The agent went away; nobody reads an answer.
			return
		}

		log.Warn("the model server did not answer", "host", host, "error", err.Error())
		answer(rw, http.StatusBadGateway, map[string]any{"error": map[string]string{
			"type":    "upstream_unreachable",
			"message": fmt.Sprintf("the model server %s did not answer: %s", host, err),
		}})
	}
}

// A keyReader reads the key anew when its file has changed: Secrets are rotated under running workers.
type keyReader struct {
	file string

	mu    sync.Mutex
	stamp time.Time
	key   string
}

func (k *keyReader) get() string {
	k.mu.Lock()
	defer k.mu.Unlock()

	info, err := os.Stat(k.file)
	if err != nil {
		return ""
	}

	if info.ModTime().Equal(k.stamp) {
		return k.key
	}

	b, err := os.ReadFile(k.file)
	if err != nil {
		return k.key
	}

	k.stamp, k.key = info.ModTime(), strings.TrimSpace(string(b))

	return k.key
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
