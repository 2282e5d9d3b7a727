package compose

import (
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	"k8s.io/utils/ptr"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
	"github.com/southwest-ai/agent-operator/internal/scale"
)

// The defaults of the API, for callers who come without an API server, such as a rendering on a laptop.
const (
	defaultReplicas             = 1
	defaultMinReplicas          = 1
	defaultMaxReplicas          = 100
	defaultQueueDepthTarget     = 5
	defaultStabilizationSeconds = 300
	defaultCheckpointInterval   = 60
	maxDim                      = 65535
)

// A Refusal is a request that cannot be served as it is written. Its message says what to do.
type Refusal struct {
	Reason  xpv2.ConditionReason
	Message string
}

// Error returns the refusal's message.
func (r *Refusal) Error() string { return r.Message }

func refuse(reason xpv2.ConditionReason, format string, args ...any) error {
	return &Refusal{Reason: reason, Message: fmt.Sprintf(format, args...)}
}

// A Claim is what a team asked for, whether its object is a namespaced composite resource or a claim.
type Claim struct {
	Name      string
	Namespace string
	Spec      v1alpha1.AIDispatcherSpec
	// RestoreFrom is the earlier state that is asked for, or empty.
	RestoreFrom string
}

// readClaim reads a claim from a composite resource: a namespaced one is the claim itself, a legacy one names it.
func readClaim(xr *structpb.Struct) (Claim, error) {
	c := Claim{Name: text(xr, "metadata", "name"), Namespace: text(xr, "metadata", "namespace")}
	if c.Namespace == "" {
		c.Name, c.Namespace = text(xr, "spec", "claimRef", "name"), text(xr, "spec", "claimRef", "namespace")
	}

	if c.Name == "" || c.Namespace == "" {
		return c, refuse(v1alpha1.ReasonInvalidClaim, "composite resource %q has neither a namespace nor a claim: create an AIDispatcher in a namespace", text(xr, "metadata", "name"))
	}

	c.RestoreFrom = text(xr, "metadata", "annotations", monitorapi.AnnotationRestoreFrom)

	if err := decodeSpec(xr, &c.Spec); err != nil {
		return c, refuse(v1alpha1.ReasonInvalidClaim, "cannot read spec: %s", err)
	}

	defaultSpec(&c.Spec)

	return c, validateSpec(&c.Spec)
}

// decodeSpec reads the fields this version knows; the others are Crossplane's.
func decodeSpec(xr *structpb.Struct, into *v1alpha1.AIDispatcherSpec) error {
	b, err := json.Marshal(field(xr, "spec").GetStructValue().AsMap())
	if err != nil {
		return errors.Wrap(err, "cannot encode")
	}

	return errors.Wrap(json.Unmarshal(b, into), "cannot decode")
}

func defaultSpec(s *v1alpha1.AIDispatcherSpec) {
	if s.Replicas == nil {
		s.Replicas = ptr.To[int32](defaultReplicas)
	}

	if m := s.MemoryConfig; m != nil && m.Distance == "" {
		m.Distance = agentv1alpha1.DistanceCosine
	}

	if c := s.Checkpoint; c != nil && c.IntervalSeconds == nil {
		c.IntervalSeconds = ptr.To[int32](defaultCheckpointInterval)
	}

	if s.Scaling != nil {
		defaultScaling(s.Scaling)
	}
}

