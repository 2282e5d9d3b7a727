//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	opsv1alpha1 "github.com/crossplane/crossplane/apis/v2/ops/v1alpha1"

	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// nextVersion is what is upgraded to: the same sources, as a release of their own. It is of the next minor version, which the
// Configuration before it does not take for its dependencies.
const nextVersion = "v0.2.0"

// pathOfAPool is what is done between installing and uninstalling.
func pathOfAPool(t *testing.T) {
	ns := namespace(t)
	startObjects(t, ns)

	ad := create(t, ns, "quickstart", sized(3), saving)
	planners := create(t, ns, "stateless")
	before := settled(t, ad, 3)

	phase(t, planners, v1alpha1.PhaseReady)

	if claims() {
		return // What comes now is about the packages, which are the same.
	}

	t.Run("Validate", examplesAreValid)
	t.Run("Trace", func(t *testing.T) { poolIsTraced(t, ad) })
	t.Run("Operations", func(t *testing.T) { poolIsOperated(t, ad, before) })
	t.Run("Upgrade", func(t *testing.T) { poolsOutliveAnUpgrade(t, ad, planners) })
}

// examplesAreValid has the crossplane command line judge all examples by the packages.
func examplesAreValid(t *testing.T) {
	extensions := filepath.Join(t.TempDir(), "extensions.yaml")
	if err := os.WriteFile(extensions, []byte(fmt.Sprintf(`apiVersion: pkg.crossplane.io/v1
kind: Configuration
metadata: {name: southwest-ai-configuration-aidispatcher}
spec: {package: %q}
`, image("configuration-aidispatcher", os.Getenv("VERSION")))), 0o600); err != nil {
		t.Fatal(err)
	}

	core := strings.TrimSpace(command(t, "kubectl", "get", "deployment/crossplane", "-n", "crossplane-system", "-o", "jsonpath={.spec.template.spec.containers[0].image}"))
	said := command(t, "crossplane", "resource", "validate", extensions, root+"/examples", "--crossplane-image", core, "--cache-dir", t.TempDir())

	// What it has no schema of it does not judge: these are others' kinds, which other tests hold to others' definitions.
	var unjudged []string

	for line := range strings.Lines(said) {
		if _, kind, ok := strings.Cut(line, "could not find CRD/XRD for: "); ok {
			unjudged = append(unjudged, strings.TrimSpace(kind))
		}
	}

	slices.Sort(unjudged)

	others := []string{"external-secrets.io/v1, Kind=ExternalSecret", "external-secrets.io/v1, Kind=ExternalSecret", "keda.sh/v1alpha1, Kind=ScaledObject"}
	if diff := cmp.Diff(others, unjudged); diff != "" || !strings.Contains(said, fmt.Sprintf(" %d missing schemas", len(others))) {
		t.Errorf("documents that were not judged, -want, +got:\n%s\n%s", diff, said)
	}

	// One of each group that the packages and Crossplane bring, and none that is wrong.
	for _, want := range []string{
		"[✓] southwest.ai/v1alpha1, Kind=AIDispatcher, coder-agent-pool validated successfully",
		"[✓] agent.southwest.ai/v1alpha1, Kind=AgentScaler, coder-agent-pool validated successfully",
		"[✓] agent.southwest.ai/v1alpha1, Kind=ProviderConfig",
		"[✓] ops.crossplane.io/v1alpha1, Kind=CronOperation, nightly-scrub validated successfully",
		" 0 failure cases",
	} {
		if !strings.Contains(said, want) {
			t.Errorf("the command line does not say %q but:\n%s", want, said)
		}
	}
}

// poolIsTraced has the command line draw the tree of a pool, in which all is well.
func poolIsTraced(t *testing.T, ad *v1alpha1.AIDispatcher) {
	t.Helper()

	said := command(t, "crossplane", "resource", "trace", "aidispatchers.southwest.ai/"+ad.GetName(), "-n", ad.GetNamespace())
	for _, want := range []string{"AIDispatcher/", "Deployment/", "Service/", "ServiceAccount/", "AgentScaler/", "Checkpoint/"} {
		line := ""

		for l := range strings.Lines(said) {
			if strings.Contains(l, want) {
				line = l
			}
		}

		if line == "" || strings.Contains(line, "False") {
			t.Errorf("want %s, and nothing wrong with it, in:\n%s", want, said)
		}
	}
}

// An alive worker is a pod, with how often each of its containers was restarted.
type alive struct {
	UID      string
	Restarts map[string]int32
}

func (a *alive) count(statuses []corev1.ContainerStatus) {
	for _, s := range statuses {
		a.Restarts[s.Name] = s.RestartCount
	}
}

