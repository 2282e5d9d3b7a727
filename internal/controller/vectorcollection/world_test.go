package vectorcollection

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/event"
	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler/managed"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"
	xpfake "github.com/crossplane/crossplane-runtime/v2/pkg/resource/fake"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/vector"
	"github.com/southwest-ai/agent-operator/internal/vector/memvector"
)

// errCrash is what a provider dies of in the middle of a call.
var errCrash = errors.New("crash")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A world is one VectorCollection, what it refers to, a store, and the whole reconciler: crossplane-runtime's over ours.
type world struct {
	store   *memvector.Store
	kube    client.WithWatch
	clients *Clients
	r       reconcile.Reconciler
	mg      *v1alpha1.VectorCollection
	events  []string
	offers  vector.Features
	// after is called after each call that changes the store; it may panic with errCrash.
	after func(call string)
}

func scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err)
		}
	}

	return s
}

// newWorld returns a world in which a VectorCollection of 3 dimensions is asked for, and more objects.
func newWorld(t *testing.T, change func(*v1alpha1.VectorCollection), objs ...client.Object) *world {
	t.Helper()

	mg := &v1alpha1.VectorCollection{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "coder", UID: "uid"},
		Spec: v1alpha1.VectorCollectionSpec{
			ManagedResourceSpec: xpv2.ManagedResourceSpec{
				ManagementPolicies:               xpv2.ManagementPolicies{xpv2.ManagementActionAll},
				ProviderConfigReference:          &xpv2.ProviderConfigReference{Kind: "ProviderConfig", Name: "memory"},
				WriteConnectionSecretToReference: &xpv2.LocalSecretReference{Name: "coder-memory"},
			},
			ForProvider: v1alpha1.VectorCollectionParameters{
				Collection: "one", Dim: 3, Distance: v1alpha1.DistanceCosine, Aliases: []string{"coder"}, OnDelete: v1alpha1.DataKeep,
			},
		},
	}
	if change != nil {
		change(mg)
	}

	w := &world{store: memvector.NewStore(), mg: mg, offers: memvector.Features}
	w.kube = fake.NewClientBuilder().WithScheme(scheme()).WithStatusSubresource(mg).
		WithIndex(&v1alpha1.VectorCollection{}, ConfigIndex, indexConfig).
		WithObjects(append(objs, mg, newConfig("ns", "memory"), newSecret("ns", "store", "admin:right"))...).Build()
	w.start()
	t.Cleanup(func() { w.clients.close() })

	return w
}

func newSecret(ns, name, content string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Data: map[string][]byte{"key": []byte(content)}}
}

func newConfig(ns, name string) *v1alpha1.ProviderConfig {
	return &v1alpha1.ProviderConfig{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
		Spec: v1alpha1.ProviderConfigSpec{VectorStore: &v1alpha1.VectorStore{
			Type: v1alpha1.StoreQdrant, Endpoint: "http://store.example.org:6334", Credentials: fromSecret(ns, "store"),
		}},
	}
}

func fromSecret(ns, name string) *v1alpha1.Credentials {
	return &v1alpha1.Credentials{Source: xpv2.CredentialsSourceSecret, CommonCredentialSelectors: xpv2.CommonCredentialSelectors{
		SecretRef: &xpv2.SecretKeySelector{SecretReference: xpv2.SecretReference{Namespace: ns, Name: name}, Key: "key"},
	}}
}

// start starts a provider: the first, or the next after a crash.
func (w *world) start() {
	if w.clients != nil {
		w.clients.close()
	}

	b := vector.Backend{Features: w.offers, Open: func(c vector.Config) (vector.Driver, error) {
		d, err := w.store.Open(c)

		return crashing{d, w}, err
	}}
	w.clients = newClients(w.kube, Backends{v1alpha1.StoreQdrant: b}, NewMetrics(), func(context.Context, configKey) {})

	c := &connector{
		again:   func(context.Context, *v1alpha1.VectorCollection) {},
		clients: w.clients, kube: w.kube, secrets: w.kube, pods: w.kube, record: w, log: logging.NewNopLogger(), cluster: "cluster", policies: true,
		usage: resource.NewProviderConfigUsageTracker(w.kube, &v1alpha1.ProviderConfigUsage{}),
	}
	w.r = newReconciler(&xpfake.Manager{Client: w.kube, Scheme: scheme()}, c, []managed.ReconcilerOption{
		managed.WithDeterministicExternalName(true), managed.WithManagementPolicies(), managed.WithCreationGracePeriod(0),
	})
}

// features starts a provider over a store that has others.
func (w *world) features(f vector.Features) {
	w.offers = f
	w.start()
}

// inNamespace selects what is in the world's namespace.
const inNamespace = client.InNamespace("ns")

// Event implements event.Recorder. It keeps our own events, and not those of crossplane-runtime.
func (w *world) Event(_ runtime.Object, e event.Event) {
	if r := string(e.Reason); strings.HasPrefix(r, "Collection") || strings.HasPrefix(r, "Aliases") || strings.HasPrefix(r, "Successor") || strings.HasPrefix(r, "Access") {
		w.events = append(w.events, r+": "+e.Message)
	}
}

// WithAnnotations implements event.Recorder.
func (w *world) WithAnnotations(...string) event.Recorder { return w }

