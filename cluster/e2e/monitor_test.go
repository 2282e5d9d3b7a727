//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A worker's monitor knows what its agent has to do and what its model billed, without the agent's help.
func TestTasksAndTokensAreSeen(t *testing.T) {
	t.Parallel()

	ns := namespace(t)
	worker := settled(t, create(t, ns, "quickstart", sized(1)), 1)["0"]

	statusSays(t, worker, "an idle worker", func(s monitorapi.Status) bool { return s.Tasks.Known && is(s.Tasks.QueueDepth, 0) })
	tell(t, ns, "ada", "I am Ada.")
	statusSays(t, worker, "what the model billed", func(s monitorapi.Status) bool {
		return s.Tokens != nil && s.Tokens.Requests == 1 && s.Tokens.Input > 0 && s.Tokens.Output > 0 && s.Tokens.Missing == 0
	})

	tellLater(t, ns, "bob", "[delay 5s] I am Bob.")
	statusSays(t, worker, "a task in flight", func(s monitorapi.Status) bool {
		return is(s.Tasks.QueueDepth, 1) && is(s.Tasks.InFlight, 1)
	})

	s := status(t, worker)
	page := command(t, "kubectl", "get", "--raw", podPath(worker, monitorapi.Port, monitorapi.PathMetrics))

	for _, want := range []string{
		fmt.Sprintf(`agent_tokens_total{direction="input",dispatcher="coder-agent-pool",model="gpt-4",namespace=%q,role="coder"} %d`, ns, s.Tokens.Input),
		fmt.Sprintf(`agent_tokens_total{direction="output",dispatcher="coder-agent-pool",model="gpt-4",namespace=%q,role="coder"} %d`, ns, s.Tokens.Output),
		fmt.Sprintf(`agent_queue_depth{dispatcher="coder-agent-pool",namespace=%q,role="coder"}`, ns),
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the metrics lack %s in\n%s", want, page)
		}
	}
}

// A worker that is told to drain refuses what is new, finishes what it has, and comes back when the drain is withdrawn.
func TestDrainWaitsForTheTask(t *testing.T) {
	t.Parallel()

	ns := namespace(t)
	worker := settled(t, create(t, ns, "quickstart", sized(1)), 1)["0"]

	tellLater(t, ns, "ada", "[delay 15s] I am Ada.")
	statusSays(t, worker, "a task in flight", func(s monitorapi.Status) bool { return is(s.Tasks.InFlight, 1) })

	annotate(t, worker, monitorapi.AnnotationDrain+"=d1")
	statusSays(t, worker, "a draining worker", func(s monitorapi.Status) bool {
		return s.State == monitorapi.StateDraining && !s.Ready && s.DrainID == "d1"
	})

	inbound := podPath(worker, monitorapi.InboundPort, "/message:send")
	out, err := exec.CommandContext(t.Context(), "kubectl", "create", "--raw", inbound, "-f", filepath.Join(root, "cluster/demo/task.json")).CombinedOutput()

	if err == nil {
		t.Errorf("a draining worker took a task: %s", out)
	}

	if got := status(t, worker); got.State != monitorapi.StateDraining || !is(got.Tasks.InFlight, 1) {
		t.Errorf("the task that was there is not waited for: %+v", got)
	}

	statusSays(t, worker, "a drained worker", func(s monitorapi.Status) bool { return s.State == monitorapi.StateDrained && is(s.Tasks.QueueDepth, 0) })

	if tasks := command(t, "kubectl", "get", "--raw", podPath(worker, monitorapi.InboundPort, "/tasks")); !strings.Contains(tasks, "TASK_STATE_COMPLETED") {
		t.Errorf("the task was not finished, or nobody can ask: %s", tasks)
	}

	annotate(t, worker, monitorapi.AnnotationDrain+"-")
	statusSays(t, worker, "a worker that serves again", func(s monitorapi.Status) bool { return s.State == monitorapi.StateActive && s.Ready })
	eventually(t, "the Service leads to it again", func(ctx context.Context) error {
		p := &corev1.Pod{}
		if err := kube.Get(ctx, client.ObjectKeyFromObject(&worker), p); err != nil {
			return err
		}

		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				return nil
			}
		}

		return fmt.Errorf("it is not ready: %+v", p.Status.Conditions)
	})
	tell(t, ns, "eve", "I am Eve.")
}

func is(n *int64, want int64) bool { return n != nil && *n == want }

func annotate(t *testing.T, p corev1.Pod, annotation string) {
	t.Helper()
	command(t, "kubectl", "annotate", "pod", "-n", p.GetNamespace(), p.GetName(), annotation)
}

func podPath(p corev1.Pod, port int, path string) string {
	return fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:%d/proxy%s", p.GetNamespace(), p.GetName(), port, path)
}

// status asks a worker's monitor.
func status(t *testing.T, p corev1.Pod) monitorapi.Status {
	t.Helper()

	var s monitorapi.Status
	if err := json.Unmarshal([]byte(command(t, "kubectl", "get", "--raw", podPath(p, monitorapi.Port, monitorapi.PathStatus))), &s); err != nil {
		t.Fatal(err)
	}

	return s
}

// statusSays waits until a worker's monitor says what is wanted.
func statusSays(t *testing.T, p corev1.Pod, what string, want func(monitorapi.Status) bool) {
	t.Helper()

	eventually(t, what, func(context.Context) error {
		if s := status(t, p); !want(s) {
			b, _ := json.Marshal(s)

			return fmt.Errorf("the status is %s", b)
		}

		return nil
	})
}
