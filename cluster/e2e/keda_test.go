//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	kmeta "k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// withKEDA skips a test where KEDA is not installed: `make keda` does that.
func withKEDA(t *testing.T) {
	t.Helper()

	if _, err := kube.RESTMapper().RESTMapping(schema.GroupKind{Group: "keda.sh", Kind: "ScaledObject"}); kmeta.IsNoMatchError(err) {
		t.Skip("KEDA is not installed: run make keda")
	} else if err != nil {
		t.Fatal(err)
	}
}

// sizedByKEDA has KEDA write the size of a pool, and ask the provider which.
func sizedByKEDA(ad *v1alpha1.AIDispatcher) { ad.Spec.Scaling.Engine = v1alpha1.EngineKEDA }

// asksFor waits until a pool's Deployment asks for n workers.
func asksFor(t *testing.T, ad *v1alpha1.AIDispatcher, n int32) {
	t.Helper()
	eventually(t, fmt.Sprintf("the Deployment asks for %d workers", n), func(ctx context.Context) error {
		d := &appsv1.Deployment{}
		if err := kube.Get(ctx, client.ObjectKeyFromObject(ad), d); err != nil {
			return err
		}

		if got := ptr.Deref(d.Spec.Replicas, 0); got != n {
			return fmt.Errorf("it asks for %d", got)
		}

		return nil
	})
}

// A pool that KEDA sizes grows with its tasks and shrinks when they are done, but never by the one that is still at work.
func TestKEDAAsksTheProvider(t *testing.T) {
	withKEDA(t)

	ns := namespace(t)
	startObjects(t, ns)

	const most = 8

	ad := create(t, ns, "quickstart", scaled(most), saving, sizedByKEDA)
	first := settled(t, ad, 1)["0"]
	since := time.Now()

	for range most + 3 {
		hand(t, first, 4)
	}

	asksFor(t, ad, most)
	t.Logf("from the first task to %d asked for: %s", most, time.Since(since).Round(100*time.Millisecond))

	all := settled(t, ad, most)
	long := occupy(t, all["5"], 120)

	wanted(t, ad, 1)

	after := settled(t, ad, 1)
	if after["5"].UID != all["5"].UID {
		t.Errorf("the busy worker of slot 5 was removed, or another was kept: %v", slotsOf(after))
	}

	completed(t, all["5"], long)
	nothingLeft(t, ad, 1)
}

// A pool of which KEDA asks a Prometheus grows with its tasks, stays as it is while there is no data, and shrinks to its least size.
func TestKEDAAsksPrometheus(t *testing.T) {
	withKEDA(t)

	ns := namespace(t)
	startObjects(t, ns)

	address := net.JoinHostPort(nodeAddress(t), "19090")
	monitors := monitorsOf(t, ns)
	stop := startPrometheus(t, address, monitors)

	changeCatalog(t, func(catalog map[string]any) {
		catalog["keda"] = map[string]any{"prometheus": map[string]any{"serverAddress": "http://" + address}}
	})

	const most = 4

	ad := create(t, ns, "quickstart", scaled(most), saving, sizedByKEDA, func(ad *v1alpha1.AIDispatcher) {
		ad.Spec.Scaling.KEDA = &v1alpha1.KEDA{Scaler: v1alpha1.KEDAScalerPrometheus}
		ad.Spec.Scaling.ScaleDown.StabilizationSeconds = ptr.To[int32](15)
	})
	first := settled(t, ad, 1)["0"]
	tasks := make([]string, 0, 10)
	since := time.Now()

	for range cap(tasks) {
		tasks = append(tasks, hand(t, first, 8))
	}

	asksFor(t, ad, most)
	t.Logf("from the first task to %d asked for: %s", most, time.Since(since).Round(100*time.Millisecond))
	settled(t, ad, most)

	stop()
	eventually(t, "the HPA knows that nothing is known", func(ctx context.Context) error {
		h := &autoscalingv2.HorizontalPodAutoscaler{}
		if err := kube.Get(ctx, client.ObjectKey{Namespace: ns, Name: "keda-hpa-" + ad.GetName()}, h); err != nil {
			return err
		}

		for _, c := range h.Status.Conditions {
			if c.Type == autoscalingv2.ScalingActive && c.Status == corev1.ConditionFalse {
				return nil
			}
		}

		return fmt.Errorf("it says %+v", h.Status.Conditions)
	})

	for _, id := range tasks {
		completed(t, first, id)
	}

	// There is nothing to do any more, and nobody knows.
	asksFor(t, ad, most)

	startPrometheus(t, address, monitors)
	asksFor(t, ad, 1)
	settled(t, ad, 1)
	nothingLeft(t, ad, 1)
}

// monitorsOf tells a Prometheus where the monitors of a namespace are: Debian's cannot ask Kubernetes.
func monitorsOf(t *testing.T, ns string) string {
	t.Helper()

	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pods := &corev1.PodList{}
		if err := kube.List(r.Context(), pods, client.InNamespace(ns), client.HasLabels{monitorapi.LabelDispatcher}); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)

			return
		}

		targets := []string{}

		for _, p := range pods.Items {
			if p.Status.Phase == corev1.PodRunning && p.Status.PodIP != "" {
				targets = append(targets, net.JoinHostPort(p.Status.PodIP, strconv.Itoa(monitorapi.Port)))
			}
		}

		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode([]map[string]any{{"targets": targets}}) // It asks again.
	}))
	t.Cleanup(s.Close)

	return s.URL
}

// startPrometheus starts a Prometheus that reads what monitors tell.
func startPrometheus(t *testing.T, address, monitors string) (stop func()) {
	t.Helper()

	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf("global: {scrape_interval: 2s}\nscrape_configs: [{job_name: workers, honor_labels: true, http_sd_configs: [{url: %q, refresh_interval: 2s}]}]\n", monitors)

	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	cmd := exec.Command("prometheus", "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=warn")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr

	if err := cmd.Start(); err != nil {
		t.Fatalf("cannot start Prometheus (apt-get install prometheus): %v", err)
	}

	stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // It was killed.
	})
	t.Cleanup(stop)

	eventually(t, "Prometheus serves", func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/-/ready", nil)
		if err != nil {
			return err
		}

		rsp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer rsp.Body.Close()

		if rsp.StatusCode != http.StatusOK {
			return errors.New(rsp.Status)
		}

		return nil
	})

	return stop
}
