//go:build integration

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The queries that the documentation has for gateways return what the pool used, of series as those gateways name them: of
// all replicas, also where one is gone or was not scraped for a while, and of no other pool.
func TestGatewaysQueries(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "monitor.md"))
	if err != nil {
		t.Fatal(err)
	}

	queries := map[string]string{}

	for _, m := range regexp.MustCompile(`(?m)^tokensQuery: (.*)$`).FindAllSubmatch(page, -1) {
		q := strings.NewReplacer("$NAMESPACE", "team-a", "$DISPATCHER", "coders").Replace(string(m[1]))
		name, _, _ := strings.Cut(q[strings.LastIndex(q, "(")+1:], "{")
		queries[name] = q
	}

	const (
		gone    = "0+100x20 stale"     // The replica ended after ten minutes.
		missed  = "0+100x20 _x10 3000" // It was not scraped for five.
		there   = "0+100x100"          // It counts on.
		nothing = "1000000x100"        // Of others.
		litellm = "litellm_total_tokens_metric_total"
		envoy   = "gen_ai_client_token_usage_token_sum"
	)

	cases := map[string]struct {
		query, labels string
		beside        []string
	}{
		"LiteLLM": {
			query:  litellm,
			labels: `{job="litellm",end_user="team-a/coders",hashed_api_key="h",api_key_alias="agents",model="gpt-4o",requested_model="fast",team="t",team_alias="a",user="u"`,
			beside: []string{
				litellm + `{job="litellm",end_user="team-a/other",model="gpt-4o"}`, litellm + `{job="litellm",end_user="",model="gpt-4o"}`,
				`litellm_input_tokens_metric_total{job="litellm",end_user="team-a/coders",model="gpt-4o"}`,
			},
		},
		"Envoy": {
			query:  envoy,
			labels: `{job="gateway",user_id="team-a/coders",gen_ai_operation_name="chat",gen_ai_provider_name="openai",gen_ai_request_model="fast",gen_ai_response_model="gpt-4o",gen_ai_token_type="output",otel_scope_name="envoyproxy/ai-gateway"`,
			beside: []string{
				envoy + `{job="gateway",user_id="team-a/other",gen_ai_token_type="input"}`, envoy + `{job="gateway",user_id="team-a/coders",gen_ai_token_type="cached_input"}`,
				`gen_ai_client_token_usage_token_count{job="gateway",user_id="team-a/coders",gen_ai_token_type="input"}`,
			},
		},
	}

	if len(queries) != len(cases) {
		t.Errorf("the documentation has the queries %v", queries)
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in := []promSeries{
				{tc.query + tc.labels + `,instance="a"}`, gone}, {tc.query + tc.labels + `,instance="b"}`, missed}, {tc.query + tc.labels + `,instance="c"}`, there},
			}
			for _, other := range tc.beside {
				in = append(in, promSeries{other, nothing})
			}

			at := func(when string, want float64) map[string]any {
				return map[string]any{"eval_time": when, "expr": queries[tc.query], "exp_samples": []any{map[string]any{"labels": "{}", "value": want}}}
			}

			promtool(t, "test", "rules", write(t, map[string]any{"tests": []any{map[string]any{
				"interval": "30s", "input_series": in,
				"promql_expr_test": []any{at("5m", 3000), at("14m", 2000+2000+2800), at("16m", 2000+3000+3200)},
			}}}))
		})
	}
}
