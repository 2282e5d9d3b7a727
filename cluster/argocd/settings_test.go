// Package argocd_test holds what AIDispatcher says to Argo CD against Argo CD's own code: how it reads its settings, runs
// their Lua, compares and tracks. It must not know how AIDispatcher works, only what it shows.
package argocd_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/settings"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// configMap returns the argocd-cm of a platform that takes in our settings.
func configMap(t *testing.T) *corev1.ConfigMap {
	t.Helper()

	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "testdata/argocd")
	if err != nil {
		t.Fatal(err)
	}

	y, err := built.AsYaml()
	if err != nil {
		t.Fatal(err)
	}

	cm := &corev1.ConfigMap{}
	if err := yaml.UnmarshalStrict(y, cm); err != nil {
		t.Fatal(err)
	}

	return cm
}

// settingsOf returns Argo CD's reading of a ConfigMap.
func settingsOf(t *testing.T, cm *corev1.ConfigMap) *settings.SettingsManager {
	t.Helper()

	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)

	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "argocd-secret", Namespace: cm.Namespace, Labels: cm.Labels}}

	return settings.NewSettingsManager(ctx, fake.NewClientset(cm, secret), cm.Namespace)
}

// overrides returns what Argo CD does with our settings.
func overrides(t *testing.T) map[string]v1alpha1.ResourceOverride {
	t.Helper()

	o, err := settingsOf(t, configMap(t)).GetResourceOverrides()
	if err != nil {
		t.Fatal(err)
	}

	return o
}

// All that a platform had in its argocd-cm is there still, and Argo CD tracks by annotation.
func TestSettingsAreAdded(t *testing.T) {
	was := &corev1.ConfigMap{}

	b, err := os.ReadFile("testdata/argocd/argocd-cm.yaml")
	if err != nil {
		t.Fatal(err)
	}

	if err := yaml.UnmarshalStrict(b, was); err != nil {
		t.Fatal(err)
	}

	cm := configMap(t)
	kept := map[string]string{}

	for k := range was.Data {
		kept[k] = cm.Data[k]
	}

	if diff := cmp.Diff(was.Data, kept); diff != "" {
		t.Errorf("the platform's own settings changed: -was, +is:\n%s", diff)
	}

	method, err := settingsOf(t, cm).GetTrackingMethod()
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(string(v1alpha1.TrackingMethodAnnotation), method); diff != "" {
		t.Errorf("tracking: -want, +got:\n%s", diff)
	}
}

// Every kind that AIDispatcher brings has a health of its own: a new kind without one fails here.
func TestEveryKindHasHealth(t *testing.T) {
	want := map[string]bool{}

	files, err := filepath.Glob("../../package/provider/crds/*.yaml")
	if err != nil {
		t.Fatal(err)
	}

	files = append(files, "../../package/configuration/xrd.yaml", "../../package/configuration-claim/xrd.yaml")

	for _, f := range files {
		var d struct {
			Spec struct {
				Group      string
				Names      struct{ Kind string }
				ClaimNames struct{ Kind string } `json:"claimNames"`
			}
		}

		b, err := os.ReadFile(filepath.Clean(f))
		if err != nil {
			t.Fatal(err)
		}

		if err := yaml.Unmarshal(b, &d); err != nil {
			t.Fatal(err)
		}

		for _, kind := range []string{d.Spec.Names.Kind, d.Spec.ClaimNames.Kind} {
			if kind != "" {
				want[d.Spec.Group+"/"+kind] = true
			}
		}
	}

	got := map[string]bool{}

	for key, o := range overrides(t) {
		if want[key] && o.HealthLua != "" {
			got[key] = true
		}
	}

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("kinds with a health: -want, +got:\n%s", diff)
	}

	if len(want) < 8 {
		t.Errorf("only %d kinds were found", len(want))
	}
}

// What exclusions.yaml says can follow what Argo CD's own installation excludes, and excludes what it says.
func TestExclusions(t *testing.T) {
	ours, err := os.ReadFile("settings/exclusions.yaml")
	if err != nil {
		t.Fatal(err)
	}

	cm := configMap(t)
	cm.Data["resource.exclusions"] = "- apiGroups: [cilium.io]\n  kinds: [CiliumIdentity]\n" + string(ours)

	filter, err := settingsOf(t, cm).GetResourcesFilter()
	if err != nil {
		t.Fatal(err)
	}

	got := map[string]bool{}
	for _, kind := range []string{"ProviderConfigUsage", "ProviderConfig", "Checkpoint", "VectorCollection", "AgentScaler"} {
		got[kind] = filter.IsExcludedResource("agent.southwest.ai", kind, "https://kubernetes.default.svc")
	}

	got["CiliumIdentity"] = filter.IsExcludedResource("cilium.io", "CiliumIdentity", "https://kubernetes.default.svc")
	got["AIDispatcher"] = filter.IsExcludedResource("southwest.ai", "AIDispatcher", "https://kubernetes.default.svc")

	want := map[string]bool{
		"ProviderConfigUsage": true, "ProviderConfig": false, "Checkpoint": false, "VectorCollection": false, "AgentScaler": false,
		"CiliumIdentity": true, "AIDispatcher": false,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("excluded: -want, +got:\n%s", diff)
	}
}
