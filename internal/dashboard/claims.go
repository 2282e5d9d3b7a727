package dashboard

import (
	"context"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

// claimKind is what teams claim. The provider does not link its types: it must work where nobody serves it.
var claimKind = schema.GroupVersionKind{Group: "southwest.ai", Version: "v1alpha1", Kind: "AIDispatcher"}

const (
	// listFor is how long a list of pools serves all readers.
	listFor = 2 * time.Second
	// chunk is how many pools are asked for at once.
	chunk = 500
)

// A claim is what a page tells of an AIDispatcher, by the names it has on the wire.
type claim struct {
	Metadata struct {
		Name              string       `json:"name"`
		Namespace         string       `json:"namespace"`
		CreationTimestamp metav1.Time  `json:"creationTimestamp"`
		DeletionTimestamp *metav1.Time `json:"deletionTimestamp,omitempty"`
	} `json:"metadata"`
	Spec struct {
		Role        string `json:"role"`
		ModelRef    string `json:"modelRef"`
		TokenBudget *struct {
			TokensPerMinute int64 `json:"tokensPerMinute"`
		} `json:"tokenBudget,omitempty"`
	} `json:"spec"`
	Status claimStatus `json:"status"`
}

type claimStatus struct {
	CurrentPhase      string              `json:"currentPhase"`
	State             string              `json:"state"`
	Replicas          *int64              `json:"replicas,omitempty"`
	AvailableReplicas *int64              `json:"availableReplicas,omitempty"`
	ActiveWorkers     *int64              `json:"activeWorkers,omitempty"`
	QueueDepth        *int64              `json:"queueDepth,omitempty"`
	TokenUsage        *int64              `json:"tokenUsage,omitempty"`
	TokensPerMinute   *int64              `json:"tokensPerMinute,omitempty"`
	LastScale         *v1alpha1.LastScale `json:"lastScale,omitempty"`
	Conditions        []xpv2.Condition    `json:"conditions,omitempty"`
	Memory            *struct {
		Collection string `json:"collection"`
		Store      string `json:"store"`
		Dim        *int64 `json:"dim,omitempty"`
		Ready      bool   `json:"ready"`
	} `json:"memory,omitempty"`
	Checkpoint *struct {
		Ready      bool   `json:"ready"`
		Slots      *int64 `json:"slots,omitempty"`
		Hibernated *int64 `json:"hibernated,omitempty"`
		RPOMet     *bool  `json:"rpoMet,omitempty"`
		Corrupt    *int64 `json:"corrupt,omitempty"`
	} `json:"checkpoint,omitempty"`
}

func claimOf(u *unstructured.Unstructured) (claim, error) {
	var c claim
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(u.Object, &c); err != nil {
		return c, fmt.Errorf("cannot read AIDispatcher %s/%s: %w", u.GetNamespace(), u.GetName(), err)
	}

	return c, nil
}

// claims read the AIDispatchers of a cluster. A list is made for all readers at once; who may see what of it is not theirs to say.
type claims struct {
	// live reads from the API server: a watch would keep them in memory although nobody looks.
	live client.Reader
	now  func() time.Time

	// turn is held by who lists.
	turn sync.Mutex
	at   time.Time
	list []claim
	cut  bool
}

// all returns the pools that there are, the first maxPools of them, and whether there are more. Callers must not change it.
func (c *claims) all(ctx context.Context) (list []claim, cut bool, err error) {
	c.turn.Lock()
	defer c.turn.Unlock()

	if c.list != nil && c.now().Sub(c.at) < listFor {
		return c.list, c.cut, nil
	}

	out, cut, err := c.read(ctx)
	if err != nil {
		return nil, false, err
	}

	c.list, c.cut, c.at = out, cut, c.now()

	return out, cut, nil
}

func (c *claims) read(ctx context.Context) ([]claim, bool, error) {
	out, next := []claim{}, ""

	for {
		l := &unstructured.UnstructuredList{}
		l.SetGroupVersionKind(claimKind.GroupVersion().WithKind(claimKind.Kind + "List"))

		err := c.live.List(ctx, l, client.Limit(chunk), client.Continue(next))
		if meta.IsNoMatchError(err) {
			return out, false, nil // Nobody serves the kind: there is no pool.
		}

		if err != nil {
			return nil, false, fmt.Errorf("cannot list AIDispatchers: %w", err)
		}

		for i := range l.Items {
			one, err := claimOf(&l.Items[i])
			if err != nil {
				return nil, false, err
			}

			// A list shows no conditions.
			one.Status.Conditions = nil
			out = append(out, one)
		}

		if next = l.GetContinue(); next == "" {
			return out, false, nil
		}

		if len(out) >= maxPools {
			return out[:maxPools], true, nil
		}
	}
}

// one returns a pool as it is now.
func (c *claims) one(ctx context.Context, namespace, name string) (claim, error) {
	u := &unstructured.Unstructured{}
	u.SetGroupVersionKind(claimKind)

	if err := c.live.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, u); err != nil {
		return claim{}, err
	}

	return claimOf(u)
}
