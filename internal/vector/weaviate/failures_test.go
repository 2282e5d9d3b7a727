//go:build integration

package weaviate

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/vectortest/servers"
)

// TestFailures has the real server behind what makes calls fail.
func TestFailures(t *testing.T) {
	s := servers.Weaviate(t, guarded...)
	a := newAgent(t, s, root)

	if err := a.Create(t.Context(), vector.Spec{Name: "there", Properties: vector.Properties{Dim: 8}}); err != nil {
		t.Fatal(err)
	}

	if err := a.PointAlias(t.Context(), "alias", "there"); err != nil {
		t.Fatal(err)
	}

	t.Run("TLS", func(t *testing.T) { testTLS(t, s.REST) })
	t.Run("Access", func(t *testing.T) { testAccess(t, s.REST) })
	t.Run("Slow", func(t *testing.T) { testSlow(t, s.REST) })
	t.Run("CloseUnderWay", func(t *testing.T) { testCloseUnderWay(t, s.REST) })
	t.Run("Drift", func(t *testing.T) { testDrift(t, a) })
	t.Run("Import", func(t *testing.T) { testImport(t, a) })
	t.Run("Stolen", func(t *testing.T) { testStolen(t, a) })
	t.Run("FlatLater", func(t *testing.T) { testFlatLater(t, a) })
	t.Run("OtherCase", func(t *testing.T) { testOtherCase(t, a) })
	t.Run("TooManyReplicas", func(t *testing.T) { testTooManyReplicas(t, a) })
	t.Run("Grants", func(t *testing.T) { testGrants(t, s, a) })
}

// before returns a handler in front of the server that lets through what h does not answer, and shows the answers to see.
func before(t *testing.T, endpoint string, h func(http.ResponseWriter, *http.Request) bool, see func(*http.Response) error) http.Handler {
	t.Helper()

	u, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}

	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)

	p := &httputil.ReverseProxy{Transport: transport, ModifyResponse: see, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u) }}

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
			s := httptest.NewUnstartedServer(before(t, endpoint, nil, nil))
			s.TLS = &tls.Config{Certificates: []tls.Certificate{tc.serves}}
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.StartTLS()
			t.Cleanup(s.Close)

			d := open(t, vector.Config{Endpoint: s.URL, TLS: tc.trusts, Access: root})

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
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "weaviate"},
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

// calls are one of each, of which none changes anything if it is refused.
func calls(ctx context.Context, d *driver) map[string]error {
	sp := vector.Spec{Name: "there", Owner: "next", Properties: vector.Properties{Dim: 8}}
	_, describe := d.Describe(ctx, sp.Name)
	_, grant := d.Grant(ctx, vector.Grant{Login: "l", Collections: []string{sp.Name}}, vector.Access{})

	return map[string]error{
		"Describe":   describe,
		"Create":     d.Create(ctx, vector.Spec{Name: "new", Properties: sp.Properties}),
		"Alter":      d.Alter(ctx, sp, vector.State{}),
		"Drop":       d.Drop(ctx, sp.Name),
		"PointAlias": d.PointAlias(ctx, "alias", sp.Name),
		"DropAlias":  d.DropAlias(ctx, "alias"),
		"Grant":      grant,
		"Revoke":     d.Revoke(ctx, "l"),
	}
}

func testAccess(t *testing.T, endpoint string) {
	t.Helper()

	all := func(k vector.Kind, except map[string]vector.Kind) map[string]vector.Kind {
		out := map[string]vector.Kind{}
		for _, c := range []string{"Describe", "Create", "Alter", "Drop", "PointAlias", "DropAlias", "Grant", "Revoke"} {
			out[c] = k
		}

		for c, k := range except {
			out[c] = k
		}

		return out
	}

	cases := map[string]struct {
		reason string
		key    string
		want   map[string]vector.Kind
	}{
		"Nothing":  {"Who brings nothing is not let in.", "", all(vector.Unauthenticated, map[string]vector.Kind{"Grant": vector.Unsupported, "Revoke": ""})},
		"WrongKey": {"Nor is who brings a wrong key.", "yek", all(vector.Unauthenticated, nil)},
		"NoRights": {"Who is known may still do nothing.", "key-of-nobody", all(vector.PermissionDenied, nil)},
		"ReadOnly": {"Who may look may not write.", "key-of-viewer", all(vector.PermissionDenied, map[string]vector.Kind{"Describe": ""})},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := map[string]vector.Kind{}
			errs := calls(t.Context(), open(t, vector.Config{Endpoint: endpoint, Access: vector.Access{APIKey: tc.key}}))

			for call, err := range errs {
				got[call] = vector.KindOf(err)
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("\n%s\n-want, +got kinds of %v:\n%s", tc.reason, errs, diff)
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
	}, nil))
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

