//go:build bench

package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitor/push"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A fleet is many pools of one worker each. No kubelet runs here: the workers are what their monitors tell, and nothing else.
type fleet struct {
	// asked counts the questions to workers, and queries those to the Prometheus.
	asked, queries atomic.Int64
	// depth is the queue of each worker.
	depth *prometheus.GaugeVec
	page  *prometheus.Registry
	// counted is where the Prometheus is asked.
	counted string
	// keda has KEDA scale the pools.
	keda *keda

	mu    sync.Mutex
	tasks map[int]int64
}

func newFleet() *fleet {
	f := &fleet{
		depth: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: monitorapi.MetricQueueDepth, Help: "Unfinished tasks."}, []string{"namespace", "dispatcher", "pod"}),
		page:  prometheus.NewRegistry(), tasks: map[int]int64{},
	}
	f.page.MustRegister(f.depth)

	return f
}

func nameOf(i int) string      { return fmt.Sprint("pool-", i) }
func namespaceOf(i int) string { return fmt.Sprint("team-", i/inNamespace) }
func addressOf(i int) string   { return fmt.Sprintf("127.9.%d.%d", i/250, i%250+1) }

// set sets the queue of a pool's worker.
func (f *fleet) set(i int, tasks int64) {
	f.mu.Lock()
	defer f.mu.Unlock()

	f.tasks[i] = tasks
	f.depth.WithLabelValues(namespaceOf(i), nameOf(i), nameOf(i)).Set(float64(tasks))
}

// answer is a monitor's.
func (f *fleet) answer(w http.ResponseWriter, i int) {
	f.asked.Add(1)
	f.mu.Lock()
	n := f.tasks[i]
	f.mu.Unlock()

	_ = json.NewEncoder(w).Encode(monitorapi.Status{
		Version: monitorapi.StatusVersion, Namespace: namespaceOf(i), Dispatcher: nameOf(i), Pod: nameOf(i), State: monitorapi.StateActive, Ready: true,
		Tasks: monitorapi.Tasks{Known: true, QueueDepth: &n, InFlight: ptr.To(min(n, 1))}, Tokens: &monitorapi.Tokens{Input: 1000}, StartedAt: time.Unix(1e9, 0),
	})
}

// fill makes n pools, each with a worker that runs and four tasks of the five that it should have.
func (f *fleet) fill(t *testing.T, kube client.Client, n int) {
	t.Helper()

	for i := range (n + inNamespace - 1) / inNamespace {
		if err := kube.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("team-", i)}}); err != nil {
			t.Fatal(err)
		}
	}

	var wg sync.WaitGroup

	for w := range 8 {
		wg.Go(func() {
			for i := w; i < n; i += 8 {
				f.set(i, 4)

				if err := f.pool(t, kube, i); err != nil {
					t.Error(err)

					return
				}
			}
		})
	}

	wg.Wait()

	if t.Failed() {
		t.FailNow()
	}
}

func (f *fleet) pool(t *testing.T, kube client.Client, i int) error {
	t.Helper()

	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(addressOf(i), strconv.Itoa(monitorapi.Port)))
	if err != nil {
		return err
	}

	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { f.answer(w, i) }), ReadHeaderTimeout: time.Minute}

	go func() { _ = s.Serve(l) }() // It ends when it is closed.
	t.Cleanup(func() { _ = s.Close() })

	at := metav1.ObjectMeta{Namespace: namespaceOf(i), Name: nameOf(i), Labels: map[string]string{monitorapi.LabelDispatcher: nameOf(i)}}
	worker := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: at.Labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "agent"}}}}
	d := &appsv1.Deployment{ObjectMeta: at, Spec: appsv1.DeploymentSpec{Replicas: ptr.To[int32](1), Selector: &metav1.LabelSelector{MatchLabels: at.Labels}, Template: worker}}
	p := &corev1.Pod{ObjectMeta: at, Spec: worker.Spec}
	p.Labels = map[string]string{monitorapi.LabelDispatcher: nameOf(i), appsv1.DefaultDeploymentUniqueLabelKey: "1"}

	for _, o := range []client.Object{d, p, f.scaler(at)} {
		if err := kube.Create(t.Context(), o); err != nil {
			return err
		}
	}

	// As the controllers would say, which do not run here.
	if d.Status.Replicas = 1; f.keda != nil {
		if err := kube.Status().Update(t.Context(), d); err != nil {
			return err
		}
	}

	p.Status.Phase, p.Status.PodIP, p.Status.PodIPs = corev1.PodRunning, addressOf(i), []corev1.PodIP{{IP: addressOf(i)}}

	return kube.Status().Update(t.Context(), p)
}

