package slot

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// ledgerKey is the key of the ConfigMap under which the ledger is.
const ledgerKey = "ledger.json"

// cluster is the Store of a Kubernetes cluster. The ledger is a ConfigMap beside the pool, whose resourceVersion is its
// version.
type cluster struct {
	// live reads from the API server.
	live client.Reader
	kube client.Writer
	now  func() time.Time
}

// adoptAfter is how long after a worker should have been gone its slot is adopted, if its node does not answer either.
const adoptAfter = time.Minute

// LedgerName returns the name of the ConfigMap that holds the ledger of a Deployment's slots.
func LedgerName(deployment string) string { return deployment + "-slots" }

// Load returns the pool's ledger. One that does not exist, because the pool is new or because somebody deleted it, is
// made again from what the workers were told; the epochs go on from the newest that a worker still has.
func (s *cluster) Load(ctx context.Context, p Pool) (Ledger, string, error) {
	cm := &corev1.ConfigMap{}

	err := s.live.Get(ctx, types.NamespacedName{Namespace: p.Namespace, Name: LedgerName(p.Deployment)}, cm)
	if kerrors.IsNotFound(err) {
		l, err := s.rebuild(ctx, p)

		return l, "", err
	}

	if err != nil {
		return Ledger{}, "", err
	}

	l, err := parseLedger([]byte(cm.Data[ledgerKey]))

	return l, cm.GetResourceVersion(), err
}

func (s *cluster) rebuild(ctx context.Context, p Pool) (Ledger, error) {
	pods := &corev1.PodList{}
	if err := s.live.List(ctx, pods, client.InNamespace(p.Namespace), client.MatchingLabels{monitorapi.LabelDispatcher: p.Dispatcher}); err != nil {
		return Ledger{}, errors.Wrap(err, "cannot list the pool's workers")
	}

	var claims []Claim

	for i := range pods.Items {
		if c, ok := toldTo(&pods.Items[i]); ok && !over(&pods.Items[i]) {
			claims = append(claims, c)
		}
	}

	// Only a hand could have given one slot to two workers. The newer epoch is the owner then.
	slices.SortFunc(claims, func(a, b Claim) int { return cmp.Or(cmp.Compare(a.Slot, b.Slot), cmp.Compare(b.Epoch, a.Epoch)) })
	claims = slices.CompactFunc(claims, func(a, b Claim) bool { return a.Slot == b.Slot })

	return Ledger{}.with(claims), nil
}

// toldTo returns the claim that a pod's annotations speak of.
func toldTo(p *corev1.Pod) (Claim, bool) {
	slot, err := strconv.Atoi(p.Annotations[monitorapi.AnnotationSlot])
	if err != nil || slot < 0 {
		return Claim{}, false
	}

	epoch, err := strconv.ParseInt(p.Annotations[monitorapi.AnnotationEpoch], 10, 64)
	if err != nil || epoch < 1 {
		return Claim{}, false
	}

	return Claim{Slot: slot, Epoch: epoch, Pod: p.Name, UID: string(p.UID), Restore: p.Annotations[monitorapi.AnnotationRestore]}, true
}

// Save replaces the ledger of that version.
func (s *cluster) Save(ctx context.Context, p Pool, l Ledger, version string) error {
	data, err := l.encode()
	if err != nil {
		return err
	}

	controller := true
	cm := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:       p.Namespace,
			Name:            LedgerName(p.Deployment),
			ResourceVersion: version,
			Labels:          map[string]string{monitorapi.LabelDispatcher: p.Dispatcher},
			// Set each time, because a scaler may be deleted and made again while its pool lives on.
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: p.Owner.APIVersion, Kind: p.Owner.Kind, Name: p.Owner.Name, UID: types.UID(p.Owner.UID), Controller: &controller,
			}},
		},
		Data: map[string]string{ledgerKey: string(data)},
	}

	if version == "" {
		err = s.kube.Create(ctx, cm)
	} else {
		err = s.kube.Update(ctx, cm)
	}

	if kerrors.IsConflict(err) || kerrors.IsAlreadyExists(err) || (version != "" && kerrors.IsNotFound(err)) {
		return ErrConflict
	}

	return err
}