// TestFull has a server that allows one collection, makes no logins and has no GraphQL.
func TestFull(t *testing.T) {
	s := servers.Weaviate(t, "AUTHENTICATION_ANONYMOUS_ACCESS_ENABLED=true", "MAXIMUM_ALLOWED_COLLECTIONS_COUNT=1",
		"DISABLE_GRAPHQL=true", "PERSISTENCE_MEMTABLES_FLUSH_DIRTY_AFTER_SECONDS=1", "PERSISTENCE_MAX_REUSE_WAL_SIZE=0")
	a := newAgent(t, s, vector.Access{})
	sp := vector.Spec{Name: "first", Owner: "o", Properties: vector.Properties{Dim: 8}}

	if err := a.Create(t.Context(), sp); err != nil {
		t.Fatal(err)
	}

	err := a.Create(t.Context(), vector.Spec{Name: "second", Properties: sp.Properties})
	if !vector.Is(err, vector.QuotaExceeded) {
		t.Errorf("the second collection: got %v, want an error of kind %s", err, vector.QuotaExceeded)
	}

	if _, err := a.Grant(t.Context(), vector.Grant{Login: "l", Collections: []string{sp.Name}}, vector.Access{}); !vector.Is(err, vector.Unsupported) {
		t.Errorf("a login: got %v, want an error of kind %s", err, vector.Unsupported)
	}

	if err := a.Revoke(t.Context(), "l"); err != nil {
		t.Errorf("that there is no login is an error: %v", err)
	}

	if st := describe(t, a.driver, sp.Name); st.Vectors == nil || *st.Vectors != 0 || st.Approximate {
		t.Errorf("that there is no vector is not seen: %+v", st)
	}

	if err := a.insert(t.Context(), sp.Name, vector.Access{}, 3, 2); err != nil {
		t.Fatal(err)
	}

	if st := describe(t, a.driver, sp.Name); st.Dim != 3 {
		t.Errorf("got dimension %d, want that of the vectors, 3", st.Dim)
	}

	// The nodes count what is on disk.
	var st vector.State
	for end := time.Now().Add(time.Minute); st.Vectors == nil; <-time.After(50 * time.Millisecond) {
		if st = describe(t, a.driver, sp.Name); time.Now().After(end) {
			t.Fatal("the nodes count nothing")
		}
	}

	if *st.Vectors != 2 || !st.Approximate {
		t.Errorf("got %d vectors and approximate %v, want 2 and true", *st.Vectors, st.Approximate)
	}
}

// TestNoRoles has a server that makes users and no roles, and says that it makes both.
func TestNoRoles(t *testing.T) {
	s := servers.Weaviate(t, "AUTHENTICATION_APIKEY_ENABLED=true", "AUTHENTICATION_APIKEY_ALLOWED_KEYS=key-of-root",
		"AUTHENTICATION_APIKEY_USERS=root", "AUTHENTICATION_DB_USERS_ENABLED=true")
	d := open(t, vector.Config{Endpoint: s.REST, Access: root})

	_, err := d.Grant(t.Context(), vector.Grant{Login: "l", Collections: []string{"c"}}, vector.Access{})
	if !vector.Is(err, vector.Unsupported) {
		t.Errorf("got %v, want an error of kind %s", err, vector.Unsupported)
	}

	if err := d.do(t.Context(), http.MethodGet, "/users/db/"+userName("l"), nil, nil); !vector.Is(err, vector.NotFound) {
		t.Errorf("a user that may do everything was left behind: %v", err)
	}

	if err := d.Revoke(t.Context(), "l"); err != nil {
		t.Errorf("that there is no login is an error: %v", err)
	}
}
