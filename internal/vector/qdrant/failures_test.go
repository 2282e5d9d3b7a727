package qdrant_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/qdrant"
	"github.com/southwest-ai/agent-operator/internal/vector/qdrant/qdranttest"
)

// open returns a driver that is closed with the test.
func open(t *testing.T, c vector.Config) vector.Driver {
	t.Helper()

	d, err := qdrant.Open(c)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(d.Close)

	return d
}

// start returns a server, and a driver of it that may do everything.
func start(t *testing.T, o qdranttest.Options) (*qdranttest.Server, vector.Driver) {
	t.Helper()

	s := qdranttest.Start(t, o)

	return s, open(t, vector.Config{Endpoint: "http://" + s.Address(), Access: vector.Access{APIKey: o.APIKey}})
}

// spec of a collection with something in it that takes requests of their own.
func spec() vector.Spec {
	return vector.Spec{Name: "coder-memory", Owner: "team/coder", Properties: vector.Properties{
		Dim: 8, Distance: vector.Cosine, Tenancy: vector.Multi, IndexedFields: []vector.Field{{Name: "topic", Type: vector.Keyword}},
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

// TestOpen: what cannot be Qdrant's gRPC endpoint is refused before anything is dialled.
func TestOpen(t *testing.T) {
	cases := map[string]struct {
		reason string
		config vector.Config
		want   vector.Kind
		says   string
	}{
		"Port":      {reason: "A port is said.", config: vector.Config{Endpoint: "http://localhost:6334"}},
		"NoPort":    {reason: "A port goes without saying.", config: vector.Config{Endpoint: "https://qdrant.example.org/"}},
		"IPv6":      {reason: "A number of the new kind.", config: vector.Config{Endpoint: "http://[::1]:6334"}},
		"REST":      {reason: "That port speaks something else.", config: vector.Config{Endpoint: "http://localhost:6333"}, want: vector.Invalid, says: "6334"},
		"NoScheme":  {reason: "Whether to encrypt must be said.", config: vector.Config{Endpoint: "localhost:6334"}, want: vector.Invalid, says: "http://host:6334"},
		"Scheme":    {reason: "It is not gRPC's name.", config: vector.Config{Endpoint: "grpc://localhost:6334"}, want: vector.Invalid, says: "http://host:6334"},
		"NoHost":    {reason: "There must be a host.", config: vector.Config{Endpoint: "http://:6334"}, want: vector.Invalid, says: "http://host:6334"},
		"Path":      {reason: "gRPC has its own paths.", config: vector.Config{Endpoint: "http://localhost:6334/qdrant"}, want: vector.Invalid, says: "path"},
		"InTheURL":  {reason: "Endpoints are shown to everybody.", config: vector.Config{Endpoint: "http://me:secret@localhost:6334"}, want: vector.Invalid, says: "without credentials"},
		"Password":  {reason: "Qdrant has no users.", config: vector.Config{Endpoint: "http://localhost:6334", Access: vector.Access{User: "me", Password: "secret"}}, want: vector.Invalid, says: "API key"},
		"Malformed": {reason: "It is no URL at all.", config: vector.Config{Endpoint: "http://%zz"}, want: vector.Invalid, says: "http://host:6334"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d, err := qdrant.Open(tc.config)
			if err == nil {
				d.Close()
			}

			if diff := cmp.Diff(tc.want, vector.KindOf(err)); diff != "" {
				t.Fatalf("%s\n-want, +got kind: %s\n%v", tc.reason, diff, err)
			}

			if err != nil && (!strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "secret")) {
				t.Errorf("%s\nthe error must say %q, and no secret: %v", tc.reason, tc.says, err)
			}
		})
	}
}

// TestCreateFails: each cause has its kind, nothing is left behind, and when the cause is gone it works.
func TestCreateFails(t *testing.T) {
	fail := func(c codes.Code, text string) func(context.Context, string) error {
		return func(_ context.Context, method string) error {
			if method == "Collections/Create" {
				return status.Error(c, text)
			}

			return nil
		}
	}

	cases := map[string]struct {
		reason string
		opts   qdranttest.Options
		key    string
		fail   func(context.Context, string) error
		want   vector.Kind
	}{
		"NoKey":     {reason: "The server wants a key.", opts: qdranttest.Options{APIKey: apiKey}, want: vector.Unauthenticated},
		"WrongKey":  {reason: "It is another.", opts: qdranttest.Options{APIKey: apiKey}, key: "wrong-key", want: vector.Unauthenticated},
		"ReadOnly":  {reason: "It opens, but not for this.", opts: qdranttest.Options{APIKey: apiKey, ReadOnlyKey: "read-only-key"}, key: "read-only-key", want: vector.PermissionDenied},
		"Old":       {reason: "There is no place for the owner.", opts: qdranttest.Options{Version: "1.15.5"}, want: vector.Unsupported},
		"RateLimit": {reason: "It says to try again.", fail: fail(codes.ResourceExhausted, "Rate limiting exceeded"), want: vector.Unavailable},
		"Locked":    {reason: "Somebody locked it for a while.", fail: fail(codes.FailedPrecondition, "Storage locked: maintenance"), want: vector.Unavailable},
		"Vote":      {reason: "The cluster has no leader now.", fail: fail(codes.Internal, "Service internal error: no leader"), want: vector.Unavailable},
		"Disk":      {reason: "There is no room.", fail: fail(codes.Internal, "Service internal error: No space left on device"), want: vector.QuotaExceeded},
		"Down":      {reason: "A proxy answers for it.", fail: fail(codes.Unavailable, "no healthy upstream"), want: vector.Unavailable},
		"NotQdrant": {reason: "It is another server.", fail: fail(codes.Unimplemented, "unknown service qdrant.Collections"), want: vector.Unsupported},
		"Odd":       {reason: "It is something unheard of.", fail: fail(codes.DataLoss, "checksum mismatch"), want: vector.Unknown},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := qdranttest.Start(t, tc.opts)
			s.Fail(tc.fail)

			err := open(t, vector.Config{Endpoint: "http://" + s.Address(), Access: vector.Access{APIKey: tc.key}}).Create(t.Context(), spec())
			if diff := cmp.Diff(tc.want, vector.KindOf(err)); diff != "" {
				t.Fatalf("%s\n-want, +got kind: %s\n%v", tc.reason, diff, err)
			}

			if tc.key != "" && strings.Contains(err.Error(), tc.key) {
				t.Errorf("the error tells a secret: %v", err)
			}

			if _, made := s.Points(spec().Name); made {
				t.Errorf("%s\nthere is a collection", tc.reason)
			}

			if tc.want == vector.Unsupported && tc.fail == nil {
				return // It takes another server.
			}

			s.Fail(nil)

			if err := open(t, vector.Config{Endpoint: "http://" + s.Address(), Access: vector.Access{APIKey: tc.opts.APIKey}}).Create(t.Context(), spec()); err != nil {
				t.Errorf("Create when the cause is gone: %v", err)
			}
		})
	}
}

