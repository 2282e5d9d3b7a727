//go:build integration

package removal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/internal/controller/removal"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// stopAt has a provider work until it has made its nth write or is done, and says whether it was stopped.
func (p *pool) stopAt(n int) bool {
	p.t.Helper()

	m := &mortal{Client: kube, left: n}
	first := p.provider(m)

	p.until("the provider is stopped, or done", func() error {
		r, err := first.Advance(p.t.Context(), p.scaler, policyFor(1))
		if errors.Is(err, errDead) || err == nil && r.Quiet() && r.View.Replicas == 1 {
			return nil
		}

		return fmt.Errorf("%+v, %w", r.Done, err)
	})

	return m.died
}

// A worker that is on its way out is evicted after each of the writes of a removal: the rest goes on, and no more go than should.
func TestEvictedAtEachWrite(t *testing.T) {
	for n, stopped := 1, true; stopped; n++ {
		t.Run(fmt.Sprint("Write", n), func(t *testing.T) {
			p := newPool(t)
			stopped = p.stopAt(n)
			p.evict()
			p.bring(1, p.provider(kube))
			p.spared()
		})
	}
}

// evict deletes a worker that drains or was detached, if there is one.
func (p *pool) evict() {
	p.t.Helper()

	pods := &corev1.PodList{}
	if err := kube.List(p.t.Context(), pods, client.InNamespace(p.namespace)); err != nil {
		p.t.Fatal(err)
	}

	for i := range pods.Items {
		w := &pods.Items[i]
		if w.Annotations[monitorapi.AnnotationDrain] == "" && w.Labels[appsv1.DefaultDeploymentUniqueLabelKey] != "" || w.DeletionTimestamp != nil {
			continue
		}

		// It saves as it ends, which is not what is tested here.
		p.with(mustAtoi(w.Annotations[monitorapi.AnnotationSlot]), func(a *agent) { a.saved = a.state })

		if err := client.IgnoreNotFound(kube.Delete(p.t.Context(), w)); err != nil {
			p.t.Fatal(err)
		}

		return
	}
}

// A slow is a client that waits with one of its writes for as long as others want.
type slow struct {
	client.Client

	mu     sync.Mutex
	left   int
	begun  chan struct{}
	goesOn chan struct{}
}

func (s *slow) write(do func() error) error {
	s.mu.Lock()
	s.left--
	waits := s.left == 0
	s.mu.Unlock()

	if waits {
		close(s.begun)
		<-s.goesOn
	}

	return do()
}

// waited says whether the write that was waited with has been made.
func (s *slow) waited() bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.left <= 0
}

func (s *slow) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.PatchOption) error {
	return s.write(func() error { return s.Client.Patch(ctx, o, p, opts...) })
}

func (s *slow) Update(ctx context.Context, o client.Object, opts ...client.UpdateOption) error {
	return s.write(func() error { return s.Client.Update(ctx, o, opts...) })
}

func (s *slow) Create(ctx context.Context, o client.Object, opts ...client.CreateOption) error {
	return s.write(func() error { return s.Client.Create(ctx, o, opts...) })
}

func (s *slow) Delete(ctx context.Context, o client.Object, opts ...client.DeleteOption) error {
	return s.write(func() error { return s.Client.Delete(ctx, o, opts...) })
}

func (s *slow) SubResource(name string) client.SubResourceClient {
	return &slowSub{SubResourceClient: s.Client.SubResource(name), s: s}
}

type slowSub struct {
	client.SubResourceClient

	s *slow
}

func (s *slowSub) Update(ctx context.Context, o client.Object, opts ...client.SubResourceUpdateOption) error {
	return s.s.write(func() error { return s.SubResourceClient.Update(ctx, o, opts...) })
}

// A provider stands still before each of its writes in turn, and loses its lease meanwhile. Another brings the removal to its end;
// then the first wakes, and makes what it was about to, of what it had seen long ago.
func TestLateWriteOfALostLease(t *testing.T) {
	for n, late := 1, true; late; n++ {
		t.Run(fmt.Sprint("Write", n), func(t *testing.T) {
			p := newPool(t)
			s := &slow{Client: kube, left: n, begun: make(chan struct{}), goesOn: make(chan struct{})}
			done := p.work(p.provider(s), s)

			select {
			case <-s.begun:
			case <-done:
				late = false
			}

			second := p.provider(kube)
			want := 1
			p.bring(want, second)

			// The pool is another by then, with other workers in the slots: once, for it takes a while.
			if n == 5 {
				want = size
				p.bring(want, second)
			}

			close(s.goesOn)
			<-done
			p.bring(want, second)
			p.spared()
		})
	}
}

// work has a provider work until the pool is as small as it can be, or it has waited with a write and made that.
func (p *pool) work(pools *removal.Pools, s *slow) <-chan struct{} {
	done := make(chan struct{})

	go func() {
		defer close(done)

		for range 2000 {
			r, err := pools.Advance(p.t.Context(), p.scaler, policyFor(1))
			if s.waited() || err == nil && r.Quiet() && r.View.Replicas == 1 {
				return
			}
		}
	}()

	return done
}

// The API server is killed after writes of a removal, and comes back some seconds later.
func TestAPIServerRestarts(t *testing.T) {
	p := newPool(t)

	for _, n := range []int{1, 4, 7} {
		p.stopAt(n)
		killAPIServer(t)
	}

	p.bring(1, p.provider(kube))
	p.spared()
}

// restarting is what runs in the API server's place: it, again and again, until it is told to end.
const restarting = `#!/bin/sh
case "$*" in *--help*) exec "%[1]s" "$@" ;; esac
trap 'kill "$child"; wait "$child"; exit 0' TERM INT
while :; do
  "%[1]s" "$@" &
  child=$!
  echo "$child" > "%[2]s"
  wait "$child"
done
`

// apiServerPID is the file with the API server's process id.
var apiServerPID string

// restartingAPIServer returns a program that runs the API server and starts it again when it was killed.
func restartingAPIServer(assets, dir string) (string, error) {
	apiServerPID = filepath.Join(dir, "pid")
	program := filepath.Join(dir, "kube-apiserver")

	return program, os.WriteFile(program, fmt.Appendf(nil, restarting, filepath.Join(assets, "kube-apiserver"), apiServerPID), 0o700)
}

func killAPIServer(t *testing.T) {
	t.Helper()

	b, err := os.ReadFile(apiServerPID)
	if err != nil {
		t.Fatal(err)
	}

	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}

	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}
