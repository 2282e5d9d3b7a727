package monitor

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

const (
	words     = "data: {\"model\":\"m-2\",\"choices\":[{\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\n"
	lastUsage = "data: {\"model\":\"m-2\",\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":5,\"prompt_tokens_details\":{\"cached_tokens\":2},\"completion_tokens_details\":{\"reasoning_tokens\":1}}}\n\n"
	doneMark  = "data: [DONE]\n\n"
	whole     = `{"model":"m-2","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":5}}`
	streamed  = `{"model":"m","stream":true}`
)

func sse(events ...string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")

		for _, e := range events {
			fmt.Fprint(rw, e)
			_ = http.NewResponseController(rw).Flush()
		}
	}
}

func say(code int, body string, header ...string) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")

		for i := 0; i < len(header); i += 2 {
			rw.Header().Set(header[i], header[i+1])
		}

		rw.WriteHeader(code)
		fmt.Fprint(rw, body)
	}
}

func then(first, second http.HandlerFunc) http.HandlerFunc {
	n := 0

	return func(rw http.ResponseWriter, r *http.Request) {
		n++
		if n == 1 {
			first(rw, r)
		} else {
			second(rw, r)
		}
	}
}

func zipped(text string) string {
	var b bytes.Buffer

	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text)
	_ = w.Close()

	return b.String()
}

func breakOff(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

func both(handlers ...http.HandlerFunc) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		for _, h := range handlers {
			h(rw, r)
		}
	}
}

// An accounted request is what the agent saw of it and what was counted: the series without their names' beginning.
type accounted struct {
	Code    int
	Body    string
	Broken  bool
	Counted map[string]float64
	Settled []int64
}

var billedOnce = map[string]float64{
	"requests_total outcome=ok model=m-2": 1, "tokens_total direction=input model=m-2": 7, "tokens_total direction=output model=m-2": 5,
	"tokens_detail_total detail=cached model=m-2": 2, "tokens_detail_total detail=reasoning model=m-2": 1,
}

func plain(counted map[string]float64, pairs ...any) map[string]float64 {
	out := map[string]float64{}
	for k, v := range counted {
		out[k] = v
	}

	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i].(string)] = float64(pairs[i+1].(int))
	}

	return out
}

func outcomeOf(outcome string) map[string]float64 {
	return map[string]float64{"requests_total outcome=" + outcome + " model=other": 1}
}

func missing(outcome, reason string) map[string]float64 {
	return plain(outcomeOf(outcome), "usage_missing_total reason="+reason+" model=other", 1)
}

