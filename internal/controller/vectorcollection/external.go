package vectorcollection

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/vector"
)

// A connector makes the external client of a VectorCollection from the client of its configuration's store.
type connector struct {
	clients *Clients
	// kube is the cache.
	kube client.Reader
	// secrets and pods are read from the API server: a Secret is not to be remembered, and a pod must not be missed.
	secrets client.Reader
	pods    client.Reader
	usage   resource.ModernTracker
	record  event.Recorder
	log     logging.Logger
	// cluster tells this cluster from others that use the same store.
	cluster  string
	policies bool
	// again has a VectorCollection looked at once more, at once.
	again func(context.Context, *v1alpha1.VectorCollection)
}

// Connect returns a client that is used for one reconcile.
func (c *connector) Connect(ctx context.Context, mg *v1alpha1.VectorCollection) (managed.TypedExternalClient[*v1alpha1.VectorCollection], error) {
	e, err := c.connect(ctx, mg)
	if err != nil {
		return nil, failed(ctx, err)
	}

	return explained{e}, nil
}

func (c *connector) connect(ctx context.Context, mg *v1alpha1.VectorCollection) (managed.TypedExternalClient[*v1alpha1.VectorCollection], error) {
	// A patch of the resource may have lost it, and the usage names it.
	mg.SetGroupVersionKind(v1alpha1.VectorCollectionGroupVersionKind)

	// What needs no store must not wait for one.
	if meta.WasDeleted(mg) && nothingToLetGo(mg) {
		return nothing(), nil
	}

	if err := c.usage.Track(ctx, mg); err != nil {
		return nil, errors.Wrap(err, "cannot record that the provider configuration is used")
	}

	n, err := c.clients.get(ctx, keyOf(mg))
	if err != nil && meta.WasDeleted(mg) && neverConnected(mg) && reasonOf(err) == v1alpha1.ReasonInvalidConfiguration {
		return nothing(), nil
	}

	if err != nil {
		return nil, err
	}

	return &external{connector: c, conn: n}, nil
}

// An external looks after one collection, and its successor. It lives for one reconcile: what Observe finds left to do,
// Update does.
type external struct {
	*connector

	conn  *conn
	goal  goal
	sight sight
	steps []step
	// published are the connection details that agents have.
	published managed.ConnectionDetails
}

// Observe looks at the collection and finds out what is left to do.
func (e *external) Observe(ctx context.Context, mg *v1alpha1.VectorCollection) (managed.ExternalObservation, error) {
	e.goal = goalOf(mg, ownerOf(mg, e.cluster), e.policies)

	// Deleting must not depend on whether the collection is as it was wanted.
	if meta.WasDeleted(mg) {
		return managed.ExternalObservation{ResourceExists: true}, nil
	}

	// What the store cannot do it need not be asked.
	if err := e.goal.supported(e.conn.Features()); err != nil {
		return managed.ExternalObservation{}, e.unavailable(mg, err)
	}

	if err := errors.Join(e.look(ctx), e.recall(ctx, mg)); err != nil {
		return managed.ExternalObservation{}, err
	}

	e.mourn(mg)

	if !e.sight.exists(e.goal) {
		return e.missing(mg), nil
	}

	if err := e.goal.check(e.conn.Features(), e.sight); err != nil {
		return managed.ExternalObservation{}, e.unavailable(mg, err)
	}

	if err := e.aliasesFree(ctx, mg); err != nil {
		return managed.ExternalObservation{}, err
	}

	return e.report(mg), nil
}

// aliasesFree returns an error if another VectorCollection of this configuration has an alias that is to be set. The store
// would let us have it, and the other one would take it back, and so on.
func (e *external) aliasesFree(ctx context.Context, mg *v1alpha1.VectorCollection) error {
	missing := e.goal.missing(e.sight)
	if e.goal.observe || len(missing) == 0 {
		return nil
	}

	others, err := collectionsOf(ctx, e.kube, keyOf(mg))
	if err != nil {
		return errors.Wrap(err, "cannot list the VectorCollections that may have the same aliases")
	}

	for i := range others {
		for _, alias := range missing {
			if o := &others[i]; o.GetUID() != mg.GetUID() && slices.Contains(o.Status.AtProvider.Aliases, alias) {
				return vector.Errorf(vector.Owned, "alias %q belongs to VectorCollection %s/%s: choose another, or remove it there", alias, o.GetNamespace(), o.GetName())
			}
		}
	}

	return nil
}

