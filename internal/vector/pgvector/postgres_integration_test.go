//go:build integration

package pgvector

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
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/vectortest/servers"
)

// A world is a PostgreSQL without pgvector, as its superuser sees it.
type world struct {
	servers.PostgreSQLServer

	roots *x509.CertPool
}

func (w world) config(parameters string, a vector.Access) vector.Config {
	return vector.Config{Endpoint: w.Endpoint(parameters), Access: a}
}

// provider is what docs/memory.md asks for, and no more: it may make schemas and roles.
func (w world) provider() vector.Access {
	return vector.Access{User: "provider", Password: "of the provider"}
}

func (w world) root() vector.Access { return vector.Access{User: "postgres", Password: w.Password} }

func (w world) open(t *testing.T, c vector.Config) *driver {
	t.Helper()

	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(d.Close)

	return d.(*driver)
}

// as runs a statement as somebody, and returns the SQLSTATE it was refused with.
func (w world) as(t *testing.T, a vector.Access, sql string) string {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()

	c, err := pgx.ParseConfig(w.Endpoint("sslmode=disable"))
	if err != nil {
		t.Fatal(err)
	}

	c.User, c.Password = a.User, a.Password

	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return "cannot connect"
	}
	defer conn.Close(ctx)

	if _, err := conn.Exec(ctx, sql); err != nil {
		_, state, _ := strings.Cut(err.Error(), "SQLSTATE ")

		return strings.TrimSuffix(state, ")")
	}

	return ""
}

// TestPostgreSQL holds what PGlite does not check against PostgreSQL itself: logins, rights and certificates.
func TestPostgreSQL(t *testing.T) {
	certificate, key, roots := selfSigned(t, time.Now().Add(time.Hour))
	w := world{PostgreSQLServer: servers.PostgreSQL(t, certificate, key), roots: roots}

	for _, sql := range []string{"CREATE ROLE provider LOGIN CREATEROLE PASSWORD 'of the provider'", "GRANT CREATE ON DATABASE postgres TO provider"} {
		if state := w.as(t, w.root(), sql); state != "" {
			t.Fatalf("%s: %s", sql, state)
		}
	}

	t.Run("Grants", w.testGrants)
	t.Run("Aliases", w.testGrantsFollowAliases)
	t.Run("Refusals", w.testRefusals)
	t.Run("TLS", w.testTLS)
}

// collections makes tables where collections would be: the login is the same whatever the type of a column.
func (w world) collections(t *testing.T, names ...string) {
	t.Helper()

	for _, n := range names {
		sql := "CREATE SCHEMA " + identifier(n) + "; CREATE TABLE " + tableOf(n).sql() + " (id text PRIMARY KEY)"
		if state := w.as(t, w.provider(), sql); state != "" {
			t.Fatalf("%s: %s", sql, state)
		}
	}
}

