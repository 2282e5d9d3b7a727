package vectorcollection

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/vector"
)

// A configKey names a configuration. The namespace of a ClusterProviderConfig is empty.
type configKey struct {
	Kind, Namespace, Name string
}

func (k configKey) String() string {
	if k.Namespace == "" {
		return k.Kind + " " + k.Name
	}

	return k.Kind + " " + k.Namespace + "/" + k.Name
}

// keyOf returns the configuration that a VectorCollection refers to.
func keyOf(mg *v1alpha1.VectorCollection) configKey {
	ref := mg.GetProviderConfigReference()
	if ref == nil {
		return configKey{}
	}

	k := configKey{Kind: ref.Kind, Name: ref.Name}
	if k.Kind == v1alpha1.ProviderConfigGroupVersionKind.Kind {
		k.Namespace = mg.GetNamespace()
	}

	return k
}

// A storeConfig is all that is needed to reach a store, and to let agents reach it.
type storeConfig struct {
	Type     v1alpha1.VectorStoreType
	Endpoint string
	Timeout  time.Duration
	Insecure bool
	CA       []byte
	// Access is ours, Agents is what agents get where the store makes no logins; nil is nothing.
	Access vector.Access
	Agents *vector.Access
}

// fingerprint is equal for equal configurations. It tells nothing of what is in them.
func (c storeConfig) fingerprint() [sha256.Size]byte {
	b, err := json.Marshal(c)
	if err != nil {
		panic(err) // Text, numbers and bytes.
	}

	return sha256.Sum256(b)
}

// tls returns how the store is trusted, nil for by the system's authorities.
func (c storeConfig) tls() (*tls.Config, error) {
	if !c.Insecure && c.CA == nil {
		return nil, nil //nolint:nilnil // What vector.Config wants to hear.
	}

	t := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.Insecure} //nolint:gosec // Only where the configuration says so.
	if c.CA == nil {
		return t, nil
	}

	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}

	if !pool.AppendCertsFromPEM(c.CA) {
		return nil, errors.New("the CA bundle holds no certificate in PEM")
	}

	t.RootCAs = pool

	return t, nil
}

// invalid returns an error about the configuration.
func invalid(format string, args ...any) error {
	return &reasoned{reason: v1alpha1.ReasonInvalidConfiguration, err: fmt.Errorf(format, args...)}
}

// configs reads configurations.
type configs struct {
	// kube reads configurations from a cache, and Secrets and ConfigMaps from the API server.
	kube client.Reader
	env  func(string) (string, bool)
	open func(path string) (io.ReadCloser, error)
}

func newConfigs(kube client.Reader) *configs {
	return &configs{kube: kube, env: os.LookupEnv, open: func(path string) (io.ReadCloser, error) { return os.Open(path) }}
}

// store returns where a configuration says that the store is.
func (c *configs) store(ctx context.Context, key configKey) (*v1alpha1.VectorStore, error) {
	var (
		spec *v1alpha1.ProviderConfigSpec
		err  error
		name = types.NamespacedName{Namespace: key.Namespace, Name: key.Name}
	)

	switch key.Kind {
	case v1alpha1.ProviderConfigGroupVersionKind.Kind:
		o := &v1alpha1.ProviderConfig{}
		err, spec = c.kube.Get(ctx, name, o), &o.Spec
	case v1alpha1.ClusterProviderConfigGroupVersionKind.Kind:
		o := &v1alpha1.ClusterProviderConfig{}
		err, spec = c.kube.Get(ctx, name, o), &o.Spec
	default:
		return nil, invalid("spec.providerConfigRef.kind is %q: it must be ProviderConfig or ClusterProviderConfig", key.Kind)
	}

	if kerrors.IsNotFound(err) {
		return nil, invalid("there is no %s", key)
	}

	if err != nil {
		return nil, errors.Wrapf(err, "cannot get %s", key)
	}

	if spec.VectorStore == nil {
		return nil, invalid("%s has no spec.vectorStore", key)
	}

	return spec.VectorStore, nil
}

// resolve returns a configuration with all that it refers to.
func (c *configs) resolve(ctx context.Context, key configKey, s *v1alpha1.VectorStore) (storeConfig, error) {
	out := storeConfig{Type: s.Type, Endpoint: s.Endpoint, Timeout: vector.DefaultTimeout}

	if s.TimeoutSeconds != nil {
		out.Timeout = time.Duration(*s.TimeoutSeconds) * time.Second
	}

	own, err := c.credentials(ctx, key, s.Credentials, "credentials")
	if err != nil {
		return out, err
	}

	if own != nil {
		out.Access = *own
	}

	switch {
	case s.AgentCredentials != nil:
		if out.Agents, err = c.credentials(ctx, key, s.AgentCredentials, "agentCredentials"); err != nil {
			return out, err
		}
	case key.Kind == v1alpha1.ProviderConfigGroupVersionKind.Kind:
		out.Agents = own
	}

	if s.TLS == nil {
		return out, nil
	}

	out.Insecure = s.TLS.InsecureSkipVerify

	if s.TLS.CABundleRef != nil {
		out.CA, err = c.bundle(ctx, key, *s.TLS.CABundleRef)
	}

	return out, err
}

