package cli

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"sigs.k8s.io/yaml"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/load"
	"github.com/southwest-ai/agent-operator/internal/scale"
)

var update = flag.Bool("update", false, "write what the example prints instead of comparing it")

const examplesDir = "../../examples"

func simulate(t *testing.T, c SimulateCmd) (string, error) {
	t.Helper()

	var out bytes.Buffer

	err := c.Run(t.Context(), &Output{Out: &out, Err: io.Discard, Now: time.Now})

	return out.String(), err
}

// What stands beside the example is what a reader will see.
func TestSimulateExample(t *testing.T) {
	t.Chdir(filepath.Join(examplesDir, "simulate"))

	svg := filepath.Join(t.TempDir(), "drawing.svg")

	text, err := simulate(t, SimulateCmd{Trace: "load.csv", Policy: "../scaling/aidispatcher.yaml", Startup: 30 * time.Second, Output: "text", SVG: svg})
	if err != nil {
		t.Fatal(err)
	}

	drawn, err := os.ReadFile(svg)
	if err != nil {
		t.Fatal(err)
	}

	for name, got := range map[string]string{"output.txt": text, "simulation.svg": string(drawn)} {
		if *update {
			if err := os.WriteFile(name, []byte(got), 0o600); err != nil {
				t.Fatal(err)
			}
		}

		want, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}

		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s is stale; run: go test ./internal/cli -run TestSimulateExample -update\n-want, +got:\n%s", name, diff)
		}
	}

	// It is well-formed, whatever is in it.
	d := xml.NewDecoder(bytes.NewReader(drawn))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestSimulateJSON(t *testing.T) {
	text, err := simulate(t, SimulateCmd{
		Trace:  file(t, "time,QueueDepth\n0s,0\n1m,20\n2m,5\n10m,5\n"),
		Policy: file(t, "kind: AgentScaler\nspec: {forProvider: {replicas: 1, maxReplicaCount: 3, triggers: [{type: QueueDepth, target: 5}], scaleDown: {stabilizationSeconds: 60}}}\n"), Output: "json",
	})
	if err != nil {
		t.Fatal(err)
	}

	var got simulation
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}

	// Three of four that are wanted for a minute, and three for the window; what is shorter than two looks is not looked at here.
	want := simulation{
		Policy: got.Policy, From: monday, To: monday.Add(10 * time.Minute), WorkerMinutes: 14, SpareMinutes: 3, Short: 60, ShortMinutes: 1, Stabilizing: 60, Least: 1, Most: 3, Out: 1, In: 1,
		Changes: []resized{
			{Time: monday.Add(time.Minute), From: 1, To: 3, Reason: scale.ReasonLoadHigher},
			{Time: monday.Add(3*time.Minute + defaultInterval), From: 3, To: 1, Reason: scale.ReasonLoadLower},
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(resized{}, "Message"), cmpopts.EquateApprox(0, 1)); diff != "" {
		t.Error(diff)
	}
}

func file(t *testing.T, text string) string {
	t.Helper()

	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}

	return path
}

