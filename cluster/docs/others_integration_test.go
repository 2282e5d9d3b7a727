//go:build integration

package docs

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// definers are whose definitions manifests of others' kinds are held to. They are read from the source of a released version, and no
// code of it is built or linked. The sum is what the source must be, as go.sum would say it.
var definers = []struct{ module, sum, files string }{
	{"github.com/crossplane/crossplane/v2@v2.4.0", "", "cluster/crds"},
	{
		"github.com/external-secrets/external-secrets@v1.3.2", "h1:u2J8RjlHIeF0oZCqtl92adI/uZWUwOesJIDkfql6LqQ=",
		"config/crds/bases/external-secrets.io_externalsecrets.yaml",
	},
	{
		"github.com/fluxcd/kustomize-controller@v1.7.3", "h1:SzNnGn/4ObAPEHHleM5U7y/AKxKXph3Vj6ZhteeXw8M=",
		"config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml",
	},
	{"github.com/fluxcd/source-controller@v1.7.3", "h1:gFfeBiNUgF0kFFGap/rrMeJqz+0Tod0ARENJO8w/UA8=", "config/crd/bases"},
}

// definitionsOfOthers returns where the definitions of others are.
func definitionsOfOthers(t *testing.T) []string {
	t.Helper()

	var out []string

	for _, d := range definers {
		cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", d.module)
		// Outside of our own module, whose go.mod is not for this.
		cmd.Dir = t.TempDir()

		var said struct{ Dir, Sum, Error string }

		b, err := cmd.Output()
		if json.Unmarshal(b, &said) != nil || err != nil || said.Dir == "" {
			t.Fatalf("cannot read the source of %s: %v: %s", d.module, err, said.Error)
		}

		if d.sum != "" && said.Sum != d.sum {
			t.Fatalf("the source of %s is another one: %s, want %s", d.module, said.Sum, d.sum)
		}

		out = append(out, filepath.Join(said.Dir, d.files))
	}

	return out
}

// accept has the API server judge an object with all rules, in a namespace that is there.
func (s *server) accept(t *testing.T, o *unstructured.Unstructured) error {
	t.Helper()

	namespaced, err := s.client.IsObjectNamespaced(o)
	if err != nil {
		return err
	}

	if o.GetNamespace() == "" && namespaced {
		o.SetNamespace("team-a")
	}

	if namespaced {
		ns := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": o.GetNamespace()}}}
		if err := s.client.Create(t.Context(), ns); err != nil && !kerrors.IsAlreadyExists(err) {
			return err
		}
	}

	if err := s.client.Create(t.Context(), o, client.DryRunAll, client.FieldValidation("Strict")); err != nil && !kerrors.IsAlreadyExists(err) {
		return err
	}

	return nil
}

// Examples of others' kinds are what those others define.
func (s *server) testOthersExamples(t *testing.T) {
	s.seed(t)

	files, err := filepath.Glob(filepath.Join(root, "examples", "*", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	seen := map[string]int{}

	for _, f := range files {
		b, err := os.ReadFile(filepath.Clean(f))
		if err != nil {
			t.Fatal(err)
		}

		for _, d := range strings.Split("\n"+string(b), "\n---\n") {
			o := &unstructured.Unstructured{}
			if err := yaml.UnmarshalStrict([]byte(d), &o.Object); err != nil {
				t.Fatalf("%s: %v", f, err)
			}

			// Ours are tried beside the packages, and a ScaledObject by the function's tests.
			if group := o.GroupVersionKind().Group; group != "external-secrets.io" && !strings.HasSuffix(group, ".crossplane.io") {
				continue
			}

			seen[o.GroupVersionKind().Group]++

			if err := s.accept(t, o); err != nil {
				t.Errorf("%s: %s: %v", f, o.GetKind(), err)
			}
		}
	}

	if seen["external-secrets.io"] == 0 || seen["ops.crossplane.io"] == 0 || seen["apiextensions.crossplane.io"] == 0 {
		t.Errorf("too few were seen: %v", seen)
	}
}

// The Kustomization of the change log makes a DeploymentRuntimeConfig that Crossplane takes, of what is installed.
func (s *server) testChangeLog(t *testing.T) {
	_, text, _ := strings.Cut(chapter(t, pages(t)["docs/operations.md"], "Change log"), "```yaml\n")
	text, _, _ = strings.Cut(text, "```")

	installed, err := os.ReadFile(filepath.Join(root, "cluster", "install", "base", "runtimeconfig.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	dir := t.TempDir()
	for name, b := range map[string][]byte{"kustomization.yaml": []byte(text), "install.yaml": installed} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	b, err := exec.CommandContext(t.Context(), s.kubectl, "kustomize", dir).Output()
	if err != nil {
		t.Fatalf("cannot kustomize: %v", err)
	}

	o := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict(b, &o.Object); err != nil {
		t.Fatal(err)
	}

	if err := s.accept(t, o); err != nil {
		t.Errorf("Crossplane does not take it: %v\n%s", err, b)
	}

	type container struct {
		Name, Image  string
		Args         []string
		VolumeMounts []struct{ Name, MountPath string }
	}

	var config struct {
		Spec struct {
			DeploymentTemplate struct {
				Spec struct {
					Template struct {
						Spec struct {
							Containers []container
							Volumes    []struct{ Name string }
						}
					}
				}
			}
		}
	}

	if err := yaml.Unmarshal(b, &config); err != nil {
		t.Fatal(err)
	}

	// Both have the directory of the socket that the provider's flag has by default, and it keeps the arguments that it had.
	pod := config.Spec.DeploymentTemplate.Spec.Template.Spec
	if len(pod.Containers) != 2 || len(pod.Volumes) != 1 || len(pod.Containers[0].Args) < 3 || pod.Containers[0].Args[len(pod.Containers[0].Args)-1] != "--enable-changelogs" {
		t.Fatalf("the provider and its sidecar are not as they should be:\n%s", b)
	}

	for _, c := range pod.Containers {
		if len(c.VolumeMounts) != 1 || c.VolumeMounts[0].Name != pod.Volumes[0].Name || c.VolumeMounts[0].MountPath != "/var/run/changelogs" {
			t.Errorf("container %s does not mount the socket's volume:\n%s", c.Name, b)
		}
	}
}

// defined says whether the API server has a kind of others.
func (s *server) defined(gvk schema.GroupVersionKind) bool {
	_, err := s.client.RESTMapper().RESTMapping(gvk.GroupKind(), gvk.Version)

	return err == nil
}
