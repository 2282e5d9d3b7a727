//go:build integration

package removal_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	xpcontroller "github.com/crossplane/crossplane-runtime/v2/pkg/controller"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane-runtime/v2/pkg/ratelimiter"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller"
	"github.com/southwest-ai/agent-operator/internal/controller/agentscaler"
	"github.com/southwest-ai/agent-operator/internal/controller/slot"
)

// kube is a client that caches nothing, of an API server with Kubernetes' own controllers and our binder.
var kube client.Client

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	log.SetLogger(zap.New(zap.WriteTo(io.Discard)))

	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS must name a directory with kube-apiserver, etcd and kube-controller-manager: run `make tools`, which builds them, or `make test`, which sets it")

		return 1
	}

	env := &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join("..", "..", "..", "package", "provider", "crds")}, ErrorIfCRDPathMissing: true}

	dir, err := os.MkdirTemp("", "apiserver")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)

		return 1
	}
	defer os.RemoveAll(dir) // It is of no use any longer.

	program, err := restartingAPIServer(assets, dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)

		return 1
	}

	env.ControlPlane.GetAPIServer().Path = program

	cfg, err := env.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot start the API server:", err)

		return 1
	}
	defer env.Stop() // The process ends.

	cfg.QPS, cfg.Burst = -1, 0

	if kube, err = client.New(cfg, client.Options{Scheme: controller.NewScheme()}); err != nil {
		fmt.Fprintln(os.Stderr, err)

		return 1
	}

	stop, err := startControllers(env, assets)
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot start Kubernetes' controllers:", err)

		return 1
	}
	defer stop()

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	if err := startBinder(ctx, cfg); err != nil {
		fmt.Fprintln(os.Stderr, "cannot start the binder:", err)

		return 1
	}

	return m.Run()
}

// startControllers runs the real controllers of Deployments, ReplicaSets and HorizontalPodAutoscalers, which look each second, and the
// garbage collector.
func startControllers(env *envtest.Environment, assets string) (stop func(), err error) {
	u, err := env.AddUser(envtest.User{Name: "controllers", Groups: []string{"system:masters"}}, nil)
	if err != nil {
		return nil, err
	}

	b, err := u.KubeConfig()
	if err != nil {
		return nil, err
	}

	dir, err := os.MkdirTemp("", "controllers")
	if err != nil {
		return nil, err
	}

	file := filepath.Join(dir, "kubeconfig")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		return nil, err
	}

	cmd := exec.Command(filepath.Join(assets, "kube-controller-manager"), "--kubeconfig="+file, "--authentication-kubeconfig="+file, "--authorization-kubeconfig="+file,
		"--controllers=deployment-controller,replicaset-controller,garbage-collector-controller,horizontal-pod-autoscaler-controller",
		"--horizontal-pod-autoscaler-sync-period=1s", "--leader-elect=false", "--bind-address=127.0.0.1",
		"--secure-port=0", "--use-service-account-credentials=false")
	if os.Getenv("CONTROLLERS_LOG") != "" {
		cmd.Stderr = os.Stderr
	}

	if err := cmd.Start(); err != nil {
		return nil, err
	}

	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	}, nil
}

// startBinder gives slots to workers, as the provider does.
func startBinder(ctx context.Context, cfg *rest.Config) error {
	mgr, err := ctrl.NewManager(cfg, ctrl.Options{
		Scheme: controller.NewScheme(), Cache: controller.CacheOptions(time.Hour), Client: client.Options{Cache: &client.CacheOptions{DisableFor: controller.Uncached()}},
		Metrics: metricsserver.Options{BindAddress: "0"}, Controller: controller.QueueConfig(),
	})
	if err != nil {
		return err
	}

	err = mgr.GetFieldIndexer().IndexField(ctx, &v1alpha1.AgentScaler{}, agentscaler.TargetIndex, func(o client.Object) []string {
		return []string{o.(*v1alpha1.AgentScaler).Spec.ForProvider.ScaleTargetRef.Name}
	})
	if err != nil {
		return err
	}

	o := xpcontroller.Options{Logger: logging.NewNopLogger(), GlobalRateLimiter: ratelimiter.NewGlobal(1000), PollInterval: time.Hour, MaxConcurrentReconciles: 10}
	if err := slot.Setup(mgr, o, repositories, slot.NewMetrics()); err != nil {
		return err
	}

	go func() { _ = mgr.Start(ctx) }() // The process ends with it.

	if !mgr.GetCache().WaitForCacheSync(ctx) {
		return context.Canceled
	}

	return nil
}
