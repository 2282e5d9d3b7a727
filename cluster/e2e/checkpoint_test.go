//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
	objects "github.com/southwest-ai/agent-operator/internal/checkpoint/store"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/storetest"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// startObjects starts an S3 server on this machine for namespaces, and tells each of them where it is. What they keep in it is let
// go before it ends.
func startObjects(t *testing.T, namespaces ...string) objects.Config {
	t.Helper()

	s3 := storetest.StartS3(t)
	s3.MakeBucket(t, "states")

	u, err := url.Parse(s3.Endpoint)
	if err != nil {
		t.Fatal(err)
	}

	c := storetest.ConfigAt("http://"+forward(t, nodeAddress(t), u.Host), "states", "", s3.Root)

	for _, ns := range namespaces {
		configureObjects(t, ns, c)
		t.Cleanup(func() { letGo(t, ns) })
	}

	return c
}

// letGo deletes a namespace's pools and waits until their repositories are let go, and their workers have saved and are gone: who stops
// the store before has them wait for it as long as they may.
func letGo(t *testing.T, ns string) {
	t.Helper()

	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()

	if t.Failed() {
		explain(ctx, t, ns)
	}

	if err := kube.DeleteAllOf(ctx, &v1alpha1.AIDispatcher{}, client.InNamespace(ns)); err != nil {
		t.Error(err)
	}

	for {
		checkpoints, pods := &agentv1alpha1.CheckpointList{}, &corev1.PodList{}
		if err := errors.Join(kube.List(ctx, checkpoints, client.InNamespace(ns)), kube.List(ctx, pods, client.InNamespace(ns), client.HasLabels{monitorapi.LabelDispatcher})); err != nil {
			t.Errorf("cannot wait until the repositories are let go: %v", err)

			return
		}

		if len(checkpoints.Items)+len(pods.Items) == 0 {
			return
		}

		time.Sleep(100 * time.Millisecond)
	}
}

