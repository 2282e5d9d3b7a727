package removal

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/controller/monitors"
	"github.com/southwest-ai/agent-operator/internal/controller/slot"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
	"github.com/southwest-ai/agent-operator/internal/worker"
)

// A Repositories opens the repositories that Checkpoints describe.
type Repositories interface {
	Repository(ctx context.Context, name types.NamespacedName) (*checkpoint.Repository, error)
}

// Pools are the pools of a cluster, for who adds and removes workers.
type Pools struct {
	// cache is what is remembered, live what the API server knows now.
	cache, live client.Reader
	kube        client.Client
	ledgers     *slot.Ledgers
	repos       Repositories
	monitors    *monitors.Client
	now         func() time.Time

	// ctx ends with the provider, and wg is what runs until then.
	ctx    context.Context //nolint:containedctx // Readings outlive the look at a pool that began them.
	cancel context.CancelFunc
	wg     sync.WaitGroup
	turns  chan struct{}

	mu       sync.Mutex
	readings map[string]*reading
}

// NewPools returns the pools of a cluster. Start must run for as long as they are used.
func NewPools(kube client.Client, live client.Reader, repos Repositories, m *monitors.Client) *Pools {
	ctx, cancel := context.WithCancel(context.Background())

	return &Pools{
		cache: kube, live: live, kube: kube, ledgers: slot.NewLedgers(live, kube), repos: repos, now: time.Now,
		monitors: m, ctx: ctx, cancel: cancel, turns: make(chan struct{}, readers), readings: map[string]*reading{},
	}
}

// Start waits until the provider ends, and then until nothing of it runs.
func (p *Pools) Start(ctx context.Context) error {
	<-ctx.Done()
	p.cancel()
	p.wg.Wait()

	return nil
}

// pool returns the pool of which a scaler owns the size. Its Deployment says which workers are its own.
func (p *Pools) pool(ctx context.Context, s *v1alpha1.AgentScaler) (slot.Pool, error) {
	d := &appsv1.Deployment{}
	if err := p.cache.Get(ctx, types.NamespacedName{Namespace: s.GetNamespace(), Name: s.Spec.ForProvider.ScaleTargetRef.Name}, d); err != nil {
		return slot.Pool{}, err
	}

	return slot.Pool{
		Namespace: d.GetNamespace(), Deployment: d.GetName(), Dispatcher: d.GetLabels()[monitorapi.LabelDispatcher], Owner: slot.OwnerOf(s),
	}, nil
}

// Advance brings the pool of which a scaler owns the size nearer to what the policy wants, by as many steps as can be made now.
func (p *Pools) Advance(ctx context.Context, s *v1alpha1.AgentScaler, policy worker.Policy) (worker.Result, error) {
	pool, err := p.pool(ctx, s)
	if err != nil {
		return worker.Result{}, err
	}

	return worker.Advance(ctx, &cluster{Pools: p, pool: pool, want: policy.Want}, p.now, policy)
}

// LetGo brings to an end what was begun in a pool of which the size is nobody's any longer: who drains serves again, and who was
// detached goes. The cap goes with the ledger, and that with the scaler.
func (p *Pools) LetGo(ctx context.Context, s *v1alpha1.AgentScaler) error {
	return p.end(ctx, s, false)
}

// Release does the same in a pool of which somebody else writes the size, and takes the cap away: he says how many there are.
func (p *Pools) Release(ctx context.Context, s *v1alpha1.AgentScaler) error {
	return p.end(ctx, s, true)
}

func (p *Pools) end(ctx context.Context, s *v1alpha1.AgentScaler, uncap bool) error {
	pool, err := p.pool(ctx, s)
	if kerrors.IsNotFound(err) {
		return nil // Workers go with their Deployment, and those that were detached with their scaler.
	}

	if err != nil {
		return err
	}

	c := &cluster{Pools: p, pool: pool, want: math.MaxInt}

	v, err := c.View(ctx)
	if err != nil {
		return client.IgnoreNotFound(err)
	}

	var errs []error

	if uncap && v.Cap >= 0 {
		errs = append(errs, c.Cap(ctx, v, -1))
	}

	for _, w := range v.Workers {
		switch {
		case w.Terminating:
		case w.Detached:
			errs = append(errs, c.Delete(ctx, w))
		case w.Drain != "":
			errs = append(errs, c.Withdraw(ctx, w, time.Time{}))
		}
	}

	return errors.Join(errs...)
}
