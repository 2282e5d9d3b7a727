//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
)

// What one agent learned another one knows, through the store; and it is still known to a pool that comes after.
func TestMemory(t *testing.T) {
	t.Parallel()

	ns := namespace(t)
	db := startStore(t, ns)
	db.configure(t)

	ad := create(t, ns, "memory", sized(2))
	settled(t, ad, 2)

	said := tell(t, ns, "a", "The launch code is tangerine.")
	if strings.Contains(said, "remember") {
		t.Errorf("an empty memory was recalled: %s", said)
	}

	knows := func(session string) {
		t.Helper()

		if said := tell(t, ns, session, "What is the launch code?"); !strings.Contains(said, "What you remember") || !strings.Contains(said, "Asked: The launch code is tangerine.") {
			t.Errorf("asked in another conversation, it answered: %s", said)
		}
	}
	knows("b")

	if n := db.rows(t, "coder-memory"); n != 2 {
		t.Errorf("after two tasks the collection has %d rows", n)
	}

	first := collectionOf(t, ad)
	if s := first.Status.AtProvider; first.GetCondition("Synced").Status != corev1.ConditionTrue || *s.Dim != 1536 {
		t.Errorf("the collection says %+v", s)
	}

	startedAfter(t, ad)
	remove(t, ad)

	if n := db.rows(t, "coder-memory"); n != 2 {
		t.Fatalf("after its pool was deleted the collection has %d rows", n)
	}

	ad = create(t, ns, "memory", sized(1))
	settled(t, ad, 1)
	knows("c")
}

// startedAfter checks that no container of a pool ran before its memory was ready.
func startedAfter(t *testing.T, ad *v1alpha1.AIDispatcher) {
	t.Helper()

	now := &v1alpha1.AIDispatcher{}
	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(ad), now); err != nil {
		t.Fatal(err)
	}

	m := now.Status.Memory
	if m == nil || !m.Ready || m.FirstReadyTime == nil || m.Dim == nil || *m.Dim != 1536 {
		t.Fatalf("the pool says of its memory: %+v", m)
	}

	pods, err := workers(t.Context(), ad, 2)
	if err != nil {
		t.Fatal(err)
	}

	for _, p := range pods {
		for _, c := range append(p.Status.InitContainerStatuses, p.Status.ContainerStatuses...) {
			at := time.Time{}

			switch {
			case c.State.Running != nil:
				at = c.State.Running.StartedAt.Time
			case c.State.Terminated != nil:
				at = c.State.Terminated.StartedAt.Time
			}

			if at.Before(m.FirstReadyTime.Time) {
				t.Errorf("%s of %s started %s before the memory was ready", c.Name, p.GetName(), m.FirstReadyTime.Sub(at))
			}
		}
	}
}

// No agent starts before its memory is there, and the pool says what it waits for.
func TestNoAgentBeforeItsMemory(t *testing.T) {
	t.Parallel()

	ns := namespace(t)
	db := startStore(t, ns)
	ad := create(t, ns, "memory", sized(1))

	memorySays(t, ad, v1alpha1.PhaseInitializing, agentv1alpha1.ReasonInvalidConfiguration, "vectors")
	noWorkers(t, ad)

	db.configure(t)
	settled(t, ad, 1)
}

// A collection of another dimension keeps the agents from starting, and the pool says both; when it is gone, they start.
func TestMemoryOfAnotherDimension(t *testing.T) {
	t.Parallel()

	ns := namespace(t)
	db := startStore(t, ns)
	db.exec(t, `create extension if not exists vector`)
	db.exec(t, `create schema "coder-memory"`)
	db.exec(t, `create table "coder-memory"."coder-memory" (id text primary key, embedding vector(768) not null, content text, metadata jsonb not null default '{}')`)
	db.exec(t, `insert into "coder-memory"."coder-memory" values ('one', array_fill(0.5, array[768])::vector, 'of somebody')`)
	db.configure(t)

	ad := create(t, ns, "memory", sized(1))
	memorySays(t, ad, v1alpha1.PhaseFailed, agentv1alpha1.ReasonImmutableMismatch, "768", "1536")
	noWorkers(t, ad)

	// Crossplane may write a condition once more as it was before it changed.
	eventually(t, "kubectl describe ad says what is wrong", func(context.Context) error {
		out := command(t, "kubectl", "describe", "ad", "-n", ns)
		for _, want := range []string{"ImmutableMismatch", "768", "1536"} {
			if !strings.Contains(out, want) {
				return fmt.Errorf("it does not say %s:\n%s", want, out)
			}
		}

		return nil
	})

	if n := db.rows(t, "coder-memory"); n != 1 {
		t.Fatalf("the collection of somebody else has %d rows and had one", n)
	}

	db.exec(t, `drop schema "coder-memory" cascade`)
	settled(t, ad, 1)
}

