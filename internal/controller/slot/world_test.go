package slot

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

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

	// Where a store keeps the slots' state: who claimed each, by epoch, and under which it was last saved.
	stateful bool
	claims   map[int]map[int64]string
	saved    map[int]int64
	earlier  string // The checkpoint that each slot had at any time.
}

// owner returns the highest epoch under which a slot was claimed in the store, and by whom.
func (w *world) owner(slot int) (epoch int64, uid string) {
	for e, u := range w.claims[slot] {
		if e > epoch {
			epoch, uid = e, u
		}
	}

	return epoch, uid
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

		if epoch, uid := w.owner(p.told.Slot); w.stateful && (epoch != p.told.Epoch || uid != p.UID) {
			return fmt.Sprintf("pod %s was told %v and in the store the slot is %s's under epoch %d", p.Name, *p.told, uid, epoch)
		}

		// A slot that has a state begins with it, and not with nothing.
		if w.stateful && p.told.Restore != "latest" {
			return fmt.Sprintf("pod %s was told to begin with %q", p.Name, p.told.Restore)
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
	if w.stateful {
		p.Checkpoint = "coder"
	}

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

// Look returns what the store has. A worker that was told its slot may have saved it any time.
func (s *worldStore) Look(context.Context, Pool) (known []State, err error) {
	err = s.do(func() error {
		for slot := range s.w.claims {
			epoch, _ := s.w.owner(slot)
			known = append(known, State{Slot: slot, Epoch: epoch, Saved: s.w.saved[slot], Time: time.Unix(s.w.saved[slot], 0)})
		}

		return nil
	})

	return known, err
}

func (s *worldStore) At(context.Context, Pool, int, time.Time) (at string, err error) {
	err = s.do(func() error {
		at = s.w.earlier

		return nil
	})

	return at, err
}

// Claim keeps the rules of checkpoint.Repository's ClaimAt.
func (s *worldStore) Claim(_ context.Context, _ Pool, c Claim) error {
	return s.do(func() error {
		if epoch, uid := s.w.owner(c.Slot); epoch > c.Epoch || epoch == c.Epoch && uid != c.UID {
			return ErrVoid
		}

		if s.w.claims[c.Slot] == nil {
			s.w.claims[c.Slot] = map[int64]string{}
		}

		s.w.claims[c.Slot][c.Epoch] = c.UID

		return nil
	})
}

// A runner is a binder at work, or at rest when store is nil.
type runner struct {
	store *worldStore
	done  chan error
	// err is how the last one ended.
	err error
}

func (r *runner) start(w *world, view Pool) {
	r.store = &worldStore{w: w, ready: make(chan struct{}), turn: make(chan fate)}
	r.done = make(chan error, 1)

	go func(s *worldStore, done chan error) {
		_, err := (&Binder{store: s, states: s}).Bind(context.Background(), view)
		done <- err
	}(r.store, r.done)

	r.settle()
}

// settle waits until the binder wants to make its next call, or has ended. Nothing of it runs after that.
func (r *runner) settle() {
	select {
	case <-r.store.ready:
	case r.err = <-r.done:
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
