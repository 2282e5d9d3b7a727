//go:build integration

package removal_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"gocloud.dev/blob/memblob"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/controller/monitors"
	"github.com/southwest-ai/agent-operator/internal/controller/removal"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
	"github.com/southwest-ai/agent-operator/internal/worker"
)

// size is how many workers a pool has, and busy the slot of the one that has a task.
const (
	size = 4
	busy = 2
)

// repositories are those of all tests, by their Checkpoint.
var repositories = &stores{all: map[types.NamespacedName]*checkpoint.Repository{}}

type stores struct {
	mu   sync.Mutex
	all  map[types.NamespacedName]*checkpoint.Repository
	down bool
}

var errDown = errors.New("the store does not answer")

func (s *stores) Repository(_ context.Context, name types.NamespacedName) (*checkpoint.Repository, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	if s.down {
		return nil, errDown
	}

	return s.all[name], nil
}

func (s *stores) fail(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()

	s.down = down
}

// A pool of size workers, all of them running, one of them busy.
type pool struct {
	*node

	t      *testing.T
	scaler *v1alpha1.AgentScaler
	before map[string]string
}

func newPool(t *testing.T) *pool {
	t.Helper()

	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "removal-"}}
	if err := kube.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}

	repo, err := checkpoint.Create(t.Context(), memblob.OpenBucket(nil), checkpoint.NewDataKey(), checkpoint.Pool{ID: "0123456789abcdef0123456789abcdef", Chunker: checkpoint.DefaultChunker(0x3DA3358B4DC173)}, checkpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}

	repositories.mu.Lock()
	repositories.all[types.NamespacedName{Namespace: ns.Name, Name: "coder"}] = repo
	repositories.mu.Unlock()

	l := map[string]string{monitorapi.LabelDispatcher: "coder"}
	n := int32(size)
	s := &v1alpha1.AgentScaler{ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: "coder"}}
	s.Spec.ForProvider = v1alpha1.AgentScalerParameters{ScaleTargetRef: v1alpha1.ScaleTargetReference{Name: "coder"}, Replicas: n}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: "coder", Labels: l},
		Spec: appsv1.DeploymentSpec{
			Replicas: &n, Selector: &metav1.LabelSelector{MatchLabels: l},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{monitorapi.LabelDispatcher: "coder", v1alpha1.LabelCheckpoint: "coder"}},
				Spec: corev1.PodSpec{
					SchedulingGates: []corev1.PodSchedulingGate{{Name: monitorapi.SlotGate}},
					Containers:      []corev1.Container{{Name: "agent", Image: "agent"}},
				},
			},
		},
	}

	for _, o := range []client.Object{s, d} {
		if err := kube.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}

	p := &pool{node: startNode(t, ns.Name, repo), t: t, scaler: s}
	p.until("all workers run, and the ReplicaSet knows", func() error {
		now, err := p.running()
		if err != nil || len(now) != size {
			return fmt.Errorf("%v run, %w", now, err)
		}

		p.before = now

		return p.counted(size)
	})
	p.with(busy, func(a *agent) { a.tasks = 1 })

	return p
}

// counted wants the ReplicaSet to have as many pods as it was asked for.
func (p *pool) counted(n int) error {
	sets := &appsv1.ReplicaSetList{}
	if err := kube.List(p.t.Context(), sets, client.InNamespace(p.namespace)); err != nil {
		return err
	}

	if len(sets.Items) != 1 || int(sets.Items[0].Status.ReadyReplicas) != n {
		return fmt.Errorf("%d ReplicaSets", len(sets.Items))
	}

	return nil
}

func (p *pool) until(what string, ok func() error) {
	p.t.Helper()

	var last error

	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(30 * time.Millisecond) {
		if last = ok(); last == nil {
			return
		}
	}

	p.t.Fatalf("%s: %v", what, last)
}

// provider returns one that has just started.
func (p *pool) provider(kube client.Client) *removal.Pools {
	pools := removal.NewPools(kube, kube, repositories, monitors.NewClient(nil))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})

	go func() {
		defer close(done)

		_ = pools.Start(ctx)
	}()
	p.t.Cleanup(func() {
		cancel()
		<-done
	})

	return pools
}

func policyFor(want int) worker.Policy {
	return worker.Policy{Want: want, AtOnce: 2, DrainTimeout: time.Minute, Rest: time.Minute}
}

