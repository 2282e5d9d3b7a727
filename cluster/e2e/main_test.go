//go:build e2e

// Package e2e holds what users were promised against a cluster in which AIDispatcher was installed through the package
// manager. It asserts the state of the world, and knows nothing of how it comes about.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
)

const root = "../.."

// The cluster under test.
var (
	config *rest.Config
	kube   client.Client
)

func TestMain(m *testing.M) {
	if err := connect(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot test:", err)
		os.Exit(1)
	}

	os.Exit(m.Run())
}

func connect() error {
	if os.Getenv("KUBECONFIG") == "" {
		return errors.New("KUBECONFIG is not set: run `make e2e`, which starts a cluster")
	}

	var err error
	if config, err = clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG")); err != nil {
		return err
	}

	config.QPS, config.Burst = 200, 400

	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, agentv1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return err
		}
	}

	if kube, err = client.New(config, client.Options{Scheme: scheme}); err != nil {
		return err
	}

	return applyModelServer()
}

// applyModelServer gives the agents a model to talk to: the one of the demo.
func applyModelServer() error {
	b, err := os.ReadFile(filepath.Join(root, "cluster/demo/model.yaml"))
	if err != nil {
		return err
	}

	y := strings.NewReplacer("${REGISTRY}", os.Getenv("REGISTRY"), "${VERSION}", os.Getenv("VERSION")).Replace(string(b))

	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()

	cmd := exec.CommandContext(ctx, "kubectl", "apply", "--server-side", "-f", "-")
	cmd.Stdin = strings.NewReader(y)

	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot start the model server: %w: %s", err, out)
	}

	return nil
}

// namespace makes a namespace of the test's own, which goes with it.
func namespace(t *testing.T) string {
	t.Helper()

	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "e2e-"}}
	if err := kube.Create(t.Context(), ns); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()

		if t.Failed() {
			explain(ctx, t, ns.GetName())
		}

		if err := kube.DeleteAllOf(ctx, &v1alpha1.AIDispatcher{}, client.InNamespace(ns.GetName())); err != nil {
			t.Error(err)
		}

		// What is uninstalled after the tests must not be needed any more.
		for left := (&v1alpha1.AIDispatcherList{}); ; {
			if err := kube.List(ctx, left, client.InNamespace(ns.GetName())); err != nil {
				t.Error(err)

				break
			}

			if len(left.Items) == 0 {
				break
			}

			time.Sleep(100 * time.Millisecond)
		}

		if err := kube.Delete(ctx, ns); err != nil && !kerrors.IsNotFound(err) {
			t.Error(err)
		}
	})

	return ns.GetName()
}

// explain shows what a person would look at first.
func explain(ctx context.Context, t *testing.T, ns string) {
	t.Helper()

	for _, args := range [][]string{
		{"describe", "ad"}, {"get", "composite", "-o", "yaml"}, {"get", "agentscalers,vectorcollections,deployments,pods", "-o", "wide"}, {"describe", "vectorcollections"}, {"get", "events", "--sort-by=.lastTimestamp"},
	} {
		out, _ := exec.CommandContext(ctx, "kubectl", append([]string{"-n", ns}, args...)...).CombinedOutput()
		t.Logf("kubectl -n %s %s\n%s", ns, strings.Join(args, " "), out)
	}
}

// create makes an AIDispatcher of an example's manifest, in the test's namespace.
func create(t *testing.T, ns, example string, change ...func(*v1alpha1.AIDispatcher)) *v1alpha1.AIDispatcher {
	t.Helper()

	b, err := os.ReadFile(filepath.Join(root, "examples", example, "aidispatcher.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	ad := &v1alpha1.AIDispatcher{}
	if err := yaml.UnmarshalStrict(b, ad); err != nil {
		t.Fatal(err)
	}

	ad.SetNamespace(ns)

	for _, c := range change {
		c(ad)
	}

	if err := kube.Create(t.Context(), ad); err != nil {
		t.Fatal(err)
	}

	return ad
}

// eventually waits until check no longer complains.
func eventually(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()

	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()

	var last error

	for {
		err := check(ctx)
		if err == nil {
			return
		}

		// What the deadline itself breaks off says nothing.
		if last == nil || ctx.Err() == nil {
			last = err
		}

		select {
		case <-ctx.Done():
			t.Fatalf("waited two minutes for: %s: %v", what, last)
		case <-tick.C:
		}
	}
}

// command runs a command as a user would and returns what it prints.
func command(t *testing.T, name string, args ...string) string {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()

	var stderr bytes.Buffer

	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = &stderr

	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, stderr.String())
	}

	return string(out)
}