func defaultScaling(s *v1alpha1.Scaling) {
	if s.MinReplicas == nil {
		s.MinReplicas = ptr.To[int32](defaultMinReplicas)
	}

	if s.MaxReplicas == nil {
		s.MaxReplicas = ptr.To[int32](defaultMaxReplicas)
	}

	if s.Engine == "" {
		s.Engine = v1alpha1.EngineNative
	}

	if s.Engine == v1alpha1.EngineKEDA {
		if s.KEDA == nil {
			s.KEDA = &v1alpha1.KEDA{}
		}

		if s.KEDA.Scaler == "" {
			s.KEDA.Scaler = v1alpha1.KEDAScalerExternal
		}
	}

	if len(s.Metrics) == 0 {
		s.Metrics = []v1alpha1.Metric{{Type: v1alpha1.MetricQueueDepth, Target: defaultQueueDepthTarget}}
	}

	if s.ScaleDown == nil {
		s.ScaleDown = &v1alpha1.ScaleDown{}
	}

	if s.ScaleDown.StabilizationSeconds == nil {
		s.ScaleDown.StabilizationSeconds = ptr.To[int32](defaultStabilizationSeconds)
	}
}

// validateSpec repeats the API's own rules, because a pipeline may run where no API server checked them.
func validateSpec(s *v1alpha1.AIDispatcherSpec) error {
	switch {
	case s.Role == "":
		return refuse(v1alpha1.ReasonInvalidClaim, "spec.role is empty: name a role of the platform's catalog")
	case s.ModelRef == "" && s.ModelEndpoint == "":
		return refuse(v1alpha1.ReasonInvalidClaim, "name a model: set spec.modelRef to a model of the platform's catalog, or spec.modelEndpoint to the URL of one")
	case *s.Replicas < 1:
		return refuse(v1alpha1.ReasonInvalidClaim, "spec.replicas is %d and must be at least 1; to run no worker for a while set suspend: true", *s.Replicas)
	}

	if s.ModelEndpoint != "" {
		if err := checkURL(s.ModelEndpoint); err != nil {
			return refuse(v1alpha1.ReasonInvalidClaim, "spec.modelEndpoint %s", err)
		}
	}

	if err := validateMemoryConfig(s.MemoryConfig); err != nil {
		return err
	}

	return validateScaling(s.Scaling)
}

func validateScaling(s *v1alpha1.Scaling) error {
	if s == nil {
		return nil
	}

	if *s.MinReplicas < 1 {
		return refuse(v1alpha1.ReasonInvalidClaim, "spec.scaling.minReplicas is %d and must be at least 1; to run no worker for a while set suspend: true", *s.MinReplicas)
	}

	if *s.MinReplicas > *s.MaxReplicas {
		return refuse(v1alpha1.ReasonInvalidClaim, "spec.scaling.minReplicas (%d) must not be larger than maxReplicas (%d): lower the one or raise the other", *s.MinReplicas, *s.MaxReplicas)
	}

	for _, m := range s.Metrics {
		if m.Target < 1 {
			return refuse(v1alpha1.ReasonInvalidClaim, "spec.scaling.metrics: the target of %s is %d and must be at least 1", m.Type, m.Target)
		}

		if (m.Type == v1alpha1.MetricPrometheus) != (m.Query != "") {
			return refuse(v1alpha1.ReasonInvalidClaim, "spec.scaling.metrics: type Prometheus needs a query, and no other type has one")
		}
	}

	for _, c := range s.Schedules {
		if _, err := scale.ParseSchedule(c.Schedule, c.TimeZone, time.Duration(c.DurationSeconds)*time.Second, c.MinReplicas); err != nil {
			return refuse(v1alpha1.ReasonInvalidClaim, "spec.scaling.schedules: %s", err)
		}

		if c.MinReplicas > *s.MaxReplicas {
			return refuse(v1alpha1.ReasonInvalidClaim, "spec.scaling.schedules: %q asks for at least %d workers, and maxReplicas is %d: lower the one or raise the other", c.Schedule, c.MinReplicas, *s.MaxReplicas)
		}
	}

	return validateKEDA(s)
}

// checkURL says in a sentence's second half what is wrong with a base URL.
func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return errors.Errorf("%q is not a URL such as https://models.example.org/v1", s)
	}

	if u.User != nil {
		return errors.New("must not carry a user or a password: a key belongs in a Secret that the catalog's model names")
	}

	return nil
}
