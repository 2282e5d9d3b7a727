package compose

import (
	"context"
	"maps"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/utils/ptr"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/response"

	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
)

// A Function serves Crossplane's calls. The zero value but for its logger is ready to use, by many callers at once.
type Function struct {
	fnv1.UnimplementedFunctionRunnerServiceServer

	Log logging.Logger

	catalogs catalogCache
}

// How long an answer is good for when nothing else happens. All we compose is watched, so mostly something does; but
// Crossplane's circuit breaker drops events of a composite that had too many, the last one and a user's edit like any
// other, and what was dropped is not told again. So a pool that is under way, whose status has just changed or for which
// the breaker is open is looked at again soon, and a settled one now and then.
const (
	ttlSettled   = 10 * time.Minute
	ttlUnsettled = 10 * time.Second
)

// RunFunction composes a claim. A request that cannot be served is answered with a Fatal result, upon which Crossplane
// changes and deletes nothing.
func (f *Function) RunFunction(_ context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	rsp := response.To(req, ttlSettled)

	c, err := f.compose(req)
	if err != nil {
		refusal(rsp, err)

		return rsp, nil
	}

	if c.keda {
		if err := needKEDA(req, rsp); err != nil {
			refusal(rsp, err)

			return rsp, nil
		}
	}

	if err := addDesired(rsp, c); err != nil {
		refusal(rsp, err)
	}

	if c.Status.unsettled {
		rsp.Meta.Ttl = durationpb.New(ttlUnsettled)
	}

	return rsp, nil
}

// needKEDA asks whether KEDA is installed, and refuses if it is known not to be. A first call does not know, and is repeated with the
// answer before anything comes of it.
func needKEDA(req *fnv1.RunFunctionRequest, rsp *fnv1.RunFunctionResponse) error {
	if rsp.GetRequirements() == nil {
		rsp.Requirements = &fnv1.Requirements{}
	}

	if rsp.Requirements.Resources == nil {
		rsp.Requirements.Resources = map[string]*fnv1.ResourceSelector{}
	}

	rsp.Requirements.Resources[kedaDefinition] = &fnv1.ResourceSelector{
		ApiVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition", Match: &fnv1.ResourceSelector_MatchName{MatchName: kedaDefinition},
	}

	if got, known := req.GetRequiredResources()[kedaDefinition]; known && len(got.GetItems()) == 0 {
		return refuse(v1alpha1.ReasonKEDANotInstalled, "spec.scaling.engine is KEDA, which is not installed in this cluster: have it installed, or set engine: Native")
	}

	return nil
}

func (f *Function) compose(req *fnv1.RunFunctionRequest) (Composition, error) {
	cat, err := f.catalogs.get(req.GetInput())
	if err != nil {
		return Composition{}, err
	}

	observed := make(map[string]*structpb.Struct, len(req.GetObserved().GetResources()))
	for name, r := range req.GetObserved().GetResources() {
		observed[name] = r.GetResource()
	}

	return Compose(req.GetObserved().GetComposite().GetResource(), cat, observed)
}

// addDesired adds a composition to what the functions before us want, which passes through untouched. The request stays
// as it was: what we add to goes into copies.
func addDesired(rsp *fnv1.RunFunctionResponse, c Composition) error {
	want := make(map[string]*fnv1.Resource, len(rsp.GetDesired().GetResources())+len(c.Resources))
	maps.Copy(want, rsp.GetDesired().GetResources())

	for name, r := range c.Resources {
		if _, taken := want[name]; taken {
			return refuse(v1alpha1.ReasonInvalidCatalog, "an earlier step of the Composition's pipeline already composes %q: rename it there", name)
		}

		want[name] = &fnv1.Resource{Resource: r.Object, Ready: ready(r.Ready)}
	}

	rsp.Desired = &fnv1.State{
		Composite: withStatus(rsp.GetDesired().GetComposite(), c.Status),
		Resources: want,
	}

	for _, cond := range c.Status.Conditions {
		addCondition(rsp, cond)
	}

	// Results become events, so only a transition is one.
	if s := c.Status; s.Before != s.Phase && s.Before != "" {
		response.Normalf(rsp, "the pool went from %s to %s: %s", s.Before, s.Phase, s.Message).
			WithReason("PhaseChanged").TargetCompositeAndClaim()
	}

	return nil
}

// withStatus returns the composite's desired state with our status in it, beside what other functions say there.
func withStatus(xr *fnv1.Resource, s Status) *fnv1.Resource {
	status := &structpb.Struct{Fields: make(map[string]*structpb.Value)}
	maps.Copy(status.GetFields(), field(xr.GetResource(), "status").GetStructValue().GetFields())
	maps.Copy(status.GetFields(), s.Fields.GetFields())

	fields := make(map[string]*structpb.Value, 1)
	maps.Copy(fields, xr.GetResource().GetFields())
	fields["status"] = structpb.NewStructValue(status)

	return &fnv1.Resource{
		Resource:          &structpb.Struct{Fields: fields},
		ConnectionDetails: xr.GetConnectionDetails(),
		Ready:             ready(s.Ready()),
	}
}

// refusal answers that a request cannot be served, in a condition that stays and a result that becomes an event.
func refusal(rsp *fnv1.RunFunctionResponse, err error) {
	c := Condition{Type: v1alpha1.ConditionAccepted, Reason: v1alpha1.ReasonInvalidClaim, Message: err.Error()}

	var r *Refusal
	if errors.As(err, &r) {
		c.Reason = r.Reason
	}

	addCondition(rsp, c)
	rsp.Results = append(rsp.Results, &fnv1.Result{
		Severity: fnv1.Severity_SEVERITY_FATAL,
		Message:  err.Error(),
		Reason:   ptr.To(string(c.Reason)),
		Target:   fnv1.Target_TARGET_COMPOSITE_AND_CLAIM.Enum(),
	})
}

func addCondition(rsp *fnv1.RunFunctionResponse, c Condition) {
	status := fnv1.Status_STATUS_CONDITION_FALSE
	if c.True {
		status = fnv1.Status_STATUS_CONDITION_TRUE
	}

	rsp.Conditions = append(rsp.Conditions, &fnv1.Condition{
		Type:    string(c.Type),
		Status:  status,
		Reason:  string(c.Reason),
		Message: ptr.To(c.Message),
		Target:  fnv1.Target_TARGET_COMPOSITE_AND_CLAIM.Enum(),
	})
}

func ready(r bool) fnv1.Ready {
	if r {
		return fnv1.Ready_READY_TRUE
	}

	return fnv1.Ready_READY_FALSE
}
