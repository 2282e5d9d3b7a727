package milvustest

import (
	"errors"
	"fmt"
	"slices"

	"github.com/milvus-io/milvus-proto/go-api/v2/commonpb"
)

// retriable codes: Milvus says so in its answers (pkg/util/merr).
var retriable = []int32{1, 2, 4, 8, 12, 103, 106, 202, 305}

// A merr is one of Milvus' errors.
type merr struct {
	code int32
	text string
}

// Error returns the text.
func (m *merr) Error() string { return m.text }

// Err returns an error with which Milvus answers, by its code.
func Err(code int32, format string, args ...any) error {
	return &merr{code: code, text: fmt.Sprintf(format, args...)}
}

// unexpected is an error without a code of its own: most of rootcoord's are (fmt.Errorf there).
func unexpected(format string, args ...any) error { return Err(65535, format, args...) }

// invalid is a parameter that is not what it should be.
func invalid(format string, args ...any) error {
	return Err(1100, format+": invalid parameter", args...)
}

// status returns an error as Milvus sends it. The old code is there for old clients: most are UnexpectedError in it.
func status(err error) *commonpb.Status {
	if err == nil {
		return &commonpb.Status{}
	}

	m := &merr{code: 65535, text: err.Error()}
	errors.As(err, &m)

	old := commonpb.ErrorCode_UnexpectedError

	switch m.code {
	case 100:
		old = commonpb.ErrorCode_CollectionNotExists
	case 700:
		old = commonpb.ErrorCode_IndexNotExist
	case 8:
		old = commonpb.ErrorCode_RateLimit
	}

	return &commonpb.Status{
		ErrorCode: old, //nolint:staticcheck // Milvus sends it.
		Code:      m.code, Reason: m.text, Detail: m.text, Retriable: slices.Contains(retriable, m.code),
	}
}

func values(kvs []*commonpb.KeyValuePair) map[string]string {
	out := make(map[string]string, len(kvs))
	for _, kv := range kvs {
		out[kv.GetKey()] = kv.GetValue()
	}

	return out
}
