package inbound

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
)

// longestPeek is as much of a message as is read to see whether it begins a task. What is longer is taken to.
const longestPeek = 1 << 20

// A kind is what a request is to a worker.
type kind struct {
	// task says that the agent works as long as the request is open; fresh that it begins a task, and goes on with none.
	task, fresh bool
	// a2a and rpc say how a refusal is worded; id is the request's in JSON-RPC.
	a2a, rpc bool
	id       json.RawMessage
	// on is the task that a message goes on with.
	on string
	// from is how the agent was asked, so that it can be asked again about a task that it told of.
	from origin
}

// httpTask takes for a task whatever may change something. What only reads, such as a probe, a page of metrics or a
// subscription, is none: it must pass while the worker drains, and must not hold a drain.
func httpTask(r *http.Request) (kind, error) {
	task := !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, r.Method)

	return kind{task: task, fresh: task}, nil
}

// The methods that send a message to an A2A server by JSON-RPC, as 1.0 and as 0.3 name them.
var sends = []string{"SendMessage", "SendStreamingMessage", "message/send", "message/stream"}

// a2aTask takes for a task a message to an A2A server, by HTTP or JSON-RPC, and for a fresh one a message that names no task
// that it goes on with. All else passes, so that a client can ask for, follow and cancel its tasks while the worker drains.
func a2aTask(r *http.Request) (kind, error) {
	from := restOrigin(r)
	if r.Method != http.MethodPost {
		return kind{a2a: true, from: from}, nil
	}

	path := strings.TrimRight(r.URL.Path, "/")
	rest := strings.HasSuffix(path, "/message:send") || strings.HasSuffix(path, "/message:stream")

	// A verb on a task.
	if i := strings.LastIndexByte(path, '/'); !rest && strings.Contains(path[i+1:], ":") {
		return kind{a2a: true, from: from}, nil
	}

	b, whole, err := peek(r)
	if err != nil {
		return kind{}, err
	}

	var m struct {
		ID      json.RawMessage `json:"id"`
		Method  string          `json:"method"`
		Message message         `json:"message"`
		Params  struct {
			Message message `json:"message"`
		} `json:"params"`
	}
	if !whole || !decodes(b, &m) {
		// Of what cannot be read nobody knows that it begins nothing. The agent says what is wrong with it.
		return kind{task: true, fresh: true, a2a: true, from: from}, nil
	}

	if rest {
		return kind{task: true, fresh: m.Message.TaskID == "", a2a: true, on: m.Message.TaskID, from: from}, nil
	}

	from.rpc = "GetTask"
	if strings.Contains(m.Method, "/") {
		from.rpc = "tasks/get"
	}

	if !slices.Contains(sends, m.Method) {
		return kind{a2a: true, rpc: true, from: from}, nil
	}

	on := m.Params.Message.TaskID

	return kind{task: true, fresh: on == "", a2a: true, rpc: true, id: m.ID, on: on, from: from}, nil
}

func decodes(b []byte, into any) bool { return json.Unmarshal(b, into) == nil }

type message struct {
	TaskID string `json:"taskId"`
}

// peek returns the beginning of a request's body and whether that is all, and leaves the request as it was.
func peek(r *http.Request) (b []byte, whole bool, err error) {
	if b, err = io.ReadAll(io.LimitReader(r.Body, longestPeek+1)); err != nil {
		return nil, false, err
	}

	r.Body = body{io.MultiReader(bytes.NewReader(b), r.Body), r.Body}

	return b, len(b) <= longestPeek, nil
}

type body struct {
	io.Reader
	io.Closer
}
