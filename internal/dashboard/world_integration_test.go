//go:build integration

package dashboard

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	authnv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/yaml"

	xpextv1 "github.com/crossplane/crossplane/apis/v2/apiextensions/v1"

	"github.com/crossplane/crossplane-runtime/v2/pkg/logging"
	"github.com/crossplane/crossplane-runtime/v2/pkg/xcrd"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller"
	"github.com/southwest-ai/agent-operator/internal/controller/monitors"
	"github.com/southwest-ai/agent-operator/internal/controller/slot"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// The API server of all tests, and a client of it that may do all.
var (
	apiserver *rest.Config
	kube      client.Client
)

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	// What the server's harness logs is of no use here.
	log.SetLogger(zap.New(zap.WriteTo(io.Discard)))

	if os.Getenv("KUBEBUILDER_ASSETS") == "" {
		fmt.Fprintln(os.Stderr, "KUBEBUILDER_ASSETS must name a directory with kube-apiserver, etcd and kubectl: run `make integration`, which builds them")
		return 1
	}

	crd, err := claimCRD()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot read the AIDispatcher's definition:", err)
		return 1
	}

	env := &envtest.Environment{
		CRDDirectoryPaths: []string{filepath.Join("..", "..", "package", "provider", "crds")}, ErrorIfCRDPathMissing: true,
		CRDs: []*extv1.CustomResourceDefinition{crd},
	}

	// A machine that does much else takes longer than the default.
	env.ControlPlaneStartTimeout, env.ControlPlaneStopTimeout = 3*time.Minute, time.Minute

	cfg, err := env.Start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot start the API server:", err)
		return 1
	}

	defer env.Stop() // The process ends.

	cfg.QPS, cfg.Burst = -1, 0
	apiserver = cfg

	scheme := controller.NewScheme()
	if err := errors.Join(rbacv1.AddToScheme(scheme), authnv1.AddToScheme(scheme)); err != nil {
		fmt.Fprintln(os.Stderr, "cannot make a scheme:", err)
		return 1
	}

	if kube, err = client.New(cfg, client.Options{Scheme: scheme}); err != nil {
		fmt.Fprintln(os.Stderr, "cannot make a client:", err)
		return 1
	}

	return m.Run()
}

// claimCRD returns the AIDispatcher as Crossplane defines it.
func claimCRD() (*extv1.CustomResourceDefinition, error) {
	b, err := os.ReadFile(filepath.Join("..", "..", "package", "configuration", "xrd.yaml"))
	if err != nil {
		return nil, err
	}

	xrd := &xpextv1.CompositeResourceDefinition{}
	if err := yaml.Unmarshal(b, xrd); err != nil {
		return nil, err
	}

	crd, err := xcrd.ForCompositeResource(xrd)
	if err != nil {
		return nil, err
	}

	crd.SetOwnerReferences(nil)

	return crd, nil
}

func create(t *testing.T, objs ...client.Object) {
	t.Helper()

	for _, o := range objs {
		if err := kube.Create(t.Context(), o); err != nil {
			t.Fatalf("cannot create %T %s: %v", o, o.GetName(), err)
		}
	}
}

func newNamespace(t *testing.T, name string) {
	t.Helper()

	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	create(t, ns)
	t.Cleanup(func() { kube.Delete(t.Context(), ns) })
}

// newReader returns the token of an account that may do something, in a namespace or, where that is empty, in all.
func newReader(t *testing.T, name, namespace string, rules ...rbacv1.PolicyRule) string {
	t.Helper()

	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	create(t, sa)

	subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: "default", Name: name}}
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name}

	if len(rules) > 0 && namespace == "" {
		create(t, &rbacv1.ClusterRole{ObjectMeta: meta, Rules: rules},
			&rbacv1.ClusterRoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name}})
	} else if len(rules) > 0 {
		create(t, &rbacv1.Role{ObjectMeta: meta, Rules: rules},
			&rbacv1.RoleBinding{ObjectMeta: meta, Subjects: subjects, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name}})
	}

	request := &authnv1.TokenRequest{}
	if err := kube.SubResource("token").Create(t.Context(), sa, request); err != nil {
		t.Fatal(err)
	}

	return request.Status.Token
}

func rule(group, resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
}

// A status of a pool, by its fields.
type fields map[string]any

// newPool creates a pool with a status.
func newPool(t *testing.T, namespace, name, role string, status fields) {
	t.Helper()

	u := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "southwest.ai/v1alpha1", "kind": "AIDispatcher",
		"metadata": map[string]any{"namespace": namespace, "name": name},
		"spec":     map[string]any{"role": role, "modelRef": "gpt-4", "tokenBudget": map[string]any{"tokensPerMinute": int64(40000)}},
	}}
	create(t, u)

	b, err := json.Marshal(status)
	if err != nil {
		t.Fatal(err)
	}

	s := map[string]any{}
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}

	u.Object["status"] = s
	if err := kube.Status().Update(t.Context(), u); err != nil {
		t.Fatal(err)
	}
}