func living(t *testing.T, ad *v1alpha1.AIDispatcher) map[string]alive {
	t.Helper()

	pods := &corev1.PodList{}
	if err := kube.List(t.Context(), pods, client.InNamespace(ad.GetNamespace()), client.MatchingLabels{monitorapi.LabelDispatcher: ad.GetName()}); err != nil {
		t.Fatal(err)
	}

	out := map[string]alive{}

	for i := range pods.Items {
		p := &pods.Items[i]
		a := alive{UID: string(p.GetUID()), Restarts: map[string]int32{}}
		a.count(p.Status.InitContainerStatuses)
		a.count(p.Status.ContainerStatuses)
		out[p.GetName()] = a
	}

	return out
}

// Workers that are at work when the packages are replaced stay at it, each of them, what is sent to their pools meanwhile is done, and
// the new provider goes on with their pools.
func poolsOutliveAnUpgrade(t *testing.T, ad, planners *v1alpha1.AIDispatcher) {
	t.Helper()

	runs(t, os.Getenv("VERSION"))

	if err := try("make", "push", "install-yaml", "VERSION="+nextVersion); err != nil {
		t.Fatal(err)
	}

	busy := settled(t, ad, 3)
	tasks := map[string]string{}

	for slot, p := range busy {
		tasks[slot] = occupy(t, p, 60)
	}

	before := map[string]map[string]alive{ad.GetName(): living(t, ad), planners.GetName(): living(t, planners)}

	stop := []func(){flow(t, ad), flow(t, planners)}

	installScript(t, "install.sh", nextVersion)
	runs(t, nextVersion)

	for _, s := range stop {
		s()
	}

	for slot, task := range tasks {
		completed(t, busy[slot], task)
	}

	after := map[string]map[string]alive{ad.GetName(): living(t, ad), planners.GetName(): living(t, planners)}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the upgrade has touched workers: -before, +after:\n%s", diff)
	}

	// The new provider is at work.
	edit(t, ad, func(ad *v1alpha1.AIDispatcher) { sized(4)(ad) })

	now := settled(t, ad, 4)
	for slot, p := range busy {
		if q := now[slot]; q.GetUID() != p.GetUID() {
			t.Errorf("slot %s went from %s to %s", slot, p.GetName(), q.GetName())
		}
	}
}

// runs waits until function and provider run in a version, and in no other.
func runs(t *testing.T, version string) {
	t.Helper()
	eventually(t, "only "+version+" runs", func(ctx context.Context) error {
		for _, name := range []string{"function-aidispatcher", "provider-aidispatcher"} {
			all := &appsv1.DeploymentList{}
			if err := kube.List(ctx, all, client.InNamespace("crossplane-system")); err != nil {
				return err
			}

			running := map[string]int32{}

			for _, d := range all.Items {
				if img := d.Spec.Template.Spec.Containers[0].Image; strings.Contains(img, "/"+name+":") && d.Status.Replicas > 0 {
					running[img] += d.Status.ReadyReplicas
				}
			}

			if want := image(name, version); len(running) != 1 || running[want] != 1 {
				return fmt.Errorf("of %s there run %v", name, running)
			}
		}

		return nil
	})
}

// flow sends tasks to a pool's Service, five a second, each on a connection of its own, until it is stopped. Every one of them must be
// done. What is refused with Retry-After is sent again, as the protocol has it; any other answer is an error.
func flow(t *testing.T, ad *v1alpha1.AIDispatcher) (stop func()) {
	t.Helper()

	s := &corev1.Service{}
	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(ad), s); err != nil {
		t.Fatal(err)
	}

	url := "http://" + s.Spec.ClusterIP + "/message:send"
	end := make(chan struct{})

	var (
		sending sync.WaitGroup
		done    atomic.Int64
	)

	sending.Go(func() {
		every := time.NewTicker(200 * time.Millisecond)
		defer every.Stop()

		for n := 0; ; n++ {
			sending.Go(func() {
				if err := isDone(t.Context(), url, fmt.Sprintf("flow-%d", n)); err != nil {
					t.Errorf("%s: task %d: %v", ad.GetName(), n, err)

					return
				}

				done.Add(1)
			})

			select {
			case <-end:
				return
			case <-every.C:
			}
		}
	})

	return func() {
		close(end)
		sending.Wait()
		t.Logf("%s did %d tasks meanwhile", ad.GetName(), done.Load())

		if done.Load() < 20 {
			t.Errorf("%s did only %d tasks: that is no flow", ad.GetName(), done.Load())
		}
	}
}

