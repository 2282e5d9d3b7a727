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
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/southwest-ai/agent-operator/internal/monitor/meter"
	"github.com/southwest-ai/agent-operator/internal/monitor/upstream"
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

// How many connections to the model server are kept that no request uses, and for how long.
const (
	mostIdle    = 32
	idleTimeout = 90 * time.Second
)

// copyBuffer is as much of an answer as is passed at once. Events are smaller, and each open stream has a buffer.
const copyBuffer = 8 << 10

// An Admit is asked before a request is sent that will cost about so many tokens. It may wait, and it refuses with an
// error: an OverBudget where the agent has to come back later. Settle is called once, whatever becomes of the request, with
// the tokens to take off the budget for it.
type Admit func(ctx context.Context, estimate int64) (settle func(used int64), err error)

// An OverBudget is the error of an Admit that says when the request would fit. Its text is told to the agent: which budget,
// and what to do.
type OverBudget interface {
	error
	// Wait is the time until the request would fit.
	Wait() time.Duration
}

// ProxyConfig is what a proxy has to know.
type ProxyConfig struct {
	// Identity of the worker: namespace, dispatcher and role, which its figures are labelled with.
	Identity monitorapi.Status
	// Endpoint, Protocol and KeyFile say where the model is and how to get in. The key file may come and go.
	Endpoint, Protocol, KeyFile string
	// AskForUsage asks for the usage of streams that would not tell it.
	AskForUsage bool
	// OTelNames tells the figures by OpenTelemetry's names, too.
	OTelNames bool
	// Admit holds the requests to a budget. Nil where there is none.
	Admit Admit
}

// A Proxy stands between the agent and its model: what the agent asks for goes to the endpoint, with the key of the file
// instead of what the agent sent, and what the model answers goes back byte by byte as it arrives. Of the APIs that it
// knows it counts the tokens that the model server says it billed.
//
// What is counted and held whole is passed by pass, and all else by the standard library's reverse proxy. Both mind hop-by-hop
// headers, trailers, interim answers, and answers that break off, which must break off for the agent, too.
type Proxy struct {
	target    *url.URL
	forward   http.Handler
	failed    func(http.ResponseWriter, *http.Request, error)
	buffers   buffers
	transport *http.Transport
	// direct is the quicker way for what it takes. Nil where the model server is not asked by plain HTTP.
	direct   *upstream.Transport
	key      *keyFile
	protocol string
	ask      bool
	admit    Admit

	metrics  *proxyMetrics
	refusals *refusals
	cost     costs
	// held is how many bytes of requests are held back now.
	held atomic.Int64
}

// NewProxy returns a proxy that tells its figures to a registry.
func NewProxy(c ProxyConfig, reg prometheus.Registerer, log *slog.Logger) (*Proxy, error) {
	target, err := url.Parse(c.Endpoint)
	if err != nil || target.Host == "" || target.Scheme != "http" && target.Scheme != "https" {
		return nil, fmt.Errorf("cannot use %q as the model's endpoint: want a URL such as https://models.example.org/v1", c.Endpoint)
	}

	if c.Protocol != ProtocolOpenAI && c.Protocol != ProtocolAnthropic {
		return nil, fmt.Errorf("cannot speak %q to a model: want %s or %s", c.Protocol, ProtocolOpenAI, ProtocolAnthropic)
	}

	p := &Proxy{
		target: target, failed: upstreamError(target.Host, log),
		transport: newTransport(), direct: newDirect(target), key: &keyFile{name: c.KeyFile, now: time.Now}, protocol: c.Protocol, ask: c.AskForUsage, admit: c.Admit,
		metrics: newProxyMetrics(reg, c.Identity, c.OTelNames), refusals: newRefusals(time.Now),
	}
	p.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			// As it came: the package drops what it cannot parse, for handlers that read it. This one does not.
			r.Out.URL.RawQuery = r.In.URL.RawQuery
			r.SetURL(target)
			r.Out.Host = target.Host
		},
		// Streams, and answers of unknown length, are flushed at each read.
		Transport:    roundTripper(p.send),
		BufferPool:   &p.buffers,
		ErrorLog:     slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ErrorHandler: p.failed,
	}

	return p, nil
}

