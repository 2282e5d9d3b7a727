package checkpoint

import (
	"context"
	"encoding/hex"
	"fmt"

	"github.com/restic/chunker"
	"gocloud.dev/blob"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	cp "github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/controller/storeconfig"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// Event reasons.
const (
	eventMade     event.Reason = "RepositoryMade"
	eventKept     event.Reason = "CheckpointsKept"
	eventDeleted  event.Reason = "CheckpointsDeleted"
	eventCorrupt  event.Reason = "Corrupt"
	eventAsked    event.Reason = "CheckpointAsked"
	eventSaved    event.Reason = "CheckpointsSaved"
	eventScrubbed event.Reason = "Scrubbed"
)

// A connector makes the external client of a Checkpoint.
type connector struct {
	repos  *Repositories
	keeper *Keeper
	kube   client.Client
	// pods are read from the API server: none must be missed.
	pods   client.Reader
	usage  resource.ModernTracker
	record event.Recorder
}

// Connect returns a client that is used for one reconcile.
func (c *connector) Connect(ctx context.Context, mg *v1alpha1.Checkpoint) (managed.TypedExternalClient[*v1alpha1.Checkpoint], error) {
	// A patch of the resource may have lost it, and the usage names it.
	mg.SetGroupVersionKind(v1alpha1.CheckpointGroupVersionKind)

	e := &external{connector: c}

	// What needs no store must not wait for one.
	if meta.WasDeleted(mg) && gone(mg) {
		return e, nil
	}

	if err := c.usage.Track(ctx, mg); err != nil {
		return nil, errors.Wrap(err, "cannot record that the provider configuration is used")
	}

	var (
		bad *storeconfig.InvalidError
		err error
	)

	e.access, err = c.repos.access(ctx, mg)
	if errors.As(err, &bad) && meta.WasDeleted(mg) && mg.Status.AtProvider.Exists == nil {
		mg.Status.AtProvider.Exists = new(bool) // It never got as far as to make anything.

		return e, nil
	}

	if err != nil {
		return nil, err
	}

	e.key, err = c.repos.dataKey(ctx, mg)

	return e, err
}

// gone says that a Checkpoint has let go of its repository.
func gone(mg *v1alpha1.Checkpoint) bool {
	return mg.Status.AtProvider.Exists != nil && !*mg.Status.AtProvider.Exists
}

// An external looks after one repository, for one reconcile.
type external struct {
	*connector

	access access
	key    *cp.DataKey
	repo   *opened
	// keys are the wrapped keys that are in the store now.
	keys []cp.WrappedKey
	// untold are the workers that were not told yet that somebody asks for a checkpoint.
	untold []corev1.Pod
}

// Observe looks whether the repository is there, and tells what the keeper has found out about it.
func (e *external) Observe(ctx context.Context, mg *v1alpha1.Checkpoint) (managed.ExternalObservation, error) {
	if meta.WasDeleted(mg) {
		return managed.ExternalObservation{ResourceExists: !gone(mg)}, nil
	}

	there, err := e.look(ctx, mg)
	if err != nil {
		mg.SetConditions(xpv2.Unavailable().WithMessage(err.Error()))

		return managed.ExternalObservation{}, err
	}

	if !there {
		mg.Status.AtProvider = v1alpha1.CheckpointObservation{}

		return managed.ExternalObservation{ResourceExists: false}, nil
	}

	at, loss, err := e.keeper.observe(ctx, mg)
	if err != nil {
		return managed.ExternalObservation{}, errors.Wrap(err, "cannot look for workers")
	}

	if at.CheckpointedFor != mg.Status.AtProvider.CheckpointedFor {
		e.record.Event(mg, event.Normal(eventSaved, fmt.Sprintf("All workers that run, %d, have saved their state, as was asked for by %s", loss.workers, at.CheckpointedFor)))
	}

	if e.untold, err = e.asks(ctx, mg, at.CheckpointedFor); err != nil {
		return managed.ExternalObservation{}, err
	}

	yes := true
	at.Exists, at.ID, at.Store = &yes, e.repo.repo.Pool().ID, e.access.own.URL
	mg.Status.AtProvider = at
	mg.SetConditions(xpv2.Available())
	setConditions(mg, loss)

	return managed.ExternalObservation{ResourceExists: true, ResourceUpToDate: e.wrapped() && len(e.untold) == 0, ConnectionDetails: e.details()}, nil
}

// look opens the repository, and returns false where there is none.
func (e *external) look(ctx context.Context, mg *v1alpha1.Checkpoint) (bool, error) {
	if e.key == nil {
		return false, e.orphan(ctx, mg)
	}

	var err error

	e.repo, err = e.repos.get(ctx, mg, e.access, *e.key)

	switch {
	case errors.Is(err, cp.ErrNotFound):
		return false, nil
	case errors.Is(err, cp.ErrKey):
		return false, errors.Wrapf(err, "the repository is another pool's, or Secret %s holds another key", keyName(mg))
	case err != nil:
		return false, err
	default:
		return e.there(ctx, mg)
	}
}

// there looks into the store, since a repository is kept open for long.
func (e *external) there(ctx context.Context, mg *v1alpha1.Checkpoint) (bool, error) {
	p, err := cp.ReadPool(ctx, e.repo.bucket, cp.Options{Timeout: e.access.timeout, Attempts: 2})

	switch {
	case errors.Is(err, cp.ErrNotFound):
		e.repos.forget(client.ObjectKeyFromObject(mg))

		return false, nil
	case err != nil:
		return false, errors.Wrap(err, "cannot look for the repository")
	case p.ID != e.repo.repo.Pool().ID:
		e.repos.forget(client.ObjectKeyFromObject(mg))

		return false, errors.New("the repository is another than before: it is opened anew")
	default:
		e.keys = p.Keys

		return true, nil
	}
}

// orphan returns an error if there is a repository whose data key is lost: it must not be written over.
func (e *external) orphan(ctx context.Context, mg *v1alpha1.Checkpoint) error {
	return e.withBucket(ctx, func(b *blob.Bucket) error {
		p, err := cp.ReadPool(ctx, b, cp.Options{Timeout: e.access.timeout})

		switch {
		case errors.Is(err, cp.ErrNotFound):
			return nil
		case err != nil:
			return errors.Wrap(err, "cannot look for a repository")
		case len(p.Keys) == 0:
			return fmt.Errorf("%s: there are checkpoints of pool %q, and Secret %s with their data key is gone: bring the Secret back from a backup", v1alpha1.ReasonKeyLost, mg.Spec.ForProvider.Pool, keyName(mg))
		default:
			return fmt.Errorf("%s: there are checkpoints of pool %q, and Secret %s with their data key is gone: bring it back from a backup, or with aidispatch checkpoint key, as one of %d recipients", v1alpha1.ReasonKeyLost, mg.Spec.ForProvider.Pool, keyName(mg), len(p.Keys))
		}
	})
}

func (e *external) withBucket(ctx context.Context, do func(*blob.Bucket) error) error {
	b, err := e.repos.open(ctx, e.access.own)
	if err != nil {
		return errors.Wrap(err, "cannot open the store")
	}
	defer b.Close() // What was written was acknowledged.

	return do(b)
}

// details are what the workers' monitors get. One without a value is removed.
func (e *external) details() managed.ConnectionDetails {
	return managed.ConnectionDetails{
		monitorapi.CheckpointURL:         []byte(e.access.own.URL),
		monitorapi.CheckpointPrefix:      []byte(e.access.own.Prefix),
		monitorapi.CheckpointKey:         []byte(hex.EncodeToString(e.key[:])),
		monitorapi.CheckpointCredentials: e.access.worker,
		monitorapi.CheckpointCA:          e.access.own.CA,
	}
}

// Create makes the data key, unless an earlier attempt has, or an earlier life of this pool, and then the repository.
func (e *external) Create(ctx context.Context, mg *v1alpha1.Checkpoint) (managed.ExternalCreation, error) {
	err := e.withBucket(ctx, func(b *blob.Bucket) error {
		if err := cp.Probe(ctx, b); err != nil {
			return errors.Wrap(err, string(v1alpha1.ReasonUntrustworthy))
		}

		if err := vacant(ctx, b); err != nil {
			return err
		}

		key, err := e.ensureKey(ctx, mg)
		if err != nil {
			return err
		}

		keys, err := e.wrap(ctx, key)
		if err != nil {
			return err
		}

		pol, err := chunker.RandomPolynomial()
		if err != nil {
			return errors.Wrap(err, "cannot draw a polynomial")
		}

		_, err = cp.Create(ctx, b, key, cp.Pool{Chunker: cp.DefaultChunker(uint64(pol)), Keys: keys}, cp.Options{Timeout: e.access.timeout})
		if errors.Is(err, cp.ErrExists) {
			return nil // The next Observe says whose it is.
		}

		return err
	})
	if err != nil {
		return managed.ExternalCreation{}, errors.Wrap(err, "cannot make the repository")
	}

	e.record.Event(mg, event.Normal(eventMade, "Made a repository for pool "+mg.Spec.ForProvider.Pool))

	return managed.ExternalCreation{ConnectionDetails: e.details()}, nil
}

// Update tells workers that somebody asks for a checkpoint, and wraps the data key for other recipients.
func (e *external) Update(ctx context.Context, mg *v1alpha1.Checkpoint) (managed.ExternalUpdate, error) {
	if err := e.tell(ctx, mg); err != nil || e.wrapped() {
		return managed.ExternalUpdate{ConnectionDetails: e.details()}, err
	}

	keys, err := e.wrap(ctx, *e.key)
	if err != nil {
		return managed.ExternalUpdate{}, err
	}

	return managed.ExternalUpdate{ConnectionDetails: e.details()}, errors.Wrap(e.repo.repo.Rewrap(ctx, keys), "cannot wrap the data key for the recipients")
}

// Delete lets go of the repository. Its checkpoints are kept, unless the resource says otherwise; then not before the last worker
// that has its state there has ended.
func (e *external) Delete(ctx context.Context, mg *v1alpha1.Checkpoint) (managed.ExternalDelete, error) {
	if gone(mg) {
		return managed.ExternalDelete{}, nil
	}

	if mg.Spec.ForProvider.OnDelete == v1alpha1.DataDelete {
		if err := e.inUse(ctx, mg); err != nil {
			return managed.ExternalDelete{}, err
		}

		if err := e.remove(ctx, mg); err != nil {
			return managed.ExternalDelete{}, err
		}

		e.record.Event(mg, event.Normal(eventDeleted, "Deleted the checkpoints of pool "+mg.Spec.ForProvider.Pool))
	} else {
		e.record.Event(mg, event.Normal(eventKept, fmt.Sprintf("Kept the checkpoints of pool %s, and Secret %s with their data key", mg.Spec.ForProvider.Pool, keyName(mg).Name)))
	}

	e.repos.forget(client.ObjectKeyFromObject(mg))
	e.keeper.forget(client.ObjectKeyFromObject(mg))

	mg.Status.AtProvider = v1alpha1.CheckpointObservation{Exists: new(bool)}

	return managed.ExternalDelete{}, nil
}

func (e *external) inUse(ctx context.Context, mg *v1alpha1.Checkpoint) error {
	l := &corev1.PodList{}
	if err := e.pods.List(ctx, l, client.InNamespace(mg.GetNamespace()), client.MatchingLabels{v1alpha1.LabelCheckpoint: mg.GetName()}); err != nil {
		return errors.Wrap(err, "cannot look for workers")
	}

	n := 0

	for i := range l.Items {
		if p := l.Items[i].Status.Phase; p != corev1.PodSucceeded && p != corev1.PodFailed {
			n++
		}
	}

	if n > 0 {
		return fmt.Errorf("%s: %d workers still have their state there: the checkpoints are deleted when the last of them has ended", v1alpha1.ReasonInUse, n)
	}

	return nil
}

// remove deletes all objects of the repository, pool.json last, and then the data key. It goes on where it ended.
func (e *external) remove(ctx context.Context, mg *v1alpha1.Checkpoint) error {
	if err := e.keeper.halt(ctx, client.ObjectKeyFromObject(mg)); err != nil {
		return err
	}

	err := e.withBucket(ctx, func(b *blob.Bucket) error { return removeAll(ctx, b) })
	if err != nil {
		return errors.Wrap(err, "cannot delete the checkpoints")
	}

	name := keyName(mg)
	s := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}

	return errors.Wrap(client.IgnoreNotFound(e.kube.Delete(ctx, s)), "cannot delete the data key")
}

// Disconnect has nothing to let go of: repositories are kept open.
func (e *external) Disconnect(context.Context) error { return nil }
