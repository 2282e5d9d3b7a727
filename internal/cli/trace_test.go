package cli

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

func parsed[T any](t *testing.T, text string) T {
	t.Helper()

	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}

	return v
}

var traceNow = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

const tracedPool = `{"metadata":{"name":"coder","namespace":"team-a"},"status":{"currentPhase":"Ready","state":"Degraded",
"conditions":[{"type":"Ready","status":"True"},{"type":"WorkersAvailable","status":"False","reason":"SomeUnavailable","message":"not all workers are available"}]}}`

func tracedObjects(t *testing.T) map[string][]object {
	t.Helper()

	one := func(text string) []object { return []object{parsed[object](t, text)} }

	return map[string][]object{
		"checkpoints.agent.southwest.ai":  one(`{"kind":"Checkpoint","metadata":{"name":"coder"},"status":{"atProvider":{"slots":2,"hibernated":0,"newestTime":"2026-11-01T11:59:30Z","corrupt":0,"problems":[{"slot":"1","problem":"its newest checkpoint cannot be read"}]}}}`),
		"agentscalers.agent.southwest.ai": one(`{"kind":"AgentScaler","metadata":{"name":"coder"},"status":{"conditions":[{"type":"ScalingActive","status":"False","reason":"Suspended"}],"atProvider":{"replicas":2,"desiredReplicas":3}}}`),
		"deployments.apps":                one(`{"kind":"Deployment","metadata":{"name":"coder"},"spec":{"replicas":2},"status":{"availableReplicas":1,"updatedReplicas":2}}`),
		"pods": {
			parsed[object](t, `{"metadata":{"name":"z"},"spec":{"schedulingGates":[{"name":"southwest.ai/slot"}]},"status":{"phase":"Pending","conditions":[
				{"type":"PodScheduled","status":"False","reason":"SchedulingGated","message":"gated"},{"type":"southwest.ai/slot","status":"False","reason":"StateMissing","message":"slot 2 had a checkpoint"}]}}`),
			parsed[object](t, `{"metadata":{"name":"b","annotations":{"southwest.ai/slot":"1","southwest.ai/epoch":"4"}},"status":{"phase":"Pending","initContainerStatuses":[
				{"name":"restore","state":{"waiting":{"reason":"CrashLoopBackOff","message":"back-off"}},"lastState":{"terminated":{"reason":"Error","exitCode":1,"message":"the store does not answer\n"}}}]}}`),
			parsed[object](t, `{"metadata":{"name":"a","annotations":{"southwest.ai/slot":"0","southwest.ai/epoch":"3"}},"status":{"phase":"Running","containerStatuses":[
				{"name":"agent","ready":true,"restartCount":3,"lastState":{"terminated":{"reason":"OOMKilled","exitCode":137}}}]}}`),
		},
	}
}

const tracedTree = `AIDispatcher team-a/coder  WRONG  Ready, Degraded
├─ Checkpoint coder  WRONG  2 slots with a state, 0 hibernated, newest 30s old
├─ AgentScaler coder  ok  asks for 2, wants 3
├─ Deployment coder  ok  1 of 2 workers available, 2 up to date
│  ├─ Pod a  WRONG  slot 0 under epoch 3, Running, Active, 2 in flight
│  │  └─ checkpoint 0/0000000003-0000000007  ok  30s old, 5 files, 4.0Ki
│  ├─ Pod b  WRONG  slot 1 under epoch 4, Pending
│  └─ Pod z  WRONG  waits for a slot
└─ vectorcollections.agent.southwest.ai ?  WRONG

What is wrong, the cause before what follows from it:
  Checkpoint coder: slot 1: its newest checkpoint cannot be read
  Pod a: container agent was ended 3 times, last for its memory: raise its limit in the catalog
  Pod b: container restore waits (CrashLoopBackOff): the store does not answer
  Pod z: StateMissing: slot 2 had a checkpoint
  vectorcollections.agent.southwest.ai ?: cannot be read: forbidden
  AIDispatcher team-a/coder: WorkersAvailable is False (SomeUnavailable): not all workers are available
`

