//go:build integration

package compose

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// What is composed is what KEDA's own definition says a ScaledObject is, to the last field, and is kept as it was written.
func TestScaledObjectIsKEDAs(t *testing.T) {
	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS does not name a directory with kube-apiserver and etcd: run `make integration`, which builds them")
	}

	cmd := exec.CommandContext(t.Context(), "sh", "-c", "go mod download github.com/kedacore/keda/v2 && go list -m -f '{{.Dir}}' github.com/kedacore/keda/v2")
	cmd.Dir = filepath.Join(root, "cluster/third_party/keda")

	dir, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}

	env := &envtest.Environment{CRDDirectoryPaths: []string{filepath.Join(strings.TrimSpace(string(dir)), "config/crd/bases/keda.sh_scaledobjects.yaml")}, ErrorIfCRDPathMissing: true}

	cfg, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})

	kube, err := client.New(cfg, client.Options{})
	if err != nil {
		t.Fatal(err)
	}

	if err := kube.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team-a"}}); err != nil {
		t.Fatal(err)
	}

	for _, scaling := range []string{
		"{engine: KEDA}",
		"{engine: KEDA}\n  suspend: true",
		"{engine: KEDA, keda: {scaler: Prometheus}, scaleUp: {maxStep: 2}, fallback: {afterSeconds: 100, replicas: 0}}",
	} {
		composed := run(t, newFunction(), kedaRequest(t, scaling, nil)).GetDesired().GetResources()[resourceScaledObject].GetResource().AsMap()
		so := &unstructured.Unstructured{Object: composed}

		// An unknown field would be dropped without a word.
		strict := client.WithFieldValidation(kube, metav1.FieldValidationStrict)
		if err := strict.Create(t.Context(), so.DeepCopy()); err != nil {
			t.Errorf("%s: KEDA's definition refuses what is composed: %v", scaling, err)

			continue
		}

		if err := kube.Delete(t.Context(), so); err != nil {
			t.Fatal(err)
		}
	}
}
