package vector

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestKindOf(t *testing.T) {
	cases := map[string]struct {
		reason string
		err    error
		want   Kind
	}{
		"Nil":      {reason: "No error has no kind."},
		"Given":    {reason: "The kind that was given counts.", err: Errorf(QuotaExceeded, "no room"), want: QuotaExceeded},
		"Wrapped":  {reason: "Wrapping keeps it.", err: fmt.Errorf("cannot: %w", Errorf(Exists, "there")), want: Exists},
		"Outer":    {reason: "Who wraps may know better.", err: Errorf(Invalid, "bad endpoint: %w", context.DeadlineExceeded), want: Invalid},
		"Deadline": {reason: "Waiting has an end.", err: fmt.Errorf("cannot: %w", context.DeadlineExceeded), want: Unavailable},
		"Canceled": {reason: "So has our patience.", err: context.Canceled, want: Unavailable},
		"Unknown":  {reason: "We do not guess.", err: errors.New("huh"), want: Unknown},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := KindOf(tc.err); got != tc.want {
				t.Errorf("%s\ngot %q, want %q", tc.reason, got, tc.want)
			}

			if Is(tc.err, tc.want) != (tc.err != nil) {
				t.Errorf("%s\nIs does not say so", tc.reason)
			}
		})
	}
}

// TestKindOfNetworkErrors asks real servers.
func TestKindOfNetworkErrors(t *testing.T) {
	ca := newAuthority(t)
	now := time.Now()
	good := ca.issue(t, "127.0.0.1", now.Add(time.Hour))

	cases := map[string]struct {
		reason string
		server *tls.Config
		roots  *x509.CertPool
		want   Kind
	}{
		"Trusted":    {reason: "The servers here can be reached.", server: &tls.Config{Certificates: []tls.Certificate{good}}, roots: ca.pool},
		"Untrusted":  {reason: "An authority that we do not know.", server: &tls.Config{Certificates: []tls.Certificate{good}}, roots: x509.NewCertPool(), want: CertificateInvalid},
		"Expired":    {reason: "A certificate of yesterday.", server: &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "127.0.0.1", now.Add(-time.Hour))}}, roots: ca.pool, want: CertificateInvalid},
		"OtherName":  {reason: "Another's certificate.", server: &tls.Config{Certificates: []tls.Certificate{ca.issue(t, "127.0.0.2", now.Add(time.Hour))}}, roots: ca.pool, want: CertificateInvalid},
		"Ours":       {reason: "The server wants one of us, and we have none.", server: &tls.Config{Certificates: []tls.Certificate{good}, ClientAuth: tls.RequireAnyClientCert}, roots: ca.pool, want: CertificateInvalid},
		"OldVersion": {reason: "An alert that is not about certificates.", server: &tls.Config{Certificates: []tls.Certificate{good}, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, roots: ca.pool, want: Unavailable},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			srv := httptest.NewUnstartedServer(http.NotFoundHandler())
			srv.Config.ErrorLog = log.New(io.Discard, "", 0)
			srv.TLS = tc.server
			srv.StartTLS()
			t.Cleanup(srv.Close)

			if err := get(t, srv.URL, tc.roots); KindOf(err) != tc.want {
				t.Errorf("%s\ngot %q, want %q: %v", tc.reason, KindOf(err), tc.want, err)
			}
		})
	}

	t.Run("Down", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}

		l.Close()

		if err := get(t, "https://"+l.Addr().String(), ca.pool); KindOf(err) != Unavailable {
			t.Errorf("got %q: %v", KindOf(err), err)
		}
	})
}

func get(t *testing.T, url string, roots *x509.CertPool) error {
	t.Helper()

	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	defer tr.CloseIdleConnections()

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}

	res, err := tr.RoundTrip(req)
	if err != nil {
		return err
	}

	return res.Body.Close()
}

// An authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority(t *testing.T) authority {
	t.Helper()

	a := authority{key: newKey(t), pool: x509.NewCertPool(), cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}}

	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}

	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}

	a.pool.AddCert(a.cert)

	return a
}

func (a authority) issue(t *testing.T, ip string, until time.Time) tls.Certificate {
	t.Helper()

	key := newKey(t)
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), IPAddresses: []net.IP{net.ParseIP(ip)}, NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}

	der, err := x509.CreateCertificate(rand.Reader, tpl, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}

	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()

	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	return k
}
