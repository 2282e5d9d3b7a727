package compose

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/util/validation"
	"pgregory.net/rapid"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"

	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
)

// Every request that cannot be served says so in a sentence, and nothing is changed.
func TestRefusals(t *testing.T) {
	const claim = `
apiVersion: southwest.ai/v1alpha1
kind: AIDispatcher
metadata: {name: pool, namespace: team-a}
spec: {role: coder, modelRef: gpt-4, replicas: 3}
`
	cases := map[string]struct {
		reason  string
		claim   func(y string) string
		catalog func(y *structpb.Struct)
		want    string
		because string
	}{
		"UnknownRole": {
			reason:  "A role the catalog lacks is refused with those it has.",
			claim:   func(y string) string { return strings.Replace(y, "role: coder", "role: tester", 1) },
			want:    `role "tester" is not in the platform's catalog, which has coder, planner, reviewer: choose one of these or ask the platform team to add it`,
			because: "UnknownRole",
		},
		"NoRole": {
			reason:  "A claim must say what its agents do.",
			claim:   func(y string) string { return strings.Replace(y, "role: coder, ", "", 1) },
			want:    "spec.role is empty: name a role of the platform's catalog",
			because: "InvalidClaim",
		},
		"UnknownModel": {
			reason:  "A model the catalog lacks is refused with those it has.",
			claim:   func(y string) string { return strings.Replace(y, "gpt-4", "gpt-5", 1) },
			want:    `model "gpt-5" is not in the platform's catalog, which has claude, gpt-4: choose one of these, ask the platform team to add it, or set spec.modelEndpoint`,
			because: "UnknownModel",
		},
		"NoModel": {
			reason:  "Neither a model nor an endpoint is refused.",
			claim:   func(y string) string { return strings.Replace(y, "modelRef: gpt-4, ", "", 1) },
			want:    "name a model: set spec.modelRef to a model of the platform's catalog, or spec.modelEndpoint to the URL of one",
			because: "InvalidClaim",
		},
		"DimZero": {
			reason: "A vector has at least one dimension.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", "memoryConfig: {collection: c, dim: 0}", 1)
			},
			want:    "spec.memoryConfig.dim is 0 and must be the embedding model's dimension, 1 to 65535 (1536 for many models)",
			because: "InvalidClaim",
		},
		"ReplicasZero": {
			reason:  "No workers is what suspend is for.",
			claim:   func(y string) string { return strings.Replace(y, "replicas: 3", "replicas: 0", 1) },
			want:    "spec.replicas is 0 and must be at least 1; to run no worker for a while set suspend: true",
			because: "InvalidClaim",
		},
		"ReplicasNegative": {
			reason:  "A pool has no negative size.",
			claim:   func(y string) string { return strings.Replace(y, "replicas: 3", "replicas: -2", 1) },
			want:    "spec.replicas is -2 and must be at least 1; to run no worker for a while set suspend: true",
			because: "InvalidClaim",
		},
		"ReplicasFraction": {
			reason:  "A pool has whole workers.",
			claim:   func(y string) string { return strings.Replace(y, "replicas: 3", "replicas: 1.5", 1) },
			want:    "cannot read spec: cannot decode: json: cannot unmarshal number 1.5 into Go struct field AIDispatcherSpec.replicas of type int32",
			because: "InvalidClaim",
		},
		"MinAboveMax": {
			reason: "Bounds that exclude every size are refused.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", "scaling: {minReplicas: 9, maxReplicas: 3}", 1)
			},
			want:    "spec.scaling.minReplicas (9) must not be larger than maxReplicas (3): lower the one or raise the other",
			because: "InvalidClaim",
		},
		"KEDA": {
			reason:  "An engine that is not there is not silently replaced.",
			claim:   func(y string) string { return strings.Replace(y, "replicas: 3", "scaling: {engine: KEDA}", 1) },
			want:    "spec.scaling.engine KEDA is not available in this version: set engine: Native",
			because: "Unsupported",
		},
		"EndpointIsNoURL": {
			reason: "An endpoint must be a URL.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", "modelEndpoint: models.example.org", 1)
			},
			want:    `spec.modelEndpoint "models.example.org" is not a URL such as https://models.example.org/v1`,
			because: "InvalidClaim",
		},
		"EndpointWithPassword": {
			reason: "A key in a URL would stand in every status and log; the message must not repeat it.",
			claim: func(y string) string {
				return strings.Replace(y, "replicas: 3", `modelEndpoint: "https://u:secret@m.example.org"`, 1)
			},
			want:    "spec.modelEndpoint must not carry a user or a password: a key belongs in a Secret that the catalog's model names",
			because: "InvalidClaim",
		},
		"ClusterScopedWithoutClaim": {
			reason:  "Workers need a namespace.",
			claim:   func(y string) string { return strings.Replace(y, ", namespace: team-a", "", 1) },
			want:    `composite resource "pool" has neither a namespace nor a claim: create an AIDispatcher in a namespace`,
			because: "InvalidClaim",
		},
		"ImageIsNone": {
			reason:  "An image that cannot be pulled is found before any pod is made.",
			catalog: func(c *structpb.Struct) { firstRole(c).Fields["image"] = structpb.NewStringValue("Not An Image") },
			want:    `cannot use the catalog: roles[coder].image: "Not An Image" is not an image: invalid reference format: repository name (library/Not An Image) must be lowercase`,
			because: "InvalidCatalog",
		},
		"CatalogTypo": {
			reason:  "A misspelt field is an error, not a default.",
			catalog: func(c *structpb.Struct) { firstRole(c).Fields["imgae"] = structpb.NewStringValue("x") },
			want:    `cannot use the catalog: unknown field "roles[0].imgae": check the spelling`,
			because: "InvalidCatalog",
		},
		"CatalogReservedEnv": {
			reason:  "What the function sets, a role cannot set too.",
			catalog: func(c *structpb.Struct) { firstRole(c).Fields["env"] = asValue(list{envVar("OPENAI_API_KEY", "x")}) },
			want:    "cannot use the catalog: roles[coder].env[0]: sets OPENAI_API_KEY, which is set for every agent: remove it",
			because: "InvalidCatalog",
		},
		"CatalogOfAnotherKind": {
			reason:  "The input must be a Catalog.",
			catalog: func(c *structpb.Struct) { c.Fields["kind"] = structpb.NewStringValue("Resources") },
			want:    "the Composition's input is a aidispatcher.fn.southwest.ai/v1beta1 Resources and must be a aidispatcher.fn.southwest.ai/v1beta1 Catalog",
			because: "InvalidCatalog",
		},
		"TooManyForTheRole": {
			reason:  "The platform team may bound a role.",
			catalog: func(c *structpb.Struct) { firstRole(c).Fields["maxReplicas"] = structpb.NewNumberValue(2) },
			want:    `the pool may grow to 3 workers and the platform allows 2 for role "coder": lower replicas or scaling.maxReplicas`,
			because: "InvalidClaim",
		},
		"StatePathTaken": {
			reason:  "State cannot lie over a directory the worker needs.",
			catalog: func(c *structpb.Struct) { firstRole(c).Fields["statePath"] = structpb.NewStringValue("/etc/podinfo") },
			want:    `cannot use the catalog: roles[coder].statePath: "/etc/podinfo" must be an absolute path of its own, such as /var/lib/agent`,
			because: "InvalidCatalog",
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			y := claim
			if tc.claim != nil {
				y = tc.claim(y)
			}

			req := request(t, parseStruct(t, y), map[string]*structpb.Struct{resourceDeployment: parseStruct(t, deploymentYAML)})
			req.Desired = foreignState()

			if tc.catalog != nil {
				req.Input = clone(req.GetInput())
				tc.catalog(req.GetInput())
			}

			rsp := run(t, newFunction(), req)
			want := &fnv1.RunFunctionResponse{
				Meta:    rsp.GetMeta(),
				Desired: foreignState(),
				Results: []*fnv1.Result{{
					Severity: fnv1.Severity_SEVERITY_FATAL, Message: tc.want, Reason: &tc.because,
					Target: fnv1.Target_TARGET_COMPOSITE_AND_CLAIM.Enum(),
				}},
				Conditions: []*fnv1.Condition{{
					Type: "Accepted", Status: fnv1.Status_STATUS_CONDITION_FALSE, Reason: tc.because, Message: &tc.want,
					Target: fnv1.Target_TARGET_COMPOSITE_AND_CLAIM.Enum(),
				}},
			}

			if diff := cmp.Diff(want, rsp, protocmp.Transform()); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func firstRole(c *structpb.Struct) *structpb.Struct {
	roles := field(c, "roles").GetListValue()
	first := clone(roles.GetValues()[0].GetStructValue())
	c.Fields["roles"] = asValue(list{structpb.NewStructValue(first)})

	return first
}

func foreignState() *fnv1.State {
	return &fnv1.State{
		Composite: &fnv1.Resource{Resource: &structpb.Struct{Fields: map[string]*structpb.Value{
			"status": asValue(object{"costs": "12"}),
		}}},
		Resources: map[string]*fnv1.Resource{"bucket": {Ready: fnv1.Ready_READY_TRUE, Resource: &structpb.Struct{Fields: map[string]*structpb.Value{
			"kind": structpb.NewStringValue("Bucket"),
		}}}},
	}
}

// What earlier steps of a pipeline want survives, and the request is left as it was.
func TestForeignDesiredStateSurvives(t *testing.T) {
	req := request(t, readStruct(t, root+"/examples/quickstart/aidispatcher.yaml"), nil)
	req.Desired = foreignState()
	rsp := run(t, newFunction(), req)

	if diff := cmp.Diff(foreignState(), req.GetDesired(), protocmp.Transform()); diff != "" {
		t.Errorf("the request was changed: -want, +got:\n%s", diff)
	}

	if diff := cmp.Diff(foreignState().GetResources()["bucket"], rsp.GetDesired().GetResources()["bucket"], protocmp.Transform()); diff != "" {
		t.Errorf("a foreign resource was changed: -want, +got:\n%s", diff)
	}

	if got := text(rsp.GetDesired().GetComposite().GetResource(), "status", "costs"); got != "12" {
		t.Errorf("a foreign status field is %q and was 12", got)
	}

	req.Desired.Resources["deployment"] = req.GetDesired().GetResources()["bucket"]
	rsp = run(t, newFunction(), req)

	if got := rsp.GetResults(); len(got) != 1 || got[0].GetSeverity() != fnv1.Severity_SEVERITY_FATAL {
		t.Errorf("a resource that another function composes under our name was taken over: %v", got)
	}
}

// Workers come only after the memory was there once, and stay whatever becomes of it.
func TestMemoryBeforeLife(t *testing.T) {
	xr := readStruct(t, root+"/examples/memory/aidispatcher.yaml")
	remembered := clone(xr)
	remembered.Fields["status"] = asValue(object{"memory": object{"ready": false, "firstReadyTime": "2026-01-02T03:04:05Z"}})
	notReady := parseStruct(t, `{kind: VectorCollection, status: {conditions: [{type: Synced, status: "False", reason: ReconcileError, message: "the store does not answer"}]}}`)

	cases := map[string]struct {
		reason   string
		xr       *structpb.Struct
		observed map[string]*structpb.Struct
		want     bool
	}{
		"Nothing":       {reason: "Nothing was observed yet.", xr: xr, want: false},
		"NotReady":      {reason: "The collection is not ready.", xr: xr, observed: map[string]*structpb.Struct{resourceVectorCollection: notReady}, want: false},
		"Ready":         {reason: "The collection is ready.", xr: xr, observed: map[string]*structpb.Struct{resourceVectorCollection: withReady(t, "kind: VectorCollection")}, want: true},
		"WasReady":      {reason: "The collection was ready once.", xr: remembered, observed: map[string]*structpb.Struct{resourceVectorCollection: notReady}, want: true},
		"AlreadyExists": {reason: "A Deployment that exists is not withdrawn.", xr: xr, observed: map[string]*structpb.Struct{resourceVectorCollection: notReady, resourceDeployment: parseStruct(t, deploymentYAML)}, want: true},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rsp := run(t, newFunction(), request(t, tc.xr, tc.observed))
			if _, got := rsp.GetDesired().GetResources()[resourceDeployment]; got != tc.want {
				t.Errorf("%s\nwant a Deployment: %t, got: %t", tc.reason, tc.want, got)
			}
		})
	}
}

