package inbound

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// How long the agent may take to accept a connection. It may take as long as its client waits for an answer: tasks are long.
const dialTimeout = 2 * time.Second

// mostHeld bounds what is kept at once of all requests and answers that are read. What comes beyond it passes unread: a
// sidecar that dies of what its clients send takes the agent's tasks with it.
const mostHeld = 16 << 20

// A room is what is left of mostHeld. Its methods may be called by many at once.
type room struct{ held atomic.Int64 }

func (r *room) take(n int64) bool {
	if r.held.Add(n) > mostHeld {
		r.held.Add(-n)

		return false
	}

	return true
}

func (r *room) give(n int64) { r.held.Add(-n) }

// retryAfter is what a refused client is told to wait, in seconds: time enough for the Service to lead elsewhere.
const retryAfter = "2"

// A Proxy passes requests on to the agent, byte by byte as they come. Its methods may be called by many at once.
type Proxy struct {
	forward   http.Handler
	transport *http.Transport
	isTask    func(*http.Request) (kind, error)
	refusing  func() bool
	// tally is nil where the protocol has no tasks.
	tally *Tally
	// room is what requests and answers may take that are read.
	room room
	open atomic.Int64
	// ended is when the last request with a task ended that was passed on.
	ended atomic.Pointer[time.Time]
}

// New returns a proxy to an agent on loopback that speaks a protocol of monitorapi's, InboundHTTP or InboundA2A. Refusing says
// whether new tasks are refused.
func New(upstream, protocol string, refusing func() bool, log *slog.Logger) (*Proxy, error) {
	target, err := url.Parse(upstream)
	if err != nil || target.Scheme != "http" || target.Host == "" {
		return nil, fmt.Errorf("cannot pass requests to %q: want a URL such as http://127.0.0.1:8080", upstream)
	}

	if ip := net.ParseIP(target.Hostname()); target.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("cannot pass requests to %s: want the agent itself, on loopback", target.Host)
	}

	p := &Proxy{refusing: refusing, transport: &http.Transport{
		DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext, MaxIdleConnsPerHost: 16, IdleConnTimeout: 30 * time.Second,
		// The bytes are the client's: we neither ask for compression nor undo it.
		DisableCompression: true,
	}}

	switch protocol {
	case monitorapi.InboundHTTP:
		p.isTask = httpTask
	case monitorapi.InboundA2A:
		p.isTask = p.a2aTask
		p.tally = newTally(target, p.transport, &p.room, time.Now)
	default:
		return nil, fmt.Errorf("cannot pass on %q: want %s or %s", protocol, monitorapi.InboundHTTP, monitorapi.InboundA2A)
	}

	p.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			// As it came: the package drops what it cannot parse, for handlers that read it. This one does not.
			r.Out.URL.RawQuery = r.In.URL.RawQuery
			r.SetURL(target)
			// The agent sees the name it was asked by, and who asked.
			r.Out.Host = r.In.Host
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
			r.SetXForwarded()
			keep(r, "Forwarded", "X-Forwarded-Host", "X-Forwarded-Proto")
		},
		Transport:      p.transport,
		FlushInterval:  -1,
		ModifyResponse: listenTo,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		ErrorHandler:   agentError,
	}

	return p, nil
}

// Close lets go of the connections to the agent that no request uses.
func (p *Proxy) Close() { p.transport.CloseIdleConnections() }

// Open returns the number of requests with a task that are open.
func (p *Proxy) Open() int64 { return p.open.Load() }

// Tally returns the count of the agent's tasks by what it says of them; nil where the protocol is not A2A.
func (p *Proxy) Tally() *Tally { return p.tally }

// Ended returns when the last request with a task ended that was passed on; the zero time where there was none. Of a task that
// it began, a reading of the agent's load from before then knows nothing.
func (p *Proxy) Ended() time.Time {
	if at := p.ended.Load(); at != nil {
		return *at
	}

	return time.Time{}
}