func configureObjects(t *testing.T, ns string, c objects.Config) {
	t.Helper()

	meta := metav1.ObjectMeta{Namespace: ns, Name: "states"}
	secret := &corev1.Secret{ObjectMeta: meta, Data: map[string][]byte{"credentials": c.Credentials}}
	config := &agentv1alpha1.ProviderConfig{ObjectMeta: meta, Spec: agentv1alpha1.ProviderConfigSpec{CheckpointStore: &agentv1alpha1.CheckpointStore{
		URL: c.URL,
		Credentials: &agentv1alpha1.Credentials{Source: xpv2.CredentialsSourceSecret, CommonCredentialSelectors: xpv2.CommonCredentialSelectors{
			SecretRef: &xpv2.SecretKeySelector{SecretReference: xpv2.SecretReference{Namespace: ns, Name: "states"}, Key: "credentials"},
		}},
	}}}

	for _, o := range []client.Object{secret, config} {
		if err := kube.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

// saving asks for checkpoints in the namespace's store, as often as can be.
func saving(ad *v1alpha1.AIDispatcher) {
	seconds := int32(5)
	ad.Spec.Checkpoint = &v1alpha1.Checkpoint{IntervalSeconds: &seconds, ProviderConfigRef: &xpv2.ProviderConfigReference{Kind: "ProviderConfig", Name: "states"}}
}

// remembered gives each worker a task of its own and returns the tasks' ids by slot.
func remembered(t *testing.T, pods map[string]corev1.Pod, words string) map[string]string {
	t.Helper()

	out := map[string]string{}

	for slot, p := range pods {
		body := fmt.Sprintf(`{"message":{"messageId":"m-%s-%d","role":"ROLE_USER","parts":[{"text":%q}]}}`, slot, time.Now().UnixNano(), words+" "+slot)

		rsp, err := http.Post("http://"+p.Status.PodIP+":9799/message:send", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}

		var answer struct {
			Task struct {
				ID string `json:"id"`
			} `json:"task"`
		}

		err = json.NewDecoder(rsp.Body).Decode(&answer)
		_ = rsp.Body.Close()

		if err != nil || answer.Task.ID == "" {
			t.Fatalf("slot %s answers %s, %v", slot, rsp.Status, err)
		}

		out[slot] = answer.Task.ID
	}

	return out
}

// recalled wants each slot's worker to know its task, with what was said, and none of the others'.
func recalled(t *testing.T, pods map[string]corev1.Pod, tasks map[string]string, words string) {
	t.Helper()

	for slot, id := range tasks {
		p, ok := pods[slot]
		if !ok {
			t.Errorf("there is no worker of slot %s", slot)

			continue
		}

		rsp, err := http.Get("http://" + p.Status.PodIP + ":9799/tasks/" + id)
		if err != nil {
			t.Fatal(err)
		}

		var said struct {
			History json.RawMessage `json:"history"`
		}

		err = json.NewDecoder(rsp.Body).Decode(&said)
		_ = rsp.Body.Close()

		if rsp.StatusCode != http.StatusOK || err != nil || !strings.Contains(string(said.History), words+" "+slot) {
			t.Errorf("the worker of slot %s answers %s for its task: %s, %v", slot, rsp.Status, said.History, err)
		}
	}
}

// workerStatus asks a worker's monitor.
func workerStatus(ctx context.Context, p corev1.Pod) (monitorapi.Status, error) {
	var s monitorapi.Status

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://%s:%d%s", p.Status.PodIP, monitorapi.Port, monitorapi.PathStatus), nil)
	if err != nil {
		return s, err
	}

	rsp, err := http.DefaultClient.Do(req)
	if err != nil {
		return s, err
	}
	defer rsp.Body.Close()

	err = json.NewDecoder(rsp.Body).Decode(&s)

	return s, err
}

// saved waits until what workers know now is in a checkpoint.
func saved(t *testing.T, pods map[string]corev1.Pod) {
	t.Helper()

	since := time.Now()

	for slot, p := range pods {
		eventually(t, "the state of slot "+slot+" is saved", func(ctx context.Context) error {
			s, err := workerStatus(ctx, p)
			if err != nil {
				return err
			}

			if c := s.Checkpoint; c == nil || c.CurrentAt == nil || !c.CurrentAt.After(since) {
				return fmt.Errorf("it says %+v", c)
			}

			return nil
		})
	}
}

// renewed waits until other pods hold the slots.
func renewed(t *testing.T, ad *v1alpha1.AIDispatcher, n int32, before map[string]corev1.Pod) map[string]corev1.Pod {
	t.Helper()
	eventually(t, "all workers are others", func(ctx context.Context) error {
		now, err := workers(ctx, ad, n)
		if err != nil {
			return err
		}

		for slot, p := range now {
			if was, ok := before[slot]; ok && was.GetUID() == p.GetUID() {
				return fmt.Errorf("slot %s is still held by %s", slot, p.GetName())
			}
		}

		return nil
	})

	return settled(t, ad, n)
}

// replaced waits until another pod holds one slot.
func replaced(t *testing.T, ad *v1alpha1.AIDispatcher, n int32, slot string, was corev1.Pod) map[string]corev1.Pod {
	t.Helper()
	eventually(t, "another worker holds slot "+slot, func(ctx context.Context) error {
		now, err := workers(ctx, ad, n)
		if err != nil {
			return err
		}

		if p := now[slot]; p.GetUID() == was.GetUID() {
			return fmt.Errorf("it is still %s", p.GetName())
		}

		return nil
	})

	return settled(t, ad, n)
}

// What a worker knew its slot's next worker knows: after a graceful end all of it, and after a sudden one what was saved.
func TestStateFollowsTheSlot(t *testing.T) {
	t.Parallel()

	ns := namespace(t)
	startObjects(t, ns)

	ad := create(t, ns, "quickstart", sized(3), saving)
	first := settled(t, ad, 3)
	tasks := remembered(t, first, "Remember slot")

	// Deleted with grace: the last save is made when the agent has ended.
	for _, p := range first {
		if err := kube.Delete(t.Context(), &p); err != nil {
			t.Fatal(err)
		}
	}

	second := renewed(t, ad, 3, first)
	recalled(t, second, tasks, "Remember slot")

	for slot := range second {
		if was, is := epoch(t, first[slot]), epoch(t, second[slot]); is <= was {
			t.Errorf("the epoch of slot %s went from %d to %d", slot, was, is)
		}
	}

	// Evicted: as gracefully, by who drains a node.
	evicted := second["2"]
	if err := kube.SubResource("eviction").Create(t.Context(), &evicted, &policyv1.Eviction{}); err != nil {
		t.Fatal(err)
	}

	second = replaced(t, ad, 3, "2", evicted)
	recalled(t, second, tasks, "Remember slot")

	// The monitor alone is killed: it starts anew beside the agent, and the slot stays where it is.
	saved(t, second)
	kill(t, string(second["0"].UID), "/monitor run")
	saved(t, second)
	recalled(t, settled(t, ad, 3), tasks, "Remember slot")

	// All is killed at once: what was saved before is there.
	victim := second["1"]
	kill(t, string(victim.GetUID()), "/agent")
	kill(t, string(victim.GetUID()), "/monitor run")

	if err := kube.Delete(t.Context(), &victim, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}

	recalled(t, replaced(t, ad, 3, "1", victim), tasks, "Remember slot")

	// And the repository says that it is well.
	eventually(t, "the repository is intact, and was read back", func(ctx context.Context) error {
		c := &agentv1alpha1.Checkpoint{}
		if err := kube.Get(ctx, client.ObjectKeyFromObject(ad), c); err != nil {
			return err
		}

		at := c.Status.AtProvider
		if at.Verified == nil || *at.Verified != 3 || at.Slots == nil || *at.Slots != 3 || c.GetCondition(agentv1alpha1.ConditionIntact).Status != corev1.ConditionTrue {
			return fmt.Errorf("it says %+v", at)
		}

		return nil
	})
}

// Whatever ends a worker while there is no provider, what it knew is there: agent and monitor go on without one, and who comes anew
// waits for it.
func TestStateSurvivesWithoutTheProvider(t *testing.T) {
	ns := namespace(t)
	startObjects(t, ns)

	ad := create(t, ns, "quickstart", sized(4), saving)
	before := settled(t, ad, 4)
	tasks := remembered(t, before, "Remember slot")
	saved(t, before)

	start := stopProvider(t)

	kill(t, string(before["0"].UID), "/agent")
	kill(t, string(before["1"].UID), "/monitor run")

	sudden, graceful := before["2"], before["3"]
	kill(t, string(sudden.UID), "/agent")
	kill(t, string(sudden.UID), "/monitor run")

	if err := kube.Delete(t.Context(), &sudden, client.GracePeriodSeconds(0)); err != nil {
		t.Fatal(err)
	}

	// This one is saved as it ends, and by nothing else.
	last := remembered(t, map[string]corev1.Pod{"3": graceful}, "At last, remember slot")
	if err := kube.SubResource("eviction").Create(t.Context(), &graceful, &policyv1.Eviction{}); err != nil {
		t.Fatal(err)
	}

	eventually(t, "the agent of slot 0 was started again", func(ctx context.Context) error {
		p := &corev1.Pod{}
		if err := kube.Get(ctx, client.ObjectKey{Namespace: ns, Name: before["0"].Name}, p); err != nil {
			return err
		}

		if c := p.Status.ContainerStatuses[0]; c.RestartCount < 1 || !c.Ready {
			return fmt.Errorf("it is %+v", c)
		}

		return nil
	})

	stayed := map[string]corev1.Pod{"0": before["0"], "1": before["1"]}
	saved(t, stayed)
	recalled(t, stayed, map[string]string{"0": tasks["0"], "1": tasks["1"]}, "Remember slot")

	eventually(t, "two workers wait for the provider", func(ctx context.Context) error {
		pods := &corev1.PodList{}
		if err := kube.List(ctx, pods, client.InNamespace(ns), client.MatchingLabels{monitorapi.LabelDispatcher: ad.GetName()}); err != nil {
			return err
		}

		waiting := 0

		for _, p := range pods.Items {
			if len(p.Spec.SchedulingGates) > 0 {
				waiting++
			}
		}

		if waiting != 2 || len(pods.Items) != 4 {
			return fmt.Errorf("%d of %d wait", waiting, len(pods.Items))
		}

		return nil
	})

	start()

	after := settled(t, ad, 4)
	recalled(t, after, tasks, "Remember slot")
	recalled(t, after, last, "At last, remember slot")
}

// A pool that is put aside comes back with all that its workers knew.
func TestSuspendKeepsState(t *testing.T) {
	t.Parallel()

	ns := namespace(t)
	startObjects(t, ns)

	ad := create(t, ns, "quickstart", sized(2), saving)
	before := settled(t, ad, 2)
	tasks := remembered(t, before, "Remember slot")

	edit(t, ad, func(ad *v1alpha1.AIDispatcher) { ad.Spec.Suspend = true })
	phase(t, ad, v1alpha1.PhaseSuspended)
	edit(t, ad, func(ad *v1alpha1.AIDispatcher) { ad.Spec.Suspend = false })
	recalled(t, renewed(t, ad, 2, before), tasks, "Remember slot")
}

// A new image hands each slot over in order, with the provider gone for a part of it.
func TestRolloutKeepsState(t *testing.T) {
	ns := namespace(t)
	startObjects(t, ns)

	ad := create(t, ns, "quickstart", sized(6), saving)
	before := settled(t, ad, 6)
	tasks := remembered(t, before, "Remember slot")

	changeCatalog(t, func(catalog map[string]any) {
		named(t, catalog, "roles", string(ad.Spec.Role))["image"] = byDigest(t, "reference-agent")
	})
	killProvider(t)

	after := renewed(t, ad, 6, before)
	recalled(t, after, tasks, "Remember slot")

	for slot, p := range after {
		if !slices.ContainsFunc(p.Spec.Containers, func(c corev1.Container) bool { return strings.Contains(c.Image, "@sha256:") }) {
			t.Errorf("the worker of slot %s does not run the new image", slot)
		}
	}
}

// A pool goes back to what it knew at a time, and a pool that comes after finds what one before it left.
func TestEarlierState(t *testing.T) {
	t.Parallel()

	ns := namespace(t)
	startObjects(t, ns)

	ad := create(t, ns, "quickstart", sized(1), saving)
	pods := settled(t, ad, 1)
	early := remembered(t, pods, "Early in slot")
	saved(t, pods)

	at := time.Now().UTC()

	time.Sleep(2 * time.Second) // The time that is asked for is known to the second.

	late := remembered(t, pods, "Late in slot")
	saved(t, pods)

	edit(t, ad, func(ad *v1alpha1.AIDispatcher) {
		metav1.SetMetaDataAnnotation(&ad.ObjectMeta, monitorapi.AnnotationRestoreFrom, at.Add(time.Second).Format(time.RFC3339))
	})

	back := renewed(t, ad, 1, pods)
	recalled(t, back, early, "Early in slot")

	rsp, err := http.Get("http://" + back["0"].Status.PodIP + ":9799/tasks/" + late["0"])
	if err != nil {
		t.Fatal(err)
	}

	_ = rsp.Body.Close()

	if rsp.StatusCode != http.StatusNotFound {
		t.Errorf("what came later is there: %s", rsp.Status)
	}

	// Kept on delete, and found by the next pool of that name.
	remove(t, ad)

	ad = create(t, ns, "quickstart", sized(1), saving)
	recalled(t, settled(t, ad, 1), early, "Early in slot")
}

// A pool begins with what another pool, in another namespace and with another key, knows.
func TestStateOfAnotherPool(t *testing.T) {
	t.Parallel()

	from, to := namespace(t), namespace(t)
	c := startObjects(t, from, to)

	ad := create(t, from, "quickstart", sized(2), saving)
	pods := settled(t, ad, 2)
	tasks := remembered(t, pods, "Remember slot")
	saved(t, pods)

	// It waits until there is something to begin with.
	clone := create(t, to, "quickstart", sized(2), saving, func(ad *v1alpha1.AIDispatcher) { ad.Spec.Suspend = true })
	phase(t, clone, v1alpha1.PhaseSuspended)

	dir := t.TempDir()
	credentials := filepath.Join(dir, "credentials")

	if err := os.WriteFile(credentials, c.Credentials, 0o600); err != nil {
		t.Fatal(err)
	}

	args := []string{"run", "./cmd/aidispatch", "checkpoint", "copy"}

	for prefix, of := range map[string]*v1alpha1.AIDispatcher{"": ad, "to-": clone} {
		args = append(args, "--"+prefix+"store="+c.URL, "--"+prefix+"pool="+of.GetNamespace()+"/"+of.GetName(),
			"--"+prefix+"credentials="+credentials, "--"+prefix+"key="+keyOf(t, of, dir))
	}

	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = "../.."

	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cannot copy the checkpoints: %v\n%s", err, out)
	}

	edit(t, clone, func(ad *v1alpha1.AIDispatcher) { ad.Spec.Suspend = false })
	recalled(t, settled(t, clone, 2), tasks, "Remember slot")
}

// keyOf puts a pool's data key into a file, as who restores does.
func keyOf(t *testing.T, ad *v1alpha1.AIDispatcher, dir string) string {
	t.Helper()

	s := &corev1.Secret{}
	if err := kube.Get(t.Context(), client.ObjectKey{Namespace: ad.GetNamespace(), Name: ad.GetName() + "-checkpoint-key"}, s); err != nil {
		t.Fatal(err)
	}

	path := filepath.Join(dir, ad.GetNamespace())
	if err := os.WriteFile(path, s.Data["key"], 0o600); err != nil {
		t.Fatal(err)
	}

	return path
}
