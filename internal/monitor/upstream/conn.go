package upstream

import (
	"bufio"
	"context"
	"errors"
	"math"
	"net"
	"syscall"
	"time"
)

const (
	// longestHead bounds the head of an answer, with those of the interim ones before it.
	longestHead = 1 << 20
	unbounded   = math.MaxInt64
)

var errLongHead = errors.New("its head is too long")

// A conn is a connection to the server, and what is read from it and written to it.
type conn struct {
	net.Conn
	raw syscall.RawConn
	in  *bufio.Reader
	out *bufio.Writer

	// written is how much of a request was written, and headLeft how much may still be read of the head of its answer.
	written  int
	headLeft int64

	reused bool
	// since is when the connection became idle.
	since time.Time
}

// Read implements io.Reader. What was read ahead of the bound belongs to the body, so the bound is not exact.
func (c *conn) Read(p []byte) (int, error) {
	if c.headLeft <= 0 {
		return 0, errLongHead
	}

	n, err := c.Conn.Read(p)
	if c.headLeft != unbounded {
		c.headLeft -= int64(n)
	}

	return n, err
}

// Write implements io.Writer.
func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written += n

	return n, err
}

// get returns an idle connection that the server has not left, or a new one.
func (t *Transport) get(ctx context.Context) (*conn, error) {
	for c := t.pop(); c != nil; c = t.pop() {
		if time.Since(c.since) < t.config.IdleTimeout && silent(c.raw) {
			return c, nil
		}

		_ = c.Close()
	}

	nc, err := t.dialer.DialContext(ctx, "tcp", t.address)
	if err != nil {
		return nil, err
	}

	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		_ = nc.Close()

		return nil, errors.New("cannot use a connection that is none of TCP")
	}

	raw, err := tcp.SyscallConn()
	if err != nil {
		_ = nc.Close()

		return nil, err
	}

	c := &conn{Conn: nc, raw: raw}
	c.in, c.out = bufio.NewReader(c), bufio.NewWriter(c)

	return c, nil
}

func (t *Transport) pop() *conn {
	t.mu.Lock()
	defer t.mu.Unlock()

	last := len(t.idle) - 1
	if last < 0 {
		return nil
	}

	c := t.idle[last]
	t.idle[last] = nil
	t.idle = t.idle[:last]

	return c
}

// put keeps a connection for the next request, where there are not enough already.
func (t *Transport) put(c *conn) {
	c.reused, c.since = true, time.Now()

	t.mu.Lock()
	defer t.mu.Unlock()

	if len(t.idle) >= t.config.MaxIdle {
		_ = c.Close()

		return
	}

	t.idle = append(t.idle, c)

	if t.reaper == nil {
		t.reaper = time.AfterFunc(t.config.IdleTimeout, t.reapOld)
	}
}

// reapOld closes what has been idle for too long, and comes again while there is something.
func (t *Transport) reapOld() {
	t.mu.Lock()
	defer t.mu.Unlock()

	// Whoever emptied the room meanwhile stopped the reaper too late.
	if t.reaper == nil {
		return
	}

	t.reap(time.Now().Add(-t.config.IdleTimeout))
}

// reap closes the connections that have been idle since before a time, or all at the zero time. The lock is held.
func (t *Transport) reap(before time.Time) {
	n := 0
	for n < len(t.idle) && (before.IsZero() || !t.idle[n].since.After(before)) {
		_ = t.idle[n].Close()
		n++
	}

	rest := copy(t.idle, t.idle[n:])
	clear(t.idle[rest:])
	t.idle = t.idle[:rest]

	switch {
	case t.reaper == nil:
	case rest > 0:
		t.reaper.Reset(max(time.Second, time.Until(t.idle[0].since.Add(t.config.IdleTimeout))))
	default:
		t.reaper.Stop()
		t.reaper = nil
	}
}
