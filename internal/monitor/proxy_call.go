package monitor

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/southwest-ai/agent-operator/internal/monitor/meter"
)

const (
	// longestHeld is as much of a request as is held back to be read. What is longer passes unread but for its beginning:
	// the usage of its answer counts where the server tells it unasked.
	longestHeld = 4 << 20
	// mostHeld bounds what is held of all requests at once; beyond it they pass as if they were too long.
	mostHeld = 16 << 20
	// shortBody is as much of a request as the transport writes at once.
	shortBody = 4 << 10
)

// A call is a request to one of the APIs that are counted, and what becomes of it. One goroutine at a time has it.
type call struct {
	proxy   *Proxy
	ctx     context.Context //nolint:containedctx // It lives as long as the request, whose context this is.
	request meter.Request

	// body is the request's, and whole says that this is all of it. held is how much was reserved for it.
	body  []byte
	whole bool
	// sending is the body as it is sent.
	sending []byte
	held    int64

	// length is that of what is known of the body. Its extent is measured only where a budget asks what it will cost.
	length   int64
	extent   extent
	estimate int64
	settle   func(int64)

	start time.Time
	// begun is when the first words of a stream came.
	begun time.Time
	// sent says that the model server may have begun to work.
	sent bool
	code int
	// untold says why an answer cannot be read; passed that it was passed whole all the same.
	untold string
	passed bool
	ended  bool
}

type callKey struct{}

// read reads the request as far as it may be held.
func (c *call) read(api meter.API, r *http.Request) error {
	most := int64(longestHeld)
	if r.ContentLength >= 0 {
		most = min(most, r.ContentLength)
	}

	if c.proxy.held.Add(most) > mostHeld {
		c.proxy.held.Add(-most)

		// Enough for the model's name in what most clients send.
		most = min(most, 4<<10)
		c.proxy.held.Add(most)
	}

	c.held = most

	body, err := readUpTo(r, most)
	if err != nil {
		return err
	}

	n := int64(len(body))
	c.proxy.held.Add(n - c.held)
	c.held, c.body = n, body
	c.whole = n == r.ContentLength || r.ContentLength < 0 && n < most
	c.length = max(n, r.ContentLength)
	c.request = meter.ReadRequest(api, c.body)

	if !c.whole {
		r.Body = readCloser{io.MultiReader(bytes.NewReader(c.body), r.Body), r.Body}
	}

	return nil
}

// readUpTo reads so much of a request's body, or all there is.
func readUpTo(r *http.Request, most int64) ([]byte, error) {
	if r.ContentLength < 0 {
		return io.ReadAll(io.LimitReader(r.Body, most))
	}

	body := make([]byte, most)
	_, err := io.ReadFull(r.Body, body)

	return body, err
}

type readCloser struct {
	io.Reader
	io.Closer
}

// release gives back what was reserved for the request's body.
func (c *call) release() {
	c.proxy.held.Add(-c.held)
	c.held, c.body, c.sending = 0, nil, nil
}

// enter waits until the budget admits the call.
func (c *call) enter() error {
	if c.proxy.admit == nil {
		c.settle, c.start = func(int64) {}, time.Now()

		return nil
	}

	c.extent = measure(c.body, c.length)
	c.estimate = c.proxy.cost.estimate(c.request, c.extent)

	settle, err := c.proxy.admit(c.ctx, c.estimate)
	if err != nil {
		outcome := outcomeOverBudget
		if c.ctx.Err() != nil {
			outcome = outcomeAborted
		}

		c.proxy.metrics.request(outcome, c.model())

		return err
	}

	c.settle, c.start = settle, time.Now()

	return nil
}

// send asks the model server, and for the usage with it. A server that refuses to be asked is asked without, and not again
// for a while.
func (c *call) send(r *http.Request) (*http.Response, error) {
	// What is compressed cannot be read on the way. On loopback nobody misses it.
	r.Header.Del("Accept-Encoding")

	asked := c.prepare(r, true)

	rsp, err := c.try(r)
	if err == nil && asked && refusesUsage(rsp) {
		_ = rsp.Body.Close()

		r = r.Clone(r.Context())
		asked = c.prepare(r, false)

		rsp, err = c.try(r)
		if err == nil && rsp.StatusCode/100 == 2 {
			c.proxy.refusals.add(c.request.Model)
		}
	}

	if err != nil {
		return nil, err
	}

	c.release()
	c.tap(rsp, asked)

	return rsp, nil
}

// prepare gives the request its body, and says whether the usage is asked for in it.
func (c *call) prepare(r *http.Request, ask bool) (asked bool) {
	if !c.whole {
		return false
	}

	body := c.body

	if ask && c.proxy.ask && !c.proxy.refusals.has(c.request.Model) {
		if b, ok := c.request.AskUsage(body); ok {
			body, asked = b, true
		}
	}

	c.sending = body
	r.Body, r.ContentLength = newBody(body), int64(len(body))
	// The transport reads the body anew where nothing of the request was written, as on a connection that had gone stale.
	r.GetBody = func() (io.ReadCloser, error) { return newBody(c.sending), nil }

	return asked
}

// try asks the model server once.
func (c *call) try(r *http.Request) (*http.Response, error) {
	rsp, err := c.proxy.roundTrip(r)

	var op *net.OpError

	c.sent = err == nil || !errors.As(err, &op) || op.Op != "dial"

	return rsp, err
}

// tap reads the answer as it passes.
func (c *call) tap(rsp *http.Response, asked bool) {
	c.code = rsp.StatusCode
	c.proxy.metrics.limits(rsp.Header)

	if rsp.StatusCode/100 != 2 {
		return
	}

	encoding := rsp.Header.Get("Content-Encoding")
	if !meter.Readable(encoding) {
		c.untold = missingEncoding

		return
	}

	tap := meter.NewTap(c.request.API, rsp.Header.Get("Content-Type"), asked && (encoding == "" || encoding == "identity"))
	if tap.Hides() {
		// What is hidden is not in its length.
		rsp.Header.Del("Content-Length")
		rsp.ContentLength = -1
	}

	rsp.Body = meter.NewBody(rsp.Body, tap, encoding, func() { c.begun = time.Now() }, c.answered)
}

// newBody returns the body of a request. The transport writes a body of its own kind together with the headers, and for any
// other kind the headers first; but it has what it sent until the answer has ended, so a long one must be let go of.
func newBody(b []byte) io.ReadCloser {
	if len(b) <= shortBody {
		return io.NopCloser(bytes.NewReader(b))
	}

	return newHeldBody(b)
}

// A heldBody is a request's body that is let go of when it has been sent.
type heldBody struct {
	mu sync.Mutex
	r  bytes.Reader
}

func newHeldBody(b []byte) *heldBody {
	h := &heldBody{}
	h.r.Reset(b)

	return h
}

// Read implements io.Reader.
func (h *heldBody) Read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()

	return h.r.Read(p)
}

// Close implements io.Closer.
func (h *heldBody) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()

	h.r.Reset(nil)

	return nil
}
