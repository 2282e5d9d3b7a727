package operate

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"
	"sigs.k8s.io/yaml"

	opsv1alpha1 "github.com/crossplane/crossplane/apis/v2/ops/v1alpha1"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
)

// composer stands for the function that serves compositions.
type composer struct {
	fnv1.UnimplementedFunctionRunnerServiceServer

	calls int
}

func (c *composer) RunFunction(context.Context, *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	c.calls++

	return &fnv1.RunFunctionResponse{}, nil
}

func noon() time.Time { return time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC) }

func parseYAML(t *testing.T, y string) *structpb.Struct {
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

func resources(t *testing.T, of ...string) *fnv1.Resources {
	t.Helper()

	out := &fnv1.Resources{}
	for _, y := range of {
		out.Items = append(out.Items, &fnv1.Resource{Resource: parseYAML(t, y)})
	}

	return out
}

func run(t *testing.T, req *fnv1.RunFunctionRequest) *fnv1.RunFunctionResponse {
	t.Helper()

	c := &composer{}

	rsp, err := (&Function{Compose: c, Now: noon}).RunFunction(t.Context(), req)
	if err != nil || c.calls > 0 {
		t.Fatalf("an Operation's call: %v; %d calls went to the composer", err, c.calls)
	}

	return rsp
}

const coders = `{apiVersion: agent.southwest.ai/v1alpha1, kind: Checkpoint, metadata: {namespace: team-a, name: coders, uid: u, annotations: {a: b}}, spec: {forProvider: {pool: team-a/coders}}}`

// What an Operation asks for is an annotation and nothing else: the rest of a Checkpoint is others'.
func TestAsk(t *testing.T) {
	const input = `{apiVersion: aidispatcher.fn.southwest.ai/v1beta1, kind: PoolOperation, action: `

	wanted := func(annotation, namespace, name string) *fnv1.Resource {
		return &fnv1.Resource{Resource: parseYAML(t, `{apiVersion: agent.southwest.ai/v1alpha1, kind: Checkpoint, metadata: {namespace: `+namespace+`, name: `+name+`, annotations: {`+annotation+`: "2026-01-02T12:00:00.000Z"}}}`)}
	}
	all := map[string]*fnv1.Resources{
		"one": resources(t, coders, `{apiVersion: agent.southwest.ai/v1alpha1, kind: Checkpoint, metadata: {namespace: team-b, name: coders}}`),
		// It watches, and selects what was selected before, and one that goes.
		"ops.crossplane.io/watched-resource": resources(t, `{apiVersion: v1, kind: ConfigMap, metadata: {namespace: team-a, name: maintenance}}`),
		"two":                                resources(t, coders, `{apiVersion: agent.southwest.ai/v1alpha1, kind: Checkpoint, metadata: {namespace: team-a, name: goes, deletionTimestamp: "2026-01-02T03:04:05Z"}}`),
	}

	cases := map[string]struct {
		reason   string
		input    string
		required map[string]*fnv1.Resources
		want     map[string]*fnv1.Resource
		severity fnv1.Severity
		says     string
	}{
		"CheckpointNow": {
			reason: "Each Checkpoint that is there is asked, once.", input: input + "CheckpointNow}", required: all,
			want: map[string]*fnv1.Resource{
				"checkpoint/team-a/coders": wanted("southwest.ai/checkpoint-now", "team-a", "coders"),
				"checkpoint/team-b/coders": wanted("southwest.ai/checkpoint-now", "team-b", "coders"),
			},
			severity: fnv1.Severity_SEVERITY_NORMAL, says: "asked 2 Checkpoints",
		},
		"ScrubNow": {
			reason: "The other action.", input: input + "ScrubNow}", required: map[string]*fnv1.Resources{"one": resources(t, coders)},
			want:     map[string]*fnv1.Resource{"checkpoint/team-a/coders": wanted("southwest.ai/scrub-now", "team-a", "coders")},
			severity: fnv1.Severity_SEVERITY_NORMAL, says: "asked 1 Checkpoints",
		},
		"None":         {reason: "Who selects what is not there is told.", input: input + "ScrubNow}", required: map[string]*fnv1.Resources{"one": nil}, want: map[string]*fnv1.Resource{}, severity: fnv1.Severity_SEVERITY_WARNING, says: "none of the Checkpoints"},
		"Unselected":   {reason: "Nothing is guessed.", input: input + "ScrubNow}", severity: fnv1.Severity_SEVERITY_FATAL, says: "requirements.requiredResources"},
		"OtherAction":  {reason: "An action that there is not is named, with those that there are.", input: input + "Explode}", required: all, severity: fnv1.Severity_SEVERITY_FATAL, says: `"Explode" and must be one of ["CheckpointNow" "ScrubNow"]`},
		"Misspelt":     {reason: "Nothing is overlooked.", input: input + "ScrubNow, of: all}", required: all, severity: fnv1.Severity_SEVERITY_FATAL, says: `unknown field "of"`},
		"OtherVersion": {reason: "Another version may mean something else.", input: `{apiVersion: aidispatcher.fn.southwest.ai/v1, kind: PoolOperation, action: ScrubNow}`, required: all, severity: fnv1.Severity_SEVERITY_FATAL, says: "must be a aidispatcher.fn.southwest.ai/v1beta1"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rsp := run(t, &fnv1.RunFunctionRequest{Input: parseYAML(t, tc.input), RequiredResources: tc.required})

			if diff := cmp.Diff(tc.want, rsp.GetDesired().GetResources(), protocmp.Transform()); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}

			if r := rsp.GetResults(); len(r) != 1 || r[0].GetSeverity() != tc.severity || !strings.Contains(r[0].GetMessage(), tc.says) {
				t.Errorf("%s\nresults %v, want one %s that says %q", tc.reason, r, tc.severity, tc.says)
			}
		})
	}
}

