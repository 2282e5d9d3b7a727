//go:build integration

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// absent are series of which a pool that runs well, with its provider, shows none, each with the reason. What is written by hand in the
// situations stands for them.
var absent = map[string]string{
	circuitOpens: "Crossplane's core tells it, which does not run here.",
}

const (
	namespaceOfAll = "team-a"
	poolOfAll      = "coder-agent-pool"
)

// Each rule asks for what a monitor and a provider that run tell, by the labels that Prometheus has of them, and can be evaluated.
func TestRulesFitWhatIsScraped(t *testing.T) {
	w := newWorld(t)
	worker, provider := w.worker(), w.provider
	prom := w.prometheus(worker, provider)

	var last []string

	w.until("each rule finds what it asks for", func() error {
		there := prom.there()

		for name := range absent {
			if there[name] != nil {
				return fmt.Errorf("%s is scraped, and said to be absent", name)
			}
		}

		last = nil

		for _, g := range allRules().Groups {
			for _, r := range g.Rules {
				for _, complaint := range wrong(r.Expr, withAbsent(there)) {
					last = append(last, fmt.Sprintf("%s%s: %s", r.Record, r.Alert, complaint))
				}
			}
		}

		if len(last) > 0 {
			return errors.New(strings.Join(last, "\n"))
		}

		return prom.healthy()
	})

	// What is recorded has the labels of the pool, wherever they come from.
	for _, record := range []string{workers, workersKnown, workersDrain, poolDepth, poolTokens, poolRequests, poolSaves, poolStateAge, poolAsked, poolWanted, poolHeld} {
		w.until(record+" is recorded", func() error {
			got := prom.query(fmt.Sprintf("%s{namespace=%q, dispatcher=%q}", record, namespaceOfAll, poolOfAll))
			if len(got) == 0 {
				return errors.New("nothing with the pool's labels")
			}

			return nil
		})
	}
}

// withAbsent adds the series that there are none of, with the labels that they are known to have.
func withAbsent(there map[string][]string) map[string][]string {
	out := maps.Clone(there)
	for name := range absent {
		out[name] = []string{"controller", "job", "instance"}
	}

	return out
}

// A world is a pool of one worker, with all that makes it one: an API server, the provider's program, the monitor's, an agent and a
// model server.
type world struct {
	t    *testing.T
	kube client.Client
	// dir has the programs, and states the store.
	dir, states string
	// provider is where its metrics are.
	provider string
}

func newWorld(t *testing.T) *world {
	t.Helper()

	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS must name a directory with kube-apiserver, etcd and kubectl: run `make integration`, which builds them")
	}

	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Fatal("this test needs Prometheus: apt-get install prometheus")
	}

	log.SetLogger(zap.New(zap.WriteTo(io.Discard)))

	w := &world{t: t, dir: t.TempDir(), states: t.TempDir(), provider: freeAddress(t)}

	build := exec.CommandContext(t.Context(), "go", "build", "-o", w.dir, "./cmd/provider", "./cmd/monitor", "./cluster/model", "./examples/agent")
	build.Dir = root

	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build: %v\n%s", err, out)
	}

	env := &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join(root, "package", "provider", "crds")}, ErrorIfCRDPathMissing: true}

	cfg, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})

	if w.kube, err = client.New(cfg, client.Options{Scheme: controller.NewScheme()}); err != nil {
		t.Fatal(err)
	}

	user, err := env.AddUser(envtest.User{Name: "provider", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		t.Fatal(err)
	}

	b, err := user.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}

	kubeconfig := filepath.Join(w.dir, "kubeconfig")
	if err := os.WriteFile(kubeconfig, b, 0o600); err != nil {
		t.Fatal(err)
	}

	w.pool()
	w.run([]string{"KUBECONFIG=" + kubeconfig}, "provider", "--metrics-bind-address="+w.provider, "--health-probe-bind-address=0", "--keda-bind-address=0",
		"--leader-election", "--leader-election-namespace=crossplane-system", "--poll-state-metric=1s")

	return w
}