func (w world) testGrants(t *testing.T) {
	d := w.open(t, w.config("sslmode=disable", w.provider()))
	w.collections(t, "mine", "next", `the "other"; DROP`)

	g := vector.Grant{Login: `team-a-"pool"`, Collections: []string{"mine"}}

	first, err := d.Grant(t.Context(), g, vector.Access{})
	if err != nil {
		t.Fatal(err)
	}

	const refused = "42501"

	check := func(a vector.Access, want map[string]string) {
		t.Helper()

		got := map[string]string{}
		for sql := range want {
			got[sql] = w.as(t, a, sql)
		}

		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("what the login may do: -want, +got:\n%s", diff)
		}
	}

	check(first, map[string]string{
		"INSERT INTO mine VALUES ('1')":                           "",
		"SELECT id FROM mine.mine":                                "",
		"UPDATE mine SET id = '2'":                                "",
		"DELETE FROM mine":                                        "",
		"DROP TABLE mine.mine":                                    refused,
		"TRUNCATE mine.mine":                                      refused,
		"CREATE TABLE mine.more (id int)":                         refused,
		"CREATE SCHEMA own":                                       refused,
		"CREATE ROLE friend":                                      refused,
		"SELECT FROM next.next":                                   refused,
		`SELECT FROM "the ""other""; DROP"."the ""other""; DROP"`: refused,
	})

	again, err := d.Grant(t.Context(), g, first)
	if diff := cmp.Diff(first, again); err != nil || diff != "" {
		t.Errorf("the login works and is given out anew: %v:\n%s", err, diff)
	}

	g.Collections = []string{"next", `the "other"; DROP`}

	moved, err := d.Grant(t.Context(), g, again)
	if diff := cmp.Diff(first, moved); err != nil || diff != "" {
		t.Errorf("a login that reaches something else is another one: %v:\n%s", err, diff)
	}

	check(moved, map[string]string{"SELECT FROM mine.mine": refused, "SELECT FROM next": "", `DELETE FROM "the ""other""; DROP"`: ""})

	lost, err := d.Grant(t.Context(), g, vector.Access{})
	if err != nil || lost.Password == first.Password {
		t.Errorf("a lost password is given out again: %v", err)
	}

	check(first, map[string]string{"SELECT 1": "cannot connect"})
	check(lost, map[string]string{"SELECT FROM next": ""})

	for range 2 {
		if err := d.Revoke(t.Context(), g.Login); err != nil {
			t.Fatal(err)
		}
	}

	check(lost, map[string]string{"SELECT 1": "cannot connect"})

	if state := w.as(t, w.root(), `CREATE ROLE theirs LOGIN`); state != "" {
		t.Fatal(state)
	}

	if _, err := d.Grant(t.Context(), vector.Grant{Login: "theirs", Collections: []string{"mine"}}, vector.Access{}); !vector.Is(err, vector.Exists) {
		t.Errorf("a role of others is taken for ours: %v", err)
	}

	if err := d.Revoke(t.Context(), "theirs"); err != nil || w.as(t, w.root(), "COMMENT ON ROLE theirs IS 'still there'") != "" {
		t.Errorf("a role of others is removed: %v", err)
	}
}

// testGrantsFollowAliases: whoever may use an alias may still use it once it points to something else.
func (w world) testGrantsFollowAliases(t *testing.T) {
	d := w.open(t, w.config("sslmode=disable", w.provider()))
	w.collections(t, "blue", "green")

	if err := d.PointAlias(t.Context(), "colour", "blue"); err != nil {
		t.Fatal(err)
	}

	a, err := d.Grant(t.Context(), vector.Grant{Login: "painter", Collections: []string{"blue", "green"}, Aliases: []string{"colour"}}, vector.Access{})
	if err != nil {
		t.Fatal(err)
	}

	for _, to := range []string{"green", "blue"} {
		if err := d.PointAlias(t.Context(), "colour", to); err != nil {
			t.Fatal(err)
		}

		if state := w.as(t, a, "INSERT INTO colour VALUES ('"+to+"')"); state != "" {
			t.Errorf("the alias points to %s and the login is refused: %s", to, state)
		}

		if state := w.as(t, w.root(), "DO $$ BEGIN IF NOT EXISTS (SELECT FROM "+to+"."+to+" WHERE id = '"+to+"') THEN RAISE EXCEPTION 'none'; END IF; END $$"); state != "" {
			t.Errorf("what was written by the alias is not in %s", to)
		}
	}

	if err := d.PointAlias(t.Context(), "blue", "green"); !vector.Is(err, vector.Exists) {
		t.Errorf("the name of a collection is taken for an alias: %v", err)
	}

	if err := d.DropAlias(t.Context(), "blue"); err != nil || w.as(t, w.root(), "SELECT FROM blue.blue") != "" {
		t.Errorf("dropping what is no alias drops a collection: %v", err)
	}
}

