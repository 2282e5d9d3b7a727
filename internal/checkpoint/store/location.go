package store

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// check looks at what only some stores have.
func (l location) check() error {
	for _, name := range []string{"use_path_style", "s3ForcePathStyle", "localemu"} {
		if v := l.params.Get(name); v != "" {
			if _, err := strconv.ParseBool(v); err != nil {
				return fmt.Errorf("the store's URL must have true or false for %s", name)
			}
		}
	}
	plain := l.params.Get("protocol") == "http" && !loopback(l.params.Get("domain"))
	if endpoint := l.params.Get("endpoint"); endpoint != "" {
		u, err := url.Parse(endpoint)
		if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || (u.Scheme != "http" && u.Scheme != "https") {
			return errors.New("the store's endpoint must be http:// or https://, a host and perhaps a port and a path, and nothing else")
		}
		plain = u.Scheme == "http" && !loopback(u.Host)
	}
	switch {
	case l.scheme == "s3" && l.params.Get("region") == "" && l.params.Get("endpoint") == "":
		return errors.New("the store's URL must have the bucket's region, or an endpoint: s3://BUCKET?region=REGION")
	case l.scheme != "s3" && plain:
		// S3 signs requests. The others send what opens the store itself.
		return errors.New("the store must be spoken to by https: its credentials are sent along")
	case strings.Contains(l.params.Get("domain"), "/"):
		return errors.New("the store's domain must be a host and perhaps a port")
	}
	return nil
}

func (l location) flag(names ...string) bool {
	for _, n := range names {
		if on, err := strconv.ParseBool(l.params.Get(n)); err == nil && on {
			return true
		}
	}
	return false
}

func loopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Bounds of the connections to a store.
const (
	connectTimeout = 10 * time.Second
	idleTimeout    = 30 * time.Second
	idlePerHost    = 4
)

// httpClient returns a client that keeps few connections and follows no redirect, which no store answers to who is right.
func httpClient(ca []byte) (*http.Client, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if len(ca) > 0 {
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(ca) {
			return nil, errors.New("there is no certificate in PEM among the certificate authorities")
		}
		conf.RootCAs = roots // Else the system's are read when they are needed first.
	}
	dialer := &net.Dialer{Timeout: connectTimeout, KeepAlive: idleTimeout}
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext,
			TLSClientConfig: conf, TLSHandshakeTimeout: connectTimeout,
			MaxIdleConnsPerHost: idlePerHost, IdleConnTimeout: idleTimeout, ForceAttemptHTTP2: true,
			// Chunks are compressed and encrypted already.
			DisableCompression: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}
