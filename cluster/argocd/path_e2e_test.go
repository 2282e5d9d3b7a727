//go:build integration && e2e

package argocd_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/health"
	argosync "github.com/argoproj/argo-cd/gitops-engine/pkg/sync"
	synccommon "github.com/argoproj/argo-cd/gitops-engine/pkg/sync/common"
	"github.com/argoproj/argo-cd/v3/util/lua"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// released returns what Git says for the platform, with this installation's registry and version in version.yaml.
func released(t *testing.T) []*unstructured.Unstructured {
	t.Helper()

	var out []*unstructured.Unstructured

	named := strings.NewReplacer("registry.example.org", os.Getenv("REGISTRY"), ":v0.1.0", ":"+os.Getenv("VERSION"))

	for _, o := range platform(t) {
		y, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}

		out = append(out, documents(t, []byte(named.Replace(string(y))))...)
	}

	return out
}

// teamA returns the folder of a team, and its namespace, which CreateNamespace would make.
func teamA(t *testing.T) (namespace, pool *unstructured.Unstructured) {
	t.Helper()

	b, err := os.ReadFile("tree/teams/team-a/coders.yaml")
	if err != nil {
		t.Fatal(err)
	}

	return &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "team-a"}}}, documents(t, b)[0]
}

func (a *application) syncs(ctx context.Context, t *testing.T, what string, git []*unstructured.Unstructured, o ...argosync.SyncOpt) {
	t.Helper()

	done := a.sync(ctx, t, git, append(o, argosync.WithHealthOverride(lua.ResourceHealthOverrides(overrides(t))))...)
	if done.phase != synccommon.OperationSucceeded {
		t.Fatalf("%s: %s: %s: %v", what, done.phase, done.message, done.results)
	}
}

// until waits until something holds, or ctx ends.
func until(ctx context.Context, t *testing.T, what string, holds func() (bool, any)) {
	t.Helper()

	for {
		ok, said := holds()
		if ok {
			return
		}

		select {
		case <-ctx.Done():
			t.Fatalf("waited for %s: %v", what, said)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// From a cluster with nothing but Crossplane Argo CD's own engine brings the platform, wave by wave, and then a pool that its health
// check calls Healthy. A pool that is gone from Git is pruned, and all goes again.
func TestPathOfArgoCD(t *testing.T) {
	cfg, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil || os.Getenv("KUBECONFIG") == "" {
		t.Fatalf("KUBECONFIG must name a cluster: run `make paths`, which starts one: %v", err)
	}

	c, err := client.New(cfg, client.Options{})
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()

	git := released(t)
	start(t, cfg, c).syncs(ctx, t, "the platform", git)

	// Anew, as the kinds of the packages were not there before.
	app := start(t, cfg, c)
	namespace, pool := teamA(t)

	app.syncs(ctx, t, "a pool", append(released(t), namespace, pool))
	until(ctx, t, "a healthy pool", func() (bool, any) {
		live := pool.DeepCopy()
		if err := c.Get(ctx, client.ObjectKeyFromObject(pool), live); err != nil {
			return false, err
		}

		h := healthOf(t, overrides(t), live)

		return h.Status == health.HealthStatusHealthy, h
	})

	// Nobody else's objects go along.
	app.syncs(ctx, t, "a pool that is gone", append(released(t), namespace), argosync.WithPrune(true))
	until(ctx, t, "the pool to go", func() (bool, any) {
		err := c.Get(ctx, client.ObjectKeyFromObject(pool), pool.DeepCopy())

		return kerrors.IsNotFound(err), err
	})

	for _, o := range git {
		if !app.exists(ctx, t, o) {
			t.Errorf("%s %s was pruned with the pool", o.GetKind(), o.GetName())
		}
	}

	if err := c.Delete(ctx, namespace); err != nil {
		t.Error(err)
	}

	uninstall(ctx, t)
}

// uninstall takes away what Argo CD would take away once somebody has confirmed it, in an order that leaves nothing.
func uninstall(ctx context.Context, t *testing.T) {
	t.Helper()

	cmd := exec.CommandContext(ctx, "cluster/install/uninstall.sh")
	cmd.Dir = "../.."

	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot uninstall: %v: %s", err, out)
	}

	out, err := exec.CommandContext(ctx, "kubectl", "get", "-o", "name",
		"crd,configurations,functions,providers.pkg.crossplane.io,clusterroles,clusterrolebindings,compositions,imageconfigs,deploymentruntimeconfigs").CombinedOutput()
	if err != nil {
		t.Fatalf("cannot look for what is left: %v: %s", err, out)
	}

	for line := range bytes.Lines(out) {
		if bytes.Contains(line, []byte("southwest")) || bytes.Contains(line, []byte("aidispatcher")) {
			t.Errorf("left behind: %s", line)
		}
	}
}