// Size returns how many workers the Deployment asks for. One that is gone or going asks for none.
func (s *cluster) Size(ctx context.Context, p Pool) (int, error) {
	d := &appsv1.Deployment{}

	err := s.live.Get(ctx, types.NamespacedName{Namespace: p.Namespace, Name: p.Deployment}, d)
	if kerrors.IsNotFound(err) || (err == nil && d.DeletionTimestamp != nil) {
		return 0, nil
	}

	if err != nil {
		return 0, err
	}

	// The API server defaults an absent size to 1 before it stores it.
	if d.Spec.Replicas == nil {
		return 1, nil
	}

	return int(*d.Spec.Replicas), nil
}

// Ended says whether the pod of a claim is gone or has ended.
func (s *cluster) Ended(ctx context.Context, p Pool, c Claim) (bool, error) {
	pod := &corev1.Pod{}

	err := s.live.Get(ctx, types.NamespacedName{Namespace: p.Namespace, Name: c.Pod}, pod)
	if kerrors.IsNotFound(err) {
		return true, nil
	}

	if err != nil {
		return false, err
	}

	// Another pod of that name is not the one that held the slot.
	if string(pod.UID) != c.UID || over(pod) {
		return true, nil
	}

	// Only where the store fences what it may still write.
	if p.Checkpoint == "" || !overdue(pod, s.now()) {
		return false, nil
	}

	return s.nodeLost(ctx, pod.Spec.NodeName)
}

// overdue says whether a pod should have been gone for a while: its deletion timestamp is when its grace period is over.
func overdue(p *corev1.Pod, now time.Time) bool {
	return p.DeletionTimestamp != nil && now.After(p.DeletionTimestamp.Add(adoptAfter))
}

// nodeLost says whether a node is gone or has not been heard of, as the node lifecycle controller sees it.
func (s *cluster) nodeLost(ctx context.Context, name string) (bool, error) {
	n := &corev1.Node{}

	err := s.live.Get(ctx, types.NamespacedName{Name: name}, n)
	if kerrors.IsNotFound(err) {
		return true, nil
	}

	if err != nil {
		return false, errors.Wrapf(err, "cannot get node %s", name)
	}

	return slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionUnknown
	}), nil
}

// Bind writes what a worker is told and removes its gate. Other gates are left alone. A pod without our gate was told
// before, perhaps by a binder whose claim has ended with it since, and is not told anything else: so it is looked at, and
// the version in the patch has the API server refuse a pod that became another one in between.
func (s *cluster) Bind(ctx context.Context, p Pool, c Claim) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		pod := &corev1.Pod{}

		err := s.live.Get(ctx, types.NamespacedName{Namespace: p.Namespace, Name: c.Pod}, pod)
		if kerrors.IsNotFound(err) || err == nil && (string(pod.UID) != c.UID || !gated(pod)) {
			return nil
		}

		if err != nil {
			return err
		}

		patch, err := bindPatch(pod.ResourceVersion, c)
		if err != nil {
			return err
		}

		err = s.kube.Patch(ctx, pod, client.RawPatch(types.StrategicMergePatchType, patch))
		if kerrors.IsNotFound(err) {
			return nil
		}

		return err
	})
}

func bindPatch(version string, c Claim) ([]byte, error) {
	return json.Marshal(map[string]any{
		"metadata": map[string]any{
			"resourceVersion": version,
			"annotations": map[string]string{
				monitorapi.AnnotationSlot:    strconv.Itoa(c.Slot),
				monitorapi.AnnotationEpoch:   strconv.FormatInt(c.Epoch, 10),
				monitorapi.AnnotationRestore: c.restore(),
			},
		},
		"spec": map[string]any{
			"schedulingGates": []map[string]string{{"$patch": "delete", "name": monitorapi.SlotGate}},
		},
	})
}

// over says whether a pod has ended for good. A pod that is terminating has not: its containers may still write.
func over(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// gated says whether a pod waits for a slot.
func gated(p *corev1.Pod) bool {
	return slices.ContainsFunc(p.Spec.SchedulingGates, func(g corev1.PodSchedulingGate) bool { return g.Name == monitorapi.SlotGate })
}
