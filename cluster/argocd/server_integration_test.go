//go:build integration

package argocd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crossplane/crossplane-runtime/v2/pkg/xcrd"
	xpextv1 "github.com/crossplane/crossplane/apis/v2/apiextensions/v1"
	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// serve runs an API server with definitions.
func serve(t *testing.T, definitions envtest.CRDInstallOptions) (*rest.Config, client.Client) {
	t.Helper()

	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS does not name a directory with kube-apiserver and etcd: run `make argocd`, which builds them")
	}

	env := &envtest.Environment{CRDInstallOptions: definitions}

	cfg, err := env.Start()
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		if err := env.Stop(); err != nil {
			t.Error(err)
		}
	})

	c, err := client.New(cfg, client.Options{})
	if err != nil {
		t.Fatal(err)
	}

	return cfg, c
}

// pools returns the AIDispatcher as Crossplane would define it.
func pools(t *testing.T) envtest.CRDInstallOptions {
	t.Helper()

	xrd := &xpextv1.CompositeResourceDefinition{}
	strict(t, "../../package/configuration/xrd.yaml", xrd)

	crd, err := xcrd.ForCompositeResource(xrd)
	if err != nil {
		t.Fatal(err)
	}
	// What Crossplane makes is owned by the definition, which is not there.
	crd.SetOwnerReferences(nil)

	return envtest.CRDInstallOptions{CRDs: []*extv1.CustomResourceDefinition{crd}}
}

// crossplanes returns the kinds of the Crossplane that the one-machine cluster runs.
func crossplanes(t *testing.T) envtest.CRDInstallOptions {
	t.Helper()

	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", "github.com/crossplane/crossplane/v2")
	cmd.Dir = "../third_party/crossplane"

	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("cannot find Crossplane's source: %v", err)
	}

	_, dir, _ := strings.Cut(string(out), `"Dir": "`)
	dir, _, _ = strings.Cut(dir, `"`)

	return envtest.CRDInstallOptions{Paths: []string{filepath.Join(dir, "cluster", "crds")}, ErrorIfPathMissing: true}
}
