// Package operate serves Crossplane's Operations: it asks the Checkpoints that an Operation has selected for something, by an
// annotation. It must not know how a Checkpoint does it, nor open a connection.
package operate

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
	kjson "sigs.k8s.io/json"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	fnv1 "github.com/crossplane/function-sdk-go/proto/v1"
	"github.com/crossplane/function-sdk-go/response"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/apis/input/v1beta1"
)

// The annotation that asks a Checkpoint for each action.
var annotations = map[v1beta1.Action]string{
	v1beta1.ActionCheckpointNow: agentv1alpha1.AnnotationCheckpointNow,
	v1beta1.ActionScrubNow:      agentv1alpha1.AnnotationScrubNow,
}

// A Function serves Operations, and has all other calls served by another.
type Function struct {
	fnv1.UnimplementedFunctionRunnerServiceServer

	// Compose serves what is no Operation.
	Compose fnv1.FunctionRunnerServiceServer
	// Now names requests: each call's is its own.
	Now func() time.Time
}

// RunFunction serves a call. One whose input is a PoolOperation is an Operation's. A request that cannot be served is answered with
// a Fatal result, upon which Crossplane changes nothing and tries again.
func (f *Function) RunFunction(ctx context.Context, req *fnv1.RunFunctionRequest) (*fnv1.RunFunctionResponse, error) {
	if text(req.GetInput(), "kind") != v1beta1.PoolOperationKind {
		return f.Compose.RunFunction(ctx, req)
	}

	rsp := response.To(req, response.DefaultTTL)

	in, err := parse(req.GetInput())
	if err != nil {
		response.Fatal(rsp, err)

		return rsp, nil
	}

	if len(req.GetRequiredResources()) == 0 {
		response.Fatal(rsp, errors.Errorf("the Operation selects nothing: name Checkpoints (%s) under requirements.requiredResources of its step", agentv1alpha1.GroupVersion))

		return rsp, nil
	}

	ask(rsp, in.Action, selected(req), f.Now().UTC().Format("2006-01-02T15:04:05.000Z"))

	return rsp, nil
}

// parse decodes an input strictly. Its errors name the field.
func parse(input *structpb.Struct) (*v1beta1.PoolOperation, error) {
	if av := text(input, "apiVersion"); av != v1beta1.GroupVersion.String() {
		return nil, errors.Errorf("the Operation's input is a %s %s and must be a %s", av, v1beta1.PoolOperationKind, v1beta1.GroupVersion)
	}

	b, err := input.MarshalJSON()
	if err != nil {
		return nil, errors.Wrap(err, "cannot read the Operation's input")
	}

	in := &v1beta1.PoolOperation{}

	strict, err := kjson.UnmarshalStrict(b, in)
	if err := errors.Join(append(strict, err)...); err != nil {
		return nil, errors.Wrap(err, "cannot read the Operation's input")
	}

	if annotations[in.Action] == "" {
		return nil, errors.Errorf("the Operation's action is %q and must be one of %q", in.Action, slices.Sorted(maps.Keys(annotations)))
	}

	return in, nil
}

// A key names a Checkpoint.
type key struct{ namespace, name string }

// selected returns the Checkpoints that are there, each once. What else an Operation requires, such as what it watches, is not ours.
func selected(req *fnv1.RunFunctionRequest) []key {
	gv := agentv1alpha1.GroupVersion.String()
	seen := map[key]bool{}

	for _, r := range req.GetRequiredResources() {
		for _, item := range r.GetItems() {
			o := item.GetResource()
			meta := o.GetFields()["metadata"].GetStructValue()

			if text(o, "kind") == agentv1alpha1.CheckpointGroupVersionKind.Kind && text(o, "apiVersion") == gv && text(meta, "deletionTimestamp") == "" {
				seen[key{text(meta, "namespace"), text(meta, "name")}] = true
			}
		}
	}

	return slices.SortedFunc(maps.Keys(seen), func(a, b key) int {
		return slices.Compare([]string{a.namespace, a.name}, []string{b.namespace, b.name})
	})
}

// ask has Crossplane annotate the Checkpoints, and change nothing else of them.
func ask(rsp *fnv1.RunFunctionResponse, action v1beta1.Action, of []key, request string) {
	desired := make(map[string]*fnv1.Resource, len(of)+len(rsp.GetDesired().GetResources()))
	maps.Copy(desired, rsp.GetDesired().GetResources())

	for _, k := range of {
		desired["checkpoint/"+k.namespace+"/"+k.name] = &fnv1.Resource{Resource: object(map[string]*structpb.Value{
			"apiVersion": structpb.NewStringValue(agentv1alpha1.GroupVersion.String()),
			"kind":       structpb.NewStringValue(agentv1alpha1.CheckpointGroupVersionKind.Kind),
			"metadata": structpb.NewStructValue(object(map[string]*structpb.Value{
				"namespace":   structpb.NewStringValue(k.namespace),
				"name":        structpb.NewStringValue(k.name),
				"annotations": structpb.NewStructValue(object(map[string]*structpb.Value{annotations[action]: structpb.NewStringValue(request)})),
			})),
		})}
	}

	rsp.Desired = &fnv1.State{Composite: rsp.GetDesired().GetComposite(), Resources: desired}
	rsp.Output = object(map[string]*structpb.Value{
		"action":      structpb.NewStringValue(string(action)),
		"request":     structpb.NewStringValue(request),
		"checkpoints": structpb.NewNumberValue(float64(len(of))),
	})

	if len(of) == 0 {
		response.Warning(rsp, errors.New("none of the Checkpoints that the Operation selects is there"))

		return
	}

	response.Normal(rsp, fmt.Sprintf("asked %d Checkpoints for %s, request %s", len(of), action, request))
}

func object(fields map[string]*structpb.Value) *structpb.Struct {
	return &structpb.Struct{Fields: fields}
}

func text(s *structpb.Struct, field string) string {
	return s.GetFields()[field].GetStringValue()
}
