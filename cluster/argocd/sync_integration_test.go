//go:build integration

package argocd_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/argoproj/argo-cd/gitops-engine/pkg/cache"
	argosync "github.com/argoproj/argo-cd/gitops-engine/pkg/sync"
	synccommon "github.com/argoproj/argo-cd/gitops-engine/pkg/sync/common"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/kube"
	"github.com/argoproj/argo-cd/gitops-engine/pkg/utils/tracing"
	"github.com/argoproj/argo-cd/v3/common"
	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/argo"
	"github.com/argoproj/argo-cd/v3/util/lua"
	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const platformApp = "aidispatcher-platform"

// An application is what Argo CD does for one Application.
type application struct {
	cfg     *rest.Config
	client  client.Client
	cache   cache.ClusterCache
	kubectl kube.Kubectl
}

// start lets Argo CD look at a cluster.
func start(t *testing.T, cfg *rest.Config, c client.Client) *application {
	t.Helper()

	tracking := argo.NewResourceTracking()
	seen := cache.NewClusterCache(cfg, cache.SetLogr(logr.Discard()), cache.SetPopulateResourceInfoHandler(
		func(o *unstructured.Unstructured, _ bool) (any, bool) {
			app := tracking.GetAppName(o, common.LabelKeyAppInstance, v1alpha1.TrackingMethodAnnotation, "")

			return app, app != ""
		}))

	if err := seen.EnsureSynced(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { seen.Invalidate() })

	return &application{cfg: cfg, client: c, cache: seen, kubectl: &kube.KubectlCmd{Log: logr.Discard(), Tracer: tracing.NopTracer{}}}
}

// A progress is how far a sync has come.
type progress struct {
	phase   synccommon.OperationPhase
	message string
	results []synccommon.ResourceSyncResult
}

// sync makes the cluster what Git says, step by step as Argo CD's controller does, until that is done or ctx ends.
func (a *application) sync(ctx context.Context, t *testing.T, git []*unstructured.Unstructured, o ...argosync.SyncOpt) progress {
	t.Helper()

	for _, obj := range git {
		if err := argo.NewResourceTracking().SetAppInstance(obj, common.LabelKeyAppInstance, platformApp, "crossplane-system", v1alpha1.TrackingMethodAnnotation, ""); err != nil {
			t.Fatal(err)
		}
	}

	o = append(o, argosync.WithServerSideApply(true), argosync.WithServerSideApplyManager(common.ArgoCDSSAManager), argosync.WithLogr(logr.Discard()))
	p, started := progress{phase: synccommon.OperationRunning}, metav1.Now()

	for ctx.Err() == nil && !p.phase.Completed() {
		live, err := a.cache.GetManagedLiveObjs(git, func(r *cache.Resource) bool { return r.Info == platformApp })
		if err != nil {
			t.Fatal(err)
		}

		step := append(slices.Clone(o), argosync.WithInitialState(p.phase, p.message, p.results, started))

		s, cleanup, err := argosync.NewSyncContext("v0.1.0", argosync.Reconcile(git, live, "crossplane-system", a.cache), a.cfg, a.cfg, a.kubectl, "crossplane-system", step...)
		if err != nil {
			t.Fatal(err)
		}

		s.Sync()
		p.phase, p.message, p.results = s.GetState()

		cleanup()

		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}

	return p
}

// exists says whether the cluster has an object.
func (a *application) exists(ctx context.Context, t *testing.T, o *unstructured.Unstructured) bool {
	t.Helper()

	err := a.client.Get(ctx, client.ObjectKeyFromObject(o), o.DeepCopy())
	if err != nil && !kerrors.IsNotFound(err) {
		t.Errorf("cannot get %s %s: %v", o.GetKind(), o.GetName(), err)
	}

	return err == nil
}

// report writes the status of a package as Crossplane does.
func (a *application) report(ctx context.Context, o *unstructured.Unstructured, healthy, reason string) error {
	live := o.DeepCopy()
	if err := a.client.Get(ctx, client.ObjectKeyFromObject(o), live); err != nil {
		return err
	}

	now := time.Now().UTC().Format(time.RFC3339)
	live.Object["status"] = map[string]any{"conditions": []any{
		map[string]any{"type": "Installed", "status": "True", "reason": "ActivePackageRevision", "lastTransitionTime": now},
		map[string]any{"type": "Healthy", "status": healthy, "reason": reason, "lastTransitionTime": now},
	}}

	return a.client.Status().Update(ctx, live)
}

