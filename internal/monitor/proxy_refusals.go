package monitor

import (
	"bytes"
	"io"
	"net/http"
	"sync"
	"time"
)

const (
	// refusalLasts is how long a model server is not asked for usage that refused to be: until it may be another one.
	refusalLasts = time.Hour
	mostRefusals = 64
	// longestRefusal is as much of an answer as is read to see why a request was refused.
	longestRefusal = 16 << 10
)

// refusals are the models that cannot be asked for usage.
type refusals struct {
	now func() time.Time

	mu    sync.Mutex
	until map[string]time.Time
}

func newRefusals(now func() time.Time) *refusals {
	return &refusals{now: now, until: map[string]time.Time{}}
}

// add remembers a model, and forgets others where there are too many.
func (r *refusals) add(model string) {
	r.mu.Lock()
	defer r.mu.Unlock()

	for m := range r.until {
		if len(r.until) < mostRefusals {
			break
		}

		delete(r.until, m)
	}

	r.until[model] = r.now().Add(refusalLasts)
}

func (r *refusals) has(model string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()

	until, ok := r.until[model]
	if ok && !r.now().Before(until) {
		delete(r.until, model)

		return false
	}

	return ok
}

// invalid says whether a server did not even begin to work on a request, for what is in it.
func invalid(code int) bool {
	return code == http.StatusBadRequest || code == http.StatusUnprocessableEntity
}

// refusesUsage says whether an answer refuses to tell the usage. It leaves the answer as it is.
func refusesUsage(rsp *http.Response) bool {
	if !invalid(rsp.StatusCode) {
		return false
	}

	// An answer that breaks off says so again to who reads it next.
	b, _ := io.ReadAll(io.LimitReader(rsp.Body, longestRefusal))
	rsp.Body = readCloser{io.MultiReader(bytes.NewReader(b), rsp.Body), rsp.Body}

	return bytes.Contains(b, []byte("stream_options")) || bytes.Contains(b, []byte("include_usage"))
}