// reconcile runs one reconcile, and says whether the next is due at once. A crash ends it.
func (w *world) reconcile(t *testing.T) (again bool) {
	t.Helper()

	defer func() {
		if r := recover(); r != nil && r != errCrash { //nolint:errorlint // It is what was thrown.
			panic(r)
		} else if r != nil {
			w.start()

			again = true
		}
	}()

	res, err := w.r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKeyFromObject(w.mg)})
	if err != nil {
		t.Fatalf("cannot reconcile: %v", err)
	}

	// Whatever asks for no later turn asks for one at once.
	return res.RequeueAfter == 0
}

// settle reconciles until nothing is due at once, and then once more: two in a row must agree.
func (w *world) settle(t *testing.T) {
	t.Helper()

	for range 30 {
		if w.gone(t) {
			return
		}

		before := w.snapshot(t)
		if !w.reconcile(t) && !w.gone(t) && cmp.Equal(before, w.snapshot(t)) {
			return
		}
	}

	t.Fatalf("it never comes to rest: %+v", w.get(t).Status)
}

func (w *world) gone(t *testing.T) bool {
	t.Helper()

	err := w.kube.Get(t.Context(), client.ObjectKeyFromObject(w.mg), &v1alpha1.VectorCollection{})

	return err != nil && client.IgnoreNotFound(err) == nil
}

func (w *world) get(t *testing.T) *v1alpha1.VectorCollection {
	t.Helper()

	mg := &v1alpha1.VectorCollection{}
	if err := w.kube.Get(t.Context(), client.ObjectKeyFromObject(w.mg), mg); err != nil {
		t.Fatal(err)
	}

	return mg
}

// snapshot returns the resource without its version, which the fake client raises by a write that changes nothing.
func (w *world) snapshot(t *testing.T) *v1alpha1.VectorCollection {
	t.Helper()

	mg := w.get(t)
	mg.SetResourceVersion("")

	return mg
}

// edit changes the resource as its owner does.
func (w *world) edit(t *testing.T, change func(*v1alpha1.VectorCollection)) {
	t.Helper()

	mg := w.get(t)
	change(mg)

	if err := w.kube.Update(t.Context(), mg); err != nil {
		t.Fatal(err)
	}
}

func (w *world) delete(t *testing.T) {
	t.Helper()

	if err := w.kube.Delete(t.Context(), w.get(t)); err != nil {
		t.Fatal(err)
	}
}

// details returns the connection secret's content.
func (w *world) details(t *testing.T) map[string]string {
	t.Helper()

	s := &corev1.Secret{}
	if err := w.kube.Get(t.Context(), types.NamespacedName{Namespace: "ns", Name: "coder-memory"}, s); err != nil {
		t.Fatal(err)
	}

	out := map[string]string{}
	for k, v := range s.Data {
		out[k] = string(v)
	}

	return out
}

// synced returns status, reason and message of the Synced condition.
func (w *world) synced(t *testing.T) string {
	t.Helper()

	c := w.get(t).GetCondition(xpv2.TypeSynced)

	return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
}

// contents tells what is in the store, for comparison.
func (w *world) contents(names ...string) string {
	var b strings.Builder

	for _, n := range names {
		st, ok := w.store.Get(n)
		if !ok {
			fmt.Fprintf(&b, "%s: none\n", n)

			continue
		}

		fmt.Fprintf(&b, "%s: dim %d, %d vectors, owner %q, aliases %v\n", n, st.Dim, *st.Vectors, st.Owner, st.Aliases)
	}

	if g, ok := w.store.Login(loginOf(w.mg, "ns/coder@cluster")); ok {
		fmt.Fprintf(&b, "login: %v by %v\n", g.Collections, g.Aliases)
	}

	return b.String()
}

// A crashing driver is a client of the store that its world may end after any change.
type crashing struct {
	vector.Driver

	w *world
}

func (c crashing) done(call string) {
	if c.w.after != nil {
		c.w.after(call)
	}
}

func (c crashing) Create(ctx context.Context, s vector.Spec) error {
	defer c.done("Create")

	return c.Driver.Create(ctx, s)
}

func (c crashing) Alter(ctx context.Context, want vector.Spec, have vector.State) error {
	defer c.done("Alter")

	return c.Driver.Alter(ctx, want, have)
}

func (c crashing) Drop(ctx context.Context, name string) error {
	defer c.done("Drop")

	return c.Driver.Drop(ctx, name)
}

func (c crashing) PointAlias(ctx context.Context, alias, collection string) error {
	defer c.done("PointAlias")

	return c.Driver.(vector.Aliaser).PointAlias(ctx, alias, collection)
}

func (c crashing) DropAlias(ctx context.Context, alias string) error {
	defer c.done("DropAlias")

	return c.Driver.(vector.Aliaser).DropAlias(ctx, alias)
}

func (c crashing) Grant(ctx context.Context, g vector.Grant, last vector.Access) (vector.Access, error) {
	defer c.done("Grant")

	return c.Driver.(vector.Granter).Grant(ctx, g, last)
}

func (c crashing) Revoke(ctx context.Context, login string) error {
	defer c.done("Revoke")

	return c.Driver.(vector.Granter).Revoke(ctx, login)
}
