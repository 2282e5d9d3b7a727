//go:build integration

package store_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"gocloud.dev/blob"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/storetest"
)

// texts are the states that are saved, one after another.
var texts = []string{"one", "two", "three"}

// works claims, saves all texts and returns how many were acknowledged, and the first error. It is all that a worker and its
// provider do, through one bucket.
func works(ctx context.Context, b *blob.Bucket, key checkpoint.DataKey) (acknowledged int, err error) {
	r, err := checkpoint.Open(ctx, b, key, quick())
	if err != nil {
		return 0, err
	}
	e, err := r.ClaimAt(ctx, "0", 1, "pod")
	if err != nil {
		return 0, err
	}
	s, err := r.Session(ctx, "0", e.Epoch)
	if err != nil {
		return 0, err
	}
	for i, text := range texts {
		if err := save(ctx, s, text); err != nil {
			return i, err
		}
	}
	return len(texts), nil
}

// TestFaultAtEachRequest plays each fault at each request of a claim and three saves: once, which must not be felt, and from
// then on, after which the newest state is the last acknowledged one or a newer one, and whole.
func TestFaultAtEachRequest(t *testing.T) {
	s := storetest.StartS3(t)
	s.MakeBucket(t, "agents")
	f := storetest.StartFaulty(t, s)
	faults := map[string]storetest.Fault{
		"InternalError": {Status: http.StatusInternalServerError, Code: "InternalError"},
		"SlowDown":      {Status: http.StatusServiceUnavailable, Code: "SlowDown"},
		"Conflict":      {Status: http.StatusConflict, Code: "ConditionalRequestConflict"},
		"BadGateway":    {Status: http.StatusBadGateway},
		"Cut":           {},
	}
	runs := 0
	for name, fault := range faults {
		for _, fault.Done = range []bool{false, true} {
			for _, fault.Forever = range []bool{false, true} {
				for fault.At = 1; ; fault.At++ {
					runs++
					prefix := fmt.Sprintf("%s/%t-%t-%d", name, fault.Done, fault.Forever, fault.At)
					if survives(t, s, f, prefix, fault) {
						break
					}
				}
			}
		}
	}
	t.Logf("%d runs", runs)
}

// survives runs once, and says whether it came to an end before the fault.
func survives(t *testing.T, s *storetest.S3, f *storetest.Faulty, prefix string, fault storetest.Fault) bool {
	t.Helper()
	ctx, key := t.Context(), checkpoint.NewDataKey()
	direct := open(t, s.Config("agents", prefix, s.Root))
	defer direct.Close()
	if _, err := checkpoint.Create(ctx, direct, key, newPool(), quick()); err != nil {
		t.Fatal(err)
	}
	through := open(t, storetest.ConfigAt(f.Endpoint, "agents", prefix, s.Root))
	defer through.Close()
	f.Set(fault)
	n, err := works(ctx, through, key)
	over := f.Seen() < fault.At
	f.Set(storetest.Fault{})
	switch {
	case !fault.Forever && err != nil:
		t.Errorf("%s: one fault was felt: %v", prefix, err)
	case fault.Forever && !over && err == nil && n < len(texts):
		t.Errorf("%s: only %d saves, and no error", prefix, n)
	}
	got := newest(t, direct, key)
	if i := slices.Index(texts, got); i < n-1 {
		t.Errorf("%s: %d saves are acknowledged, and the newest state is %q", prefix, n, got)
	}
	return over
}

// TestFaultsWhileRestoring plays each of them at each request of a restore.
func TestFaultsWhileRestoring(t *testing.T) {
	s := storetest.StartS3(t)
	s.MakeBucket(t, "agents")
	f := storetest.StartFaulty(t, s)
	key := checkpoint.NewDataKey()
	direct := open(t, s.Config("agents", "pool", s.Root))
	defer direct.Close()
	if _, err := checkpoint.Create(t.Context(), direct, key, newPool(), quick()); err != nil {
		t.Fatal(err)
	}
	if _, err := works(t.Context(), direct, key); err != nil {
		t.Fatal(err)
	}
	through := open(t, storetest.ConfigAt(f.Endpoint, "agents", "pool", s.Root))
	defer through.Close()
	for _, fault := range []storetest.Fault{{Status: 500, Code: "InternalError"}, {Status: 503, Code: "SlowDown"}, {}} {
		for fault.At = 1; ; fault.At++ {
			f.Set(fault)
			if got := newest(t, through, key); got != "three" {
				t.Errorf("restored %q with %+v", got, fault)
			}
			if f.Seen() < fault.At {
				break
			}
		}
	}
}

// TestStorm answers two requests in three with an error, from beginning to end: everything takes longer, and nothing is lost.
func TestStorm(t *testing.T) {
	s := storetest.StartS3(t)
	s.MakeBucket(t, "agents")
	f := storetest.StartFaulty(t, s)
	cases := map[string]storetest.Fault{
		"InternalError": {Status: http.StatusInternalServerError, Code: "InternalError"},
		"SlowDown":      {Status: http.StatusServiceUnavailable, Code: "SlowDown"},
		"Conflict":      {Status: http.StatusConflict, Code: "ConditionalRequestConflict"},
		"Lost":          {Status: http.StatusGatewayTimeout, Done: true},
		"Cut":           {},
	}
	for name, fault := range cases {
		t.Run(name, func(t *testing.T) {
			key := checkpoint.NewDataKey()
			direct := open(t, s.Config("agents", name, s.Root))
			defer direct.Close()
			if _, err := checkpoint.Create(t.Context(), direct, key, newPool(), quick()); err != nil {
				t.Fatal(err)
			}
			through := open(t, storetest.ConfigAt(f.Endpoint, "agents", name, s.Root))
			defer through.Close()
			fault.At, fault.Forever, fault.But = 1, true, 3
			f.Set(fault)
			n, err := works(t.Context(), through, key)
			got, seen := newest(t, through, key), f.Seen()
			f.Set(storetest.Fault{})
			if err != nil || n != len(texts) || got != texts[n-1] {
				t.Errorf("%d saves are acknowledged, the newest is %q: %v", n, got, err)
			}
			t.Logf("%d requests", seen)
		})
	}
}
