//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// hand gives one worker a task that takes a while, and returns its id.
func hand(t *testing.T, p corev1.Pod, seconds int) string {
	t.Helper()

	body := fmt.Sprintf(`{"message":{"messageId":"long-%d","role":"ROLE_USER","parts":[{"text":"[delay %ds] This takes a while."}]},"configuration":{"returnImmediately":true}}`, time.Now().UnixNano(), seconds)

	rsp, err := http.Post("http://"+p.Status.PodIP+":9799/message:send", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()

	var answer struct{ Task struct{ ID string } }
	if err := json.NewDecoder(rsp.Body).Decode(&answer); err != nil || answer.Task.ID == "" {
		t.Fatalf("the worker answers %s: %v", rsp.Status, err)
	}

	return answer.Task.ID
}

// occupy gives one worker a task that takes a while, waits until it is at it, and returns its id.
func occupy(t *testing.T, p corev1.Pod, seconds int) string {
	t.Helper()

	id := hand(t, p, seconds)

	eventually(t, "the worker is busy", func(ctx context.Context) error {
		s, err := workerStatus(ctx, p)
		if err != nil || !is(s.Tasks.InFlight, 1) {
			return fmt.Errorf("it says %+v, %w", s.Tasks, err)
		}

		return nil
	})

	return id
}

// completed waits until a worker has done a task, which may take as long as the longest that a test hands out.
func completed(t *testing.T, p corev1.Pod, task string) {
	t.Helper()

	done := func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Status.PodIP+":9799/tasks/"+task, nil)
		if err != nil {
			return err
		}

		rsp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer rsp.Body.Close()

		var is struct{ Status struct{ State string } }
		if err := json.NewDecoder(rsp.Body).Decode(&is); err != nil || is.Status.State != "TASK_STATE_COMPLETED" {
			return fmt.Errorf("it is %q, %w", is.Status.State, err)
		}

		return nil
	}

	var last error

	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		if last = done(t.Context()); last == nil {
			return
		}
	}

	t.Fatalf("waited five minutes for the task to be done: %v", last)
}

// A pool that is made smaller loses those that have nothing to do, whatever their slots, and only after their state is safe: who
// comes back knows what they knew.
func TestRemovalSparesTheBusy(t *testing.T) {
	t.Parallel()

	ns := namespace(t)
	startObjects(t, ns)

	ad := create(t, ns, "quickstart", sized(5), saving)
	before := settled(t, ad, 5)
	tasks := remembered(t, before, "Remember slot")
	long := occupy(t, before["3"], 60)

	edit(t, ad, sized(1))

	after := settled(t, ad, 1)
	if after["3"].UID != before["3"].UID {
		t.Errorf("the busy worker of slot 3 was removed: there is %v", slotsOf(after))
	}

	completed(t, before["3"], long)

	s := &agentv1alpha1.AgentScaler{}
	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(ad), s); err != nil {
		t.Fatal(err)
	}

	if l := s.Status.AtProvider.LastScale; l == nil || l.From != 5 || l.To != 1 {
		t.Errorf("the scaler does not say what it did: %+v", l)
	}

	nothingLeft(t, ad, 1)
	edit(t, ad, sized(5))
	recalled(t, settled(t, ad, 5), tasks, "Remember slot")
}

// A provider that is killed again and again in the middle of it goes on where it was.
func TestRemovalWhileTheProviderDies(t *testing.T) {
	ns := namespace(t)
	startObjects(t, ns)

	ad := create(t, ns, "quickstart", sized(6), saving)
	before := settled(t, ad, 6)
	tasks := remembered(t, before, "Remember slot")
	long := occupy(t, before["2"], 90)

	edit(t, ad, sized(1))

	for range 3 {
		killProvider(t)
		eventually(t, "the provider is back", func(ctx context.Context) error {
			pods := &corev1.PodList{}
			if err := kube.List(ctx, pods, client.InNamespace("crossplane-system"), client.MatchingLabels{"pkg.crossplane.io/provider": "southwest-ai-provider-aidispatcher"}); err != nil {
				return err
			}

			for _, p := range pods.Items {
				if p.DeletionTimestamp == nil && p.Status.Phase == corev1.PodRunning {
					return nil
				}
			}

			return fmt.Errorf("there are %d pods, and none runs", len(pods.Items))
		})
	}

	after := settled(t, ad, 1)
	if after["2"].UID != before["2"].UID {
		t.Errorf("the busy worker of slot 2 was removed: there is %v", slotsOf(after))
	}

	completed(t, before["2"], long)
	nothingLeft(t, ad, 1)
	edit(t, ad, sized(6))
	recalled(t, settled(t, ad, 6), tasks, "Remember slot")
}

// A change of mind lets those serve again that were about to go.
func TestRemovalWithdrawn(t *testing.T) {
	t.Parallel()

	ns := namespace(t)
	startObjects(t, ns)

	ad := create(t, ns, "quickstart", sized(2), saving)
	before := settled(t, ad, 2)

	for _, p := range before {
		occupy(t, p, 45)
	}

	edit(t, ad, sized(1))
	eventually(t, "one of them is told to drain", func(ctx context.Context) error {
		pods := &corev1.PodList{}
		if err := kube.List(ctx, pods, client.InNamespace(ns), client.MatchingLabels{monitorapi.LabelDispatcher: ad.GetName()}); err != nil {
			return err
		}

		for _, p := range pods.Items {
			if p.Annotations[monitorapi.AnnotationDrain] != "" {
				return nil
			}
		}

		return fmt.Errorf("none of %d does", len(pods.Items))
	})
	edit(t, ad, sized(2))

	for slot, p := range settled(t, ad, 2) {
		if p.UID != before[slot].UID {
			t.Errorf("the worker of slot %s was replaced", slot)
		}
	}

	nothingLeft(t, ad, 2)
}

// nothingLeft wants a pool to have n pods, and none of them to bear a trace of a removal.
func nothingLeft(t *testing.T, ad *v1alpha1.AIDispatcher, n int) {
	t.Helper()
	eventually(t, "nothing is left of the removal", func(ctx context.Context) error {
		pods := &corev1.PodList{}
		if err := kube.List(ctx, pods, client.InNamespace(ad.GetNamespace()), client.MatchingLabels{monitorapi.LabelDispatcher: ad.GetName()}); err != nil {
			return err
		}

		for _, p := range pods.Items {
			if p.Annotations[monitorapi.AnnotationDrain] != "" || p.Labels["pod-template-hash"] == "" || len(p.Spec.SchedulingGates) > 0 {
				return fmt.Errorf("%s has labels %v, annotations %v and gates %v", p.GetName(), p.Labels, p.Annotations, p.Spec.SchedulingGates)
			}
		}

		if len(pods.Items) != n {
			return fmt.Errorf("there are %d pods", len(pods.Items))
		}

		return nil
	})
}

func slotsOf(pods map[string]corev1.Pod) []string {
	var out []string
	for slot, p := range pods {
		out = append(out, slot+": "+p.GetName())
	}

	return out
}
