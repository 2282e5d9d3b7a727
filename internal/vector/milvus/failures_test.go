package milvus_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/milvus-io/milvus-proto/go-api/v2/milvuspb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/milvus"
	"github.com/southwest-ai/agent-operator/internal/vector/milvus/milvustest"
)

// open returns a driver that is closed with the test.
func open(t *testing.T, c vector.Config) vector.Driver {
	t.Helper()

	d, err := milvus.Open(c)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(d.Close)

	return d
}

// spec of a collection with something in it that takes a request of its own.
func spec() vector.Spec {
	return vector.Spec{Name: "coder-memory", Owner: "team/coder", Properties: vector.Properties{
		Dim: 8, IndexedFields: []vector.Field{{Name: "topic", Type: vector.Keyword}},
	}}
}

func describe(t *testing.T, d vector.Driver) vector.State {
	t.Helper()

	st, err := d.Describe(t.Context(), spec().Name)
	if err != nil {
		t.Fatal(err)
	}

	return st
}

// TestRefused: what this server cannot do or does not allow, and that it heals when the cause goes.
func TestRefused(t *testing.T) {
	one, two, seventeen := int32(1), int32(2), int32(17)
	denied := func(_ context.Context, method string) error {
		if method == "CreateCollection" {
			return status.Error(codes.PermissionDenied, "CreateCollection: permission deny to agent in the `default` database")
		}

		return nil
	}

	cases := map[string]struct {
		reason string
		opts   milvustest.Options
		access vector.Access
		fail   func(context.Context, string) error
		spec   func(*vector.Spec)
		want   vector.Kind
		// made says that there is a collection all the same, which is unfinished.
		made bool
	}{
		"Password":  {reason: "The password is wrong.", opts: milvustest.Options{RootPassword: rootPassword}, access: vector.Access{User: "root", Password: "wrong-one"}, want: vector.Unauthenticated},
		"NoLogin":   {reason: "There is none.", opts: milvustest.Options{RootPassword: rootPassword}, want: vector.Unauthenticated},
		"Key":       {reason: "Milvus has no keys, but what stands before it may.", opts: milvustest.Options{RootPassword: rootPassword}, access: vector.Access{APIKey: "a-wrong-key"}, want: vector.Unauthenticated},
		"Denied":    {reason: "The login may not make collections.", fail: denied, want: vector.PermissionDenied},
		"Quota":     {reason: "There are as many as there may be.", opts: milvustest.Options{Collections: -1}, want: vector.QuotaExceeded},
		"RateLimit": {reason: "It says to try again.", fail: func(context.Context, string) error { return milvustest.Err(8, "rate limit exceeded[rate=0.5]") }, want: vector.Unavailable},
		"Shards":    {reason: "More shards than the server is set up for.", spec: func(s *vector.Spec) { s.Shards = &seventeen }, want: vector.Invalid},
		"Keyword":   {reason: "A field has a name that Milvus needs itself.", spec: func(s *vector.Spec) { s.IndexedFields[0].Name = "text_match" }, want: vector.Invalid},
		"Replicas":  {reason: "There are too few nodes.", spec: func(s *vector.Spec) { s.Replicas = &two }, want: vector.QuotaExceeded, made: true},
		"NoDisk":    {reason: "No node has a disk for it.", opts: milvustest.Options{NoDisk: true}, spec: func(s *vector.Spec) { s.Index = vector.DiskANN }, want: vector.Unsupported, made: true},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := milvustest.Start(t, tc.opts)
			s.Fail(tc.fail)

			d := open(t, vector.Config{Endpoint: "http://" + s.Address(), Access: tc.access})

			sp := spec()
			if tc.spec != nil {
				tc.spec(&sp)
			}

			err := d.Create(t.Context(), sp)
			if !vector.Is(err, tc.want) {
				t.Fatalf("%s\nCreate: got %v (%s), want %s", tc.reason, err, vector.KindOf(err), tc.want)
			}

			for _, secret := range []string{tc.access.Password, tc.access.APIKey} {
				if secret != "" && strings.Contains(err.Error(), secret) {
					t.Errorf("the error tells a secret: %v", err)
				}
			}

			if _, made := s.Rows("coder__memory"); made != tc.made {
				t.Fatalf("%s\nthere is a collection: %v, want %v", tc.reason, made, tc.made)
			}

			if !tc.made {
				return
			}

			st := describe(t, d)
			if !st.Unfinished {
				t.Error("what is half made does not say so")
			}

			if err := d.Alter(t.Context(), sp, st); !vector.Is(err, tc.want) {
				t.Errorf("Alter while the cause is there: %v", err)
			}

			sp = spec()
			sp.Replicas = &one

			if err := d.Alter(t.Context(), sp, st); err != nil {
				t.Errorf("Alter to what can be done: %v", err)
			}

			if diff := milvus.Features.Compare(sp, describe(t, d)); len(diff.Mutable) > 0 || diff.Err() != nil {
				t.Errorf("it is not what can be done: %v %v", diff, diff.Err())
			}
		})
	}
}

// TestSlow: a server that does not answer is waited for until the deadline, and no longer.
func TestSlow(t *testing.T) {
	s := milvustest.Start(t, milvustest.Options{})
	d := open(t, vector.Config{Endpoint: "http://" + s.Address()})

	s.Fail(func(ctx context.Context, _ string) error {
		<-ctx.Done()

		return ctx.Err()
	})

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()

	start := time.Now()

	if err := d.Create(ctx, spec()); !vector.Is(err, vector.Unavailable) {
		t.Errorf("Create: got %v (%s)", err, vector.KindOf(err))
	}

	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}

	s.Fail(nil)

	if err := d.Create(t.Context(), spec()); err != nil {
		t.Errorf("Create when the server is fast again: %v", err)
	}
}