// play does what Crossplane does with packages: each is there before it is healthy. It returns whether what comes after them
// was there before all of them were.
func (a *application) play(ctx context.Context, t *testing.T, packages []*unstructured.Unstructured, after *unstructured.Unstructured) (early bool) {
	t.Helper()

	for _, say := range []struct{ healthy, reason string }{{"False", "UnhealthyPackageRevision"}, {"True", "HealthyPackageRevision"}} {
		for _, p := range packages {
			for a.report(ctx, p, say.healthy, say.reason) != nil {
				select {
				case <-ctx.Done():
					return early
				case <-time.After(20 * time.Millisecond):
				}
			}

			early = early || (say.healthy == "False" && a.exists(ctx, t, after))
		}
	}

	return early
}

// A sync by Argo CD's own engine waits for the packages before it goes on, is not put off by a package that starts, and
// removes none that nobody confirmed.
func TestSync(t *testing.T) {
	cfg, c := serve(t, crossplanes(t))
	app := start(t, cfg, c)
	ours := lua.ResourceHealthOverrides(overrides(t))

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	namespace := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": "crossplane-system"}}}
	if err := c.Create(ctx, namespace); err != nil {
		t.Fatal(err)
	}

	var packages, kept []*unstructured.Unstructured

	var composition *unstructured.Unstructured

	for _, o := range platform(t) {
		switch o.GetKind() {
		case "Function", "Provider", "Configuration":
			packages = append(packages, o)
		case "Composition":
			composition = o
		}

		if o.GetKind() != "Configuration" {
			kept = append(kept, o)
		}
	}

	early := false

	var crossplane sync.WaitGroup

	crossplane.Go(func() { early = app.play(ctx, t, packages, composition) })

	done := app.sync(ctx, t, platform(t), argosync.WithHealthOverride(ours))

	crossplane.Wait()

	if done.phase != synccommon.OperationSucceeded {
		t.Fatalf("%s: %s: %v", done.phase, done.message, done.results)
	}

	if early || !app.exists(ctx, t, composition) {
		t.Errorf("the Composition came before the packages were healthy: %t, or not at all", early)
	}

	testPrune(ctx, t, app, kept, packages)
}

// testPrune takes the Configuration out of Git.
func testPrune(ctx context.Context, t *testing.T, app *application, kept, packages []*unstructured.Unstructured) {
	t.Helper()

	ours := argosync.WithHealthOverride(lua.ResourceHealthOverrides(overrides(t)))

	short, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()

	waits := app.sync(short, t, kept, ours, argosync.WithPrune(true))
	want := []string{string(synccommon.OperationRunning), "waiting for pruning confirmation of pkg.crossplane.io/Configuration/southwest-ai-configuration-aidispatcher"}

	if diff := cmp.Diff(want, []string{string(waits.phase), waits.message}); diff != "" {
		t.Errorf("a sync that nobody confirmed: -want, +got:\n%s", diff)
	}

	if diff := cmp.Diff(map[string]bool{"Configuration": true, "Function": true, "Provider": true}, there(ctx, t, app, packages)); diff != "" {
		t.Errorf("nobody confirmed: -want, +got:\n%s", diff)
	}

	// There is no garbage collector beside this API server, which the default waits for.
	background := metav1.DeletePropagationBackground
	confirmed := []argosync.SyncOpt{ours, argosync.WithPrune(true), argosync.WithPruneConfirmed(true), argosync.WithPrunePropagationPolicy(&background)}

	if done := app.sync(ctx, t, kept, confirmed...); done.phase != synccommon.OperationSucceeded {
		t.Fatalf("%s: %s: %v", done.phase, done.message, done.results)
	}

	if diff := cmp.Diff(map[string]bool{"Configuration": false, "Function": true, "Provider": true}, there(ctx, t, app, packages)); diff != "" {
		t.Errorf("somebody confirmed: -want, +got:\n%s", diff)
	}
}

func there(ctx context.Context, t *testing.T, app *application, objects []*unstructured.Unstructured) map[string]bool {
	t.Helper()

	out := map[string]bool{}
	for _, o := range objects {
		out[o.GetKind()] = app.exists(ctx, t, o)
	}

	return out
}
