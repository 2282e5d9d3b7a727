package tasks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// readTimeout bounds one reading, however many requests it takes.
const readTimeout = 2 * time.Second

// Load is what an agent has to do. A figure that its source does not tell is nil.
type Load struct {
	// QueueDepth is the number of unfinished tasks, waiting for the agent and in flight; InFlight that of those it works on.
	QueueDepth, InFlight *int64
	// WaitingForInput is the number of tasks that wait for somebody else than the agent. They are not in QueueDepth: they
	// need a person and no worker.
	WaitingForInput *int64
	// Sessions is the number of open conversations.
	Sessions *int64
	// Says is how the load is known, where that is not how it was asked for.
	Says string
}

// A Source tells an agent's load. An error means that it is not known, which is not that there is none.
type Source interface {
	Read(ctx context.Context) (Load, error)
}

// Func is a source that is a function.
type Func func(ctx context.Context) (Load, error)

// Read implements Source.
func (f Func) Read(ctx context.Context) (Load, error) { return f(ctx) }

// Config says where an agent's load is told. Its fields are those of the environment, monitorapi.EnvTasksSource and the rest.
type Config struct {
	Source, URL                                     string
	QueueDepth, InFlight, WaitingForInput, Sessions string
	// Counted counts the tasks of an A2A agent that cannot list them; nil where nobody does.
	Counted Source
}

// NewSource returns the source of a configuration: any of monitorapi's but SourceNone and SourceInbound, which ask nobody.
func NewSource(c Config) (Source, error) {
	client, err := newClient(c.URL)
	if err != nil {
		return nil, err
	}

	switch c.Source {
	case monitorapi.SourceA2A:
		return &a2a{client: client, base: strings.TrimRight(c.URL, "/"), counted: c.Counted, now: time.Now}, nil
	case monitorapi.SourceLangGraph:
		return langGraph(client, c.URL), nil
	case monitorapi.SourcePrometheus:
		return newMetrics(client, c)
	case monitorapi.SourceHTTP:
		return newDocument(client, c)
	default:
		return nil, fmt.Errorf("cannot read tasks from %q: want %s, %s, %s or %s", c.Source,
			monitorapi.SourceA2A, monitorapi.SourcePrometheus, monitorapi.SourceLangGraph, monitorapi.SourceHTTP)
	}
}

// newClient returns a client for a URL of the worker's own pod. Another could be anybody's, and its load no reason to keep
// this worker.
func newClient(raw string) (*http.Client, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("cannot ask %q for tasks: want a URL such as http://127.0.0.1:8080/metrics", raw)
	}

	if ip := net.ParseIP(u.Hostname()); u.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("cannot ask %s for tasks: want the agent itself, on loopback", u.Host)
	}

	return &http.Client{
		// A proxy of the environment is for the model. A redirect would lead elsewhere.
		Transport:     &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: 64 << 10},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// get asks for a document, with headers by name and value. The caller closes its body. A status other than 200 is an error.
func get(ctx context.Context, c *http.Client, at string, headers ...[2]string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot make the request: %w", err)
	}

	for _, h := range headers {
		req.Header.Set(h[0], h[1])
	}

	rsp, err := c.Do(req)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}

		return nil, fmt.Errorf("the agent does not answer: %w", err)
	}

	if rsp.StatusCode != http.StatusOK {
		defer func() { _ = rsp.Body.Close() }()

		b, _ := io.ReadAll(io.LimitReader(rsp.Body, longestRefusal)) // What is missing is not understood.

		return nil, &statusError{rsp.StatusCode, string(b)}
	}

	return rsp, nil
}

// longestRefusal is as much as is read of an answer that holds no figures.
const longestRefusal = 4 << 10

// A statusError is an answer that holds no figures. Its body is not for a log.
type statusError struct {
	code int
	body string
}

func (e *statusError) Error() string { return fmt.Sprintf("the agent answers %d", e.code) }
