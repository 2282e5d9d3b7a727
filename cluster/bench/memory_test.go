//go:build bench

package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller"
	"github.com/southwest-ai/agent-operator/internal/vector/vectortest/servers"
)

const (
	// interval is the provider's own between two looks at a collection, jitter by how much it varies.
	interval, jitter = time.Minute, 6 * time.Second
	// inNamespace is how many collections a namespace has.
	inNamespace = 50
)

// TestCollections has one provider, with its default settings, look after many collections in one store: a real API server,
// a real store, the provider's program. How many can be set by COLLECTIONS, for how long they are watched by REST.
func TestCollections(t *testing.T) {
	n, rest := settings(t)
	kube, kubeconfig := serveAPI(t)
	store := count(t, servers.Chroma(t, t.TempDir()))
	p := provide(t, kubeconfig)

	configure(t, kube, store.url)
	fill(t, kube, 0, 1)
	ready(t, kube, 1) // The controllers run.
	store.reset()

	one := p.sample(t)
	began := time.Now()

	fill(t, kube, 1, n)
	ready(t, kube, n)

	took := time.Since(began)
	filled, during := p.sample(t), store.read(n)

	time.Sleep(interval) // Everything was looked at once since it was ready.
	store.reset()

	before, was := p.sample(t), ready(t, kube, n)

	time.Sleep(rest)

	after, at := p.sample(t), store.read(n)

	if most := int(rest/(interval-jitter)) + 1; at.oftenest > most || at.fewest < int(rest/(interval+jitter))-1 {
		t.Errorf("in %s a collection was polled %d to %d times, want at most %d, and every one of them", rest, at.fewest, at.oftenest, most)
	}

	if more := int(after.goroutines - one.goroutines); more > n/10+20 || at.connections > n/10+20 {
		t.Errorf("%d collections take %d goroutines and %d connections, want none for each", n, more, at.connections)
	}

	if is := ready(t, kube, n); !maps.Equal(was, is) {
		t.Error("at rest, objects were written anew")
	}

	report(n, took, period{one, filled, during}, rest, period{before, after, at})
}

// A period is what the provider was at its beginning and its end, and what the store saw in between.
type period struct {
	from, to sample
	store    counts
}

// report prints the table in docs/benchmarks.md.
func report(n int, took time.Duration, fill period, rest time.Duration, at period) {
	minute := func(v float64) string { return fmt.Sprintf("%.0f", v/rest.Minutes()) }
	rows := [][2]string{
		{fmt.Sprintf("%d VectorCollections, one provider, Chroma", n), "measured"},
		{"---", "---"},
		{"from the first one's creation until all are ready", fmt.Sprintf("%.0f s, %.0f a second", took.Seconds(), float64(n-1)/took.Seconds())},
		{"looks at a collection until then", fmt.Sprintf("%d, %.1f each", fill.store.polls, float64(fill.store.polls)/float64(n-1))},
		{"requests to the store until then", fmt.Sprintf("%d, at most %d a second, over at most %d connections", fill.store.requests, fill.store.busiest, fill.store.mostAtOnce)},
		{"CPU of the provider until then", fmt.Sprintf("%.1f s", fill.to.cpu-fill.from.cpu)},
		{fmt.Sprintf("at rest, watched for %s: looks at a collection", rest), fmt.Sprintf("%s a minute, each collection %d to %d times in all", minute(float64(at.store.polls)), at.store.fewest, at.store.oftenest)},
		{"requests to the store, two for a look", fmt.Sprintf("%s a minute, at most %d a second, nothing but %v", minute(float64(at.store.requests)), at.store.busiest, at.store.other)},
		{"requests to the API server, and writes among them", fmt.Sprintf("%s a minute, %s", minute(at.to.requests-at.from.requests), minute(at.to.writes-at.from.writes))},
		{"CPU of the provider", fmt.Sprintf("%.1f s a minute", (at.to.cpu-at.from.cpu)/rest.Minutes())},
		{"its resident memory: with one collection, with all", fmt.Sprintf("%.1f MiB, %.1f MiB", fill.from.rss, at.to.rss)},
		{"its goroutines: with one collection, with all", fmt.Sprintf("%.0f, %.0f", fill.from.goroutines, at.to.goroutines)},
		{"its connections to the store, and the most at once", fmt.Sprintf("%d, %d", at.store.connections, at.store.mostAtOnce)},
	}

	for _, r := range rows {
		fmt.Printf("| %s | %s |\n", r[0], r[1])
	}
}

func settings(t *testing.T) (int, time.Duration) {
	t.Helper()

	var err error

	n, rest := 1000, 3*time.Minute
	if s := os.Getenv("COLLECTIONS"); s != "" {
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}

	if s := os.Getenv("REST"); s != "" {
		if rest, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}

	return n, rest
}

// serveAPI starts an API server with our kinds, and returns a client that is not limited and a kubeconfig.
func serveAPI(t *testing.T, crds ...string) (client.Client, string) {
	t.Helper()

	log.SetLogger(zap.New(zap.WriteTo(io.Discard)))

	crds = append(crds, filepath.Join("..", "..", "package", "provider", "crds"))
	env := &envtest.Environment{CRDDirectoryPaths: crds, ErrorIfCRDPathMissing: true}

	cfg, err := env.Start()
	if err != nil {
		t.Fatalf("cannot start the API server: run cluster/bench/memory.sh, which says where it is: %v", err)
	}

	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})

	path := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(path, env.KubeConfig, 0o600); err != nil {
		t.Fatal(err)
	}

	cfg.QPS, cfg.Burst = -1, 0

	kube, err := client.New(cfg, client.Options{Scheme: controller.NewScheme()})
	if err != nil {
		t.Fatal(err)
	}

	return kube, path
}