// pool creates what the function composes of a pool with memory and checkpoints, and a worker as its ReplicaSet makes it.
func (w *world) pool() {
	w.t.Helper()

	labels := map[string]string{monitorapi.LabelDispatcher: poolOfAll}
	meta := metav1.ObjectMeta{Namespace: namespaceOfAll, Name: poolOfAll, Labels: labels}
	store := &xpv2.ProviderConfigReference{Kind: "ProviderConfig", Name: "store"}
	containers := []corev1.Container{{Name: "agent", Image: "agent:v1"}}

	saved := &v1alpha1.Checkpoint{ObjectMeta: meta}
	saved.Spec.ForProvider.Pool = namespaceOfAll + "/" + poolOfAll
	saved.Spec.ProviderConfigReference = store
	saved.Spec.WriteConnectionSecretToReference = &xpv2.LocalSecretReference{Name: poolOfAll + "-checkpoint"}

	memory := &v1alpha1.VectorCollection{ObjectMeta: meta}
	memory.Spec.ForProvider.Collection, memory.Spec.ForProvider.Dim, memory.Spec.ForProvider.Distance = "coder-memory", 8, "Cosine"
	memory.Spec.ProviderConfigReference = store

	scaler := &v1alpha1.AgentScaler{ObjectMeta: meta}
	scaler.Spec.ForProvider.ScaleTargetRef, scaler.Spec.ForProvider.Replicas = v1alpha1.ScaleTargetReference{Name: poolOfAll}, 1
	scaler.Spec.ForProvider.Triggers, scaler.Spec.ForProvider.MaxReplicaCount = []v1alpha1.Trigger{{Type: v1alpha1.TriggerQueueDepth, Target: 5}}, new(int32(3))

	for _, o := range []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespaceOfAll}}, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "crossplane-system"}},
		// Nobody answers there: a store that fails tells its requests, too.
		&v1alpha1.ProviderConfig{ObjectMeta: metav1.ObjectMeta{Namespace: namespaceOfAll, Name: "store"}, Spec: v1alpha1.ProviderConfigSpec{
			CheckpointStore: &v1alpha1.CheckpointStore{URL: "file://" + w.states},
			VectorStore:     &v1alpha1.VectorStore{Type: "Chroma", Endpoint: "http://" + freeAddress(w.t)},
		}},
		saved, memory,
		&appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: containers}},
		}},
		scaler,
	} {
		if err := w.kube.Create(w.t.Context(), o); err != nil {
			w.t.Fatal(err)
		}
	}
}

// worker runs a worker's monitor and agent as they run in a pod, has the agent do a task, and returns where the monitor's metrics are.
func (w *world) worker() string {
	w.t.Helper()

	model, proxy, metrics, agent := freeAddress(w.t), freeAddress(w.t), freeAddress(w.t), freeAddress(w.t)
	podinfo, volume, secret := w.t.TempDir(), w.t.TempDir(), w.t.TempDir()
	state := filepath.Join(volume, monitorapi.StateSubPath)

	// What the volume of the Secret has, which the provider wrote.
	w.until("the Checkpoint's Secret is there", func() error {
		s := &corev1.Secret{}
		if err := w.kube.Get(w.t.Context(), client.ObjectKey{Namespace: namespaceOfAll, Name: poolOfAll + "-checkpoint"}, s); err != nil {
			return err
		}

		if len(s.Data) == 0 {
			return errors.New("it is empty")
		}

		for name, data := range s.Data {
			if err := os.WriteFile(filepath.Join(secret, name), data, 0o600); err != nil {
				return err
			}
		}

		return nil
	})

	told := fmt.Sprintf("%s=\"0\"\n%s=\"1\"\n%s=%q\n", monitorapi.AnnotationSlot, monitorapi.AnnotationEpoch, monitorapi.AnnotationRestore, monitorapi.RestoreNone)
	if err := errors.Join(os.WriteFile(filepath.Join(podinfo, monitorapi.PodinfoAnnotations), []byte(told), 0o600), os.MkdirAll(state, 0o700)); err != nil {
		w.t.Fatal(err)
	}

	w.run([]string{"MODEL_LISTEN=" + model}, "model")
	restore := exec.CommandContext(w.t.Context(), filepath.Join(w.dir, "monitor"), "restore", "--podinfo-dir="+podinfo, "--state-volume="+volume, "--checkpoint-dir="+secret)

	if said, err := restore.CombinedOutput(); err != nil {
		w.t.Fatalf("cannot restore: %v\n%s", err, said)
	}

	w.run(nil, "monitor", "run", "--listen="+metrics, "--proxy-listen="+proxy, "--podinfo-dir="+podinfo, "--model-endpoint=http://"+model+"/v1",
		"--tasks-source=a2a", "--tasks-url=http://"+agent, "--state-volume="+volume, "--checkpoint-dir="+secret, "--checkpoint-interval=1s",
		"--push-url=http://"+freeAddress(w.t), "--namespace="+namespaceOfAll, "--dispatcher="+poolOfAll, "--role=coder", "--pod="+poolOfAll+"-0")
	w.run([]string{"AGENT_LISTEN=" + agent, "STATE_DIR=" + state, "OPENAI_BASE_URL=http://" + proxy}, "agent")

	w.until("the agent takes a task", func() error {
		return post(w.t.Context(), "http://"+agent+"/message:send", `{"message": {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "do it"}]}}`, nil)
	})
	w.until("the model server answers and tells no usage", func() error {
		return post(w.t.Context(), "http://"+proxy+"/chat/completions", `{"model": "gpt-4", "messages": [{"role": "user", "content": "go on"}]}`, map[string]string{"X-Model-Usage": "none"})
	})

	return metrics
}

