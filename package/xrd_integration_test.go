//go:build integration

// Package packages_test holds the definitions in the packages against a real API server.
package packages_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	xpextv1 "github.com/crossplane/crossplane/apis/v2/apiextensions/v1"
	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/yaml"

	"github.com/crossplane/crossplane-runtime/v2/pkg/xcrd"
)

// derived returns the AIDispatcher as Crossplane would define it.
func derived(t *testing.T, file string, derive func(*xpextv1.CompositeResourceDefinition) (*extv1.CustomResourceDefinition, error)) *extv1.CustomResourceDefinition {
	t.Helper()

	b, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		t.Fatal(err)
	}

	xrd := &xpextv1.CompositeResourceDefinition{}
	if err := yaml.Unmarshal(b, xrd); err != nil {
		t.Fatal(err)
	}

	crd, err := derive(xrd)
	if err != nil {
		t.Fatal(err)
	}
	// What Crossplane makes is owned by the definition, which is not there.
	crd.SetOwnerReferences(nil)

	return crd
}

// serve runs an API server with definitions.
func serve(t *testing.T, crds ...*extv1.CustomResourceDefinition) client.Client {
	t.Helper()

	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		t.Fatal("KUBEBUILDER_ASSETS does not name a directory with kube-apiserver and etcd: run `make integration`, which builds them")
	}

	env := &envtest.Environment{CRDInstallOptions: envtest.CRDInstallOptions{CRDs: crds}}

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

	return c
}

func object(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()

	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "southwest.ai/v1alpha1", "kind": "AIDispatcher",
		"metadata": map[string]any{"generateName": "pool-", "namespace": "default"},
	}}

	j, err := yaml.YAMLToJSON([]byte(spec))
	if err != nil {
		t.Fatal(err)
	}

	s := map[string]any{}
	if err := json.Unmarshal(j, &s); err != nil {
		t.Fatal(err)
	}

	u.Object["spec"] = s

	return u
}