// A memory is not let go before the last worker that uses it has ended; then its data go, where that is asked for.
func TestMemoryIsInUse(t *testing.T) {
	t.Parallel()

	ns := namespace(t)
	db := startStore(t, ns)
	db.configure(t)

	ad := create(t, ns, "memory", sized(1), func(ad *v1alpha1.AIDispatcher) { ad.Spec.MemoryConfig.OnDelete = agentv1alpha1.DataDelete })
	settled(t, ad, 1)
	tellLater(t, ns, "a", "Take your time. [delay 20s]")

	if err := kube.Delete(t.Context(), ad); err != nil {
		t.Fatal(err)
	}

	eventually(t, "the memory waits for the worker", func(ctx context.Context) error {
		vc := &agentv1alpha1.VectorCollection{}
		if err := kube.Get(ctx, client.ObjectKeyFromObject(ad), vc); err != nil {
			return err
		}

		if c := vc.GetCondition("Synced"); vc.GetDeletionTimestamp() == nil || c.Reason != agentv1alpha1.ReasonInUse || !strings.Contains(c.Message, "coder-agent-pool-") {
			return fmt.Errorf("deleted at %v, condition Synced is %q: %s", vc.GetDeletionTimestamp(), c.Reason, c.Message)
		}

		return nil
	})

	if !db.has(t, "coder-memory") {
		t.Fatal("the collection was dropped under a worker that uses it")
	}

	gone(t, ad)

	if db.has(t, "coder-memory") {
		t.Error("the data are to go with the pool, and are still there")
	}
}

// A provider that is killed just after it made a collection makes no second one, and goes on with the first. It is
// everybody's provider, so no other test runs meanwhile.
func TestProviderKilledAfterCreate(t *testing.T) {
	ns := namespace(t)
	db := startStore(t, ns)
	db.configure(t)

	ad := create(t, ns, "memory", sized(1))
	eventually(t, "the collection is made", func(context.Context) error {
		if !db.has(t, "coder-memory") {
			return errors.New("it is not there")
		}

		return nil
	})
	killProvider(t)
	settled(t, ad, 1)

	if n := db.tables(t); n != 1 {
		t.Errorf("the store has %d collections", n)
	}

	if vc := collectionOf(t, ad); vc.GetCondition("Synced").Status != corev1.ConditionTrue {
		t.Errorf("the collection says %+v", vc.Status.Conditions)
	}
}

// memorySays waits until a pool says in which phase it is and what is wrong with its memory.
func memorySays(t *testing.T, ad *v1alpha1.AIDispatcher, phase v1alpha1.Phase, reason any, words ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the pool is %s for %s", phase, reason), func(ctx context.Context) error {
		now := &v1alpha1.AIDispatcher{}
		if err := kube.Get(ctx, client.ObjectKeyFromObject(ad), now); err != nil {
			return err
		}

		c := now.Status.GetCondition(v1alpha1.ConditionMemoryReady)
		wrong := now.Status.CurrentPhase != phase || c.Status != corev1.ConditionFalse || string(c.Reason) != fmt.Sprint(reason)

		for _, w := range words {
			wrong = wrong || !strings.Contains(c.Message, w)
		}

		if wrong {
			return fmt.Errorf("phase %q, condition MemoryReady %q, %q: %s", now.Status.CurrentPhase, c.Status, c.Reason, c.Message)
		}

		return nil
	})
}

func noWorkers(t *testing.T, ad *v1alpha1.AIDispatcher) {
	t.Helper()

	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(ad), &appsv1.Deployment{}); !kerrors.IsNotFound(err) {
		t.Errorf("want no Deployment before the memory is ready, got: %v", err)
	}
}

func collectionOf(t *testing.T, ad *v1alpha1.AIDispatcher) *agentv1alpha1.VectorCollection {
	t.Helper()

	vc := &agentv1alpha1.VectorCollection{}
	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(ad), vc); err != nil {
		t.Fatal(err)
	}

	return vc
}

// remove deletes a pool and waits until its memory was let go.
func remove(t *testing.T, ad *v1alpha1.AIDispatcher) {
	t.Helper()

	if err := kube.Delete(t.Context(), ad); err != nil {
		t.Fatal(err)
	}

	gone(t, ad)
}

func gone(t *testing.T, ad *v1alpha1.AIDispatcher) {
	t.Helper()
	eventually(t, "the pool and its memory are gone", func(ctx context.Context) error {
		for _, o := range []client.Object{&v1alpha1.AIDispatcher{}, &agentv1alpha1.VectorCollection{}} {
			if err := kube.Get(ctx, client.ObjectKeyFromObject(ad), o); !kerrors.IsNotFound(err) {
				return fmt.Errorf("%T is still there: %w", o, err)
			}
		}

		return nil
	})
}

// tell gives a pool a task and returns the answer.
func tell(t *testing.T, ns, session, text string) string {
	t.Helper()

	var out struct {
		Task struct {
			Artifacts []struct{ Parts []struct{ Text string } }
		}
	}

	b := send(t, ns, session, text, false)
	if err := json.Unmarshal([]byte(b), &out); err != nil || len(out.Task.Artifacts) != 1 {
		t.Fatalf("the agent answered %s: %v", b, err)
	}

	return out.Task.Artifacts[0].Parts[0].Text
}

// tellLater gives a pool a task and does not wait for the answer.
func tellLater(t *testing.T, ns, session, text string) {
	t.Helper()
	send(t, ns, session, text, true)
}

func send(t *testing.T, ns, session, text string, later bool) string {
	t.Helper()

	body, err := json.Marshal(map[string]any{
		"message":       map[string]any{"messageId": session, "role": "ROLE_USER", "contextId": session, "parts": []any{map[string]any{"text": text}}},
		"configuration": map[string]any{"returnImmediately": later},
	})
	if err != nil {
		t.Fatal(err)
	}

	file := filepath.Join(t.TempDir(), "task.json")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}

	return command(t, "kubectl", "create", "--raw", "/api/v1/namespaces/"+ns+"/services/http:coder-agent-pool:http/proxy/message:send", "-f", file)
}
