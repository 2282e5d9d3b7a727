package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"testing"
	"time"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func leaf() Leaf {
	return Leaf{
		Name: "server", CommonName: "someone", Organizations: []string{"a", "b"},
		DNSNames: []string{"localhost"}, IPs: []net.IP{net.ParseIP("127.0.0.1")},
	}
}

func TestEnsureIssuesWhatVerifies(t *testing.T) {
	d := Dir(t.TempDir())
	a, err := d.EnsureAuthority("ca", now)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Ensure(leaf(), now); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(d.Cert("server"), d.Key("server"))
	if err != nil {
		t.Fatalf("the certificate and its key do not match: %v", err)
	}
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(d.Cert("ca"))
	if err != nil {
		t.Fatal(err)
	}
	roots.AppendCertsFromPEM(pem)
	for _, name := range []string{"localhost", "127.0.0.1"} {
		_, err := pair.Leaf.Verify(x509.VerifyOptions{
			DNSName: name, Roots: roots, CurrentTime: now,
			KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		})
		if err != nil {
			t.Errorf("Verify(%s): %v", name, err)
		}
	}
	info, err := os.Stat(d.Key("server"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("others can read the key: %s", info.Mode())
	}
}

func TestEnsureKeepsWhatIsGood(t *testing.T) {
	other := leaf()
	other.IPs = []net.IP{net.ParseIP("192.0.2.9")}
	groups := leaf()
	groups.Organizations = []string{"a"}

	cases := map[string]struct {
		reason string
		leaf   Leaf
		at     time.Time
		kept   bool
	}{
		"Same":         {reason: "A good certificate is kept.", leaf: leaf(), at: now, kept: true},
		"NewAddress":   {reason: "The machine's address changed.", leaf: other, at: now},
		"OtherGroups":  {reason: "Groups are authority.", leaf: groups, at: now},
		"ExpiringSoon": {reason: "It would end while the cluster runs.", leaf: leaf(), at: now.Add(leafLife - time.Hour)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			d := Dir(t.TempDir())
			a, err := d.EnsureAuthority("ca", now)
			if err != nil {
				t.Fatal(err)
			}
			if err := a.Ensure(leaf(), now); err != nil {
				t.Fatal(err)
			}
			before, _ := os.ReadFile(d.Cert("server"))

			again, err := d.EnsureAuthority("ca", tc.at)
			if err != nil {
				t.Fatal(err)
			}
			if err := again.Ensure(tc.leaf, tc.at); err != nil {
				t.Fatal(err)
			}
			after, _ := os.ReadFile(d.Cert("server"))
			if kept := bytes.Equal(before, after); kept != tc.kept {
				t.Errorf("\n%s\nEnsure(...): want kept %t, got %t", tc.reason, tc.kept, kept)
			}
		})
	}
}

func TestEnsureReplacesWhatAnotherSigned(t *testing.T) {
	d := Dir(t.TempDir())
	for range 2 {
		a, err := d.EnsureAuthority("ca", now)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Ensure(leaf(), now); err != nil {
			t.Fatal(err)
		}
		cert, _, err := d.load("server")
		if err != nil {
			t.Fatal(err)
		}
		if err := cert.CheckSignatureFrom(a.cert); err != nil {
			t.Errorf("the certificate is another authority's: %v", err)
		}
		if err := os.Remove(d.Cert("ca")); err != nil {
			t.Fatal(err)
		}
	}
}
