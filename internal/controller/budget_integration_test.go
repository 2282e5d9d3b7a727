//go:build integration

package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	xpcontroller "github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/feature"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/ratelimiter"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/agentscaler"
	"github.com/southwest-ai/agent-operator/internal/controller/budget"
	"github.com/southwest-ai/agent-operator/internal/controller/keda"
	"github.com/southwest-ai/agent-operator/internal/controller/load"
	"github.com/southwest-ai/agent-operator/internal/controller/monitors"
	"github.com/southwest-ai/agent-operator/internal/controller/removal"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// budgetMonitors play the workers' monitors, of which there can be none without a kubelet: each says on /v1/status what it is made
// to, and takes over its share when it is told to look at its pod.
type budgetMonitors struct {
	mu sync.Mutex
	by map[string]*monitorapi.Status
}

// RoundTrip implements http.RoundTripper.
func (m *budgetMonitors) RoundTrip(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	defer m.mu.Unlock()

	ip, port, err := net.SplitHostPort(r.URL.Host)
	if err != nil || port != strconv.Itoa(monitorapi.Port) || r.URL.Path != monitorapi.PathStatus {
		return nil, fmt.Errorf("nobody listens at %s", r.URL)
	}

	s := m.by[ip]
	if s == nil {
		return nil, errors.New("connection refused")
	}

	b, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}

	rsp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: r}
	rsp.Body = readCloser{strings.NewReader(string(b))}

	return rsp, nil
}

type readCloser struct{ *strings.Reader }

// Close implements io.Closer.
func (readCloser) Close() error { return nil }

// say changes what the monitor at an address says.
func (m *budgetMonitors) say(ip string, change func(*monitorapi.Status)) {
	m.mu.Lock()
	defer m.mu.Unlock()

	change(m.by[ip])
}

func (m *budgetMonitors) silence(ip string) {
	m.mu.Lock()
	defer m.mu.Unlock()

	delete(m.by, ip)
}

// start makes a pod answer at an address, with the share that its annotations say.
func (m *budgetMonitors) start(t *testing.T, p *corev1.Pod, ip string) {
	t.Helper()

	p = get(t, p)
	p.Status.Phase, p.Status.PodIP, p.Status.PodIPs = corev1.PodRunning, ip, []corev1.PodIP{{IP: ip}}

	m.mu.Lock()
	m.by[ip] = &monitorapi.Status{
		Version: monitorapi.StatusVersion, Namespace: p.Namespace, Pod: p.Name, Tokens: &monitorapi.Tokens{},
		Budget: &monitorapi.Budget{TokensPerMinute: share(t, p)},
	}
	m.mu.Unlock()

	if err := kube.Status().Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

// obey has a monitor take over the share of its pod.
func (m *budgetMonitors) obey(t *testing.T, p *corev1.Pod, ip string) {
	t.Helper()

	n := share(t, get(t, p))

	m.say(ip, func(s *monitorapi.Status) { s.Budget.TokensPerMinute = n })
}

// rise has a monitor take over the share of its pod if it is the larger one, and returns what it has.
func (m *budgetMonitors) rise(t *testing.T, p *corev1.Pod, ip string) (has int64) {
	t.Helper()

	n := share(t, get(t, p))

	m.say(ip, func(s *monitorapi.Status) {
		s.Budget.TokensPerMinute = max(s.Budget.TokensPerMinute, n)
		has = s.Budget.TokensPerMinute
	})

	return has
}

// share is what a pod was told; 0, as it starts with, where it was told nothing.
func share(t *testing.T, p *corev1.Pod) int64 {
	t.Helper()

	text, ok := p.Annotations[monitorapi.AnnotationTokenShare]
	if !ok {
		return 0
	}

	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		t.Fatalf("pod %s has the share %q", p.Name, text)
	}

	return n
}

// startBudgets runs what shares budgets, and what it needs.
func startBudgets(t *testing.T, m *budgetMonitors) (stop func()) {
	t.Helper()

	skip := true
	controllers := QueueConfig()
	controllers.SkipNameValidation = &skip

	mgr, err := ctrl.NewManager(rest.CopyConfig(server), ctrl.Options{
		Scheme: NewScheme(), Cache: CacheOptions(time.Hour), Client: client.Options{Cache: &client.CacheOptions{DisableFor: Uncached()}},
		Metrics: metricsserver.Options{BindAddress: "0"}, Controller: controllers,
	})
	if err != nil {
		t.Fatal(err)
	}

	o := xpcontroller.Options{
		Logger: logging.NewNopLogger(), GlobalRateLimiter: ratelimiter.NewGlobal(100), PollInterval: time.Hour, MaxConcurrentReconciles: 10,
		Features: &feature.Flags{},
	}

	asked := monitors.NewClient(m)
	pools, meter := removal.NewPools(mgr.GetClient(), mgr.GetAPIReader(), nil, asked), load.NewMeter(mgr.GetClient(), asked)

	if err := errors.Join(agentscaler.Setup(mgr, o, pools, meter, keda.NewDemands(), agentscaler.NewMetrics()), budget.Setup(mgr, o, asked, budget.NewMetrics())); err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)

	go func() { done <- mgr.Start(ctx) }()

	stop = sync.OnceFunc(func() {
		cancel()

		if err := <-done; err != nil {
			t.Errorf("the manager ended with an error: %v", err)
		}
	})
	t.Cleanup(stop)

	return stop
}

