package saver

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/tree"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// Config of a saver.
type Config struct {
	Place

	// Interval is the time between two looks whether the state has changed.
	Interval time.Duration
	// LastTimeout bounds the save after the agent has ended.
	LastTimeout time.Duration
	// Rate bounds how many bytes a second are read from the state; 0 is no bound.
	Rate int64
	// QuiesceURL is the agent's hook on loopback, and QuiesceTimeout the deadline of a call; empty for no hook.
	QuiesceURL     string
	QuiesceTimeout time.Duration
}

const (
	// saveTimeout bounds one save; the format wants it far below a quarter of the safety window.
	saveTimeout = time.Hour
	// retryFirst is how soon a save that failed is made again, and retryMost how long it gets at most.
	retryFirst = time.Second
	retryMost  = time.Minute
	// againMost is how long a save waits at most that only has to be made again, and againFails how long that may go on until it
	// is a failure: a sweep makes saves wait for a minute.
	againMost  = 5 * time.Second
	againFails = 5 * time.Minute
)

// A Saver saves a worker's state, again and again. Only Run saves; the other methods may be called by many at once.
type Saver struct {
	c       Config
	log     *slog.Logger
	now     func() time.Time
	quiesce *quiesce
	figures *figures
	began   time.Time
	// touched is from when on there may have been an agent.
	touched time.Time

	// Only Run has these.
	link     *link
	session  *checkpoint.Session
	last     *tree.Snapshot
	failures int
	// again is since when saves have had to be made again, zero while none has; over says that none will be made any more.
	again time.Time
	over  bool

	mu     sync.Mutex
	status monitorapi.Checkpoint
	// wanted is the save that a drain waits for, and made the last one that was.
	wanted, made demand
	// asked is the last request to save at once.
	asked string
	wake  chan struct{}
}

// A demand is a save that must be made for a drain: one that began no earlier than a time.
type demand struct {
	drain string
	since time.Time
}

// New returns a saver for a worker that Restore has made ready. It is called before there is an agent, and each time that the
// monitor is started again.
func New(c Config, now func() time.Time, log *slog.Logger) (*Saver, error) {
	q, err := newQuiesce(c.QuiesceURL, c.QuiesceTimeout, log)
	if err != nil {
		return nil, err
	}

	at, err := touch(c.Volume)
	if err != nil {
		return nil, err
	}

	s := &Saver{c: c, touched: at, log: log, now: now, quiesce: q, began: now(), wake: make(chan struct{}, 1)}
	s.figures = newFigures(s)

	return s, nil
}

// Status returns what is known of the worker's checkpoints.
func (s *Saver) Status() monitorapi.Checkpoint {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.status
}

// Saved says whether the state has been saved for a drain since a time at which nothing was in flight any more, and has it
// saved if not. The drain has no id where the agent is about to be ended. why says why it is not saved.
func (s *Saver) Saved(drain string, since time.Time) (saved bool, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()

	want := demand{drain, since}
	if s.made == want {
		return true, ""
	}

	if s.wanted != want {
		s.wanted = want
		s.hurry()
	}

	switch {
	case s.status.Fenced:
		return false, "another worker owns the slot, and nothing of this one is kept"
	case s.status.Failing != "":
		return false, "its state is not saved: " + s.status.Failing
	default:
		return false, "its state is being saved"
	}
}

// Withdraw forgets the drain that the state was saved for: one that comes later is another, whatever it is called.
func (s *Saver) Withdraw() {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.wanted, s.made = demand{}, demand{}
}

// stands returns the drain that the state has been saved for and that goes on, if there is one. What is saved after that is that
// drain's, too: who removes the worker looks at the newest checkpoint only.
func (s *Saver) stands() string {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.wanted != s.made {
		return ""
	}

	return s.made.drain
}

// Run saves until the context is done, which is when the agent has ended, and then a last time.
func (s *Saver) Run(ctx context.Context) {
	s.begin()

	wait := time.Duration(float64(s.c.Interval) * (0.1 + 0.1*rand.Float64())) //nolint:gosec // It only spreads the work of many.

	for {
		t := time.NewTimer(wait)

		select {
		case <-ctx.Done():
			t.Stop()
			s.final(ctx)

			return
		case <-s.wake:
		case <-t.C:
		}

		t.Stop()

		wait = s.attempt(ctx)
		if s.over {
			<-ctx.Done()
			s.link.close()

			return
		}
	}
}

