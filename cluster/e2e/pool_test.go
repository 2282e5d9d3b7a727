//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A claim becomes as many agents as it asks for, and says so.
func TestCreate(t *testing.T) {
	t.Parallel()

	ns := namespace(t)
	ad := create(t, ns, "quickstart")
	settled(t, ad, 3)

	out := command(t, "kubectl", "get", "ad", "-n", ns)
	for _, want := range []string{"NAME", "ROLE", "REPLICAS", "PHASE", "AGE", "coder-agent-pool", "coder", "3", "Ready"} {
		if !strings.Contains(out, want) {
			t.Errorf("kubectl get ad does not show %q:\n%s", want, out)
		}
	}
}

// An agent answers a task through its model, with everything between them in place.
func TestTask(t *testing.T) {
	t.Parallel()

	ns := namespace(t)
	ad := create(t, ns, "quickstart", sized(1))
	settled(t, ad, 1)

	out := command(t, "kubectl", "create", "--raw",
		"/api/v1/namespaces/"+ns+"/services/http:coder-agent-pool:http/proxy/message:send", "-f", filepath.Join(root, "cluster/demo/task.json"))
	for _, want := range []string{"TASK_STATE_COMPLETED", "Write a function that adds two numbers."} {
		if !strings.Contains(out, want) {
			t.Errorf("the answer does not contain %q: %s", want, out)
		}
	}
}

// The size follows the claim, out and in.
func TestEditReplicas(t *testing.T) {
	t.Parallel()

	ad := create(t, namespace(t), "quickstart")
	settled(t, ad, 3)

	for _, n := range []int32{10, 3} {
		edit(t, ad, sized(n))
		settled(t, ad, n)
	}
}

// kubectl scale works on the claim itself.
func TestKubectlScale(t *testing.T) {
	t.Parallel()

	ns := namespace(t)
	ad := create(t, ns, "quickstart", sized(1))
	settled(t, ad, 1)

	command(t, "kubectl", "scale", "-n", ns, "ad/coder-agent-pool", "--replicas=4")
	settled(t, ad, 4)
}

// A Deployment that somebody scales is put back, and that is said.
func TestDriftIsPutBack(t *testing.T) {
	t.Parallel()

	ns := namespace(t)
	ad := create(t, ns, "quickstart", sized(2))
	settled(t, ad, 2)

	command(t, "kubectl", "scale", "-n", ns, "deployment/coder-agent-pool", "--replicas=5")
	eventually(t, "the drift is put back, with a reason", func(ctx context.Context) error {
		s := &agentv1alpha1.AgentScaler{}
		if err := kube.Get(ctx, client.ObjectKeyFromObject(ad), s); err != nil {
			return err
		}

		if l := s.Status.AtProvider.LastScale; l == nil || l.Reason != agentv1alpha1.ScaleReasonDriftCorrected || l.From != 5 || l.To != 2 {
			return fmt.Errorf("lastScale is %+v", l)
		}

		return nil
	})
	settled(t, ad, 2)
}

// A worker that dies comes back in its slot; the others keep theirs.
func TestKilledPodComesBackInItsSlot(t *testing.T) {
	t.Parallel()

	ad := create(t, namespace(t), "quickstart")
	before := settled(t, ad, 3)

	victim := before["1"]
	if err := kube.Delete(t.Context(), &victim, client.GracePeriodSeconds(1)); err != nil {
		t.Fatal(err)
	}

	eventually(t, "another pod holds slot 1", func(ctx context.Context) error {
		after, err := workers(ctx, ad, 3)
		if err != nil {
			return err
		}

		if p := after["1"]; p.GetUID() == victim.GetUID() {
			return fmt.Errorf("slot 1 is still held by %s", p.GetName())
		}

		for _, slot := range []string{"0", "2"} {
			if got, want := after[slot], before[slot]; got.GetUID() != want.GetUID() {
				t.Fatalf("slot %s moved from %s to %s", slot, want.GetName(), got.GetName())
			}
		}

		return nil
	})

	after := settled(t, ad, 3)["1"]
	if was, is := epoch(t, victim), epoch(t, after); is <= was {
		t.Errorf("the epoch of slot 1 did not rise: %d, then %d", was, is)
	}
}

// epoch returns the epoch under which a worker holds its slot.
func epoch(t *testing.T, p corev1.Pod) int64 {
	t.Helper()

	n, err := strconv.ParseInt(p.GetAnnotations()[monitorapi.AnnotationEpoch], 10, 64)
	if err != nil {
		t.Fatalf("%s has no epoch: %v", p.GetName(), err)
	}

	return n
}

