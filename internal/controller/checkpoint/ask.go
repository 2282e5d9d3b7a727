package checkpoint

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	cevent "sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/event"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// How soon it is looked again whether workers have answered a request. It takes as long as they have had already, so that one that
// cannot save is not asked all the time.
const (
	soonest = time.Second
	latest  = time.Minute
)

// answered returns the last request that all running workers have answered with a checkpoint.
func answered(mg *v1alpha1.Checkpoint, asked []string) string {
	request := mg.GetAnnotations()[v1alpha1.AnnotationCheckpointNow]

	for _, a := range asked {
		if a != request {
			return mg.Status.AtProvider.CheckpointedFor
		}
	}

	if request == "" {
		return mg.Status.AtProvider.CheckpointedFor
	}

	return request
}

// asks returns the workers that were not told yet that somebody asks for a checkpoint. While not all have answered, the Checkpoint is
// looked at again soon.
func (e *external) asks(ctx context.Context, mg *v1alpha1.Checkpoint, done string) ([]corev1.Pod, error) {
	request := mg.GetAnnotations()[v1alpha1.AnnotationCheckpointNow]
	if request == "" || request == done || observesOnly(mg) {
		return nil, nil
	}

	e.keeper.again(mg, request)

	l := &corev1.PodList{}
	if err := e.pods.List(ctx, l, client.InNamespace(mg.GetNamespace()), client.MatchingLabels{v1alpha1.LabelCheckpoint: mg.GetName()}); err != nil {
		return nil, errors.Wrap(err, "cannot look for workers")
	}

	var out []corev1.Pod

	for i := range l.Items {
		if p := &l.Items[i]; p.Status.Phase == corev1.PodRunning && p.GetAnnotations()[monitorapi.AnnotationCheckpointNow] != request {
			out = append(out, *p)
		}
	}

	return out, nil
}

// tell tells the workers that were not told yet. One that has ended meanwhile has saved its state in doing so.
func (e *external) tell(ctx context.Context, mg *v1alpha1.Checkpoint) error {
	if len(e.untold) == 0 {
		return nil
	}

	request := mg.GetAnnotations()[v1alpha1.AnnotationCheckpointNow]

	for i := range e.untold {
		p := &e.untold[i]
		before := client.MergeFrom(p.DeepCopy())

		if p.Annotations == nil {
			p.Annotations = map[string]string{}
		}

		p.Annotations[monitorapi.AnnotationCheckpointNow] = request

		if err := client.IgnoreNotFound(e.kube.Patch(ctx, p, before)); err != nil {
			return errors.Wrapf(err, "cannot ask worker %s for a checkpoint", p.GetName())
		}
	}

	e.record.Event(mg, event.Normal(eventAsked, fmt.Sprintf("Told %d workers to save their state, as was asked for by %s", len(e.untold), request)))

	return nil
}

// again has a Checkpoint reconciled soon, for a request that workers have not answered yet.
func (k *Keeper) again(mg *v1alpha1.Checkpoint, request string) {
	r := k.report(mg)

	k.mu.Lock()
	defer k.mu.Unlock()

	if r.asked != request {
		r.asked, r.askedAt = request, k.now()
	}

	if r.waking {
		return
	}

	r.waking = true

	time.AfterFunc(min(max(k.now().Sub(r.askedAt), soonest), latest), func() {
		k.mu.Lock()
		r.waking = false
		k.mu.Unlock()

		select {
		case k.wake <- cevent.GenericEvent{Object: mg}:
		default: // The next poll looks.
		}
	})
}
