package compose

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/structpb"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
)

// A scaledObject is KEDA's, as far as we write it. Its Go types would bring all of KEDA along.
type scaledObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		ScaleTargetRef  map[string]string `json:"scaleTargetRef"`
		MinReplicaCount *int32            `json:"minReplicaCount"`
		MaxReplicaCount *int32            `json:"maxReplicaCount"`
		PollingInterval *int32            `json:"pollingInterval"`
		Fallback        *struct {
			FailureThreshold int32 `json:"failureThreshold"`
			Replicas         int32 `json:"replicas"`
		} `json:"fallback"`
		Triggers []struct {
			Type              string             `json:"type"`
			Metadata          map[string]string  `json:"metadata"`
			MetricType        string             `json:"metricType"`
			AuthenticationRef *map[string]string `json:"authenticationRef"`
		} `json:"triggers"`
		Advanced struct {
			HorizontalPodAutoscalerConfig struct {
				Behavior autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior"`
			} `json:"horizontalPodAutoscalerConfig"`
		} `json:"advanced"`
	} `json:"spec"`
}

const kedaClaim = `
apiVersion: southwest.ai/v1alpha1
kind: AIDispatcher
metadata: {name: coder-agent-pool, namespace: team-a}
spec:
  role: coder
  modelRef: gpt-4
  scaling: {engine: KEDA}
`

// kedaRequest is a call for a claim of which the scaling is changed, in a platform whose KEDA has a Prometheus.
func kedaRequest(t *testing.T, scaling string, observed map[string]*structpb.Struct) *fnv1.RunFunctionRequest {
	t.Helper()

	req := request(t, parseStruct(t, strings.Replace(kedaClaim, "{engine: KEDA}", scaling, 1)), observed)
	req.Input.Fields["keda"] = asValue(object{
		"scaler":     object{"address": "scaler.example.org:443", "tls": true, "authenticationRef": object{"name": "aidispatcher"}},
		"prometheus": object{"serverAddress": "https://prometheus.example.org", "authModes": "bearer", "authenticationRef": object{"kind": "TriggerAuthentication", "name": "mine"}},
	})

	return req
}

// What a ScaledObject says, and who the AgentScaler leaves the size to.
func TestScaledObject(t *testing.T) {
	const external = `
minReplicaCount: 1
maxReplicaCount: 1000
scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: coder-agent-pool}
triggers:
- type: external-push
  metadata: {scalerAddress: "scaler.example.org:443", enableTLS: "true"}
  authenticationRef: {kind: ClusterTriggerAuthentication, name: aidispatcher}
advanced:
  horizontalPodAutoscalerConfig:
    behavior:
      scaleUp: {stabilizationWindowSeconds: 0, tolerance: "0", policies: [{type: Pods, value: 1000, periodSeconds: 15}]}
      scaleDown: {stabilizationWindowSeconds: 0, tolerance: "0", policies: [{type: Percent, value: 100, periodSeconds: 15}]}
`

	const prometheus = `
minReplicaCount: 2
maxReplicaCount: 9
pollingInterval: 30
fallback: {failureThreshold: 4, replicas: 2}
scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: coder-agent-pool}
triggers:
- type: prometheus
  metricType: AverageValue
  metadata:
    serverAddress: https://prometheus.example.org
    authModes: bearer
    query: sum(agent_queue_depth{namespace="team-a", dispatcher="coder-agent-pool"} and timestamp(agent_queue_depth{namespace="team-a", dispatcher="coder-agent-pool"}) > time() - 60)
    threshold: "3"
    ignoreNullValues: "false"
  authenticationRef: {kind: TriggerAuthentication, name: mine}
- type: prometheus
  metricType: AverageValue
  metadata:
    serverAddress: https://prometheus.example.org
    authModes: bearer
    query: sum(mine)
    threshold: "7"
    ignoreNullValues: "false"
  authenticationRef: {kind: TriggerAuthentication, name: mine}
advanced:
  horizontalPodAutoscalerConfig:
    behavior:
      scaleUp: {stabilizationWindowSeconds: 0, policies: [{type: Pods, value: 2, periodSeconds: 15}]}
      scaleDown: {stabilizationWindowSeconds: 60}
`

	cases := map[string]struct {
		reason  string
		scaling string
		want    string
		sizedBy string
	}{
		"External": {
			reason:  "KEDA writes what the provider says, as it says it, within no bounds but the provider's.",
			scaling: "{engine: KEDA, minReplicas: 2, maxReplicas: 9}",
			want:    external,
			sizedBy: "KEDA",
		},
		"Prometheus": {
			reason: "KEDA decides: no data is not zero, and nothing known is not none.",
			scaling: `{engine: KEDA, keda: {scaler: Prometheus}, minReplicas: 2, maxReplicas: 9, scaleUp: {maxStep: 2}, fallback: {afterSeconds: 100, replicas: 0},
    scaleDown: {stabilizationSeconds: 60}, metrics: [{type: QueueDepth, target: 3}, {type: Prometheus, target: 7, query: sum(mine)}]}`,
			want:    prometheus,
			sizedBy: "Others",
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rsp := run(t, newFunction(), kedaRequest(t, tc.scaling, nil))

			got := rsp.GetDesired().GetResources()[resourceScaledObject].GetResource()
			if diff := cmp.Diff(parseStruct(t, tc.want), field(got, "spec").GetStructValue(), protocmp.Transform()); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}

			if by := text(rsp.GetDesired().GetResources()[resourceAgentScaler].GetResource(), "spec", "forProvider", "sizedBy"); by != tc.sizedBy {
				t.Errorf("%s\nthe AgentScaler's size is written by %q, want %q", tc.reason, by, tc.sizedBy)
			}

			checkSchema(t, rsp)
		})
	}
}

