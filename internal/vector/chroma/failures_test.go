//go:build integration

package chroma

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/vectortest/servers"
)

// TestFailures has the real server behind what makes calls fail.
func TestFailures(t *testing.T) {
	endpoint := servers.Chroma(t, t.TempDir())
	a := newAgent(t, endpoint)

	if err := a.Create(t.Context(), vector.Spec{Name: "there", Properties: vector.Properties{Dim: 8}}); err != nil {
		t.Fatal(err)
	}

	t.Run("TLS", func(t *testing.T) { testTLS(t, endpoint) })
	t.Run("Access", func(t *testing.T) { testAccess(t, endpoint) })
	t.Run("Slow", func(t *testing.T) { testSlow(t, endpoint) })
	t.Run("CloseUnderWay", func(t *testing.T) { testCloseUnderWay(t, endpoint) })
	t.Run("Redirect", func(t *testing.T) { testRedirect(t, endpoint) })
	t.Run("NoDatabase", func(t *testing.T) { testNoDatabase(t, endpoint) })
	t.Run("Drift", func(t *testing.T) { testDrift(t, a) })
	t.Run("Metadata", func(t *testing.T) { testMetadata(t, a) })
	t.Run("Stolen", func(t *testing.T) { testStolen(t, a) })
}

// before returns a handler in front of the server that lets through what h does not answer.
func before(t *testing.T, endpoint string, h func(http.ResponseWriter, *http.Request) bool) http.Handler {
	t.Helper()

	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}

	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)

	p := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h == nil || !h(w, r) {
			p.ServeHTTP(w, r)
		}
	})
}

func testTLS(t *testing.T, endpoint string) {
	t.Helper()

	now := time.Now()
	valid, trusted := certificate(t, now.Add(time.Hour), "127.0.0.1")
	expired, ofExpired := certificate(t, now.Add(-time.Minute), "127.0.0.1")
	other, ofOther := certificate(t, now.Add(time.Hour), "127.0.0.2")

	cases := map[string]struct {
		reason string
		serves tls.Certificate
		trusts *tls.Config
		want   vector.Kind
	}{
		"Trusted":     {"A certificate of an authority that we were given is good.", valid, &tls.Config{RootCAs: trusted}, ""},
		"SystemRoots": {"Without authorities those of the system count.", valid, nil, vector.CertificateInvalid},
		"Untrusted":   {"Another authority's certificate is not.", valid, &tls.Config{RootCAs: ofOther}, vector.CertificateInvalid},
		"Expired":     {"Nor is one that has expired.", expired, &tls.Config{RootCAs: ofExpired}, vector.CertificateInvalid},
		"OtherName":   {"Nor is one of another server.", other, &tls.Config{RootCAs: ofOther}, vector.CertificateInvalid},
		"Skipped":     {"Unless nobody is to look.", expired, &tls.Config{InsecureSkipVerify: true}, ""},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(before(t, endpoint, nil))
			s.TLS = &tls.Config{Certificates: []tls.Certificate{tc.serves}}
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.StartTLS()
			t.Cleanup(s.Close)

			d := open(t, vector.Config{Endpoint: s.URL, TLS: tc.trusts})

			_, err := d.Describe(t.Context(), "there")
			if diff := cmp.Diff(tc.want, vector.KindOf(err)); diff != "" {
				t.Errorf("\n%s\n-want, +got kind of %v:\n%s", tc.reason, err, diff)
			}
		})
	}
}

