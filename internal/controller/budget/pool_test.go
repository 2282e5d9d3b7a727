package budget

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"

	"github.com/southwest-ai/agent-operator/internal/controller/monitors"
	limiting "github.com/southwest-ai/agent-operator/internal/monitor/budget"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A load is what an agent asks of its model: so many tasks at once, each with a request, and a pause after its answer.
type load struct {
	tasks int
	pause time.Duration
}

const (
	// meanTokens is what a request costs on average, and answerTime how long its answer takes.
	meanTokens = 300
	answerTime = 2 * time.Second
)

// wants is what the agent would use in a minute if nobody held it back.
func (l load) wants() int64 {
	return int64(l.tasks) * int64(time.Minute) / int64(answerTime+l.pause) * meanTokens
}

var (
	// greedy wants more than there is for all, equal about an eighth of it, and the others little.
	greedy = load{tasks: 60}
	equal  = load{tasks: 2, pause: 400 * time.Millisecond}
	modest = load{tasks: 1, pause: 8 * time.Second}
	idle   = load{}
)

// An agent asks its model through the limiter that its monitor has.
type agent struct {
	limiter *limiting.Limiter
	used    atomic.Int64
	// late is how long it takes until what its pod is told is in its monitor's hands.
	late time.Duration
}

// work does what a load asks for until the context is done. What requests cost is not what they were thought to.
func (a *agent) work(ctx context.Context, l load) {
	var wg sync.WaitGroup
	defer wg.Wait()

	for n := range l.tasks {
		rng := rand.New(rand.NewPCG(uint64(n), 7))

		wg.Go(func() {
			for ctx.Err() == nil {
				settle, err := a.limiter.Admit(ctx, 2*meanTokens/3)

				var over *limiting.Refused
				if errors.As(err, &over) {
					sleep(ctx, over.Wait())

					continue
				}

				if err != nil {
					return
				}

				sleep(ctx, answerTime)

				cost := meanTokens/2 + rng.Int64N(meanTokens)
				a.used.Add(cost)
				settle(cost)
				sleep(ctx, l.pause)
			}
		})
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// A played pool has pods that a kubelet tells their annotations, and monitors that say what they know.
type played struct {
	client.WithWatch

	agents []*agent
}

func newPlayed(t *testing.T, workers int) *played {
	t.Helper()

	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}

	p := &played{}
	pods := fake.NewClientBuilder().WithScheme(scheme)

	for i := range workers {
		l, err := limiting.New("pool", "0", 30*time.Second, time.Now)
		if err != nil {
			t.Fatal(err)
		}

		p.agents = append(p.agents, &agent{limiter: l, late: time.Duration(i+1) * 100 * time.Millisecond})

		w := pod("", "")
		w.Name, w.UID, w.Status.PodIP = fmt.Sprint("w", i), types.UID(fmt.Sprint(i)), fmt.Sprint("10.0.0.", i)
		w.Labels = map[string]string{monitorapi.LabelDispatcher: "pool"}
		pods = pods.WithObjects(w)
	}

	p.WithWatch = pods.Build()

	return p
}

// Patch has a monitor obey what its pod is told, as soon as the kubelet brings it.
func (p *played) Patch(ctx context.Context, o client.Object, patch client.Patch, opts ...client.PatchOption) error {
	if err := p.WithWatch.Patch(ctx, o, patch, opts...); err != nil {
		return err
	}

	var n int
	if _, err := fmt.Sscanf(o.GetName(), "w%d", &n); err != nil {
		return err
	}

	share := o.GetAnnotations()[monitorapi.AnnotationTokenShare]
	time.AfterFunc(p.agents[n].late, func() { _ = p.agents[n].limiter.SetShare(share) })

	return nil
}

// RoundTrip implements http.RoundTripper: it is what the monitors answer.
func (p *played) RoundTrip(r *http.Request) (*http.Response, error) {
	var n int
	if _, err := fmt.Sscanf(r.URL.Hostname(), "10.0.0.%d", &n); err != nil {
		return nil, err
	}

	b, err := json.Marshal(monitorapi.Status{
		Namespace: "ns", Pod: fmt.Sprint("w", n), Budget: p.agents[n].limiter.Budget(), Tokens: &monitorapi.Tokens{Input: p.agents[n].used.Load()},
	})

	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(b))), Request: r}, err
}

