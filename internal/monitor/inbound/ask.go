package inbound

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// notFound is JSON-RPC's code of A2A for a task that the server does not know.
const notFound = -32001

// An origin is where a task was heard of: enough to ask for it again in the same way.
type origin struct {
	// path is that of JSON-RPC, or the part before /tasks of HTTP's.
	path string
	// rpc is the method that asks for a task; empty for HTTP.
	rpc string
	// version is what the client said of the protocol's.
	version string
}

func (o origin) long() bool { return len(o.path)+len(o.version) > longestName }

// restOrigin returns where a request by HTTP went.
func restOrigin(r *http.Request) origin {
	path := strings.TrimRight(r.URL.Path, "/")

	for _, mark := range []string{"/message:", "/tasks/", "/tasks"} {
		if i := strings.LastIndex(path, mark); i >= 0 {
			path = path[:i]

			break
		}
	}

	return origin{path: path, version: r.Header.Get("A2A-Version")}
}

// ask asks the agent for a task. A task that it does not know has ended; of one that it does not tell of, such as to
// strangers, nothing new is known, and it counts as it was last heard of.
func (t *Tally) ask(ctx context.Context, id string, from origin) {
	req, err := from.request(ctx, *t.target, id)
	if err != nil {
		return
	}

	rsp, err := t.client.Do(req)
	if err != nil {
		return
	}

	defer func() { _ = rsp.Body.Close() }()

	b, err := io.ReadAll(io.LimitReader(rsp.Body, longestAnswer))
	if err != nil {
		return
	}

	var o object
	// An answer that cannot be read says nothing.
	_ = json.Unmarshal(b, &o)

	gone := o.Error != nil && o.Error.Code == notFound
	if from.rpc == "" {
		gone = rsp.StatusCode == http.StatusNotFound
	}

	if gone {
		t.hear(id, ended, from)

		return
	}

	o.each(func(told string, s state) {
		if told == id {
			t.hear(id, s, from)
		}
	})
}

// request returns the request that asks for a task.
func (o origin) request(ctx context.Context, at url.URL, id string) (*http.Request, error) {
	method, body := http.MethodGet, ""
	at.Path, at.RawQuery = o.path, "historyLength=0"

	if o.rpc == "" {
		at = *at.JoinPath("tasks", url.PathEscape(id))
	} else {
		b, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": o.rpc, "params": map[string]any{"id": id, "historyLength": 0}})
		if err != nil {
			return nil, err
		}

		method, body, at.RawQuery = http.MethodPost, string(b), ""
	}

	req, err := http.NewRequestWithContext(ctx, method, at.String(), strings.NewReader(body))
	if err != nil {
		return nil, err
	}

	if o.rpc != "" {
		req.Header.Set("Content-Type", "application/json")
	}

	if o.version != "" {
		req.Header.Set("A2A-Version", o.version)
	}

	return req, nil
}