// What earlier steps of an Operation want is applied with ours, and what is no Operation goes to the composer.
func TestOthers(t *testing.T) {
	bucket := &fnv1.Resource{Resource: parseYAML(t, "kind: Bucket")}
	rsp := run(t, &fnv1.RunFunctionRequest{
		Input:             parseYAML(t, `{apiVersion: aidispatcher.fn.southwest.ai/v1beta1, kind: PoolOperation, action: ScrubNow}`),
		RequiredResources: map[string]*fnv1.Resources{"one": resources(t, coders)},
		Desired:           &fnv1.State{Resources: map[string]*fnv1.Resource{"bucket": bucket}},
	})

	if diff := cmp.Diff(bucket, rsp.GetDesired().GetResources()["bucket"], protocmp.Transform()); diff != "" || len(rsp.GetDesired().GetResources()) != 2 {
		t.Errorf("what an earlier step wants: -want, +got:\n%s", diff)
	}

	for _, y := range []string{`{}`, `{apiVersion: aidispatcher.fn.southwest.ai/v1beta1, kind: Catalog}`} {
		c := &composer{}
		if _, err := (&Function{Compose: c, Now: noon}).RunFunction(t.Context(), &fnv1.RunFunctionRequest{Input: parseYAML(t, y)}); err != nil || c.calls != 1 {
			t.Errorf("the composer was called %d times for %s: %v", c.calls, y, err)
		}
	}
}

// The examples are Operations, and the function does what they ask for.
func TestExamples(t *testing.T) {
	specs := map[string]opsv1alpha1.OperationSpec{}

	for file, into := range map[string]struct {
		o    any
		spec func(any) opsv1alpha1.OperationSpec
	}{
		"checkpoint-now.yaml": {&opsv1alpha1.Operation{}, func(o any) opsv1alpha1.OperationSpec { return o.(*opsv1alpha1.Operation).Spec }},
		"nightly-scrub.yaml": {&opsv1alpha1.CronOperation{}, func(o any) opsv1alpha1.OperationSpec {
			return o.(*opsv1alpha1.CronOperation).Spec.OperationTemplate.Spec
		}},
		"before-maintenance.yaml": {&opsv1alpha1.WatchOperation{}, func(o any) opsv1alpha1.OperationSpec {
			return o.(*opsv1alpha1.WatchOperation).Spec.OperationTemplate.Spec
		}},
	} {
		b, err := os.ReadFile(filepath.Join("../../examples/operations", file))
		if err != nil {
			t.Fatal(err)
		}

		if err := yaml.UnmarshalStrict(b, into.o); err != nil {
			t.Errorf("%s: %v", file, err)
		}

		specs[file] = into.spec(into.o)
	}

	for file, spec := range specs {
		step := spec.Pipeline[0]
		rsp := run(t, &fnv1.RunFunctionRequest{
			Input:             parseYAML(t, string(step.Input.Raw)),
			RequiredResources: map[string]*fnv1.Resources{step.Requirements.RequiredResources[0].RequirementName: resources(t, coders)},
		})

		if len(rsp.GetDesired().GetResources()) != 1 {
			t.Errorf("%s: the function answers %v", file, rsp.GetResults())
		}
	}
}
