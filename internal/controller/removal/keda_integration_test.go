//go:build integration

package removal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"

	"github.com/southwest-ai/agent-operator/internal/controller/keda"
	pb "github.com/southwest-ai/agent-operator/internal/controller/keda/externalscaler"
	"github.com/southwest-ai/agent-operator/internal/controller/removal"
)

const metricsAPI = "/apis/external.metrics.k8s.io/v1beta1"

// A sizer is who writes a pool's size in the provider's place: a real HorizontalPodAutoscaler, as KEDA makes it of the ScaledObject in the
// examples, that gets its metric from the provider's external scaler, as by KEDA's adapter.
type sizer struct {
	*pool

	demands *keda.Demands
	pools   *removal.Pools
}

func newSizer(t *testing.T) *sizer {
	t.Helper()

	s := &sizer{pool: newPool(t), demands: keda.NewDemands()}
	s.pools = s.provider(kube)

	adapter := httptest.NewTLSServer(s.adapter(s.serve()))
	t.Cleanup(adapter.Close)

	_, port, err := net.SplitHostPort(adapter.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}

	// A Service that is a name leads out of a cluster that has no network.
	s.make(`{apiVersion: v1, kind: Service, metadata: {name: keda-metrics-apiserver, namespace: ` + s.namespace + `}, spec: {type: ExternalName, externalName: localhost}}`)
	s.make(fmt.Sprintf(`{apiVersion: apiregistration.k8s.io/v1, kind: APIService, metadata: {name: v1beta1.external.metrics.k8s.io}, spec: {group: external.metrics.k8s.io,
  version: v1beta1, groupPriorityMinimum: 100, versionPriority: 100, insecureSkipTLSVerify: true, service: {name: keda-metrics-apiserver, namespace: %s, port: %s}}}`, s.namespace, port))

	hpa := s.parse(`{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: keda-hpa-coder, namespace: ` + s.namespace + `}, spec: {minReplicas: 1,
  maxReplicas: 1000, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: coder},
  metrics: [{type: External, external: {metric: {name: s0-workers}, target: {type: AverageValue, averageValue: "1"}}}]}}`)
	if err := unstructured.SetNestedMap(hpa.Object, exampleBehavior(t), "spec", "behavior"); err != nil {
		t.Fatal(err)
	}

	s.create(hpa)

	return s
}

// exampleBehavior returns what the example's ScaledObject has of the HPA's behavior.
func exampleBehavior(t *testing.T) map[string]any {
	t.Helper()

	b, err := os.ReadFile(filepath.Join("..", "..", "..", "examples", "scaling-keda", "rendered.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	for _, doc := range bytes.Split(b, []byte("\n---\n")) {
		o := map[string]any{}
		if err := yaml.Unmarshal(doc, &o); err != nil {
			t.Fatal(err)
		}

		if o["kind"] == "ScaledObject" {
			out, _, err := unstructured.NestedMap(o, "spec", "advanced", "horizontalPodAutoscalerConfig", "behavior")
			if err != nil || out == nil {
				t.Fatalf("the example's ScaledObject has no behavior: %v", err)
			}

			return integers(out).(map[string]any)
		}
	}

	t.Fatal("the example has no ScaledObject")

	return nil
}

// integers has numbers as the API server's client wants them.
func integers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = integers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = integers(v[i])
		}
	case float64:
		return int64(v)
	}

	return v
}

func (s *sizer) parse(y string) *unstructured.Unstructured {
	s.t.Helper()

	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(y), &o.Object); err != nil {
		s.t.Fatal(err)
	}

	integers(o.Object)

	return o
}

func (s *sizer) make(y string) { s.t.Helper(); s.create(s.parse(y)) }

func (s *sizer) create(o *unstructured.Unstructured) {
	s.t.Helper()

	if err := kube.Create(s.t.Context(), o); err != nil {
		s.t.Fatal(err)
	}

	s.t.Cleanup(func() {
		if err := kube.Delete(context.Background(), o); err != nil {
			s.t.Error(err)
		}
	})
}

// serve runs the provider's external scaler, and returns a client of it.
func (s *sizer) serve() pb.ExternalScalerClient {
	s.t.Helper()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}

	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		s.t.Fatal(err)
	}

	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)

	go func() { done <- keda.NewServer(s.demands, addr, "", logging.NewNopLogger()).Start(ctx) }()

	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		s.t.Fatal(err)
	}

	s.t.Cleanup(func() {
		_ = conn.Close()

		cancel()

		if err := <-done; err != nil {
			s.t.Error(err)
		}
	})

	return pb.NewExternalScalerClient(conn)
}

// adapter answers the HPA as KEDA's does.
func (s *sizer) adapter(c pb.ExternalScalerClient) http.Handler {
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")

		_ = json.NewEncoder(w).Encode(v)
	}

	mux := http.NewServeMux()
	mux.HandleFunc(metricsAPI, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "external.metrics.k8s.io/v1beta1", "resources": []any{
			map[string]any{"name": "externalmetrics", "singularName": "", "namespaced": true, "kind": "ExternalMetricValueList", "verbs": []string{"get"}},
		}})
	})
	mux.HandleFunc(metricsAPI+"/namespaces/{ns}/{metric}", func(w http.ResponseWriter, r *http.Request) {
		got, err := c.GetMetrics(r.Context(), &pb.GetMetricsRequest{
			ScaledObjectRef: &pb.ScaledObjectRef{Namespace: r.PathValue("ns"), Name: "coder"}, MetricName: strings.TrimPrefix(r.PathValue("metric"), "s0-"),
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)

			return
		}

		answer(w, map[string]any{"kind": "ExternalMetricValueList", "apiVersion": "external.metrics.k8s.io/v1beta1", "metadata": map[string]any{}, "items": []any{
			map[string]any{"metricName": r.PathValue("metric"), "metricLabels": nil, "timestamp": time.Now().UTC().Format(time.RFC3339), "value": fmt.Sprint(got.GetMetricValues()[0].GetMetricValue())},
		}})
	})

	return mux
}

// sized has the provider go on, and the HPA write, until the pool has the size that is wanted and nothing is left to do.
func (s *sizer) sized(want int) {
	s.t.Helper()

	key := types.NamespacedName{Namespace: s.namespace, Name: "coder"}

	s.until(fmt.Sprintf("%d workers, by the HPA", want), func() error {
		policy := policyFor(want)
		policy.Asks, policy.Asked, policy.AtOnce = true, s.demands.Asked(key), size

		r, err := s.pools.Advance(s.t.Context(), s.scaler, policy)
		if r.Ask >= 0 {
			s.demands.Ask(key, r.Ask)
		}

		if _, err := s.running(); err != nil {
			s.t.Fatal(err)
		}

		if err == nil && (!r.Quiet() || r.View.Replicas != want) {
			err = fmt.Errorf("%d replicas of %d asked for, cap %d, %+v", r.View.Replicas, r.Ask, r.View.Cap, r.Done)
		}

		return err
	})
	s.clean(want)
}

// Where an HPA writes the size that KEDA asks the provider for, the right workers go all the same, none too early; a size that is near the
// one before is written, too.
func TestKEDAWritesTheSize(t *testing.T) {
	s := newSizer(t)
	s.sized(1)
	s.spared()
	s.sized(21)
	s.sized(20)
	s.spared()

	if r, err := s.pools.Advance(t.Context(), s.scaler, policyFor(20)); err != nil || len(r.Done) > 0 {
		t.Errorf("the provider that sizes the pool again finds something to do: %+v, %v", r.Done, errors.Unwrap(err))
	}
}
