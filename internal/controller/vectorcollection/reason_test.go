package vectorcollection

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

// A message that is repeated is the same: no port that varies, no time of day.
func TestSteady(t *testing.T) {
	cases := map[string]struct {
		reason string
		err    error
		want   string
	}{
		"Port": {
			reason: "Our end of a connection is another one each time.",
			err: &net.OpError{
				Op: "read", Net: "tcp", Source: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 51234},
				Addr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 8), Port: 5432}, Err: errors.New("i/o timeout"),
			},
			want: "read tcp 10.0.0.8:5432: i/o timeout",
		},
		"PortV6": {
			reason: "So it is over IPv6.",
			err: &net.OpError{
				Op: "read", Net: "tcp", Source: &net.TCPAddr{IP: net.IPv6loopback, Port: 51234},
				Addr: &net.TCPAddr{IP: net.IPv6loopback, Port: 5432}, Err: errors.New("i/o timeout"),
			},
			want: "read tcp [::1]:5432: i/o timeout",
		},
		"Expired": {
			reason: "An expired certificate's error tells what time it is.",
			err:    x509.CertificateInvalidError{Reason: x509.Expired, Detail: "current time 2026-11-23T07:00:00Z is after 2026-11-01T00:00:00Z"},
			want:   "x509: certificate has expired or is not yet valid: now is after 2026-11-01T00:00:00Z",
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := failed(t.Context(), tc.err)
			if diff := cmp.Diff(tc.want, err.Error()); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}

			if !errors.Is(err, tc.err) && fmt.Sprint(errors.Unwrap(err)) != fmt.Sprint(tc.err) {
				t.Errorf("%s\nthe error itself is lost", tc.reason)
			}
		})
	}
}

// The reason changes with the error, and its time only when it does.
func TestVerdict(t *testing.T) {
	long := metav1.NewTime(time.Unix(1, 0))
	mg := &v1alpha1.VectorCollection{}
	mg.SetConditions(xpv2.Condition{Type: xpv2.TypeSynced, Status: "False", Reason: "Unauthenticated", Message: "m", LastTransitionTime: long})

	v := &verdict{was: mg.GetCondition(xpv2.TypeSynced), reason: v1alpha1.ReasonUnauthenticated}
	mg.SetConditions(xpv2.ReconcileError(errors.New("m")))
	v.explain(mg)

	if diff := cmp.Diff(v.was, mg.GetCondition(xpv2.TypeSynced)); diff != "" {
		t.Errorf("the same error again: -was, +is:\n%s", diff)
	}

	v.reason = v1alpha1.ReasonPermissionDenied
	mg.SetConditions(xpv2.ReconcileError(errors.New("m")))
	v.explain(mg)

	if c := mg.GetCondition(xpv2.TypeSynced); c.Reason != v1alpha1.ReasonPermissionDenied || c.LastTransitionTime.Equal(&long) {
		t.Errorf("another error: %+v", c)
	}

	mg.SetConditions(xpv2.ReconcileSuccess())
	v.explain(mg)

	if c := mg.GetCondition(xpv2.TypeSynced); c.Reason != xpv2.ReasonReconcileSuccess {
		t.Errorf("a success was explained as %s", c.Reason)
	}
}
