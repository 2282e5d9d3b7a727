package compose

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
)

var update = flag.Bool("update", false, "write what the examples render to instead of comparing it")

// An example is a claim, and the catalog that it is composed from: its folder's, or the one that is installed.
type example struct {
	dir     string
	claim   *structpb.Struct
	catalog *structpb.Struct
}

// examples returns the claims of all folders that have some.
func examples(t testing.TB) map[string]example {
	t.Helper()

	files, err := filepath.Glob(filepath.Join(root, "examples/*/aidispatcher.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no examples: %v", err)
	}

	out := make(map[string]example, len(files))

	for _, file := range files {
		dir := filepath.Dir(file)

		for _, c := range documents(t, file) {
			out[filepath.Base(dir)+"/"+text(c, "metadata", "name")] = example{dir: dir, claim: c, catalog: catalogOf(t, dir, c)}
		}
	}

	return out
}

// catalogOf returns the catalog in the Composition that a claim names.
func catalogOf(t testing.TB, dir string, claim *structpb.Struct) *structpb.Struct {
	t.Helper()

	file := filepath.Join(dir, "composition.yaml")
	if _, err := os.Stat(file); err != nil {
		return exampleCatalog(t)
	}

	named := text(claim, "spec", "crossplane", "compositionRef", "name")

	for _, c := range documents(t, file) {
		if text(c, "metadata", "name") == named {
			return catalogIn(c)
		}
	}

	t.Fatalf("%s has no Composition %q", file, named)

	return nil
}

// call returns an example's call of the function.
func (e example) call(t testing.TB, observed map[string]*structpb.Struct) *fnv1.RunFunctionRequest {
	t.Helper()

	req := request(t, e.claim, observed)
	req.Input = e.catalog

	return req
}

// ready returns an example's answer once its memory and its checkpoints are there.
func (e example) ready(t testing.TB) *fnv1.RunFunctionResponse {
	t.Helper()

	return run(t, newFunction(), e.call(t, map[string]*structpb.Struct{
		resourceVectorCollection: withReady(t, "kind: VectorCollection"),
		resourceCheckpoint:       withReady(t, "kind: Checkpoint"),
	}))
}

// Once its memory is there, every example becomes what stands beside it.
func TestExamplesRender(t *testing.T) {
	rendered := map[string][]byte{}
	all := examples(t)

	for _, name := range slices.Sorted(maps.Keys(all)) {
		e := all[name]
		rsp := e.ready(t)
		rendered[e.dir] = append(rendered[e.dir], render(t, e.claim, rsp)...)

		checkSchema(t, rsp)
	}

	for dir, got := range rendered {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			golden := filepath.Join(dir, "rendered.yaml")

			if *update {
				if err := os.WriteFile(golden, got, 0o600); err != nil {
					t.Fatal(err)
				}
			}

			want, err := os.ReadFile(filepath.Clean(golden))
			if err != nil {
				t.Fatal(err)
			}

			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s is stale; run: go test ./internal/compose -run TestExamplesRender -update\n-want, +got:\n%s", golden, diff)
			}
		})
	}
}

// render writes a response as people read manifests, and as programs do: the claim with its status, and what it becomes.
func render(t *testing.T, claim *structpb.Struct, rsp *fnv1.RunFunctionResponse) []byte {
	t.Helper()

	for _, r := range rsp.GetResults() {
		t.Fatalf("unexpected result: %s", r.GetMessage())
	}

	names := make([]string, 0, len(rsp.GetDesired().GetResources()))
	for n := range rsp.GetDesired().GetResources() {
		names = append(names, n)
	}

	slices.Sort(names)

	out := &bytes.Buffer{}
	write := func(title string, s *structpb.Struct) {
		b, err := yaml.Marshal(s.AsMap())
		if err != nil {
			t.Fatal(err)
		}

		fmt.Fprintf(out, "---\n# %s\n%s", title, b)
	}

	told := clone(claim)
	maps.Copy(told.GetFields(), rsp.GetDesired().GetComposite().GetResource().GetFields())
	write("the AIDispatcher with its status", told)

	for _, n := range names {
		write(n, rsp.GetDesired().GetResources()[n].GetResource())
	}

	return out.Bytes()
}

// checkSchema decodes what was composed into the types it must be of: a misspelt field is an error.
func checkSchema(t *testing.T, rsp *fnv1.RunFunctionResponse) {
	t.Helper()

	types := map[string]any{
		resourceDeployment:       &appsv1.Deployment{},
		resourceService:          &corev1.Service{},
		resourceServiceAccount:   &corev1.ServiceAccount{},
		resourceAgentScaler:      &agentv1alpha1.AgentScaler{},
		resourceVectorCollection: &agentv1alpha1.VectorCollection{},
		resourceCheckpoint:       &agentv1alpha1.Checkpoint{},
		resourceScaledObject:     &scaledObject{},
	}

	for name, r := range rsp.GetDesired().GetResources() {
		strictly(t, name, r.GetResource(), types[name])
	}

	xr := &v1alpha1.AIDispatcher{}
	strictly(t, "composite", rsp.GetDesired().GetComposite().GetResource(), xr)
}

func strictly(t *testing.T, name string, s *structpb.Struct, into any) {
	t.Helper()

	b, err := yaml.Marshal(s.AsMap())
	if err != nil {
		t.Fatal(err)
	}

	if err := yaml.UnmarshalStrict(b, into); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// A claim becomes to the byte what a namespaced composite of its name becomes.
func TestClaimBecomesTheSame(t *testing.T) {
	for name, e := range examples(t) {
		t.Run(name, func(t *testing.T) {
			direct := run(t, newFunction(), e.call(t, nil))
			e.claim = asLegacy(e.claim)
			claimed := run(t, newFunction(), e.call(t, nil))

			if diff := cmp.Diff(direct, claimed, protocmp.Transform()); diff != "" {
				t.Errorf("-namespaced, +claimed:\n%s", diff)
			}
		})
	}
}

// The same request twice gives the same bytes, from a fresh function and from one that has cached the catalog.
func TestSameInputSameBytes(t *testing.T) {
	for name, e := range examples(t) {
		f := newFunction()
		req := e.call(t, map[string]*structpb.Struct{resourceDeployment: parseStruct(t, deploymentYAML)})
		marshal := func(f *Function) []byte {
			b, err := proto.MarshalOptions{Deterministic: true}.Marshal(run(t, f, req))
			if err != nil {
				t.Fatal(err)
			}

			return b
		}
		first := marshal(f)

		for i, b := range [][]byte{marshal(f), marshal(newFunction())} {
			if !bytes.Equal(first, b) {
				t.Errorf("%s: call %d differs from the first", name, i+2)
			}
		}
	}
}

// The Deployment's size has one writer, and it is not the function.
func TestNeverReplicas(t *testing.T) {
	for name, e := range examples(t) {
		for when, observed := range map[string]map[string]*structpb.Struct{
			"before": nil,
			"after":  {resourceDeployment: parseStruct(t, deploymentYAML), resourceAgentScaler: parseStruct(t, scalerYAML)},
		} {
			rsp := run(t, newFunction(), e.call(t, observed))
			if d, ok := rsp.GetDesired().GetResources()[resourceDeployment]; ok && field(d.GetResource(), "spec", "replicas") != nil {
				t.Errorf("%s, %s: the function writes spec.replicas", name, when)
			}
		}
	}
}
