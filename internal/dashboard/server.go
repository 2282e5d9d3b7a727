// Package dashboard serves a page on which people see pools: what they do, how that was over the last hour, and why. It only reads, and
// shows a reader what the API server lets that reader read. It must not know how a pool is run.
package dashboard

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/cache"
	certutil "k8s.io/client-go/util/cert"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
)

const (
	// headerTimeout, readTimeout, writeTimeout and idleTimeout bound what a connection may take.
	headerTimeout = 5 * time.Second
	readTimeout   = 10 * time.Second
	writeTimeout  = 20 * time.Second
	idleTimeout   = time.Minute
	// stopTimeout is how long answers under way may take after the end was asked for.
	stopTimeout = 5 * time.Second
	// maxHeader bounds a request's headers, in bytes.
	maxHeader = 64 << 10
)

// A Server serves the page. Each provider of several does, whether it leads or not.
type Server struct {
	access   *Access
	history  *History
	claims   *claims
	cache    client.Reader
	live     client.Reader
	monitors Monitors
	log      logging.Logger
	now      func() time.Time
	requests *prometheus.CounterVec

	// seen is what workers said last, by pool and by what its readers may read.
	seen *cache.LRUExpireCache

	address, certs string
}

// Options say where a server gets what it shows.
type Options struct {
	// Address to listen on, and Certs a directory with tls.crt and tls.key: without them the certificate is self-signed.
	Address, Certs string
	// Access says who may read what.
	Access *Access
	// Cache has scalers and workers, and Live reads from the API server.
	Cache, Live client.Reader
	// Monitors are asked what workers do.
	Monitors Monitors
	Log      logging.Logger
}

// NewRequests returns the metric of requests, which is not registered yet.
func NewRequests() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "aidispatcher_page_requests_total",
		Help: "Requests to the page of pools, by outcome: OK, Unauthenticated, NotFound, Busy or Failed.",
	}, []string{"outcome"})
}

// New returns a server that counts its requests.
func New(o Options, requests *prometheus.CounterVec) *Server {
	return &Server{
		access: o.Access, history: NewHistory(o.Cache), claims: &claims{live: o.Live, now: time.Now},
		cache: o.Cache, live: o.Live, monitors: o.Monitors, log: o.Log, now: time.Now, requests: requests,
		seen: cache.NewLRUExpireCache(maxAsked), address: o.Address, certs: o.Certs,
	}
}

// NeedLeaderElection says that a provider that does not lead serves the page, too: it only reads.
func (s *Server) NeedLeaderElection() bool { return false }

// Start serves until the context ends.
func (s *Server) Start(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)

	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	t, err := s.tls(ctx, &wg)
	if err != nil {
		return err
	}

	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("cannot listen for readers of the page: %w", err)
	}

	srv := &http.Server{
		Handler: s.Handler(), TLSConfig: t, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
	}

	wg.Go(func() { s.history.run(ctx) })
	wg.Go(func() {
		<-ctx.Done()

		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
		defer cancel()

		_ = srv.Shutdown(ctx) // Whoever is not served by now is not.
	})

	s.log.Info("Serving the page", "address", l.Addr().String())

	if err := srv.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("cannot serve the page: %w", err)
	}

	return nil
}

// tls returns how connections are secured: by the certificate that Crossplane gives a provider, which is followed when it changes, or else by
// one of our own, as controller-runtime does for metrics.
func (s *Server) tls(ctx context.Context, wg *sync.WaitGroup) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}

	crt, key := filepath.Join(s.certs, "tls.crt"), filepath.Join(s.certs, "tls.key")
	if _, err := os.Stat(crt); s.certs == "" || errors.Is(err, os.ErrNotExist) {
		crtPEM, keyPEM, err := certutil.GenerateSelfSignedCertKeyWithFixtures("localhost", []net.IP{net.IPv4(127, 0, 0, 1)}, nil, "")
		if err != nil {
			return nil, fmt.Errorf("cannot make a certificate: %w", err)
		}

		pair, err := tls.X509KeyPair(crtPEM, keyPEM)
		if err != nil {
			return nil, fmt.Errorf("cannot use the certificate that was made: %w", err)
		}

		c.Certificates = []tls.Certificate{pair}

		return c, nil
	}

	w, err := certwatcher.New(crt, key)
	if err != nil {
		return nil, fmt.Errorf("cannot read the certificate in %s: %w", s.certs, err)
	}

	wg.Go(func() {
		if err := w.Start(ctx); err != nil {
			s.log.Info("Cannot follow changes of the page's certificate", "error", err)
		}
	})

	c.GetCertificate = w.GetCertificate

	return c, nil
}
