package vectorcollection

import (
	"context"
	"maps"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/vector"
)

// connectionKeys are the keys of a connection secret that are ours to remove.
var connectionKeys = []string{
	v1alpha1.ConnectionStore, v1alpha1.ConnectionEndpoint, v1alpha1.ConnectionCollection, v1alpha1.ConnectionDim,
	v1alpha1.ConnectionDistance, v1alpha1.ConnectionUser, v1alpha1.ConnectionPassword, v1alpha1.ConnectionAPIKey,
	v1alpha1.ConnectionCA, v1alpha1.ConnectionSuccessor, v1alpha1.ConnectionSuccessorDim, v1alpha1.ConnectionReach,
}

// published returns the connection details that a VectorCollection published last. What is in a Secret that it does not
// control is not its own.
func published(ctx context.Context, kube client.Reader, mg *v1alpha1.VectorCollection) (managed.ConnectionDetails, error) {
	ref := mg.GetWriteConnectionSecretToReference()
	if ref == nil {
		return nil, nil
	}

	s := &corev1.Secret{}

	err := kube.Get(ctx, types.NamespacedName{Namespace: mg.GetNamespace(), Name: ref.Name}, s)
	if kerrors.IsNotFound(err) || err == nil && !metav1.IsControlledBy(s, mg) {
		return nil, nil
	}

	return s.Data, err
}

// accessOf returns the login among connection details.
func accessOf(d managed.ConnectionDetails) vector.Access {
	return vector.Access{
		User:     string(d[v1alpha1.ConnectionUser]),
		Password: string(d[v1alpha1.ConnectionPassword]),
		APIKey:   string(d[v1alpha1.ConnectionAPIKey]),
	}
}

// replacing returns connection details that remove from those published what no longer applies. Publishing merges them
// into the Secret, where a key without value is a key to remove.
func replacing(was, d managed.ConnectionDetails) managed.ConnectionDetails {
	out := maps.Clone(d)

	for _, k := range connectionKeys {
		_, had := was[k]
		if _, has := d[k]; had && !has {
			out[k] = nil
		}
	}

	return out
}

// without returns connection details that remove a key.
func without(key string) managed.ConnectionDetails { return managed.ConnectionDetails{key: nil} }
