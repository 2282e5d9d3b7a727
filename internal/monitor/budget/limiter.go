// Package budget holds a worker's model requests to its share of the pool's token budget. It must not know where the share
// comes from, nor what a request is.
package budget

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"sync"
	"time"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

const (
	// burst is how much of its share a worker can save up while it is idle. In any minute it can then send that much more than
	// its share, so this is the twentieth of a minute by which a pool may differ from its budget. A request that is larger is
	// sent when all of this is there, and those after it pay the rest.
	burst = time.Minute / 20
	// mostWaiting bounds the requests that wait. Agents have few open at once; more is a client that does not wait for answers.
	mostWaiting = 1024
	// none is the share of a worker without a budget.
	none = -1
)

// A Limiter is a bucket that fills by the worker's share. Its methods may be called by many goroutines at once.
type Limiter struct {
	pool    string
	started int64
	longest time.Duration
	now     func() time.Time

	mu    sync.Mutex
	share int64
	// level is what was in the bucket at a time; below zero where more was used than had been reserved.
	level float64
	at    time.Time
	queue []*waiter

	held, refused int64
}

// A waiter is woken when there may be enough for it.
type waiter struct {
	need float64
	wake chan struct{}
}

// New returns a limiter for a worker of a pool. It starts with a share as text, as in monitorapi.EnvTokenShare; empty where
// there is no budget until one is set. A request waits at most for the longest time.
func New(pool, share string, longest time.Duration, now func() time.Time) (*Limiter, error) {
	started := int64(none)

	if share != "" {
		n, err := parse(share)
		if err != nil {
			return nil, err
		}

		started = n
	}

	return &Limiter{pool: pool, started: started, longest: longest, now: now, share: started, at: now()}, nil
}

func parse(share string) (int64, error) {
	n, err := strconv.ParseInt(share, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("cannot use %q as a share: want a whole number of tokens per minute, at least 0", share)
	}

	return n, nil
}

// SetShare takes over the share that an annotation says; empty for the one the worker started with. One that cannot be read
// changes nothing.
func (l *Limiter) SetShare(text string) error {
	share := l.started

	if text != "" {
		n, err := parse(text)
		if err != nil {
			return err
		}

		share = n
	}

	l.mu.Lock()
	defer l.mu.Unlock()

	if share == l.share {
		return nil
	}

	// What was saved up and what is owed was so at the old share.
	l.fill()

	l.share = share
	if share == none {
		l.level = 0
	}

	l.level = min(l.level, l.most())
	l.next()

	return nil
}

// Admit waits until so many tokens fit into the share, first come first served. Settle is to be called once with the tokens
// that were really used. The error is a *Refused where the wait was too long, and the context's where that ended first.
func (l *Limiter) Admit(ctx context.Context, estimate int64) (settle func(used int64), err error) {
	need := float64(max(estimate, 0))

	l.mu.Lock()
	defer l.mu.Unlock()

	if len(l.queue) == 0 && l.until(need) == 0 {
		return l.take(need), nil
	}

	if len(l.queue) >= mostWaiting {
		return nil, l.refuse(need)
	}

	w := &waiter{need: need, wake: make(chan struct{}, 1)}
	l.queue = append(l.queue, w)
	l.held++

	return l.wait(ctx, w)
}

// wait holds the lock but while it sleeps.
func (l *Limiter) wait(ctx context.Context, w *waiter) (func(int64), error) {
	late := time.NewTimer(l.longest)
	defer late.Stop()

	// Set anew each time there is something to wait for: an answer may settle often while one request waits.
	due := time.NewTimer(l.longest)
	defer due.Stop()

	for {
		if l.queue[0] == w {
			d := l.until(w.need)
			if d == 0 {
				l.leave(w)

				return l.take(w.need), nil
			}

			due.Reset(d)
		}

		over, err := l.sleep(ctx, w, due.C, late.C)
		if over {
			l.leave(w)

			return nil, l.refuse(w.need)
		}

		if err != nil {
			l.leave(w)

			return nil, err
		}
	}
}

func (l *Limiter) sleep(ctx context.Context, w *waiter, due, late <-chan time.Time) (over bool, err error) {
	l.mu.Unlock()
	defer l.mu.Lock()

	select {
	case <-ctx.Done():
		return false, fmt.Errorf("cannot wait for the token budget: %w", ctx.Err())
	case <-late:
		return true, nil
	case <-due:
	case <-w.wake:
	}

	return false, nil
}

// leave takes a waiter out of the queue, and lets the first look whether it is its turn.
func (l *Limiter) leave(w *waiter) {
	for i := range l.queue {
		if l.queue[i] == w {
			l.queue = append(l.queue[:i], l.queue[i+1:]...)

			break
		}
	}

	l.next()
}

func (l *Limiter) next() {
	if len(l.queue) == 0 {
		return
	}

	select {
	case l.queue[0].wake <- struct{}{}:
	default:
	}
}

// take reserves what a request needs, and returns what corrects it.
func (l *Limiter) take(need float64) func(int64) {
	if l.share == none {
		return func(int64) {}
	}

	l.fill()
	l.level -= need

	return func(used int64) {
		l.mu.Lock()
		defer l.mu.Unlock()

		if l.share == none {
			return
		}

		l.fill()
		l.level = min(l.level+need-float64(used), l.most())
		l.next()
	}
}

func (l *Limiter) rate() float64 { return float64(l.share) / float64(time.Minute) }

// most is what the bucket holds.
func (l *Limiter) most() float64 { return max(l.rate(), 0) * float64(burst) }

func (l *Limiter) fill() {
	now := l.now()
	if l.share > 0 {
		l.level = min(l.level+l.rate()*float64(now.Sub(l.at)), l.most())
	}

	l.at = now
}

// until is the time until so much fits: zero for now, and as long as anybody waits where nothing flows.
func (l *Limiter) until(need float64) time.Duration {
	if l.share == none {
		return 0
	}

	if l.share == 0 {
		return l.longest
	}

	l.fill()

	missing := min(need, l.most()) - l.level
	if missing <= 1e-6 {
		return 0
	}

	return time.Duration(min(math.Ceil(missing/l.rate()), float64(time.Hour)))
}

func (l *Limiter) refuse(need float64) *Refused {
	l.refused++

	wait := l.until(need)

	if l.share > 0 {
		wait = min(wait+time.Duration(l.backlog()/l.rate()), time.Hour)
	}

	return &Refused{pool: l.pool, share: l.share, wait: max(wait, time.Second)}
}

// backlog is what the requests that wait need together.
func (l *Limiter) backlog() float64 {
	sum := 0.0
	for _, w := range l.queue {
		sum += w.need
	}

	return sum
}

// Budget returns the share and who waits for it; nil where there is no budget.
func (l *Limiter) Budget() *monitorapi.Budget {
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.share == none {
		return nil
	}

	return &monitorapi.Budget{TokensPerMinute: l.share, Waiting: int64(len(l.queue)), HeldBack: l.held, WaitingTokens: int64(math.Ceil(l.backlog()))}
}

// Refused is the error of a request that would have had to wait too long.
type Refused struct {
	pool  string
	share int64
	wait  time.Duration
}

// Error says which budget it is, and what to do.
func (r *Refused) Error() string {
	return fmt.Sprintf("the token budget of pool %s is used up: this worker has %d tokens per minute of it. Come back in %s, or raise spec.tokenBudget of the pool",
		r.pool, r.share, r.wait.Round(time.Second))
}

// Wait is the time until the request would fit, as far as can be seen now.
func (r *Refused) Wait() time.Duration { return r.wait }