func (w world) testRefusals(t *testing.T) {
	if state := w.as(t, w.root(), "CREATE ROLE nobody LOGIN PASSWORD 'nothing'"); state != "" {
		t.Fatal(state)
	}

	hanging := hangs(t)
	nobody := vector.Access{User: "nobody", Password: "nothing"}
	cases := map[string]struct {
		reason string
		config vector.Config
		want   vector.Kind
	}{
		"WrongPassword": {"The password is wrong.", w.config("sslmode=disable", vector.Access{User: "postgres", Password: "guess"}), vector.Unauthenticated},
		"NoSuchRole":    {"The server does not say whether it is the name or the password.", w.config("sslmode=disable", vector.Access{User: "ghost", Password: "guess"}), vector.Unauthenticated},
		"NoExtension":   {"PostgreSQL is there and pgvector is not.", w.config("sslmode=disable", w.root()), vector.Unsupported},
		"NoDatabase":    {"There is no such database.", vector.Config{Endpoint: strings.Replace(w.Endpoint("sslmode=disable"), "/postgres?", "/nowhere?", 1), Access: w.root()}, vector.Invalid},
		"Down":          {"Nobody listens.", vector.Config{Endpoint: "postgres://127.0.0.1:1/postgres?sslmode=disable", Access: w.root()}, vector.Unavailable},
		"Slow":          {"The server accepts and says nothing.", vector.Config{Endpoint: "postgres://" + hanging + "/postgres?sslmode=disable", Access: w.root()}, vector.Unavailable},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()

			err := w.open(t, tc.config).Create(ctx, vector.Spec{Name: "refused", Properties: vector.Properties{Dim: 3}})
			if !vector.Is(err, tc.want) {
				t.Errorf("\n%s\nCreate: %s: %v, want %s", tc.reason, vector.KindOf(err), err, tc.want)
			}

			for _, secret := range []string{w.Password, "guess", "nothing"} {
				if err != nil && strings.Contains(err.Error(), secret) {
					t.Errorf("the error tells a password: %v", err)
				}
			}
		})
	}

	// A login that may not see a collection is not told that there is none.
	if _, err := w.open(t, w.config("sslmode=disable", nobody)).Describe(t.Context(), "blue"); !vector.Is(err, vector.PermissionDenied) {
		t.Errorf("Describe without rights: %s: %v", vector.KindOf(err), err)
	}

	if err := w.open(t, w.config("sslmode=disable", nobody)).PointAlias(t.Context(), "mine-too", "blue"); !vector.Is(err, vector.PermissionDenied) {
		t.Errorf("PointAlias without rights: %s: %v", vector.KindOf(err), err)
	}

	if state := w.as(t, w.root(), "SELECT FROM refused.refused"); state != "42P01" {
		t.Errorf("a refused creation left something behind: %q", state)
	}
}

func (w world) testTLS(t *testing.T) {
	_, _, others := selfSigned(t, time.Now().Add(time.Hour))
	cert, key, ofExpired := selfSigned(t, time.Now().Add(-time.Minute))
	expired := world{PostgreSQLServer: servers.PostgreSQL(t, cert, key)}

	cases := map[string]struct {
		reason string
		config vector.Config
		trusts *tls.Config
		want   vector.Kind
	}{
		"Trusted":   {"The certificate is of an authority that we were given.", w.config("sslmode=verify-full", w.root()), &tls.Config{RootCAs: w.roots}, vector.NotFound},
		"Untrusted": {"It is of another one.", w.config("sslmode=verify-full", w.root()), &tls.Config{RootCAs: others}, vector.CertificateInvalid},
		"System":    {"Those of the system do not know it.", w.config("sslmode=verify-full", w.root()), nil, vector.CertificateInvalid},
		"Expired":   {"It was good until a minute ago.", expired.config("sslmode=verify-full", expired.root()), &tls.Config{RootCAs: ofExpired}, vector.CertificateInvalid},
		"Skipped":   {"Nobody looks.", expired.config("sslmode=require", expired.root()), &tls.Config{InsecureSkipVerify: true}, vector.NotFound},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.config.TLS = tc.trusts

			_, err := w.open(t, tc.config).Describe(t.Context(), "nothing")
			if !vector.Is(err, tc.want) {
				t.Errorf("\n%s\nDescribe: %s: %v, want %s", tc.reason, vector.KindOf(err), err, tc.want)
			}
		})
	}
}

// hangs returns an address where connections are accepted and nothing is said.
func hangs(t *testing.T) string {
	t.Helper()

	lis, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { lis.Close() })

	return lis.Addr().String()
}

// selfSigned returns a certificate for 127.0.0.1 and its key, in PEM, and the pool that trusts it.
func selfSigned(t *testing.T, until time.Time) (certificate, key []byte, roots *x509.CertPool) {
	t.Helper()

	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "postgres"},
		NotBefore: until.Add(-24 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}

	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}

	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}

	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)

	return certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), roots
}