func condition(typ, status, reason, message string, ago time.Duration) fields {
	return fields{"type": typ, "status": status, "reason": reason, "message": message, "lastTransitionTime": time.Now().Add(-ago).UTC().Format(time.RFC3339)}
}

// newScaler creates a pool's scaler with what it saw.
func newScaler(t *testing.T, namespace, name string, at v1alpha1.AgentScalerObservation) {
	t.Helper()

	s := &v1alpha1.AgentScaler{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{monitorapi.LabelDispatcher: name}},
		Spec: v1alpha1.AgentScalerSpec{ForProvider: v1alpha1.AgentScalerParameters{
			ScaleTargetRef: v1alpha1.ScaleTargetReference{Name: name}, Replicas: 3,
		}},
	}
	create(t, s)

	s.Status.AtProvider = at
	if err := kube.Status().Update(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

// newWorker creates a worker that runs, with a monitor at an address of the loopback's own.
func newWorker(t *testing.T, namespace, pool, name, ip string, says *monitorapi.Status) *corev1.Pod {
	t.Helper()

	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{monitorapi.LabelDispatcher: pool}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "agent", Image: "agent:v1"}}},
	}
	create(t, p)
	t.Cleanup(func() { kube.Delete(t.Context(), p, client.GracePeriodSeconds(0)) })

	if ip == "" {
		return p
	}

	p.Status.Phase, p.Status.PodIP, p.Status.PodIPs = corev1.PodRunning, ip, []corev1.PodIP{{IP: ip}}
	if err := kube.Status().Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}

	if says == nil {
		return p
	}

	says.Version, says.Namespace, says.Pod, says.StartedAt = monitorapi.StatusVersion, namespace, name, time.Now().Add(-time.Hour)

	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", ip, monitorapi.Port))
	if err != nil {
		t.Fatal(err)
	}

	m := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { json.NewEncoder(w).Encode(says) })}
	go m.Serve(l) // It ends with the test.

	t.Cleanup(func() { m.Close() })

	return p
}

func newLedger(t *testing.T, namespace, pool string, l slot.Ledger) {
	t.Helper()

	l.Version = 1

	b, err := json.Marshal(l)
	if err != nil {
		t.Fatal(err)
	}

	create(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: slot.LedgerName(pool)}, Data: map[string]string{"ledger.json": string(b)}})
}

// serve runs the page as the provider does, with the rights that the manifests give it, and returns its address.
func serve(t *testing.T) (*Server, string) {
	t.Helper()

	provider := rest.CopyConfig(apiserver)
	provider.Impersonate.UserName = "system:serviceaccount:crossplane-system:provider-aidispatcher"
	provider.Impersonate.Groups = []string{"system:serviceaccounts", "system:authenticated"}

	c, err := cache.New(provider, controllerCache())
	if err != nil {
		t.Fatal(err)
	}

	go c.Start(t.Context()) // It ends with the test.

	live, err := client.New(provider, client.Options{Scheme: controller.NewScheme()})
	if err != nil {
		t.Fatal(err)
	}

	access, err := NewAccess(provider)
	if err != nil {
		t.Fatal(err)
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	address := l.Addr().String()
	l.Close()

	s := New(Options{Address: address, Access: access, Cache: c, Live: live, Monitors: monitors.NewClient(nil), Log: logging.NewNopLogger()}, NewRequests())
	done := make(chan error, 1)

	go func() { done <- s.Start(t.Context()) }()

	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Errorf("the page's server ended with an error: %v", err)
		}
	})

	for begun := time.Now(); ; {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			conn.Close()

			return s, address
		}

		if time.Since(begun) > time.Minute {
			t.Fatal(err)
		}

		<-time.After(10 * time.Millisecond)
	}
}

func controllerCache() cache.Options {
	o := controller.CacheOptions(time.Hour)
	o.Scheme = controller.NewScheme()

	return o
}

// remember gives a pool an hour of load: one that swells and ebbs, with a gap, and sizes that follow it.
func remember(s *Server, namespace, name string, depth float64, size func(ago time.Duration) int64) {
	now := time.Now()

	s.history.mu.Lock()
	defer s.history.mu.Unlock()

	for i := range kept - 1 {
		ago := span - time.Duration(i+1)*every
		swell := 1.2 - .75*math.Cos(float64(i)/19+.6) + .12*math.Sin(float64(i)/4.1)
		p := sample{
			at: now.Add(-ago), replicas: size(ago), active: min(size(ago), int64(math.Round(3*swell))), depth: int64(depth * swell),
			perMinute: int64(17000*swell + 900*math.Sin(float64(i)/1.7)),
		}

		if i > 62 && i < 68 {
			p.depth, p.active, p.perMinute = unknown, unknown, unknown
		}

		s.history.add(types.NamespacedName{Namespace: namespace, Name: name}, p)
	}
}
