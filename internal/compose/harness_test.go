package compose

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/structpb"
	"sigs.k8s.io/yaml"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
)

const root = "../.."

// readStruct reads a YAML file as Crossplane would send it.
func readStruct(t testing.TB, path string) *structpb.Struct {
	t.Helper()

	b, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		t.Fatal(err)
	}

	return parseStruct(t, string(b))
}

// documents reads all that a YAML file has.
func documents(t testing.TB, path string) []*structpb.Struct {
	t.Helper()

	b, err := os.ReadFile(filepath.Clean(path))
	if err != nil {
		t.Fatal(err)
	}

	var out []*structpb.Struct
	for d := range strings.SplitSeq(string(b), "\n---\n") {
		out = append(out, parseStruct(t, d))
	}

	return out
}

func parseStruct(t testing.TB, y string) *structpb.Struct {
	t.Helper()

	j, err := yaml.YAMLToJSON([]byte(y))
	if err != nil {
		t.Fatal(err)
	}

	s := &structpb.Struct{}
	if err := s.UnmarshalJSON(j); err != nil {
		t.Fatal(err)
	}

	return s
}

// exampleCatalog reads the catalog that is installed with the examples, so that what is shown is what is tested.
func exampleCatalog(t testing.TB) *structpb.Struct {
	t.Helper()

	b, err := os.ReadFile(filepath.Join(root, "cluster/install/base/composition.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	y := strings.NewReplacer("${REGISTRY}", "registry.example.org", "${VERSION}", "v0.1.0").Replace(string(b))

	return catalogIn(parseStruct(t, y))
}

// catalogIn returns the catalog in a Composition's first step.
func catalogIn(composition *structpb.Struct) *structpb.Struct {
	step := field(composition, "spec", "pipeline").GetListValue().GetValues()[0]

	return field(step.GetStructValue(), "input").GetStructValue()
}

// asLegacy returns the composite resource that Crossplane makes for a claim.
func asLegacy(claim *structpb.Struct) *structpb.Struct {
	xr := clone(claim)
	xr.Fields["kind"] = structpb.NewStringValue("XAIDispatcher")
	name, namespace := text(claim, "metadata", "name"), text(claim, "metadata", "namespace")
	xr.Fields["metadata"] = asValue(object{"name": name + "-x7k2p", "labels": object{"crossplane.io/claim-name": name}})
	field(xr, "spec").GetStructValue().Fields["claimRef"] = asValue(object{
		"apiVersion": "southwest.ai/v1alpha1", "kind": "AIDispatcher", "name": name, "namespace": namespace,
	})

	return xr
}

func clone(s *structpb.Struct) *structpb.Struct {
	c := &structpb.Struct{Fields: make(map[string]*structpb.Value, len(s.GetFields()))}
	for k, v := range s.GetFields() {
		if sub := v.GetStructValue(); sub != nil {
			c.Fields[k] = structpb.NewStructValue(clone(sub))

			continue
		}

		c.Fields[k] = v
	}

	return c
}

// request returns a call of the function for a composite resource.
func request(t testing.TB, xr *structpb.Struct, observed map[string]*structpb.Struct) *fnv1.RunFunctionRequest {
	t.Helper()

	req := &fnv1.RunFunctionRequest{
		Meta:     &fnv1.RequestMeta{Tag: "test"},
		Input:    exampleCatalog(t),
		Observed: &fnv1.State{Composite: &fnv1.Resource{Resource: xr}, Resources: map[string]*fnv1.Resource{}},
	}
	for name, o := range observed {
		req.Observed.Resources[name] = &fnv1.Resource{Resource: o}
	}

	return req
}

// run calls the function and fails on an error, which it never returns.
func run(t testing.TB, f *Function, req *fnv1.RunFunctionRequest) *fnv1.RunFunctionResponse {
	t.Helper()

	rsp, err := f.RunFunction(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}

	return rsp
}

func newFunction() *Function { return &Function{} }

// withReady returns an observed object with the condition Ready.
func withReady(t testing.TB, y string) *structpb.Struct {
	t.Helper()

	return parseStruct(t, y+`
status:
  conditions:
  - {type: Synced, status: "True", reason: ReconcileSuccess, lastTransitionTime: "2026-01-02T03:04:05Z"}
  - {type: Ready, status: "True", reason: Available, lastTransitionTime: "2026-01-02T03:04:05Z"}
`)
}

// deploymentYAML is an observed Deployment of three, all of them available.
const deploymentYAML = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: coder-agent-pool, namespace: team-a, generation: 2}
spec: {replicas: 3}
status:
  observedGeneration: 2
  replicas: 3
  updatedReplicas: 3
  readyReplicas: 3
  availableReplicas: 3
  conditions:
  - {type: Available, status: "True", reason: MinimumReplicasAvailable}
  - {type: Progressing, status: "True", reason: NewReplicaSetAvailable}
`

const scalerYAML = `
apiVersion: agent.southwest.ai/v1alpha1
kind: AgentScaler
metadata: {name: coder-agent-pool, namespace: team-a}
status:
  conditions:
  - {type: Synced, status: "True", reason: ReconcileSuccess}
  - {type: Ready, status: "True", reason: Available}
  - {type: ScalingActive, status: "True", reason: FixedSize, message: "the size is kept at 3"}
  atProvider:
    replicas: 3
    desiredReplicas: 3
    lastScale: {time: "2026-01-02T03:04:05Z", from: 1, to: 3, reason: InitialSize, message: "first size"}
`
