//go:build integration

package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

var crds = filepath.Join("..", "..", "package", "provider", "crds")

// A suite is an API server without our kinds, a user of it who may do what the manifests grant the provider, and the
// provider's binary.
type suite struct {
	kube       client.Client
	env        *envtest.Environment
	kubeconfig string
	binary     string
}

func newSuite(t *testing.T) *suite {
	t.Helper()

	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS must name a directory with kube-apiserver, etcd and kubectl: run `make tools`, which builds them, or `make test`, which sets it")
	}

	s := &suite{env: &envtest.Environment{}, binary: filepath.Join(t.TempDir(), "provider")}

	build := exec.CommandContext(t.Context(), "go", "build", "-o", s.binary, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build the provider: %v\n%s", err, out)
	}

	cfg, err := s.env.Start()
	if err != nil {
		t.Fatalf("cannot start the API server: %v", err)
	}

	t.Cleanup(func() {
		if err := s.env.Stop(); err != nil {
			t.Errorf("cannot stop the API server: %v", err)
		}
	})

	if s.kube, err = client.New(cfg, client.Options{Scheme: controller.NewScheme()}); err != nil {
		t.Fatal(err)
	}

	u, err := s.env.AddUser(envtest.User{Name: "system:serviceaccount:crossplane-system:provider-aidispatcher"}, nil)
	if err != nil {
		t.Fatal(err)
	}

	kc, err := u.KubeConfig()
	if err != nil {
		t.Fatal(err)
	}

	s.kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(s.kubeconfig, kc, 0o600); err != nil {
		t.Fatal(err)
	}

	s.grant(t)

	return s
}

// grant gives the provider's user what cluster/install gives it, and what Crossplane's RBAC manager gives every provider
// with the safe-start capability.
func (s *suite) grant(t *testing.T) {
	t.Helper()

	b, err := os.ReadFile(filepath.Join("..", "..", "cluster", "install", "base", "rbac.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	docs := append(bytes.Split(b, []byte("\n---\n")), []byte(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: every-provider}
rules:
- {apiGroups: [agent.southwest.ai], resources: ["*"], verbs: [get, list, watch, update, patch, create]}
- {apiGroups: [agent.southwest.ai], resources: ["*/finalizers"], verbs: [update]}
- {apiGroups: ["", coordination.k8s.io], resources: [secrets, configmaps, events, leases], verbs: ["*"]}
- {apiGroups: [apiextensions.k8s.io], resources: [customresourcedefinitions], verbs: [get, list, watch]}
`), []byte(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: every-provider}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: every-provider}
subjects: [{kind: ServiceAccount, namespace: crossplane-system, name: provider-aidispatcher}]
`))

	for _, doc := range docs {
		u := &unstructured.Unstructured{}
		if err := yaml.Unmarshal(doc, &u.Object); err != nil {
			t.Fatal(err)
		}

		if err := s.kube.Create(t.Context(), u); err != nil {
			t.Fatalf("cannot create %s %s: %v", u.GetKind(), u.GetName(), err)
		}
	}
}

// A provider that runs.
type process struct {
	cmd     *exec.Cmd
	log     *bytes.Buffer
	metrics string
	health  string
}

func (s *suite) start(t *testing.T, args ...string) *process {
	t.Helper()

	p := &process{log: &bytes.Buffer{}, metrics: freeAddress(t), health: freeAddress(t)}
	p.cmd = exec.CommandContext(context.Background(), s.binary, append([]string{ //nolint:gosec // We built it.
		"--metrics-bind-address=" + p.metrics, "--health-probe-bind-address=" + p.health,
	}, args...)...)
	p.cmd.Env = append(os.Environ(), "KUBECONFIG="+s.kubeconfig)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log

	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Kill() //nolint:errcheck // It may have ended.
			p.cmd.Wait()         //nolint:errcheck // It was killed.
		}

		if t.Failed() {
			t.Logf("the provider's log:\n%s", p.log)
		}
	})

	return p
}

