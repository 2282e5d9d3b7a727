//go:build integration

package load

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/bcrypt"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/storeconfig"
	"github.com/southwest-ai/agent-operator/internal/scale"
)

// certificate makes a server that a test can trust, and returns its files.
func certificate(t *testing.T, dir string) (cert, key string, pemCert []byte) {
	t.Helper()

	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}

	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}

	der, err := x509.CreateCertificate(rand.Reader, c, c, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}

	secret, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}

	pemCert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")

	for name, b := range map[string][]byte{cert: pemCert, key: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}

	return cert, key, pemCert
}

// prometheus starts a real Prometheus that scrapes a page every second and answers only who knows the password, and returns its URL
// and its certificate.
func prometheus(t *testing.T, page string) (string, []byte) {
	t.Helper()

	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Fatal("this test needs Prometheus: apt-get install prometheus")
	}

	dir := t.TempDir()
	cert, key, pemCert := certificate(t, dir)

	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}

	files := map[string]string{
		"prometheus.yml": fmt.Sprintf("global: {scrape_interval: 1s}\nscrape_configs: [{job_name: workers, honor_labels: true, static_configs: [{targets: ['%s']}]}]\n", page),
		"web.yml":        fmt.Sprintf("tls_server_config: {cert_file: %s, key_file: %s}\nbasic_auth_users: {provider: '%s'}\n", cert, key, hash),
	}

	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}

	address := l.Addr().String()
	_ = l.Close()

	cmd := exec.Command("prometheus", "--config.file="+filepath.Join(dir, "prometheus.yml"), "--web.config.file="+filepath.Join(dir, "web.yml"),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address, "--log.level=error")
	cmd.Stderr = os.Stderr

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})

	return "https://" + address, pemCert
}

// A cluster has one configuration, what that refers to, and the workers of a pool.
type cluster struct {
	client.Reader

	spec v1alpha1.ProviderConfigSpec
	ca   []byte
	pods []string
}

func (c *cluster) Get(_ context.Context, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	switch o := o.(type) {
	case *v1alpha1.ClusterProviderConfig:
		o.Spec = c.spec
	case *corev1.Secret:
		o.Data = map[string][]byte{"auth": []byte("provider:secret")}
	case *corev1.ConfigMap:
		o.Data = map[string]string{"ca.crt": string(c.ca)}
	default:
		return kerrors.NewNotFound(schema.GroupResource{}, key.Name)
	}

	return nil
}

func (c *cluster) List(_ context.Context, l client.ObjectList, _ ...client.ListOption) error {
	for _, name := range c.pods {
		p := corev1.Pod{}
		p.Name, p.Status.Phase, p.Status.PodIP = name, corev1.PodRunning, "127.0.0.1"
		l.(*corev1.PodList).Items = append(l.(*corev1.PodList).Items, p)
	}

	return nil
}

// until looks at a pool again and again.
func until(t *testing.T, m *Meter, what string, ok func(measure, map[string]scale.Reading) bool) {
	t.Helper()

	var last string

	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		l := look{dispatcher: "coder", config: storeconfig.Key{Kind: "ClusterProviderConfig", Name: "default"}}
		l.key.Namespace = "team-a"

		p := &pool{tokens: newTokens(v1alpha1.AgentScalerObservation{}), policy: scale.Policy{Metrics: []scale.Metric{{Name: "QueueDepth", Target: 5}}}}
		seen := m.measure(t.Context(), l)
		p.take(time.Now(), seen)

		if ok(seen, p.readings) {
			return
		}

		last = fmt.Sprintf("%+v, %+v", seen, p.readings)
		if seen.server != nil {
			last += fmt.Sprintf(", %+v", *seen.server)
		}
	}

	t.Fatalf("%s: last was %s", what, last)
}