// bring has a provider go on until the pool has the size that is wanted, and nothing is left to do.
func (p *pool) bring(want int, with ...*removal.Pools) {
	p.t.Helper()
	p.until(fmt.Sprintf("%d workers", want), func() error {
		var (
			wg    sync.WaitGroup
			quiet = make([]error, len(with))
		)

		for i, pools := range with {
			wg.Go(func() {
				r, err := pools.Advance(p.t.Context(), p.scaler, policyFor(want))

				switch {
				case err != nil:
					quiet[i] = err
				case !r.Quiet() || r.View.Replicas != want:
					quiet[i] = fmt.Errorf("%d replicas, %+v", r.View.Replicas, r.Done)
				}
			})
		}

		wg.Wait()

		if _, err := p.running(); err != nil {
			p.t.Fatal(err)
		}

		return errors.Join(quiet...)
	})
	p.clean(want)
}

// clean wants a pool to have n workers and no trace of a removal.
func (p *pool) clean(n int) {
	p.t.Helper()
	p.until("nothing is left", func() error {
		now, err := p.running()
		if err != nil {
			p.t.Fatal(err)
		}

		pods := &corev1.PodList{}
		if err := kube.List(p.t.Context(), pods, client.InNamespace(p.namespace)); err != nil {
			return err
		}

		for _, w := range pods.Items {
			if w.Annotations[monitorapi.AnnotationDrain] != "" || w.Labels[appsv1.DefaultDeploymentUniqueLabelKey] == "" || len(w.Spec.SchedulingGates) > 0 || w.DeletionTimestamp != nil {
				return fmt.Errorf("%s has labels %v, annotations %v", w.Name, w.Labels, w.Annotations)
			}
		}

		if len(now) != n || len(pods.Items) != n {
			return fmt.Errorf("%d run of %d pods, want %d", len(now), len(pods.Items), n)
		}

		return nil
	})
}

// spared wants the busy worker to be the one that was left.
func (p *pool) spared() {
	p.t.Helper()

	now, err := p.running()
	if err != nil {
		p.t.Fatal(err)
	}

	if slot := strconv.Itoa(busy); now[slot] != p.before[slot] {
		p.t.Errorf("the busy worker %s is gone: there is %v", p.before[slot], now)
	}
}

var errDead = errors.New("the provider is dead")

// A mortal is a client that dies with its provider at one of its writes: before that is made, or after.
type mortal struct {
	client.Client

	mu     sync.Mutex
	left   int
	before bool
	died   bool
}

func (m *mortal) write(do func() error) error {
	m.mu.Lock()
	defer m.mu.Unlock()

	if m.died {
		return errDead
	}

	m.left--
	if m.left > 0 {
		return do()
	}

	m.died = true
	if !m.before {
		_ = do() // Nobody hears how it went.
	}

	return errDead
}

func (m *mortal) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.PatchOption) error {
	return m.write(func() error { return m.Client.Patch(ctx, o, p, opts...) })
}

func (m *mortal) Update(ctx context.Context, o client.Object, opts ...client.UpdateOption) error {
	return m.write(func() error { return m.Client.Update(ctx, o, opts...) })
}

func (m *mortal) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	return m.write(func() error { return m.Client.Create(ctx, o, opts...) })
}

func (m *mortal) Delete(ctx context.Context, o client.Object, opts ...client.DeleteOption) error {
	return m.write(func() error { return m.Client.Delete(ctx, o, opts...) })
}

func (m *mortal) SubResource(name string) client.SubResourceClient {
	return &mortalSub{SubResourceClient: m.Client.SubResource(name), m: m}
}

type mortalSub struct {
	client.SubResourceClient

	m *mortal
}

func (s *mortalSub) Update(ctx context.Context, o client.Object, opts ...client.SubResourceUpdateOption) error {
	return s.m.write(func() error { return s.SubResourceClient.Update(ctx, o, opts...) })
}

