package checkpoint

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	cevent "sigs.k8s.io/controller-runtime/pkg/event"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	cp "github.com/southwest-ai/agent-operator/internal/checkpoint"
)

const (
	// DefaultTurn is the time between two looks at a repository, unless the one before takes longer.
	DefaultTurn = 30 * time.Second
	// lookTimeout is how long a look at all slots may take, and workTimeout how long the work that follows from it.
	lookTimeout = 2 * time.Minute
	workTimeout = 20 * time.Minute
	// lookers is how many repositories are looked at at once, slotLookers how many slots of each, and keepers at how many there is work
	// at once. A store that hangs is noticed by a looker, who mostly waits, so that keepers are left to others.
	lookers     = 64
	slotLookers = 8
	keepers     = 4
	// maxRest is how long a repository is left alone that cannot be looked after, at most.
	maxRest = 10 * time.Minute
	// awake is how many Checkpoints may wait to be reconciled for what was found in them. More are told by the next poll.
	awake = 1024
)

// A repository is what a keeper does with a cp.Repository. Of what removes chunks it has Sweep alone: what is corrupt is named and
// left where it is, since what one process cannot read another may.
type repository interface {
	Pool() cp.Pool
	Slots(ctx context.Context) ([]string, error)
	Summarize(ctx context.Context, slot string) (cp.Summary, error)
	Manifest(ctx context.Context, slot string, p cp.Position) (cp.Manifest, error)
	Verify(ctx context.Context, m cp.Manifest) error
	Prune(ctx context.Context, slot string, rules cp.Retain) ([]cp.Position, error)
	PruneEpochs(ctx context.Context, slot string, keep int) (int, error)
	EndSweep(ctx context.Context) error
	Sweep(ctx context.Context) (cp.Swept, error)
	Scrub(ctx context.Context, from cp.Cursor, budget int64) (cp.Scrubbed, cp.Cursor, error)
}

// A Keeper looks after repositories: it reads new checkpoints back, removes what is kept no longer, and reads everything again
// now and then. Only the leader's works, and it does one thing at a time in a repository.
type Keeper struct {
	open    func(context.Context, types.NamespacedName) (repository, error)
	cache   client.Reader
	record  event.Recorder
	log     logging.Logger
	now     func() time.Time
	client  *http.Client
	metrics *Metrics
	turn    time.Duration
	// wake gets the Checkpoints of which there is something new to say.
	wake chan cevent.GenericEvent

	looking, working chan struct{}

	mu      sync.Mutex
	reports map[types.NamespacedName]*report
	// busy are the turns that go on, of a Checkpoint or of one of its name that was there before.
	busy map[types.NamespacedName]going
}

// A going turn can be ended, and waited for.
type going struct {
	end  context.CancelFunc
	over chan struct{}
}

func newKeeper(repos *Repositories, cache client.Reader, record event.Recorder, log logging.Logger, o Options) *Keeper {
	k := &Keeper{
		open: func(ctx context.Context, name types.NamespacedName) (repository, error) {
			r, err := repos.Repository(ctx, name)
			if err != nil {
				return nil, err // An interface over a nil pointer is not nil.
			}

			return r, nil
		},
		cache: cache, record: record, log: log, now: time.Now,
		client:  &http.Client{Timeout: askTimeout, Transport: &http.Transport{DisableKeepAlives: true}},
		metrics: o.Metrics, turn: o.Turn,
		wake:    make(chan cevent.GenericEvent, awake),
		looking: make(chan struct{}, lookers), working: make(chan struct{}, keepers),
		reports: map[types.NamespacedName]*report{}, busy: map[types.NamespacedName]going{},
	}
	if k.turn <= 0 {
		k.turn = DefaultTurn
	}

	return k
}

// NeedLeaderElection says that only one keeper may sweep.
func (k *Keeper) NeedLeaderElection() bool { return true }