// unavailable has the resource say that what it stands for cannot be used, and why.
func (e *external) unavailable(mg *v1alpha1.VectorCollection, err error) error {
	mg.SetConditions(unavailableFor(err).WithObservedGeneration(mg.GetGeneration()))

	return err
}

// look fills in the sight: one request for each collection of the goal.
func (e *external) look(ctx context.Context) error {
	var err error

	e.sight.main, e.sight.next, e.sight.left = nil, nil, nil

	if !e.goal.released {
		if e.sight.main, err = e.describe(ctx, e.goal.main.Name); err != nil {
			return err
		}
	}

	if e.goal.next != nil {
		if e.sight.next, err = e.describe(ctx, e.goal.next.Name); err != nil {
			return err
		}
	}

	if e.goal.left != "" {
		if e.sight.left, err = e.describe(ctx, e.goal.left); err != nil {
			return err
		}
	}

	return nil
}

// recall fills in what agents have been given.
func (e *external) recall(ctx context.Context, mg *v1alpha1.VectorCollection) error {
	var err error
	if e.published, err = published(ctx, e.secrets, mg); err != nil {
		return errors.Wrap(err, "cannot get the connection secret")
	}

	e.sight.reach = string(e.published[v1alpha1.ConnectionReach])

	// What agents share is no login of ours.
	if e.sight.reach != "" || mg.Status.AtProvider.Access == v1alpha1.AccessScoped {
		e.sight.access = accessOf(e.published)
	}

	return nil
}

// describe returns a collection, nil if there is none.
func (e *external) describe(ctx context.Context, name string) (*vector.State, error) {
	st, err := e.conn.Describe(ctx, name)
	if vector.Is(err, vector.NotFound) {
		return nil, nil //nolint:nilnil // There is none, and that is no error.
	}

	if err != nil {
		return nil, err
	}

	return &st, nil
}

// mourn tells of collections that are gone although nobody told us.
func (e *external) mourn(mg *v1alpha1.VectorCollection) {
	was := mg.Status.AtProvider

	if e.sight.main == nil && !e.goal.released && e.goal.stage != v1alpha1.SuccessorRelease {
		e.tellLost(mg, e.goal.main.Name, was.CollectionObservation)
	}

	if s := was.Successor; s != nil && e.goal.next != nil && e.sight.next == nil && s.Collection == e.goal.next.Name {
		e.tellLost(mg, s.Collection, s.CollectionObservation)
	}
}

func (e *external) tellLost(mg *v1alpha1.VectorCollection, name string, was v1alpha1.CollectionObservation) {
	if was.Exists == nil || !*was.Exists {
		return
	}

	st := vector.State{Vectors: was.VectorCount, Approximate: was.VectorCountApproximate}
	e.record.Event(mg, event.Warning(eventLost, fmt.Errorf("collection %q is gone from the store, with the %s it had: not by us", name, vectors(st))))
}

// missing reports that there is no collection. Whatever login there was may not reach the next one.
func (e *external) missing(mg *v1alpha1.VectorCollection) managed.ExternalObservation {
	mg.Status.AtProvider = observation(e.goal, e.sight, e.conn.cfg.Type)
	mg.SetConditions(ready(e.goal, e.sight).WithObservedGeneration(mg.GetGeneration()))

	o := managed.ExternalObservation{ResourceExists: false}
	if e.sight.reach != "" {
		o.ConnectionDetails = without(v1alpha1.ConnectionReach)
	}

	return o
}