// TestQuota: as many collections, and as many payload indexes, as there may be.
func TestQuota(t *testing.T) {
	_, d := start(t, qdranttest.Options{Collections: 1, FieldIndexes: 1})

	plain := spec()
	plain.Tenancy = ""

	if err := d.Create(t.Context(), plain); err != nil {
		t.Fatal(err)
	}

	second := plain
	second.Name = "second"

	if err := d.Create(t.Context(), second); !vector.Is(err, vector.QuotaExceeded) {
		t.Errorf("Create of one collection more: %v (%s)", err, vector.KindOf(err))
	}

	more := plain
	more.IndexedFields = append(more.IndexedFields, vector.Field{Name: "year", Type: vector.Integer})

	if err := d.Alter(t.Context(), more, describe(t, d)); !vector.Is(err, vector.QuotaExceeded) {
		t.Errorf("Alter to one index more: %v (%s)", err, vector.KindOf(err))
	}

	if err := d.Drop(t.Context(), plain.Name); err != nil {
		t.Fatal(err)
	}

	if err := d.Create(t.Context(), second); err != nil {
		t.Errorf("Create when there is room: %v", err)
	}
}

// TestCrash dies after each request of a creation. Whatever is there carries the owner, is known not to be whole, and is made
// whole by Alter.
func TestCrash(t *testing.T) {
	for after := range 3 {
		s, d := start(t, qdranttest.Options{})
		requests := 0

		s.Fail(func(_ context.Context, method string) error {
			if requests++; method != "Qdrant/HealthCheck" && requests > 2+after { // The first is HealthCheck.
				return status.Error(codes.Unavailable, "we died")
			}

			return nil
		})

		err := d.Create(t.Context(), spec())
		s.Fail(nil)

		if (err == nil) != (after == 2) {
			t.Fatalf("Create, dead after %d indexes: %v", after, err)
		}

		st := describe(t, d)
		diff := qdrant.Features.Compare(spec(), st)

		if st.Owner != spec().Owner || st.Tenancy != vector.Multi || diff.Err() != nil || (len(diff.Mutable) == 0) != (after == 2) || st.Unfinished != (after == 0) {
			t.Fatalf("dead after %d indexes: %+v, %v", after, st, diff)
		}

		if err := d.Alter(t.Context(), spec(), st); err != nil {
			t.Fatal(err)
		}

		if diff := qdrant.Features.Compare(spec(), describe(t, d)); len(diff.Mutable) > 0 || diff.Err() != nil {
			t.Errorf("dead after %d indexes, after Alter: %v %v", after, diff, diff.Err())
		}
	}
}

