package inbound

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
)

// longestAnswer is as much of an answer, or of one event of a stream, as is kept to be read when it is whole.
const longestAnswer = 1 << 20

// An object is what an A2A server answers, as far as it names tasks: a task, an update of one's status, a list of tasks, or
// one of those within the envelopes of the protocol's bindings and versions.
type object struct {
	ID     json.RawMessage `json:"id"`
	TaskID string          `json:"taskId"`
	Status *struct {
		State string `json:"state"`
	} `json:"status"`

	Result       *object  `json:"result"`
	Task         *object  `json:"task"`
	StatusUpdate *object  `json:"statusUpdate"`
	Tasks        []object `json:"tasks"`

	Error *struct {
		Code int `json:"code"`
	} `json:"error"`
}

// each tells of all tasks that an object names with their states.
func (o *object) each(tell func(id string, s state)) {
	if o == nil {
		return
	}

	// The id beside a result is the request's, which no state is beside.
	if o.Status != nil && o.Status.State != "" {
		id := o.TaskID
		if id == "" && json.Unmarshal(o.ID, &id) != nil {
			id = ""
		}

		if id != "" {
			tell(id, readState(o.Status.State))
		}
	}

	for _, in := range []*object{o.Result, o.Task, o.StatusUpdate} {
		in.each(tell)
	}

	for i := range o.Tasks {
		o.Tasks[i].each(tell)
	}
}

// A listener reads an answer as it passes. One goroutine at a time has it.
type listener struct {
	io.ReadCloser

	tally *Tally
	kind  kind
	// stream says that the answer is events. buf is what has come of the answer, or of the event's line and its data.
	stream    bool
	buf, data bytes.Buffer
	// over says that what is coming now is too long to be kept, and unread that something of the answer was not read.
	over, unread bool
	// unnamed says that this is a message whose task is not named yet, whole that the answer has come to its end, and refused
	// that the agent did not take the message.
	unnamed, whole, refused bool
	// held is what is reserved for buf and data.
	held int64
}

// listen begins with a request.
func (t *Tally) listen(k kind) *listener {
	l := &listener{tally: t, kind: k}

	switch {
	case k.on != "":
		t.assume(l)
	case k.task:
		l.unnamed = true

		t.mu.Lock()
		t.unnamed++
		t.mu.Unlock()
	}

	return l
}

// answered wraps the body of an answer.
func (l *listener) answered(rsp *http.Response) {
	if rsp.StatusCode/100 != 2 {
		// Nothing has begun.
		l.whole, l.refused = true, true

		return
	}

	typ, _, err := mime.ParseMediaType(rsp.Header.Get("Content-Type"))
	encoding := rsp.Header.Get("Content-Encoding")

	l.stream = typ == "text/event-stream"
	if err != nil || encoding != "" && encoding != "identity" || !l.stream && typ != "application/json" && !strings.HasSuffix(typ, "+json") {
		return
	}

	l.ReadCloser = rsp.Body
	rsp.Body = l
}

// Read implements io.Reader.
func (l *listener) Read(p []byte) (int, error) {
	n, err := l.ReadCloser.Read(p)
	l.take(p[:n])

	if errors.Is(err, io.EOF) {
		if !l.stream {
			l.tell(l.buf.Bytes())
		}

		l.whole = !l.unread
		l.buf = bytes.Buffer{}
	}

	return n, err
}

// take takes in bytes as they come.
func (l *listener) take(b []byte) {
	if !l.stream {
		l.keep(&l.buf, b)

		return
	}

	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			l.keep(&l.buf, b)

			return
		}

		l.keep(&l.buf, b[:i])
		l.line(bytes.TrimSuffix(l.buf.Bytes(), []byte("\r")))
		l.buf.Reset()

		b = b[i+1:]
	}
}

// line takes in a line of a stream: an empty one ends an event.
func (l *listener) line(b []byte) {
	if data, ok := bytes.CutPrefix(b, []byte("data:")); ok {
		l.keep(&l.data, data)
	} else if len(b) == 0 {
		l.tell(l.data.Bytes())
		l.data.Reset()
	}
}

func (l *listener) keep(into *bytes.Buffer, b []byte) {
	if l.over = l.over || into.Len()+len(b) > longestAnswer || !l.hold(into, len(b)); l.over {
		l.unread = true

		return
	}

	into.Write(b)
}

// hold reserves what a buffer will grow by, which is at most as much again as it will hold.
func (l *listener) hold(into *bytes.Buffer, more int) bool {
	if into.Available() >= more {
		return true
	}

	n := int64(2 * (into.Len() + more))
	if !l.tally.room.take(n) {
		return false
	}

	l.held += n

	return true
}

// tell tells the tally what an answer or an event says.
func (l *listener) tell(b []byte) {
	if over := l.over; over || len(b) == 0 {
		l.over = false

		return
	}

	var o object
	if json.Unmarshal(b, &o) != nil {
		l.unread = true

		return
	}

	l.refused = o.Error != nil

	o.each(func(id string, s state) {
		l.tally.hear(id, s, l.kind.from)
		l.named()
	})
}

func (l *listener) named() {
	if l.unnamed {
		l.unnamed = false

		l.tally.mu.Lock()
		l.tally.unnamed--
		l.tally.mu.Unlock()
	}
}

// end ends with the request. A message whose answer did not come, or could not be read, may have begun a task.
func (l *listener) end() {
	if l.unnamed && !l.whole {
		l.tally.mu.Lock()
		l.tally.lose("the answer to a message did not come whole, or could not be read")
		l.tally.mu.Unlock()
	}

	l.named()
	l.tally.settle(l)
	l.tally.room.give(l.held)
}
