//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// scaled lets a pool follow its unfinished tasks, one a worker, with little patience: not more than it takes to start all workers.
func scaled(most int32) func(*v1alpha1.AIDispatcher) {
	return func(ad *v1alpha1.AIDispatcher) {
		ad.Spec.Replicas = ptr.To[int32](1)
		ad.Spec.Scaling = &v1alpha1.Scaling{
			MinReplicas: ptr.To[int32](1), MaxReplicas: &most,
			Metrics:   []v1alpha1.Metric{{Type: "QueueDepth", Target: 1}},
			ScaleDown: &v1alpha1.ScaleDown{StabilizationSeconds: ptr.To[int32](45)},
		}
	}
}

// A pool grows with its tasks and shrinks when they are done, but never by the one that is still at work.
func TestScalesOnWork(t *testing.T) {
	ns := namespace(t)
	startObjects(t, ns)

	const most = 20

	ad := create(t, ns, "quickstart", scaled(most), saving)
	first := settled(t, ad, 1)["0"]

	// Three tasks too many for the bounds. They are all the first worker's, for it is alone, and it does one at a time.
	since := time.Now()

	for range most + 3 {
		hand(t, first, 2)
	}

	wanted(t, ad, most)
	t.Logf("from the first task to %d wanted workers: %s", most, time.Since(since).Round(100*time.Millisecond))

	all := settled(t, ad, most)
	long := occupy(t, all["7"], 240)

	// The load has been lower for less and less long, so this takes as long as it took to fall.
	wanted(t, ad, 1)

	after := settled(t, ad, 1)
	if after["7"].UID != all["7"].UID {
		t.Errorf("the busy worker of slot 7 was removed, or another was kept: %v; the first was %s", slotsOf(after), first.GetName())
	}

	s, err := scalerOf(t.Context(), ad)
	if err != nil {
		t.Fatal(err)
	}

	removed := 0
	for _, d := range s.Status.AtProvider.Decisions {
		removed += len(d.Removed)

		for _, w := range d.Removed {
			if w.Checkpoint == "" || w.Forced {
				t.Errorf("worker %s was removed with checkpoint %q, forced %t", w.Name, w.Checkpoint, w.Forced)
			}
		}
	}

	if removed == 0 {
		t.Errorf("the decisions tell of no removed worker: %+v", s.Status.AtProvider.Decisions)
	}

	completed(t, all["7"], long)

	story := command(t, "go", "run", "../../cmd/aidispatch", "why", "-n", ns, "ad/"+ad.GetName())
	if !strings.Contains(story, "its state is in checkpoint ") || !strings.Contains(story, "What it sees") {
		t.Errorf("the story tells too little:\n%s", story)
	}

	t.Log(story)
}

// wanted waits until a pool is to have n workers.
func wanted(t *testing.T, ad *v1alpha1.AIDispatcher, n int32) {
	t.Helper()
	eventually(t, fmt.Sprintf("%d workers are wanted", n), func(ctx context.Context) error {
		s, err := scalerOf(ctx, ad)
		if err == nil && ptr.Deref(s.Status.AtProvider.DesiredReplicas, 0) != n {
			err = fmt.Errorf("%d are, because %+v", ptr.Deref(s.Status.AtProvider.DesiredReplicas, 0), s.Status.AtProvider.Load)
		}

		return err
	})
}

func scalerOf(ctx context.Context, ad *v1alpha1.AIDispatcher) (*agentv1alpha1.AgentScaler, error) {
	s := &agentv1alpha1.AgentScaler{}

	return s, kube.Get(ctx, client.ObjectKeyFromObject(ad), s)
}