// Start looks after all repositories until the context is done, and then waits for what goes on.
func (k *Keeper) Start(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()

	tick := time.NewTicker(k.turn)
	defer tick.Stop()

	for {
		k.begin(ctx, &wg)

		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// begin begins a turn of each repository that is not in one, and does not wait for any.
func (k *Keeper) begin(ctx context.Context, wg *sync.WaitGroup) {
	l := &v1alpha1.CheckpointList{}
	if err := k.cache.List(ctx, l); err != nil {
		k.log.Info("Cannot list Checkpoints", "error", err)

		return
	}

	there := map[types.NamespacedName]bool{}

	for i := range l.Items {
		mg := &l.Items[i]
		name := client.ObjectKeyFromObject(mg)
		there[name] = true

		if meta.WasDeleted(mg) || meta.IsPaused(mg) || mg.GetCondition(xpv2.TypeReady).Status != corev1.ConditionTrue {
			continue
		}

		r := k.report(mg)

		ctx, ok := k.take(ctx, name, r)
		if !ok {
			continue
		}

		wg.Go(func() {
			err := k.keep(ctx, mg, r)
			wanted := ctx.Err() != nil
			k.release(name, r, err)

			if err != nil && !wanted {
				k.metrics.failed.Inc()
				k.log.Info("Cannot look after the repository of a Checkpoint", "namespace", mg.GetNamespace(), "name", mg.GetName(), "error", err)
			}
		})
	}

	k.forgetAllBut(there)
}

// take says whether a turn of a repository may begin, and under which context. It is the only one then, until it is released.
func (k *Keeper) take(ctx context.Context, name types.NamespacedName, r *report) (context.Context, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()

	if _, busy := k.busy[name]; busy || k.now().Before(r.restsUntil) {
		return nil, false
	}

	ctx, end := context.WithCancel(ctx)
	k.busy[name] = going{end: end, over: make(chan struct{})}

	return ctx, true
}

// release ends a turn. A repository that cannot be looked after is left alone for longer each time.
func (k *Keeper) release(name types.NamespacedName, r *report, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()

	turn := k.busy[name]
	delete(k.busy, name)
	turn.end()
	close(turn.over)

	if err == nil {
		r.failures, r.restsUntil = 0, time.Time{}

		return
	}

	r.restsUntil = k.now().Add(rest(r.failures, k.turn))
	r.failures++
}

// halt ends the turn of a repository that is about to be removed, so that nothing is written behind the removal. No other begins, as
// its Checkpoint is being deleted.
func (k *Keeper) halt(ctx context.Context, name types.NamespacedName) error {
	k.mu.Lock()
	turn, busy := k.busy[name]
	k.mu.Unlock()

	if !busy {
		return nil
	}

	turn.end()

	select {
	case <-turn.over:
		return nil
	case <-ctx.Done():
		return errors.Wrap(ctx.Err(), "cannot wait until nothing is written any more")
	}
}

// rest returns how long a repository is left alone after so many failures before the last one.
func rest(failures int, turn time.Duration) time.Duration {
	return min(turn<<min(failures, 20), maxRest)
}

// acquire takes one of the places that there are, and returns a function that gives it back.
func acquire(ctx context.Context, places chan struct{}) (func(), error) {
	select {
	case places <- struct{}{}:
		return func() { <-places }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// keep looks after one repository for a turn.
func (k *Keeper) keep(ctx context.Context, mg *v1alpha1.Checkpoint, r *report) error {
	repo, sums, err := k.look(ctx, mg)
	if err != nil {
		return err
	}

	k.same(r, repo.Pool().ID)
	k.readable(mg, r, sums)
	k.publish(mg, r, sums)

	leave, err := acquire(ctx, k.working)
	if err != nil {
		return err
	}
	defer leave()

	ctx, cancel := context.WithTimeout(ctx, workTimeout)
	defer cancel()

	err = k.work(ctx, mg, repo, r, sums)
	k.publish(mg, r, sums)

	return err
}

// look opens a repository and returns what each slot has.
func (k *Keeper) look(ctx context.Context, mg *v1alpha1.Checkpoint) (repository, []cp.Summary, error) {
	leave, err := acquire(ctx, k.looking)
	if err != nil {
		return nil, nil, err
	}
	defer leave()

	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()

	repo, err := k.open(ctx, client.ObjectKeyFromObject(mg))
	if err != nil {
		return nil, nil, err
	}

	sums, err := summaries(ctx, repo)

	return repo, sums, err
}

// summaries returns what each slot has, in the order of names.
func summaries(ctx context.Context, repo repository) ([]cp.Summary, error) {
	names, err := repo.Slots(ctx)
	if err != nil {
		return nil, err
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)

	var (
		wg    sync.WaitGroup
		begin = make(chan struct{}, slotLookers)
		out   = make([]cp.Summary, len(names))
	)

	for i, name := range names {
		leave, err := acquire(ctx, begin)
		if err != nil {
			break
		}

		wg.Go(func() {
			defer leave()

			var err error
			if out[i], err = repo.Summarize(ctx, name); err != nil {
				cancel(errors.Wrap(err, "cannot look at a slot"))
			}
		})
	}

	wg.Wait()

	return out, context.Cause(ctx)
}

// work does what is due. An error says that the store cannot be reached, and then the rest waits, too; what lies in it is no error.
func (k *Keeper) work(ctx context.Context, mg *v1alpha1.Checkpoint, repo repository, r *report, sums []cp.Summary) error {
	// What an observer may not write to must be left as it is.
	writes := !observesOnly(mg)

	if writes && !r.begun {
		if err := repo.EndSweep(ctx); err != nil {
			return err
		}

		r.begun = true
	}

	if err := k.verify(ctx, mg, repo, r, sums); err != nil {
		return err
	}

	if writes {
		if err := k.prune(ctx, mg, repo, r, sums); err != nil {
			return err
		}

		if err := k.sweep(ctx, mg, repo, r, sums); err != nil {
			return err
		}
	}

	return k.scrub(ctx, mg, repo, r)
}

func observesOnly(mg *v1alpha1.Checkpoint) bool {
	p := mg.GetManagementPolicies()

	return len(p) > 0 && !slices.Contains(p, xpv2.ManagementActionAll) && !slices.Contains(p, xpv2.ManagementActionUpdate)
}
