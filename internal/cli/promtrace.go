package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/api"
	promv1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"

	"github.com/southwest-ai/agent-operator/internal/scale"
)

const (
	// queryTimeout is how long a query for a range may take.
	queryTimeout = time.Minute
	// rangePoints is how many points a Prometheus answers with at most; it refuses more than 11,000.
	rangePoints = 10_000
)

// A recorded load is in a Prometheus.
type recorded struct {
	Prometheus  string            `placeholder:"URL" help:"Replay what this Prometheus has recorded, without /api/v1: http://localhost:9090."`
	Query       map[string]string `mapsep:"none" placeholder:"LOAD=PROMQL" help:"PromQL for a load, which must return one series: QueueDepth='sum(...)'. Where it is not given, the pool's own."`
	Since       time.Duration     `default:"24h" help:"How far back to begin."`
	Until       time.Duration     `default:"0s" help:"How far back to end."`
	Step        time.Duration     `default:"30s" help:"The time between two samples. A longer one where there would be more than ten thousand."`
	Header      map[string]string `mapsep:"none" placeholder:"NAME=VALUE" help:"A header to send with each query, such as X-Scope-OrgID=agents."`
	BearerToken string            `type:"existingfile" placeholder:"FILE" help:"A file with a bearer token to send with each query."`
}

// points returns what was recorded of the loads that a rule follows.
func (c recorded) points(ctx context.Context, now time.Time, r rule) ([]scale.Point, error) {
	if c.Since <= c.Until || c.Until < 0 || c.Step <= 0 {
		return nil, errors.New("--since must be further back than --until, and --step more than nothing")
	}

	client, err := c.client()
	if err != nil {
		return nil, err
	}

	span := c.Since - c.Until
	step := c.Step

	if least := span / rangePoints; step < least {
		step = least.Truncate(time.Second) + time.Second
	}

	from := now.Add(-c.Since).Truncate(time.Second)
	out := make([]scale.Point, span/step+1)

	for i := range out {
		out[i] = scale.Point{At: from.Add(time.Duration(i) * step), Readings: map[string]scale.Reading{}}
	}

	for _, m := range r.policy.Metrics {
		query := c.Query[m.Name]
		if query == "" {
			query = r.queries[m.Name]
		}

		if query == "" || r.name == "" && c.Query[m.Name] == "" {
			return nil, fmt.Errorf("say where %s is recorded, with --query %s=PROMQL", m.Name, m.Name)
		}

		if err := fill(ctx, client, out, m.Name, query, step); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
	}

	if len(out) < 2 {
		return nil, errors.New("between --since and --until there is less than one --step")
	}

	return out, nil
}

// fill asks for one load and puts it into the points. Where there is no sample it is not known.
func fill(ctx context.Context, client promv1.API, out []scale.Point, load, query string, step time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()

	v, _, err := client.QueryRange(ctx, query, promv1.Range{Start: out[0].At, End: out[len(out)-1].At, Step: step})
	if err != nil {
		return fmt.Errorf("cannot ask Prometheus for %s: %w", query, err)
	}

	series, ok := v.(model.Matrix)
	if !ok || len(series) != 1 {
		return fmt.Errorf("%s returns %d series and must return one: sum them, and see that they were recorded at that time", query, len(series))
	}

	for i := range out {
		out[i].Readings[load] = scale.Reading{Unknown: "Prometheus has no sample"}
	}

	for _, s := range series[0].Values {
		if i := int(s.Timestamp.Time().Sub(out[0].At).Round(step) / step); i >= 0 && i < len(out) {
			out[i].Readings[load] = scale.Reading{Value: float64(s.Value)}
		}
	}

	return nil
}

func (c recorded) client() (promv1.API, error) {
	token, err := readSmall(c.BearerToken, "bearer token")
	if err != nil {
		return nil, err
	}

	h := http.Header{}
	for k, v := range c.Header {
		h.Set(k, v)
	}

	if len(token) > 0 {
		h.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	}

	client, err := api.NewClient(api.Config{Address: c.Prometheus, Client: &http.Client{
		Transport: withHeaders{h},
		// What is sent must go to no other host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}})
	if err != nil {
		return nil, fmt.Errorf("cannot use the Prometheus at %q: %w", c.Prometheus, err)
	}

	return promv1.NewAPI(client), nil
}

// withHeaders sends headers with each request.
type withHeaders struct{ headers http.Header }

// RoundTrip sends a request with the headers.
func (h withHeaders) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	for k, v := range h.headers {
		r.Header[k] = v
	}

	return http.DefaultTransport.RoundTrip(r)
}
