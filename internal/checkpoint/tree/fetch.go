package tree

import (
	"slices"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
)

// A fetch is a chunk on its way.
type fetch struct {
	id   checkpoint.ID
	data []byte
	err  error
	done chan struct{}
}

// fetch begins to get the next chunk of a file while this one is written, and no more than one.
func (r *restorer) fetch(next []ref) {
	i := slices.IndexFunc(next, func(p ref) bool { return !p.hole && p.chunk != r.last })
	if i < 0 || r.ahead != nil {
		return
	}

	f := &fetch{id: next[i].chunk, done: make(chan struct{})}
	r.ahead = f

	go func() {
		defer close(f.done)

		f.data, f.err = r.get(r.ctx, f.id)
	}()
}

// fetched returns a chunk, which may be the one that is on its way.
func (r *restorer) fetched(id checkpoint.ID) ([]byte, error) {
	if f := r.landed(); f != nil && f.id == id {
		return f.data, f.err
	}

	return r.get(r.ctx, id)
}

// landed waits for the chunk that is on its way, if one is.
func (r *restorer) landed() *fetch {
	f := r.ahead
	if f != nil {
		<-f.done
	}

	r.ahead = nil

	return f
}
