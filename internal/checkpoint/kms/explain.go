package kms

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strconv"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	"gocloud.dev/gcerrors"
)

// Errors of ours, which explain gives their meaning.
var (
	errGarbled = errors.New("garbled")
	errForeign = errors.New("foreign")
)

// A failure is what a service's error means, without what it says: that may hold names, identities and tokens.
type failure struct {
	code   gcerrors.ErrorCode
	reason string
	err    error
}

// Error is the reason only.
func (f *failure) Error() string { return f.reason }

// Reason says what is wrong, in words for people, that hold nothing to hide.
func (f *failure) Reason() string { return f.reason }

// Unwrap returns the service's own error, which must not be shown.
func (f *failure) Unwrap() error { return f.err }

// A meaning is what an error code of a service stands for.
type meaning struct {
	code   gcerrors.ErrorCode
	reason string
}

var (
	denied   = meaning{gcerrors.PermissionDenied, "the credentials may not use this key for it"}
	wrong    = meaning{gcerrors.PermissionDenied, "the credentials are not right, or have expired"}
	noToken  = meaning{gcerrors.PermissionDenied, "no token is given to these credentials, or to what this runs as"}
	disabled = meaning{gcerrors.FailedPrecondition, "the key is disabled, or about to be deleted: enable it"}
	missing  = meaning{gcerrors.NotFound, "there is no such key in this region, location or vault"}
	usage    = meaning{gcerrors.InvalidArgument, "the key is not one to encrypt with: take a symmetric one, and of Azure an RSA one"}
	foreign  = meaning{gcerrors.InvalidArgument, "it was wrapped with another key, or was changed"}
	walled   = meaning{gcerrors.PermissionDenied, "the vault's network rules keep this machine out"}
	off      = meaning{gcerrors.FailedPrecondition, "the service is not enabled for the project"}
	busy     = meaning{gcerrors.ResourceExhausted, "the service asks for fewer requests"}
	down     = meaning{gcerrors.Internal, "the service cannot reach the key just now"}
	garbled  = meaning{gcerrors.Internal, "the answer was changed on its way, or is not the service's"}
	skewed   = meaning{gcerrors.PermissionDenied, "the credentials are not right, or this machine's clock is not"}
)

// meanings are by the codes of the three services, which do not contradict each other.
var meanings = map[string]meaning{
	// AWS
	"AccessDeniedException": denied, "NotFoundException": missing, "InvalidArnException": missing,
	"DisabledException": disabled, "KMSInvalidStateException": disabled, "InvalidKeyUsageException": usage, "UnsupportedOperationException": usage,
	"IncorrectKeyException": foreign, "InvalidCiphertextException": foreign,
	"UnrecognizedClientException": wrong, "InvalidClientTokenId": wrong, "MissingAuthenticationTokenException": wrong,
	"MissingAuthenticationToken": wrong, "IncompleteSignature": wrong, "ExpiredTokenException": wrong,
	"InvalidSignatureException": skewed, "SignatureDoesNotMatch": skewed,
	"ThrottlingException": busy, "LimitExceededException": busy, "KeyUnavailableException": down, "DependencyTimeoutException": down, "KMSInternalException": down,
	// Google
	"PERMISSION_DENIED": denied, "UNAUTHENTICATED": wrong, "NOT_FOUND": missing, "FAILED_PRECONDITION": disabled,
	"RESOURCE_EXHAUSTED": busy, "UNAVAILABLE": down, "INTERNAL": down,
	"SERVICE_DISABLED": off, "INVALID_ARGUMENT": foreign,
	// Azure
	"Forbidden": denied, "ForbiddenByPolicy": denied, "ForbiddenByRbac": denied, "AccessDenied": denied,
	"ForbiddenByFirewall": walled, "ForbiddenByConnection": walled,
	"Unauthorized": wrong, "KeyNotFound": missing, "KeyDisabled": disabled, "KeyNotYetValid": disabled, "KeyExpired": disabled,
	"KeyOperationNotPermitted": usage, "KeyOperationForbidden": usage, "BadParameter": foreign, "Throttled": busy,
}

var statuses = map[int]meaning{
	http.StatusUnauthorized: wrong, http.StatusForbidden: denied, http.StatusNotFound: missing,
	http.StatusTooManyRequests: busy, http.StatusServiceUnavailable: down,
}

// explain puts a meaning to an error of a service.
func explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	m, known := told(err)
	if !known {
		m = unanswered(err)
	}
	return &failure{code: m.code, reason: m.reason, err: err}
}

// told finds the meaning of what was answered, the finest code first.
func told(err error) (meaning, bool) {
	var token *tokenError
	var identity *azidentity.AuthenticationFailedError
	switch {
	case errors.Is(err, errGarbled):
		return garbled, true
	case errors.Is(err, errForeign):
		return foreign, true
	case errors.As(err, &token), errors.As(err, &identity):
		return noToken, true
	}
	names, status := answer(err)
	for _, n := range names {
		if m, ok := meanings[n]; ok {
			return m, true
		}
	}
	if m, ok := statuses[status]; ok {
		return m, true
	}
	return meaning{gcerrors.Unknown, "the service answers with status " + strconv.Itoa(status)}, status != 0
}

// answer returns the codes that a service answered with, the finest first, and the HTTP status.
func answer(err error) (names []string, status int) {
	var ae smithy.APIError
	if errors.As(err, &ae) {
		names = append(names, ae.ErrorCode())
	}
	var aws *awshttp.ResponseError
	if errors.As(err, &aws) {
		status = aws.HTTPStatusCode()
	}
	var google *googleError
	if errors.As(err, &google) {
		return []string{google.reason, google.name}, google.status
	}
	var azure *azcore.ResponseError
	if errors.As(err, &azure) {
		return []string{inner(azure.RawResponse), azure.ErrorCode}, azure.StatusCode
	}
	return names, status
}

// inner returns the finer code that Key Vault puts into its answers, empty if there is none.
func inner(res *http.Response) string {
	if res == nil {
		return ""
	}
	b, err := runtime.Payload(res) // It was read before, and is kept.
	if err != nil {
		return ""
	}
	var said struct {
		Error struct {
			Inner struct {
				Code string `json:"code"`
			} `json:"innererror"`
		} `json:"error"`
	}
	if json.Unmarshal(b, &said) != nil {
		return ""
	}
	return said.Error.Inner.Code
}

// unanswered says why there was no answer.
func unanswered(err error) meaning {
	var (
		dns     *net.DNSError
		timeout net.Error
	)
	switch {
	case errors.As(err, &dns):
		return meaning{gcerrors.NotFound, "the service's name cannot be resolved: is the region or the vault right?"}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return meaning{gcerrors.DeadlineExceeded, "the service does not answer in time"}
	case errors.As(err, &timeout):
		return meaning{gcerrors.Unknown, "the connection to the service failed"}
	}
	return meaning{gcerrors.Unknown, "no credentials could be had, or the service cannot be asked"}
}
