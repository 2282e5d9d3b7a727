package agentscaler

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

// Targets reads and sets the size of Deployments. A Deployment that does not exist is a NotFound error.
type Targets interface {
	// Get returns what the cache knows of a Deployment: it may be late, never by much.
	Get(ctx context.Context, key types.NamespacedName) (target, error)

	// Size returns the size that the API server knows now.
	Size(ctx context.Context, key types.NamespacedName) (int32, error)

	// Resize asks for another size.
	Resize(ctx context.Context, key types.NamespacedName, replicas int32) error
}

// A connector makes the external client of an AgentScaler. It needs no credentials and so reads no provider
// configuration: what it scales is in the cluster it runs in.
type connector struct {
	targets Targets
	status  client.SubResourceWriter
	record  event.Recorder
	log     logging.Logger
	now     func() metav1.Time
}

// Connect returns a new client, which is used for one reconcile.
func (c *connector) Connect(_ context.Context, _ *v1alpha1.AgentScaler) (managed.TypedExternalClient[*v1alpha1.AgentScaler], error) {
	return &external{connector: c}, nil
}

// An external keeps the size of one Deployment. It lives for one reconcile: what Observe decides, Update does.
type external struct {
	*connector

	decision   *decision
	unfinished bool
}

// Observe compares the target's size with the desired one and decides. It reads from the cache, and looks at the API
// server only before it disagrees, so that a late cache never makes a second change of one that was just made.
func (e *external) Observe(ctx context.Context, mg *v1alpha1.AgentScaler) (managed.ExternalObservation, error) {
	// A scaler that is deleted lets go of its target, which for it no longer exists.
	if meta.WasDeleted(mg) {
		return managed.ExternalObservation{ResourceExists: false}, nil
	}

	p := mg.Spec.ForProvider

	t, err := e.look(ctx, mg)
	if kerrors.IsNotFound(err) {
		observeMissing(mg, fmt.Sprintf("Waiting for Deployment %s with the label southwest.ai/dispatcher: there is none in namespace %s", p.ScaleTargetRef.Name, mg.GetNamespace()))
		// The target is composed by somebody else and the watch tells when it appears. Saying that it does not exist
		// would have the reconciler create it, again and again.
		return managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}, nil
	}

	if err != nil {
		return managed.ExternalObservation{}, errors.Wrap(err, "cannot get the size of the scale target")
	}

	e.decision = decide(mg.Status, p, t)
	e.unfinished = unfinished(mg.Status.AtProvider, p, t)
	observe(mg, t)

	o := managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: e.decision == nil}
	if e.decision != nil {
		o.Diff = e.decision.Message
	}

	return o, nil
}

func (e *external) look(ctx context.Context, mg *v1alpha1.AgentScaler) (target, error) {
	t, err := e.targets.Get(ctx, targetOf(mg))
	if err != nil || upToDate(mg.Spec.ForProvider, t) {
		return t, err
	}

	t.Replicas, err = e.targets.Size(ctx, targetOf(mg))

	return t, err
}

// Create does nothing: whoever composes the pool creates its Deployment.
func (e *external) Create(_ context.Context, _ *v1alpha1.AgentScaler) (managed.ExternalCreation, error) {
	return managed.ExternalCreation{}, nil
}

// Update makes the change that Observe decided on.
//
// The decision is recorded before the size is written. If we die in between, the next Observe finds the record and a
// size that has not followed it, and finishes the change for the reason recorded: it is never derived twice, and no
// change goes unrecorded. The price is one more write of the status per change, and that for a moment, or as long as the
// write of the size fails (Synced says so), lastScale tells of a change that is still being made. An event may be
// missing after a crash; the record may not.
func (e *external) Update(ctx context.Context, mg *v1alpha1.AgentScaler) (managed.ExternalUpdate, error) {
	d := e.decision
	if d == nil {
		return managed.ExternalUpdate{}, nil
	}

	if !e.unfinished {
		if err := e.recordDecision(ctx, mg); err != nil {
			return managed.ExternalUpdate{}, errors.Wrap(err, "cannot record why the size changes")
		}
	}

	if err := e.targets.Resize(ctx, targetOf(mg), d.To); err != nil {
		mg.SetConditions(xpv2.Unavailable().
			WithMessage(fmt.Sprintf("Deployment %s asks for %d replicas and not for %d", targetOf(mg).Name, d.From, d.To)).
			WithObservedGeneration(mg.GetGeneration()))

		return managed.ExternalUpdate{}, errors.Wrap(err, "cannot set the size of the scale target")
	}

	from, to := strconv.Itoa(int(d.From)), strconv.Itoa(int(d.To))
	e.log.Info("Scaled", "namespace", mg.GetNamespace(), "scaler", mg.GetName(), "from", d.From, "to", d.To, "reason", d.Reason)
	e.record.Event(mg, event.Normal(event.Reason(d.Reason), d.Message, "from", from, "to", to))

	// The reconciler persists the status as we leave it.
	mg.Status.AtProvider.Replicas = &d.To
	mg.SetConditions(xpv2.Available().WithObservedGeneration(mg.GetGeneration()))

	return managed.ExternalUpdate{AdditionalDetails: managed.AdditionalDetails{"from": from, "to": to, "reason": d.Reason}}, nil
}

// recordDecision writes the status with the decision in it. It does not ask for the version of the scaler that we read:
// when the spec has changed since, its event is on the way and a new decision follows this one.
func (e *external) recordDecision(ctx context.Context, mg *v1alpha1.AgentScaler) error {
	d := e.decision
	mg.Status.AtProvider.LastScale = &v1alpha1.LastScale{Time: e.now(), From: d.From, To: d.To, Reason: d.Reason, Message: d.Message}

	patch, err := json.Marshal(map[string]any{"status": mg.Status})
	if err != nil {
		return err
	}

	recorded := mg.DeepCopy()
	if err := e.status.Patch(ctx, recorded, client.RawPatch(types.MergePatchType, patch)); err != nil {
		return err
	}

	mg.SetResourceVersion(recorded.GetResourceVersion())

	return nil
}

// Delete does nothing: the scaler lets go, and the size stays as it is.
func (e *external) Delete(_ context.Context, _ *v1alpha1.AgentScaler) (managed.ExternalDelete, error) {
	return managed.ExternalDelete{}, nil
}

// Disconnect does nothing: there is nothing to disconnect from.
func (e *external) Disconnect(_ context.Context) error { return nil }

func targetOf(mg *v1alpha1.AgentScaler) types.NamespacedName {
	return types.NamespacedName{Namespace: mg.GetNamespace(), Name: mg.Spec.ForProvider.ScaleTargetRef.Name}
}
