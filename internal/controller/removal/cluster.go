// Package removal takes the steps of internal/worker in a Kubernetes cluster: it tells workers to drain, reads their checkpoints
// back, and takes them out of their pool. It must not know which worker goes, nor when; internal/worker says that.
package removal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/slot"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
	"github.com/southwest-ai/agent-operator/internal/worker"
)

// annotationCost is what a ReplicaSet reads to choose among pods that are equally ready: those that cost less go first.
const annotationCost = "controller.kubernetes.io/pod-deletion-cost"

// A cluster is one pool's worker.Cluster, for one look and the steps that follow from it.
type cluster struct {
	*Pools

	pool slot.Pool
	// want is how many workers the pool should have. Where none is to go, none is asked how busy it is.
	want int

	// ledger and deployment are what View read, for Cap and Resize, and repositories the names of the workers' Checkpoints, for
	// Verify.
	ledger       slot.Ledger
	deployment   *appsv1.Deployment
	repositories map[string]string
}

// View looks at the pool: the ledger, the Deployment, the pods, and what their monitors say, in this order.
func (c *cluster) View(ctx context.Context) (worker.View, error) {
	ledger, version, err := c.ledgers.Load(ctx, c.pool)
	if err != nil {
		return worker.View{}, fmt.Errorf("cannot load the ledger of slots: %w", err)
	}

	c.repositories = map[string]string{}

	d := &appsv1.Deployment{}
	if err := c.live.Get(ctx, types.NamespacedName{Namespace: c.pool.Namespace, Name: c.pool.Deployment}, d); err != nil {
		return worker.View{}, fmt.Errorf("cannot get the Deployment: %w", err)
	}

	acted, err := c.acted(ctx, d)
	if err != nil {
		return worker.View{}, err
	}

	pods := &corev1.PodList{}
	if err := c.live.List(ctx, pods, client.InNamespace(c.pool.Namespace), client.MatchingLabels{monitorapi.LabelDispatcher: c.pool.Dispatcher}); err != nil {
		return worker.View{}, fmt.Errorf("cannot list the pool's workers: %w", err)
	}

	c.ledger, c.deployment = ledger, d
	v := worker.View{
		Ledger: version, Cap: -1, Deployment: d.ResourceVersion, Replicas: sizeOf(d), Refused: refused(d), Slotless: slotless(d), Acted: acted,
	}

	if ledger.Cap != nil && !v.Slotless {
		v.Cap = *ledger.Cap
	}

	c.gather(&v, ledger, pods.Items)

	if len(v.Workers) > c.want {
		c.ask(ctx, v.Workers, pods.Items)
	}

	return v, nil
}

// acted says whether the Deployment's ReplicaSets have acted on the size that it asks for, and found as many pods.
func (c *cluster) acted(ctx context.Context, d *appsv1.Deployment) (bool, error) {
	sets := &appsv1.ReplicaSetList{}
	if err := c.live.List(ctx, sets, client.InNamespace(c.pool.Namespace), client.MatchingLabels{monitorapi.LabelDispatcher: c.pool.Dispatcher}); err != nil {
		return false, fmt.Errorf("cannot list the Deployment's ReplicaSets: %w", err)
	}

	sum := 0

	for i := range sets.Items {
		s := &sets.Items[i]
		if !metav1.IsControlledBy(s, d) {
			continue
		}

		if s.Status.ObservedGeneration < s.Generation || s.Spec.Replicas == nil || s.Status.Replicas != *s.Spec.Replicas {
			return false, nil
		}

		sum += int(s.Status.Replicas)
	}

	return sum == sizeOf(d), nil
}

// sizeOf returns the size that a Deployment asks for; the API server makes an absent one 1.
func sizeOf(d *appsv1.Deployment) int {
	if d.Spec.Replicas == nil {
		return 1
	}

	return int(*d.Spec.Replicas)
}

// slotless says whether the Deployment's workers get no slots: then they do not wait for one.
func slotless(d *appsv1.Deployment) bool {
	return !slices.ContainsFunc(d.Spec.Template.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool { return g.Name == monitorapi.SlotGate })
}

// refused says whether the Deployment's ReplicaSet was not let make a pod.
func refused(d *appsv1.Deployment) bool {
	return slices.ContainsFunc(d.Status.Conditions, func(c appsv1.DeploymentCondition) bool {
		return c.Type == appsv1.DeploymentReplicaFailure && c.Status == corev1.ConditionTrue
	})
}

func (c *cluster) gather(v *worker.View, ledger slot.Ledger, pods []corev1.Pod) {
	hashes := map[string]bool{}

	for i := range pods {
		p := &pods[i]
		if over(p) {
			continue
		}

		hash, matches := p.Labels[appsv1.DefaultDeploymentUniqueLabelKey]
		if matches && p.DeletionTimestamp == nil {
			v.Pods++
			hashes[hash] = true
		}

		claim, ok := claimOf(v, ledger, p)
		if !ok {
			continue
		}

		c.repositories[claim.UID] = p.Labels[v1alpha1.LabelCheckpoint]
		v.Claims = append(v.Claims, claim.UID)
		v.Workers = append(v.Workers, worker.Worker{
			Name: p.Name, UID: claim.UID, Version: p.ResourceVersion, Slot: claim.Slot, Epoch: claim.Epoch, Created: p.CreationTimestamp.Time,
			Drain: p.Annotations[monitorapi.AnnotationDrain], Until: timeOf(p, monitorapi.AnnotationDrainUntil),
			Refused:  timeOf(p, monitorapi.AnnotationDrainRefused),
			Detached: !matches, Owned: owned(p), Terminating: p.DeletionTimestamp != nil,
			Stateful: c.repositories[claim.UID] != "", Unstarted: unstarted(p),
		})
	}

	// The workers of two templates are there at once only while the one replaces the other.
	v.RollingOut = len(hashes) > 1 || c.deployment.Status.ObservedGeneration < c.deployment.Generation
}

