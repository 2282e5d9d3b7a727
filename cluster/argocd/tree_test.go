package argocd_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync/resource"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/sync/syncwaves"
	appsets "github.com/argoproj/argo-cd/v3/applicationset/utils"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// strict reads a file as what it says it is, and nothing it does not know.
func strict(t *testing.T, file string, into any) {
	t.Helper()

	b, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		t.Fatal(err)
	}

	if err := yaml.UnmarshalStrict(b, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// upstream is what is in this repository, as the tree names it from another.
const upstream = "https://github.com/southwest-ai/agent-operator//"

// copied returns the folder of the platform in a repository of its own, as docs/gitops.md has it copied, with what it takes from
// this repository taken from here.
func copied(t *testing.T) string {
	t.Helper()

	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("tree/platform")); err != nil {
		t.Fatal(err)
	}

	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}

	// Kustomize takes folders by a relative path only.
	if root, err = filepath.Rel(dir, root); err != nil {
		t.Fatal(err)
	}

	file := filepath.Join(dir, "kustomization.yaml")

	b, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		t.Fatal(err)
	}

	b = regexp.MustCompile(regexp.QuoteMeta(upstream)+`(\S+)\?ref=\S+`).ReplaceAll(b, []byte(root+"/$1"))
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}

	return dir
}

// platform returns what Argo CD would apply for the platform.
func platform(t *testing.T) []*unstructured.Unstructured {
	t.Helper()

	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), copied(t))
	if err != nil {
		t.Fatal(err)
	}

	y, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}

	return documents(t, y)
}

func documents(t *testing.T, y []byte) []*unstructured.Unstructured {
	t.Helper()

	var out []*unstructured.Unstructured

	for d := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(y), 4096); ; {
		o := &unstructured.Unstructured{}

		err := d.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return out
		}

		if err != nil {
			t.Fatal(err)
		}

		out = append(out, o)
	}
}