// The API server refuses what contradicts itself, in words that say what to do, in both installs.
func TestAIDispatcherRules(t *testing.T) {
	installs := map[string]client.Client{
		"namespaced": serve(t, derived(t, "configuration/xrd.yaml", xcrd.ForCompositeResource)),
		"claim":      serve(t, derived(t, "configuration-claim/xrd.yaml", xcrd.ForCompositeResourceClaim)),
	}

	creates := map[string]struct{ reason, spec, want string }{
		"Quickstart":      {"What the README shows is accepted.", "{role: coder, modelRef: gpt-4, replicas: 3}", ""},
		"UnknownRole":     {"Roles are an enumeration.", "{role: tester, modelRef: gpt-4}", `Unsupported value: "tester": supported values: "coder", "reviewer", "planner"`},
		"NoModel":         {"A pool needs a model.", "{role: coder}", "name a model: set spec.modelRef to a model of the platform's catalog, or spec.modelEndpoint to the URL of one"},
		"EndpointAlone":   {"An endpoint is a model too.", "{role: coder, modelEndpoint: 'https://m.example.org/v1'}", ""},
		"EndpointNoURL":   {"An endpoint is a URL.", "{role: coder, modelEndpoint: 'm.example.org'}", "modelEndpoint must be a URL such as https://models.example.org/v1"},
		"EndpointScheme":  {"Only http and https are spoken.", "{role: coder, modelEndpoint: 'ftp://m.example.org'}", "modelEndpoint must be a URL such as https://models.example.org/v1"},
		"ReplicasZero":    {"No workers is what suspend is for.", "{role: coder, modelRef: m, replicas: 0}", "replicas must be at least 1; to run no worker for a while set suspend: true"},
		"ReplicasMany":    {"A pool is bounded.", "{role: coder, modelRef: m, replicas: 1001}", "replicas must be at most 1000; split a larger pool into several AIDispatchers"},
		"DimZero":         {"A vector has a dimension.", "{role: coder, modelRef: m, memoryConfig: {collection: c, dim: 0}}", "memoryConfig.dim must be the embedding model's dimension, 1 to 65535 (1536 for many models)"},
		"SuccessorAlone":  {"A successor takes over the aliases.", "{role: coder, modelRef: m, memoryConfig: {collection: c, dim: 3, successor: {collection: d, dim: 4}}}", "a successor takes over the aliases, and there is none: set memoryConfig.aliases, and let agents use one"},
		"SuccessorItself": {"A successor is another collection.", "{role: coder, modelRef: m, memoryConfig: {collection: c, dim: 3, aliases: [a], successor: {collection: c, dim: 4}}}", "memoryConfig.successor.collection must be another collection; once it is released, remove memoryConfig.successor"},
		"SuccessorAlias":  {"A name means one thing.", "{role: coder, modelRef: m, memoryConfig: {collection: c, dim: 3, aliases: [d], successor: {collection: d, dim: 4}}}", "an alias of memoryConfig.aliases must not be the name of the successor"},
		"AliasItself":     {"An alias is another name.", "{role: coder, modelRef: m, memoryConfig: {collection: c, dim: 3, aliases: [c]}}", "an alias of memoryConfig.aliases must not be the name of the collection itself"},
		"AliasNoName":     {"An alias is a name that all stores take.", "{role: coder, modelRef: m, memoryConfig: {collection: c, dim: 3, aliases: ['9']}}", "should match '^[A-Za-z][A-Za-z0-9_-]*$'"},
		"Successor":       {"A successor with an alias is accepted.", "{role: coder, modelRef: m, memoryConfig: {collection: c, dim: 3, aliases: [a], successor: {collection: d, dim: 4}}}", ""},
		"OnDelete":        {"Data are kept or deleted.", "{role: coder, modelRef: m, memoryConfig: {collection: c, dim: 3, onDelete: Maybe}}", `Unsupported value: "Maybe": supported values: "Keep", "Delete"`},
		"MinAboveMax":     {"Bounds leave room.", "{role: coder, modelRef: m, scaling: {minReplicas: 5, maxReplicas: 2}}", "scaling.minReplicas must not be larger than scaling.maxReplicas: lower the one or raise the other"},
		"MinAboveDefault": {"A default takes part.", "{role: coder, modelRef: m, scaling: {minReplicas: 101}}", "scaling.minReplicas must not be larger than scaling.maxReplicas: lower the one or raise the other"},
		"KEDADrain":       {"KEDA with Prometheus cannot choose a worker.", "{role: coder, modelRef: m, scaling: {engine: KEDA, keda: {scaler: Prometheus}, scaleDown: {drainTimeoutSeconds: 60}}}", "scaling.scaleDown.drainTimeoutSeconds and onDrainTimeout are for an engine that chooses the worker, which KEDA with Prometheus does not: remove them or set keda.scaler: External"},
		"KEDASchedules":   {"Nor does it know a time that lasts.", `{role: coder, modelRef: m, scaling: {engine: KEDA, keda: {scaler: Prometheus}, schedules: [{schedule: "0 8 * * *", durationSeconds: 60, minReplicas: 2}]}}`, "KEDA with Prometheus has no scaling.schedules: remove them or set keda.scaler: External"},
		"KEDANative":      {"Who says how KEDA scales means KEDA to scale.", "{role: coder, modelRef: m, scaling: {keda: {scaler: External}}}", "scaling.keda is for the KEDA engine: remove it or set engine: KEDA"},
		"KEDA":            {"KEDA that asks the provider does what the Native engine does.", "{role: coder, modelRef: m, scaling: {engine: KEDA, scaleDown: {stabilizationSeconds: 60, drainTimeoutSeconds: 60}}}", ""},
	}

	memory := "{role: coder, modelRef: m, memoryConfig: {collection: c, dim: 1536}}"
	released := "{role: coder, modelRef: m, memoryConfig: {collection: c, dim: 3, aliases: [a], successor: {collection: d, dim: 4, stage: Release}}}"
	updates := map[string]struct{ reason, from, to, want string }{
		"Collection": {"A collection is not renamed.", memory, strings.Replace(memory, "collection: c", "collection: d", 1), "memoryConfig.collection cannot change but to that of a released successor, with its dim and distance: a collection is not renamed; set memoryConfig.successor, or make a new AIDispatcher for another collection"},
		"Dim":        {"Dimensions do not mix.", memory, strings.Replace(memory, "1536", "768", 1), "memoryConfig.dim cannot change: vectors of two dimensions cannot be compared; set memoryConfig.successor, or make a new collection, and re-embed"},
		"Distance":   {"An index is built for one distance.", memory, strings.Replace(memory, "dim: 1536", "dim: 1536, distance: L2", 1), "memoryConfig.distance cannot change: the index is built for one distance; set memoryConfig.successor, or make a new collection, and re-embed"},
		"Replicas":   {"A size changes all the time.", memory, strings.Replace(memory, "modelRef", "replicas: 9, modelRef", 1), ""},
		"TakeOver":   {"A released successor becomes the collection.", released, "{role: coder, modelRef: m, memoryConfig: {collection: d, dim: 4, aliases: [a]}}", ""},
		"TakeOther":  {"With its own dimension only.", released, "{role: coder, modelRef: m, memoryConfig: {collection: d, dim: 5, aliases: [a]}}", "memoryConfig.collection cannot change but to that of a released successor"},
		"TakeBack":   {"There is no way back from a release.", released, strings.Replace(released, "Release", "Prepare", 1), "a released successor cannot be taken back"},
		"SwitchBack": {"There is one from a switch.", strings.Replace(released, "Release", "Switch", 1), strings.Replace(released, "Release", "Prepare", 1), ""},
		"AddMemory":  {"Memory can be added later.", "{role: coder, modelRef: m}", memory, ""},
	}

	for install, c := range installs {
		for name, tc := range creates {
			t.Run(install+"/create/"+name, func(t *testing.T) {
				check(t, tc.reason, tc.want, c.Create(t.Context(), object(t, tc.spec)))
			})
		}

		for name, tc := range updates {
			t.Run(install+"/update/"+name, func(t *testing.T) {
				u := object(t, tc.from)
				if err := c.Create(t.Context(), u); err != nil {
					t.Fatal(err)
				}

				u.Object["spec"] = object(t, tc.to).Object["spec"]
				check(t, tc.reason, tc.want, c.Update(t.Context(), u))
			})
		}
	}
}

func check(t *testing.T, reason, want string, err error) {
	t.Helper()

	switch {
	case want == "" && err != nil:
		t.Errorf("%s\nwant it to be accepted, got: %v", reason, err)
	case want != "" && (!kerrors.IsInvalid(err) || !strings.Contains(err.Error(), want)):
		t.Errorf("%s\nwant it to be refused with %q, got: %v", reason, want, err)
	}
}
