//go:build integration

package removal_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A node plays what no machine runs here: a kubelet, and in each pod an agent with tasks and a state, and a monitor that obeys. The API
// server, the Deployment's and the ReplicaSet's controllers, the binder and the repository are real.
type node struct {
	t         *testing.T
	namespace string
	repo      *checkpoint.Repository

	mu      sync.Mutex
	workers map[types.UID]*agent
	// fault is what must never be.
	fault string
}

// An agent is what runs in a pod.
type agent struct {
	pod  corev1.Pod
	slot string
	// tasks it has, and whether its monitor answers.
	tasks int64
	hung  bool
	// state and saved count what it learned, and what of that is in a checkpoint.
	state, saved int
	drain, done  string
	savedAs      string
	server       *http.Server
}

// addresses are the loopback's own, one a pod, so that each monitor has the port that all have.
var addresses struct {
	sync.Mutex

	next int
}

func address() string {
	addresses.Lock()
	defer addresses.Unlock()

	addresses.next++

	return fmt.Sprintf("127.8.%d.%d", addresses.next/250, addresses.next%250+1)
}

func startNode(t *testing.T, namespace string, repo *checkpoint.Repository) *node {
	t.Helper()

	n := &node{t: t, namespace: namespace, repo: repo, workers: map[types.UID]*agent{}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})

	go func() {
		defer close(ended)

		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-ctx.Done():
				tick.Stop()

				return
			case <-tick.C:
				n.turn(ctx)
			}
		}
	}()

	t.Cleanup(func() {
		cancel()
		<-ended

		for _, a := range n.workers {
			if a.server != nil {
				_ = a.server.Close()
			}
		}
	})

	return n
}

// turn looks at all pods once.
func (n *node) turn(ctx context.Context) {
	pods := &corev1.PodList{}
	if err := kube.List(ctx, pods, client.InNamespace(n.namespace)); err != nil {
		return
	}

	n.mu.Lock()
	defer n.mu.Unlock()

	for i := range pods.Items {
		p := &pods.Items[i]

		switch a := n.workers[p.UID]; {
		case p.DeletionTimestamp != nil:
			n.end(ctx, p, a)
		case a != nil:
			a.pod = *p
			n.obey(ctx, a)
		case len(p.Spec.SchedulingGates) == 0:
			n.start(ctx, p)
		}
	}
}

// start has a pod run.
func (n *node) start(ctx context.Context, p *corev1.Pod) {
	a := &agent{pod: *p, slot: p.Annotations[monitorapi.AnnotationSlot], state: 1, drain: p.Annotations[monitorapi.AnnotationDrain]}
	ip := address()

	// A pod of no node is gone at once when it is deleted.
	to := &corev1.Binding{Target: corev1.ObjectReference{Kind: "Node", Name: "node"}}
	if p.Spec.NodeName == "" && kube.SubResource("binding").Create(ctx, p, to) != nil {
		return
	}

	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("%s:%d", ip, monitorapi.Port))
	if err != nil {
		n.fault = err.Error()

		return
	}

	a.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n.answer(w, r, a) }), ReadHeaderTimeout: time.Minute}

	go func() { _ = a.server.Serve(l) }() // It ends when it is closed.

	p.Status.Phase, p.Status.PodIP, p.Status.PodIPs = corev1.PodRunning, ip, []corev1.PodIP{{IP: ip}}
	p.Status.Conditions = append(p.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()})
	p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "agent", Image: "agent", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}}}

	patch, err := json.Marshal(map[string]any{"status": p.Status})
	if err != nil {
		n.fault = err.Error()
	}

	if err := kube.Status().Patch(ctx, p, client.RawPatch(types.MergePatchType, patch)); err != nil {
		_ = a.server.Close()

		return
	}

	n.workers[p.UID] = a
}

// end ends a pod. Whoever has it end must know that nothing is lost.
func (n *node) end(ctx context.Context, p *corev1.Pod, a *agent) {
	if a != nil {
		if n.fault == "" && (a.tasks > 0 || a.saved < a.state) {
			n.fault = fmt.Sprintf("%s of slot %s is deleted with %d tasks and state %d, of which %d is saved", p.Name, a.slot, a.tasks, a.state, a.saved)
		}

		_ = a.server.Close()
		delete(n.workers, p.UID)
	}

	_ = kube.Delete(ctx, p, client.GracePeriodSeconds(0))
}

// obey has a monitor do what the annotations say.
func (n *node) obey(ctx context.Context, a *agent) {
	if a.hung {
		return
	}

	if a.drain = a.pod.Annotations[monitorapi.AnnotationDrain]; a.drain == "" || a.tasks > 0 || a.done == a.drain {
		return
	}

	if err := n.save(ctx, a); err != nil {
		return // It tries again.
	}

	a.done = a.drain
}

// save commits a checkpoint.
func (n *node) save(ctx context.Context, a *agent) error {
	epoch, err := strconv.ParseInt(a.pod.Annotations[monitorapi.AnnotationEpoch], 10, 64)
	if err != nil {
		return err
	}

	s, err := n.repo.Session(ctx, a.slot, epoch)
	if err != nil {
		return err
	}

	id, err := s.Put(ctx, fmt.Appendf(nil, "%s %d", a.pod.Name, a.state))
	if err != nil {
		return err
	}

	if _, err := s.Commit(ctx, checkpoint.Save{Reason: "Drain", Drain: a.drain, Tree: []checkpoint.ID{id}}); err != nil {
		return err
	}

	a.saved, a.savedAs = a.state, a.drain

	return nil
}

// answer is a monitor's.
func (n *node) answer(w http.ResponseWriter, r *http.Request, a *agent) {
	n.mu.Lock()
	hung := a.hung
	s := monitorapi.Status{
		Version: monitorapi.StatusVersion, Namespace: a.pod.Namespace, Pod: a.pod.Name, Slot: a.slot, State: monitorapi.StateActive, Ready: a.drain == "",
		DrainID: a.drain, Tasks: monitorapi.Tasks{Known: true, QueueDepth: &a.tasks, InFlight: &a.tasks}, Checkpoint: &monitorapi.Checkpoint{Drain: a.savedAs},
	}

	switch {
	case a.drain != "" && a.done == a.drain:
		s.State = monitorapi.StateDrained
	case a.drain != "":
		s.State = monitorapi.StateDraining
	}

	b, err := json.Marshal(s)
	n.mu.Unlock()

	if hung {
		<-r.Context().Done()

		return
	}

	if err == nil {
		_, _ = w.Write(b)
	}
}

// with changes the agent of a slot.
func (n *node) with(slot int, change func(*agent)) {
	n.mu.Lock()
	defer n.mu.Unlock()

	for _, a := range n.workers {
		if a.slot == strconv.Itoa(slot) {
			change(a)
		}
	}
}

// running returns the agents' pods by slot.
func (n *node) running() (map[string]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()

	if n.fault != "" {
		return nil, errors.New(n.fault)
	}

	out := map[string]string{}
	for _, a := range n.workers {
		out[a.slot] = a.pod.Name
	}

	return out, nil
}
