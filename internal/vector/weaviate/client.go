package weaviate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

const (
	// maxAnswer is how much of an answer is read. The longest tells of the shards of some ten thousand tenants.
	maxAnswer = 64 << 20
	// idleConns are kept for the next calls. More are made when there are more calls at once.
	idleConns = 8
)

// A client sends requests to one server.
type client struct {
	http *http.Client
	// api is the URL below which all paths are.
	api string
	key string

	closing context.Context //nolint:containedctx // It belongs to no request: its end is the end of all of them.
	close   context.CancelFunc
}

func newClient(c vector.Config) (*client, error) {
	api, err := apiOf(c.Endpoint)
	if err != nil {
		return nil, err
	}

	if c.User != "" || c.Password != "" {
		return nil, vector.Errorf(vector.Invalid, "the credentials have a user or password, and Weaviate takes an API key: give it as apiKey")
	}

	cl := &client{api: api, key: c.APIKey}
	cl.closing, cl.close = context.WithCancel(context.Background())
	cl.http = &http.Client{
		Transport: &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:     c.TLS,
			MaxIdleConnsPerHost: idleConns,
			IdleConnTimeout:     90 * time.Second,
		},
		// The key would go along.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}

	return cl, nil
}

// apiOf returns the URL of the API at an endpoint.
func apiOf(endpoint string) (string, error) {
	const want = "want http[s]://HOST:PORT, of the REST port"

	u, err := url.Parse(endpoint)
	if err != nil {
		// Its text has the endpoint in it, which may have a password in it.
		return "", vector.Errorf(vector.Invalid, "the endpoint is not a URL: %s", want)
	}

	switch {
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return "", vector.Errorf(vector.Invalid, "the endpoint has scheme %q and host %q: %s", u.Scheme, u.Host, want)
	case u.User != nil:
		return "", vector.Errorf(vector.Invalid, "the endpoint has credentials in it, which belong into a Secret: %s", want)
	case u.RawQuery != "", u.Fragment != "":
		return "", vector.Errorf(vector.Invalid, "the endpoint has more than a path behind its host: %s", want)
	}

	return u.Scheme + "://" + u.Host + strings.TrimSuffix(strings.TrimRight(u.EscapedPath(), "/"), "/v1") + "/v1", nil
}

// Close implements vector.Driver.
func (c *client) Close() {
	c.close()
	c.http.CloseIdleConnections()
}

// do sends one request to a path of the API, and reads the answer into out unless that is nil.
func (c *client) do(ctx context.Context, method, path string, in, out any) error {
	return c.doAs(ctx, c.key, method, path, in, out)
}

// doAs is do with a key of somebody else.
func (c *client) doAs(ctx context.Context, key, method, path string, in, out any) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.closing, cancel)()

	if c.closing.Err() != nil {
		return c.failed(c.closing.Err())
	}

	req, err := c.request(ctx, method, path, in)
	if err != nil {
		return vector.Errorf(vector.Invalid, "cannot make the request: %w", err)
	}

	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}

	res, err := c.http.Do(req)
	if err != nil {
		return c.failed(err)
	}

	defer res.Body.Close() // It was read.

	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return c.failed(err)
	}

	if res.StatusCode/100 != 2 {
		return refusal(res, body)
	}

	if out == nil || len(body) == 0 {
		return nil
	}

	if err := json.Unmarshal(body, out); err != nil {
		return vector.Errorf(vector.Invalid, "the answer is not that of a Weaviate server: %w", err)
	}

	return nil
}

func (c *client) request(ctx context.Context, method, path string, in any) (*http.Request, error) {
	var body io.Reader

	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}

		body = bytes.NewReader(b)
	}

	req, err := http.NewRequestWithContext(ctx, method, c.api+path, body)
	if err != nil {
		return nil, err
	}

	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}

	return req, nil
}

// failed returns the error of a request that got no answer.
func (c *client) failed(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err // Without the method and URL, which say nothing to the reader.
	}

	kind := vector.KindOf(err)

	switch {
	case c.closing.Err() != nil:
		return vector.Errorf(vector.Unavailable, "the connection is closed")
	case kind == vector.Unknown:
		kind = vector.Unavailable // The connection broke.
	}

	return &vector.Error{Kind: kind, Err: err}
}
