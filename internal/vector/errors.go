package vector

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
)

// A Kind says what an error is about, and so what becomes of it.
type Kind string

// The kinds of errors. Only Unavailable is worth a retry at once; the others heal when somebody does something.
const (
	// NotFound: there is no such collection.
	NotFound Kind = "NotFound"
	// Exists: there is already a collection, or an alias, of this name.
	Exists Kind = "Exists"
	// Unavailable: the store cannot be reached, did not answer before we stopped waiting, or says to try again.
	Unavailable Kind = "Unavailable"
	// CertificateInvalid: the store's certificate is not trusted, expired, or for another name; or ours is refused.
	CertificateInvalid Kind = "CertificateInvalid"
	// Unauthenticated: the store does not know us: the password or key is missing or wrong.
	Unauthenticated Kind = "Unauthenticated"
	// PermissionDenied: the store knows us and does not let us.
	PermissionDenied Kind = "PermissionDenied"
	// QuotaExceeded: the store has no room for this, or allows no more collections.
	QuotaExceeded Kind = "QuotaExceeded"
	// Invalid: the store, or the driver, refuses the request as it is.
	Invalid Kind = "Invalid"
	// Unsupported: the store cannot do what is asked for.
	Unsupported Kind = "Unsupported"
	// ImmutableMismatch: the collection is not what is wanted, and a collection cannot become it.
	ImmutableMismatch Kind = "ImmutableMismatch"
	// Owned: the collection carries the stamp of another owner.
	Owned Kind = "OwnedByAnother"
	// Unknown: none of these.
	Unknown Kind = "Unknown"
)

// An Error is an error with a kind. Its text is for people, and free of credentials.
type Error struct {
	Kind Kind
	Err  error
}

// Error returns the text.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns what happened.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an error of a kind.
func Errorf(k Kind, format string, args ...any) error {
	return &Error{Kind: k, Err: fmt.Errorf(format, args...)}
}

// KindOf returns an error's kind: the one it was given, or what is known of errors of networks and certificates.
func KindOf(err error) Kind {
	var (
		e       *Error
		verify  *tls.CertificateVerificationError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		name    x509.HostnameError
		network net.Error
	)

	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Kind
	case errors.As(err, &verify), errors.As(err, &unknown), errors.As(err, &invalid), errors.As(err, &name), refused(err):
		return CertificateInvalid
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled), errors.As(err, &network):
		return Unavailable
	default:
		return Unknown
	}
}

// refused says that the other side did not like our certificate, or that we have none. The type of its alert is not exported.
func refused(err error) bool {
	var op *net.OpError

	return errors.As(err, &op) && op.Op == "remote error" && strings.Contains(op.Err.Error(), "certificate")
}

// Is says whether an error is of a kind.
func Is(err error, k Kind) bool { return err != nil && KindOf(err) == k }