// Long and odd names become DNS labels with room to grow, and never the same one.
func TestNames(t *testing.T) {
	cases := map[string]struct {
		reason, claim, want string
	}{
		"Plain":  {reason: "A name that fits is kept.", claim: "coder-agent-pool", want: "coder-agent-pool"},
		"Long":   {reason: "A long name is shortened by hash.", claim: strings.Repeat("a", 63), want: strings.Repeat("a", 43) + "-7d3e74a0"},
		"Dots":   {reason: "A Service's name has no dots.", claim: "pool.v2", want: "pool-v2-f39e57bf"},
		"Digit":  {reason: "A Service's name begins with a letter.", claim: "7pool", want: "ad-7pool-67dbfe3d"},
		"AtMost": {reason: "The longest name that fits is kept.", claim: strings.Repeat("b", 52), want: strings.Repeat("b", 52)},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, nameFor(tc.claim)); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// Whatever a claim is called, what is composed for it has a name Kubernetes takes.
func TestNamesAreLabels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		gen := rapid.StringMatching(`[a-z0-9]([-a-z0-9.]{0,60}[a-z0-9])?`)
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")

		if msgs := validation.IsDNS1035Label(nameFor(a)); len(msgs) > 0 || len(nameFor(a)) > maxNameLength {
			t.Fatalf("%q becomes %q: %v", a, nameFor(a), msgs)
		}

		if a != b && nameFor(a) == nameFor(b) {
			t.Fatalf("%q and %q become the same name %q", a, b, nameFor(a))
		}
	})
}

