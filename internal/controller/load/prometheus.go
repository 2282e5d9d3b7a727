package load

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/storeconfig"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
	"github.com/southwest-ai/agent-operator/internal/scale"
)

const (
	// queryEvery is the time between two queries to a server, which serve all pools. One that takes long, because it is for many pools,
	// is asked less often: for at most one part in queryShare of the time, and once in queryLate at least.
	queryEvery = 900 * time.Millisecond
	queryShare = 20
	queryLate  = 3 * time.Second
	// valueEvery is how old the answer to a pool's own query may be.
	valueEvery = 5 * time.Second
	// configEvery is how often it is looked where a server is and how to get in.
	configEvery = 30 * time.Second
	// defaultStale is how old a sample may be, and defaultQueryTimeout how long a query may take.
	defaultStale        = 60
	defaultQueryTimeout = 5
	// maxHeader bounds what may be sent as a header, in bytes.
	maxHeader = 4 << 10
)

// The loads that a query returns, by the value of the label loadLabel.
const (
	loadLabel    = "load"
	loadDepth    = "depth"
	loadTelling  = "telling"
	loadAt       = "at"
	loadInFlight = "in-flight"
	loadWorking  = "working"
	loadActive   = "active"
	loadTokens   = "tokens"
)

// query returns the one query that is asked for all pools. What is stale is left out: the samples of a worker that is gone are found
// for five minutes.
func query(stale int32) string {
	fresh := func(metric string) string {
		return fmt.Sprintf("(%s and timestamp(%s) > time() - %d)", metric, metric, stale)
	}
	by := fmt.Sprintf(" by (%s, %s) ", monitorapi.LabelNamespace, monitorapi.LabelDispatcherName)
	depth, flight := fresh(monitorapi.MetricQueueDepth), fresh(monitorapi.MetricTasksInFlight)

	parts := [][2]string{
		{loadDepth, "sum" + by + depth},
		{loadTelling, "count" + by + depth},
		{loadAt, fmt.Sprintf("min%s(timestamp(%s) > time() - %d)", by, monitorapi.MetricQueueDepth, stale)},
		{loadInFlight, "sum" + by + flight},
		{loadWorking, "count" + by + flight},
		{loadActive, "count" + by + "(" + flight + " > 0)"},
		{loadTokens, fmt.Sprintf("60 * sum%s(rate(%s[2m]))", by, monitorapi.MetricTokens)},
	}

	out := make([]string, 0, len(parts))
	for _, p := range parts {
		out = append(out, fmt.Sprintf(`label_replace(%s, %q, %q, "", "")`, p[1], loadLabel, p[0]))
	}

	return strings.Join(out, " or ")
}

// served is what a Prometheus says of a pool.
type served struct {
	// err says why nothing is known, and loads what is.
	err   error
	loads map[string]float64
	// stale is how old it may be.
	stale time.Duration
}

// A server is a Prometheus that is asked for all pools at once.
type server struct {
	api     promv1.API
	query   string
	stale   time.Duration
	timeout time.Duration
	now     func() time.Time

	// turn is held by who asks.
	turn  sync.Mutex
	mu    sync.Mutex
	asked time.Time
	took  time.Duration
	err   error
	pools map[[2]string]map[string]float64
	// values are the answers to pools' own queries, by query.
	values map[string]valued
}

// valued is an answer, and when it was given.
type valued struct {
	at      time.Time
	reading scale.Reading
}