func post(ctx context.Context, to, body string, header map[string]string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		return err
	}

	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("A2A-Version", "1.0")

	for k, v := range header {
		req.Header.Set(k, v)
	}

	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}

	defer func() { _ = rsp.Body.Close() }()

	b, err := io.ReadAll(rsp.Body)
	if rsp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", rsp.Status, b)
	}

	return err
}

// run starts a program of ours, or one that is installed, until the test ends.
func (w *world) run(env []string, program string, args ...string) {
	w.t.Helper()

	if own := filepath.Join(w.dir, program); fileExists(own) {
		program = own
	}

	var said bytes.Buffer

	cmd := exec.CommandContext(context.Background(), program, args...)
	cmd.Env = slices.Concat(os.Environ(), env)
	cmd.Stdout, cmd.Stderr = &said, &said

	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}

	w.t.Cleanup(func() {
		_ = cmd.Process.Kill() // It may have ended.
		_ = cmd.Wait()         // It was killed.

		if w.t.Failed() {
			w.t.Logf("%s:\n%.20000s", filepath.Base(program), &said)
		}
	})
}

func fileExists(name string) bool {
	_, err := os.Stat(name)

	return err == nil
}

func freeAddress(t *testing.T) string {
	t.Helper()

	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	defer func() { _ = l.Close() }()

	return l.Addr().String()
}

func (w *world) until(what string, ok func() error) {
	w.t.Helper()

	for begun := time.Now(); ; {
		err := ok()
		if err == nil {
			return
		}

		if time.Since(begun) > 3*time.Minute {
			w.t.Fatalf("not so after three minutes: %s: %v", what, err)
		}

		<-time.After(200 * time.Millisecond)
	}
}

// A scraper is a Prometheus that scrapes the pool and has our rules.
type scraper struct {
	t       *testing.T
	address string
}

// prometheus runs one that looks each second, with target labels as Prometheus Operator gives them.
func (w *world) prometheus(worker, provider string) *scraper {
	w.t.Helper()

	rules := allRules()
	for i := range rules.Groups {
		rules.Groups[i].Interval = "1s"
	}

	job := func(name, target, namespace string) map[string]any {
		return map[string]any{"job_name": name, "static_configs": []any{map[string]any{"targets": []string{target}, "labels": map[string]string{"namespace": namespace}}}}
	}

	config := write(w.t, map[string]any{
		"global": map[string]string{"scrape_interval": "1s"}, "rule_files": []string{write(w.t, rules)},
		"scrape_configs": []any{job("pods", worker, namespaceOfAll), job("provider", provider, "crossplane-system")},
	})
	s := &scraper{t: w.t, address: freeAddress(w.t)}

	w.run(nil, "prometheus", "--config.file="+config, "--storage.tsdb.path="+w.t.TempDir(), "--web.listen-address="+s.address, "--log.level=warn")
	w.until("Prometheus is ready", func() error {
		return s.get("/api/v1/status/buildinfo", nil, &struct{}{})
	})

	return s
}

func (s *scraper) get(path string, form url.Values, into any) error {
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+s.address+path+"?"+form.Encode(), nil)
	if err != nil {
		return err
	}

	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}

	defer func() { _ = rsp.Body.Close() }()

	if rsp.StatusCode != http.StatusOK {
		return errors.New(rsp.Status)
	}

	return json.NewDecoder(rsp.Body).Decode(into)
}

// there are the labels of each series that Prometheus has.
func (s *scraper) there() map[string][]string {
	s.t.Helper()

	var said struct{ Data []map[string]string }
	if err := s.get("/api/v1/series", url.Values{"match[]": {`{__name__=~".+"}`}}, &said); err != nil {
		s.t.Fatal(err)
	}

	out := map[string][]string{}

	for _, series := range said.Data {
		name := series["__name__"]
		out[name] = slices.Compact(slices.Sorted(slices.Values(append(slices.Collect(maps.Keys(series)), out[name]...))))
	}

	return out
}

// query returns the values of a query's series.
func (s *scraper) query(text string) []json.RawMessage {
	s.t.Helper()

	var said struct {
		Data struct{ Result []json.RawMessage }
	}

	if err := s.get("/api/v1/query", url.Values{"query": {text}}, &said); err != nil {
		s.t.Fatalf("%s: %v", text, err)
	}

	return said.Data.Result
}

// healthy says which rule was not evaluated, or with an error.
func (s *scraper) healthy() error {
	var said struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}

	if err := s.get("/api/v1/rules", nil, &said); err != nil {
		return err
	}

	var errs []error

	n := 0

	for _, g := range said.Data.Groups {
		for _, r := range g.Rules {
			n++

			if r.Health != "ok" {
				errs = append(errs, fmt.Errorf("%s is %s: %s", r.Name, r.Health, r.LastError))
			}
		}
	}

	want := 0
	for _, g := range allRules().Groups {
		want += len(g.Rules)
	}

	if n != want {
		errs = append(errs, fmt.Errorf("Prometheus has %d of %d rules", n, want))
	}

	return errors.Join(errs...)
}