// budgeted returns a pool with a budget.
func budgeted(ns, name string, tokens int64) (*appsv1.Deployment, *v1alpha1.AgentScaler) {
	d, s := newDeployment(ns, name), newScaler(ns, name, 3)
	s.Spec.ForProvider.TokensPerMinute = &tokens

	return d, s
}

// starting returns a worker as the function's template makes it where there is a budget: it starts with nothing. Its gate is
// gone.
func starting(d *appsv1.Deployment, name string) *corev1.Pod {
	p := newPod(d, name)
	p.Spec.SchedulingGates = nil
	p.Spec.InitContainers = []corev1.Container{{Name: "monitor", Image: "monitor:v1", Env: []corev1.EnvVar{{Name: monitorapi.EnvTokenShare, Value: "0"}}}}

	return p
}

// sharesAre waits until pods were told what is wanted of their shares, in their order. At no time may they be more than the
// budget together.
func sharesAre(t *testing.T, budget int64, what string, want func([]int64) bool, pods ...*corev1.Pod) {
	t.Helper()
	eventually(t, func() string {
		// One answer, so that it is of one moment.
		l := &corev1.PodList{}
		if err := kube.List(t.Context(), l, client.InNamespace(pods[0].Namespace), client.MatchingLabels(pods[0].Labels)); err != nil {
			t.Fatal(err)
		}

		told, all := map[string]int64{}, int64(0)
		for i := range l.Items {
			told[l.Items[i].Name] = share(t, &l.Items[i])
			all += told[l.Items[i].Name]
		}

		if all > budget {
			t.Fatalf("the shares are %v of %d", told, budget)
		}

		shares := make([]int64, len(pods))
		for i, p := range pods {
			shares[i] = told[p.Name]
		}

		if !want(shares) {
			return fmt.Sprintf("the shares are %v, want %s", shares, what)
		}

		return ""
	})
}

func TestBudgetIsShared(t *testing.T) {
	m := &budgetMonitors{by: map[string]*monitorapi.Status{}}
	startBudgets(t, m)

	ns := newNamespace(t)
	d, s := budgeted(ns, "coder", 1000)
	a, b, c := starting(d, "a"), starting(d, "b"), starting(d, "c")
	create(t, d, s, a, b)

	// Before they run they have a little, and then what is nobody's.
	sharesAre(t, 1000, "a share for each before it runs", func(n []int64) bool { return n[0] >= 10 && n[1] >= 10 && n[0] < 500 && n[1] < 500 }, a, b)
	m.start(t, a, "10.1.0.1")
	m.start(t, b, "10.1.0.2")
	sharesAre(t, 1000, "most of the budget given out", func(n []int64) bool {
		m.obey(t, a, "10.1.0.1")
		m.obey(t, b, "10.1.0.2")

		return n[0] > 400 && n[1] > 100 && n[0]+n[1] > 700
	}, a, b)

	// One that waits gets more, and no more than the other has given up.
	m.say("10.1.0.1", func(s *monitorapi.Status) { s.Budget.Waiting = 1 })

	var before int64

	sharesAre(t, 1000, "less for the idle one", func(n []int64) bool {
		before = m.rise(t, b, "10.1.0.2")

		return n[1] < before
	}, a, b)

	first := share(t, get(t, a))

	never(t, 3*time.Second, func() string {
		if got := share(t, get(t, a)); got+before > 1000 && got > first {
			return fmt.Sprintf("a has %d tokens while b still uses %d of 1000", got, before)
		}

		return ""
	})

	eventually(t, func() string {
		m.obey(t, b, "10.1.0.2")
		m.obey(t, a, "10.1.0.1")

		if got := share(t, get(t, a)); got < 850 {
			return fmt.Sprintf("the one that waits has %d tokens", got)
		}

		return ""
	})

	// One that comes has a floor although all is given out, as soon as somebody has given it up.
	create(t, c)
	eventually(t, func() string {
		m.obey(t, a, "10.1.0.1")
		m.obey(t, b, "10.1.0.2")

		if got := share(t, get(t, c)); got < 6 {
			return fmt.Sprintf("the one that came has %d tokens", got)
		}

		return ""
	})

	// What is over, others have.
	kill(t, get(t, b))
	sharesAre(t, 1000, "what the killed one had", func(n []int64) bool { m.obey(t, a, "10.1.0.1"); return n[0] > 900 }, a, c)
}

// never fails when something happens within a time.
func never(t *testing.T, within time.Duration, what func() string) {
	t.Helper()

	end, tick := time.After(within), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()

	for {
		select {
		case <-end:
			return
		case <-tick.C:
			if said := what(); said != "" {
				t.Fatal(said)
			}
		}
	}
}

