//go:build integration

package store_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/store"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/storetest"
)

// policy returns the S3 policy that the documentation gives to platform teams.
func policy(t *testing.T) string {
	t.Helper()
	doc, err := os.ReadFile("../../../docs/stores.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(doc), "```json\n")
	p, _, found := strings.Cut(after, "```")
	if !found {
		t.Fatal("cannot find the policy in docs/stores.md")
	}
	return strings.ReplaceAll(p, "arn:aws:iam::111122223333:user/", "")
}

const (
	poolA, poolB = "team-a/coder", "team-b/coder"
)

// teams is a bucket with the documented policy, and a saved slot of each team.
type teams struct {
	server *storetest.S3
	users  map[string]store.S3Credentials
}

func twoTeams(t *testing.T) teams {
	t.Helper()
	w := teams{server: storetest.StartS3(t), users: map[string]store.S3Credentials{}}
	w.server.MakeBucket(t, "agents")
	for _, name := range []string{"team-a-worker", "team-a-provider", "team-b-worker", "team-b-provider"} {
		w.users[name] = w.server.MakeUser(t, name)
	}
	w.server.SetPolicy(t, "agents", policy(t))
	return w
}

func (w teams) as(t *testing.T, user, prefix string) *blob.Bucket {
	t.Helper()
	b := open(t, w.server.Config("agents", prefix, w.users[user]))
	t.Cleanup(func() { b.Close() })
	return b
}

// TestTeamsWork shows that the documented rights are enough: a provider makes, claims, verifies, prunes and sweeps; a worker
// saves and restores.
func TestTeamsWork(t *testing.T) {
	w, ctx := twoTeams(t), t.Context()
	for _, team := range []string{"team-a", "team-b"} {
		prefix, key := team+"/coder", checkpoint.NewDataKey()
		provider, worker := w.as(t, team+"-provider", prefix), w.as(t, team+"-worker", prefix)
		r, err := checkpoint.Create(ctx, provider, key, newPool(), quick())
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			e, err := r.Claim(ctx, "0", "pod")
			if err != nil {
				t.Fatal(err)
			}
			saves(t, worker, key, e.Epoch, team, "again "+team)
		}
		if got := newest(t, worker, key); got != "again "+team {
			t.Errorf("restored %q", got)
		}
		if gone, err := r.Prune(ctx, "0", checkpoint.Retain{Last: 1}); err != nil || len(gone) == 0 {
			t.Errorf("Prune: got %v, %v", gone, err)
		}
		if _, err := r.Sweep(ctx); err != nil {
			t.Errorf("Sweep: %v", err)
		}
	}
}

// TestTeamsAreApart tries as each of the users what it must not be able to do.
func TestTeamsAreApart(t *testing.T) {
	w, ctx := twoTeams(t), t.Context()
	key := checkpoint.NewDataKey()
	if _, err := checkpoint.Create(ctx, w.as(t, "team-a-provider", poolA), key, newPool(), quick()); err != nil {
		t.Fatal(err)
	}
	names := []string{"pool.json", "chunks/aa/x", "slots/0/manifests/0000000001-0000000001.json", "slots/0/epochs/0000000001.json", "slots/0/pins/p", "sweep.json"}
	root := open(t, w.server.Config("agents", poolA, w.server.Root))
	t.Cleanup(func() { root.Close() })
	for _, n := range names {
		if err := root.WriteAll(ctx, n, []byte("of team-a"), nil); err != nil {
			t.Fatal(err)
		}
	}
	denied := func(what string, err error) {
		t.Helper()
		if gcerrors.Code(err) != gcerrors.PermissionDenied {
			t.Errorf("%s: got %v, want PermissionDenied", what, err)
		}
	}
	for _, user := range []string{"team-b-worker", "team-b-provider"} {
		b := w.as(t, user, poolA)
		_, err := b.List(nil).Next(ctx)
		denied(user+" lists the pool", err)
		_, err = w.as(t, user, "").List(nil).Next(ctx)
		denied(user+" lists the bucket", err)
		for _, n := range names {
			_, err := b.ReadAll(ctx, n)
			denied(user+" reads "+n, err)
			_, err = b.Attributes(ctx, n)
			denied(user+" looks at "+n, err)
			denied(user+" writes "+n, b.WriteAll(ctx, n, []byte("of team-b"), nil))
			denied(user+" creates beside "+n, b.WriteAll(ctx, n+"x", []byte("of team-b"), &blob.WriterOptions{IfNotExist: true}))
			denied(user+" deletes "+n, b.Delete(ctx, n))
		}
	}
	own := w.as(t, "team-a-worker", poolA)
	for _, n := range names {
		denied("its own worker deletes "+n, own.Delete(ctx, n))
	}
	for _, n := range []string{"pool.json", "slots/0/epochs/0000000002.json", "slots/0/pins/q", "sweep.json"} {
		denied("its own worker writes "+n, own.WriteAll(ctx, n, []byte("of a worker"), nil))
	}
	for _, n := range names {
		if got, err := root.ReadAll(ctx, n); err != nil || string(got) != "of team-a" {
			t.Errorf("%s is %q now, %v", n, got, err)
		}
	}
}

// TestWrongCredentials shows what is said of the usual mistakes, and that it is not tried again.
func TestWrongCredentials(t *testing.T) {
	s := storetest.StartS3(t)
	s.MakeBucket(t, "agents")
	nobody := s.MakeUser(t, "nobody")
	wrong := s.Root
	wrong.SecretAccessKey = "another"
	cases := map[string]struct {
		config store.Config
		want   string
	}{
		"Secret":    {s.Config("agents", "", wrong), "credentials are not right"},
		"Key":       {s.Config("agents", "", store.S3Credentials{AccessKeyID: "x", SecretAccessKey: "y"}), "credentials are not right"},
		"Rights":    {s.Config("agents", "", nobody), "do not allow"},
		"Bucket":    {s.Config("another", "", s.Root), "no such bucket"},
		"Nobody":    {store.Config{URL: s.Config("agents", "", s.Root).URL}, "do not allow"},
		"Unreached": {storetest.ConfigAt("http://127.0.0.1:1", "agents", "", s.Root), "connection to the store failed"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			b := open(t, tc.config)
			defer b.Close()
			_, err := b.List(nil).Next(t.Context())
			var why interface{ Reason() string }
			if !errors.As(err, &why) || !strings.Contains(why.Reason(), tc.want) {
				t.Errorf("got %v, want a reason with %q", err, tc.want)
			}
			if _, err := b.ReadAll(t.Context(), "x"); gcerrors.Code(err) == gcerrors.NotFound {
				t.Errorf("an object is said not to be there: %v", err)
			}
		})
	}
}
