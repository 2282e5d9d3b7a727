package vectorcollection

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/storeconfig"
	"github.com/southwest-ai/agent-operator/internal/vector"
)

func TestResolve(t *testing.T) {
	team := configKey{Kind: "ProviderConfig", Namespace: "ns", Name: "c"}
	platform := configKey{Kind: "ClusterProviderConfig", Name: "c"}
	admin, agent := vector.Access{User: "admin", Password: "right"}, vector.Access{APIKey: "shared"}
	env := &v1alpha1.Credentials{Source: xpv2.CredentialsSourceEnvironment, CommonCredentialSelectors: xpv2.CommonCredentialSelectors{Env: &xpv2.EnvSelector{Name: "KEY"}}}
	file := &v1alpha1.Credentials{Source: xpv2.CredentialsSourceFilesystem, CommonCredentialSelectors: xpv2.CommonCredentialSelectors{Fs: &xpv2.FsSelector{Path: "/key"}}}
	ca := func(ref v1alpha1.CABundleReference) *v1alpha1.StoreTLS { return &v1alpha1.StoreTLS{CABundleRef: &ref} }
	timeout := int32(30)

	cases := map[string]struct {
		reason string
		key    configKey
		spec   v1alpha1.VectorStore
		want   storeConfig
		err    string
	}{
		"None": {
			reason: "A store may let everybody in.",
			key:    team,
			want:   storeConfig{Timeout: vector.DefaultTimeout},
		},
		"Team": {
			reason: "A team's agents may have what the team has.",
			key:    team,
			spec:   v1alpha1.VectorStore{Credentials: fromSecret("ns", "store"), TimeoutSeconds: &timeout},
			want:   storeConfig{Access: admin, Agents: &admin, Timeout: 30 * time.Second},
		},
		"OwnNamespace": {
			reason: "A team need not say that it means its own namespace.",
			key:    team,
			spec:   v1alpha1.VectorStore{Credentials: fromSecret("", "store")},
			want:   storeConfig{Access: admin, Agents: &admin, Timeout: vector.DefaultTimeout},
		},
		"Platform": {
			reason: "The platform's credentials are not for agents.",
			key:    platform,
			spec:   v1alpha1.VectorStore{Credentials: fromSecret("ns", "store")},
			want:   storeConfig{Access: admin, Timeout: vector.DefaultTimeout},
		},
		"AgentCredentials": {
			reason: "Agents may have credentials of their own.",
			key:    platform,
			spec:   v1alpha1.VectorStore{Credentials: fromSecret("ns", "store"), AgentCredentials: fromSecret("ns", "agents")},
			want:   storeConfig{Access: admin, Agents: &agent, Timeout: vector.DefaultTimeout},
		},
		"Environment": {
			reason: "The platform may use the provider's environment.",
			key:    platform,
			spec:   v1alpha1.VectorStore{Credentials: env},
			want:   storeConfig{Access: vector.Access{APIKey: "of-env"}, Timeout: vector.DefaultTimeout},
		},
		"File": {
			reason: "The platform may use the provider's files.",
			key:    platform,
			spec:   v1alpha1.VectorStore{Credentials: file},
			want:   storeConfig{Access: vector.Access{APIKey: "of-file"}, Timeout: vector.DefaultTimeout},
		},
		"TeamEnvironment": {
			reason: "A team could send what it finds there to an endpoint of its own.",
			key:    team,
			spec:   v1alpha1.VectorStore{Credentials: env},
			err:    "ProviderConfig ns/c: vectorStore.credentials: source Environment reads what is the provider's, which only a ClusterProviderConfig may: use a Secret",
		},
		"TeamFile": {
			reason: "A team could have the provider's own token sent to itself.",
			key:    team,
			spec:   v1alpha1.VectorStore{AgentCredentials: file},
			err:    "ProviderConfig ns/c: vectorStore.agentCredentials: source Filesystem reads what is the provider's, which only a ClusterProviderConfig may: use a Secret",
		},
		"OtherNamespace": {
			reason: "A team reads no other team's Secrets.",
			key:    team,
			spec:   v1alpha1.VectorStore{Credentials: fromSecret("other", "store")},
			err:    "ProviderConfig ns/c: vectorStore.credentials: Secret other/store is in another namespace, which only a ClusterProviderConfig may refer to",
		},
		"OtherNamespaceCA": {
			reason: "Nor by way of a CA bundle.",
			key:    team,
			spec:   v1alpha1.VectorStore{TLS: ca(v1alpha1.CABundleReference{Kind: "Secret", Namespace: "other", Name: "store", Key: "key"})},
			err:    "ProviderConfig ns/c: vectorStore.tls.caBundleRef: Secret other/store is in another namespace, which only a ClusterProviderConfig may refer to",
		},
		"CA": {
			reason: "A CA bundle is in a ConfigMap, if nothing else is said.",
			key:    team,
			spec:   v1alpha1.VectorStore{TLS: ca(v1alpha1.CABundleReference{Name: "ca"})},
			want:   storeConfig{CA: []byte("PEM"), Timeout: vector.DefaultTimeout},
		},
		"NoSecret": {
			reason: "What is missing is named.",
			key:    team,
			spec:   v1alpha1.VectorStore{Credentials: fromSecret("ns", "none")},
			err:    "ProviderConfig ns/c: vectorStore.credentials: there is no Secret ns/none",
		},
		"NoNamespace": {
			reason: "What is for all namespaces has none of its own.",
			key:    platform,
			spec:   v1alpha1.VectorStore{TLS: ca(v1alpha1.CABundleReference{Name: "ca"})},
			err:    "ClusterProviderConfig c: vectorStore.tls.caBundleRef: ConfigMap ca needs a namespace",
		},
	}

	kube := fake.NewClientBuilder().WithScheme(scheme()).WithObjects(
		newSecret("ns", "store", "admin:right"), newSecret("ns", "agents", "shared"), newSecret("other", "store", "x:y"),
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "ca"}, Data: map[string]string{"ca.crt": "PEM"}},
	).Build()
	c := &configs{&storeconfig.Reader{
		Kube: kube,
		Env:  func(name string) (string, bool) { return "of-env", name == "KEY" },
		Open: func(path string) (io.ReadCloser, error) {
			if path != "/key" {
				return nil, errors.New("no such file")
			}

			return io.NopCloser(strings.NewReader("of-file\n")), nil
		},
	}}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := c.resolve(t.Context(), tc.key, &tc.spec)

			text := ""
			if err != nil {
				text = err.Error()
				got = storeConfig{}

				if r := reasonOf(err); r != v1alpha1.ReasonInvalidConfiguration {
					t.Errorf("%s\nreason %q, want %q", tc.reason, r, v1alpha1.ReasonInvalidConfiguration)
				}
			}

			if diff := cmp.Diff(tc.err, text); diff != "" {
				t.Errorf("%s\nerror: -want, +got:\n%s", tc.reason, diff)
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n-want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
