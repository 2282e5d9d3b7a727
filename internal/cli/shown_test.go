package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// onPage returns what stands in a page between two texts, the first of them excluded.
func onPage(t *testing.T, page, from, to string) string {
	t.Helper()

	b, err := os.ReadFile(filepath.Join("..", "..", "docs", page))
	if err != nil {
		t.Fatal(err)
	}

	_, text, ok := strings.Cut(string(b), from)
	text, _, ok2 := strings.Cut(text, to)

	if !ok || !ok2 {
		t.Fatalf("docs/%s shows nothing after %q", page, from)
	}

	return text
}

const shownScaler = `{"kind":"AgentScaler","metadata":{"name":"coder-agent-pool","namespace":"team-a"},
"status":{"conditions":[{"type":"ScalingActive","status":"False","reason":"LoadUnknown","message":"No worker of Deployment coder-agent-pool is removed: QueueDepth: 2 of 3 workers reported"}],
"atProvider":{"replicas":3,"desiredReplicas":3,"queueDepth":7,"activeWorkers":2,"tokenUsage":91200,"tokensPerMinute":4100,
"load":{"time":"2026-11-01T12:00:30Z","reason":"Vetoed","message":"2 would do, but QueueDepth: 2 of 3 workers reported; QueueDepth 7 at 5 per worker wants 2",
"vetoes":[{"name":"Partial","message":"QueueDepth: 2 of 3 workers reported"}],"triggers":[{"type":"QueueDepth","value":"7","target":"5","want":2}]},
"decisions":[{"time":"2026-11-01T11:59:00Z","from":5,"to":3,"reason":"LoadLower","message":"from 5 to 3 of 3 wanted: QueueDepth 14 at 5 per worker wants 3",
"removed":[{"time":"2026-11-01T11:59:10Z","name":"coder-agent-pool-59f688ff44-6h292","slot":4,"checkpoint":"4/0000000001-0000000007"},
{"time":"2026-11-01T11:59:11Z","name":"coder-agent-pool-59f688ff44-b92zv","slot":3,"checkpoint":"3/0000000001-0000000005"}]}]}}}`

// What the pages show of why, trace and simulate is what these commands print.
func TestPagesShowWhatIsPrinted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "scaler.json")
	if err := os.WriteFile(file, []byte(shownScaler), 0o600); err != nil {
		t.Fatal(err)
	}

	var why strings.Builder

	cmd := WhyCmd{File: file, Output: "story"}
	if err := cmd.Run(t.Context(), &Output{Out: &why, Now: func() time.Time { return time.Date(2026, 11, 1, 12, 0, 32, 0, time.UTC) }}); err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(onPage(t, "scaling.md", "$ aidispatch why -n team-a ad/coder-agent-pool\n", "```"), why.String()); diff != "" {
		t.Errorf("why: -docs/scaling.md, +printed:\n%s", diff)
	}

	if diff := cmp.Diff(onPage(t, "seeing.md", "```text\n", "```"), shownTrace(t)); diff != "" {
		t.Errorf("trace: -docs/seeing.md, +printed:\n%s", diff)
	}

	printed, err := os.ReadFile(filepath.Join(examplesDir, "simulate", "output.txt"))
	if err != nil {
		t.Fatal(err)
	}

	// The page leaves out the drawing, which it has as a picture, and how wide the columns are.
	sums := onPage(t, "scaling.md", "simulation.svg)\n\n```text\n", "```")
	if !strings.Contains(strings.Join(strings.Fields(string(printed)), " "), strings.Join(strings.Fields(sums), " ")) {
		t.Errorf("simulate does not print what docs/scaling.md shows:\n%s", sums)
	}
}

// shownTrace is what trace prints of a pool of which one worker cannot start.
func shownTrace(t *testing.T) string {
	t.Helper()

	one := func(text string) []object { return []object{parsed[object](t, text)} }
	objects := map[string][]object{
		"checkpoints.agent.southwest.ai":  one(`{"kind":"Checkpoint","metadata":{"name":"coder-agent-pool"},"status":{"atProvider":{"slots":2,"hibernated":0,"newestTime":"2026-11-01T11:59:30Z","corrupt":0}}}`),
		"agentscalers.agent.southwest.ai": one(`{"kind":"AgentScaler","metadata":{"name":"coder-agent-pool"},"status":{"atProvider":{"replicas":2,"desiredReplicas":2}}}`),
		"deployments.apps":                one(`{"kind":"Deployment","metadata":{"name":"coder-agent-pool"},"spec":{"replicas":2},"status":{"availableReplicas":1,"updatedReplicas":2}}`),
		"pods": {
			parsed[object](t, `{"metadata":{"name":"coder-agent-pool-59f688ff44-6h292","annotations":{"southwest.ai/slot":"0","southwest.ai/epoch":"3"}},"status":{"phase":"Running"}}`),
			parsed[object](t, `{"metadata":{"name":"coder-agent-pool-59f688ff44-9fzt9","annotations":{"southwest.ai/slot":"1","southwest.ai/epoch":"4"}},"status":{"phase":"Pending","initContainerStatuses":[
				{"name":"restore","state":{"waiting":{"reason":"CrashLoopBackOff","message":"back-off"}},"lastState":{"terminated":{"reason":"Error","exitCode":1,"message":"the store does not answer\n"}}}]}}`),
		},
	}
	two, saved := int64(2), traceNow.Add(-30*time.Second)
	said := map[string]monitorapi.Status{"coder-agent-pool-59f688ff44-6h292": {
		Slot: "0", State: monitorapi.StateActive, Tasks: monitorapi.Tasks{Known: true, InFlight: &two},
		Checkpoint: &monitorapi.Checkpoint{Position: "0000000003-0000000007", Time: &saved, Files: 5, Bytes: 4096},
	}}
	root := assemble(parsed[claimed](t, strings.Replace(tracedPool, `"name":"coder"`, `"name":"coder-agent-pool"`, 1)), objects, nil, said, traceNow)

	var out strings.Builder

	root.draw(&out, "", "")
	tellWrong(&out, root)

	return out.String()
}
