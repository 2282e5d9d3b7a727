// Package monitors asks the workers' monitors. It must not know what the answers are for.
package monitors

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

const (
	// timeout is how long a worker has to answer.
	timeout = 2 * time.Second
	// largest is how long an answer may be, in bytes.
	largest = 1 << 20
)

// A Client asks monitors, over connections that are kept for the next question.
type Client struct{ http *http.Client }

// NewClient returns a client that keeps as many connections open as there are workers that are asked again and again. The transport
// reaches the monitors; nil for the usual way.
func NewClient(transport http.RoundTripper) *Client {
	if transport == nil {
		transport = &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: 90 * time.Second, DisableCompression: true}
	}

	return &Client{http: &http.Client{
		Timeout:   timeout,
		Transport: transport,
		// A monitor leads nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Status returns what the monitor of a worker says that has this name and address. An address may be another's by now.
func (c *Client) Status(ctx context.Context, pod, ip string) (monitorapi.Status, error) {
	var s monitorapi.Status

	url := "http://" + net.JoinHostPort(ip, strconv.Itoa(monitorapi.Port)) + monitorapi.PathStatus

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return s, err
	}

	rsp, err := c.http.Do(req)
	if err != nil {
		return s, err
	}
	defer rsp.Body.Close() // It was only read.

	if rsp.StatusCode != http.StatusOK {
		return s, fmt.Errorf("the monitor answers %s", rsp.Status)
	}

	if err := json.NewDecoder(http.MaxBytesReader(nil, rsp.Body, largest)).Decode(&s); err != nil {
		return s, fmt.Errorf("cannot read what the monitor says: %w", err)
	}

	if s.Pod != pod {
		return s, fmt.Errorf("at its address is the monitor of %q", s.Pod)
	}

	return s, nil
}

// Close closes the connections that are not in use.
func (c *Client) Close() { c.http.CloseIdleConnections() }
