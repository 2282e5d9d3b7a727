package monitor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/southwest-ai/agent-operator/internal/monitor/meter"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// otelMetrics are figures of the model proxy by the names of OpenTelemetry's conventions for generative AI, as they are
// written in Prometheus, with the buckets that the conventions advise.
type otelMetrics struct {
	tokens, seconds *prometheus.HistogramVec
}

func newOTelMetrics(reg prometheus.Registerer, labels prometheus.Labels) *otelMetrics {
	names := []string{"gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_response_model"}
	m := &otelMetrics{
		tokens: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gen_ai_client_token_usage", Help: "Tokens of a request, as the model server billed them.", ConstLabels: labels,
			Buckets: prometheus.ExponentialBuckets(1, 4, 14),
		}, append(names, "gen_ai_token_type")),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "gen_ai_client_operation_duration_seconds", Help: "Time of a request to the model server.", ConstLabels: labels,
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 14),
		}, append(names, "error_type")),
	}
	reg.MustRegister(m.tokens, m.seconds)

	return m
}

// observe takes in a request. A request without an error has an empty error_type, which Prometheus takes for none.
func (m *otelMetrics) observe(r meter.Request, outcome, asked, billed string, took time.Duration, result meter.Result) {
	if m == nil {
		return
	}

	provider := "openai"
	if r.API == meter.Messages {
		provider = "anthropic"
	}

	failure := outcome
	if outcome == outcomeOK {
		failure = ""
	}

	m.seconds.WithLabelValues(r.API.String(), provider, asked, billed, failure).Observe(took.Seconds())

	if result.Told {
		m.tokens.WithLabelValues(r.API.String(), provider, asked, billed, monitorapi.DirectionInput).Observe(float64(result.Usage.Input))

		if r.API != meter.Embeddings {
			m.tokens.WithLabelValues(r.API.String(), provider, asked, billed, monitorapi.DirectionOutput).Observe(float64(result.Usage.Output))
		}
	}
}
