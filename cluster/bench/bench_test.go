//go:build bench

// Package bench measures on a real cluster what a benchmark in one process cannot: how long a user waits, what the parts
// weigh at rest, and how Crossplane bears a large pool. It asserts nothing about time, which is noise.
package bench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
)

func connect(t *testing.T) client.WithWatch {
	t.Helper()

	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}

	config.QPS, config.Burst = 500, 1000

	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}

	c, err := client.NewWithWatch(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}

	return c
}

// pool makes a pool of n coders in a namespace of its own.
func pool(t *testing.T, c client.Client, n int32) *v1alpha1.AIDispatcher {
	t.Helper()

	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-"}}
	if err := c.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}

	ad := &v1alpha1.AIDispatcher{
		ObjectMeta: metav1.ObjectMeta{Name: "coder-agent-pool", Namespace: ns.GetName()},
		Spec:       v1alpha1.AIDispatcherSpec{Role: v1alpha1.RoleCoder, ModelRef: "gpt-4", Replicas: ptr.To(n)},
	}
	if err := c.Create(t.Context(), ad); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()

		if err := c.Delete(ctx, ad); err != nil {
			t.Error(err)
		}

		for c.Get(ctx, client.ObjectKeyFromObject(ad), ad) == nil {
			time.Sleep(200 * time.Millisecond)
		}

		_ = c.Delete(ctx, ns)
	})

	return ad
}

// settled waits until a pool says that it is steady at n workers.
func settled(t *testing.T, c client.Client, ad *v1alpha1.AIDispatcher, n int32) {
	t.Helper()

	deadline := time.Now().Add(3 * time.Minute)

	for time.Now().Before(deadline) {
		now := &v1alpha1.AIDispatcher{}
		if err := c.Get(t.Context(), client.ObjectKeyFromObject(ad), now); err == nil && now.Status.State == v1alpha1.StateSteady && ptr.Deref(now.Status.AvailableReplicas, -1) == n {
			return
		}

		time.Sleep(100 * time.Millisecond)
	}

	t.Fatalf("the pool did not settle at %d workers in three minutes", n)
}

// Twenty edits of a claim's replicas, each from a settled pool, until its Deployment asks for that many.
func TestEditToReplicas(t *testing.T) {
	c := connect(t)
	ad := pool(t, c, 1)
	settled(t, c, ad, 1)

	const edits = 20

	took := make([]time.Duration, 0, edits)

	for i := range edits {
		n := int32(1 + (i+1)%2)

		w, err := c.Watch(t.Context(), &appsv1.DeploymentList{}, client.InNamespace(ad.GetNamespace()))
		if err != nil {
			t.Fatal(err)
		}

		start := time.Now()
		patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n))

		if err := c.Patch(t.Context(), ad.DeepCopy(), patch); err != nil {
			t.Fatal(err)
		}

		timeout := time.After(time.Minute)

		for asked := false; !asked; {
			select {
			case e := <-w.ResultChan():
				d, ok := e.Object.(*appsv1.Deployment)
				asked = ok && ptr.Deref(d.Spec.Replicas, -1) == n
			case <-timeout:
				t.Fatalf("edit %d: the Deployment did not ask for %d in a minute", i, n)
			}
		}

		took = append(took, time.Since(start))
		w.Stop()
		settled(t, c, ad, n)
		// The breaker refills by one event in two seconds: we measure edits, not a storm of them.
		time.Sleep(10 * time.Second)
	}

	slices.Sort(took)
	fmt.Printf("| claim edit to Deployment.spec.replicas, %d edits | p50 %d ms | p95 %d ms |\n", edits, took[edits/2].Milliseconds(), took[edits*95/100].Milliseconds())
}

// What the parts hold in memory when nothing happens. The cluster's node is this machine.
func TestMemoryAtRest(t *testing.T) {
	c := connect(t)
	ad := pool(t, c, 3)
	settled(t, c, ad, 3)
	time.Sleep(20 * time.Second)

	for _, program := range []string{"/monitor", "/function", "/provider"} {
		rss := resident(t, program)
		if len(rss) == 0 {
			t.Fatalf("no process of %s on this machine: this needs the one-machine cluster", program)
		}

		fmt.Printf("| resident memory of %s at rest (%d processes) | median %.1f MiB | largest %.1f MiB |\n", program[1:], len(rss), rss[len(rss)/2], rss[len(rss)-1])
	}
}

// resident returns the resident memory of each process that runs a program, in MiB, sorted.
func resident(t *testing.T, program string) []float64 {
	t.Helper()

	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}

	var out []float64

	for _, p := range procs {
		cmdline, _ := os.ReadFile(filepath.Join(p, "cmdline")) // A process may be gone by now.
		if first, _, _ := bytes.Cut(cmdline, []byte{0}); string(first) != program {
			continue
		}

		status, _ := os.ReadFile(filepath.Join(p, "status"))
		for l := range strings.Lines(string(status)) {
			if f := strings.Fields(l); len(f) > 1 && f[0] == "VmRSS:" {
				kib, err := strconv.ParseFloat(f[1], 64)
				if err != nil {
					t.Fatal(err)
				}

				out = append(out, kib/1024)
			}
		}
	}

	slices.Sort(out)

	return out
}

// start runs a program until the test ends.
func start(t *testing.T, name string, args ...string) (pid int) {
	t.Helper()

	log, err := os.Create(filepath.Join(t.TempDir(), filepath.Base(name)+".log"))
	if err != nil {
		t.Fatal(err)
	}

	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.Stdout, cmd.Stderr = log, log

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()

		if t.Failed() {
			b, _ := os.ReadFile(log.Name())
			t.Logf("%s printed:\n%s", name, b[max(0, len(b)-4000):])
		}
	})

	return cmd.Process.Pid
}
