package monitor

import (
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A worker's share is that of its annotation, else the one it started with; one that cannot be read changes nothing.
func TestShare(t *testing.T) {
	m, err := compose(Config{
		ModelEndpoint: "http://127.0.0.1:1", ModelProtocol: ProtocolOpenAI, TokenShare: "0", BudgetWait: time.Second,
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}

	defer m.close()

	for _, step := range []struct {
		annotation string
		want       int64
	}{{"", 0}, {"600", 600}, {"many", 600}, {"", 0}} {
		m.worker.Obey(map[string]string{monitorapi.AnnotationTokenShare: step.annotation})

		if diff := cmp.Diff(&monitorapi.Budget{TokensPerMinute: step.want}, m.worker.Status().Budget); diff != "" {
			t.Errorf("share %q: -want, +got:\n%s", step.annotation, diff)
		}
	}
}
