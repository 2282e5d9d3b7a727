package slot

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"pgregory.net/rapid"
)

// A fakePod is a pod as the API server knows it.
type fakePod struct {
	Pod

	gone, ended, terminating bool
	// told is what the pod's annotations say; a pod that was told has no gate.
	told *Claim
}

func (p *fakePod) alive() bool { return !p.gone && !p.ended }

// A world is an API server with one pool. It keeps the guarantees a Store relies on and no others: a ledger is replaced
// only by who knows its version, and a pod that is gone or has ended stays so.
type world struct {
	pods    []*fakePod
	ledger  Ledger
	version int
	size    int

	largest int           // The largest size there was.
	newest  int64         // The newest epoch of a saved ledger.
	owners  map[int]int64 // The newest epoch a pod was told, by slot.
	views   []Pool        // What caches may still show, the newest last.
	fault   string        // The first promise that a call broke.
}

// broken holds the world against what the binder promises and says which promise is broken. It is called after every
// single call.
func (w *world) broken() string {
	slots, epochs := map[int]string{}, map[int64]string{}

	if w.fault != "" {
		return w.fault
	}

	for _, p := range w.pods {
		if p.told == nil {
			continue
		}

		if other, ok := epochs[p.told.Epoch]; ok {
			return fmt.Sprintf("pods %s and %s were told the same epoch %d", p.Name, other, p.told.Epoch)
		}

		epochs[p.told.Epoch] = p.Name

		if !p.alive() {
			continue
		}

		if other, ok := slots[p.told.Slot]; ok {
			return fmt.Sprintf("pods %s and %s, both alive, hold slot %d", p.Name, other, p.told.Slot)
		}

		slots[p.told.Slot] = p.Name

		if c, ok := w.ledger.claimOf(p.UID); !ok || c != *p.told {
			return fmt.Sprintf("pod %s was told %v and the ledger says %v", p.Name, *p.told, c)
		}
	}

	if len(slots) > w.largest {
		return fmt.Sprintf("%d workers are bound in a pool that never had more than %d", len(slots), w.largest)
	}

	return ""
}

func (w *world) check(t *rapid.T) {
	if why := w.broken(); why != "" {
		t.Fatal(why)
	}
}

func (w *world) blame(format string, args ...any) {
	if w.fault == "" {
		w.fault = fmt.Sprintf(format, args...)
	}
}

// look adds what a cache that is up to date shows now.
func (w *world) look() {
	p := Pool{Namespace: "ns", Deployment: "coder", Alive: map[string]bool{}}

	for _, pod := range w.pods {
		if !pod.alive() {
			continue
		}

		p.Alive[pod.UID] = true

		if pod.told == nil && !pod.terminating {
			p.Waiting = append(p.Waiting, pod.Pod)
		}
	}

	w.views = append(w.views, p)
}

func (w *world) pod(uid string) *fakePod {
	return w.pods[slices.IndexFunc(w.pods, func(p *fakePod) bool { return p.UID == uid })]
}

// What becomes of a call: it is made and answered, made without an answer, or the binder dies before it.
type fate int

const (
	answered fate = iota
	unanswered
	dead
)

var (
	errDead       = errors.New("the binder is dead")
	errUnanswered = errors.New("no answer")
)

// A worldStore is one binder's way to the world. Each call waits for its turn.
type worldStore struct {
	w     *world
	ready chan struct{}
	turn  chan fate
}

func (s *worldStore) do(call func() error) error {
	s.ready <- struct{}{}

	f := <-s.turn
	if f == dead {
		return errDead
	}

	if err := call(); err != nil || f == answered {
		return err
	}

	return errUnanswered
}

func (s *worldStore) Load(context.Context, Pool) (l Ledger, version string, err error) {
	err = s.do(func() error {
		l = s.w.ledger.without(nil)
		version = fmt.Sprint(s.w.version)

		return nil
	})

	return l, version, err
}

func (s *worldStore) Save(_ context.Context, _ Pool, l Ledger, version string) error {
	return s.do(func() error {
		if version != fmt.Sprint(s.w.version) {
			return ErrConflict
		}

		if l.Epoch <= s.w.newest {
			s.w.blame("the ledger's epoch went from %d to %d", s.w.newest, l.Epoch)
		}

		s.w.ledger, s.w.newest = l, l.Epoch
		s.w.version++

		return nil
	})
}

func (s *worldStore) Size(context.Context, Pool) (n int, err error) {
	err = s.do(func() error {
		n = s.w.size

		return nil
	})

	return n, err
}

func (s *worldStore) Ended(_ context.Context, _ Pool, c Claim) (over bool, err error) {
	err = s.do(func() error {
		over = !s.w.pod(c.UID).alive()

		return nil
	})

	return over, err
}

func (s *worldStore) Bind(_ context.Context, _ Pool, c Claim) error {
	return s.do(func() error {
		p := s.w.pod(c.UID)
		// A pod that was told lets nobody tell it anything else. While it lives nobody should try.
		if p.told != nil && p.alive() && *p.told != c {
			s.w.blame("pod %s was told %v and then %v", p.Name, *p.told, c)
		}

		if p.gone || p.told != nil {
			return nil
		}

		if s.w.owners[c.Slot] >= c.Epoch {
			s.w.blame("slot %d had an owner under epoch %d and gets one under %d", c.Slot, s.w.owners[c.Slot], c.Epoch)
		}

		s.w.owners[c.Slot] = max(s.w.owners[c.Slot], c.Epoch)
		p.told = &c

		return nil
	})
}

// A runner is a binder at work, or at rest when store is nil.
type runner struct {
	store *worldStore
	done  chan error
}

func (r *runner) start(w *world, view Pool) {
	r.store = &worldStore{w: w, ready: make(chan struct{}), turn: make(chan fate)}
	r.done = make(chan error, 1)

	go func(s *worldStore, done chan error) {
		_, err := (&Binder{store: s}).Bind(context.Background(), view)
		done <- err
	}(r.store, r.done)

	r.settle()
}

// settle waits until the binder wants to make its next call, or has ended. Nothing of it runs after that.
func (r *runner) settle() {
	select {
	case <-r.store.ready:
	case <-r.done:
		r.store = nil
	}
}

// step lets the binder make one call.
func (r *runner) step(f fate) {
	r.store.turn <- f
	r.settle()
}

func (r *runner) finish(f fate) {
	for r.store != nil {
		r.step(f)
	}
}