// TestCertificate: a certificate that is not trusted, or not any more, is told from a server that is down.
func TestCertificate(t *testing.T) {
	h := httptest.NewTLSServer(nil)
	h.Close()

	pool := x509.NewCertPool()
	pool.AddCert(h.Certificate())

	s := milvustest.Start(t, milvustest.Options{TLS: &tls.Config{Certificates: h.TLS.Certificates, MinVersion: tls.VersionTLS12}})

	cases := map[string]struct {
		reason   string
		endpoint string
		tls      *tls.Config
		want     vector.Kind
	}{
		"Trusted":   {"It is that of the CA that we were given.", "https://" + s.Address(), &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, vector.NotFound},
		"Unchecked": {"Nobody looks.", "https://" + s.Address(), &tls.Config{InsecureSkipVerify: true}, vector.NotFound},
		"Untrusted": {"The system does not know it.", "https://" + s.Address(), nil, vector.CertificateInvalid},
		"Expired": {"It was good once.", "https://" + s.Address(), &tls.Config{
			RootCAs: pool, MinVersion: tls.VersionTLS12,
			Time: func() time.Time { return h.Certificate().NotAfter.Add(time.Hour) },
		}, vector.CertificateInvalid},
		"OtherName": {"It is for another host.", "https://" + s.Address(), &tls.Config{RootCAs: pool, ServerName: "other.host", MinVersion: tls.VersionTLS12}, vector.CertificateInvalid},
		"Plain":     {"Without TLS it does not answer.", "http://" + s.Address(), nil, vector.Unavailable},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := open(t, vector.Config{Endpoint: tc.endpoint, TLS: tc.tls})

			_, err := d.Describe(t.Context(), spec().Name)
			if !vector.Is(err, tc.want) {
				t.Errorf("%s\nDescribe: got %v (%s), want %s", tc.reason, err, vector.KindOf(err), tc.want)
			}
		})
	}
}

// TestOpenServer: where everybody is let in a login would keep nobody out.
func TestOpenServer(t *testing.T) {
	s := milvustest.Start(t, milvustest.Options{})

	for name, a := range map[string]vector.Access{"nobody": {}, "somebody": root} {
		t.Run(name, func(t *testing.T) {
			d := open(t, vector.Config{Endpoint: "http://" + s.Address(), Access: a})

			_, err := d.(vector.Granter).Grant(t.Context(), vector.Grant{Login: "team/coder"}, vector.Access{})
			if !vector.Is(err, vector.Unsupported) {
				t.Errorf("Grant: %v (%s)", err, vector.KindOf(err))
			}
		})
	}
}

// TestLeastPrivilege: a login can read and write its collection, and nothing more.
func TestLeastPrivilege(t *testing.T) {
	s := milvustest.Start(t, milvustest.Options{RootPassword: rootPassword})
	d := open(t, vector.Config{Endpoint: "http://" + s.Address(), Access: root})
	a := newAgent(t, s)

	if err := d.Create(t.Context(), spec()); err != nil {
		t.Fatal(err)
	}

	access, err := d.(vector.Granter).Grant(t.Context(), vector.Grant{Login: "team/coder", Collections: []string{spec().Name}}, vector.Access{})
	if err != nil {
		t.Fatal(err)
	}

	ctx := as(t.Context(), access)
	name := "coder__memory"

	tries := map[string]error{
		"release": answer(a.c.ReleaseCollection(ctx, &milvuspb.ReleaseCollectionRequest{CollectionName: name})),
		"drop":    answer(a.c.DropCollection(ctx, &milvuspb.DropCollectionRequest{CollectionName: name})),
		"index":   answer(a.c.DropIndex(ctx, &milvuspb.DropIndexRequest{CollectionName: name, IndexName: "embedding"})),
		"create":  answer(a.c.CreateCollection(ctx, &milvuspb.CreateCollectionRequest{CollectionName: "mine"})),
		"alter":   answer(a.c.AlterCollection(ctx, &milvuspb.AlterCollectionRequest{CollectionName: name, DeleteKeys: []string{"aidispatcher.owner"}})),
		"user":    answer(a.c.CreateCredential(ctx, &milvuspb.CreateCredentialRequest{Username: "friend"})),
	}

	for what, err := range tries {
		if status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s: %v", what, err)
		}
	}

	if st := describe(t, d); st.Owner != spec().Owner || st.Unfinished || !slices.Equal(st.IndexedFields, spec().IndexedFields) {
		t.Errorf("what was not allowed was done: %+v", st)
	}
}

// TestDown: a server that comes up is found by who asked before it was there.
func TestDown(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	addr := l.Addr().String()
	l.Close()

	d := open(t, vector.Config{Endpoint: "http://" + addr})
	if _, err := d.Describe(t.Context(), spec().Name); !vector.Is(err, vector.Unavailable) {
		t.Fatalf("Describe: got %v (%s)", err, vector.KindOf(err))
	}

	milvustest.Start(t, milvustest.Options{Address: addr})

	for end := time.Now().Add(10 * time.Second); ; {
		_, err := d.Describe(t.Context(), spec().Name)
		if vector.Is(err, vector.NotFound) {
			return
		}

		if time.Now().After(end) {
			t.Fatalf("Describe when the server is up: got %v (%s)", err, vector.KindOf(err))
		}
	}
}
