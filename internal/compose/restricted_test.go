package compose

import (
	"testing"

	"google.golang.org/protobuf/types/known/structpb"
	appsv1 "k8s.io/api/apps/v1"
	psa "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// refusedBy returns why the "restricted" pod security standard, as Kubernetes' own admission judges by it, refuses the workers of
// an answer; empty where it takes them.
func refusedBy(t *testing.T, standard policy.Evaluator, workers *structpb.Struct) string {
	t.Helper()

	d := &appsv1.Deployment{}
	strictly(t, resourceDeployment, workers, d)

	template := d.Spec.Template
	latest := psa.LevelVersion{Level: psa.LevelRestricted, Version: psa.LatestVersion()}

	result := policy.AggregateCheckResults(standard.EvaluatePod(latest, &template.ObjectMeta, &template.Spec))

	return result.ForbiddenDetail()
}

// The workers of every example may run in a namespace that enforces the "restricted" pod security standard.
func TestExamplesAreRestricted(t *testing.T) {
	standard, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}

	for name, e := range examples(t) {
		t.Run(name, func(t *testing.T) {
			d := e.ready(t).GetDesired().GetResources()[resourceDeployment].GetResource()
			if why := refusedBy(t, standard, d); why != "" {
				t.Error(why)
			}

			// It is these workers that are judged.
			spec := field(d, "spec", "template", "spec").GetStructValue()
			spec.Fields["hostNetwork"] = structpb.NewBoolValue(true)

			if refusedBy(t, standard, d) == "" {
				t.Error("workers on the node's network are taken")
			}
		})
	}
}