// TestSlow: a server that does not answer is waited for until the deadline, and no longer.
func TestSlow(t *testing.T) {
	s, d := start(t, qdranttest.Options{})

	s.Fail(func(ctx context.Context, _ string) error {
		<-ctx.Done()

		return ctx.Err()
	})

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()

	begun := time.Now()

	if err := d.Create(ctx, spec()); !vector.Is(err, vector.Unavailable) {
		t.Errorf("Create: %v (%s)", err, vector.KindOf(err))
	}

	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}

	s.Fail(nil)

	if err := d.Create(t.Context(), spec()); err != nil {
		t.Errorf("Create when the server is fast again: %v", err)
	}
}

// TestDown: a server that comes up is found by who asked before it was there.
func TestDown(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	d := open(t, vector.Config{Endpoint: "http://" + addr})
	if _, err := d.Describe(t.Context(), spec().Name); !vector.Is(err, vector.Unavailable) {
		t.Fatalf("Describe: %v (%s)", err, vector.KindOf(err))
	}

	qdranttest.Start(t, qdranttest.Options{Address: addr})

	for end := time.Now().Add(10 * time.Second); ; {
		_, err := d.Describe(t.Context(), spec().Name)
		if vector.Is(err, vector.NotFound) {
			return
		}

		if time.Now().After(end) {
			t.Fatalf("Describe when the server is up: %v (%s)", err, vector.KindOf(err))
		}
	}
}

// TestCertificate: a certificate that is not trusted, or not any more, is told from a server that is down.
func TestCertificate(t *testing.T) {
	h := httptest.NewTLSServer(nil)
	h.Close()

	pool := x509.NewCertPool()
	pool.AddCert(h.Certificate())

	trusting := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	late := trusting.Clone()
	late.Time = func() time.Time { return h.Certificate().NotAfter.Add(time.Hour) }

	other := trusting.Clone()
	other.ServerName = "other.host"

	one := qdranttest.Start(t, qdranttest.Options{TLS: &tls.Config{Certificates: h.TLS.Certificates, MinVersion: tls.VersionTLS12}})
	both := qdranttest.Start(t, qdranttest.Options{TLS: &tls.Config{
		Certificates: h.TLS.Certificates, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12,
	}})

	cases := map[string]struct {
		reason   string
		endpoint string
		tls      *tls.Config
		want     vector.Kind
	}{
		"Trusted":   {"It is that of the CA that we were given.", "https://" + one.Address(), trusting, vector.NotFound},
		"Unchecked": {"Nobody looks.", "https://" + one.Address(), &tls.Config{InsecureSkipVerify: true}, vector.NotFound},
		"Untrusted": {"The system does not know it.", "https://" + one.Address(), nil, vector.CertificateInvalid},
		"Expired":   {"It was good once.", "https://" + one.Address(), late, vector.CertificateInvalid},
		"OtherName": {"It is for another host.", "https://" + one.Address(), other, vector.CertificateInvalid},
		"Ours":      {"The server wants one of us.", "https://" + both.Address(), trusting, vector.CertificateInvalid},
		"Plain":     {"Without TLS it does not answer.", "http://" + one.Address(), nil, vector.Unavailable},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := open(t, vector.Config{Endpoint: tc.endpoint, TLS: tc.tls})
			_, err := d.Describe(t.Context(), spec().Name)

			// A server that hangs up on our certificate sometimes does so before it is read why: then it is only down, until
			// somebody asks again.
			for end := time.Now().Add(10 * time.Second); name == "Ours" && vector.Is(err, vector.Unavailable) && time.Now().Before(end); {
				_, err = d.Describe(t.Context(), spec().Name)
			}

			if diff := cmp.Diff(tc.want, vector.KindOf(err)); diff != "" {
				t.Errorf("%s\n-want, +got kind: %s\n%v", tc.reason, diff, err)
			}
		})
	}
}