// Any pair of claim and catalog is refused with a message or composed; nothing panics.
func FuzzRunFunction(f *testing.F) {
	catalog, err := exampleCatalog(f).MarshalJSON()
	if err != nil {
		f.Fatal(err)
	}

	for _, file := range examples(f) {
		xr, err := readStruct(f, file).MarshalJSON()
		if err != nil {
			f.Fatal(err)
		}

		f.Add(string(xr), string(catalog))
	}

	f.Fuzz(func(t *testing.T, xr, catalog string) {
		x, c := &structpb.Struct{}, &structpb.Struct{}
		if x.UnmarshalJSON([]byte(xr)) != nil || c.UnmarshalJSON([]byte(catalog)) != nil {
			t.Skip("not what Crossplane could send")
		}

		rsp := run(t, newFunction(), &fnv1.RunFunctionRequest{
			Input:    c,
			Observed: &fnv1.State{Composite: &fnv1.Resource{Resource: x}},
			Desired:  foreignState(),
		})

		if _, ok := rsp.GetDesired().GetResources()["bucket"]; !ok {
			t.Error("a foreign resource was lost")
		}

		fatal := false
		for _, r := range rsp.GetResults() {
			fatal = fatal || r.GetSeverity() == fnv1.Severity_SEVERITY_FATAL && r.GetMessage() != ""
		}

		if _, composed := rsp.GetDesired().GetResources()[resourceAgentScaler]; fatal == composed {
			t.Errorf("want either a refusal or a composition: fatal %t, composed %t", fatal, composed)
		}
	})
}

// A transition is reported once; what stays as it was is not.
func TestResultsOnTransitionsOnly(t *testing.T) {
	xr := readStruct(t, root+"/examples/quickstart/aidispatcher.yaml")
	observed := map[string]*structpb.Struct{resourceDeployment: parseStruct(t, deploymentYAML), resourceAgentScaler: parseStruct(t, scalerYAML)}
	messages := func(phase v1alpha1.Phase) []string {
		in := clone(xr)
		in.Fields["status"] = asValue(object{"currentPhase": string(phase)})

		var out []string
		for _, r := range run(t, newFunction(), request(t, in, observed)).GetResults() {
			out = append(out, r.GetMessage())
		}

		return out
	}

	if diff := cmp.Diff([]string{"the pool went from Initializing to Ready: 3 of 3 workers are available"}, messages(v1alpha1.PhaseInitializing)); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}

	if diff := cmp.Diff([]string(nil), messages(v1alpha1.PhaseReady)); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}