// A real Prometheus says what pools have to do, over TLS and only to who may ask, in one query for all.
func TestPrometheus(t *testing.T) {
	var text atomic.Value

	says := func(lines ...string) { text.Store(strings.Join(lines, "\n") + "\n") }
	says(
		`agent_queue_depth{namespace="team-a",dispatcher="coder",role="coder",pod="a"} 9`,
		`agent_queue_depth{namespace="team-a",dispatcher="coder",role="coder",pod="b"} 12`,
		`agent_tasks_in_flight{namespace="team-a",dispatcher="coder",role="coder",pod="a"} 1`,
		`agent_tasks_in_flight{namespace="team-a",dispatcher="coder",role="coder",pod="b"} 0`,
		`agent_queue_depth{namespace="team-b",dispatcher="coder",role="coder",pod="a"} 1000`,
	)

	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(text.Load().(string)))
	}))
	defer page.Close()

	u, ca := prometheus(t, strings.TrimPrefix(page.URL, "http://"))
	secret := &v1alpha1.Credentials{Source: xpv2.CredentialsSourceSecret}
	secret.SecretRef = &xpv2.SecretKeySelector{SecretReference: xpv2.SecretReference{Namespace: "crossplane-system", Name: "prometheus"}, Key: "auth"}

	stale := int32(5)
	c := &cluster{ca: ca, pods: []string{"a", "b"}, spec: v1alpha1.ProviderConfigSpec{Prometheus: &v1alpha1.PrometheusServer{
		URL: u, BasicAuth: secret, StaleAfterSeconds: &stale,
		TLS: &v1alpha1.StoreTLS{CABundleRef: &v1alpha1.CABundleReference{Namespace: "crossplane-system", Name: "ca"}},
	}}}
	m := NewMeter(c, nil)

	until(t, m, "the sums of one pool's workers", func(_ measure, r map[string]scale.Reading) bool {
		d, p := r["QueueDepth"], r["PendingTasks"]

		return d.Value == 21 && d.Reporting == 2 && d.Expected == 2 && time.Since(d.At) < 5*time.Second && p.Value == 20
	})

	// A pool's own query.
	server, err := m.servers.of(t.Context(), storeconfig.Key{Kind: "ClusterProviderConfig", Name: "default"})
	if err != nil {
		t.Fatal(err)
	}

	if r := server.value(t.Context(), `sum(agent_queue_depth)`); r.Unknown != "" || r.Value < 1000 {
		t.Errorf("the query's value is %+v", r)
	}

	for query, why := range map[string]string{`agent_queue_depth`: "returns 3 values", `nothing`: "returns 0 values", `sum(`: "parse error"} {
		if r := server.value(t.Context(), query); !strings.Contains(r.Unknown, why) {
			t.Errorf("the value of %s is %+v, want unknown because it %s", query, r, why)
		}
	}

	// One that is there and tells nothing is missing.
	c.pods = append(c.pods, "c")
	until(t, m, "a partial answer", func(_ measure, r map[string]scale.Reading) bool {
		return r["QueueDepth"].Reporting == 2 && r["QueueDepth"].Expected == 3
	})

	// Nothing is not zero.
	says(`agent_queue_depth{namespace="team-b",dispatcher="coder",role="coder",pod="a"} 1000`)
	until(t, m, "an unknown load", func(_ measure, r map[string]scale.Reading) bool { return r["QueueDepth"].Unknown != "" })

	// Nor is a server that does not let us in, and what it is sent is not told.
	c.spec.Prometheus.BasicAuth = nil
	m = NewMeter(c, nil)
	until(t, m, "a refusal", func(_ measure, r map[string]scale.Reading) bool {
		return strings.Contains(r["QueueDepth"].Unknown, "401") && !strings.Contains(r["QueueDepth"].Unknown, "secret")
	})
}

// However many look, a server is asked once.
func TestOneQuery(t *testing.T) {
	var asked atomic.Int64

	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)

		_, _ = w.Write([]byte(`{"status":"success","data":{"resultType":"vector","result":[]}}`))
	}))
	defer s.Close()

	c := &cluster{pods: []string{"a"}, spec: v1alpha1.ProviderConfigSpec{Prometheus: &v1alpha1.PrometheusServer{URL: s.URL}}}
	m := NewMeter(c, nil)
	done := make(chan struct{})

	for range 100 {
		go func() {
			m.measure(t.Context(), look{config: storeconfig.Key{Kind: "ClusterProviderConfig", Name: "default"}})
			done <- struct{}{}
		}()
	}

	for range 100 {
		<-done
	}

	if diff := cmp.Diff(int64(1), asked.Load()); diff != "" {
		t.Errorf("queries: -want, +got: %s", diff)
	}
}
