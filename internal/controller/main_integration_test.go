//go:build integration

package controller

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/pprof"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	xpcontroller "github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/feature"
	"github.com/crossplane/crossplane-runtime/v2/pkg/gate"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane-runtime/v2/pkg/ratelimiter"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	"github.com/crossplane/crossplane-runtime/v2/pkg/statemetrics"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/agentscaler"
	"github.com/southwest-ai/agent-operator/internal/controller/budget"
	"github.com/southwest-ai/agent-operator/internal/controller/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/controller/keda"
	"github.com/southwest-ai/agent-operator/internal/controller/slot"
	"github.com/southwest-ai/agent-operator/internal/controller/vectorcollection"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// The API server of all tests, and a client of it that caches nothing.
var (
	server *rest.Config
	kube   client.Client
)

func TestMain(m *testing.M) {
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	// What the controllers log is of use only when a test fails.
	log.SetLogger(zap.New(zap.WriteTo(io.Discard)))

	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS must name a directory with kube-apiserver, etcd and kubectl: run `make tools`, which builds them, or `make test`, which sets it")
		return 1
	}

	env := &envtest.Environment{
		CRDDirectoryPaths:     []string{filepath.Join("..", "..", "package", "provider", "crds")},
		ErrorIfCRDPathMissing: true,
	}

	cfg, err := env.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot start the API server:", err)
		return 1
	}

	defer env.Stop() // The process ends.

	// The tests are no part of what is limited.
	cfg.QPS, cfg.Burst = -1, 0
	server = cfg

	if kube, err = client.New(cfg, client.Options{Scheme: NewScheme()}); err != nil {
		fmt.Fprintln(os.Stderr, "cannot make a client:", err)
		return 1
	}

	return m.Run()
}

// startProvider runs the controllers as the command does, without any vector store, and returns a function that stops
// them.
func startProvider(t *testing.T) (stop func()) {
	t.Helper()

	return startProviderWith(t, nil)
}

// startProviderWith runs the controllers with vector stores.
func startProviderWith(t *testing.T, stores vectorcollection.Backends) (stop func()) {
	t.Helper()

	// A machine that does much else takes longer than the default of half a minute.
	skip, patience := true, 2*time.Minute
	controllers := QueueConfig()
	controllers.SkipNameValidation = &skip

	mgr, err := ctrl.NewManager(rest.CopyConfig(server), ctrl.Options{
		Scheme:     NewScheme(),
		Cache:      CacheOptions(time.Hour),
		Client:     client.Options{Cache: &client.CacheOptions{DisableFor: Uncached()}},
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: controllers,

		GracefulShutdownTimeout: &patience,
	})
	if err != nil {
		t.Fatalf("cannot create a manager: %v", err)
	}

	o := xpcontroller.Options{
		Logger:                  logging.NewNopLogger(),
		GlobalRateLimiter:       ratelimiter.NewGlobal(100),
		PollInterval:            time.Hour, // What happens must happen because of an event.
		MaxConcurrentReconciles: 10,
		Features:                &feature.Flags{},
		Gate:                    new(gate.Gate[schema.GroupVersionKind]),
		MetricOptions: &xpcontroller.MetricOptions{
			PollStateMetricInterval: time.Hour,
			MRMetrics:               managed.NewMRMetricRecorder(),
			MRStateMetrics:          statemetrics.NewMRStateMetrics(),
		},
	}
	o.Features.Enable(feature.EnableBetaManagementPolicies)

	ctx, cancel := context.WithCancel(t.Context())

	// A kind may be told to be served when the manager is ending already.
	failed := func(err error) {
		if ctx.Err() == nil {
			t.Error(err)
		}
	}

	if err := SetupGated(mgr, o, Parts{
		Sizes: agentscaler.NewMetrics(), Slots: slot.NewMetrics(), Budgets: budget.NewMetrics(), Memory: vectorcollection.NewMetrics(), Stores: stores,
		Checkpoints: checkpoint.Options{Metrics: checkpoint.NewMetrics(), Turn: 100 * time.Millisecond}, Demands: keda.NewDemands(),
	}, failed); err != nil {
		t.Fatal(err)
	}

	done := make(chan error, 1)

	go func() { done <- mgr.Start(ctx) }()

	stopped := false
	stop = func() {
		if stopped {
			return
		}

		stopped = true

		cancel()

		late := time.AfterFunc(30*time.Second, func() {
			t.Log("the manager does not end; this is what runs:")

			_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1) // For whoever reads the failure.
		})
		defer late.Stop()

		if err := <-done; err != nil {
			t.Errorf("the manager ended with an error: %v", err)
		}
	}
	t.Cleanup(stop)

	return stop
}