// begin takes over what Restore has left, as far as that can be done without the store.
func (s *Saver) begin() {
	m, err := s.c.readMeta()
	if err != nil || m == nil {
		s.log.Warn("the state volume was not made ready by this version: its state is taken as new")

		return
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.status.RestoredFrom = m.From
	s.status.Notes = int64(len(m.Rejected))
	s.figures.restored(m.Seconds)
}

// attempt saves once, and returns when to save next.
func (s *Saver) attempt(alive context.Context) time.Duration {
	ctx, cancel := context.WithTimeout(alive, saveTimeout)
	defer cancel()

	s.mu.Lock()
	want, made, asked := s.wanted, s.made, s.asked
	answered := s.status.Asked
	s.mu.Unlock()

	reason := monitorapi.SaveInterval

	switch {
	case want == made && asked != answered:
		want, reason = demand{}, monitorapi.SaveAsked
	case want == made:
		want = demand{}
	case want.drain != "":
		reason = monitorapi.SaveDrain
	case !want.since.IsZero():
		reason = monitorapi.SaveStop
	}

	err := s.save(ctx, reason, want.drain)
	if err == nil {
		s.failures = 0

		s.mu.Lock()
		// Unless it was withdrawn meanwhile.
		if !want.since.IsZero() && s.wanted == want {
			s.made = want
		}

		s.status.Asked = asked
		s.mu.Unlock()

		// Jitter, so that the workers of a pool do not all save at once.
		return time.Duration(float64(s.c.Interval) * (0.9 + 0.2*rand.Float64())) //nolint:gosec // As above.
	}

	if alive.Err() != nil {
		return 0 // It was broken off, and the last save makes good for it.
	}

	most := retryMost
	if !s.failed(err) {
		most = againMost
	}

	wait := min(retryFirst<<min(s.failures, 10), most, s.c.Interval)
	s.failures++

	return wait
}

// final saves a last time, when the agent writes no more. Nobody is asked to hold still.
func (s *Saver) final(ctx context.Context) {
	defer func() { s.link.close() }()

	if s.over {
		return
	}

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.c.LastTimeout)
	defer cancel()

	s.quiesce = nil

	for {
		err := s.save(ctx, monitorapi.SaveStop, "")
		if err == nil {
			return
		}

		s.failed(err)

		if ctx.Err() != nil || s.over {
			return
		}

		select {
		case <-ctx.Done():
		case <-time.After(retryFirst):
		}
	}
}

// save makes a checkpoint of what is there, if it is another than the last or answers a drain.
func (s *Saver) save(ctx context.Context, reason, drain string) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}

	began := s.now()

	resume, asked := s.quiesce.hold(ctx), s.now()
	snap, notes, err := tree.Save(ctx, s.c.state(), s.session.Put, s.last, tree.Options{Chunker: s.link.repo.Pool().Chunker, Rate: s.c.Rate})
	resume()

	if s.quiesce != nil {
		s.figures.held.Observe(s.now().Sub(asked).Seconds())
	}

	if err != nil {
		return err
	}

	if snap.Same(s.last) && drain == "" {
		// What is remembered of files may be newer all the same: their times on this disk.
		s.last = snap
		s.unchanged(began, notes)

		return nil
	}

	m, err := s.session.Commit(ctx, checkpoint.Save{
		Reason: reason, Drain: cmp.Or(drain, s.stands()), Files: snap.Files, Bytes: snap.Bytes, Tree: snap.Tree, Chunks: snap.Chunks,
	})
	if err != nil {
		return err
	}

	s.last = snap
	s.saved(m, began, notes)

	return nil
}

// prepare sees to it that there is a session, with the Secret as it is now.
func (s *Saver) prepare(ctx context.Context) error {
	a, err := s.c.read()
	if err != nil {
		return err
	}

	if s.link != nil && s.link.print == a.fingerprint() && s.session != nil {
		return nil
	}

	l, err := s.c.connect(ctx, a)
	if err != nil {
		return err
	}

	session, last, err := s.resume(ctx, l)
	if err != nil {
		l.close()

		return err
	}

	s.link.close()
	s.link, s.session, s.last = l, session, last

	return nil
}

// resume returns a session that goes on from the newest checkpoint under the worker's epoch.
func (s *Saver) resume(ctx context.Context, l *link) (*checkpoint.Session, *tree.Snapshot, error) {
	session, err := l.repo.Session(ctx, s.c.Slot, s.c.Epoch)
	if err != nil {
		return nil, nil, err
	}

	all, err := l.repo.Positions(ctx, s.c.Slot)
	if err != nil {
		return nil, nil, err
	}

	for _, p := range all {
		if p.Epoch != s.c.Epoch {
			continue
		}

		m, err := l.repo.Manifest(ctx, s.c.Slot, p)
		if errors.Is(err, checkpoint.ErrCorrupt) || errors.Is(err, checkpoint.ErrNotFound) {
			break // All is saved anew.
		}

		if err != nil {
			return nil, nil, err
		}

		last, err := tree.Load(ctx, s.c.state(), s.touched, m.Tree, l.repo.Get)
		if err == nil {
			err = session.Resume(ctx, m)
		}

		if errors.Is(err, checkpoint.ErrCorrupt) || errors.Is(err, checkpoint.ErrNotFound) {
			break // As above.
		}

		if err != nil {
			return nil, nil, err
		}

		s.known(m)

		return session, last, nil
	}

	return session, nil, nil
}