func TestOutcomes(t *testing.T) {
	noDetails := plain(billedOnce, "tokens_detail_total detail=cached model=m-2", 0, "tokens_detail_total detail=reasoning model=m-2", 0)
	refusal := `{"error":{"message":"unknown field: stream_options"}}`

	cases := map[string]struct {
		reason, path, body string
		model              http.HandlerFunc
		want               accounted
	}{
		"Stream":      {"The usage is asked for, counted, and hidden.", "", streamed, sse(words, lastUsage, doneMark), accounted{200, words + doneMark, false, billedOnce, []int64{12}}},
		"Asked":       {"Who asked for the usage sees it.", "", `{"model":"m","stream":true,"stream_options":{"include_usage":true}}`, sse(words, lastUsage, doneMark), accounted{200, words + lastUsage + doneMark, false, billedOnce, []int64{12}}},
		"Whole":       {"A whole answer tells its usage.", "", `{"model":"m"}`, say(200, whole), accounted{200, whole, false, noDetails, []int64{12}}},
		"Zipped":      {"An answer that came compressed is read all the same.", "", `{"model":"m"}`, say(200, zipped(whole), "Content-Encoding", "gzip"), accounted{200, zipped(whole), false, noDetails, []int64{12}}},
		"ZippedShown": {"In what is compressed nothing is hidden.", "", streamed, say(200, zipped(words+lastUsage), "Content-Encoding", "gzip", "Content-Type", "text/event-stream"), accounted{200, zipped(words + lastUsage), false, billedOnce, []int64{12}}},
		"Brotli":      {"What cannot be read is missing, and passes.", "", `{"model":"m"}`, say(200, "br", "Content-Encoding", "br"), accounted{200, "br", false, missing("ok", "encoding"), []int64{estimated}}},
		"Absent":      {"A server may not tell.", "", streamed, sse(words, doneMark), accounted{200, words + doneMark, false, missing("ok", "absent"), []int64{estimated}}},
		"Unreadable":  {"A usage may be nonsense.", "", `{"model":"m"}`, say(200, `{"usage":{"prompt_tokens":-1}}`), accounted{200, `{"usage":{"prompt_tokens":-1}}`, false, missing("ok", "unreadable"), []int64{estimated}}},
		"Failed":      {"A server may fail midway.", "", streamed, sse(words, "data: {\"error\":{}}\n\n"), accounted{200, words + "data: {\"error\":{}}\n\n", false, missing("failed", "failed"), []int64{estimated}}},
		"Broken":      {"A stream that breaks off breaks off for the agent, too.", "", streamed, both(sse(words), breakOff), accounted{200, words, true, missing("broken", "broken"), []int64{estimated}}},
		"BrokenLate":  {"What was billed is counted though the stream broke off.", "", streamed, both(sse(words, lastUsage), breakOff), accounted{200, words, true, brokenLate(), []int64{12}}},
		"Rejected":    {"A wrong request bills nothing.", "", `{"model":"m"}`, say(404, "no"), accounted{404, "no", false, outcomeOf("rejected"), []int64{0}}},
		"Limited":     {"Nor one too many.", "", `{"model":"m"}`, say(429, "slow"), accounted{429, "slow", false, outcomeOf("limited"), []int64{0}}},
		"Down":        {"Nor does a server that is down.", "", `{"model":"m"}`, say(503, "down"), accounted{503, "down", false, outcomeOf("failed"), []int64{0}}},
		"Fallback":    {"A server that refuses to be asked is asked without.", "", streamed, then(say(400, refusal), sse(words, doneMark)), accounted{200, words + doneMark, false, missing("ok", "absent"), []int64{estimated}}},
		"OtherFault":  {"What is wrong for other reasons is not sent again.", "", streamed, then(say(400, "bad"), sse(words)), accounted{400, "bad", false, outcomeOf("rejected"), []int64{0}}},
		"StillWrong":  {"What is still wrong is told.", "", streamed, say(422, refusal), accounted{422, refusal, false, outcomeOf("rejected"), []int64{0}}},
		"NoAnswer":    {"A server that hangs up may have worked.", "", `{"model":"m"}`, breakOff, accounted{502, "", false, outcomeOf("unreachable"), []int64{estimated}}},
		"Uncounted":   {"Anything else passes.", "/v1/files", `{"model":"m"}`, say(200, whole), accounted{200, whole, false, outcomeOf("unmetered"), nil}},
		"Redirected":  {"Where to is the agent's to decide.", "", `{"model":"m"}`, say(307, "", "Location", "/elsewhere"), accounted{307, "", false, outcomeOf("rejected"), []int64{0}}},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			model := httptest.NewServer(tc.model)
			defer model.Close()

			if tc.path == "" {
				tc.path = "/v1/chat/completions"
			}

			m := startMetered(t, model.URL)
			got := m.post(t, tc.path, tc.body)

			if got.Code == http.StatusBadGateway {
				got.Body = ""
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

func brokenLate() map[string]float64 {
	out := plain(billedOnce, "requests_total outcome=broken model=m-2", 1)
	delete(out, "requests_total outcome=ok model=m-2")

	return out
}

// estimated stands for whatever was estimated.
const estimated = -1

// A metered proxy has a budget that admits all, and remembers what was settled.
type metered struct {
	url     string
	reg     *prometheus.Registry
	proxy   *Proxy
	settled chan int64
	client  *http.Client
	// stop ends it. It may be called again.
	stop func()
}

func startMetered(tb testing.TB, endpoint string) *metered {
	tb.Helper()

	m := &metered{reg: prometheus.NewRegistry(), settled: make(chan int64, 100)}

	p, err := NewProxy(ProxyConfig{
		Endpoint: endpoint, Protocol: ProtocolOpenAI, AskForUsage: true, OTelNames: true,
		Admit: func(_ context.Context, estimate int64) (func(int64), error) {
			return func(used int64) {
				if used == estimate {
					used = estimated
				}

				m.settled <- used
			}, nil
		},
	}, m.reg, slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}

	srv := httptest.NewServer(p)
	m.proxy, m.url = p, srv.URL
	// As bytes came.
	m.client = &http.Client{
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}

	m.stop = func() { m.client.CloseIdleConnections(); srv.Close(); p.Close() }
	tb.Cleanup(m.stop)

	return m
}

// post asks, and waits until that has been counted.
func (m *metered) post(t *testing.T, path, body string) accounted {
	t.Helper()

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, m.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}

	rsp, err := m.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer rsp.Body.Close()

	b, err := io.ReadAll(rsp.Body)
	got := accounted{Code: rsp.StatusCode, Body: string(b), Broken: err != nil}

	if path == "/v1/chat/completions" {
		select {
		case n := <-m.settled:
			got.Settled = append(got.Settled, n)
		case <-time.After(10 * time.Second):
			t.Fatal("the request was not settled")
		}
	}

	got.Counted = m.counted(t)

	return got
}

// counted returns the counters of the model's figures.
func (m *metered) counted(t *testing.T) map[string]float64 {
	t.Helper()

	families, err := m.reg.Gather()
	if err != nil {
		t.Fatal(err)
	}

	out := map[string]float64{}

	for _, f := range families {
		short, ok := strings.CutPrefix(strings.Replace(f.GetName(), "agent_model_", "agent_", 1), "agent_")
		if !ok {
			continue
		}

		for _, s := range f.GetMetric() {
			if s.GetCounter() == nil {
				continue
			}

			key := short

			for _, by := range []string{monitorapi.LabelDirection, monitorapi.LabelDetail, monitorapi.LabelOutcome, monitorapi.LabelReason, monitorapi.LabelModel} {
				for _, l := range s.GetLabel() {
					if l.GetName() == by {
						key += " " + by + "=" + l.GetValue()
					}
				}
			}

			out[key] = s.GetCounter().GetValue()
		}
	}

	return out
}
