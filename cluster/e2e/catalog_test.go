//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// changeCatalog changes what the platform team says of roles and models, until the test ends. Other pools of the cluster see it, too.
func changeCatalog(t *testing.T, change func(catalog map[string]any)) {
	t.Helper()

	at := &unstructured.Unstructured{}
	at.SetAPIVersion("apiextensions.crossplane.io/v1")
	at.SetKind("Composition")
	at.SetName("aidispatcher")

	write := func(ctx context.Context, change func(map[string]any)) (before map[string]any) {
		t.Helper()

		if err := kube.Get(ctx, client.ObjectKeyFromObject(at), at); err != nil {
			t.Fatal(err)
		}

		steps, _, err := unstructured.NestedSlice(at.Object, "spec", "pipeline")
		if err != nil || len(steps) == 0 {
			t.Fatalf("the Composition has no pipeline: %v", err)
		}

		catalog, _ := steps[0].(map[string]any)["input"].(map[string]any)
		before = runtime.DeepCopyJSON(catalog)
		change(catalog)

		if err := unstructured.SetNestedSlice(at.Object, steps, "spec", "pipeline"); err != nil {
			t.Fatal(err)
		}

		if err := kube.Update(ctx, at); err != nil {
			t.Fatal(err)
		}

		return before
	}

	before := write(t.Context(), change)

	t.Cleanup(func() {
		write(context.Background(), func(catalog map[string]any) {
			clear(catalog)
			maps.Copy(catalog, before)
		})
	})
}

// named returns a role or a model of a catalog.
func named(t *testing.T, catalog map[string]any, kind, name string) map[string]any {
	t.Helper()

	all, _ := catalog[kind].([]any)
	for _, one := range all {
		if one, _ := one.(map[string]any); one["name"] == name {
			return one
		}
	}

	t.Fatalf("the catalog has no %s of %s", name, kind)

	return nil
}

// byDigest names an image of the installation by what it is and not by its version: to Kubernetes another image.
func byDigest(t *testing.T, name string) string {
	t.Helper()

	registry := os.Getenv("REGISTRY")

	req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, fmt.Sprintf("http://%s/v2/southwest-ai/%s/manifests/%s", registry, name, os.Getenv("VERSION")), nil)
	if err != nil {
		t.Fatal(err)
	}

	req.Header.Add("Accept", "application/vnd.oci.image.manifest.v1+json")
	req.Header.Add("Accept", "application/vnd.oci.image.index.v1+json")
	req.Header.Add("Accept", "application/vnd.docker.distribution.manifest.v2+json")

	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()

	digest := rsp.Header.Get("Docker-Content-Digest")
	if rsp.StatusCode != http.StatusOK || digest == "" {
		t.Fatalf("the registry does not say what %s is: %s", name, rsp.Status)
	}

	return registry + "/southwest-ai/" + name + "@" + digest
}
