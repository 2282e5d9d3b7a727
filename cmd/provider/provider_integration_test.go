//go:build integration

package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
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

	// What the server's harness logs is of no use here.
	log.SetLogger(zap.New(zap.WriteTo(io.Discard)))

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

// install serves the kinds whose definitions are at a path.
func (s *suite) install(t *testing.T, path string) {
	t.Helper()

	if _, err := envtest.InstallCRDs(s.env.Config, envtest.CRDInstallOptions{Paths: []string{path}, ErrorIfPathMissing: true}); err != nil {
		t.Fatal(err)
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
	elect := []string{"--leader-election", "--leader-election-namespace=default"}
	first := s.start(t, elect...)
	first.isReady(t)

	// Its kinds come after it, one by one: what works on one does not wait for the others.
	s.install(t, filepath.Join(crds, "agentscalers.yaml"))

	d, as := s.pool(t, "coder", 3)
	within(t, 20*time.Second, s.asksFor(t, d, 3))
	s.install(t, crds)
	s.bindsWorkers(t, d, first)

	// A second provider waits, and takes over at once from one that is stopped...
	second := s.start(t, elect...)
	second.isReady(t)
	first.stop(t)
	s.resize(t, as, 5)
	within(t, 5*time.Second, s.asksFor(t, d, 5))

	// ... and another soon from one that crashed.
	second.kill(t)
	s.resize(t, as, 7)
	crashed := time.Now()
	changes, socket := listenForChanges(t)

	third := s.start(t, append(elect, "--enable-changelogs", "--changelogs-socket-path="+socket)...)
	within(t, 15*time.Second, s.asksFor(t, d, 7))
	t.Logf("a crashed provider was replaced after %s", time.Since(crashed).Round(time.Millisecond))
	changes.tells(t, map[string]string{"from": "5", "to": "7", "reason": v1alpha1.ScaleReasonSizeChanged})

	s.edits(t, d, as)

	// How much of the program's file is resident is the kernel's choice, and it may take that back at any time. The rest is ours.
	own := third.residentKiB(t, "RssAnon:")
	t.Logf("resident at rest: %d KiB, of which %d KiB are not pages of files", third.residentKiB(t, "VmRSS:"), own)

	if goal := 40 << 10; own > goal {
		t.Errorf("the provider at rest has %d KiB of its own resident, want at most %d", own, goal)
	}

	third.stop(t)
}

// bindsWorkers checks that a worker that waits is given a slot, and that the metrics tell.
func (s *suite) bindsWorkers(t *testing.T, d *appsv1.Deployment, p *process) {
	t.Helper()

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

	within(t, 5*time.Second, func() string {
		if got := p.answers(t, "http://"+p.metrics+"/metrics"); !strings.Contains(got, "aidispatcher_slots_bound_total 1") {
			return "the metrics do not tell of the one worker that was bound"
		}

		return ""
	})
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

		want := int32(10 + i)
		start := time.Now()

		s.resize(t, as, want)
		within(t, 5*time.Second, s.asksFor(t, d, want))

		took := time.Since(start)
		slowest, sum = max(slowest, took), sum+took
	}

	t.Logf("%d edits: a Deployment followed after %s on average, %s at most", n, (sum / n).Round(time.Millisecond), slowest.Round(time.Millisecond))
}