// An agent whose process is killed starts again in its pod, and so in its slot.
func TestKilledAgentComesBackInItsSlot(t *testing.T) {
	t.Parallel()

	ad := create(t, namespace(t), "quickstart", sized(2))
	victim := settled(t, ad, 2)["0"]
	kill(t, string(victim.GetUID()), "/agent")

	eventually(t, "the agent was started again", func(ctx context.Context) error {
		p := &corev1.Pod{}
		if err := kube.Get(ctx, client.ObjectKeyFromObject(&victim), p); err != nil {
			return err
		}

		if n := p.Status.ContainerStatuses[0].RestartCount; n < 1 {
			return fmt.Errorf("it was started %d times anew", n)
		}

		return nil
	})

	if p := settled(t, ad, 2)["0"]; p.GetUID() != victim.GetUID() {
		t.Errorf("slot 0 went from %s to %s", victim.GetName(), p.GetName())
	}
}

// kill kills the process of a pod that runs a program. The cluster's node is this machine.
func kill(t *testing.T, uid, program string) {
	t.Helper()

	procs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}

	for _, p := range procs {
		cgroup, _ := os.ReadFile(filepath.Join(p, "cgroup")) // A process may be gone by now.
		cmdline, _ := os.ReadFile(filepath.Join(p, "cmdline"))

		// A systemd cgroup writes a UID's dashes as underscores.
		of := strings.Contains(string(cgroup), uid) || strings.Contains(string(cgroup), strings.ReplaceAll(uid, "-", "_"))
		if of && strings.ReplaceAll(strings.TrimRight(string(cmdline), "\x00"), "\x00", " ") == program {
			command(t, "kill", "-9", filepath.Base(p))

			return
		}
	}

	t.Fatalf("no process of pod %s runs %s on this machine: this test needs the one-machine cluster", uid, program)
}

// The provider may be restarted in the middle of a change. It is everybody's provider, so no other test runs meanwhile.
func TestProviderRestart(t *testing.T) {
	ad := create(t, namespace(t), "quickstart", sized(2))
	settled(t, ad, 2)

	edit(t, ad, sized(6))

	killProvider(t)
	settled(t, ad, 6)
}

// providerPods are those that the provider runs in.
func providerPods(ctx context.Context) ([]corev1.Pod, error) {
	pods := &corev1.PodList{}
	err := kube.List(ctx, pods, client.InNamespace("crossplane-system"), client.MatchingLabels{"pkg.crossplane.io/provider": "southwest-ai-provider-aidispatcher"})

	return pods.Items, err
}

// killProvider ends the provider without giving it time to finish anything.
func killProvider(t *testing.T) {
	t.Helper()

	pods, err := providerPods(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	if len(pods) == 0 {
		t.Fatal("there is no provider to restart")
	}

	for i := range pods {
		if err := kube.Delete(t.Context(), &pods[i], client.GracePeriodSeconds(0)); err != nil {
			t.Fatal(err)
		}
	}
}

// stopProvider has the provider gone until start is called, or the test ends.
func stopProvider(t *testing.T) (start func()) {
	t.Helper()

	revision := strings.TrimSpace(command(t, "kubectl", "get", "providerrevisions", "-l", "pkg.crossplane.io/package=southwest-ai-provider-aidispatcher",
		"-o", `jsonpath={.items[?(@.spec.desiredState=="Active")].metadata.name}`))
	kubectl := func(args ...string) {
		if err := try("kubectl", args...); err != nil {
			t.Error(err)
		}
	}

	start = sync.OnceFunc(func() {
		kubectl("scale", "-n", "crossplane-system", "deployment/"+revision, "--replicas=1")
		kubectl("annotate", "providerrevision/"+revision, "crossplane.io/paused-")
	})
	t.Cleanup(start)

	// Or Crossplane would bring it back.
	kubectl("annotate", "--overwrite", "providerrevision/"+revision, "crossplane.io/paused=true")
	kubectl("scale", "-n", "crossplane-system", "deployment/"+revision, "--replicas=0")

	eventually(t, "the provider is gone", func(ctx context.Context) error {
		pods, err := providerPods(ctx)
		if err == nil && len(pods) > 0 {
			err = fmt.Errorf("%s is there", pods[0].GetName())
		}

		return err
	})

	return start
}

// A suspended pool has no workers and comes back at its size.
func TestSuspendAndResume(t *testing.T) {
	t.Parallel()

	ad := create(t, namespace(t), "quickstart", sized(2))
	settled(t, ad, 2)

	edit(t, ad, func(ad *v1alpha1.AIDispatcher) { ad.Spec.Suspend = true })
	phase(t, ad, v1alpha1.PhaseSuspended)
	edit(t, ad, func(ad *v1alpha1.AIDispatcher) { ad.Spec.Suspend = false })
	settled(t, ad, 2)
}

// Agents without state have no slot to wait for.
func TestStateless(t *testing.T) {
	t.Parallel()

	ad := create(t, namespace(t), "stateless")
	phase(t, ad, v1alpha1.PhaseReady)
}

// sized asks for a number of workers.
func sized(n int32) func(*v1alpha1.AIDispatcher) {
	return func(ad *v1alpha1.AIDispatcher) { ad.Spec.Replicas = ptr.To(n) }
}

// edit changes an AIDispatcher as kubectl edit does.
func edit(t *testing.T, ad *v1alpha1.AIDispatcher, change func(*v1alpha1.AIDispatcher)) {
	t.Helper()

	now := &v1alpha1.AIDispatcher{}
	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(ad), now); err != nil {
		t.Fatal(err)
	}

	was := now.DeepCopy()
	change(now)

	if err := kube.Patch(t.Context(), now, client.MergeFrom(was)); err != nil {
		t.Fatal(err)
	}
}

