package inbound

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// longestPeek is as much of a message as is read to see whether it begins a task, and shortPeek as much as most have. What is
// longer is taken to.
const (
	longestPeek = 1 << 20
	shortPeek   = 4 << 10
)

// taskVerb is the path of a verb on a task, such as to cancel it.
var taskVerb = regexp.MustCompile(`/tasks/[^/]+:[^/:]+$`)

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
	// held is what is reserved for what was read of the request.
	held int64
}

// httpTask takes for a task whatever may change something, and a connection that becomes another protocol's, such as a
// WebSocket, by which an agent may be told what to do. What only reads, such as a probe, a page of metrics or a subscription,
// is none: it must pass while the worker drains, and must not hold a drain.
func httpTask(r *http.Request) (kind, error) {
	_, upgrades := r.Header["Upgrade"]
	task := upgrades || !slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, r.Method)

	return kind{task: task, fresh: task}, nil
}

// The methods that send a message to an A2A server by JSON-RPC, as 1.0 and as 0.3 name them.
var sends = []string{"SendMessage", "SendStreamingMessage", "message/send", "message/stream"}

// a2aTask takes for a task a message to an A2A server, by HTTP or JSON-RPC, and for a fresh one a message that names no task
// that it goes on with. All else passes, so that a client can ask for, follow and cancel its tasks while the worker drains.
func (p *Proxy) a2aTask(r *http.Request) (kind, error) {
	from := restOrigin(r)
	if r.Method != http.MethodPost {
		return kind{a2a: true, from: from}, nil
	}

	path := strings.TrimRight(r.URL.Path, "/")
	rest := strings.HasSuffix(path, "/message:send") || strings.HasSuffix(path, "/message:stream")

	if taskVerb.MatchString(path) {
		return kind{a2a: true, from: from}, nil
	}

	b, whole, held, err := p.peek(r)
	if err != nil {
		return kind{held: held}, err
	}

	k := readA2A(b, whole, rest, from)
	k.held = held

	return k, nil
}

// readA2A says what a message is, as far as it was read.
func readA2A(b []byte, whole, rest bool, from origin) kind {
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
		return kind{task: true, fresh: true, a2a: true, from: from}
	}

	if rest {
		return kind{task: true, fresh: m.Message.TaskID == "", a2a: true, on: m.Message.TaskID, from: from}
	}

	from.rpc = "GetTask"
	if strings.Contains(m.Method, "/") {
		from.rpc = "tasks/get"
	}

	if !slices.Contains(sends, m.Method) {
		return kind{a2a: true, rpc: true, from: from}
	}

	on := m.Params.Message.TaskID

	return kind{task: true, fresh: on == "", a2a: true, rpc: true, id: m.ID, on: on, from: from}
}

func decodes(b []byte, into any) bool { return json.Unmarshal(b, into) == nil }

type message struct {
	TaskID string `json:"taskId"`
}

// peek returns the beginning of a request's body, whether that is all, and what was reserved for it, until the request has ended.
// It leaves the request as it was. Only what has come is reserved: a client may take its time with the rest.
func (p *Proxy) peek(r *http.Request) (b []byte, whole bool, held int64, err error) {
	for !errors.Is(err, io.EOF) && len(b) <= longestPeek {
		if len(b) == cap(b) {
			more := max(shortPeek, cap(b))
			if !p.room.take(int64(more)) {
				break
			}

			held += int64(more)
			b = slices.Grow(b, more)
		}

		var n int

		n, err = r.Body.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]

		if err != nil && !errors.Is(err, io.EOF) {
			return nil, false, held, err
		}
	}

	r.Body = body{io.MultiReader(bytes.NewReader(b), r.Body), r.Body}

	return b, errors.Is(err, io.EOF) && len(b) <= longestPeek, held, nil
}

type body struct {
	io.Reader
	io.Closer
}
