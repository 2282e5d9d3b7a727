package removal

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/worker"
)

const (
	// readers is how many checkpoints are read back at once, all pools together, and readTimeout how long one may take.
	readers     = 4
	readTimeout = 15 * time.Minute
	// patience is how long a look at a pool waits for one: most are small.
	patience = time.Second
	// forget is how long an answer is kept for which nobody comes.
	forget = time.Hour
)

// A reading is a checkpoint that is being read back, or was when done is closed.
type reading struct {
	done  chan struct{}
	begun time.Time
	name  string
	err   error
}

// Verify reads back the checkpoint that a worker made for its drain, or its slot's newest with anyDrain. A large one is read while
// the pool is looked at again and again.
func (c *cluster) Verify(ctx context.Context, w worker.Worker, anyDrain bool) (string, error) {
	key := fmt.Sprint(w.UID, " ", w.Drain, " ", anyDrain)

	r, err := c.reading(key, func(ctx context.Context) (string, error) {
		return c.read(ctx, types.NamespacedName{Namespace: c.pool.Namespace, Name: c.repositories[w.UID]}, w, anyDrain)
	})
	if err != nil {
		return "", err
	}

	wait := time.NewTimer(patience)
	defer wait.Stop()

	select {
	case <-r.done:
		c.forget(key)

		return r.name, r.err
	case <-wait.C:
	case <-ctx.Done():
	}

	return "", worker.ErrPending
}

// reading returns the reading of that key, which begins if it has not.
func (p *Pools) reading(key string, read func(context.Context) (string, error)) (*reading, error) {
	p.mu.Lock()
	defer p.mu.Unlock()

	if r, ok := p.readings[key]; ok {
		return r, nil
	}

	if p.ctx.Err() != nil {
		return nil, fmt.Errorf("the provider is ending: %w", worker.ErrPending)
	}

	for k, old := range p.readings {
		if time.Since(old.begun) > forget {
			delete(p.readings, k)
		}
	}

	r := &reading{done: make(chan struct{}), begun: time.Now()}
	p.readings[key] = r

	p.wg.Go(func() {
		defer close(r.done)

		select {
		case p.turns <- struct{}{}:
			defer func() { <-p.turns }()
		case <-p.ctx.Done():
			r.err = p.ctx.Err()

			return
		}

		ctx, cancel := context.WithTimeout(p.ctx, readTimeout)
		defer cancel()

		r.name, r.err = read(ctx)
	})

	return r, nil
}

func (p *Pools) forget(key string) {
	p.mu.Lock()
	defer p.mu.Unlock()

	delete(p.readings, key)
}

// read reads back the checkpoint that a worker made for its drain, or its slot's newest with anyDrain.
func (p *Pools) read(ctx context.Context, repository types.NamespacedName, w worker.Worker, anyDrain bool) (string, error) {
	r, err := p.repos.Repository(ctx, repository)
	if err != nil {
		return "", err
	}

	name := strconv.Itoa(w.Slot)

	all, err := r.Positions(ctx, name)
	if err != nil {
		return "", err
	}

	for _, at := range all {
		if at.Epoch != w.Epoch {
			continue
		}

		m, err := r.Manifest(ctx, name, at)
		if err != nil {
			return "", err
		}

		// The newest alone: it is what the slot's next worker begins with.
		if !anyDrain && m.Drain != w.Drain {
			return "", fmt.Errorf("the newest checkpoint of slot %s, %s, is not that of drain %s", name, at, w.Drain)
		}

		return name + "/" + at.String(), r.Verify(ctx, m)
	}

	return "", fmt.Errorf("slot %s has no checkpoint under epoch %d: %w", name, w.Epoch, checkpoint.ErrNotFound)
}