// The workers of a pool with a budget share it, also when there are more of them, and answer as long as there is some.
func TestTokenBudget(t *testing.T) {
	t.Parallel()

	const tokens = 6000

	ns := namespace(t)
	ad := create(t, ns, "quickstart", sized(2), func(ad *v1alpha1.AIDispatcher) {
		ad.Spec.TokenBudget = &v1alpha1.TokenBudget{TokensPerMinute: tokens}
	})
	settled(t, ad, 2)

	shared := func(n int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d workers have a share each, and not more than there is together", n), func(ctx context.Context) error {
			all, err := workers(ctx, ad, int32(n))
			if err != nil {
				return err
			}

			var sum int64

			for slot, p := range all {
				s, err := workerStatus(ctx, p)
				if err != nil {
					return err
				}

				if s.Budget == nil || s.Budget.TokensPerMinute <= 0 || strconv.FormatInt(s.Budget.TokensPerMinute, 10) != p.Annotations[monitorapi.AnnotationTokenShare] {
					return fmt.Errorf("the worker of slot %s has %+v, and was told %q", slot, s.Budget, p.Annotations[monitorapi.AnnotationTokenShare])
				}

				sum += s.Budget.TokensPerMinute
			}

			if sum > tokens {
				t.Fatalf("%d workers have %d tokens a minute of %d", n, sum, tokens)
			}

			return nil
		})
	}

	shared(2)
	tell(t, ns, "ada", "I am Ada.")
	edit(t, ad, sized(4))
	settled(t, ad, 4)
	shared(4)
}

// What a pool used, and what that cost, is counted on when its worker is replaced and the provider is, too, and each token once.
func TestTokensAndTheirCostSurvive(t *testing.T) {
	changeCatalog(t, func(catalog map[string]any) {
		named(t, catalog, "models", "gpt-4")["prices"] = map[string]any{"currency": "USD", "inputPerMillion": "3", "outputPerMillion": "15", "cachedInputPerMillion": "0.30"}
	})

	ns := namespace(t)
	ad := create(t, ns, "quickstart", sized(1))
	first := settled(t, ad, 1)["0"]

	var used monitorapi.Tokens

	// use has a worker use some tokens and waits until the pool's status has all that were ever used.
	use := func(worker corev1.Pod, sessions ...string) {
		t.Helper()

		before := status(t, worker).Tokens

		for _, s := range sessions {
			tell(t, ns, s, "I am "+s+".")
		}

		var now monitorapi.Tokens

		statusSays(t, worker, "all requests", func(s monitorapi.Status) bool {
			if s.Tokens != nil {
				now = *s.Tokens
			}

			return s.Tokens != nil && s.Tokens.Requests == requestsOf(before)+int64(len(sessions))
		})

		if before != nil {
			now.Input, now.Output, now.Cached = now.Input-before.Input, now.Output-before.Output, now.Cached-before.Cached
		}

		used.Input, used.Output, used.Cached = used.Input+now.Input, used.Output+now.Output, used.Cached+now.Cached

		cost := fmt.Sprintf("%.6f", (3*float64(used.Input-used.Cached)+0.3*float64(used.Cached)+15*float64(used.Output))/1e6)

		eventually(t, "the pool tells of all tokens", func(ctx context.Context) error {
			now := &v1alpha1.AIDispatcher{}
			if err := kube.Get(ctx, client.ObjectKeyFromObject(ad), now); err != nil {
				return err
			}

			if s := now.Status; s.TokenUsage == nil || *s.TokenUsage != used.Input+used.Output || s.Cost == nil || s.Cost.Amount != cost || s.Cost.Currency != "USD" {
				return fmt.Errorf("it tells of %d tokens and %+v, and %+v were used, which is %s", ptr.Deref(s.TokenUsage, -1), s.Cost, used, cost)
			}

			return nil
		})
	}

	use(first, "ada", "bob")

	killProvider(t)
	use(first, "eve")

	if err := kube.Delete(t.Context(), &first); err != nil {
		t.Fatal(err)
	}

	use(replaced(t, ad, 1, "0", first)["0"], "joe")
}

func requestsOf(t *monitorapi.Tokens) int64 {
	if t == nil {
		return 0
	}

	return t.Requests
}
