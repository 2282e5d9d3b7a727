package agentscaler

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	cevent "sigs.k8s.io/controller-runtime/pkg/event"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/load"
	"github.com/southwest-ai/agent-operator/internal/worker"
)

// Targets reads the size of Deployments. A Deployment that does not exist is a NotFound error.
type Targets interface {
	// Get returns what the cache knows of a Deployment: it may be late, never by much.
	Get(ctx context.Context, key types.NamespacedName) (target, error)

	// Size returns the size that the API server knows now.
	Size(ctx context.Context, key types.NamespacedName) (int32, error)
}

// Pools add and remove workers.
type Pools interface {
	// Advance brings a scaler's pool nearer to what the policy wants, by as many steps as can be made now.
	Advance(ctx context.Context, s *v1alpha1.AgentScaler, p worker.Policy) (worker.Result, error)

	// LetGo brings to an end what was begun in the pool of a scaler that goes.
	LetGo(ctx context.Context, s *v1alpha1.AgentScaler) error

	// Release does so in the pool of a scaler that stays and removes nobody, and bounds the pool's slots no longer.
	Release(ctx context.Context, s *v1alpha1.AgentScaler) error
}

// Asks tell somebody else, who writes the sizes of some pools, which these are.
type Asks interface {
	// Ask has him told from now on. Asked returns all that he was told lately and may still write.
	Ask(pool types.NamespacedName, size int)
	Asked(pool types.NamespacedName) []int

	// Forget has him told nothing.
	Forget(pool types.NamespacedName)
}

// A Meter measures what pools have to do.
type Meter interface {
	// View says what is known of a scaler's pool, and has it measured from now on, until Forget.
	View(s *v1alpha1.AgentScaler, at load.Sized) load.View
	Forget(s *v1alpha1.AgentScaler)

	// Published says that the status is about to tell what a View said.
	Published(s *v1alpha1.AgentScaler, v load.View)

	// Wakes are the scalers that should be looked at.
	Wakes() <-chan cevent.GenericEvent
}

// A connector makes the external client of an AgentScaler. It needs no credentials and so reads no provider
// configuration: what it scales is in the cluster it runs in.
type connector struct {
	targets Targets
	pools   Pools
	meter   Meter
	asks    Asks
	status  client.SubResourceWriter
	record  event.Recorder
	log     logging.Logger
	now     func() metav1.Time
	work    *work
	metrics *Metrics
}

// Connect returns a new client, which is used for one reconcile.
func (c *connector) Connect(_ context.Context, _ *v1alpha1.AgentScaler) (managed.TypedExternalClient[*v1alpha1.AgentScaler], error) {
	return &external{connector: c}, nil
}

// An external keeps the size of one Deployment. It lives for one reconcile: what Observe decides, Update does.
type external struct {
	*connector

	aim        aim
	decision   *decision
	unfinished bool
}

// Observe compares the target's size with the desired one and decides. It reads from the cache, and looks at the API
// server only before it disagrees, so that a late cache never makes a second change of one that was just made.
func (e *external) Observe(ctx context.Context, mg *v1alpha1.AgentScaler) (managed.ExternalObservation, error) {
	p := mg.Spec.ForProvider

	// A scaler that is deleted lets go of its target, which for it no longer exists.
	if meta.WasDeleted(mg) {
		return managed.ExternalObservation{ResourceExists: false}, e.letGo(ctx, mg)
	}

	t, err := e.targets.Get(ctx, targetOf(mg))
	if err == nil {
		t, err = e.look(ctx, mg, t)
	}

	if kerrors.IsNotFound(err) {
		observeMissing(mg, fmt.Sprintf("Waiting for Deployment %s with the label southwest.ai/dispatcher: there is none in namespace %s", p.ScaleTargetRef.Name, mg.GetNamespace()))
		// The target is composed by somebody else and the watch tells when it appears. Saying that it does not exist
		// would have the reconciler create it, again and again.
		return managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: true}, nil
	}

	if err != nil {
		return managed.ExternalObservation{}, errors.Wrap(err, "cannot get the size of the scale target")
	}

	if sizedBy(mg) != v1alpha1.SizedByKEDA {
		e.asks.Forget(client.ObjectKeyFromObject(mg))
	}

	settled := e.aim.Want

	if sizedBy(mg) == v1alpha1.SizedByOthers {
		settled = released
	} else {
		e.decision = decide(mg.Status, p, t, e.aim)
		e.unfinished = unfinished(mg.Status.AtProvider, t, e.aim.Want)
	}

	e.publish(mg)
	observe(mg, t, e.aim)
	e.metrics.pool(client.ObjectKeyFromObject(mg), mg.Status.AtProvider)

	o := managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: e.decision == nil && e.work.settled(mg, settled)}
	if e.decision != nil {
		o.Diff = e.decision.Message
	}

	return o, nil
}

// letGo leaves nobody draining.
func (e *external) letGo(ctx context.Context, mg *v1alpha1.AgentScaler) error {
	if mayUpdate(mg.GetManagementPolicies()) {
		if err := e.pools.LetGo(ctx, mg); err != nil {
			return errors.Wrap(err, "cannot let go of the workers")
		}
	}

	e.work.forget(mg)
	e.meter.Forget(mg)
	e.asks.Forget(client.ObjectKeyFromObject(mg))
	e.metrics.forget(client.ObjectKeyFromObject(mg))

	return nil
}

// look finds the size that the target should have, and the size that it has: what the cache says if that is the same, and else what
// the API server does.
func (e *external) look(ctx context.Context, mg *v1alpha1.AgentScaler, t target) (target, error) {
	if e.aim = e.aimOf(mg, t); e.aim.Want == t.Replicas {
		return t, nil
	}

	var err error

	t.Replicas, err = e.targets.Size(ctx, targetOf(mg))

	return t, err
}

