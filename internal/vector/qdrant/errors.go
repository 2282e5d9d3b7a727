package qdrant

import (
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// kinds of the codes that Qdrant answers with (its StorageError becomes one of them, in error_to_status). Internal is whatever
// went wrong inside: a replica, a vote of its cluster, a file; trying again is right, and what does not pass is told.
var kinds = map[codes.Code]vector.Kind{
	codes.NotFound:          vector.NotFound,
	codes.AlreadyExists:     vector.Exists,
	codes.InvalidArgument:   vector.Invalid,
	codes.OutOfRange:        vector.Invalid,
	codes.Unauthenticated:   vector.Unauthenticated,
	codes.PermissionDenied:  vector.PermissionDenied,
	codes.Unimplemented:     vector.Unsupported,
	codes.Unavailable:       vector.Unavailable,
	codes.DeadlineExceeded:  vector.Unavailable,
	codes.Canceled:          vector.Unavailable,
	codes.Aborted:           vector.Unavailable,
	codes.Internal:          vector.Unavailable,
	codes.ResourceExhausted: vector.Unavailable, // Too many requests per minute.
	// Somebody locked the storage against writes.
	codes.FailedPrecondition: vector.Unavailable,
}

// A saying is what Qdrant, or gRPC, has no code of its own for.
type saying struct {
	code codes.Code
	text string
	kind vector.Kind
}

var sayings = []saying{
	// A name that is an alias is refused as a wrong one.
	{codes.InvalidArgument, "already exists", vector.Exists},
	{codes.InvalidArgument, "Max collections limit reached", vector.QuotaExceeded},
	{codes.InvalidArgument, "maximum number of payload ind", vector.QuotaExceeded},
	{codes.Internal, "No space left on device", vector.QuotaExceeded},
	{codes.Internal, "disk space", vector.QuotaExceeded},
	{codes.Internal, "Out of memory", vector.QuotaExceeded},
	// Of an error of TLS gRPC leaves the text: that of crypto/tls for a certificate, and its alert for ours.
	{codes.Unavailable, "tls: failed to verify certificate", vector.CertificateInvalid},
	{codes.Unavailable, "remote error: tls: bad certificate", vector.CertificateInvalid},
	{codes.Unavailable, "remote error: tls: certificate", vector.CertificateInvalid},
	{codes.Unavailable, "remote error: tls: expired certificate", vector.CertificateInvalid},
	{codes.Unavailable, "remote error: tls: unknown certificate", vector.CertificateInvalid},
}

// failed returns an error of a request with its kind, nil for none. Only the message is kept, so that nothing of the
// request, such as its key, can be in it.
func failed(err error) error {
	if err == nil {
		return nil
	}

	s := status.Convert(err)

	kind, ok := kinds[s.Code()]
	if !ok {
		kind = vector.Unknown
	}

	for _, say := range sayings {
		if say.code == s.Code() && strings.Contains(s.Message(), say.text) {
			kind = say.kind
		}
	}

	return &vector.Error{Kind: kind, Err: fmt.Errorf("qdrant says: %s (%s)", s.Message(), s.Code())}
}