// A provider dies at each of its writes in turn, before it is made or after, and another goes on.
func TestProviderDiesAtEachWrite(t *testing.T) {
	for _, before := range []bool{true, false} {
		for n, died := 1, true; died; n++ {
			t.Run(fmt.Sprintf("Write%d,before=%t", n, before), func(t *testing.T) {
				p := newPool(t)
				m := &mortal{Client: kube, left: n, before: before}
				first := p.provider(m)

				p.until("the provider is dead, or done", func() error {
					r, err := first.Advance(t.Context(), p.scaler, policyFor(1))
					if errors.Is(err, errDead) || err == nil && r.Quiet() && r.View.Replicas == 1 {
						return nil
					}

					return fmt.Errorf("%+v, %w", r.Done, err)
				})

				died = m.died
				p.bring(1, p.provider(kube))
				p.spared()
			})

			if n > 40 {
				t.Fatal("a removal of three workers takes more than 40 writes")
			}
		}
	}
}

// Load rises after each of the writes of a removal: whoever was not detached serves again.
func TestLoadRisesAtEachWrite(t *testing.T) {
	for n, died := 1, true; died; n++ {
		t.Run(fmt.Sprint("Write", n), func(t *testing.T) {
			p := newPool(t)
			m := &mortal{Client: kube, left: n}
			first := p.provider(m)

			p.until("the provider is stopped, or done", func() error {
				r, err := first.Advance(t.Context(), p.scaler, policyFor(1))
				if errors.Is(err, errDead) || err == nil && r.Quiet() && r.View.Replicas == 1 {
					return nil
				}

				return fmt.Errorf("%+v, %w", r.Done, err)
			})

			died = m.died
			p.bring(size, p.provider(kube))
			p.spared()
		})
	}
}

// Two providers at once, of which one does not know that it has lost its lease.
func TestTwoProviders(t *testing.T) {
	p := newPool(t)
	p.bring(1, p.provider(kube), p.provider(kube))
	p.spared()
}

// While the store cannot be reached nobody goes.
func TestStoreUnreachable(t *testing.T) {
	p := newPool(t)

	repositories.fail(true)
	defer repositories.fail(false)

	pools := p.provider(kube)

	p.until("somebody has drained, and the store is asked", func() error {
		_, err := pools.Advance(t.Context(), p.scaler, policyFor(1))
		if !errors.Is(err, errDown) {
			return fmt.Errorf("the error is %w", err)
		}

		return nil
	})

	if now, err := p.running(); err != nil || len(now) != size {
		t.Errorf("%v run, %v", now, err)
	}

	repositories.fail(false)
	p.bring(1, pools)
	p.spared()
}

// A worker of which nobody knows what it does is not taken for an idle one.
func TestMonitorHangs(t *testing.T) {
	p := newPool(t)
	p.with(1, func(a *agent) { a.hung = true })

	pools := p.provider(kube)
	p.until("the idle ones are gone", func() error {
		if _, err := pools.Advance(t.Context(), p.scaler, policyFor(1)); err != nil {
			return err
		}

		now, err := p.running()
		if err != nil {
			t.Fatal(err)
		}

		if len(now) != 2 {
			return fmt.Errorf("%v run", now)
		}

		return nil
	})
	p.spared()
	p.with(busy, func(a *agent) { a.tasks = 0 })
	p.with(1, func(a *agent) { a.hung = false })
	p.bring(1, pools)
}

// A worker is evicted while it drains, and one that was detached is deleted by somebody else: the rest goes on.
func TestEvictedMeanwhile(t *testing.T) {
	p := newPool(t)
	pools := p.provider(kube)

	evicted := false

	p.until("a worker is told to drain", func() error {
		if _, err := pools.Advance(t.Context(), p.scaler, policyFor(1)); err != nil {
			return err
		}

		pods := &corev1.PodList{}
		if err := kube.List(t.Context(), pods, client.InNamespace(p.namespace)); err != nil {
			return err
		}

		for i := range pods.Items {
			w := &pods.Items[i]
			if w.Annotations[monitorapi.AnnotationDrain] == "" || evicted {
				continue
			}

			// Its last save is made as it ends, which is not what is tested here.
			p.with(mustAtoi(w.Annotations[monitorapi.AnnotationSlot]), func(a *agent) { a.saved = a.state })

			evicted = true

			if err := kube.Delete(t.Context(), w); err != nil {
				return err
			}
		}

		if !evicted {
			return errors.New("nobody drains")
		}

		return nil
	})
	p.bring(1, pools)
	p.spared()
}

func mustAtoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}

	return n
}
