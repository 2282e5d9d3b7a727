//go:build integration

package packages_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/crossplane/crossplane-runtime/v2/pkg/xcrd"
)

// All that an example holds is accepted by an API server with our definitions, of either form, and so is all of ours that it becomes.
func TestExamplesAreAccepted(t *testing.T) {
	t.Run("Namespaced", func(t *testing.T) {
		accepts(t, derived(t, "configuration/xrd.yaml", xcrd.ForCompositeResource), func(*unstructured.Unstructured) {})
	})
	t.Run("Claim", func(t *testing.T) {
		accepts(t, derived(t, "configuration-claim/xrd.yaml", xcrd.ForCompositeResourceClaim), asClaim)
	})
}

// asClaim writes an AIDispatcher as examples/README.md says that a claim is: what Crossplane adds is not below spec.crossplane but in spec.
func asClaim(o *unstructured.Unstructured) {
	spec, ok := o.Object["spec"].(map[string]any)
	if !ok || o.GetKind() != "AIDispatcher" {
		return
	}

	if own, ok := spec["crossplane"].(map[string]any); ok {
		maps.Copy(spec, own)
		delete(spec, "crossplane")
	}
}

func accepts(t *testing.T, crd *extv1.CustomResourceDefinition, write func(*unstructured.Unstructured)) {
	t.Helper()

	c := serve(t, append(providerCRDs(t), crd)...)

	for _, ns := range []string{"team-a", "crossplane-system"} {
		if err := c.Create(t.Context(), &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": ns},
		}}); err != nil {
			t.Fatal(err)
		}
	}

	files, err := filepath.Glob("../examples/*/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no examples: %v", err)
	}

	configured := 0

	for _, file := range files {
		for _, o := range documents(t, file) {
			if o.GroupVersionKind().Group == "agent.southwest.ai" && filepath.Base(file) == "providerconfig.yaml" {
				configured++
			}

			// What is other projects' kinds. The catalog in a Composition is held by the function's own tests, a ScaledObject to KEDA's own
			// definition beside them, and the rest to their definitions with the pages, in cluster/docs.
			if slices.Contains([]string{"apiextensions.crossplane.io", "ops.crossplane.io", "external-secrets.io", "keda.sh"}, o.GroupVersionKind().Group) {
				continue
			}

			write(o)
			t.Run(filepath.Base(filepath.Dir(file))+"/"+filepath.Base(file)+"/"+o.GetKind(), func(t *testing.T) {
				err := c.Create(t.Context(), o, client.DryRunAll, client.FieldValidation("Strict"))
				if err != nil && !kerrors.IsAlreadyExists(err) {
					t.Error(err)
				}
			})
		}
	}

	// One for each store.
	if configured < 5 {
		t.Errorf("only %d provider configurations were seen", configured)
	}
}

func providerCRDs(t *testing.T) []*extv1.CustomResourceDefinition {
	t.Helper()

	files, err := filepath.Glob("provider/crds/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no definitions: %v", err)
	}

	out := make([]*extv1.CustomResourceDefinition, 0, len(files))

	for _, f := range files {
		b, err := os.ReadFile(filepath.Clean(f))
		if err != nil {
			t.Fatal(err)
		}

		crd := &extv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(b, crd); err != nil {
			t.Fatal(err)
		}

		out = append(out, crd)
	}

	return out
}

// documents returns the objects of a file.
func documents(t *testing.T, file string) []*unstructured.Unstructured {
	t.Helper()

	b, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		t.Fatal(err)
	}

	var out []*unstructured.Unstructured

	for d := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(b), 4096); ; {
		o := &unstructured.Unstructured{}

		err := d.Decode(&o.Object)
		if errors.Is(err, io.EOF) {
			return out
		}

		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}

		out = append(out, o)
	}
}
