//go:build integration

package argocd_test

import (
	"context"
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/tracing"
	"github.com/argoproj/argo-cd/v3/common"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/argo"
	argodiff "github.com/argoproj/argo-cd/v3/util/argo/diff"
	"github.com/argoproj/argo-cd/v3/util/argo/normalizers"
	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A dryRunner asks the API server what would become of an object, as Argo CD's server-side diff does.
type dryRunner struct{ client client.Client }

// Run returns the object as it would be, in JSON.
func (r dryRunner) Run(ctx context.Context, o *unstructured.Unstructured, manager string) (string, error) {
	after := o.DeepCopy()
	if err := r.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(after), client.DryRunAll, client.ForceOwnership, client.FieldOwner(manager)); err != nil {
		return "", err
	}

	j, err := json.Marshal(after)

	return string(j), err
}

// A comparison is one of the ways in which Argo CD compares.
type comparison struct {
	client   client.Client
	parser   *managedfields.GvkParser
	settings map[string]v1alpha1.ResourceOverride
	server   bool
}

// differs says whether Argo CD shows a difference between Git and what there is.
func (c comparison) differs(t *testing.T, git, live *unstructured.Unstructured) bool {
	t.Helper()

	cfg, err := argodiff.NewDiffConfigBuilder().
		WithDiffSettings(nil, c.settings, false, normalizers.IgnoreNormalizerOpts{}).
		WithTracking(common.LabelKeyAppInstance, string(v1alpha1.TrackingMethodAnnotation)).
		WithNoCache().
		WithGVKParser(c.parser).
		WithManager(common.ArgoCDSSAManager).
		WithStructuredMergeDiff(!c.server).
		WithServerSideDiff(c.server).
		WithServerSideDryRunner(dryRunner{c.client}).
		Build()
	if err != nil {
		t.Fatal(err)
	}

	d, err := argodiff.StateDiff(live, git, cfg)
	if err != nil {
		t.Fatal(err)
	}

	if d.Modified {
		t.Logf("%s", cmp.Diff(string(d.PredictedLive), string(d.NormalizedLive)))
	}

	return d.Modified
}

// applied puts a pool into the cluster as Argo CD does, and lets Crossplane write to it what it does.
func applied(t *testing.T, c client.Client, name string) (git, live *unstructured.Unstructured) {
	t.Helper()

	git = read(t, "tree/teams/team-a/coders.yaml")
	git.SetName(name)
	git.SetNamespace("default")

	if err := argo.NewResourceTracking().SetAppInstance(git, common.LabelKeyAppInstance, "pools-team-a", "default", v1alpha1.TrackingMethodAnnotation, ""); err != nil {
		t.Fatal(err)
	}

	live = git.DeepCopy()
	if err := c.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(live), client.FieldOwner(common.ArgoCDSSAManager)); err != nil {
		t.Fatal(err)
	}

	live.SetFinalizers([]string{"composite.apiextensions.crossplane.io"})
	live.SetLabels(map[string]string{"crossplane.io/composite": name})
	set("aidispatcher", "spec", "crossplane", "compositionRef", "name")(t, live)

	if err := c.Update(t.Context(), live, client.FieldOwner("crossplane")); err != nil {
		t.Fatal(err)
	}

	seen := read(t, "testdata/health/pool/ready.yaml")
	live.Object["status"] = seen.Object["status"]

	if err := c.Status().Update(t.Context(), live, client.FieldOwner("crossplane")); err != nil {
		t.Fatal(err)
	}

	return git, live
}

// scale sets a pool's size by its scale subresource.
func scale(t *testing.T, c client.Client, pool *unstructured.Unstructured, to int64, manager string) {
	t.Helper()

	s := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "autoscaling/v1", "kind": "Scale"}}
	if err := c.SubResource("scale").Get(t.Context(), pool, s); err != nil {
		t.Fatal(err)
	}

	set(to, "spec", "replicas")(t, s)

	if err := c.SubResource("scale").Update(t.Context(), pool, client.WithSubResourceBody(s), client.FieldOwner(manager)); err != nil {
		t.Fatal(err)
	}

	if err := c.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil {
		t.Fatal(err)
	}
}

// What others write to a pool is no difference to Git, and what somebody changed by hand is.
func TestDifferences(t *testing.T) {
	cfg, c := serve(t, pools(t))

	_, parser, err := (&kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}).LoadOpenAPISchema(cfg)
	if err != nil {
		t.Fatal(err)
	}

	ours := overrides(t)
	without := maps.Clone(ours)
	delete(without, "southwest.ai/AIDispatcher")

	for name, tc := range map[string]struct {
		reason   string
		change   func(t *testing.T, git, live *unstructured.Unstructured)
		settings map[string]v1alpha1.ResourceOverride
		want     bool
	}{
		"Crossplane": {
			reason:   "What Crossplane, the API server and the function add is not in Git.",
			settings: ours,
		},
		"Autoscaler": {
			reason: "An autoscaler's size is its own.",
			change: func(t *testing.T, _, live *unstructured.Unstructured) {
				t.Helper()
				scale(t, c, live, 7, "kube-controller-manager")
			},
			settings: ours,
		},
		"AutoscalerWithoutSettings": {
			reason: "Without our settings Argo CD would put the size back.",
			change: func(t *testing.T, _, live *unstructured.Unstructured) {
				t.Helper()
				scale(t, c, live, 7, "kube-controller-manager")
			},
			settings: without, want: true,
		},
		"ByHand": {
			reason: "Somebody's kubectl scale is drift.",
			change: func(t *testing.T, _, live *unstructured.Unstructured) {
				t.Helper()
				scale(t, c, live, 7, "kubectl-scale")
			},
			settings: ours, want: true,
		},
		"Git": {
			reason: "Another size in Git is a change, while nobody else has the say.",
			change: func(t *testing.T, git, _ *unstructured.Unstructured) {
				t.Helper()
				set(int64(5), "spec", "replicas")(t, git)
			},
			settings: ours, want: true,
		},
		"GitBesideAutoscaler": {
			reason: "Another model in Git is a change, whoever has the say about the size.",
			change: func(t *testing.T, git, live *unstructured.Unstructured) {
				t.Helper()
				scale(t, c, live, 7, "kube-controller-manager")
				set("claude", "spec", "modelRef")(t, git)
			},
			settings: ours, want: true,
		},
		"SuspendedByAction": {
			reason: "A pool that somebody suspended stays so, as Git says nothing of it.",
			change: func(t *testing.T, _, live *unstructured.Unstructured) {
				t.Helper()
				set(true, "spec", "suspend")(t, live)

				if err := c.Update(t.Context(), live, client.FieldOwner("argocd-server")); err != nil {
					t.Fatal(err)
				}
			},
			settings: ours,
		},
	} {
		for way, server := range map[string]bool{"merge": false, "server": true} {
			t.Run(name+"/"+way, func(t *testing.T) {
				git, live := applied(t, c, strings.ToLower(name+"-"+way))
				if tc.change != nil {
					tc.change(t, git, live)
				}

				if got := (comparison{client: c, parser: parser, settings: tc.settings, server: server}).differs(t, git, live); got != tc.want {
					t.Errorf("%s Argo CD shows a difference: %t, want %t", tc.reason, got, tc.want)
				}
			})
		}
	}
}
