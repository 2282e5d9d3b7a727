// Package pki issues the certificates of a cluster and keeps them in a directory; it knows nothing of Kubernetes.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// How long certificates are good for, and how long before their end a leaf is replaced.
const (
	authorityLife = 10 * 365 * 24 * time.Hour
	leafLife      = 365 * 24 * time.Hour
	renewBefore   = 30 * 24 * time.Hour
)

// A Dir is a directory that holds NAME.crt and NAME.key in PEM for each certificate.
type Dir string

// Cert is the path of a certificate.
func (d Dir) Cert(name string) string { return filepath.Join(string(d), name+".crt") }

// Key is the path of a private key.
func (d Dir) Key(name string) string { return filepath.Join(string(d), name+".key") }

// A Leaf says what a certificate is for. It serves servers and clients alike.
type Leaf struct {
	Name          string   // of its files
	CommonName    string   // the user, to Kubernetes
	Organizations []string // the groups, to Kubernetes
	DNSNames      []string
	IPs           []net.IP
}

// An Authority signs certificates.
type Authority struct {
	dir  Dir
	cert *x509.Certificate
	key  crypto.Signer
}

// EnsureAuthority loads the authority of that name, or makes it.
func (d Dir) EnsureAuthority(name string, now time.Time) (*Authority, error) {
	cert, key, err := d.load(name)
	if err == nil {
		return &Authority{dir: d, cert: cert, key: key}, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	t := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		NotAfter:              now.Add(authorityLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	cert, key, err = d.issue(name, now, t, nil)
	if err != nil {
		return nil, err
	}
	return &Authority{dir: d, cert: cert, key: key}, nil
}

// Ensure makes the certificate unless a good one is there: one signed by this authority, for the very subject and
// names, and not about to expire.
func (a *Authority) Ensure(l Leaf, now time.Time) error {
	if cert, _, err := a.dir.load(l.Name); err == nil && a.good(cert, l, now) {
		return nil
	}
	_, _, err := a.dir.issue(l.Name, now, &x509.Certificate{
		Subject:     pkix.Name{CommonName: l.CommonName, Organization: l.Organizations},
		NotAfter:    now.Add(leafLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    l.DNSNames,
		IPAddresses: l.IPs,
	}, a)
	return err
}

func (a *Authority) good(cert *x509.Certificate, l Leaf, now time.Time) bool {
	return cert.CheckSignatureFrom(a.cert) == nil &&
		cert.Subject.CommonName == l.CommonName &&
		slices.Equal(cert.Subject.Organization, l.Organizations) &&
		slices.Equal(cert.DNSNames, l.DNSNames) &&
		slices.EqualFunc(cert.IPAddresses, l.IPs, func(a, b net.IP) bool { return a.Equal(b) }) &&
		now.Add(renewBefore).Before(cert.NotAfter)
}

// EnsureKeyPair makes a private key and writes its public half beside it, as NAME.pub, unless it is there.
func (d Dir) EnsureKeyPair(name string) error {
	if _, err := os.Stat(d.Key(name)); err == nil {
		return nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("cannot make key %s: %w", name, err)
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("cannot encode key %s: %w", name, err)
	}
	if err := writePEM(filepath.Join(string(d), name+".pub"), "PUBLIC KEY", pub, 0o644); err != nil {
		return err
	}
	return d.writeKey(name, key)
}

// issue signs the template with the authority, or with its own key if that is nil, and writes both files.
func (d Dir) issue(name string, now time.Time, t *x509.Certificate, by *Authority) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot make the key of %s: %w", name, err)
	}
	if t.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, nil, fmt.Errorf("cannot make a serial number: %w", err)
	}
	// Clocks of one machine agree, but for a step back of its one clock.
	t.NotBefore = now.Add(-time.Hour)
	parent, signer := t, crypto.Signer(key)
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), signer)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot sign %s: %w", name, err)
	}
	// The key first: a certificate without its key would be an error the next time.
	if err := d.writeKey(name, key); err != nil {
		return nil, nil, err
	}
	if err := writePEM(d.Cert(name), "CERTIFICATE", der, 0o644); err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot parse %s: %w", name, err)
	}
	return cert, key, nil
}

func (d Dir) writeKey(name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("cannot encode the key of %s: %w", name, err)
	}
	return writePEM(d.Key(name), "PRIVATE KEY", der, 0o600)
}

func (d Dir) load(name string) (*x509.Certificate, crypto.Signer, error) {
	der, err := readPEM(d.Cert(name))
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot parse %s: %w", d.Cert(name), err)
	}
	if der, err = readPEM(d.Key(name)); err != nil {
		return nil, nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot parse %s: %w", d.Key(name), err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, nil, fmt.Errorf("cannot sign with the key in %s", d.Key(name))
	}
	return cert, signer, nil
}

func readPEM(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read a certificate or key: %w", err)
	}
	block, _ := pem.Decode(b)
	if block == nil {
		return nil, fmt.Errorf("cannot decode %s: it is no PEM", path)
	}
	return block.Bytes, nil
}

func writePEM(path, kind string, der []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("cannot make a directory: %w", err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode); err != nil {
		return fmt.Errorf("cannot write a certificate or key: %w", err)
	}
	return nil
}