// scaler returns what has a pool follow its queue.
func (f *fleet) scaler(at metav1.ObjectMeta) client.Object {
	if f.keda != nil {
		return f.keda.scaledObject(at)
	}

	a := &v1alpha1.AgentScaler{ObjectMeta: at}
	a.Spec.ForProvider = v1alpha1.AgentScalerParameters{
		ScaleTargetRef: v1alpha1.ScaleTargetReference{Name: at.Name}, Replicas: 1, MinReplicaCount: ptr.To[int32](1), MaxReplicaCount: ptr.To[int32](100),
		Triggers: []v1alpha1.Trigger{{Type: v1alpha1.TriggerQueueDepth, Target: 5}},
	}

	return a
}

// scrape starts a Prometheus that scrapes all workers' figures every so often, or is pushed to where that is 0, and has the provider read them
// there, with the queries counted. It returns where figures are pushed to.
func (f *fleet) scrape(t *testing.T, kube client.Client, every time.Duration) string {
	t.Helper()

	page := httptest.NewServer(promhttp.HandlerFor(f.page, promhttp.HandlerOpts{}))
	t.Cleanup(page.Close)

	config := filepath.Join(t.TempDir(), "prometheus.yml")
	text := "global: {}\n"

	if every > 0 {
		text = fmt.Sprintf("global: {scrape_interval: %s}\nscrape_configs: [{job_name: workers, honor_labels: true, static_configs: [{targets: [%q]}]}]\n", every, page.Listener.Addr())
	}

	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	address := freeAddress(t)
	start(t, "prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(t.TempDir(), "data"), "--web.listen-address="+address, "--web.enable-remote-write-receiver", "--log.level=error")

	to, err := url.Parse("http://" + address)
	if err != nil {
		t.Fatal(err)
	}

	forward := httputil.NewSingleHostReverseProxy(to)
	counted := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.queries.Add(1)
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(counted.Close)

	c := &v1alpha1.ClusterProviderConfig{ObjectMeta: metav1.ObjectMeta{Name: "default"}, Spec: v1alpha1.ProviderConfigSpec{Prometheus: &v1alpha1.PrometheusServer{URL: counted.URL}}}
	if err := kube.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}

	f.counted = counted.URL

	return to.String() + "/api/v1/write"
}

// followed waits until the scalers of n pools know their load, and returns the version of each.
func followed(t *testing.T, kube client.Client, n int) map[string]string {
	t.Helper()

	for end := time.Now().Add(10 * time.Minute); ; time.Sleep(time.Second) {
		l := &v1alpha1.AgentScalerList{}
		if err := kube.List(t.Context(), l); err != nil {
			t.Fatal(err)
		}

		versions, why := map[string]string{}, ""

		for _, s := range l.Items {
			if at := s.Status.AtProvider; at.QueueDepth != nil && at.TokenUsage != nil && at.Load != nil && at.Load.Reason == "Steady" {
				versions[s.GetName()] = s.GetResourceVersion()
			} else {
				why = fmt.Sprintf("%s: %+v", s.GetName(), at.Load)
			}
		}

		if len(versions) == n {
			return versions
		}

		if time.Now().After(end) {
			t.Fatalf("%d of %d pools follow their load: %s", len(versions), n, why)
		}
	}
}

// number returns a number from the environment.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()

	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}

	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}

	return n
}