// credentials returns what a source holds, nil if there is none. Only the platform's configurations may read what is the
// provider's own: a team could else have it send its token to the team's endpoint.
func (c *configs) credentials(ctx context.Context, key configKey, from *v1alpha1.Credentials, field string) (*vector.Access, error) {
	if from == nil || from.Source == xpv2.CredentialsSourceNone {
		return nil, nil //nolint:nilnil // None are asked for.
	}

	if from.Source != xpv2.CredentialsSourceSecret && key.Namespace != "" {
		return nil, invalid("%s: vectorStore.%s.source %s reads what is the provider's, which only a ClusterProviderConfig may: use a Secret", key, field, from.Source)
	}

	b, err := c.content(ctx, key, from)
	if err != nil {
		return nil, errors.Wrapf(err, "%s: vectorStore.%s", key, field)
	}

	a, err := parseCredentials(b)
	if err != nil {
		return nil, invalid("%s: vectorStore.%s cannot be read: %w", key, field, err)
	}

	return &a, nil
}

func (c *configs) content(ctx context.Context, key configKey, from *v1alpha1.Credentials) ([]byte, error) {
	switch {
	case from.Source == xpv2.CredentialsSourceSecret && from.SecretRef != nil:
		return c.key(ctx, key, "Secret", from.SecretRef.Namespace, from.SecretRef.Name, from.SecretRef.Key)
	case from.Source == xpv2.CredentialsSourceEnvironment && from.Env != nil:
		v, ok := c.env(from.Env.Name)
		if !ok {
			return nil, invalid("the provider has no environment variable %s", from.Env.Name)
		}

		return []byte(v), nil
	case from.Source == xpv2.CredentialsSourceFilesystem && from.Fs != nil:
		f, err := c.open(from.Fs.Path)
		if err != nil {
			return nil, invalid("the provider cannot open the file: %w", err)
		}

		defer f.Close() // It was only read.

		b, err := io.ReadAll(io.LimitReader(f, maxCredentials+1))
		if err != nil {
			return nil, invalid("the provider cannot read the file: %w", err)
		}

		return b, nil
	default:
		return nil, invalid("source %s needs to be told where", from.Source)
	}
}

func (c *configs) bundle(ctx context.Context, key configKey, ref v1alpha1.CABundleReference) ([]byte, error) {
	kind, field := ref.Kind, ref.Key
	if kind == "" {
		kind = "ConfigMap"
	}

	if field == "" {
		field = "ca.crt"
	}

	b, err := c.key(ctx, key, kind, ref.Namespace, ref.Name, field)

	return b, errors.Wrapf(err, "%s: vectorStore.tls.caBundleRef", key)
}

// key returns what a Secret or ConfigMap has under a key. A ProviderConfig reaches those of its own namespace only.
func (c *configs) key(ctx context.Context, by configKey, kind, namespace, name, key string) ([]byte, error) {
	if namespace == "" {
		namespace = by.Namespace
	}

	if by.Namespace != "" && namespace != by.Namespace {
		return nil, invalid("%s %s/%s is in another namespace, which only a ClusterProviderConfig may refer to", kind, namespace, name)
	}

	if namespace == "" {
		return nil, invalid("%s %s needs a namespace", kind, name)
	}

	var (
		err  error
		data = map[string][]byte{}
		at   = types.NamespacedName{Namespace: namespace, Name: name}
	)

	if kind == "Secret" {
		s := &corev1.Secret{}
		err = c.kube.Get(ctx, at, s)
		data = s.Data
	} else {
		m := &corev1.ConfigMap{}
		err = c.kube.Get(ctx, at, m)

		for k, v := range m.Data {
			data[k] = []byte(v)
		}
	}

	if kerrors.IsNotFound(err) {
		return nil, invalid("there is no %s %s", kind, at)
	}

	if err != nil {
		return nil, errors.Wrapf(err, "cannot get %s %s", kind, at)
	}

	if len(data[key]) == 0 {
		return nil, invalid("%s %s has nothing under the key %q", kind, at, key)
	}

	return data[key], nil
}
