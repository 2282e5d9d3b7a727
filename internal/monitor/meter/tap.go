package meter

import (
	"bytes"
	"mime"
)

const (
	// longestUsage bounds what is read of a usage object.
	longestUsage = 16 << 10
	// shortValue is enough for words like null, and for an empty list however it is written.
	shortValue = 32
	// errorKept is as much of an error as tells it from null.
	errorKept = 8
)

// A Result is what an answer told.
type Result struct {
	// Usage is what was billed, where Told.
	Usage Usage
	Told  bool
	// Model is the one that answered, which may be more exact than the one that was asked for. Empty where the answer does not say.
	Model string
	// Unreadable says that there was a usage that cannot be understood, and no later one that can.
	Unreadable bool
	// Failed says that the server told of an error after it had begun a good answer.
	Failed bool
	// Begun says that the first event with the model's own words has come. Only streams tell.
	Begun bool
}

// A Tap reads an answer as it passes and learns what was billed. It is of no use to two at once.
type Tap struct {
	api API
	// One of the two reads: body a JSON text, events a stream.
	body   *picker
	events *events
	tally  tally
	result Result
}

// NewTap returns a tap for the answer to a request, by the answer's Content-Type. With hide the event that tells a stream's
// usage and nothing else is not passed, because nobody but us asked for it.
func NewTap(api API, contentType string, hide bool) *Tap {
	t := &Tap{api: api}

	if media, _, _ := mime.ParseMediaType(contentType); media != "text/event-stream" {
		t.body = newPicker([]path{{"usage", longestUsage}, {"model", longestModel}})

		return t
	}

	t.events = &events{hiding: hide && api.streamsOnRequest()}

	switch api {
	case Responses:
		t.events.data = newPicker([]path{{"type", 64}, {"response.usage", longestUsage}, {"response.model", longestModel}})
		t.events.ended = t.responsesEvent
	case Messages:
		t.events.data = newPicker([]path{{"type", 64}, {"usage", longestUsage}, {"message.usage", longestUsage}, {"message.model", longestModel}})
		t.events.ended = t.messagesEvent
	default:
		t.events.data = newPicker([]path{{"choices", shortValue}, {"usage", longestUsage}, {"model", longestModel}, {"error", errorKept}})
		t.events.ended = t.chatEvent
	}

	return t
}

// Next reads a part of the answer and returns what to pass on: the part itself, or what is good until the next call.
func (t *Tap) Next(out, part []byte) []byte {
	switch {
	case t.events == nil:
		t.body.feed(part)

		return part
	case !t.events.hiding:
		t.events.next(nil, part)

		return part
	default:
		return t.events.next(out[:0], part)
	}
}

// Hides says whether Next may return other bytes than it was given.
func (t *Tap) Hides() bool { return t.events != nil && t.events.hiding }

// End says that the answer has ended, well or not, and returns what was held back.
func (t *Tap) End() []byte {
	if t.events != nil {
		return t.events.end(nil)
	}

	t.result.Model = text(t.body.get("model"))
	t.count(t.body.get("usage"), true)

	return nil
}

// Result returns what the answer told so far.
func (t *Tap) Result() Result { return t.result }

// count reads a usage, if that is there. With last it is what was billed.
func (t *Tap) count(f *field, last bool) {
	if !f.found() || f.is("null") {
		return
	}

	if !f.whole || t.tally.read(f.raw) != nil {
		t.result.Unreadable = true

		return
	}

	if !last {
		return
	}

	u, err := t.tally.usage(t.api)
	if err != nil {
		t.result.Unreadable = true

		return
	}

	t.result.Usage, t.result.Told, t.result.Unreadable = u, true, false
}

// chatEvent reads an event of chat completions and completions. Some servers repeat the usage with each event, always of the
// whole answer so far: the last one counts.
func (t *Tap) chatEvent() (hide bool) {
	p := t.events.data

	// A usage stands for itself: what an earlier one had and this one lacks is not.
	t.tally = tally{}
	t.count(p.get("usage"), true)

	if m := text(p.get("model")); m != "" {
		t.result.Model = m
	}

	if f := p.get("error"); f.found() && !f.is("null") {
		t.result.Failed = true
	}

	choices := p.get("choices")
	none := choices.found() && choices.whole && len(choices.raw) > 1 && choices.raw[0] == '[' && len(bytes.TrimSpace(choices.raw[1:])) == 1
	t.result.Begun = t.result.Begun || choices.found() && !none

	usage := p.get("usage")

	return none && usage.found() && len(usage.raw) > 0 && usage.raw[0] == '{'
}

// responsesEvent reads an event of responses, the last of which has the whole response.
func (t *Tap) responsesEvent() (hide bool) {
	p := t.events.data
	kind := text(p.get("type"))

	if m := text(p.get("response.model")); m != "" {
		t.result.Model = m
	}

	switch kind {
	case "response.completed", "response.incomplete", "response.failed":
		t.count(p.get("response.usage"), true)
		t.result.Failed = t.result.Failed || kind == "response.failed"
	case "error":
		t.result.Failed = true
	default:
		t.result.Begun = t.result.Begun || len(kind) > 6 && kind[len(kind)-6:] == ".delta"
	}

	return false
}

// messagesEvent reads an event of messages. The first has what was read, and the deltas of the message what was written so
// far, and sometimes all again.
func (t *Tap) messagesEvent() (hide bool) {
	p := t.events.data

	switch text(p.get("type")) {
	case "message_start":
		t.result.Model = text(p.get("message.model"))
		t.count(p.get("message.usage"), false)
	case "content_block_delta":
		t.result.Begun = true
	case "message_delta":
		t.count(p.get("usage"), true)
	case "error":
		t.result.Failed = true
	}

	return false
}
