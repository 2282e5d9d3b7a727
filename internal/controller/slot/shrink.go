package slot

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Ledgers are the ledgers of a cluster, for who makes pools smaller.
type Ledgers struct{ store *cluster }

// NewLedgers returns the ledgers that a cluster's ConfigMaps are.
func NewLedgers(live client.Reader, kube client.Writer) *Ledgers {
	return &Ledgers{store: &cluster{live: live, kube: kube}}
}

// Load returns a pool's ledger and its version.
func (l *Ledgers) Load(ctx context.Context, p Pool) (Ledger, string, error) {
	return l.store.Load(ctx, p)
}

// Cap has the ledger of that version give no slot to more than n workers, or with a negative n to as many as there are, or returns
// ErrConflict.
func (l *Ledgers) Cap(ctx context.Context, p Pool, ledger Ledger, version string, n int) error {
	if ledger.Cap = &n; n < 0 {
		ledger.Cap = nil
	}

	return l.store.Save(ctx, p, ledger, version)
}
