package vectorcollection

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/vector"
)

// letGoOf is what the status tells when there is nothing left to let go of. A store cannot always tell: a collection that
// is kept in one that has no place for a stamp looks as before.
func letGoOf() v1alpha1.VectorCollectionObservation {
	return v1alpha1.VectorCollectionObservation{CollectionObservation: v1alpha1.CollectionObservation{Exists: new(bool)}}
}

// nothingToLetGo says that a VectorCollection has no collection, or has let go of it.
func nothingToLetGo(mg *v1alpha1.VectorCollection) bool {
	return meta.GetExternalName(mg) == "" || equality.Semantic.DeepEqual(mg.Status.AtProvider, letGoOf())
}

// neverConnected says that a VectorCollection never got as far as to do anything in its store.
func neverConnected(mg *v1alpha1.VectorCollection) bool {
	return mg.Status.AtProvider.Exists == nil && meta.GetExternalCreatePending(mg).IsZero()
}

// Delete lets go of the collection, and of its successor: their data are kept, unless the resource says otherwise.
// Nobody but their owner does that, and not before the last worker that uses them has ended.
func (e *external) Delete(ctx context.Context, mg *v1alpha1.VectorCollection) (managed.ExternalDelete, error) {
	if err := e.inUse(ctx, mg); err != nil {
		return managed.ExternalDelete{}, err
	}

	e.goal.released = false

	if err := e.look(ctx); err != nil {
		return managed.ExternalDelete{}, err
	}

	steps := e.goal.farewell(e.conn.Features(), e.sight)
	did := managed.AdditionalDetails{"did": messages(steps)}

	for _, s := range steps {
		if err := s.do(ctx, e); err != nil {
			return managed.ExternalDelete{AdditionalDetails: did}, err
		}

		e.tell(mg, s)
	}

	if err := e.conn.Revoke(ctx, e.goal.login); err != nil && !vector.Is(err, vector.Unsupported) {
		return managed.ExternalDelete{AdditionalDetails: did}, err
	}

	mg.Status.AtProvider = letGoOf()

	return managed.ExternalDelete{AdditionalDetails: did}, nil
}

// farewell returns what is to be done before the resource can go.
func (g goal) farewell(f vector.Features, s sight) []step {
	reason := eventKept
	if g.onDelete == v1alpha1.DataDelete {
		reason = eventDeleted
	}

	names := []string{g.main.Name, "", g.left}
	if g.next != nil {
		names[1] = g.next.Name
	}

	var out []step

	for i, st := range []*vector.State{s.main, s.next, s.left} {
		if !g.ours(f, st) {
			continue
		}

		out = append(out, g.unpoint(names[i], g.known(st.Aliases))...)

		if g.owns(f, st) {
			out = append(out, g.letGo(vector.Spec{Name: names[i]}, *st, reason))
		}
	}

	return out
}

// unpoint returns the step that removes aliases from a collection, if there are any to remove.
func (g goal) unpoint(collection string, aliases []string) []step {
	if len(aliases) == 0 {
		return nil
	}

	return []step{{
		reason:  eventPointed,
		message: fmt.Sprintf("Removed %s, which pointed to collection %q", quoted(aliases), collection),
		do: func(ctx context.Context, e *external) error {
			return e.conn.PointAliases(ctx, collection, nil, aliases)
		},
	}}
}

// inUse returns an error that names pods which use the collection, if there are any.
func (e *external) inUse(ctx context.Context, mg *v1alpha1.VectorCollection) error {
	l := &corev1.PodList{}
	if err := e.pods.List(ctx, l, client.InNamespace(mg.GetNamespace()), client.MatchingLabels{v1alpha1.LabelMemory: mg.GetName()}); err != nil {
		return errors.Wrap(err, "cannot list the pods that may use the collection")
	}

	var names []string

	for i := range l.Items {
		if !ended(&l.Items[i]) {
			names = append(names, l.Items[i].GetName())
		}
	}

	if len(names) == 0 {
		return nil
	}

	slices.Sort(names)

	text := strings.Join(names[:min(3, len(names))], ", ")
	if more := len(names) - 3; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}

	return &reasoned{reason: v1alpha1.ReasonInUse, err: fmt.Errorf("pods still use the collection: %s", text)}
}

// ended says that nothing of a pod runs any more.
func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// nothing is the external client of a VectorCollection that has nothing in a store.
func nothing() managed.TypedExternalClient[*v1alpha1.VectorCollection] {
	return managed.TypedExternalClientFns[*v1alpha1.VectorCollection]{
		ObserveFn: func(context.Context, *v1alpha1.VectorCollection) (managed.ExternalObservation, error) {
			return managed.ExternalObservation{ResourceExists: false}, nil
		},
		DisconnectFn: func(context.Context) error { return nil },
	}
}
