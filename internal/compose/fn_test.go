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
	for _, e := range examples(f) {
		xr, err := e.claim.MarshalJSON()
		if err != nil {
			f.Fatal(err)
		}

		catalog, err := e.catalog.MarshalJSON()
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
