package cli

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"strings"
	"sync"
	"time"
)

const (
	// tokenFor is how long a token is used before kubectl is asked again, which renews it where it has to.
	tokenFor = time.Minute
	// pageTimeout bounds a request, and forwardTimeout how long kubectl may take to reach the provider.
	pageTimeout    = 30 * time.Second
	forwardTimeout = 30 * time.Second
	// pageCookie lets this machine's other users not read along.
	pageCookie = "aidispatch-page"
)

// PageCmd serves the provider's page on this machine's loopback, with the rights of whoever runs it.
type PageCmd struct {
	Context    string `help:"The context of kubectl's configuration."`
	Kubeconfig string `type:"existingfile" help:"kubectl's configuration."`

	Service        string `default:"aidispatcher-page" help:"The provider's Service for the page."`
	In             string `default:"crossplane-system" help:"The namespace of that Service."`
	Port           int    `default:"0" help:"The port on this machine. Any free one where it is not given."`
	ServiceAccount string `placeholder:"NAMESPACE/NAME" help:"Read with the rights of a ServiceAccount, for which you must be allowed to make tokens. Where your own way in is a certificate, which the page cannot be shown, this is how."`
}

// A doorman adds a reader's token to requests from this machine.
type doorman struct {
	cmd *PageCmd
	// key is what a browser has to know.
	key string
	// host is what it must have asked for, so that no other page's name leads here.
	host string
	next http.Handler

	mu    sync.Mutex
	token string
	at    time.Time
}

// Run serves until it is interrupted.
func (c *PageCmd) Run(ctx context.Context, out *Output) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	d := &doorman{cmd: c, key: rand.Text()}

	// Before anything is opened: without a token there is nothing to see.
	if _, err := d.bearer(ctx); err != nil {
		return err
	}

	to, ended, err := c.forward(ctx)
	if err != nil {
		return err
	}

	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", c.Port))
	if err != nil {
		return fmt.Errorf("cannot listen on this machine: %w", err)
	}

	d.host, d.next = l.Addr().String(), proxyTo(to)
	s := &http.Server{Handler: d, ReadHeaderTimeout: pageTimeout, WriteTimeout: pageTimeout}

	go func() {
		select {
		case <-ctx.Done():
		case err = <-ended:
		}

		_ = s.Close() // It only shows.
	}()

	fmt.Fprintf(out.Out, "http://%s/?key=%s\n", d.host, d.key)
	fmt.Fprintln(out.Err, "Open this in a browser on this machine. It shows what you may read, until you end it with Ctrl-C.")

	if serr := s.Serve(l); !errors.Is(serr, http.ErrServerClosed) {
		return serr
	}

	if ctx.Err() != nil {
		return nil
	}

	return fmt.Errorf("kubectl port-forward ended: %w", err)
}

// forward has kubectl forward a port of this machine to the provider, and returns its address. It ends with the context.
func (c *PageCmd) forward(ctx context.Context) (string, <-chan error, error) {
	args := append([]string{"port-forward", "--address=127.0.0.1", "service/" + c.Service, ":443"}, Cluster{c.In, c.Context, c.Kubeconfig}.flags()...)
	cmd := exec.CommandContext(ctx, "kubectl", args...) // It is what people would type.
	cmd.WaitDelay = time.Second

	var said strings.Builder
	cmd.Stderr = &said

	r, err := cmd.StdoutPipe()
	if err != nil {
		return "", nil, err
	}

	if err := cmd.Start(); err != nil {
		return "", nil, fmt.Errorf("cannot run kubectl: %w", err)
	}

	found, ended := make(chan string, 1), make(chan error, 1)

	go func() {
		lines := bufio.NewScanner(r)
		for lines.Scan() {
			// Forwarding from 127.0.0.1:40123 -> 8443
			if rest, ok := strings.CutPrefix(lines.Text(), "Forwarding from "); ok {
				address, _, _ := strings.Cut(rest, " ")

				select {
				case found <- address:
				default:
				}
			}
		}

		_ = cmd.Wait() // What it said is the error.
		ended <- errors.New(strings.TrimSpace(said.String()))
	}()

	select {
	case address := <-found:
		return address, ended, nil
	case err := <-ended:
		return "", nil, fmt.Errorf("cannot reach the provider's page: kubectl says: %w", err)
	case <-time.After(forwardTimeout):
		return "", nil, errors.New("cannot reach the provider's page: kubectl port-forward says nothing")
	}
}