// claimOf returns the claim of a worker. In a pool without slots whoever runs is a worker, and none of them has a slot.
func claimOf(v *worker.View, l slot.Ledger, p *corev1.Pod) (slot.Claim, bool) {
	if v.Slotless {
		return slot.Claim{Slot: -1, Pod: p.Name, UID: string(p.UID)}, p.Status.Phase == corev1.PodRunning
	}

	at := slices.IndexFunc(l.Claims, func(c slot.Claim) bool { return c.UID == string(p.UID) })
	if at < 0 {
		return slot.Claim{}, false
	}

	return l.Claims[at], true
}

// unstarted says that none of a pod's containers ever ran, but perhaps those that run before and beside the agent.
func unstarted(p *corev1.Pod) bool {
	return !slices.ContainsFunc(p.Status.ContainerStatuses, func(s corev1.ContainerStatus) bool {
		return s.State.Running != nil || s.State.Terminated != nil || s.LastTerminationState.Terminated != nil || s.RestartCount > 0
	})
}

func over(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// owned says whether a ReplicaSet counts the pod as its own.
func owned(p *corev1.Pod) bool {
	o := metav1.GetControllerOf(p)

	return o != nil && o.Kind == "ReplicaSet"
}

func timeOf(p *corev1.Pod, annotation string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, p.Annotations[annotation])
	if err != nil {
		return time.Time{} // It was never written, or by nobody who knows how.
	}

	return t
}

// Drain tells a worker to drain.
func (c *cluster) Drain(ctx context.Context, w worker.Worker, id string, until time.Time) error {
	a := map[string]any{monitorapi.AnnotationDrain: id, monitorapi.AnnotationDrainUntil: until.UTC().Format(time.RFC3339Nano)}
	if w.Slot < 0 {
		a[annotationCost] = "-1000"
	}

	return c.patch(ctx, w, map[string]any{"annotations": a})
}

// Withdraw takes that back.
func (c *cluster) Withdraw(ctx context.Context, w worker.Worker, refused time.Time) error {
	a := map[string]any{monitorapi.AnnotationDrain: nil, monitorapi.AnnotationDrainUntil: nil, annotationCost: nil}
	if !refused.IsZero() {
		a[monitorapi.AnnotationDrainRefused] = refused.UTC().Format(time.RFC3339Nano)
	}

	return c.patch(ctx, w, map[string]any{"annotations": a})
}

// Detach takes a worker out of its ReplicaSet's selector, and has it go with the scaler should that go first.
func (c *cluster) Detach(ctx context.Context, w worker.Worker, checkpoint string) error {
	o := c.pool.Owner

	return c.patch(ctx, w, map[string]any{
		"annotations":     map[string]any{monitorapi.AnnotationHandedOver: checkpoint},
		"labels":          map[string]any{appsv1.DefaultDeploymentUniqueLabelKey: nil},
		"ownerReferences": []any{map[string]any{"apiVersion": o.APIVersion, "kind": o.Kind, "name": o.Name, "uid": o.UID}},
	})
}

// patch changes a pod that is still what was looked at.
func (c *cluster) patch(ctx context.Context, w worker.Worker, meta map[string]any) error {
	meta["uid"], meta["resourceVersion"] = w.UID, w.Version

	b, err := json.Marshal(map[string]any{"metadata": meta})
	if err != nil {
		return err
	}

	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: c.pool.Namespace, Name: w.Name}}

	return conflict(c.kube.Patch(ctx, p, client.RawPatch(types.StrategicMergePatchType, b)))
}

func conflict(err error) error {
	if kerrors.IsConflict(err) || kerrors.IsNotFound(err) || errors.Is(err, slot.ErrConflict) {
		return fmt.Errorf("%w: %w", worker.ErrConflict, err)
	}

	return err
}

// Cap has the ledger give no slot to more than n workers, or with a negative n to as many as there are.
func (c *cluster) Cap(ctx context.Context, v worker.View, n int) error {
	return conflict(c.ledgers.Cap(ctx, c.pool, c.ledger, v.Ledger, n))
}

// Resize has the Deployment ask for n workers, if it is the one that was looked at.
func (c *cluster) Resize(ctx context.Context, v worker.View, n int) error {
	s := &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Namespace: c.pool.Namespace, Name: c.pool.Deployment, ResourceVersion: v.Deployment},
		Spec:       autoscalingv1.ScaleSpec{Replicas: int32(n)}, //nolint:gosec // At most a thousand.
	}

	return conflict(c.kube.SubResource("scale").Update(ctx, c.deployment, client.WithSubResourceBody(s)))
}

// Delete deletes a worker's pod, and no other of its name.
func (c *cluster) Delete(ctx context.Context, w worker.Worker) error {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: c.pool.Namespace, Name: w.Name}}
	uid := types.UID(w.UID)

	return client.IgnoreNotFound(c.kube.Delete(ctx, p, client.Preconditions{UID: &uid}))
}
