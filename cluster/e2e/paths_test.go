//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"

	"github.com/southwest-ai/agent-operator/cluster/docs"
)

// packages are those of an installation, as Crossplane names them.
func packages() []string {
	return []string{
		"function.pkg.crossplane.io/southwest-ai-function-aidispatcher",
		"provider.pkg.crossplane.io/southwest-ai-provider-aidispatcher",
		"configuration.pkg.crossplane.io/southwest-ai-" + configuration(),
	}
}

// claims says that pools are claims, of cluster-scoped composite resources.
func claims() bool { return os.Getenv("FLAVOR") == "claim" }

// configuration is the package that is asked for.
func configuration() string {
	if claims() {
		return "configuration-aidispatcher-claim"
	}

	return "configuration-aidispatcher"
}

// From a cluster with nothing but Crossplane, by the commands of docs/operations.md, to a pool that serves, through an upgrade and
// Operations, and back to a cluster with nothing but Crossplane: what is there in the end is what was there before.
func TestPathOfPackages(t *testing.T) {
	before, err := everything(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	if slices.ContainsFunc(before, func(o string) bool { return strings.Contains(o, "southwest") }) {
		t.Fatalf("the cluster is not empty: uninstall AIDispatcher first")
	}

	command(t, "kubectl", "apply", "-f", root+"/_output/install.yaml")
	command(t, "crossplane", "xpkg", "install", "configuration", image(configuration(), os.Getenv("VERSION")))

	// Only the Configuration was asked for.
	for _, p := range packages() {
		eventually(t, p+" is there", func(context.Context) error { return try("kubectl", "get", p) })
		command(t, "kubectl", "wait", p, "--for=condition=Healthy", "--timeout=110s")
	}

	// Of what a registry has besides, a later minor version above all, nothing comes along.
	for _, p := range packages() {
		if got := command(t, "kubectl", "get", p, "-o", "jsonpath={.spec.package}"); !strings.HasSuffix(got, ":"+os.Getenv("VERSION")) {
			t.Errorf("%s is %s, and was installed as %s", p, got, os.Getenv("VERSION"))
		}
	}

	// This cluster activates no kind by default: the Configuration's policy does.
	for _, kind := range []string{"agentscalers", "checkpoints", "vectorcollections"} {
		mrd := "managedresourcedefinition.apiextensions.crossplane.io/" + kind + ".agent.southwest.ai"
		command(t, "kubectl", "wait", mrd, "--for=condition=Established", "--timeout=60s")

		if state := command(t, "kubectl", "get", mrd, "-o", "jsonpath={.spec.state}"); state != "Active" {
			t.Errorf("%s is %q", mrd, state)
		}
	}

	if policies := command(t, "kubectl", "get", "managedresourceactivationpolicies", "-o", "name"); strings.TrimSpace(policies) != "managedresourceactivationpolicy.apiextensions.crossplane.io/aidispatcher" {
		t.Errorf("kinds are activated by:\n%s", policies)
	}

	command(t, "kubectl", "wait", "crd/aidispatchers.southwest.ai", "--for=condition=Established", "--timeout=60s")

	t.Run("Pool", pathOfAPool)

	if claims() {
		// As where an earlier attempt ended midway: the kind of pools is gone, and the provider is there.
		command(t, "kubectl", "delete", packages()[2])
		command(t, "kubectl", "wait", "--for=delete", "crd/aidispatchers.southwest.ai", "--timeout=60s")
		installScript(t, "uninstall.sh", os.Getenv("VERSION"))
	} else {
		uninstallByHand(t)
	}

	eventually(t, "all that came is gone", func(ctx context.Context) error {
		now, err := everything(ctx)
		if err != nil {
			return err // Such as a kind that is just going away.
		}

		left := slices.DeleteFunc(slices.Clone(now), func(o string) bool { return slices.Contains(before, o) })
		lost := slices.DeleteFunc(slices.Clone(before), func(o string) bool { return slices.Contains(now, o) })

		if len(left) > 0 || len(lost) > 0 {
			return fmt.Errorf("left behind: %q; gone besides: %q", left, lost)
		}

		return nil
	})

	// Nothing is left to remove, which is no failure.
	installScript(t, "uninstall.sh", os.Getenv("VERSION"))
}

var releaseFile = regexp.MustCompile(`https://\S+/install-namespaced\.yaml`)

// uninstallByHand types what docs/install.md has, with the file that was applied here.
func uninstallByHand(t *testing.T) {
	t.Helper()

	page, err := docs.Read(root, "docs/install.md")
	if err != nil {
		t.Fatal(err)
	}

	typed := 0

	for _, b := range page.Blocks {
		if b.Section != "Uninstall by hand" {
			continue
		}

		for _, s := range b.Steps() {
			bash(t, releaseFile.ReplaceAllString(s.Text, "_output/install.yaml"))

			typed++
		}
	}

	if typed == 0 {
		t.Fatal("the page does not say how to uninstall by hand")
	}
}

func image(name, version string) string {
	return os.Getenv("REGISTRY") + "/southwest-ai/" + name + ":" + version
}

// try runs a command and says how it failed.
func try(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()

	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = root

	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}

	return nil
}

// installScript runs one of the scripts that install and uninstall.
func installScript(t *testing.T, name, version string) {
	t.Helper()

	if err := try("env", "VERSION="+version, "CATALOG=keep", "cluster/install/"+name); err != nil {
		t.Fatal(err)
	}
}

// What comes and goes by itself, whoever is installed.
var fleeting = []string{"events", "endpoints", "endpointslices", "componentstatuses", "pods", "replicasets", "locks"}

// everything names all objects of the cluster, of all kinds but the fleeting ones. What it cannot see it does not pass over.
func everything(ctx context.Context) ([]string, error) {
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}

	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}

	lists, err := disco.ServerPreferredResources()
	if err != nil {
		return nil, err
	}

	var out []string

	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			return nil, err
		}

		for _, r := range l.APIResources {
			if !slices.Contains(r.Verbs, "list") || slices.Contains(fleeting, r.Name) {
				continue
			}

			all, err := dyn.Resource(gv.WithResource(r.Name)).List(ctx, metav1.ListOptions{})
			if kerrors.IsNotFound(err) || kerrors.IsMethodNotSupported(err) {
				continue // A kind that is gone since, or that cannot be listed after all.
			}

			if err != nil {
				return nil, fmt.Errorf("cannot list %s: %w", r.Name, err)
			}

			for _, o := range all.Items {
				out = append(out, strings.TrimSuffix(r.Name+"."+gv.Group, ".")+" "+o.GetNamespace()+"/"+o.GetName())
			}
		}
	}

	slices.Sort(out)

	return out, nil
}
