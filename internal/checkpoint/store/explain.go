package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"strconv"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"gocloud.dev/gcerrors"

	"github.com/southwest-ai/agent-operator/internal/checkpoint/store/gcs"
)

// A failure is what a store's error means, without what it says: that may hold addresses, names and signatures.
type failure struct {
	code   gcerrors.ErrorCode
	reason string
	err    error
}

// Error is the reason only.
func (f *failure) Error() string { return f.reason }

// Reason says what is wrong, in words for people, that hold nothing to hide.
func (f *failure) Reason() string { return f.reason }

// Unwrap returns the store's own error, which must not be shown.
func (f *failure) Unwrap() error { return f.err }

// A meaning is what an error code of a store stands for.
type meaning struct {
	code   gcerrors.ErrorCode
	reason string
}

var (
	skewed    = meaning{gcerrors.Unknown, "the clock of this machine and the store's differ too much, so that it takes no signature"}
	wrongKey  = meaning{gcerrors.PermissionDenied, "the credentials are not right"}
	expired   = meaning{gcerrors.Unknown, "the credentials have expired"}
	denied    = meaning{gcerrors.PermissionDenied, "the credentials do not allow it"}
	noBucket  = meaning{gcerrors.InvalidArgument, "there is no such bucket"}
	elsewhere = meaning{gcerrors.InvalidArgument, "the bucket is in another region than the URL says"}
	busy      = meaning{gcerrors.ResourceExhausted, "the store asks for fewer requests"}
	raced     = meaning{gcerrors.Unknown, "another writes the same object at this moment"}
	full      = meaning{gcerrors.ResourceExhausted, "the store is full"}
	cannot    = meaning{gcerrors.Unimplemented, "the store cannot do this"}
)

// meanings are by the codes of S3 and Azure, which do not contradict each other.
var meanings = map[string]meaning{
	"RequestTimeTooSkewed": skewed, "RequestExpired": skewed, "AuthorizationQueryParametersError": skewed,
	"SignatureDoesNotMatch": wrongKey, "InvalidAccessKeyId": wrongKey, "InvalidAccessKeyID": wrongKey, "InvalidToken": wrongKey,
	"ExpiredToken": expired, "TokenRefreshRequired": expired,
	"AuthenticationFailed": {gcerrors.PermissionDenied, "the credentials are not right or have expired, or the clocks differ too much"},
	"AccessDenied":         denied, "Forbidden": denied, "AuthorizationFailure": denied, "AuthorizationPermissionMismatch": denied,
	"InsufficientAccountPermissions": denied, "AuthorizationResourceTypeMismatch": denied, "AuthorizationServiceMismatch": denied,
	"NoSuchBucket": noBucket, "ContainerNotFound": noBucket,
	"PermanentRedirect": elsewhere, "AuthorizationHeaderMalformed": elsewhere, "IllegalLocationConstraintException": elsewhere,
	"SlowDown": busy, "Throttling": busy, "ThrottlingException": busy, "TooManyRequests": busy, "RequestLimitExceeded": busy, "ServerBusy": busy,
	"ConditionalRequestConflict": raced, "OperationAborted": raced,
	"QuotaExceeded": full, "InsufficientStorage": full, "XMinioStorageFull": full,
	"NotImplemented": cannot,
}

var statuses = map[int]meaning{
	http.StatusUnauthorized: wrongKey, http.StatusForbidden: denied, http.StatusTooManyRequests: busy,
	http.StatusServiceUnavailable: busy, http.StatusInsufficientStorage: full, http.StatusNotImplemented: cannot,
}

// explain puts a meaning to an error of a bucket.
func explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	code := gcerrors.Code(err)
	name, status := answer(err)
	m, known := meanings[name]
	switch {
	case known:
	case code == gcerrors.NotFound:
		m = meaning{code, "there is no such object"}
	case code == gcerrors.FailedPrecondition || code == gcerrors.AlreadyExists:
		m = meaning{code, "the object exists already"}
	case status != 0:
		if m, known = statuses[status]; !known {
			m = meaning{code, "the store answers with status " + strconv.Itoa(status)}
		}
	default:
		m = meaning{code, unanswered(err)}
	}
	if code != gcerrors.Unknown && code != m.code {
		err = nil // Whoever asks for the code would be given the one beneath: a bucket that is missing is not an object that is.
	}
	return &failure{code: m.code, reason: m.reason, err: err}
}

// answer returns the error code and the HTTP status that a store answered with, as far as it did.
func answer(err error) (name string, status int) {
	var ae smithy.APIError
	if errors.As(err, &ae) {
		name = ae.ErrorCode()
	}
	var s3 *awshttp.ResponseError
	if errors.As(err, &s3) {
		status = s3.HTTPStatusCode()
	}
	var azure *azcore.ResponseError
	if errors.As(err, &azure) {
		return azure.ErrorCode, azure.StatusCode
	}
	var google *gcs.Error
	if errors.As(err, &google) {
		if google.Token && google.Status < http.StatusInternalServerError {
			name = "AuthenticationFailed" // An expired or early signature is refused just as a wrong one.
		}
		return name, google.Status
	}
	return name, status
}

// unanswered says why there was no answer.
func unanswered(err error) string {
	var (
		unknown x509.UnknownAuthorityError
		host    x509.HostnameError
		invalid x509.CertificateInvalidError
		verify  *tls.CertificateVerificationError
		dns     *net.DNSError
		timeout net.Error
	)
	switch {
	case errors.As(err, &unknown), errors.As(err, &host), errors.As(err, &invalid), errors.As(err, &verify):
		return "the store's certificate is not one to trust"
	case errors.As(err, &dns):
		return "the store's name cannot be resolved"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "the store does not answer in time"
	case errors.As(err, &timeout):
		return "the connection to the store failed"
	}
	return "the store failed"
}