// proxyTo passes requests on through the tunnel.
func proxyTo(address string) http.Handler {
	p := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "https", Host: address}) },
		// The tunnel leads to the provider's pod because the API server says so; that pod's certificate is its own and known to nobody.
		Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ResponseHeaderTimeout: pageTimeout}, //nolint:gosec // As said above.
	}
	p.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, "the provider cannot be reached: "+err.Error(), http.StatusBadGateway)
	}

	return p
}

// ServeHTTP lets in who was told the key.
func (d *doorman) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Host != d.host {
		http.Error(w, "this is not what was asked for", http.StatusMisdirectedRequest)

		return
	}

	if r.URL.Query().Get("key") == d.key {
		http.SetCookie(w, &http.Cookie{Name: pageCookie, Value: d.key, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode}) //nolint:gosec // On loopback there is no TLS.
		http.Redirect(w, r, r.URL.Path, http.StatusSeeOther)                                                                          //nolint:gosec // To the same page.

		return
	}

	if c, err := r.Cookie(pageCookie); err != nil || c.Value != d.key {
		http.Error(w, "open the address that aidispatch page printed, with its key", http.StatusForbidden)

		return
	}

	token, err := d.bearer(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)

		return
	}

	r.Header.Del("Cookie")
	r.Header.Set("Authorization", token)
	d.next.ServeHTTP(w, r)
}

// bearer returns the reader's token, as a header has it.
func (d *doorman) bearer(ctx context.Context) (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()

	if d.token != "" && time.Since(d.at) < tokenFor {
		return d.token, nil
	}

	token, err := d.cmd.askToken(ctx)
	if err != nil {
		return "", err
	}

	d.token, d.at = token, time.Now()

	return token, nil
}

func (c *PageCmd) askToken(ctx context.Context) (string, error) {
	if c.ServiceAccount == "" {
		return c.ownToken(ctx)
	}

	namespace, name, ok := strings.Cut(c.ServiceAccount, "/")
	if !ok {
		return "", errors.New("name the ServiceAccount as NAMESPACE/NAME")
	}

	b, err := kubectl(ctx, append([]string{"create", "token", "--duration=1h", name}, Cluster{namespace, c.Context, c.Kubeconfig}.flags()...)...)
	if err != nil {
		return "", fmt.Errorf("cannot make a token: %w", err)
	}

	return "Bearer " + strings.TrimSpace(string(b)), nil
}

// ownToken has kubectl make a request to this process, and takes from that what it says of its user: so whatever plugin people get in by
// works here, too. The token goes nowhere but from kubectl to here, over loopback and TLS.
func (c *PageCmd) ownToken(ctx context.Context) (string, error) {
	cert, err := passing()
	if err != nil {
		return "", err
	}

	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("cannot listen on this machine: %w", err)
	}

	said := make(chan string, 1)
	s := &http.Server{
		ReadHeaderTimeout: pageTimeout, TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case said <- r.Header.Get("Authorization"):
			default:
			}

			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, "{}") // kubectl has no more to say.
		}),
	}

	go func() { _ = s.ServeTLS(l, "", "") }() // It ends when it is closed.
	defer s.Close()

	args := append([]string{"get", "--raw", "/version", "--server=https://" + l.Addr().String(), "--insecure-skip-tls-verify"}, Cluster{Context: c.Context, Kubeconfig: c.Kubeconfig}.flags()...)
	if _, err := kubectl(ctx, args...); err != nil {
		return "", fmt.Errorf("cannot find out who you are: %w", err)
	}

	select {
	case token := <-said:
		if strings.HasPrefix(token, "Bearer ") {
			return token, nil
		}
	default:
	}

	return "", errors.New("your way into the cluster has no token, which the page needs: name a ServiceAccount with --service-account NAMESPACE/NAME")
}

// passing returns a certificate that is good for a minute, for kubectl, which does not look at it.
func passing() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cannot make a key: %w", err)
	}

	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Minute)}

	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("cannot make a certificate: %w", err)
	}

	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}
