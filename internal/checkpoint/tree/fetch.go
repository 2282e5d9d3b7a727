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

// fetch begins to get the next chunks of a file while this one is written, as many as are stored at once.
func (r *restorer) fetch(next []ref) {
	for _, p := range next[:min(len(next), 4*flights)] {
		if len(r.ahead) == flights {
			return
		}

		if p.hole || p.chunk == r.last || r.awaits(p.chunk) >= 0 {
			continue
		}

		f := &fetch{id: p.chunk, done: make(chan struct{})}
		r.ahead = append(r.ahead, f)

		go func() {
			defer close(f.done)

			f.data, f.err = r.get(r.ctx, f.id)
		}()
	}
}

// awaits returns where a chunk is among those on their way, or -1.
func (r *restorer) awaits(id checkpoint.ID) int {
	return slices.IndexFunc(r.ahead, func(f *fetch) bool { return f.id == id })
}

// fetched returns a chunk, which may be on its way.
func (r *restorer) fetched(id checkpoint.ID) ([]byte, error) {
	i := r.awaits(id)
	if i < 0 {
		return r.get(r.ctx, id)
	}

	f := r.ahead[i]
	r.ahead = slices.Delete(r.ahead, i, i+1)

	<-f.done

	return f.data, f.err
}

// landed waits for all chunks that are on their way.
func (r *restorer) landed() {
	for _, f := range r.ahead {
		<-f.done
	}

	r.ahead = nil
}