// pool returns what the server says of a pool. Who comes while others ask waits for their answer.
func (s *server) pool(ctx context.Context, namespace, dispatcher string) *served {
	if !s.fresh() {
		s.turn.Lock()

		if !s.fresh() {
			s.ask(ctx)
		}

		s.turn.Unlock()
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	return &served{err: s.err, stale: s.stale, loads: s.pools[[2]string{namespace, dispatcher}]}
}

func (s *server) fresh() bool {
	s.mu.Lock()
	defer s.mu.Unlock()

	return s.now().Sub(s.asked) < max(queryEvery, min(queryShare*s.took, queryLate))
}

// ask asks the server, and keeps the answer or why there is none.
func (s *server) ask(ctx context.Context) {
	// The answer is not only for who asks.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.timeout)
	defer cancel()

	began := s.now()
	v, _, err := s.api.Query(ctx, s.query, time.Time{})
	pools := map[[2]string]map[string]float64{}

	vector, ok := v.(model.Vector)
	if err == nil && !ok {
		err = fmt.Errorf("the answer is a %T and no vector", v)
	}

	for _, x := range vector {
		at := [2]string{string(x.Metric[monitorapi.LabelNamespace]), string(x.Metric[monitorapi.LabelDispatcherName])}
		if pools[at] == nil {
			pools[at] = map[string]float64{}
		}

		pools[at][string(x.Metric[loadLabel])] = float64(x.Value)
	}

	s.mu.Lock()
	defer s.mu.Unlock()

	s.asked, s.pools, s.err = s.now(), pools, nil
	s.took = s.asked.Sub(began)

	if err != nil {
		s.err = fmt.Errorf("cannot ask Prometheus: %w", err)
	}
}

// value returns what a query returns, of which the answer may be a few seconds old.
func (s *server) value(ctx context.Context, query string) scale.Reading {
	if s == nil {
		return scale.Reading{Unknown: "there is no Prometheus to ask: name one in spec.prometheus of the provider configuration"}
	}

	s.mu.Lock()
	v, ok := s.values[query]
	s.mu.Unlock()

	if ok && s.now().Sub(v.at) < valueEvery {
		return v.reading
	}

	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()

	answer, _, err := s.api.Query(ctx, query, time.Time{})
	v = valued{at: s.now(), reading: readingOf(answer, err)}

	s.mu.Lock()
	defer s.mu.Unlock()

	// Of queries that nobody asks any longer nothing is kept.
	maps.DeleteFunc(s.values, func(_ string, old valued) bool { return v.at.Sub(old.at) > time.Minute })
	s.values[query] = v

	return v.reading
}

// readingOf returns the one value of an answer.
func readingOf(answer model.Value, err error) scale.Reading {
	if err != nil {
		return scale.Reading{Unknown: fmt.Sprintf("cannot ask Prometheus: %s", err)}
	}

	switch v := answer.(type) {
	case *model.Scalar:
		return scale.Reading{Value: float64(v.Value), At: v.Timestamp.Time()}
	case model.Vector:
		if len(v) == 1 {
			return scale.Reading{Value: float64(v[0].Value), At: v[0].Timestamp.Time()}
		}

		return scale.Reading{Unknown: fmt.Sprintf("the query returns %d values and must return one: sum them", len(v))}
	default:
		return scale.Reading{Unknown: fmt.Sprintf("the query returns a %s and must return one value", answer.Type())}
	}
}

// takeServed makes readings of what a Prometheus says.
func (p *pool) takeServed(now time.Time, m measure) {
	p.figures, p.stale = p.billed(), m.server.stale

	if m.server.err != nil {
		p.unknown(m.server.err.Error())

		return
	}

	of := m.server.loads
	at := time.UnixMilli(int64(of[loadAt] * 1000))

	reading := func(value float64, told string) scale.Reading {
		switch n, ok := of[told]; {
		case m.running == 0:
			return scale.Reading{At: now}
		case !ok:
			return scale.Reading{Unknown: "Prometheus has no fresh sample of the pool's workers"}
		default:
			return scale.Reading{Value: value, At: at, Reporting: int(n), Expected: m.running}
		}
	}

	p.readings[string(v1alpha1.TriggerQueueDepth)] = reading(of[loadDepth], loadTelling)
	p.readings[string(v1alpha1.TriggerPendingTasks)] = reading(max(0, of[loadDepth]-of[loadInFlight]), loadWorking)

	tokens := scale.Reading{Unknown: "Prometheus has no tokens of the pool's workers"}
	if n, ok := of[loadTokens]; ok {
		tokens = scale.Reading{Value: n, At: now}
	}

	used := int64(of[loadTokens])
	if m.billed != nil {
		tokens, used = p.tokens.reading(*m.billed), p.tokens.perMinute()
	}

	p.readings[string(v1alpha1.TriggerTokensPerMinute)] = tokens
	p.perHead = perHead(used, int64(of[loadActive]))

	if n, ok := of[loadTelling]; ok && int(n) >= m.running {
		depth, active := int64(of[loadDepth]), int64(of[loadActive])
		p.figures.Depth, p.figures.Active = &depth, &active
	}
}

// servers are the Prometheus servers of configurations.
type servers struct {
	configs *storeconfig.Reader
	now     func() time.Time

	mu   sync.Mutex
	kept map[storeconfig.Key]*configured
}

// configured is what a configuration said, and when.
type configured struct {
	read   time.Time
	mark   string
	server *server
	err    error
}

func newServers(kube client.Reader) *servers {
	return &servers{configs: storeconfig.NewReader(kube), now: time.Now, kept: map[storeconfig.Key]*configured{}}
}

// of returns the server of a configuration, nil for one that names none or does not exist: then workers are asked.
func (s *servers) of(ctx context.Context, key storeconfig.Key) (*server, error) {
	s.mu.Lock()
	defer s.mu.Unlock()

	c := s.kept[key]
	if c != nil && s.now().Sub(c.read) < configEvery {
		return c.server, c.err
	}

	next := s.read(ctx, key)
	if c != nil && next.server != nil && c.mark == next.mark {
		next.server = c.server
	}

	s.kept[key] = next

	return next.server, next.err
}

// read reads where a server is and how to get in.
func (s *servers) read(ctx context.Context, key storeconfig.Key) *configured {
	out := &configured{read: s.now()}

	spec, err := s.configs.Spec(ctx, key)

	var invalid *storeconfig.InvalidError
	if errors.As(err, &invalid) || err == nil && spec.Prometheus == nil {
		return out
	}

	if err != nil {
		out.err = err

		return out
	}

	if out.server, out.mark, err = s.open(ctx, key, *spec.Prometheus); err != nil {
		out.server, out.err = nil, fmt.Errorf("cannot use the Prometheus of %s: %w", key, err)
	}

	return out
}

// open returns a server and a mark that is equal for equal ones.
func (s *servers) open(ctx context.Context, key storeconfig.Key, p v1alpha1.PrometheusServer) (*server, string, error) {
	u, err := url.Parse(p.URL)
	if err != nil || u.User != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, "", storeconfig.Invalidf("prometheus.url must be an http or https URL without credentials")
	}

	headers := http.Header{}
	for k, v := range p.Headers {
		headers.Set(k, v)
	}

	bearer, err := s.configs.Content(ctx, key, p.BearerToken)
	if err != nil {
		return nil, "", err
	}

	basic, err := s.configs.Content(ctx, key, p.BasicAuth)
	if err != nil {
		return nil, "", err
	}

	switch {
	case len(bearer) > maxHeader || len(basic) > maxHeader:
		return nil, "", storeconfig.Invalidf("the credentials are longer than %d bytes", maxHeader)
	case len(bearer) > 0:
		headers.Set("Authorization", "Bearer "+strings.TrimSpace(string(bearer)))
	case len(basic) > 0:
		user, password, ok := strings.Cut(strings.TrimSpace(string(basic)), ":")
		if !ok {
			return nil, "", storeconfig.Invalidf("basicAuth must be user:password")
		}

		r := &http.Request{Header: headers}
		r.SetBasicAuth(user, password)
	}

	trust, pem, err := s.trust(ctx, key, p.TLS)
	if err != nil {
		return nil, "", err
	}

	mark, err := json.Marshal([]any{p.URL, headers, pem, trust.InsecureSkipVerify, p.StaleAfterSeconds, p.TimeoutSeconds})
	if err != nil {
		return nil, "", err
	}

	rt := &withHeaders{headers: headers, next: &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: trust, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
	}}

	stale := or(p.StaleAfterSeconds, defaultStale)

	c, err := api.NewClient(api.Config{Address: p.URL, RoundTripper: rt})
	if err != nil {
		return nil, "", err
	}

	return &server{
		api: promv1.NewAPI(c), query: query(stale), values: map[string]valued{}, stale: time.Duration(stale) * time.Second, now: s.now,
		timeout: time.Duration(or(p.TimeoutSeconds, defaultQueryTimeout)) * time.Second,
	}, string(mark), nil
}