// certificate returns one of its own authority, for an address.
func certificate(t *testing.T, until time.Time, address string) (tls.Certificate, *x509.CertPool) {
	t.Helper()

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "chroma"},
		NotBefore: until.Add(-2 * time.Hour), NotAfter: until,
		IPAddresses: []net.IP{net.ParseIP(address)}, IsCA: true, BasicConstraintsValid: true,
	}

	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}

	if c, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}

	pool := x509.NewCertPool()
	pool.AddCert(c)

	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func testAccess(t *testing.T, endpoint string) {
	t.Helper()

	// As a gateway before a server does, which has no logins itself.
	s := httptest.NewServer(before(t, endpoint, func(w http.ResponseWriter, r *http.Request) bool {
		user, password, _ := r.BasicAuth()

		switch {
		case r.Header.Get("X-Chroma-Token") != "key" && user+":"+password != "writer:right" && user+":"+password != "reader:right":
			w.WriteHeader(http.StatusUnauthorized)
		case user == "reader" && r.Method != http.MethodGet:
			w.WriteHeader(http.StatusForbidden)
		default:
			return false
		}

		return true
	}))
	t.Cleanup(s.Close)

	type want struct{ Read, Write vector.Kind }

	cases := map[string]struct {
		reason string
		access vector.Access
		want   want
	}{
		"Nothing":       {"Who brings nothing is not let in.", vector.Access{}, want{vector.Unauthenticated, vector.Unauthenticated}},
		"WrongKey":      {"Nor is who brings a wrong key.", vector.Access{APIKey: "yek"}, want{vector.Unauthenticated, vector.Unauthenticated}},
		"Key":           {"The right one opens.", vector.Access{APIKey: "key"}, want{}},
		"WrongPassword": {"As with passwords.", vector.Access{User: "writer", Password: "wrong"}, want{vector.Unauthenticated, vector.Unauthenticated}},
		"Password":      {"The right one opens.", vector.Access{User: "writer", Password: "right"}, want{}},
		"ReadOnly":      {"Who may look may not write.", vector.Access{User: "reader", Password: "right"}, want{"", vector.PermissionDenied}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := open(t, vector.Config{Endpoint: s.URL, Access: tc.access})
			_, read := d.Describe(t.Context(), "there")
			write := d.Create(t.Context(), vector.Spec{Name: "by-" + name, Properties: vector.Properties{Dim: 8}})

			if diff := cmp.Diff(tc.want, want{vector.KindOf(read), vector.KindOf(write)}); diff != "" {
				t.Errorf("\n%s\n-want, +got kinds of %v and %v:\n%s", tc.reason, read, write, diff)
			}
		})
	}
}

// hang returns a server that does not answer, and a channel that tells of requests.
func hang(t *testing.T, endpoint string) (string, <-chan struct{}) {
	t.Helper()

	asked := make(chan struct{}, 1)
	s := httptest.NewServer(before(t, endpoint, func(_ http.ResponseWriter, r *http.Request) bool {
		asked <- struct{}{}

		<-r.Context().Done()

		return true
	}))
	t.Cleanup(s.Close)

	return s.URL, asked
}

func testSlow(t *testing.T, endpoint string) {
	t.Helper()

	slow, _ := hang(t, endpoint)
	d := open(t, vector.Config{Endpoint: slow})

	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()

	start := time.Now()

	_, err := d.Describe(ctx, "there")
	if !vector.Is(err, vector.Unavailable) || time.Since(start) > 2*time.Second {
		t.Errorf("after %v: got %v, want an error of kind %s soon after the deadline", time.Since(start), err, vector.Unavailable)
	}
}

func testCloseUnderWay(t *testing.T, endpoint string) {
	t.Helper()

	slow, asked := hang(t, endpoint)
	d := open(t, vector.Config{Endpoint: slow})
	done := make(chan error)

	go func() {
		_, err := d.Describe(context.Background(), "there")
		done <- err
	}()

	<-asked
	d.Close()

	if err := <-done; !vector.Is(err, vector.Unavailable) {
		t.Errorf("got %v, want an error of kind %s", err, vector.Unavailable)
	}
}

func testRedirect(t *testing.T, endpoint string) {
	t.Helper()

	s := httptest.NewServer(http.RedirectHandler(endpoint, http.StatusTemporaryRedirect))
	t.Cleanup(s.Close)

	_, err := open(t, vector.Config{Endpoint: s.URL}).Describe(t.Context(), "there")
	if !vector.Is(err, vector.Invalid) || !strings.Contains(err.Error(), endpoint) {
		t.Errorf("got %v, want an error of kind %s that says where to", err, vector.Invalid)
	}
}

func testNoDatabase(t *testing.T, endpoint string) {
	t.Helper()

	d := open(t, vector.Config{Endpoint: endpoint + "/default_tenant/missing"})

	err := d.Create(t.Context(), vector.Spec{Name: "memory", Properties: vector.Properties{Dim: 8}})
	if !vector.Is(err, vector.Invalid) || !strings.Contains(err.Error(), "missing") {
		t.Errorf("got %v, want an error of kind %s that names the database", err, vector.Invalid)
	}
}