// report tells of what was seen, in the status and in the connection details, and what is left to do.
func (e *external) report(mg *v1alpha1.VectorCollection) managed.ExternalObservation {
	e.steps = e.goal.steps(e.conn.Features(), e.sight, e.conn.grants())

	o := managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: len(e.steps) == 0, Diff: messages(e.steps)}

	if at, _ := e.sight.serving(e.goal); at != nil {
		o.ResourceLateInitialized = lateInit(&mg.Spec.ForProvider.VectorTuning, at.Properties)
	}

	d, access := e.details()
	mg.Status.AtProvider = observation(e.goal, e.sight, e.conn.cfg.Type)
	mg.Status.AtProvider.Access = access

	// Agents are told all at once: told in part they would start without a password, or under a name that is not there yet.
	if len(e.steps) > 0 && len(e.published[v1alpha1.ConnectionCollection]) == 0 {
		mg.SetConditions(xpv2.Creating().WithObservedGeneration(mg.GetGeneration()))

		return o
	}

	mg.SetConditions(ready(e.goal, e.sight).WithObservedGeneration(mg.GetGeneration()))

	o.ConnectionDetails = replacing(e.published, d)

	return o
}

// details returns the connection details, and how agents get in.
func (e *external) details() (managed.ConnectionDetails, string) {
	named := e.conn.named
	if e.conn.grants() && e.goal.grant {
		return details(e.goal, e.sight, e.conn.cfg, e.sight.access, named), v1alpha1.AccessScoped
	}

	s := e.sight
	s.reach = ""

	if e.conn.cfg.Agents == nil {
		return details(e.goal, s, e.conn.cfg, vector.Access{}, named), v1alpha1.AccessNone
	}

	return details(e.goal, s, e.conn.cfg, *e.conn.cfg.Agents, named), v1alpha1.AccessShared
}

// Create makes the collection. All else that is wanted of it Update does: it has to find its way from wherever we died.
func (e *external) Create(ctx context.Context, mg *v1alpha1.VectorCollection) (managed.ExternalCreation, error) {
	s := create(e.goal.target())
	if err := s.do(ctx, e); err != nil {
		return managed.ExternalCreation{}, err
	}

	e.tell(mg, s)

	// After failures its next turn may be a minute away, and agents wait for it.
	if mg.GetCondition(xpv2.TypeSynced).Status == corev1.ConditionFalse {
		e.again(ctx, mg)
	}

	return managed.ExternalCreation{AdditionalDetails: managed.AdditionalDetails{"did": s.message}}, nil
}

// Update does what Observe found left to do, and looks again: whether agents can start must not wait for the next poll.
func (e *external) Update(ctx context.Context, mg *v1alpha1.VectorCollection) (managed.ExternalUpdate, error) {
	did := managed.AdditionalDetails{"did": messages(e.steps)}

	for _, s := range e.steps {
		err := s.do(ctx, e)
		if errors.Is(err, errNoLogins) {
			continue
		}

		if err != nil {
			return managed.ExternalUpdate{AdditionalDetails: did}, err
		}

		e.tell(mg, s)
	}

	if err := e.look(ctx); err != nil {
		return managed.ExternalUpdate{AdditionalDetails: did}, err
	}

	if err := e.goal.check(e.conn.Features(), e.sight); err != nil {
		return managed.ExternalUpdate{AdditionalDetails: did}, e.unavailable(mg, err)
	}

	return managed.ExternalUpdate{ConnectionDetails: e.report(mg).ConnectionDetails, AdditionalDetails: did}, nil
}

// errNoLogins says that a step was not taken because the store is not set up for it. Agents then share a login.
var errNoLogins = errors.New("the store makes no logins")

// admit lets the agents' login reach collections, and keeps what it returned for the connection details.
func (e *external) admit(ctx context.Context, g vector.Grant, reach string) error {
	a, err := e.conn.Grant(ctx, g, e.sight.access)
	if vector.Is(err, vector.Unsupported) {
		return errNoLogins
	}

	if err != nil {
		return err
	}

	e.sight.access, e.sight.reach = a, reach

	return nil
}

func (e *external) tell(mg *v1alpha1.VectorCollection, s step) {
	e.log.Info(s.message, "namespace", mg.GetNamespace(), "name", mg.GetName())
	e.record.Event(mg, event.Normal(s.reason, s.message))
}

// Disconnect lets go of the store's client.
func (e *external) Disconnect(_ context.Context) error {
	e.conn.release()

	return nil
}