// isDone sends a task, again where it is told to come again, and says what else than done it is.
func isDone(ctx context.Context, url, message string) error {
	c := http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
	body := fmt.Sprintf(`{"message":{"messageId":%q,"role":"ROLE_USER","parts":[{"text":"Add %s."}]}}`, message, message)

	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			return err
		}

		req.Header.Set("Content-Type", "application/json")

		rsp, err := c.Do(req)
		if err != nil {
			return err
		}

		said, err := io.ReadAll(rsp.Body)
		_ = rsp.Body.Close() // It is read.

		switch after, notNow := strconv.Atoi(rsp.Header.Get("Retry-After")); {
		case err != nil:
			return err
		case rsp.StatusCode == http.StatusOK && bytes.Contains(said, []byte("TASK_STATE_COMPLETED")) && bytes.Contains(said, []byte(message)):
			return nil
		case notNow != nil || rsp.StatusCode != http.StatusServiceUnavailable && rsp.StatusCode != http.StatusTooManyRequests:
			return fmt.Errorf("it is answered %s: %s", rsp.Status, said)
		default:
			time.Sleep(time.Duration(after) * time.Second)
		}
	}
}

// answer is what an Operation's step has put out.
type answer struct {
	Request     string `json:"request"`
	Checkpoints int    `json:"checkpoints"`
}

// operation waits for an Operation that has succeeded, and returns the answer of the last.
func operation(t *testing.T, selector string) answer {
	t.Helper()

	var last answer

	eventually(t, "the Operation has succeeded", func(context.Context) error {
		all := &opsv1alpha1.OperationList{}
		if err := json.Unmarshal([]byte(command(t, "kubectl", "get", "operations.ops.crossplane.io", "-l", selector, "-o", "json")), all); err != nil {
			return err
		}

		last = answer{}

		for _, o := range all.Items {
			var a answer
			if o.GetCondition(opsv1alpha1.TypeSucceeded).Status != corev1.ConditionTrue || len(o.Status.Pipeline) == 0 {
				continue
			}

			if err := json.Unmarshal(o.Status.Pipeline[0].Output.Raw, &a); err != nil {
				return err
			}

			if a.Request > last.Request {
				last = a
			}
		}

		if last.Request == "" {
			return fmt.Errorf("none has, of %+v", all.Items)
		}

		return nil
	})

	return last
}

// poolIsOperated applies the examples of Operations, and looks that they do what they say.
func poolIsOperated(t *testing.T, ad *v1alpha1.AIDispatcher, workers map[string]corev1.Pod) {
	t.Helper()

	apply := func(verb, file string, replace ...string) {
		t.Helper()

		b, err := os.ReadFile(filepath.Join(root, "examples/operations", file))
		if err != nil {
			t.Fatal(err)
		}

		to := filepath.Join(t.TempDir(), file)
		if err := os.WriteFile(to, []byte(strings.NewReplacer(append(replace, "team-a", ad.GetNamespace())...).Replace(string(b))), 0o600); err != nil {
			t.Fatal(err)
		}

		command(t, "kubectl", verb, "-f", to)
	}
	checkpoint := func(field string) string {
		return strings.TrimSpace(command(t, "kubectl", "get", "checkpoint", ad.GetName(), "-n", ad.GetNamespace(), "-o", "jsonpath={.status.atProvider."+field+"}"))
	}
	done := func(field, request string) {
		t.Helper()
		eventually(t, "the request is done", func(context.Context) error {
			// Another minute may have asked anew.
			if got := checkpoint(field); got < request {
				return fmt.Errorf("%s is %q, want %q", field, got, request)
			}

			return nil
		})
	}

	t.Cleanup(func() {
		_ = try("kubectl", "delete", "cronoperations.ops.crossplane.io,watchoperations.ops.crossplane.io,operations.ops.crossplane.io", "--all", "--wait")
	})

	apply("apply", "nightly-scrub.yaml", "30 2 * * *", "* * * * *")
	apply("create", "checkpoint-now.yaml")

	now := operation(t, "!"+opsv1alpha1.LabelCronOperationName)
	done("checkpointedFor", now.Request)

	for slot, p := range workers {
		s, err := workerStatus(t.Context(), p)
		if err != nil || s.Checkpoint == nil || s.Checkpoint.Asked != now.Request {
			t.Errorf("the worker of slot %s says %+v, %v", slot, s.Checkpoint, err)
		}
	}

	apply("apply", "before-maintenance.yaml")
	command(t, "kubectl", "create", "configmap", "maintenance", "-n", ad.GetNamespace(), "--from-literal=on=node-1")
	command(t, "kubectl", "label", "configmap", "maintenance", "-n", ad.GetNamespace(), "example.org/announces=maintenance")

	watched := operation(t, opsv1alpha1.LabelWatchOperationName+"=checkpoint-before-maintenance")
	if watched.Request <= now.Request || watched.Checkpoints != 1 {
		t.Errorf("what was watched for asked %d Checkpoints, %s after %s", watched.Checkpoints, watched.Request, now.Request)
	}

	done("checkpointedFor", watched.Request)

	scrubbed := operation(t, opsv1alpha1.LabelCronOperationName+"=nightly-scrub")
	done("scrubbedFor", scrubbed.Request)
}
