package monitor

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/southwest-ai/agent-operator/internal/monitor/meter"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// series returns what a registry has whose names begin with a word: of a histogram how often and how much.
func series(t *testing.T, reg prometheus.Gatherer, begin string) map[string]string {
	t.Helper()

	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}

	out := map[string]string{}

	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), begin) {
			continue
		}

		for _, m := range f.GetMetric() {
			var labels []string

			for _, l := range m.GetLabel() {
				if l.GetValue() != "" {
					labels = append(labels, l.GetName()+"="+l.GetValue())
				}
			}

			value := fmt.Sprint(m.GetGauge().GetValue())
			if h := m.GetHistogram(); h != nil {
				value = fmt.Sprint(h.GetSampleCount())

				// How long something took is no two times the same.
				if !strings.HasSuffix(f.GetName(), "_seconds") {
					value += fmt.Sprint(" of ", h.GetSampleSum())
				}
			}

			out[f.GetName()+" "+strings.Join(labels, " ")] = value
		}
	}

	return out
}

// figuresOf asks a model server through a proxy, one after another, and returns what that tells.
func figuresOf(t *testing.T, c ProxyConfig, model http.HandlerFunc, begin string, requests ...[2]string) map[string]string {
	t.Helper()

	srv := httptest.NewServer(model)
	defer srv.Close()

	c.Endpoint, c.Protocol = srv.URL, ProtocolOpenAI
	reg := prometheus.NewRegistry()

	p, err := NewProxy(c, reg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()

	for _, r := range requests {
		rsp := httptest.NewRecorder()
		p.ServeHTTP(rsp, httptest.NewRequestWithContext(t.Context(), http.MethodPost, r[0], strings.NewReader(r[1])))
	}

	return series(t, reg, begin)
}

// OpenTelemetry's names are told where they are asked for, with the labels of its conventions; and the worker's own labels
// are on all of them.
func TestOTelNames(t *testing.T) {
	id := monitorapi.Status{Namespace: "team-a", Dispatcher: "pool", Role: "coder"}
	own := func(s string) string {
		return strings.NewReplacer("DISPATCHER", monitorapi.LabelDispatcherName+"=pool", "NAMESPACE", monitorapi.LabelNamespace+"=team-a", "ROLE", monitorapi.LabelRoleName+"=coder").Replace(s)
	}
	embedded := `{"model":"e-2","data":[],"usage":{"prompt_tokens":3,"total_tokens":3}}`
	message := `{"model":"c-2","content":[],"usage":{"input_tokens":4,"output_tokens":2}}`

	cases := map[string]struct {
		reason, path, body string
		model              http.HandlerFunc
		off                bool
		want               map[string]string
	}{
		"Chat": {
			reason: "An answer is a time, its input and its output.", path: "/v1/chat/completions", body: `{"model":"m"}`, model: say(200, whole),
			want: map[string]string{
				"gen_ai_client_token_usage DISPATCHER gen_ai_operation_name=chat gen_ai_provider_name=openai gen_ai_request_model=m gen_ai_response_model=m-2 gen_ai_token_type=input NAMESPACE ROLE":  "1 of 7",
				"gen_ai_client_token_usage DISPATCHER gen_ai_operation_name=chat gen_ai_provider_name=openai gen_ai_request_model=m gen_ai_response_model=m-2 gen_ai_token_type=output NAMESPACE ROLE": "1 of 5",
				"gen_ai_client_operation_duration_seconds DISPATCHER gen_ai_operation_name=chat gen_ai_provider_name=openai gen_ai_request_model=m gen_ai_response_model=m-2 NAMESPACE ROLE":           "1",
			},
		},
		"Messages": {
			reason: "Anthropic's API is another provider's.", path: "/v1/messages", body: `{"model":"c"}`, model: say(200, message),
			want: map[string]string{
				"gen_ai_client_token_usage DISPATCHER gen_ai_operation_name=chat gen_ai_provider_name=anthropic gen_ai_request_model=c gen_ai_response_model=c-2 gen_ai_token_type=input NAMESPACE ROLE":  "1 of 4",
				"gen_ai_client_token_usage DISPATCHER gen_ai_operation_name=chat gen_ai_provider_name=anthropic gen_ai_request_model=c gen_ai_response_model=c-2 gen_ai_token_type=output NAMESPACE ROLE": "1 of 2",
				"gen_ai_client_operation_duration_seconds DISPATCHER gen_ai_operation_name=chat gen_ai_provider_name=anthropic gen_ai_request_model=c gen_ai_response_model=c-2 NAMESPACE ROLE":           "1",
			},
		},
		"Embeddings": {
			reason: "Embeddings have no output.", path: "/v1/embeddings", body: `{"model":"e"}`, model: say(200, embedded),
			want: map[string]string{
				"gen_ai_client_token_usage DISPATCHER gen_ai_operation_name=embeddings gen_ai_provider_name=openai gen_ai_request_model=e gen_ai_response_model=e-2 gen_ai_token_type=input NAMESPACE ROLE": "1 of 3",
				"gen_ai_client_operation_duration_seconds DISPATCHER gen_ai_operation_name=embeddings gen_ai_provider_name=openai gen_ai_request_model=e gen_ai_response_model=e-2 NAMESPACE ROLE":          "1",
			},
		},
		"Limited": {
			reason: "An error is a time and no tokens, and its model may be anything.", path: "/v1/chat/completions", body: `{"model":"whatever"}`, model: say(429, "slow"),
			want: map[string]string{"gen_ai_client_operation_duration_seconds DISPATCHER error_type=limited gen_ai_operation_name=chat gen_ai_provider_name=openai gen_ai_request_model=other gen_ai_response_model=other NAMESPACE ROLE": "1"},
		},
		"Off": {reason: "Nobody has to have them.", path: "/v1/chat/completions", body: `{"model":"m"}`, model: say(200, whole), off: true, want: map[string]string{}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := figuresOf(t, ProxyConfig{Identity: id, OTelNames: !tc.off}, tc.model, "gen_ai_", [2]string{tc.path, tc.body})
			want := map[string]string{}

			for k, v := range tc.want {
				// Labels are in the order of their names.
				words := strings.Fields(own(k))
				slices.Sort(words[1:])
				want[strings.Join(words, " ")] = v
			}

			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("\n%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// What a server last said of its limits is told, also with an error, and until it says otherwise.
func TestRateLimitGauges(t *testing.T) {
	first := say(200, whole, "X-Ratelimit-Limit-Requests", "60", "X-Ratelimit-Remaining-Requests", "59", "X-Ratelimit-Reset-Requests", "1s", "X-Ratelimit-Limit-Tokens", "9000")
	second := say(429, "slow", "X-Ratelimit-Remaining-Requests", "0", "X-Ratelimit-Reset-Requests", "17ms", "X-Ratelimit-Limit-Tokens", "many")
	request := [2]string{"/v1/chat/completions", `{"model":"m"}`}

	told := map[string]string{
		monitorapi.MetricRateLimit + " field=limit resource=requests":         "60",
		monitorapi.MetricRateLimit + " field=remaining resource=requests":     "59",
		monitorapi.MetricRateLimit + " field=reset_seconds resource=requests": "1",
		monitorapi.MetricRateLimit + " field=limit resource=tokens":           "9000",
	}
	if diff := cmp.Diff(told, figuresOf(t, ProxyConfig{}, first, monitorapi.MetricRateLimit, request)); diff != "" {
		t.Errorf("after an answer: -want, +got:\n%s", diff)
	}

	later := maps.Clone(told)
	later[monitorapi.MetricRateLimit+" field=remaining resource=requests"] = "0"
	later[monitorapi.MetricRateLimit+" field=reset_seconds resource=requests"] = "0.017"

	if diff := cmp.Diff(later, figuresOf(t, ProxyConfig{}, then(first, second), monitorapi.MetricRateLimit, request, request)); diff != "" {
		t.Errorf("after a refusal: -want, +got:\n%s", diff)
	}

	if diff := cmp.Diff(map[string]string{}, figuresOf(t, ProxyConfig{}, say(200, whole), monitorapi.MetricRateLimit, request)); diff != "" {
		t.Errorf("of a server that says nothing: -want, +got:\n%s", diff)
	}
}

// What a request will cost is estimated from what those before it did, by the same API, and from no more output than it allows.
func TestCosts(t *testing.T) {
	learnOf := func(api meter.API, e extent, in, out int64, times int) func(*costs) {
		return func(c *costs) {
			for range times {
				c.learn(api, e, meter.Usage{Input: in, Output: out})
			}
		}
	}
	learn := func(api meter.API, words, in, out int64, times int) func(*costs) {
		return learnOf(api, extent{words: words}, in, out, times)
	}

	cases := map[string]struct {
		reason  string
		before  func(*costs)
		request meter.Request
		length  int64
		inlined int64
		want    int64
	}{
		"First":      {reason: "A token has about four letters, and most answers are short.", request: meter.Request{API: meter.Chat}, length: 400, want: 100 + firstOutput + 1},
		"Allows":     {reason: "An answer is no longer than the agent allows.", request: meter.Request{API: meter.Chat, MaxOutput: 20}, length: 400, want: 100 + 20 + 1},
		"AllowsAll":  {reason: "That it allows much says nothing.", request: meter.Request{API: meter.Chat, MaxOutput: 1 << 40}, length: 400, want: 100 + firstOutput + 1},
		"Empty":      {reason: "No request is free.", request: meter.Request{API: meter.Embeddings}, want: 1},
		"Embeddings": {reason: "Embeddings have no output.", request: meter.Request{API: meter.Embeddings}, length: 40, want: 11},
		"Once":       {reason: "One answer says little.", before: learn(meter.Chat, 100, 125, 1512, 1), request: meter.Request{API: meter.Chat}, length: 100, want: 35 + 612 + 1},
		"Often":      {reason: "Many say it all.", before: learn(meter.Chat, 100, 200, 10000, 200), request: meter.Request{API: meter.Chat}, length: 100, want: 199 + 9999 + 1},
		"Other":      {reason: "Another API costs something else.", before: learn(meter.Chat, 100, 200, 10000, 200), request: meter.Request{API: meter.Messages}, length: 100, want: 25 + firstOutput + 1},
		"Image":      {reason: "An image costs what one does.", request: meter.Request{API: meter.Chat}, length: 400, inlined: 2, want: 100 + 2*firstTokensPerPiece + firstOutput + 1},
		"ImageOften": {reason: "What images did cost says nothing of words.", before: learnOf(meter.Chat, extent{words: 400, inlined: 2}, 300, 100, 200), request: meter.Request{API: meter.Chat}, length: 400, inlined: 1, want: 100 + 100 + 100 + 1},
		"NoLength":   {reason: "What was sent without a length says nothing of its input.", before: learn(meter.Chat, 0, 5000, firstOutput, 9), request: meter.Request{API: meter.Chat}, length: 100, want: 25 + firstOutput + 1},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var c costs
			if tc.before != nil {
				tc.before(&c)
			}

			if got := c.estimate(tc.request, extent{words: tc.length, inlined: tc.inlined}); got != tc.want {
				t.Errorf("\n%s\n%d, want %d", tc.reason, got, tc.want)
			}
		})
	}
}

// What is inlined in a request is no words: its length says nothing of what it costs.
func TestMeasure(t *testing.T) {
	image := strings.Repeat("iVBORw0KGgo/", 1<<10)

	cases := map[string]struct {
		reason, begin string
		length        int64 // that of begin if 0
		want          extent
	}{
		"Empty":       {reason: "Nothing has no words."},
		"Words":       {reason: "All of it is words.", begin: `{"a":"some words"}`, want: extent{words: 18}},
		"Images":      {reason: "Images are none.", begin: `["data:image/png;base64,` + image + `", "` + image + `"]`, want: extent{words: 30, inlined: 2}},
		"Escaped":     {reason: "Some clients write slashes so.", begin: `{"data":"` + strings.ReplaceAll(image, "/", `\/`) + `"}`, want: extent{words: 11, inlined: 1}},
		"LastOfIt":    {reason: "It may end within an image.", begin: `{"data":"` + image, want: extent{words: 9, inlined: 1}},
		"ShortRun":    {reason: "A long name, or a line of letters, is worded.", begin: strings.Repeat("x", shortestInlined-1), want: extent{words: shortestInlined - 1}},
		"ChineseText": {reason: "Letters that a client escapes are words.", begin: strings.Repeat(`\u4f60`, 1<<10), want: extent{words: 6 << 10}},
		"RestAlike":   {reason: "What is not known is like what is.", begin: "some:" + image + ":text", length: 10 * int64(len(image)+10), want: extent{words: 100, inlined: 10}},
		"RestUnknown": {reason: "Of what nothing is known all may be words.", length: 400, want: extent{words: 400}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if got := measure([]byte(tc.begin), max(tc.length, int64(len(tc.begin)))); got != tc.want {
				t.Errorf("\n%s\n%+v, want %+v", tc.reason, got, tc.want)
			}
		})
	}
}