// Create does nothing: whoever composes the pool creates its Deployment.
func (e *external) Create(_ context.Context, _ *v1alpha1.AgentScaler) (managed.ExternalCreation, error) {
	return managed.ExternalCreation{}, nil
}

// Update makes the change that Observe decided on, or goes on with one that takes a while: workers leave when they are idle and
// their state is safe.
//
// The decision is recorded before anything is done. If we die in between, the next Observe finds the record and a size that has not
// followed it, and finishes the change for the reason recorded: it is never derived twice, and no change goes unrecorded. The price
// is one more write of the status per change, and that for as long as the change takes lastScale tells of one that is still being
// made. An event may be missing after a crash; the record may not.
//
// Where others write the size, it only brings to an end what was begun before they did.
func (e *external) Update(ctx context.Context, mg *v1alpha1.AgentScaler) (managed.ExternalUpdate, error) {
	if sizedBy(mg) == v1alpha1.SizedByOthers {
		return managed.ExternalUpdate{}, e.release(ctx, mg)
	}

	d := e.decision
	if d != nil && !e.unfinished {
		if err := e.recordDecision(ctx, mg); err != nil {
			return managed.ExternalUpdate{}, errors.Wrap(err, "cannot record why the size changes")
		}
	}

	want := e.aim.Want

	r, err := e.advance(ctx, mg, want)
	e.tell(mg, r)
	removed(mg, e.now(), r.Done)

	size := sizeAfter(r, *mg.Status.AtProvider.Replicas)
	mg.Status.AtProvider.Replicas = &size
	e.metrics.pool(client.ObjectKeyFromObject(mg), mg.Status.AtProvider)

	if err != nil {
		e.work.failed(mg)
		mg.SetConditions(xpv2.Unavailable().
			WithMessage(fmt.Sprintf("Deployment %s asks for %d replicas, and cannot be brought to %d", targetOf(mg).Name, size, want)).
			WithObservedGeneration(mg.GetGeneration()))

		return managed.ExternalUpdate{}, errors.Wrap(err, "cannot bring the pool to its size")
	}

	e.work.advanced(mg, want, r)

	if r.Moved {
		return managed.ExternalUpdate{}, nil
	}

	mg.SetConditions(xpv2.Available().WithObservedGeneration(mg.GetGeneration()))

	return managed.ExternalUpdate{AdditionalDetails: e.announce(mg)}, nil
}

// release leaves the pool to others.
func (e *external) release(ctx context.Context, mg *v1alpha1.AgentScaler) error {
	if err := e.pools.Release(ctx, mg); err != nil {
		e.work.failed(mg)

		return errors.Wrap(err, "cannot leave the pool to who writes its size")
	}

	e.work.done(mg, released)

	return nil
}

// announce tells of a decision, and returns what a change log is told: when it begins to be followed, and if that was cut short, when more workers are asked for after all.
func (e *external) announce(mg *v1alpha1.AgentScaler) managed.AdditionalDetails {
	d := e.decision
	if d == nil || e.unfinished && d.To < d.From {
		return nil
	}

	from, to := strconv.Itoa(int(d.From)), strconv.Itoa(int(d.To))

	e.metrics.decided(d)
	e.log.Info("Scales", "namespace", mg.GetNamespace(), "scaler", mg.GetName(), "from", d.From, "to", d.To, "reason", d.Reason)
	e.record.Event(mg, event.Normal(event.Reason(d.Reason), d.Message, "from", from, "to", to))

	return managed.AdditionalDetails{"from": from, "to": to, "reason": d.Reason}
}

// attempts is how often steps are tried that come to nothing because the pool changes meanwhile: the version of a Deployment is
// another with every word of its status.
const attempts = 4

// advance makes the steps that can be made now.
func (e *external) advance(ctx context.Context, mg *v1alpha1.AgentScaler, want int32) (worker.Result, error) {
	var made []worker.Step

	pool, policy := client.ObjectKeyFromObject(mg), policyOf(mg.Spec.ForProvider, want)
	policy.Asks = sizedBy(mg) == v1alpha1.SizedByKEDA

	for i := 1; ; i++ {
		if policy.Asks {
			policy.Asked = e.asks.Asked(pool)
		} else {
			// Others may change the size while we look. That gets a decision of its own.
			from := int(sizeAfter(worker.Result{Done: made}, *mg.Status.AtProvider.Replicas))
			policy.From = &from
		}

		r, err := e.pools.Advance(ctx, mg, policy)
		made = append(made, r.Done...)

		if policy.Asks && r.Ask >= 0 {
			e.asks.Ask(pool, r.Ask)
		}

		if err != nil || !r.Again || r.Moved || i == attempts {
			r.Done = made

			return r, err
		}
	}
}

// sizeAfter returns the size that the target asks for after the steps that were made.
func sizeAfter(r worker.Result, before int32) int32 {
	for _, s := range slices.Backward(r.Done) {
		if s.Act == worker.Resize {
			return int32(s.Size) //nolint:gosec // A size of a Deployment.
		}
	}

	return before
}

// recordDecision writes the status with the decision in it. It does not ask for the version of the scaler that we read:
// when the spec has changed since, its event is on the way and a new decision follows this one.
func (e *external) recordDecision(ctx context.Context, mg *v1alpha1.AgentScaler) error {
	d := e.decision
	last := v1alpha1.LastScale{Time: e.now(), From: d.From, To: d.To, Reason: d.Reason, Message: d.Message}
	mg.Status.AtProvider.LastScale = &last
	e.remember(mg, last)

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
