package milvus

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/milvus-io/milvus-proto/go-api/v2/commonpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// Codes of Milvus' errors, as in its pkg/util/merr.
const (
	resourceInsufficient = 12
	collectionNotFound   = 100
	replicaNotFound      = 400
	replicaNotAvailable  = 401
	channelNotFound      = 500
	channelLack          = 501
	channelNotAvailable  = 503
	nodeNotAvailable     = 905
	indexNotFound        = 700
	aliasNotFound        = 1600
	aliasIsCollection    = 1601
	aliasExists          = 1602
	unexpected           = 65535
)

// kinds of Milvus' codes. Those that it calls retriable are Unavailable; see kindOf for the rest.
var kinds = map[vector.Kind][]int32{
	vector.NotFound:         {collectionNotFound, aliasNotFound, 1603},
	vector.Exists:           {aliasIsCollection, aliasExists},
	vector.Unavailable:      {1, 2, 4, 8, 11, 101, 103, 106, replicaNotAvailable, channelNotAvailable, nodeNotAvailable, 10000, 10001},
	vector.Unauthenticated:  {1400, 1800},
	vector.PermissionDenied: {1401},
	vector.QuotaExceeded:    {3, 7, 9, resourceInsufficient, 102, 250, 302, 801, 1303},
	vector.Unsupported:      {10, 701, 2001, 2304, 3000},
	// A database that is not there (800) is not a collection that is not there. 65535 is what Milvus calls all errors without
	// a code, of which by far the most are refusals.
	vector.Invalid: {104, 105, 107, 702, 800, 802, 1100, 1101, 1102, 1700, 1701, unexpected},
}

// A refusal is an answer of Milvus that is not what was asked for.
type refusal struct {
	code  int32
	words string
}

// Error returns the words of Milvus.
func (r *refusal) Error() string { return fmt.Sprintf("milvus says: %s (%d)", r.words, r.code) }

// has says whether an error is an answer of Milvus with one of these codes.
func has(err error, codes ...int32) bool {
	var r *refusal

	return errors.As(err, &r) && slices.Contains(codes, r.code)
}

// refused says whether an error is an answer of Milvus, and not one of the way to it.
func refused(err error) bool {
	var r *refusal

	return errors.As(err, &r)
}

// check returns what went wrong with a request, nil if nothing.
func (d *driver) check(s *commonpb.Status, err error) error {
	if err != nil {
		return d.transport(err)
	}

	code := s.GetCode()
	if code == 0 && s.GetErrorCode() != commonpb.ErrorCode_Success { //nolint:staticcheck // What is refused by code that knows no newer codes has only this one.
		code = unexpected
	}

	if code == 0 {
		return nil
	}

	return &vector.Error{Kind: kindOf(code, s.GetRetriable()), Err: &refusal{code: code, words: s.GetReason()}}
}

func kindOf(code int32, retriable bool) vector.Kind {
	for k, codes := range kinds {
		if slices.Contains(codes, code) {
			return k
		}
	}

	if retriable {
		return vector.Unavailable
	}

	return vector.Unknown
}

// transport returns an error on the way to Milvus, or of what stands before it: who asks is checked there.
func (d *driver) transport(err error) error {
	if cert := d.handshake.certificate(); cert != nil && status.Code(err) == codes.Unavailable {
		return &vector.Error{Kind: vector.CertificateInvalid, Err: cert}
	}

	kind := vector.Unknown

	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.ResourceExhausted, codes.Aborted:
		kind = vector.Unavailable
	case codes.Unauthenticated:
		kind = vector.Unauthenticated
	case codes.PermissionDenied:
		kind = vector.PermissionDenied
	case codes.Unimplemented:
		kind = vector.Unsupported
	case codes.InvalidArgument:
		kind = vector.Invalid
	default:
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			kind = vector.Unavailable
		}
	}

	return vector.Errorf(kind, "milvus cannot be asked: %s: %s", status.Code(err), status.Convert(err).Message())
}