// testDrift: an agent was first with vectors of another dimension, and somebody set another m.
func testDrift(t *testing.T, a *agent) {
	t.Helper()

	want := vector.Spec{Name: "drift", Owner: "o", Properties: vector.Properties{Dim: 8, M: number(12)}}
	if err := a.Create(t.Context(), want); err != nil {
		t.Fatal(err)
	}

	if err := a.insert(t.Context(), want.Name, 3, 1); err != nil {
		t.Fatal(err)
	}

	c, err := a.get(t.Context(), want.Name)
	if err != nil {
		t.Fatal(err)
	}

	change := update{Configuration: &configuration{HNSW: &hnsw{MaxNeighbors: number(40)}}}
	if err := a.do(t.Context(), http.MethodPut, "/"+c.ID, change, nil); err != nil {
		t.Fatal(err)
	}

	have, err := a.Describe(t.Context(), want.Name)
	if err != nil {
		t.Fatal(err)
	}

	immutable := []vector.Change{{Property: "dim", Want: "8", Have: "3"}, {Property: "index.m", Want: "12", Have: "40"}}
	if diff := cmp.Diff(vector.Difference{Immutable: immutable}, Features.Compare(want, have)); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

// testMetadata: what others keep with a collection stays.
func testMetadata(t *testing.T, a *agent) {
	t.Helper()

	theirs := metadata{"hnsw:space": []byte(`"cosine"`), "n": []byte(`1.0`), "i": []byte(`9007199254740993`), "on": []byte(`true`)}
	if err := a.do(t.Context(), http.MethodPost, "", map[string]any{"name": "theirs", "metadata": theirs}, nil); err != nil {
		t.Fatal(err)
	}

	have, err := a.Describe(t.Context(), "theirs")
	if err != nil {
		t.Fatal(err)
	}

	want := vector.Spec{Name: "theirs", Owner: "o", Properties: vector.Properties{Dim: 8, Distance: vector.Cosine, Ef: number(77)}}
	if err := a.Alter(t.Context(), want, have); err != nil {
		t.Fatal(err)
	}

	c, err := a.get(t.Context(), "theirs")
	if err != nil {
		t.Fatal(err)
	}

	theirs[keyOwner], theirs[keyDim] = []byte(`"o"`), []byte(`8`)
	if diff := cmp.Diff(theirs, c.Metadata); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}

	if have, err = a.Describe(t.Context(), "theirs"); err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(vector.Difference{}, Features.Compare(want, have)); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}

// testStolen: between our looking and our writing somebody else made the collection theirs.
func testStolen(t *testing.T, a *agent) {
	t.Helper()

	if err := a.Create(t.Context(), vector.Spec{Name: "stolen", Owner: "thief", Properties: vector.Properties{Dim: 8}}); err != nil {
		t.Fatal(err)
	}

	want := vector.Spec{Name: "stolen", Owner: "us", Properties: vector.Properties{Dim: 8}}
	if err := a.Alter(t.Context(), want, vector.State{Owner: ""}); !vector.Is(err, vector.Owned) {
		t.Errorf("got %v, want an error of kind %s", err, vector.Owned)
	}

	if have, err := a.Describe(t.Context(), "stolen"); err != nil || have.Owner != "thief" {
		t.Errorf("the owner is %q (%v), want the one that was first", have.Owner, err)
	}
}

// TestFull has a server on a disk that is too small.
func TestFull(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skipf("cannot make a small disk, which only root may: %v", err)
	}

	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})

	d := open(t, vector.Config{Endpoint: servers.Chroma(t, dir)})

	for n := range 10_000 {
		err := d.Create(t.Context(), vector.Spec{Name: fmt.Sprint("c-", n), Owner: strings.Repeat("x", 256), Properties: vector.Properties{Dim: 8}})
		if err == nil {
			continue
		}

		if !vector.Is(err, vector.QuotaExceeded) {
			t.Errorf("collection %d: got %v (%s), want an error of kind %s", n, err, vector.KindOf(err), vector.QuotaExceeded)
		}

		if _, err := d.Describe(t.Context(), "c-0"); err != nil {
			t.Errorf("what is there cannot be seen: %v", err)
		}

		return
	}

	t.Error("the disk does not fill up")
}