// What is wrong with a trace or a policy is said, with the line that it is in.
func TestSimulateRefuses(t *testing.T) {
	policy := "kind: AIDispatcher\nspec: {scaling: {metrics: [{type: QueueDepth, target: 5}]}}\n"
	trace := "time,QueueDepth\n0s,1\n1m,2\n"

	cases := map[string]struct{ reason, trace, policy, want string }{
		"Empty":       {"There must be a header.", "", policy, "it is empty"},
		"Short":       {"A load needs an end.", "time,QueueDepth\n0s,1\n", policy, "has 1 lines of load, and needs two"},
		"NoTime":      {"Time comes first.", "QueueDepth,time\n", policy, `line 1: the first column is "QueueDepth" and must be "time"`},
		"Column":      {"A column that is not known may be misspelt.", "time,Queuedepth\n", policy, `line 1: there is no column "Queuedepth": there are reported`},
		"Twice":       {"Which of them?", "time,QueueDepth,QueueDepth\n", policy, "line 1: the column QueueDepth is there twice"},
		"Missing":     {"What the policy follows must be there.", "time,PendingTasks\n", policy, "line 1: the policy follows QueueDepth, and there is no such column"},
		"Fields":      {"Each line has all columns.", "time,QueueDepth\n0s,1\n1m\n", policy, "line 3"},
		"Time":        {"A time is a time.", "time,QueueDepth\n# a comment\n0s,1\n8 o'clock,2\n", policy, `line 4: "8 o'clock" is no time such as`},
		"Back":        {"Time goes on.", "time,QueueDepth\n1m,1\n1m,2\n", policy, "line 3: 1m is not after the line before"},
		"Mixed":       {"Durations or times.", "time,QueueDepth\n0s,1\n2026-11-02T08:00:00Z,2\n", policy, "line 3: \"2026-11-02T08:00:00Z\" is a duration and others are times"},
		"Number":      {"A load is a number.", "time,QueueDepth\n0s,1\n1m,many\n", policy, `line 3: QueueDepth: "many" is no load`},
		"Negative":    {"From 0 on.", "time,QueueDepth\n0s,-1\n1m,2\n", policy, `line 2: QueueDepth: "-1" is no load`},
		"NaN":         {"And a known one.", "time,QueueDepth\n0s,NaN\n1m,2\n", policy, `line 2: QueueDepth: "NaN" is no load`},
		"Reported":    {"Of how many?", "time,QueueDepth,reported\n0s,1,9/7\n1m,2,7\n", policy, "line 2: reported: \"9/7\" does not say"},
		"Rollout":     {"Yes or no.", "time,QueueDepth,rollingOut\n0s,1,perhaps\n1m,2,\n", policy, "line 2: rollingOut: \"perhaps\" is neither true nor false"},
		"Quote":       {"CSV is CSV.", "time,QueueDepth\n0s,\"1\n", policy, "line 2"},
		"NoPolicy":    {"A manifest is asked for.", trace, "kind: Pod\n", "there is no AIDispatcher and no AgentScaler in it"},
		"NoYAML":      {"That can be read.", trace, "kind: [\n", "cannot read it"},
		"Fixed":       {"Of a pool that scales.", trace, "kind: AIDispatcher\nmetadata: {name: a}\nspec: {replicas: 2}\n", "does not follow a load"},
		"FixedScaler": {"The same of its scaler.", trace, "kind: AgentScaler\nspec: {forProvider: {replicas: 2}}\n", "does not follow a load"},
		"Target":      {"With a target.", trace, "kind: AIDispatcher\nspec: {scaling: {metrics: [{type: QueueDepth}]}}\n", "the target of QueueDepth is 0"},
		"Bounds":      {"And bounds that can be.", trace, "kind: AIDispatcher\nspec: {scaling: {minReplicas: 3, maxReplicas: 2}}\n", "the least size (3) must not be larger than the largest (2)"},
		"Schedule":    {"And schedules.", trace, "kind: AIDispatcher\nspec: {scaling: {schedules: [{schedule: now, durationSeconds: 60}]}}\n", `"now" is no schedule`},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := simulate(t, SimulateCmd{Trace: file(t, tc.trace), Policy: file(t, tc.policy)}); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s\nerror %v, want %q", tc.reason, err, tc.want)
			}
		})
	}

	for name, tc := range map[string]struct {
		cmd  SimulateCmd
		want string
	}{
		"NoLoad":   {SimulateCmd{Policy: file(t, policy)}, "give a load"},
		"TwoLoads": {SimulateCmd{Policy: file(t, policy), Trace: "a", recorded: recorded{Prometheus: "b"}}, "give a load"},
		"NoFile":   {SimulateCmd{Policy: "nowhere.yaml"}, "no such file"},
		"NoTrace":  {SimulateCmd{Policy: file(t, policy), Trace: "nowhere.csv"}, "no such file"},
		"Size":     {SimulateCmd{Policy: file(t, policy), Trace: file(t, trace), Size: -1}, "must not be negative"},
		"Whose":    {SimulateCmd{Policy: file(t, policy), recorded: recorded{Prometheus: "http://127.0.0.1:1", Since: time.Hour, Step: time.Minute}}, "say where QueueDepth is recorded"},
		"When":     {SimulateCmd{Policy: file(t, policy), recorded: recorded{Prometheus: "http://127.0.0.1:1", Until: time.Hour, Step: time.Minute}}, "further back"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := simulate(t, tc.cmd); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
		})
	}
}

// A team's manifest, the AgentScaler that the function makes of it, and what the provider makes of that are one policy.
func TestRuleIsTheProviders(t *testing.T) {
	read := func(name string) rule {
		t.Helper()

		b, err := os.ReadFile(filepath.Join(examplesDir, "scaling", name))
		if err != nil {
			t.Fatal(err)
		}

		r, err := readRule(b)
		if err != nil {
			t.Fatal(err)
		}

		return r
	}

	claimed, rendered := read("aidispatcher.yaml"), read("rendered.yaml")
	// A schedule is equal to one that says the same.
	same := cmp.Options{cmp.AllowUnexported(rule{}), cmp.Comparer(func(a, b scale.Schedule) bool { return a.Replicas == b.Replicas && a.Duration == b.Duration })}

	if diff := cmp.Diff(rendered, claimed, same); diff != "" {
		t.Errorf("-rendered, +claimed:\n%s", diff)
	}

	b, err := os.ReadFile(filepath.Join(examplesDir, "scaling", "rendered.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	documents := strings.Split(string(b), "\n---\n")

	var s v1alpha1.AgentScaler

	at := slices.IndexFunc(documents, func(d string) bool { return strings.Contains(d, "\nkind: AgentScaler\n") })
	if err := yaml.Unmarshal([]byte(documents[at]), &s); err != nil {
		t.Fatal(err)
	}

	want := load.PolicyOf(s.Spec.ForProvider)
	want.MaxAge = rendered.policy.MaxAge // What a trace says is as it was.

	if diff := cmp.Diff(want, rendered.policy, same); diff != "" {
		t.Errorf("-provider, +aidispatch:\n%s", diff)
	}

	// And so are the defaults, and what the example has not.
	text := "kind: AgentScaler\nspec: {forProvider: {replicas: 1, triggers: [{type: QueueDepth, target: 5}], scaleUp: {maxStep: 4}, fallback: {afterSeconds: 60, replicas: 3}}}\n"

	r, err := readRule([]byte(text))
	if err != nil {
		t.Fatal(err)
	}

	s = v1alpha1.AgentScaler{}
	if err := yaml.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}

	want = load.PolicyOf(s.Spec.ForProvider)
	want.MaxAge = r.policy.MaxAge

	if diff := cmp.Diff(want, r.policy, same); diff != "" {
		t.Errorf("-provider, +aidispatch:\n%s", diff)
	}
}
