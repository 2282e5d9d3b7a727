package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"sync"
	"time"
)

// LongestBody is as much of a request's body as may be sent before its answer is read. Every kernel takes that much from
// us whether the server reads it or not, so nobody waits for the other.
const LongestBody = 32 << 10

// A Config is what a transport has to know. Every field is required.
type Config struct {
	// Endpoint is a plain http URL, of which only the host and the port are used.
	Endpoint *url.URL
	// DialTimeout bounds a connection's beginning. FirstByteTimeout bounds the time from a request until its answer's head has
	// been read; the rest of an answer has no bound but the request's context.
	DialTimeout, FirstByteTimeout time.Duration
	// MaxIdle is how many connections are kept that no request uses, and IdleTimeout for how long.
	MaxIdle     int
	IdleTimeout time.Duration
}

// A Transport is a RoundTripper for requests that are whole in memory. The standard library's has two goroutines for each
// connection, which a request and its answer are handed to and fro between: that is more than half of what a small request
// costs a proxy. Here the goroutine that asks writes and reads by itself. What is written and read is left to the standard
// library here as there.
type Transport struct {
	config  Config
	address string
	dialer  net.Dialer

	mu sync.Mutex
	// idle has the connection that was used last at its end. reaper runs while there is one.
	idle   []*conn
	reaper *time.Timer
}

// New returns a transport.
func New(c Config) *Transport {
	port := c.Endpoint.Port()
	if port == "" {
		port = "80"
	}

	return &Transport{config: c, address: net.JoinHostPort(c.Endpoint.Hostname(), port), dialer: net.Dialer{Timeout: c.DialTimeout}}
}

// Takes says whether RoundTrip can send this request: one with a body that is not too long and can be had again, and with
// nothing in its head that makes of the connection more than a question and its answer.
func (t *Transport) Takes(r *http.Request) bool {
	if r.URL.Scheme != "http" || r.GetBody == nil || r.ContentLength <= 0 || r.ContentLength > LongestBody || r.Trailer != nil {
		return false
	}

	for _, name := range []string{"Expect", "Upgrade"} {
		if _, ok := r.Header[name]; ok {
			return false
		}
	}

	return true
}

// RoundTrip implements http.RoundTripper for a request that the transport Takes. It sends nothing twice that a server may have
// begun to read. The answer's body must not be used by two at once. An error of the dialer is returned as it is.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		c, err := t.get(r.Context())
		if err != nil {
			_ = r.Body.Close()

			return nil, err
		}

		rsp, err := t.ask(c, r)
		if err == nil || !c.reused || c.written > 0 || r.Context().Err() != nil {
			return rsp, err
		}

		// The server had left the connection. There are only so many idle ones, and the next may be new.
		again := *r

		if again.Body, err = r.GetBody(); err != nil {
			return nil, fmt.Errorf("cannot send the request again: %w", err)
		}

		r = &again
	}
}

// CloseIdleConnections closes the connections that no request uses.
func (t *Transport) CloseIdleConnections() {
	t.mu.Lock()
	defer t.mu.Unlock()

	t.reap(time.Time{})
}

// ask sends a request and reads the head of its answer, and with its body gives the connection back.
func (t *Transport) ask(c *conn, r *http.Request) (*http.Response, error) {
	ctx := r.Context()
	// The agent's leaving ends what waits for the server, at whatever point.
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })

	rsp, err := t.exchange(c, r)
	if err != nil {
		stop()

		_ = c.Close()

		if ctx.Err() != nil {
			err = ctx.Err()
		}

		return nil, err
	}

	b := &body{transport: t, conn: c, ctx: ctx, stop: stop, src: rsp.Body, keep: !rsp.Close && !r.Close}
	if rsp.Body == http.NoBody {
		b.end(io.EOF)
	} else {
		rsp.Body = b
	}

	return rsp, nil
}

// exchange writes a request and reads until the head of its last answer.
func (t *Transport) exchange(c *conn, r *http.Request) (*http.Response, error) {
	c.written, c.headLeft = 0, longestHead

	if err := c.SetDeadline(time.Now().Add(t.config.FirstByteTimeout)); err != nil {
		return nil, fmt.Errorf("cannot send the request: %w", err)
	}

	err := r.Write(c.out)
	if err == nil {
		err = c.out.Flush()
	}

	if err != nil {
		return nil, fmt.Errorf("cannot send the request: %w", err)
	}

	trace := httptrace.ContextClientTrace(r.Context())

	for {
		rsp, err := http.ReadResponse(c.in, r)
		if err != nil {
			return nil, fmt.Errorf("cannot read the answer: %w", err)
		}

		switch code := rsp.StatusCode; {
		case code == http.StatusSwitchingProtocols:
			return nil, errors.New("cannot read the answer: the server changes to a protocol that nobody asked for")
		case code >= 200:
			c.headLeft = unbounded

			return rsp, c.SetDeadline(time.Time{})
		case code != http.StatusContinue && trace != nil && trace.Got1xxResponse != nil:
			if err := trace.Got1xxResponse(code, textproto.MIMEHeader(rsp.Header)); err != nil {
				return nil, fmt.Errorf("cannot pass the interim answer: %w", err)
			}
		}
	}
}

// A body is an answer's, which gives the connection back at its end.
type body struct {
	transport *Transport
	conn      *conn
	ctx       context.Context //nolint:containedctx // It lives as long as the request, whose context this is.
	stop      func() bool
	src       io.Reader
	keep      bool
	// err is what the body ended with.
	err error
}

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}

	n, err := b.src.Read(p)
	if err != nil {
		b.end(err)
	}

	return n, b.err
}

// Close implements io.Closer. What has not been read is not waited for.
func (b *body) Close() error {
	if b.err == nil {
		b.end(http.ErrBodyReadAfterClose)
	}

	return nil
}

// end gives the connection back where it can be used again, and closes it elsewhere.
func (b *body) end(err error) {
	b.err = err

	// Where it is too late to stop, the connection is closed.
	if b.stop() && b.keep && err == io.EOF && b.conn.in.Buffered() == 0 { //nolint:errorlint // A reader's end is io.EOF itself.
		b.transport.put(b.conn)

		return
	}

	_ = b.conn.Close()

	if err != io.EOF && b.ctx.Err() != nil { //nolint:errorlint // As above.
		b.err = b.ctx.Err()
	}
}