// newNamespace returns a namespace of the test's own.
func newNamespace(t *testing.T) string {
	t.Helper()

	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	create(t, ns)

	return ns.GetName()
}

func create(t *testing.T, objs ...client.Object) {
	t.Helper()

	for _, o := range objs {
		if err := kube.Create(t.Context(), o); err != nil {
			t.Fatalf("cannot create %T %s: %v", o, o.GetName(), err)
		}
	}
}

// get reads an object anew.
func get[T client.Object](t *testing.T, o T) T {
	t.Helper()

	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
		t.Fatalf("cannot get %T %s: %v", o, o.GetName(), err)
	}

	return o
}

// patch changes an object as kubectl does.
func patch(t *testing.T, o client.Object, change func()) {
	t.Helper()

	p := client.MergeFrom(o.DeepCopyObject().(client.Object))

	change()

	if err := kube.Patch(t.Context(), o, p); err != nil {
		t.Fatalf("cannot patch %T %s: %v", o, o.GetName(), err)
	}
}

// eventually waits until what returns "", and fails with its last answer when that takes too long.
func eventually(t *testing.T, what func() string) {
	t.Helper()

	deadline := time.Now().Add(time.Minute)

	for {
		last := what()
		if last == "" {
			return
		}

		if time.Now().After(deadline) {
			t.Fatal(last)
		}

		<-time.After(20 * time.Millisecond)
	}
}

func ptr[T any](v T) *T { return &v }

// newDeployment returns a pool's Deployment as the function composes it, so without replicas.
func newDeployment(ns, name string) *appsv1.Deployment {
	l := map[string]string{monitorapi.LabelDispatcher: name}

	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: l},
		Spec: appsv1.DeploymentSpec{
			Selector: &metav1.LabelSelector{MatchLabels: l},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: l},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "agent:v1"}}},
			},
		},
	}
}

func newScaler(ns, name string, replicas int32) *v1alpha1.AgentScaler {
	return &v1alpha1.AgentScaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{monitorapi.LabelDispatcher: name}},
		Spec: v1alpha1.AgentScalerSpec{ForProvider: v1alpha1.AgentScalerParameters{
			ScaleTargetRef: v1alpha1.ScaleTargetReference{Name: name},
			Replicas:       replicas,
		}},
	}
}

// replicasAre waits until the Deployment asks for n replicas.
func replicasAre(t *testing.T, d *appsv1.Deployment, n int32) {
	t.Helper()
	eventually(t, func() string {
		if got := *get(t, d).Spec.Replicas; got != n {
			return fmt.Sprintf("Deployment %s asks for %d replicas, want %d", d.GetName(), got, n)
		}

		return ""
	})
}

// conditionIs waits until a managed resource has a condition.
func conditionIs(t *testing.T, s resource.Managed, typ xpv2.ConditionType, status corev1.ConditionStatus, reason xpv2.ConditionReason) {
	t.Helper()
	eventually(t, func() string {
		if c := get(t, s).GetCondition(typ); c.Status != status || c.Reason != reason {
			return fmt.Sprintf("condition %s is %s, %s (%s), want %s, %s", typ, c.Status, c.Reason, c.Message, status, reason)
		}

		return ""
	})
}

// listFrom returns the options of a watch that begins after a version.
func listFrom(version string) *metav1.ListOptions {
	return &metav1.ListOptions{ResourceVersion: version}
}

// asController returns the references of what a managed resource controls.
func asController(s *v1alpha1.AgentScaler) []metav1.OwnerReference {
	return []metav1.OwnerReference{*metav1.NewControllerRef(s, v1alpha1.AgentScalerGroupVersionKind)}
}

// eventsOf returns how many events of a reason an object has, which events of the API may have folded into one.
func eventsOf(t *testing.T, o client.Object, reason string) int {
	t.Helper()

	l := &corev1.EventList{}
	if err := kube.List(t.Context(), l, client.InNamespace(o.GetNamespace())); err != nil {
		t.Fatal(err)
	}

	n := 0

	for _, e := range l.Items {
		if e.InvolvedObject.UID == o.GetUID() && e.Reason == reason {
			n += int(e.Count)
		}
	}

	return n
}