// A suspended pool has no workers by KEDA's own means.
func TestScaledObjectSuspended(t *testing.T) {
	rsp := run(t, newFunction(), kedaRequest(t, "{engine: KEDA}\n  suspend: true", nil))

	so := rsp.GetDesired().GetResources()[resourceScaledObject]
	if n := text(so.GetResource(), "metadata", "annotations", "autoscaling.keda.sh/paused-replicas"); n != "0" || so.GetReady() != fnv1.Ready_READY_TRUE {
		t.Errorf("the ScaledObject is paused at %q, and %s", n, so.GetReady())
	}
}

// Whether KEDA is there is asked, and where it is not nothing is changed.
func TestKEDAInstalled(t *testing.T) {
	cases := map[string]struct {
		reason   string
		required map[string]*fnv1.Resources
		refused  bool
	}{
		"NotAsked": {reason: "A first call does not know, and is repeated."},
		"There": {
			reason:   "KEDA is there.",
			required: map[string]*fnv1.Resources{kedaDefinition: {Items: []*fnv1.Resource{{Resource: &structpb.Struct{}}}}},
		},
		"Missing": {
			reason:   "A pool that nobody would size is refused.",
			required: map[string]*fnv1.Resources{kedaDefinition: {}},
			refused:  true,
		},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			req := kedaRequest(t, "{engine: KEDA}", nil)
			req.RequiredResources = tc.required

			rsp := run(t, newFunction(), req)
			if got := rsp.GetRequirements().GetResources()[kedaDefinition].GetMatchName(); got != kedaDefinition {
				t.Errorf("%s\nit asks for %q", tc.reason, got)
			}

			refused := len(rsp.GetResults()) > 0 && rsp.GetResults()[0].GetSeverity() == fnv1.Severity_SEVERITY_FATAL && rsp.GetResults()[0].GetReason() == "KEDANotInstalled"
			if refused != tc.refused || refused == (len(rsp.GetDesired().GetResources()) > 0) {
				t.Errorf("%s\nrefused: %t, with %d resources, want %t", tc.reason, refused, len(rsp.GetDesired().GetResources()), tc.refused)
			}
		})
	}

	// Others have no need of KEDA.
	if r := run(t, newFunction(), request(t, parseStruct(t, strings.Replace(kedaClaim, "KEDA", "Native", 1)), nil)).GetRequirements(); r != nil {
		t.Errorf("a pool without KEDA asks for %v", r)
	}
}

// The pool says whether KEDA sizes it, and what keeps it from that.
func TestKEDACondition(t *testing.T) {
	so := func(conditions string) *structpb.Struct {
		return parseStruct(t, "status: {conditions: ["+conditions+"]}")
	}
	ready := `{type: Ready, status: "True"}`
	unknown := strings.Replace(scalerYAML, `ScalingActive, status: "True", reason: FixedSize`, `ScalingActive, status: "False", reason: LoadUnknown`, 1)

	cases := map[string]struct {
		reason, scaling, scaler string
		so                      *structpb.Struct
		want                    string
	}{
		"Sized":      {reason: "All is well.", scaling: "{engine: KEDA}", scaler: scalerYAML, so: so(ready), want: "SizedByKEDA"},
		"Silent":     {reason: "Nobody looks at ScaledObjects.", scaling: "{engine: KEDA}", scaler: scalerYAML, so: so(""), want: "KEDANotReady"},
		"Broken":     {reason: "KEDA has an objection.", scaling: "{engine: KEDA}", scaler: scalerYAML, so: so(`{type: Ready, status: "False", message: no}`), want: "KEDANotReady"},
		"HPA":        {reason: "The HPA gets no figures.", scaling: "{engine: KEDA}", scaler: scalerYAML, so: so(ready + `, {type: HPAActive, status: "False", reason: FailedGetExternalMetric}`), want: "KEDANotReady"},
		"NoData":     {reason: "The provider has an objection.", scaling: "{engine: KEDA}", scaler: unknown, so: so(ready), want: "LoadUnknown"},
		"Prometheus": {reason: "Where KEDA decides, the provider's word is none.", scaling: "{engine: KEDA, keda: {scaler: Prometheus}}", scaler: unknown, so: so(ready), want: "SizedByKEDA"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			rsp := run(t, newFunction(), kedaRequest(t, tc.scaling, map[string]*structpb.Struct{resourceAgentScaler: parseStruct(t, tc.scaler), resourceScaledObject: tc.so}))

			for _, c := range rsp.GetConditions() {
				if c.GetType() == "ScalingActive" && c.GetReason() != tc.want {
					t.Errorf("%s\nScalingActive is %s, want %s: %s", tc.reason, c.GetReason(), tc.want, c.GetMessage())
				}
			}
		})
	}
}