// keep passes on what a proxy further out said of the client: only that one knows whether it came by TLS.
func keep(r *httputil.ProxyRequest, headers ...string) {
	for _, h := range headers {
		if v := r.In.Header[h]; len(v) > 0 {
			r.Out.Header[h] = v
		}
	}
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	// The beginning of a connection by HTTP/2, such as gRPC's, which the package leaves to its handlers.
	if r.ProtoMajor != 1 {
		rw.Header().Set("Connection", "close")
		http.Error(rw, "the inbound proxy speaks HTTP/1.1: gRPC does not pass", http.StatusHTTPVersionNotSupported)

		return
	}

	// Else the server closes the request's body when the answer begins, and who reads the end of it then, such as to see that
	// there is no more, takes the request for broken and cuts the answer off. A writer that cannot do it does not close it.
	_ = http.NewResponseController(rw).EnableFullDuplex()

	k, err := p.isTask(r)
	defer p.room.give(k.held)

	if err != nil {
		http.Error(rw, "the request broke off", http.StatusBadRequest)

		return
	}

	if k.task {
		// Counted before it is asked whether to refuse: a drain that finds none open has refused all that come after.
		p.open.Add(1)
		defer p.open.Add(-1)
	}

	if k.fresh && p.refusing() {
		refuse(rw, k)

		return
	}

	if k.task {
		// Before it is counted as ended, so that who finds none open knows when that began. What was refused begins nothing.
		defer func() {
			now := time.Now()
			p.ended.Store(&now)
		}()
	}

	if p.tally == nil {
		p.forward.ServeHTTP(rw, r)

		return
	}

	l := p.tally.listen(k)
	// Also where the agent or the client goes away, which the package tells the server by a panic.
	defer l.end()

	// What is compressed cannot be read on the way. The agent is on loopback.
	r.Header.Del("Accept-Encoding")
	p.forward.ServeHTTP(rw, r.WithContext(context.WithValue(r.Context(), listenerKey{}, l)))
}

type listenerKey struct{}

// listenTo has an answer read as it passes.
func listenTo(rsp *http.Response) error {
	if l, ok := rsp.Request.Context().Value(listenerKey{}).(*listener); ok {
		l.answered(rsp)
	}

	return nil
}

// refuse says in the words of the protocol that the worker takes no new tasks. A client that tries again finds another one.
func refuse(rw http.ResponseWriter, k kind) {
	const message = "this worker is draining and takes no new tasks: try again, another one will answer"

	rw.Header().Set("Retry-After", retryAfter)

	switch {
	case k.rpc:
		// A2A has no error of its own for it; this is the first of JSON-RPC's for servers. The status is for proxies that retry.
		answer(rw, http.StatusServiceUnavailable, map[string]any{"jsonrpc": "2.0", "id": k.id, "error": map[string]any{"code": -32000, "message": message}})
	case k.a2a:
		answer(rw, http.StatusServiceUnavailable, map[string]any{"error": map[string]any{"code": http.StatusServiceUnavailable, "status": "UNAVAILABLE", "message": message}})
	default:
		answer(rw, http.StatusServiceUnavailable, map[string]any{"error": map[string]any{"type": "draining", "message": message}})
	}
}

// agentError answers for an agent that did not.
func agentError(rw http.ResponseWriter, r *http.Request, err error) {
	var op *net.OpError

	unheard := errors.As(err, &op) && op.Op == "dial"
	if l, ok := r.Context().Value(listenerKey{}).(*listener); ok && unheard {
		l.whole, l.refused = true, true
	}

	if r.Context().Err() == nil {
		reason := "it broke off"
		if unheard {
			reason = "it does not listen"
		}

		answer(rw, http.StatusBadGateway, map[string]any{"error": map[string]any{"type": "agent_unreachable", "message": "the monitor got no answer from the agent: " + reason}})

		return
	}

	// The client went away; nobody reads an answer.
	rw.WriteHeader(http.StatusBadGateway)
}

func answer(rw http.ResponseWriter, code int, body any) {
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(code)
	_ = json.NewEncoder(rw).Encode(body) //nolint:errchkjson // A caller that went away does not care.
}