// Close lets go of the connections to the model server that no request uses.
func (p *Proxy) Close() {
	p.transport.CloseIdleConnections()

	if p.direct != nil {
		p.direct.CloseIdleConnections()
	}
}

// Tokens returns what the model server billed since the proxy began.
func (p *Proxy) Tokens() monitorapi.Tokens { return p.metrics.tokens() }

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	// Else the server closes the request's body when the answer begins, and who reads the end of it then, such as to see that
	// there is no more, takes the request for broken and cuts the answer off. A writer that cannot do it does not close it.
	_ = http.NewResponseController(rw).EnableFullDuplex()

	api := meter.Detect(r.Method, r.URL.Path)
	if api == meter.Uncounted {
		p.metrics.request(outcomeUnmetered, meter.Other)
		p.forward.ServeHTTP(rw, r)

		return
	}

	c := &call{proxy: p, ctx: r.Context()}
	defer c.release()

	if err := c.read(api, r); err != nil {
		p.metrics.request(outcomeAborted, meter.Other)
		http.Error(rw, "the request broke off", http.StatusBadRequest)

		return
	}

	if err := c.enter(); err != nil {
		refuse(rw, api, err)

		return
	}

	// Also where the agent or the model server goes away, which the package tells the server by a panic.
	defer c.end()

	if _, upgrades := r.Header["Upgrade"]; c.whole && !upgrades {
		p.pass(rw, r, c)
	} else {
		p.forward.ServeHTTP(rw, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
	}

	c.passed = true
}

// send sends a request that the reverse proxy made, and that is therefore ours to change.
func (p *Proxy) send(r *http.Request) (*http.Response, error) {
	if c, ok := r.Context().Value(callKey{}).(*call); ok {
		return p.sendCall(r, c)
	}

	if err := p.authorize(r.Header); err != nil {
		return nil, err
	}

	return p.roundTrip(r)
}

// sendCall sends the request of a call.
func (p *Proxy) sendCall(r *http.Request, c *call) (*http.Response, error) {
	if err := p.authorize(r.Header); err != nil {
		return nil, err
	}

	return c.send(r)
}

// authorize makes of the agent's headers the platform's.
func (p *Proxy) authorize(h http.Header) error {
	key, err := p.key.read()
	if err != nil {
		return err
	}

	setKey(h, p.protocol, key)
	sendOnce(h)

	return nil
}

// roundTrip asks the model server, and counts what it answers.
func (p *Proxy) roundTrip(r *http.Request) (*http.Response, error) {
	start := time.Now()

	by := http.RoundTripper(p.transport)
	if p.direct != nil && p.direct.Takes(r) {
		by = p.direct
	}

	rsp, err := by.RoundTrip(r)
	p.metrics.answered(rsp, time.Since(start))

	return rsp, err
}

type roundTripper func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// buffers are used again: one for each answer would be most of what the proxy allocates.
type buffers struct{ pool sync.Pool }

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	if p, ok := b.pool.Get().(*[]byte); ok {
		return *p
	}

	return make([]byte, copyBuffer)
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
		MaxIdleConnsPerHost:   mostIdle,
		IdleConnTimeout:       idleTimeout,
		// The bytes are the client's: we neither ask for compression nor undo it.
		DisableCompression: true,
	}
}

// newDirect returns the quicker way to a model server, or nil where there is none: what is encrypted may be HTTP/2, and
// another proxy in between has a way of its own to be asked.
func newDirect(target *url.URL) *upstream.Transport {
	between, err := http.ProxyFromEnvironment(&http.Request{URL: target})
	if target.Scheme != "http" || between != nil || err != nil {
		return nil
	}

	return upstream.New(upstream.Config{
		Endpoint: target, DialTimeout: dialTimeout, FirstByteTimeout: firstByteTimeout, MaxIdle: mostIdle, IdleTimeout: idleTimeout,
	})
}

// sendOnce keeps the transport from sending a request again that the model server may have begun to work on. By itself it
// sends a POST again only where nothing of it was written; but it takes these headers, by their usual spelling, for leave to
// do more, and no model server is known that would not bill twice. Names on the wire have no case.
func sendOnce(h http.Header) {
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		if v, ok := h[name]; ok {
			delete(h, name)
			h[strings.ToLower(name)] = v
		}
	}
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