// A provider is the program, running.
type provider struct {
	pid     int
	metrics string
}

// provide builds the provider and runs it until the test ends.
func provide(t *testing.T, kubeconfig string) *provider {
	t.Helper()

	binary := filepath.Join(t.TempDir(), "provider")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-ldflags", "-s -w", "-o", binary, "../../cmd/provider").CombinedOutput(); err != nil {
		t.Fatalf("cannot build the provider: %v\n%s", err, out)
	}

	metrics, health := freeAddress(t), freeAddress(t)
	said := &bytes.Buffer{}
	cmd := exec.CommandContext(context.Background(), binary, "--metrics-bind-address="+metrics, "--health-probe-bind-address="+health)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	cmd.Stdout, cmd.Stderr = said, said

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		// As a kubelet does: it must end by itself, whatever it holds.
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}

		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}

		if t.Failed() {
			t.Logf("the provider printed:\n%s", said.Bytes()[max(0, said.Len()-4000):])
		}
	})

	p := &provider{pid: cmd.Process.Pid, metrics: "http://" + metrics + "/metrics"}

	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if _, err := get(t, "http://"+health+"/readyz"); err == nil {
			return p
		} else if time.Now().After(end) {
			t.Fatalf("the provider is not ready: %v", err)
		}
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()

	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	defer l.Close() // Its address is what we wanted.

	return l.Addr().String()
}

func get(t *testing.T, url string) ([]byte, error) {
	t.Helper()

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}

	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}

	defer res.Body.Close() // It was read.

	b, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", res.Status, b)
	}

	return b, err
}

// A sample is what the provider weighs at one time, and what it has done so far.
type sample struct {
	cpu, rss, goroutines float64 // Seconds, MiB.
	requests, writes     float64 // To the API server.
}

func (p *provider) sample(t *testing.T) sample {
	t.Helper()

	b, err := get(t, p.metrics)
	if err != nil {
		t.Fatal(err)
	}

	var s sample

	for lines := bufio.NewScanner(bytes.NewReader(b)); lines.Scan(); {
		l := lines.Text()

		v, err := strconv.ParseFloat(l[strings.LastIndexByte(l, ' ')+1:], 64)
		if err != nil {
			continue // A comment.
		}

		name, labels, _ := strings.Cut(l, "{")

		switch {
		case strings.HasPrefix(l, "go_goroutines "):
			s.goroutines = v
		case strings.HasPrefix(l, "process_cpu_seconds_total "):
			s.cpu = v
		case strings.HasPrefix(l, "process_resident_memory_bytes "):
			s.rss = v / (1 << 20)
		case name == "rest_client_requests_total":
			s.requests += v

			if !strings.Contains(labels, `method="GET"`) {
				s.writes += v
			}
		}
	}

	return s
}

// configure makes the one configuration.
func configure(t *testing.T, kube client.Client, endpoint string) {
	t.Helper()

	c := &v1alpha1.ClusterProviderConfig{
		ObjectMeta: metav1.ObjectMeta{Name: "memory"},
		Spec:       v1alpha1.ProviderConfigSpec{VectorStore: &v1alpha1.VectorStore{Type: v1alpha1.StoreChroma, Endpoint: endpoint}},
	}
	if err := kube.Create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// fill makes the collections from one number to another, as pools have them, in several namespaces.
func fill(t *testing.T, kube client.Client, from, to int) {
	t.Helper()

	for i := (from + inNamespace - 1) / inNamespace; i*inNamespace < to; i++ {
		if err := kube.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("team-", i)}}); err != nil {
			t.Fatal(err)
		}
	}

	var wg sync.WaitGroup

	for w := range 8 {
		wg.Go(func() {
			for i := from + w; i < to; i += 8 {
				name := fmt.Sprint("memory-", i)
				vc := &v1alpha1.VectorCollection{
					ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprint("team-", i/inNamespace), Name: name},
					Spec:       v1alpha1.VectorCollectionSpec{ForProvider: v1alpha1.VectorCollectionParameters{Collection: name, Dim: 1536}},
				}
				vc.SetProviderConfigReference(&xpv2.ProviderConfigReference{Kind: "ClusterProviderConfig", Name: "memory"})
				vc.SetWriteConnectionSecretToReference(&xpv2.LocalSecretReference{Name: name})

				if err := kube.Create(t.Context(), vc); err != nil {
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

// ready waits until all of n collections are, and returns the version of each object.
func ready(t *testing.T, kube client.Client, n int) map[string]string {
	t.Helper()

	for end := time.Now().Add(10 * time.Minute); ; time.Sleep(500 * time.Millisecond) {
		l := &v1alpha1.VectorCollectionList{}
		if err := kube.List(t.Context(), l); err != nil {
			t.Fatal(err)
		}

		are, why, versions := 0, "", map[string]string{}

		for _, vc := range l.Items {
			versions[vc.GetName()] = vc.GetResourceVersion()

			r, s := vc.GetCondition(xpv2.TypeReady), vc.GetCondition(xpv2.TypeSynced)
			if r.Status == corev1.ConditionTrue && s.Status == corev1.ConditionTrue {
				are++
			} else {
				why = fmt.Sprintf("%s is not: %s %s %s", vc.GetName(), r.Reason, s.Reason, s.Message)
			}
		}

		if are == n && len(l.Items) == n {
			return versions
		}

		if time.Now().After(end) {
			t.Fatalf("%d of %d collections are ready: %s", are, n, why)
		}
	}
}