// share has the reconciler look at the pool as often as it wants to, until the context is done.
func (p *played) share(ctx context.Context, t *testing.T, budget int64) {
	t.Helper()

	r := &Reconciler{
		cache: p, live: p, kube: p, workers: &workers{monitors: monitors.NewClient(p)}, log: logging.NewNopLogger(), metrics: NewMetrics(),
		now: time.Now, pools: map[types.NamespacedName]*memory{},
	}

	for ctx.Err() == nil {
		res, err := r.share(ctx, types.NamespacedName{Namespace: "ns", Name: "pool"}, budget)
		if err != nil && ctx.Err() == nil {
			t.Error(err)
		}

		sleep(ctx, max(res.RequeueAfter, gap))
	}
}

// minute plays a minute of some loads, and returns what each worker used.
func (p *played) minute() []int64 {
	before := make([]int64, len(p.agents))
	for i, a := range p.agents {
		before[i] = a.used.Load()
	}

	time.Sleep(time.Minute)
	synctest.Wait()

	for i, a := range p.agents {
		before[i] = a.used.Load() - before[i]
	}

	return before
}

// Eight workers keep to one budget, however uneven their load and also while it changes: no minute has 5 % more than the
// budget, none once shares have settled has 5 % less while somebody wants more, and nobody who asks gets less than an equal
// part, or than it wants where that is less. The workers hold their requests by the limiter of the monitor, and the pool is
// shared by the reconciler of the provider, through annotations that arrive late.
func TestPoolKeepsToItsBudget(t *testing.T) {
	const budget = 120_000

	phases := []struct {
		reason string
		loads  []load
	}{
		{"Two want all there is, and the rest little.", []load{greedy, greedy, equal, equal, modest, modest, modest, idle}},
		{"Who was idle wants all, and who wanted all is idle.", []load{idle, modest, equal, modest, greedy, idle, greedy, greedy}},
		{"All want all.", []load{greedy, greedy, greedy, greedy, greedy, greedy, greedy, greedy}},
		{"One is left.", []load{idle, idle, idle, greedy, idle, idle, idle, idle}},
	}

	synctest.Test(t, func(t *testing.T) {
		p := newPlayed(t, len(phases[0].loads))
		ctx, cancel := context.WithCancel(t.Context())

		var wg sync.WaitGroup

		wg.Go(func() { p.share(ctx, t, budget) })

		for _, ph := range phases {
			during, end := context.WithCancel(ctx)

			var tasks sync.WaitGroup
			for i, l := range ph.loads {
				tasks.Go(func() { p.agents[i].work(during, l) })
			}

			for minute := range 4 {
				used := p.minute()
				t.Logf("%s Minute %d: %v, %d together", ph.reason, minute, used, sum(used))
				judge(t, budget, ph.loads, used, minute >= 2)
			}

			end()
			tasks.Wait()
		}

		cancel()
		wg.Wait()
	})
}

// judge judges a minute.
func judge(t *testing.T, budget int64, loads []load, used []int64, settled bool) {
	t.Helper()

	if all := sum(used); all*100 > budget*105 || settled && all*100 < budget*95 {
		t.Errorf("%d tokens of %d were used, more than 5 %% off", all, budget)
	}

	for i, l := range loads {
		part := min(l.wants(), budget/int64(len(loads)))
		if !settled {
			// It takes a while until others have given up what is its part.
			part /= 10
		}

		// What it wants in one minute may end in the next.
		if used[i]*100 < part*90 {
			t.Errorf("worker %d starves: %d tokens, and %d are its part", i, used[i], part)
		}
	}
}

var _ client.WithWatch = &played{}
