//go:build bench

package bench

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// A keda is a real KEDA, its operator and its adapter, and Kubernetes' HPA controller with the time between two looks that it has by
// default. All three may ask the API server as often as they like, which by default they may not: so none waits for its turn.
type keda struct {
	operator, adapter *provider
	// controller is the process of the HPA controller.
	controller int
	// interval is the time between two looks of the operator's, in seconds, and server the Prometheus.
	interval int64
	server   string
}

// kedaCRDs is where KEDA's definitions are.
func kedaCRDs(t *testing.T) string {
	t.Helper()

	dir := os.Getenv("KEDA_CRDS")
	if dir == "" {
		t.Fatal("KEDA_CRDS must name the directory with KEDA's definitions: run cluster/bench/scaling.sh, which sets it")
	}

	return dir
}

func (k *keda) start(t *testing.T, kube client.Client, kubeconfig string) {
	t.Helper()

	assets, certs := os.Getenv("KUBEBUILDER_ASSETS"), certificates(t)
	metrics, probes, service, page := freeAddress(t), freeAddress(t), freeAddress(t), freeAddress(t)
	port := portOf(t, freeAddress(t))

	t.Setenv("KUBECONFIG", kubeconfig)
	t.Setenv("WATCH_NAMESPACE", "")
	t.Setenv("POD_NAMESPACE", "default")
	t.Setenv("KEDA_CLUSTER_OBJECT_NAMESPACE", "default")

	start(t, filepath.Join(assets, "keda-operator"), "--metrics-bind-address="+metrics, "--health-probe-bind-address="+probes, "--metrics-service-bind-address="+service,
		"--cert-dir="+certs, "--enable-webhook-patching=false", "--enable-apiservice-patching=false", "--kube-api-qps=1000", "--kube-api-burst=2000", "--zap-log-level=error")
	start(t, filepath.Join(assets, "keda-adapter"), "--secure-port="+port, "--bind-address=127.0.0.1", "--tls-cert-file="+filepath.Join(certs, "tls.crt"),
		"--tls-private-key-file="+filepath.Join(certs, "tls.key"), "--cert-dir="+certs, "--port="+portOf(t, page), "--metrics-service-address=localhost:"+portOf(t, service),
		"--lister-kubeconfig="+kubeconfig, "--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig, "--authentication-tolerate-lookup-failure",
		"--kube-api-qps=1000", "--kube-api-burst=2000", "--zap-log-level=error")
	k.controller = start(t, filepath.Join(assets, "kube-controller-manager"), "--kubeconfig="+kubeconfig, "--authentication-kubeconfig="+kubeconfig, "--authorization-kubeconfig="+kubeconfig,
		"--controllers=horizontal-pod-autoscaler-controller", "--leader-elect=false", "--bind-address=127.0.0.1", "--secure-port=0",
		"--use-service-account-credentials=false", "--kube-api-qps=1000", "--kube-api-burst=2000")

	k.operator, k.adapter = &provider{metrics: "http://" + metrics + "/metrics"}, &provider{metrics: "http://" + page + "/metrics"}

	for _, p := range []*provider{k.operator, k.adapter} {
		for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
			if _, err := get(t, p.metrics); err == nil {
				break
			} else if time.Now().After(end) {
				t.Fatalf("KEDA is not ready: %v", err)
			}
		}
	}

	// A Service that is a name leads out of a cluster that has no network.
	at := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "keda-metrics-apiserver"}, Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "localhost"}}
	api := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": map[string]any{"name": "v1beta1.external.metrics.k8s.io"},
		"spec": map[string]any{
			"group": "external.metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": int64(100), "versionPriority": int64(100), "insecureSkipTLSVerify": true,
			"service": map[string]any{"namespace": "default", "name": at.GetName(), "port": number64(t, port)},
		},
	}}

	// This API server has no certificate by which the adapter would know for whom it asks.
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "metrics"}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{"external.metrics.k8s.io"}, Resources: []string{"*"}, Verbs: []string{"*"}}, {NonResourceURLs: []string{"/apis/*"}, Verbs: []string{"get"}},
	}}
	anybody := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "metrics"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "system:anonymous"}},
	}

	for _, o := range []client.Object{at, api, role, anybody} {
		if err := kube.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

func portOf(t *testing.T, address string) string {
	t.Helper()

	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}

	return port
}

func number64(t *testing.T, s string) (n int64) {
	t.Helper()

	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}

	return n
}

// certificates makes those by which operator and adapter know each other.
func certificates(t *testing.T) string {
	t.Helper()

	dir := t.TempDir()

	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	// One that signs itself is its own authority.
	of := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}

	cert, err := x509.CreateCertificate(rand.Reader, of, of, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}

	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}

	for name, block := range map[string]*pem.Block{"ca.crt": {Type: "CERTIFICATE", Bytes: cert}, "tls.crt": {Type: "CERTIFICATE", Bytes: cert}, "tls.key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	return dir
}