// trust returns whom a server must be signed by.
func (s *servers) trust(ctx context.Context, key storeconfig.Key, t *v1alpha1.StoreTLS) (*tls.Config, []byte, error) {
	out := &tls.Config{MinVersion: tls.VersionTLS12}
	if t == nil {
		return out, nil, nil
	}

	out.InsecureSkipVerify = t.InsecureSkipVerify // It is what was asked for.

	if t.CABundleRef == nil {
		return out, nil, nil
	}

	pem, err := s.configs.Bundle(ctx, key, *t.CABundleRef)
	if err != nil {
		return nil, nil, err
	}

	if out.RootCAs, err = x509.SystemCertPool(); err != nil {
		out.RootCAs = x509.NewCertPool()
	}

	if !out.RootCAs.AppendCertsFromPEM(pem) {
		return nil, nil, storeconfig.Invalidf("tls.caBundleRef has no certificate in it")
	}

	return out, pem, nil
}

// withHeaders sends headers with each request.
type withHeaders struct {
	headers http.Header
	next    http.RoundTripper
}

// RoundTrip sends a request with the headers. They must go to no other host, so redirects are not followed: what redirects is an
// error.
func (h *withHeaders) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for k, v := range h.headers {
		r.Header[k] = v
	}

	rsp, err := h.next.RoundTrip(r)
	if err == nil && rsp.StatusCode >= 300 && rsp.StatusCode < 400 {
		_ = rsp.Body.Close() // Nobody reads it.

		return nil, fmt.Errorf("the server redirects to %q: name that in prometheus.url", rsp.Header.Get("Location"))
	}

	return rsp, err
}

func or(n *int32, otherwise int32) int32 {
	if n == nil {
		return otherwise
	}

	return *n
}