// Who does not answer keeps what it may have, also what a provider that is no more took from it.
func TestBudgetOfTheSilentIsReserved(t *testing.T) {
	m := &budgetMonitors{by: map[string]*monitorapi.Status{}}
	stop := startBudgets(t, m)

	ns := newNamespace(t)
	d, s := budgeted(ns, "coder", 1000)
	a, b := starting(d, "a"), starting(d, "b")
	a.Annotations = map[string]string{monitorapi.AnnotationTokenShare: "100"}
	b.Annotations = map[string]string{monitorapi.AnnotationTokenShare: "800"}
	create(t, a, b)
	m.start(t, a, "10.2.0.1")
	m.start(t, b, "10.2.0.2")
	m.say("10.2.0.1", func(s *monitorapi.Status) { s.Budget.Waiting = 1 })
	m.silence("10.2.0.2")
	create(t, d, s)

	// Beyond what is nobody's there is nothing to have.
	eventually(t, func() string {
		m.obey(t, a, "10.2.0.1")

		if got := share(t, get(t, a)); got < 150 {
			return fmt.Sprintf("the one that waits has %d tokens", got)
		}

		return ""
	})

	if got := share(t, get(t, b)); got != 800 {
		t.Fatalf("the silent one was told %d", got)
	}

	// It answers, is told to give up, and falls silent before it has: the next provider does not know it.
	m.mu.Lock()
	m.by["10.2.0.2"] = &monitorapi.Status{Namespace: ns, Pod: "b", Tokens: &monitorapi.Tokens{}, Budget: &monitorapi.Budget{TokensPerMinute: 800}}
	m.mu.Unlock()
	eventually(t, func() string {
		m.obey(t, a, "10.2.0.1")

		if got := share(t, get(t, b)); got >= 800 {
			return fmt.Sprintf("b still has %d tokens", got)
		}

		return ""
	})
	m.silence("10.2.0.2")
	stop()

	if got := get(t, b).Annotations[monitorapi.AnnotationTokenShareHeld]; got != "800" {
		t.Errorf("what b may still have is said to be %q", got)
	}

	startBudgets(t, m)
	never(t, 8*time.Second, func() string {
		m.obey(t, a, "10.2.0.1")

		if got := share(t, get(t, a)); got > 200 {
			return fmt.Sprintf("a has %d tokens while b may use 800 of 1000", got)
		}

		return ""
	})

	// Gone, it needs nothing.
	kill(t, get(t, b))
	eventually(t, func() string {
		m.obey(t, a, "10.2.0.1")

		if got := share(t, get(t, a)); got < 900 {
			return fmt.Sprintf("the one that is left has %d tokens", got)
		}

		return ""
	})
}

// Without a budget nobody has a share, but who would have none at all without it; and who is paused is left alone.
func TestBudgetGoes(t *testing.T) {
	m := &budgetMonitors{by: map[string]*monitorapi.Status{}}
	startBudgets(t, m)

	ns := newNamespace(t)
	d, s := budgeted(ns, "coder", 1000)
	bound, free, gated := starting(d, "bound"), starting(d, "free"), newPod(d, "gated")
	free.Spec.InitContainers = nil
	create(t, d, s, bound, free, gated)
	sharesAre(t, 1000, "a share for each", func(n []int64) bool { return n[0] > 0 && n[1] > 0 }, bound, free)

	if got, ok := get(t, gated).Annotations[monitorapi.AnnotationTokenShare]; ok {
		t.Errorf("a worker that waits for a slot has the share %s", got)
	}

	// Paused, nothing is taken and nothing given.
	patch(t, get(t, s), func() { s.SetAnnotations(map[string]string{meta.AnnotationKeyReconciliationPaused: "true"}) })

	// Who knows the second scaler knows of the pause, which was before it.
	d2, s2 := budgeted(ns, "second", 1000)
	p2 := starting(d2, "p2")
	create(t, d2, s2, p2)
	sharesAre(t, 1000, "a share in another pool", func(n []int64) bool { return n[0] > 0 }, p2)

	other, p3 := starting(d, "other"), starting(d2, "p3")
	create(t, other, p3)
	sharesAre(t, 1000, "a share for who came after", func(n []int64) bool { return n[0] > 0 && n[1] > 0 }, p2, p3)

	if got, ok := get(t, other).Annotations[monitorapi.AnnotationTokenShare]; ok {
		t.Errorf("a paused scaler gave out %s tokens", got)
	}

	was := share(t, get(t, bound))

	patch(t, get(t, s), func() { s.SetAnnotations(nil); s.Spec.ForProvider.TokensPerMinute = nil })
	eventually(t, func() string {
		if got, ok := get(t, free).Annotations[monitorapi.AnnotationTokenShare]; ok {
			return "the share " + got + " is still there although there is no budget"
		}

		return ""
	})

	if got := share(t, get(t, bound)); got != was {
		t.Errorf("a worker that starts with no tokens has %d, had %d", got, was)
	}

	kill(t, get(t, bound))

	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(bound), bound); !kerrors.IsNotFound(err) {
		t.Errorf("the pod is still there: %v", err)
	}
}
