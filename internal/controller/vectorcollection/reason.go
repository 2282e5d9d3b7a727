package vectorcollection

import (
	"context"
	"errors"
	"regexp"
	"sync"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/storeconfig"
	"github.com/southwest-ai/agent-operator/internal/vector"
)

// A reasoned error knows the reason that the Synced condition should give.
type reasoned struct {
	reason xpv2.ConditionReason
	err    error
}

// Error returns the text.
func (r *reasoned) Error() string { return r.err.Error() }

// Unwrap returns what happened.
func (r *reasoned) Unwrap() error { return r.err }

// reasonOf returns why a VectorCollection is not in sync, or "" where crossplane-runtime's own reason says it all.
func reasonOf(err error) xpv2.ConditionReason {
	var r *reasoned
	if errors.As(err, &r) {
		return r.reason
	}

	var bad *storeconfig.InvalidError
	if errors.As(err, &bad) {
		return v1alpha1.ReasonInvalidConfiguration
	}

	var e *vector.Error
	if !errors.As(err, &e) {
		return ""
	}

	return map[vector.Kind]xpv2.ConditionReason{
		vector.ImmutableMismatch:  v1alpha1.ReasonImmutableMismatch,
		vector.Owned:              v1alpha1.ReasonOwnedByAnother,
		vector.Unsupported:        v1alpha1.ReasonUnsupported,
		vector.Unavailable:        v1alpha1.ReasonStoreUnavailable,
		vector.CertificateInvalid: v1alpha1.ReasonCertificateInvalid,
		vector.Unauthenticated:    v1alpha1.ReasonUnauthenticated,
		vector.PermissionDenied:   v1alpha1.ReasonPermissionDenied,
		vector.QuotaExceeded:      v1alpha1.ReasonQuotaExceeded,
	}[e.Kind]
}

// What differs between two errors for the same cause: our end of a connection, and the time.
var (
	ourEnd = regexp.MustCompile(`(\[[0-9a-fA-F:.%]+\]|\d+\.\d+\.\d+\.\d+):\d+->`)
	clock  = regexp.MustCompile(`current time \S+ `)
)

// A steady error has the text of another one without what differs each time: conditions and events repeat it.
type steady struct{ err error }

// Error returns the text.
func (s *steady) Error() string {
	return clock.ReplaceAllString(ourEnd.ReplaceAllString(s.err.Error(), ""), "now ")
}

// Unwrap returns what happened.
func (s *steady) Unwrap() error { return s.err }

// A verdict is what became of one reconcile. It travels in the context, from what fails to what writes the status.
type verdict struct {
	mu     sync.Mutex
	was    xpv2.Condition
	reason xpv2.ConditionReason
}

type verdictKey struct{}

// reasoning runs each reconcile with a verdict of its own.
func reasoning(r reconcile.Reconciler) reconcile.Reconciler {
	return reconcile.Func(func(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
		return r.Reconcile(context.WithValue(ctx, verdictKey{}, &verdict{}), req)
	})
}

// failed remembers why a reconcile fails, and returns the error as it is to be told.
func failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}

	if v, ok := ctx.Value(verdictKey{}).(*verdict); ok {
		v.mu.Lock()
		v.reason = reasonOf(err)
		v.mu.Unlock()
	}

	return &steady{err: err}
}

// A reasonManager is a manager whose client gives the reason of a verdict where crossplane-runtime writes only that there
// was an error. Two writes would do the same, and cost a composed resource's composite the tokens of two.
type reasonManager struct{ ctrl.Manager }

// GetClient returns the client.
func (m reasonManager) GetClient() client.Client { return reasonClient{Client: m.Manager.GetClient()} }

type reasonClient struct{ client.Client }

// Get remembers the condition that was there before.
func (c reasonClient) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	err := c.Client.Get(ctx, key, o, opts...)

	if v, ok := ctx.Value(verdictKey{}).(*verdict); ok && err == nil {
		if mg, ok := o.(*v1alpha1.VectorCollection); ok {
			v.mu.Lock()
			v.was = mg.GetCondition(xpv2.TypeSynced)
			v.mu.Unlock()
		}
	}

	return err
}

// Status returns a writer of the status.
func (c reasonClient) Status() client.SubResourceWriter {
	return reasonWriter{SubResourceWriter: c.Client.Status()}
}

type reasonWriter struct{ client.SubResourceWriter }

// Update writes the status with the verdict's reason.
func (w reasonWriter) Update(ctx context.Context, o client.Object, opts ...client.SubResourceUpdateOption) error {
	if v, ok := ctx.Value(verdictKey{}).(*verdict); ok {
		if mg, ok := o.(*v1alpha1.VectorCollection); ok {
			v.explain(mg)
		}
	}

	return w.SubResourceWriter.Update(ctx, o, opts...)
}

// explain sets the reason of an error's condition. A condition that then is what it was keeps its time: nothing changed,
// and nothing is written.
func (v *verdict) explain(mg *v1alpha1.VectorCollection) {
	v.mu.Lock()
	defer v.mu.Unlock()

	c := mg.GetCondition(xpv2.TypeSynced)
	if v.reason == "" || c.Reason != xpv2.ReasonReconcileError {
		return
	}

	c.Reason = v.reason
	if c.Equal(v.was) {
		c.LastTransitionTime = v.was.LastTransitionTime
	}

	mg.SetConditions(c)
}

// An explained client remembers why the calls to it fail.
type explained struct {
	managed.TypedExternalClient[*v1alpha1.VectorCollection]
}

// Observe the collection.
func (e explained) Observe(ctx context.Context, mg *v1alpha1.VectorCollection) (managed.ExternalObservation, error) {
	o, err := e.TypedExternalClient.Observe(ctx, mg)

	return o, failed(ctx, err)
}

// Create the collection.
func (e explained) Create(ctx context.Context, mg *v1alpha1.VectorCollection) (managed.ExternalCreation, error) {
	o, err := e.TypedExternalClient.Create(ctx, mg)

	return o, failed(ctx, err)
}

// Update the collection.
func (e explained) Update(ctx context.Context, mg *v1alpha1.VectorCollection) (managed.ExternalUpdate, error) {
	o, err := e.TypedExternalClient.Update(ctx, mg)

	return o, failed(ctx, err)
}

// Delete the collection.
func (e explained) Delete(ctx context.Context, mg *v1alpha1.VectorCollection) (managed.ExternalDelete, error) {
	o, err := e.TypedExternalClient.Delete(ctx, mg)

	return o, failed(ctx, err)
}
