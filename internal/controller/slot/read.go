package slot

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Read returns the ledger of a Deployment's slots, for who only looks. One that is not there is empty.
func Read(ctx context.Context, from client.Reader, namespace, deployment string) (Ledger, error) {
	cm := &corev1.ConfigMap{}

	err := from.Get(ctx, types.NamespacedName{Namespace: namespace, Name: LedgerName(deployment)}, cm)
	if kerrors.IsNotFound(err) {
		return Ledger{}, nil
	}

	if err != nil {
		return Ledger{}, err
	}

	return parseLedger([]byte(cm.Data[ledgerKey]))
}