// phase waits until a pool says that it is in a phase.
func phase(t *testing.T, ad *v1alpha1.AIDispatcher, want v1alpha1.Phase) {
	t.Helper()
	eventually(t, "the pool is "+string(want), func(ctx context.Context) error {
		now := &v1alpha1.AIDispatcher{}
		if err := kube.Get(ctx, client.ObjectKeyFromObject(ad), now); err != nil {
			return err
		}

		if now.Status.CurrentPhase != want {
			return fmt.Errorf("it is %q (%s)", now.Status.CurrentPhase, now.Status.State)
		}

		return nil
	})
}

// settled waits until a pool has n workers and says so, and returns them by slot.
func settled(t *testing.T, ad *v1alpha1.AIDispatcher, n int32) map[string]corev1.Pod {
	t.Helper()

	var bySlot map[string]corev1.Pod

	eventually(t, fmt.Sprintf("the pool has %d workers and says so", n), func(ctx context.Context) (err error) {
		now := &v1alpha1.AIDispatcher{}
		if err := kube.Get(ctx, client.ObjectKeyFromObject(ad), now); err != nil {
			return err
		}

		s := now.Status
		if s.CurrentPhase != v1alpha1.PhaseReady && s.CurrentPhase != v1alpha1.PhaseProcessing || s.State != v1alpha1.StateSteady || ptr.Deref(s.Replicas, -1) != n || ptr.Deref(s.AvailableReplicas, -1) != n || s.GetCondition("Ready").Status != corev1.ConditionTrue {
			return fmt.Errorf("phase %q, state %q, replicas %d, available %d, Ready %q", s.CurrentPhase, s.State, ptr.Deref(s.Replicas, -1), ptr.Deref(s.AvailableReplicas, -1), s.GetCondition("Ready").Status)
		}

		d := &appsv1.Deployment{}
		if err := kube.Get(ctx, client.ObjectKeyFromObject(ad), d); err != nil {
			return err
		}

		if ptr.Deref(d.Spec.Replicas, -1) != n || d.Status.ReadyReplicas != n {
			return fmt.Errorf("the Deployment asks for %d and has %d ready", ptr.Deref(d.Spec.Replicas, -1), d.Status.ReadyReplicas)
		}

		bySlot, err = workers(ctx, ad, n)

		return err
	})

	return bySlot
}

// workers returns the n ready workers of a pool by slot. No slot may be held twice, at any time.
func workers(ctx context.Context, ad *v1alpha1.AIDispatcher, n int32) (map[string]corev1.Pod, error) {
	pods := &corev1.PodList{}
	if err := kube.List(ctx, pods, client.InNamespace(ad.GetNamespace()), client.MatchingLabels{monitorapi.LabelDispatcher: ad.GetName()}); err != nil {
		return nil, err
	}

	out := map[string]corev1.Pod{}

	for _, p := range pods.Items {
		slot := p.GetAnnotations()[monitorapi.AnnotationSlot]

		if other, twice := out[slot]; twice && slot != "" {
			return nil, fmt.Errorf("slot %s is held by %s and by %s", slot, other.GetName(), p.GetName())
		}

		out[slot] = p

		ready := slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		})
		if slot == "" || !ready || p.GetDeletionTimestamp() != nil {
			return nil, fmt.Errorf("%s has slot %q, ready %t", p.GetName(), slot, ready)
		}
	}

	if len(out) != int(n) {
		return nil, fmt.Errorf("there are %d workers", len(out))
	}

	return out, nil
}