// TestPoolsAtRest has one provider, with its default settings, look after many pools whose load does not change.
func TestPoolsAtRest(t *testing.T) {
	n := number(t, "POOLS", 1000)

	_, rest := settings(t)

	t.Run("KEDA", func(t *testing.T) { restsWithKEDA(t, n, rest) })

	for _, source := range []string{"Workers", "Prometheus"} {
		t.Run(source, func(t *testing.T) {
			f := newFleet()
			kube, kubeconfig := serveAPI(t)

			if source == "Prometheus" {
				f.scrape(t, kube, 5*time.Second)
			}

			f.fill(t, kube, n)
			p := provide(t, kubeconfig)
			followed(t, kube, n)

			// Of the tokens that were there at first the status tells until a minute is over, and once more.
			time.Sleep(2 * time.Minute)

			was := followed(t, kube, n)
			before, asked, queries := p.sample(t), f.asked.Load(), f.queries.Load()

			time.Sleep(rest)

			after, askedThen, queriesThen := p.sample(t), f.asked.Load(), f.queries.Load()
			written := 0

			for name, version := range followed(t, kube, n) {
				if version != was[name] {
					written++
				}
			}

			minutes := rest.Minutes()

			for _, r := range [][2]string{
				{fmt.Sprintf("%d pools at rest, %s", n, source), "a minute, over " + rest.String()},
				{"CPU of the provider", fmt.Sprintf("%.1f s", (after.cpu-before.cpu)/minutes)},
				{"its resident memory", fmt.Sprintf("%.1f MiB", after.rss)},
				{"questions to workers", fmt.Sprintf("%.0f", float64(askedThen-asked)/minutes)},
				{"queries to the Prometheus", fmt.Sprintf("%.0f", float64(queriesThen-queries)/minutes)},
				{"scalers that got another version", strconv.Itoa(written)},
				{"requests to the API server, and writes among them", fmt.Sprintf("%.0f, %.0f", (after.requests-before.requests)/minutes, (after.writes-before.writes)/minutes)},
			} {
				fmt.Printf("| %s | %s |\n", r[0], r[1])
			}
		})
	}
}

// TestQueueToReplicas measures the time from a change of a queue's depth until the Deployment is asked for the size that follows.
func TestQueueToReplicas(t *testing.T) {
	edits := number(t, "EDITS", 20)

	for _, source := range []struct {
		name  string
		every time.Duration
		push  bool
		none  bool
	}{{name: "Workers", none: true}, {name: "Prometheus, pushed to", push: true}, {name: "Prometheus, scraping every second", every: time.Second}, {name: "Prometheus, scraping every 15 seconds", every: 15 * time.Second}} {
		t.Run(source.name, func(t *testing.T) {
			f := newFleet()
			kube, kubeconfig := serveAPI(t)

			if !source.none {
				to := f.scrape(t, kube, source.every)
				if source.push {
					f.push(t, to)
				}
			}

			f.fill(t, kube, 1)
			provide(t, kubeconfig)
			followed(t, kube, 1)

			took := f.edit(t, kube, edits)
			fmt.Printf("| %s | %d ms | %d ms |\n", source.name, took[len(took)/2].Milliseconds(), took[len(took)-1].Milliseconds())
		})
	}

	for _, interval := range []int64{30, 1} {
		t.Run(fmt.Sprint("KEDA asks every ", interval), func(t *testing.T) { growsWithKEDA(t, edits, interval) })
	}
}

// edit changes the first pool's queue and returns how long each change took to be followed, the shortest first.
func (f *fleet) edit(t *testing.T, kube client.Client, edits int) []time.Duration {
	t.Helper()

	took := make([]time.Duration, 0, edits)

	for i := range edits {
		// Not in step with who looks.
		time.Sleep(time.Duration(1+i*37%100) * 10 * time.Millisecond)
		took = append(took, f.grow(t, kube, int32(i)+2))
	}

	slices.Sort(took)

	return took
}

// push pushes the figures as the monitors do.
func (f *fleet) push(t *testing.T, to string) {
	t.Helper()

	p, err := push.New(push.Config{URL: to}, f.page, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})

	go func() {
		defer close(done)

		p.Run(ctx)
	}()

	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// grow has the first pool need a size, and returns how long it takes until that is asked for.
func (f *fleet) grow(t *testing.T, kube client.Client, size int32) time.Duration {
	t.Helper()

	d := &appsv1.Deployment{}
	began := time.Now()
	f.set(0, int64(size)*5)

	for end := began.Add(2 * time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if err := kube.Get(t.Context(), client.ObjectKey{Namespace: namespaceOf(0), Name: nameOf(0)}, d); err != nil {
			t.Fatal(err)
		}

		if *d.Spec.Replicas == size {
			return time.Since(began)
		}

		if time.Now().After(end) {
			t.Fatalf("the Deployment asks for %d, want %d", *d.Spec.Replicas, size)
		}
	}
}