func TestTrace(t *testing.T) {
	two, saved := int64(2), traceNow.Add(-30*time.Second)
	said := map[string]monitorapi.Status{"a": {Slot: "0", State: monitorapi.StateActive, Tasks: monitorapi.Tasks{Known: true, InFlight: &two}, Checkpoint: &monitorapi.Checkpoint{
		Position: "0000000003-0000000007", Time: &saved, Files: 5, Bytes: 4096,
	}}}
	root := assemble(parsed[claimed](t, tracedPool), tracedObjects(t), map[string]error{"vectorcollections.agent.southwest.ai": errors.New("forbidden")}, said, traceNow)

	var out strings.Builder

	root.draw(&out, "", "")
	tellWrong(&out, root)

	if diff := cmp.Diff(tracedTree, out.String()); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}

	well := assemble(parsed[claimed](t, `{"metadata":{"name":"coder","namespace":"team-a"},"status":{"currentPhase":"Suspended","conditions":[{"type":"WorkersAvailable","status":"False","reason":"Suspended"}]}}`), nil, nil, nil, traceNow)
	if well.anyWrong() {
		t.Errorf("a pool that is suspended is said to be wrong: %v", well.Wrong)
	}

	if fresh := assemble(parsed[claimed](t, `{}`), nil, nil, nil, traceNow); !fresh.anyWrong() {
		t.Error("a pool that nobody looks after is said to be well")
	}
}

func TestPoolName(t *testing.T) {
	for text, want := range map[string]string{"coder": "coder", "ad/coder": "coder", "AIDispatcher/coder": "coder", "pod/coder": ""} {
		if got, err := poolName(text); got != want || (err != nil) != (want == "") {
			t.Errorf("poolName(%q) = %q, error %v, want %q", text, got, err, want)
		}
	}
}

func TestTopTable(t *testing.T) {
	list := parsed[[]claimed](t, `[{"metadata":{"name":"b","namespace":"team-a"},"spec":{"role":"coder"},"status":{"currentPhase":"Ready","state":"Steady","replicas":3,"availableReplicas":2,
		"activeWorkers":1,"queueDepth":17,"tokensPerMinute":90,"tokenUsage":1200,"lastScale":{"time":"2026-11-01T11:57:00Z","from":2,"to":3,"reason":"LoadHigher"}}},
		{"metadata":{"name":"a","namespace":"team-b"},"spec":{"role":"planner"}},{"metadata":{"name":"a","namespace":"team-a"},"spec":{"role":"planner"},"status":{"queueDepth":3}}]`)

	cases := map[string]struct {
		reason string
		cmd    TopCmd
		want   string
	}{
		"Names": {reason: "By namespace and name; what is not known is a dash.", cmd: TopCmd{format: format{Output: "table"}, Sort: "name"}, want: `NAME   ROLE      PHASE   STATE    WORKERS   ACTIVE   QUEUE   TOKENS/MIN   TOKENS   LAST CHANGE
a      planner   -       -        -/-       -        3       -            -        -
b      coder     Ready   Steady   2/3       1        17      90           1200     2 to 3, LoadHigher, 3m0s ago
a      planner   -       -        -/-       -        -       -            -        -
`},
		"Queue": {reason: "The most first, and last what is not known.", cmd: TopCmd{format: format{Output: "table"}, Sort: "queue", AllNamespaces: true}, want: `NAMESPACE   NAME   ROLE      PHASE   STATE    WORKERS   ACTIVE   QUEUE   TOKENS/MIN   TOKENS   LAST CHANGE
team-a      b      coder     Ready   Steady   2/3       1        17      90           1200     2 to 3, LoadHigher, 3m0s ago
team-a      a      planner   -       -        -/-       -        3       -            -        -
team-b      a      planner   -       -        -/-       -        -       -            -        -
`},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			lines := make([]PoolLine, 0, len(list))
			for _, p := range list {
				lines = append(lines, p.line())
			}

			tc.cmd.order(lines)

			var out strings.Builder
			err := tc.cmd.show(&Output{Out: &out, Now: func() time.Time { return traceNow }}, lines)

			if diff := cmp.Diff(tc.want, out.String()); err != nil || diff != "" {
				t.Errorf("%s\nerror %v, -want, +got:\n%s", tc.reason, err, diff)
			}
		})
	}
}
