package push

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// reserved are the headers that are not a configuration's to set.
var reserved = []string{
	"Authorization", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Host", "Transfer-Encoding", "User-Agent",
	"X-Prometheus-Remote-Write-Version",
}

// A failure is a push that was not taken.
type failure struct {
	err error
	// retry says that the server may take it later, and after how long to wait at least.
	retry bool
	after time.Duration
	// unsent says that the server cannot have stored it.
	unsent bool
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func retriable(err error) bool {
	var f *failure

	return errors.As(err, &f) && f.retry
}

// A sender sends messages to an endpoint.
type sender struct {
	url               *url.URL
	header            http.Header
	tokenFile, caFile string
	client            *http.Client // nil after a failure.
	connect           func(caFile string) (*http.Client, error)
}

func newSender(c Config) (*sender, error) {
	u, err := endpoint(c.URL)
	if err != nil {
		return nil, err
	}

	s := &sender{url: u, header: http.Header{}, tokenFile: c.TokenFile, caFile: c.CAFile, connect: newClient}
	for name, value := range c.Headers {
		if err := s.setHeader(name, value); err != nil {
			return nil, err
		}
	}

	s.header.Set("Content-Encoding", "snappy")
	s.header.Set("Content-Type", "application/x-protobuf")
	s.header.Set("User-Agent", "aidispatcher-monitor")
	s.header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")

	if _, err := s.token(); err != nil {
		return nil, err
	}

	s.client, err = s.connect(s.caFile)

	return s, err
}

// endpoint parses a URL. What is wrong with it is not said in its own words, which may hold a password.
func endpoint(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)

	switch {
	case err != nil, u.Host == "", u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("cannot push: want a URL such as https://metrics.example.org/api/v1/write")
	case u.User != nil:
		return nil, errors.New("cannot push: the URL has a user, want a token file")
	}

	return u, nil
}

func (s *sender) setHeader(name, value string) error {
	ok := name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && r != '_' && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
	})
	if !ok || strings.ContainsFunc(value, unicode.IsControl) {
		return fmt.Errorf("cannot push: the header %q is none", name)
	}

	for _, r := range reserved {
		if strings.EqualFold(r, name) {
			return fmt.Errorf("cannot push: the header %s is not to be set", r)
		}
	}

	s.header.Set(name, value)

	return nil
}

// token reads the bearer token. One that would go over a network in the clear is not used: it opens all of a team's metrics
// to whoever listens. A server inside the cluster that speaks plain HTTP wants none.
func (s *sender) token() (string, error) {
	b, err := os.ReadFile(s.tokenFile)

	switch {
	case s.tokenFile == "", errors.Is(err, fs.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("cannot read the push token: %w", err)
	}

	t := strings.TrimSpace(string(b))

	switch {
	case strings.ContainsFunc(t, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", errors.New("cannot push: the token is not one line of ASCII")
	case t != "" && s.url.Scheme != "https" && !loopback(s.url.Hostname()):
		return "", errors.New("cannot push: a token is not sent over plain HTTP, want an https URL")
	}

	return t, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)

	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// newClient returns a client that trusts the certificates of a file.
func newClient(caFile string) (*http.Client, error) {
	t := &http.Transport{
		Proxy: http.ProxyFromEnvironment, MaxConnsPerHost: 1, IdleConnTimeout: 2 * whole,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		MaxResponseHeaderBytes: 16 << 10, WriteBufferSize: 4 << 10, ReadBufferSize: 4 << 10,
	}

	b, err := os.ReadFile(caFile)

	switch {
	case caFile == "", errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, fmt.Errorf("cannot read the push certificates: %w", err)
	default:
		t.TLSClientConfig.RootCAs = x509.NewCertPool()
		if !t.TLSClientConfig.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("cannot read the push certificates: %s holds none", caFile)
		}
	}

	// A redirect would take the token and the figures to where nobody sent them.
	follow := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

	return &http.Client{Transport: t, CheckRedirect: follow, Timeout: timeout}, nil
}

func (s *sender) close() {
	if s.client != nil {
		s.client.CloseIdleConnections()
	}
}

// send sends a message. Its error is a failure.
func (s *sender) send(ctx context.Context, body []byte) error {
	token, err := s.token()
	if err != nil {
		return &failure{err: err, unsent: true}
	}

	if s.client == nil {
		if s.client, err = s.connect(s.caFile); err != nil {
			return &failure{err: err, retry: true, unsent: true}
		}
	}

	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url.String(), bytes.NewReader(body))
	if err != nil {
		return &failure{err: errors.New("cannot make the request"), unsent: true}
	}

	req.Header = s.header.Clone()
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}

	rsp, err := s.client.Do(req)
	if err != nil {
		// The certificates may have been replaced.
		s.close()
		s.client = nil

		return network(err)
	}

	defer func() { _ = rsp.Body.Close() }()

	text, _ := io.ReadAll(io.LimitReader(rsp.Body, 4<<10))

	return answer(rsp, string(text), token)
}

// network is the failure of a request without an answer. The URL, which the client's error begins with, is left out: it is
// the configuration's, and may hold a key.
func network(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}

	var op *net.OpError

	return &failure{err: fmt.Errorf("cannot reach the server: %w", err), retry: true, unsent: errors.As(err, &op) && op.Op == "dial"}
}

// answer is what a server's answer means.
func answer(rsp *http.Response, text, token string) error {
	if rsp.StatusCode/100 == 2 {
		return nil
	}

	f := &failure{err: fmt.Errorf("the server answered %d%s", rsp.StatusCode, excerpt(text, token))}
	if rsp.StatusCode == http.StatusTooManyRequests || rsp.StatusCode/100 == 5 {
		f.retry, f.after = true, retryAfter(rsp.Header.Get("Retry-After"), time.Now())
		// Who has too much to do, or is not ready, such as a Prometheus that reads its log, has not begun. What failed in any other
		// way may have been stored.
		f.unsent = rsp.StatusCode == http.StatusTooManyRequests || rsp.StatusCode == http.StatusServiceUnavailable
	}

	return f
}

// excerpt is the beginning of what a server says of its refusal, unless it says the token.
func excerpt(text, token string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if line == "" || token != "" && strings.Contains(text, token) {
		return ""
	}

	return ": " + strconv.QuoteToASCII(line[:min(len(line), 200)])
}

// retryAfter is what a server asks for, in seconds or as a date; 0 where it does not.
func retryAfter(v string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(v); err == nil {
		return time.Duration(min(max(n, 0), int(patience/time.Second))) * time.Second
	}

	if at, err := http.ParseTime(v); err == nil {
		return max(at.Sub(now), 0)
	}

	return 0
}