// stop asks the provider to end, as a kubelet does.
func (p *process) stop(t *testing.T) {
	t.Helper()

	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}

	if err := p.cmd.Wait(); err != nil {
		t.Errorf("the provider was asked to end and did so with an error: %v", err)
	}
}

// kill ends the provider as a lost node does.
func (p *process) kill(t *testing.T) {
	t.Helper()

	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}

	p.cmd.Wait() //nolint:errcheck // It was killed.
}

// residentKiB returns the memory of the process that is resident.
func (p *process) residentKiB(t *testing.T) int {
	t.Helper()

	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}

	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				t.Fatal(err)
			}

			return n
		}
	}

	t.Fatal("the kernel does not say how much memory is resident")

	return 0
}

func (p *process) answers(t *testing.T, url string) string {
	t.Helper()

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}

	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}

	defer res.Body.Close() //nolint:errcheck // It was read.

	b := &bytes.Buffer{}
	if _, err := b.ReadFrom(res.Body); err != nil {
		return err.Error()
	}

	return res.Status + "\n" + b.String()
}

func freeAddress(t *testing.T) string {
	t.Helper()

	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	defer l.Close() //nolint:errcheck // Its address is what we wanted.

	return l.Addr().String()
}

// within waits until what returns "", and fails with its last answer after d.
func within(t *testing.T, d time.Duration, what func() string) {
	t.Helper()

	deadline := time.Now().Add(d)

	for {
		last := what()
		if last == "" {
			return
		}

		if time.Now().After(deadline) {
			t.Fatalf("after %s: %s", d, last)
		}

		<-time.After(20 * time.Millisecond)
	}
}

// pool creates a pool's Deployment and scaler.
func (s *suite) pool(t *testing.T, name string, replicas int32) (*appsv1.Deployment, *v1alpha1.AgentScaler) {
	t.Helper()

	l := map[string]string{monitorapi.LabelDispatcher: name}
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: l},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: l},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: l},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "agent:v1"}}},
			},
		},
	}
	as := &v1alpha1.AgentScaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: l},
		Spec: v1alpha1.AgentScalerSpec{ForProvider: v1alpha1.AgentScalerParameters{
			ScaleTargetRef: v1alpha1.ScaleTargetReference{Name: name}, Replicas: replicas,
		}},
	}

	for _, o := range []client.Object{d, as} {
		if err := s.kube.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}

	return d, as
}

// asksFor says "" when the Deployment asks for n replicas.
func (s *suite) asksFor(t *testing.T, d *appsv1.Deployment, n int32) func() string {
	return func() string {
		if err := s.kube.Get(t.Context(), client.ObjectKeyFromObject(d), d); err != nil {
			return err.Error()
		}

		if got := *d.Spec.Replicas; got != n {
			return fmt.Sprintf("Deployment %s asks for %d replicas, want %d", d.Name, got, n)
		}

		return ""
	}
}

func (s *suite) resize(t *testing.T, as *v1alpha1.AgentScaler, n int32) {
	t.Helper()

	p := client.MergeFrom(as.DeepCopy())
	as.Spec.ForProvider.Replicas = n

	if err := s.kube.Patch(t.Context(), as, p); err != nil {
		t.Fatal(err)
	}
}

