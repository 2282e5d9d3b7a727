package keda

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/types"

	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"

	pb "github.com/southwest-ai/agent-operator/internal/controller/keda/externalscaler"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	pool = types.NamespacedName{Namespace: "team-a", Name: "coder"}
	ref  = &pb.ScaledObjectRef{Namespace: "team-a", Name: "coder"}
)

// What may still be written is what is asked for, and what was lately.
func TestAsked(t *testing.T) {
	now := time.Unix(1000, 0)
	d := newDemands(func() time.Time { return now })

	want := func(why string, sizes ...int) {
		t.Helper()

		if diff := cmp.Diff(sizes, d.Asked(pool)); diff != "" {
			t.Errorf("%s\n-want, +got:\n%s", why, diff)
		}
	}

	want("just after a start it may have been any size", 0)
	d.Ask(pool, 5)
	want("what is asked for is added to that", 0, 5)

	now = now.Add(lasting)

	want("after a while only what is asked for counts", 5)
	d.Ask(pool, 3)

	now = now.Add(lasting / 2)

	d.Ask(pool, 8)
	d.Ask(pool, 8)
	want("what was asked for before counts on", 5, 3, 8)

	now = now.Add(lasting / 2)

	want("and is over in the order in which it was", 3, 8)

	for i := range 1000 {
		d.Ask(pool, i%4)
	}

	want("a size that was asked for often counts once", 8, 3, 0, 1, 2, 3)
	d.Forget(pool)
	want("nothing is asked for")
	d.Forget(pool)
}

// serve returns the address of a server, and what ends it.
func serve(t *testing.T, s *Server) (string, func()) {
	t.Helper()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)

	go func() { done <- s.serve(ctx, l) }()

	ended := false
	end := func() {
		if ended {
			return
		}

		ended = true

		cancel()

		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(end)

	return l.Addr().String(), end
}

func dial(t *testing.T, addr string, creds credentials.TransportCredentials) pb.ExternalScalerClient {
	t.Helper()

	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = conn.Close() })

	return pb.NewExternalScalerClient(conn)
}

// KEDA is told a size that is known, and nothing of one that is not.
func TestServer(t *testing.T) {
	d := NewDemands()
	addr, _ := serve(t, NewServer(d, "", "", logging.NewNopLogger()))
	c := dial(t, addr, insecure.NewCredentials())

	spec, err := c.GetMetricSpec(t.Context(), ref)
	if err != nil || len(spec.GetMetricSpecs()) != 1 || spec.GetMetricSpecs()[0].GetTargetSize() != 1 || spec.GetMetricSpecs()[0].GetTargetSizeFloat() != 1 {
		t.Fatalf("GetMetricSpec(...) = %v, %v: a worker must carry one", spec, err)
	}

	get := func(name string) (*pb.GetMetricsResponse, error) {
		return c.GetMetrics(t.Context(), &pb.GetMetricsRequest{ScaledObjectRef: ref, MetricName: name})
	}
	name := spec.GetMetricSpecs()[0].GetMetricName()

	if _, err := get(name); status.Code(err) != codes.Unavailable {
		t.Errorf("the size of a pool that is not known: %v", err)
	}

	if _, err := c.IsActive(t.Context(), ref); status.Code(err) != codes.Unavailable {
		t.Errorf("whether a pool that is not known is active: %v", err)
	}

	d.Ask(pool, 7)

	if got, err := get(name); err != nil || got.GetMetricValues()[0].GetMetricValue() != 7 || got.GetMetricValues()[0].GetMetricValueFloat() != 7 || got.GetMetricValues()[0].GetMetricName() != name {
		t.Errorf("GetMetrics(...) = %v, %v, want 7", got, err)
	}

	if _, err := get("other"); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a metric that there is not: %v", err)
	}

	for n, want := range map[int]bool{0: false, 3: true} {
		d.Ask(pool, n)

		if got, err := c.IsActive(t.Context(), ref); err != nil || got.GetResult() != want {
			t.Errorf("IsActive(...) with %d = %v, %v, want %t", n, got, err, want)
		}
	}

	d.Forget(pool)

	if _, err := get(name); status.Code(err) != codes.Unavailable {
		t.Errorf("the size of a pool that is forgotten: %v", err)
	}
}

// KEDA hears at once when a pool is to have workers or none, of pools that are not known yet too, and of the server's end.
func TestStreams(t *testing.T) {
	d := NewDemands()
	addr, end := serve(t, NewServer(d, "", "", logging.NewNopLogger()))
	c := dial(t, addr, insecure.NewCredentials())

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()

	s, err := c.StreamIsActive(ctx, ref)
	if err != nil {
		t.Fatal(err)
	}

	d.Ask(pool, 2)

	hear := func(want bool) {
		t.Helper()

		if got, err := s.Recv(); err != nil || got.GetResult() != want {
			t.Fatalf("it hears %v, %v, want %t", got, err, want)
		}
	}

	hear(true)
	// Another size is none of a stream's news.
	d.Ask(pool, 3)
	d.Ask(pool, 0)
	hear(false)
	d.Forget(pool)
	d.Ask(pool, 1)
	hear(true)
	end()

	if _, err := s.Recv(); err == nil || ctx.Err() != nil {
		t.Errorf("the stream goes on after the server's end: %v", err)
	}
}

// More pools than there is room for are told so.
func TestStreamsAreBounded(t *testing.T) {
	s := NewServer(NewDemands(), "", "", logging.NewNopLogger())
	s.streams = make(chan struct{}, 1)
	s.streams <- struct{}{}

	addr, _ := serve(t, s)

	stream, err := dial(t, addr, insecure.NewCredentials()).StreamIsActive(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}

	if _, err := stream.Recv(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one stream too many: %v", err)
	}
}

// With a certificate the server speaks TLS, and with an authority it wants one of its caller.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	certify(t, dir)

	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"))
	if err != nil {
		t.Fatal(err)
	}

	roots := x509.NewCertPool()
	ca, _ := os.ReadFile(filepath.Join(dir, "tls.crt"))
	roots.AppendCertsFromPEM(ca)

	with := func(certs ...tls.Certificate) credentials.TransportCredentials {
		return credentials.NewTLS(&tls.Config{RootCAs: roots, Certificates: certs, MinVersion: tls.VersionTLS12})
	}

	addr, _ := serve(t, NewServer(NewDemands(), "", dir, logging.NewNopLogger()))

	ask := func(creds credentials.TransportCredentials) error {
		_, err := dial(t, addr, creds).GetMetricSpec(t.Context(), ref)

		return err
	}

	if err := ask(with()); err != nil {
		t.Errorf("by TLS: %v", err)
	}

	if err := ask(insecure.NewCredentials()); err == nil {
		t.Error("who speaks no TLS is answered")
	}

	// The certificate is its own authority.
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), ca, 0o600); err != nil {
		t.Fatal(err)
	}

	if err := ask(with()); err == nil {
		t.Error("who has no certificate is answered")
	}

	if err := ask(with(pair)); err != nil {
		t.Errorf("with a certificate: %v", err)
	}

	if err := NewServer(NewDemands(), "127.0.0.1:0", t.TempDir(), logging.NewNopLogger()).Start(t.Context()); err == nil {
		t.Error("a server without the certificate that it should have starts")
	}
}

// certify writes a certificate that signs itself.
func certify(t *testing.T, dir string) {
	t.Helper()

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}

	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}

	k, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}

	for name, b := range map[string]*pem.Block{"tls.crt": {Type: "CERTIFICATE", Bytes: der}, "tls.key": {Type: "PRIVATE KEY", Bytes: k}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