// What the platform installs comes in the order in which it is needed, and what every pool hangs on does not go by accident.
func TestPlatform(t *testing.T) {
	type placed struct {
		Wave      int
		Confirmed bool
	}

	got := map[string]placed{}

	for _, o := range platform(t) {
		y, err := yaml.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}

		if bytes.Contains(y, []byte("${")) {
			t.Errorf("%s %s was not told the registry or the version:\n%s", o.GetKind(), o.GetName(), y)
		}

		const option = "argocd.argoproj.io/sync-options"

		got[o.GetKind()+" "+o.GetName()] = placed{
			Wave:      syncwaves.Wave(o),
			Confirmed: resource.HasAnnotationOption(o, option, "Prune=confirm") && resource.HasAnnotationOption(o, option, "Delete=confirm"),
		}
	}

	want := map[string]placed{
		"ClusterRole aidispatcher-provider":                     {},
		"ClusterRole aidispatcher-view":                         {},
		"ClusterRoleBinding aidispatcher-provider-readers":      {},
		"Service aidispatcher-page":                             {},
		"ClusterRole aidispatcher-podmonitors":                  {},
		"ClusterRole aidispatcher-keda":                         {},
		"Service aidispatcher-scaler":                           {},
		"ClusterRoleBinding aidispatcher-provider":              {},
		"DeploymentRuntimeConfig aidispatcher-provider":         {},
		"ImageConfig aidispatcher-provider":                     {},
		"Function southwest-ai-function-aidispatcher":           {Wave: 1, Confirmed: true},
		"Provider southwest-ai-provider-aidispatcher":           {Wave: 1, Confirmed: true},
		"Configuration southwest-ai-configuration-aidispatcher": {Wave: 1, Confirmed: true},
		"Composition aidispatcher":                              {Wave: 2, Confirmed: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

// One version is told in version.yaml, and reaches every package and every image that follows it; what comes from this repository is of the same.
func TestPlatformVersion(t *testing.T) {
	got := map[string]string{}

	for _, o := range platform(t) {
		switch o.GetKind() {
		case "Function", "Provider", "Configuration":
			got[o.GetKind()], _, _ = unstructured.NestedString(o.Object, "spec", "package")
		case "Composition":
			steps, _, err := unstructured.NestedSlice(o.Object, "spec", "pipeline")
			if err != nil || len(steps) != 1 {
				t.Fatalf("want one step, got %v: %v", steps, err)
			}

			step, ok := steps[0].(map[string]any)
			if !ok {
				t.Fatalf("a step is no object: %v", steps[0])
			}

			got["monitor"], _, _ = unstructured.NestedString(step, "input", "monitor", "image")
			got["functionRef"], _, _ = unstructured.NestedString(step, "functionRef", "name")
			roles, _, _ := unstructured.NestedSlice(step, "input", "roles")

			for _, r := range roles {
				if m, ok := r.(map[string]any); ok {
					got["role"], _, _ = unstructured.NestedString(m, "image")
				}
			}
		case "ImageConfig":
			prefixes, _, err := unstructured.NestedSlice(o.Object, "spec", "matchImages")
			if err != nil || len(prefixes) != 1 {
				t.Fatalf("want one prefix, got %v: %v", prefixes, err)
			}

			if m, ok := prefixes[0].(map[string]any); ok {
				got["prefix"], _, _ = unstructured.NestedString(m, "prefix")
			}
		}
	}

	const at = "registry.example.org/southwest-ai/"

	want := map[string]string{
		"Function": at + "function-aidispatcher:v0.1.0", "Provider": at + "provider-aidispatcher:v0.1.0",
		"Configuration": at + "configuration-aidispatcher:v0.1.0", "monitor": at + "monitor-agent:v2",
		"role": at + "reference-agent:v0.1.0", "prefix": at + "provider-aidispatcher", "functionRef": "southwest-ai-function-aidispatcher",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}

	// What packages cannot carry is of the same version.
	var version corev1.ConfigMap

	strict(t, "tree/platform/version.yaml", &version)

	b, err := os.ReadFile("tree/platform/kustomization.yaml")
	if err != nil {
		t.Fatal(err)
	}

	if base := "- " + upstream + "cluster/install/namespaced?ref=" + version.Data["version"] + "\n"; !bytes.Contains(b, []byte(base)) {
		t.Errorf("kustomization.yaml does not say %s:\n%s", base, b)
	}
}

// The applications are what Argo CD takes, lead to folders that are there, and the pools come after the platform.
func TestApplications(t *testing.T) {
	root, plat, pools := &v1alpha1.Application{}, &v1alpha1.Application{}, &v1alpha1.ApplicationSet{}
	strict(t, "tree/root.yaml", root)
	strict(t, "tree/apps/platform.yaml", plat)
	strict(t, "tree/apps/pools.yaml", pools)

	for _, p := range []string{root.Spec.Source.Path, plat.Spec.Source.Path, path.Dir(pools.Spec.Generators[0].Git.Directories[0].Path)} {
		// The tree is the folder aidispatcher of a repository.
		dir, ok := strings.CutPrefix(p, "aidispatcher/")
		if s, err := os.Stat(filepath.Join("tree", dir)); err != nil || !s.IsDir() || !ok {
			t.Errorf("there is no folder %s: %v", p, err)
		}
	}

	wave := map[string]int{}

	files, err := filepath.Glob("tree/apps/*.yaml")
	if err != nil {
		t.Fatal(err)
	}

	for _, f := range files {
		o := read(t, f)
		wave[o.GetKind()] = syncwaves.Wave(o)
	}

	if diff := cmp.Diff(map[string]int{"Application": 0, "AppProject": 0, "ApplicationSet": 1}, wave); diff != "" {
		t.Errorf("waves: -want, +got:\n%s", diff)
	}
}

// Each team's folder becomes an Application that its project lets have what is in the folder, and nothing that a team
// should not have.
func TestTeams(t *testing.T) {
	set, project := &v1alpha1.ApplicationSet{}, &v1alpha1.AppProject{}
	strict(t, "tree/apps/pools.yaml", set)
	strict(t, "tree/apps/project.yaml", project)

	dirs, err := filepath.Glob("tree/teams/*")
	if err != nil || len(dirs) == 0 {
		t.Fatalf("there is no team: %v", err)
	}

	for _, dir := range dirs {
		team := filepath.Base(dir)
		params := map[string]any{"path": map[string]any{"path": path.Join("aidispatcher/teams", team), "basename": team}}
		template := &v1alpha1.Application{Spec: set.Spec.Template.Spec}
		template.Name = set.Spec.Template.Name

		app, err := (&appsets.Render{}).RenderTemplateParams(template, set.Spec.SyncPolicy, params, set.Spec.GoTemplate, set.Spec.GoTemplateOptions)
		if err != nil {
			t.Fatal(err)
		}

		got := []string{app.Name, app.Spec.Project, app.Spec.Source.Path, app.Spec.Destination.Namespace}
		if diff := cmp.Diff([]string{"pools-" + team, project.Name, "aidispatcher/teams/" + team, team}, got); diff != "" {
			t.Errorf("%s: -want, +got:\n%s", team, diff)
		}

		if !project.IsSourcePermitted(*app.Spec.Source) {
			t.Errorf("the project does not let %s have its source", team)
		}

		cluster := &v1alpha1.Cluster{Server: app.Spec.Destination.Server}

		ok, err := project.IsDestinationPermitted(cluster, app.Spec.Destination.Namespace, func(string) ([]*v1alpha1.Cluster, error) { return nil, nil })
		if err != nil || !ok {
			t.Errorf("the project does not let %s into its namespace: %v", team, err)
		}

		for _, o := range folder(t, dir) {
			if !project.IsGroupKindNamePermitted(o.GroupVersionKind().GroupKind(), o.GetName(), true) {
				t.Errorf("the project does not let %s have %s %s", team, o.GetKind(), o.GetName())
			}

			if o.GetNamespace() != team {
				t.Errorf("%s %s of %s is for namespace %q", o.GetKind(), o.GetName(), team, o.GetNamespace())
			}
		}
	}

	for _, gk := range []string{"Deployment.apps", "Pod", "AgentScaler.agent.southwest.ai", "Checkpoint.agent.southwest.ai", "RoleBinding.rbac.authorization.k8s.io"} {
		if project.IsGroupKindNamePermitted(schema.ParseGroupKind(gk), "any", true) {
			t.Errorf("a team may bring a %s", gk)
		}
	}

	for _, gk := range []string{"ClusterProviderConfig.agent.southwest.ai", "Composition.apiextensions.crossplane.io", "ClusterRole.rbac.authorization.k8s.io"} {
		if project.IsGroupKindNamePermitted(schema.ParseGroupKind(gk), "any", false) {
			t.Errorf("a team may bring a %s", gk)
		}
	}
}

func folder(t *testing.T, dir string) []*unstructured.Unstructured {
	t.Helper()

	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there is nothing in %s: %v", dir, err)
	}

	var out []*unstructured.Unstructured

	for _, f := range files {
		b, err := os.ReadFile(filepath.Clean(f))
		if err != nil {
			t.Fatal(err)
		}

		if !strings.HasSuffix(f, "kustomization.yaml") {
			out = append(out, documents(t, b)...)
		}
	}

	return out
}