// TestProvider takes the binary through its life, with the rights it has in a cluster.
func TestProvider(t *testing.T) {
	s := newSuite(t)
	first := s.start(t, "--leader-election", "--leader-election-namespace=default")

	within(t, 10*time.Second, func() string {
		if got := first.answers(t, "http://"+first.health+"/readyz"); !strings.HasPrefix(got, "200") {
			return "the provider is not ready: " + got
		}

		return ""
	})

	// Its kinds come after it.
	if _, err := envtest.InstallCRDs(s.env.Config, envtest.CRDInstallOptions{Paths: []string{crds}, ErrorIfPathMissing: true}); err != nil {
		t.Fatal(err)
	}

	d, as := s.pool(t, "coder", 3)
	within(t, 20*time.Second, s.asksFor(t, d, 3))

	worker := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "w", Labels: d.Spec.Template.Labels},
		Spec: corev1.PodSpec{
			SchedulingGates: []corev1.PodSchedulingGate{{Name: monitorapi.SlotGate}},
			Containers:      d.Spec.Template.Spec.Containers,
		},
	}
	if err := s.kube.Create(t.Context(), worker); err != nil {
		t.Fatal(err)
	}

	within(t, 10*time.Second, func() string {
		if err := s.kube.Get(t.Context(), client.ObjectKeyFromObject(worker), worker); err != nil {
			return err.Error()
		}

		if worker.Annotations[monitorapi.AnnotationSlot] != "0" {
			return fmt.Sprintf("the worker's annotations are %v, want slot 0", worker.Annotations)
		}

		return ""
	})

	if got := first.answers(t, "http://"+first.metrics+"/metrics"); !strings.Contains(got, "aidispatcher_slots_bound_total 1") {
		t.Error("the metrics do not tell of the one worker that was bound")
	}

	// A second provider waits, and takes over at once from one that is stopped...
	second := s.start(t, "--leader-election", "--leader-election-namespace=default")
	within(t, 10*time.Second, func() string {
		if got := second.answers(t, "http://"+second.health+"/readyz"); !strings.HasPrefix(got, "200") {
			return "the second provider is not ready: " + got
		}

		return ""
	})
	first.stop(t)
	s.resize(t, as, 5)
	within(t, 5*time.Second, s.asksFor(t, d, 5))

	// ... and another soon from one that crashed.
	second.kill(t)
	s.resize(t, as, 7)
	crashed := time.Now()

	third := s.start(t, "--leader-election", "--leader-election-namespace=default")
	within(t, 15*time.Second, s.asksFor(t, d, 7))
	t.Logf("a crashed provider was replaced after %s", time.Since(crashed).Round(time.Millisecond))

	s.edits(t, d, as)

	t.Logf("resident at rest: %d KiB", third.residentKiB(t))

	if got, goal := third.residentKiB(t), 60<<10; got > goal {
		t.Errorf("the provider at rest has %d KiB resident, want at most %d", got, goal)
	}

	third.stop(t)
}

// edits measures how long a Deployment takes to follow its scaler.
func (s *suite) edits(t *testing.T, d *appsv1.Deployment, as *v1alpha1.AgentScaler) {
	t.Helper()

	var slowest, sum time.Duration

	const n = 20

	for i := range n {
		if err := s.kube.Get(t.Context(), client.ObjectKeyFromObject(as), as); err != nil {
			t.Fatal(err)
		}

		want := int32(10 + i) //nolint:gosec // It is small.
		start := time.Now()

		s.resize(t, as, want)
		within(t, 5*time.Second, s.asksFor(t, d, want))

		took := time.Since(start)
		slowest, sum = max(slowest, took), sum+took
	}

	t.Logf("%d edits: a Deployment followed after %s on average, %s at most", n, (sum / n).Round(time.Millisecond), slowest.Round(time.Millisecond))
}

// A kind that is not there is waited for, and one that is there but not activated does no harm to the others.
func TestProviderWithoutItsKinds(t *testing.T) {
	s := newSuite(t)
	p := s.start(t)

	if _, err := envtest.InstallCRDs(s.env.Config, envtest.CRDInstallOptions{
		Paths: []string{filepath.Join(crds, "agentscalers.yaml")}, ErrorIfPathMissing: true,
	}); err != nil {
		t.Fatal(err)
	}

	d, _ := s.pool(t, "coder", 2)
	within(t, 20*time.Second, s.asksFor(t, d, 2))
	p.stop(t)
}
