package vectorcollection

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	cevent "sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/crossplane/crossplane-runtime/v2/pkg/meta"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

func indexConfig(o client.Object) []string {
	mg, ok := o.(*v1alpha1.VectorCollection)
	if !ok {
		return nil
	}

	return []string{keyOf(mg).String()}
}

// collectionsOf returns the VectorCollections that use a configuration.
func collectionsOf(ctx context.Context, kube client.Reader, key configKey) ([]v1alpha1.VectorCollection, error) {
	l := &v1alpha1.VectorCollectionList{}
	err := kube.List(ctx, l, client.MatchingFields{ConfigIndex: key.String()})

	return l.Items, err
}

// waker returns a function that has the VectorCollections of a configuration looked at again.
func waker(kube client.Reader, to chan<- cevent.GenericEvent) func(context.Context, configKey) {
	return func(ctx context.Context, key configKey) {
		// It reads from the cache, and the next turn of each comes anyway.
		ms, err := collectionsOf(ctx, kube, key)
		if err != nil {
			return
		}

		for _, mg := range ms {
			select {
			case <-ctx.Done():
				return
			case to <- cevent.GenericEvent{Object: &mg}:
			}
		}
	}
}

// configHandler has the VectorCollections of a configuration that changed looked at again, and closes the client of one
// that is gone.
func configHandler(clients *Clients, kube client.Reader) handler.EventHandler {
	h := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		ms, err := collectionsOf(ctx, kube, configKeyOf(o))
		if err != nil {
			return nil
		}

		reqs := make([]reconcile.Request, len(ms))

		for i := range ms {
			reqs[i] = reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&ms[i])}
		}

		return reqs
	})

	return handler.Funcs{
		CreateFunc:  h.Create,
		UpdateFunc:  h.Update,
		GenericFunc: h.Generic,
		DeleteFunc: func(ctx context.Context, e cevent.DeleteEvent, q workqueue.TypedRateLimitingInterface[reconcile.Request]) {
			clients.forget(configKeyOf(e.Object))
			h.Delete(ctx, e, q)
		},
	}
}

func configKeyOf(o client.Object) configKey {
	if _, ok := o.(*v1alpha1.ClusterProviderConfig); ok {
		return configKey{Kind: v1alpha1.ClusterProviderConfigGroupVersionKind.Kind, Name: o.GetName()}
	}

	return configKey{Kind: v1alpha1.ProviderConfigGroupVersionKind.Kind, Namespace: o.GetNamespace(), Name: o.GetName()}
}

// collectionOf returns a function from a pod to the VectorCollection that it uses, if that waits for pods to end.
func collectionOf(kube client.Reader) handler.MapFunc {
	return func(ctx context.Context, pod client.Object) []reconcile.Request {
		key := types.NamespacedName{Namespace: pod.GetNamespace(), Name: pod.GetLabels()[v1alpha1.LabelMemory]}
		if key.Name == "" {
			return nil
		}

		mg := &v1alpha1.VectorCollection{}
		if err := kube.Get(ctx, key, mg); err != nil || !meta.WasDeleted(mg) {
			return nil
		}

		return []reconcile.Request{{NamespacedName: key}}
	}
}

// podEnds accepts a pod that goes or has ended.
func podEnds() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(cevent.CreateEvent) bool { return false },
		GenericFunc: func(cevent.GenericEvent) bool { return false },
		UpdateFunc: func(e cevent.UpdateEvent) bool {
			was, ok := e.ObjectOld.(*corev1.Pod)
			is, ok2 := e.ObjectNew.(*corev1.Pod)

			return ok && ok2 && ended(is) && !ended(was)
		},
	}
}

// othersLetGo accepts a VectorCollection that is being deleted and lost a finalizer. The reconciler waits for all the
// others to go, such as that of a foreground deletion, which is how Crossplane deletes; polling for it would take seconds.
func othersLetGo() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc:  func(cevent.CreateEvent) bool { return false },
		DeleteFunc:  func(cevent.DeleteEvent) bool { return false },
		GenericFunc: func(cevent.GenericEvent) bool { return false },
		UpdateFunc: func(e cevent.UpdateEvent) bool {
			return meta.WasDeleted(e.ObjectNew) && len(e.ObjectNew.GetFinalizers()) < len(e.ObjectOld.GetFinalizers())
		},
	}
}
