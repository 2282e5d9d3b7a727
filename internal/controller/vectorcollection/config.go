package vectorcollection

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/controller/storeconfig"
	"github.com/southwest-ai/agent-operator/internal/vector"
)

// A configKey names a configuration.
type configKey = storeconfig.Key

// keyOf returns the configuration that a VectorCollection refers to.
func keyOf(mg *v1alpha1.VectorCollection) configKey { return storeconfig.Of(mg) }

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
	*storeconfig.Reader
}

func newConfigs(kube client.Reader) *configs { return &configs{storeconfig.NewReader(kube)} }

// store returns where a configuration says that the store is.
func (c *configs) store(ctx context.Context, key configKey) (*v1alpha1.VectorStore, error) {
	spec, err := c.Spec(ctx, key)
	if err != nil {
		return nil, err
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
		out.CA, err = c.Bundle(ctx, key, *s.TLS.CABundleRef)
		err = errors.Wrapf(err, "%s: vectorStore.tls.caBundleRef", key)
	}

	return out, err
}

// credentials returns what a source holds, nil if there is none.
func (c *configs) credentials(ctx context.Context, key configKey, from *v1alpha1.Credentials, field string) (*vector.Access, error) {
	b, err := c.Content(ctx, key, from)
	if err != nil {
		return nil, errors.Wrapf(err, "%s: vectorStore.%s", key, field)
	}

	if b == nil {
		return nil, nil //nolint:nilnil // None are asked for.
	}

	a, err := parseCredentials(b)
	if err != nil {
		return nil, invalid("%s: vectorStore.%s cannot be read: %w", key, field, err)
	}

	return &a, nil
}
