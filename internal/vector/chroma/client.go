package chroma

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
	// maxAnswer is how much of an answer is read: a collection is some hundred bytes and its metadata.
	maxAnswer = 1 << 20
	// idleConns are kept for the next calls. More are made when there are more calls at once.
	idleConns = 8
)

// A client sends requests to one database of one server.
type client struct {
	http *http.Client
	// collections is the URL of the database's collections.
	collections string
	access      vector.Access

	closing context.Context //nolint:containedctx // It belongs to no request: its end is the end of all of them.
	close   context.CancelFunc
}

func newClient(c vector.Config) (*client, error) {
	collections, err := collectionsOf(c.Endpoint)
	if err != nil {
		return nil, err
	}

	cl := &client{collections: collections, access: c.Access}
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

// collectionsOf returns the URL of the collections of the database that an endpoint names.
func collectionsOf(endpoint string) (string, error) {
	const want = "want http[s]://HOST:PORT, or http[s]://HOST:PORT/TENANT/DATABASE"

	u, err := url.Parse(endpoint)
	if err != nil {
		// Its text has the endpoint in it, which may have a password in it.
		return "", vector.Errorf(vector.Invalid, "the endpoint is not a URL: %s", want)
	}

	tenant, database, both := "default_tenant", "default_database", true
	if p := strings.Trim(u.Path, "/"); p != "" {
		tenant, database, both = strings.Cut(p, "/")
	}

	switch {
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "":
		return "", vector.Errorf(vector.Invalid, "the endpoint has scheme %q and host %q: %s", u.Scheme, u.Host, want)
	case u.User != nil:
		return "", vector.Errorf(vector.Invalid, "the endpoint has credentials in it, which belong into a Secret: %s", want)
	case u.RawQuery != "", u.Fragment != "":
		return "", vector.Errorf(vector.Invalid, "the endpoint has more than a path behind its host: %s", want)
	case !both, tenant == "api", strings.Contains(database, "/"):
		return "", vector.Errorf(vector.Invalid, "the endpoint's path %q is not that of a database: %s", u.Path, want)
	}

	return u.Scheme + "://" + u.Host + "/api/v2/tenants/" + url.PathEscape(tenant) + "/databases/" + url.PathEscape(database) + "/collections", nil
}

// Close implements vector.Driver.
func (c *client) Close() {
	c.close()
	c.http.CloseIdleConnections()
}

// do sends one request to a path below the collections, and reads the answer into out unless that is nil.
func (c *client) do(ctx context.Context, method, path string, in, out any) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.closing, cancel)()

	req, err := c.request(ctx, method, path, in)
	if err != nil {
		return vector.Errorf(vector.Invalid, "cannot make the request: %w", err)
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

	if out == nil {
		return nil
	}

	if err := json.Unmarshal(body, out); err != nil {
		return vector.Errorf(vector.Invalid, "the answer is not that of a Chroma server: %w", err)
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

	req, err := http.NewRequestWithContext(ctx, method, c.collections+path, body)
	if err != nil {
		return nil, err
	}

	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}

	if c.access.APIKey != "" {
		req.Header.Set("X-Chroma-Token", c.access.APIKey)
	}

	if c.access.User != "" || c.access.Password != "" {
		req.SetBasicAuth(c.access.User, c.access.Password)
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
