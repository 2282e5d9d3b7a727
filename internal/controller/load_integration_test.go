//go:build integration

package controller

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
	"github.com/southwest-ai/agent-operator/internal/scale"
)

// A toldMonitor is what a monitor answers, at an address of the loopback's own. No kubelet runs here that could start one.
type toldMonitor struct {
	mu     sync.Mutex
	status monitorapi.Status
	silent bool
}

func (m *toldMonitor) say(change func(*monitorapi.Status)) {
	m.mu.Lock()
	defer m.mu.Unlock()

	change(&m.status)
}

func (m *toldMonitor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()

	if m.silent || r.URL.Path != monitorapi.PathStatus {
		http.Error(w, "silent", http.StatusServiceUnavailable)

		return
	}

	_ = json.NewEncoder(w).Encode(m.status)
}

// run has a worker run at an address, with a monitor that knows no task.
func run(t *testing.T, p *corev1.Pod, ip string) *toldMonitor {
	t.Helper()

	m := &toldMonitor{status: monitorapi.Status{
		Version: monitorapi.StatusVersion, Namespace: p.GetNamespace(), Pod: p.GetName(), State: monitorapi.StateActive, Ready: true,
		Tasks: monitorapi.Tasks{Known: true, QueueDepth: ptr[int64](0), InFlight: ptr[int64](0)}, Tokens: &monitorapi.Tokens{}, StartedAt: time.Now(),
	}}

	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", ip, monitorapi.Port))
	if err != nil {
		t.Fatal(err)
	}

	s := &http.Server{Handler: m, ReadHeaderTimeout: time.Minute}

	go s.Serve(l) // It ends with the test.
	t.Cleanup(func() { s.Close() })

	patch := p.DeepCopy()
	patch.Status.Phase, patch.Status.PodIP = corev1.PodRunning, ip
	patch.Status.PodIPs = []corev1.PodIP{{IP: ip}}

	if err := kube.Status().Update(t.Context(), patch); err != nil {
		t.Fatal(err)
	}

	return m
}

// newMember returns a worker that a ReplicaSet of a Deployment without slots makes.
func newMember(d *appsv1.Deployment, name string) *corev1.Pod {
	p := newPod(d, name)
	p.Spec.SchedulingGates = nil
	p.Labels = map[string]string{monitorapi.LabelDispatcher: d.GetName(), appsv1.DefaultDeploymentUniqueLabelKey: "1"}

	return p
}

func reasonIs(t *testing.T, s *v1alpha1.AgentScaler, want string) {
	t.Helper()
	eventually(t, func() string {
		if l := get(t, s).Status.AtProvider.LastScale; l == nil || l.Reason != want {
			return fmt.Sprintf("the last change is %+v, want %s", l, want)
		}

		return ""
	})
}

// The size follows what the workers tell, and not what they do not.
func TestScalerFollowsLoad(t *testing.T) {
	stop := startProvider(t)

	ns := newNamespace(t)
	d, s := newDeployment(ns, "coder"), newScaler(ns, "coder", 2)
	s.Spec.ForProvider.Triggers = []v1alpha1.Trigger{{Type: v1alpha1.TriggerQueueDepth, Target: 5}}
	s.Spec.ForProvider.MinReplicaCount, s.Spec.ForProvider.MaxReplicaCount = ptr[int32](1), ptr[int32](6)
	s.Spec.ForProvider.ScaleDown = &v1alpha1.ScaleDown{StabilizationSeconds: ptr[int32](0)}
	s.Spec.ForProvider.TokenPrices = &v1alpha1.TokenPrices{Currency: "USD", InputPerMillion: "2", OutputPerMillion: "10"}
	create(t, d, s)
	replicasAre(t, d, 2)

	a, b := newMember(d, "a"), newMember(d, "b")
	create(t, a, b)

	// Busy from the first moment on, or they would be too many at once.
	first, second := run(t, a, "127.0.9.1"), run(t, b, "127.0.9.2")
	first.say(func(s *monitorapi.Status) {
		s.Tasks.QueueDepth, s.Tasks.InFlight, s.Tokens.Input = ptr[int64](9), ptr[int64](1), 100
	})
	second.say(func(s *monitorapi.Status) { s.Tokens.Output = 11 })

	// 21 unfinished tasks at 5 a worker.
	second.say(func(s *monitorapi.Status) { s.Tasks.QueueDepth = ptr[int64](12) })
	replicasAre(t, d, 5)
	reasonIs(t, s, scale.ReasonLoadHigher)
	conditionIs(t, s, v1alpha1.ConditionScalingActive, corev1.ConditionTrue, v1alpha1.ReasonLoadKnown)

	// Out of bounds.
	second.say(func(s *monitorapi.Status) { s.Tasks.QueueDepth = ptr[int64](120) })
	replicasAre(t, d, 6)

	// One of them is silent, the other idle: that is not enough to remove anybody.
	first.say(func(s *monitorapi.Status) { s.Tasks.QueueDepth = ptr[int64](0) })
	second.mu.Lock()
	second.silent = true
	second.mu.Unlock()
	conditionIs(t, s, v1alpha1.ConditionScalingActive, corev1.ConditionFalse, v1alpha1.ReasonLoadUnknown)

	if got := *get(t, d).Spec.Replicas; got != 6 {
		t.Errorf("%d replicas after a worker fell silent, want 6", got)
	}

	// What they used and what that cost is known, and still is when another provider goes on.
	used := func(want int64, cost string) {
		t.Helper()
		eventually(t, func() string {
			if n := get(t, s).Status.AtProvider.TokenUsage; n == nil || *n != want {
				return fmt.Sprintf("%v tokens were used, want %d", n, want)
			}

			if c := get(t, s).Status.AtProvider.Cost; c == nil || *c != (v1alpha1.TokenCost{Amount: cost, Currency: "USD"}) {
				return fmt.Sprintf("they cost %v, want %s", c, cost)
			}

			return ""
		})
	}

	used(111, "0.000310")
	stop()
	startProvider(t)
	first.say(func(s *monitorapi.Status) { s.Tokens.Input = 130 })
	second.mu.Lock()
	second.silent = false
	second.mu.Unlock()
	used(141, "0.000370")

	// All is told again: they are idle.
	second.say(func(s *monitorapi.Status) { s.Tasks.QueueDepth = ptr[int64](0) })
	conditionIs(t, s, v1alpha1.ConditionScalingActive, corev1.ConditionTrue, v1alpha1.ReasonLoadKnown)
	conditionIs(t, s, xpv2.TypeReady, corev1.ConditionTrue, xpv2.ReasonAvailable)
}
