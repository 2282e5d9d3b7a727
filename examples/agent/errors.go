package main

import (
	"errors"
	"fmt"
	"net/http"
)

// What a request is refused with, beside the workshop's own.
var (
	errUnsupported = errors.New("this agent does not support the operation")
	errOneShot     = errors.New("this agent does not continue a task: send a new message with the same contextId")
	errNoPush      = errors.New("this agent sends no push notifications")
	errVersion     = errors.New("this agent speaks A2A 1.0")
)

// An errInvalid is a request that makes no sense.
type errInvalid struct{ error }

func invalid(format string, args ...any) error { return errInvalid{fmt.Errorf(format, args...)} }

// refusals are A2A's own errors: their HTTP status, and their names in google.rpc.Code and in google.rpc.ErrorInfo.
var refusals = map[error]struct {
	code           int
	status, reason string
}{
	errNotFound:    {http.StatusNotFound, "NOT_FOUND", "TASK_NOT_FOUND"},
	errFinished:    {http.StatusBadRequest, "FAILED_PRECONDITION", "TASK_NOT_CANCELABLE"},
	errUnsupported: {http.StatusBadRequest, "FAILED_PRECONDITION", "UNSUPPORTED_OPERATION"},
	errOneShot:     {http.StatusBadRequest, "FAILED_PRECONDITION", "UNSUPPORTED_OPERATION"},
	errNoPush:      {http.StatusBadRequest, "FAILED_PRECONDITION", "PUSH_NOTIFICATION_NOT_SUPPORTED"},
	errVersion:     {http.StatusBadRequest, "FAILED_PRECONDITION", "VERSION_NOT_SUPPORTED"},
	errNotText:     {http.StatusBadRequest, "INVALID_ARGUMENT", "CONTENT_TYPE_NOT_SUPPORTED"},
	errBusy:        {http.StatusServiceUnavailable, "UNAVAILABLE", ""},
	errDraining:    {http.StatusServiceUnavailable, "UNAVAILABLE", ""},
}

// refuseFor answers with an error in the form of A2A's HTTP binding, a google.rpc.Status, with A2A's own reason where it
// has one.
func refuseFor(rw http.ResponseWriter, err error) {
	code, status, reason := http.StatusInternalServerError, "INTERNAL", ""
	if errors.As(err, &errInvalid{}) {
		code, status = http.StatusBadRequest, "INVALID_ARGUMENT"
	}

	for is, r := range refusals {
		if errors.Is(err, is) {
			code, status, reason = r.code, r.status, r.reason
		}
	}

	if code == http.StatusServiceUnavailable {
		rw.Header().Set("Retry-After", "1")
	}

	e := map[string]any{"code": code, "status": status, "message": err.Error()}
	if reason != "" {
		e["details"] = []map[string]string{{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "a2a-protocol.org"}}
	}

	answer(rw, code, map[string]any{"error": e})
}
