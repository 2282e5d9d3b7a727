package compose

import (
	"bytes"
	"flag"
	"fmt"
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
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
)

var update = flag.Bool("update", false, "write what the examples render to instead of comparing it")

func examples(t testing.TB) []string {
	t.Helper()

	files, err := filepath.Glob(filepath.Join(root, "examples/*/aidispatcher.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no examples: %v", err)
	}

	return files
}

// Once its memory is there, every example becomes what stands beside it.
func TestExamplesRender(t *testing.T) {
	for _, file := range examples(t) {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			xr := readStruct(t, file)
			rsp := run(t, newFunction(), request(t, xr, map[string]*structpb.Struct{
				resourceVectorCollection: withReady(t, "kind: VectorCollection"),
				resourceCheckpoint:       withReady(t, "kind: Checkpoint"),
			}))
			got := render(t, rsp)
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

			checkSchema(t, rsp)
		})
	}
}

// render writes a response as people read manifests.
func render(t *testing.T, rsp *fnv1.RunFunctionResponse) []byte {
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

	write("status of the AIDispatcher", rsp.GetDesired().GetComposite().GetResource())

	for _, n := range names {
		write(n, rsp.GetDesired().GetResources()[n].GetResource())
	}

	return out.Bytes()
}

// checkSchema decodes what was composed into the types it must be of: a misspelt field is an error.
func checkSchema(t *testing.T, rsp *fnv1.RunFunctionResponse) {
	t.Helper()

	types := map[string]runtime.Object{
		resourceDeployment:       &appsv1.Deployment{},
		resourceService:          &corev1.Service{},
		resourceServiceAccount:   &corev1.ServiceAccount{},
		resourceAgentScaler:      &agentv1alpha1.AgentScaler{},
		resourceVectorCollection: &agentv1alpha1.VectorCollection{},
		resourceCheckpoint:       &agentv1alpha1.Checkpoint{},
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
	for _, file := range examples(t) {
		t.Run(filepath.Base(filepath.Dir(file)), func(t *testing.T) {
			xr := readStruct(t, file)
			direct := run(t, newFunction(), request(t, xr, nil))
			claimed := run(t, newFunction(), request(t, asLegacy(xr), nil))

			if diff := cmp.Diff(direct, claimed, protocmp.Transform()); diff != "" {
				t.Errorf("-namespaced, +claimed:\n%s", diff)
			}
		})
	}
}

// The same request twice gives the same bytes, from a fresh function and from one that has cached the catalog.
func TestSameInputSameBytes(t *testing.T) {
	for _, file := range examples(t) {
		f := newFunction()
		req := request(t, readStruct(t, file), map[string]*structpb.Struct{resourceDeployment: parseStruct(t, deploymentYAML)})
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
				t.Errorf("%s: call %d differs from the first", file, i+2)
			}
		}
	}
}

// The Deployment's size has one writer, and it is not the function.
func TestNeverReplicas(t *testing.T) {
	for _, file := range examples(t) {
		for name, observed := range map[string]map[string]*structpb.Struct{
			"before": nil,
			"after":  {resourceDeployment: parseStruct(t, deploymentYAML), resourceAgentScaler: parseStruct(t, scalerYAML)},
		} {
			rsp := run(t, newFunction(), request(t, readStruct(t, file), observed))
			if d, ok := rsp.GetDesired().GetResources()[resourceDeployment]; ok && field(d.GetResource(), "spec", "replicas") != nil {
				t.Errorf("%s, %s: the function writes spec.replicas", file, name)
			}
		}
	}
}