// scaledObject returns what a pool of KEDA's has: the query that our function composes for it.
func (k *keda) scaledObject(at metav1.ObjectMeta) client.Object {
	metric := fmt.Sprintf("%s{%s=%q, %s=%q}", monitorapi.MetricQueueDepth, monitorapi.LabelNamespace, at.Namespace, monitorapi.LabelDispatcherName, at.Name)

	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": map[string]any{"namespace": at.Namespace, "name": at.Name},
		"spec": map[string]any{
			"scaleTargetRef": map[string]any{"name": at.Name}, "minReplicaCount": int64(1), "maxReplicaCount": int64(100), "pollingInterval": k.interval,
			"triggers": []any{map[string]any{
				"type": "prometheus", "metricType": "AverageValue",
				"metadata": map[string]any{
					"serverAddress": k.server, "threshold": "5", "ignoreNullValues": "false",
					"query": fmt.Sprintf("sum(%s and timestamp(%s) > time() - 60)", metric, metric),
				},
			}},
		},
	}}
}

// follows waits until the HPAs of n pools know their load.
func (k *keda) follows(t *testing.T, kube client.Client, n int) {
	t.Helper()

	for end := time.Now().Add(10 * time.Minute); ; time.Sleep(time.Second) {
		l := &autoscalingv2.HorizontalPodAutoscalerList{}
		if err := kube.List(t.Context(), l); err != nil {
			t.Fatal(err)
		}

		known, why := 0, ""

		for _, h := range l.Items {
			for _, c := range h.Status.Conditions {
				switch {
				case c.Type == autoscalingv2.ScalingActive && c.Status == corev1.ConditionTrue:
					known++
				case c.Status != corev1.ConditionTrue:
					why = c.Message
				}
			}
		}

		if known == n {
			return
		}

		if time.Now().After(end) {
			t.Fatalf("%d HPAs of %d follow their load: %s", known, n, why)
		}
	}
}

// serveKEDA starts an API server, a Prometheus that is pushed to or scrapes every so often, and KEDA.
func (f *fleet) serveKEDA(t *testing.T, interval int64, every time.Duration) client.Client {
	t.Helper()

	kube, kubeconfig := serveAPI(t, kedaCRDs(t))

	if err := errors.Join(autoscalingv2.AddToScheme(kube.Scheme()), rbacv1.AddToScheme(kube.Scheme())); err != nil {
		t.Fatal(err)
	}

	to := f.scrape(t, kube, every)
	if every == 0 {
		f.push(t, to)
	}

	f.keda = &keda{interval: interval, server: f.counted}
	f.keda.start(t, kube, kubeconfig)

	return kube
}

// restsWithKEDA has KEDA look after pools whose load does not change.
func restsWithKEDA(t *testing.T, n int, rest time.Duration) {
	t.Helper()

	f := newFleet()
	kube := f.serveKEDA(t, 30, 5*time.Second)
	f.fill(t, kube, n)
	f.keda.follows(t, kube, n)
	time.Sleep(time.Minute)

	both := func() (s sample) {
		o, a := f.keda.operator.sample(t), f.keda.adapter.sample(t)

		return sample{cpu: o.cpu + a.cpu, rss: o.rss + a.rss, requests: o.requests + a.requests, writes: o.writes + a.writes}
	}
	before, queries, hpa := both(), f.queries.Load(), cpuOf(t, f.keda.controller)

	time.Sleep(rest)

	after, queriesThen, hpaThen := both(), f.queries.Load(), cpuOf(t, f.keda.controller)
	minutes := rest.Minutes()

	for _, r := range [][2]string{
		{fmt.Sprintf("%d pools at rest, KEDA", n), "a minute, over " + rest.String()},
		{"CPU of operator and adapter", fmt.Sprintf("%.1f s", (after.cpu-before.cpu)/minutes)},
		{"CPU of the HPA controller, which they need", fmt.Sprintf("%.1f s", (hpaThen-hpa)/minutes)},
		{"their resident memory", fmt.Sprintf("%.1f MiB", after.rss)},
		{"queries to the Prometheus", fmt.Sprintf("%.0f", float64(queriesThen-queries)/minutes)},
		{"requests to the API server, and writes among them, without the HPA controller's", fmt.Sprintf("%.0f, %.0f", (after.requests-before.requests)/minutes, (after.writes-before.writes)/minutes)},
	} {
		fmt.Printf("| %s | %s |\n", r[0], r[1])
	}
}

// growsWithKEDA measures the same as for us.
func growsWithKEDA(t *testing.T, edits int, interval int64) {
	t.Helper()

	f := newFleet()
	kube := f.serveKEDA(t, interval, 0)
	f.fill(t, kube, 1)
	f.keda.follows(t, kube, 1)

	took := f.edit(t, kube, edits)
	fmt.Printf("| KEDA, asking every %d s, Prometheus pushed to | %d ms | %d ms |\n", interval, took[len(took)/2].Milliseconds(), took[len(took)-1].Milliseconds())
}

// cpuOf returns the seconds of processor time that a process took.
func cpuOf(t *testing.T, pid int) float64 {
	t.Helper()

	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}

	// Behind the name, which may hold anything: fields 14 and 15 of all, in ticks of a hundredth of a second.
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))

	return float64(number64(t, fields[11])+number64(t, fields[12])) / 100
}
