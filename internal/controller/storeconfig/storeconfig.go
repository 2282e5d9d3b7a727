// Package storeconfig reads the provider's configurations and what they refer to. It must not know what they are used for.
package storeconfig

import (
	"context"
	"fmt"
	"io"
	"os"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"
	"github.com/crossplane/crossplane-runtime/v2/pkg/resource"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
)

// MaxCredentials is how long credentials can be, in bytes: more than any key, less than a file named by mistake.
const MaxCredentials = 16 << 10

// A Key names a configuration. The namespace of a ClusterProviderConfig is empty.
type Key struct {
	Kind, Namespace, Name string
}

// String returns the key for people.
func (k Key) String() string {
	if k.Namespace == "" {
		return k.Kind + " " + k.Name
	}

	return k.Kind + " " + k.Namespace + "/" + k.Name
}

// Of returns the configuration that a managed resource refers to.
func Of(mg resource.ModernManaged) Key {
	ref := mg.GetProviderConfigReference()
	if ref == nil {
		return Key{}
	}

	k := Key{Kind: ref.Kind, Name: ref.Name}
	if k.Kind == v1alpha1.ProviderConfigGroupVersionKind.Kind {
		k.Namespace = mg.GetNamespace()
	}

	return k
}

// An InvalidError is about a configuration: somebody has to change it.
type InvalidError struct{ err error }

// Error returns the text.
func (e *InvalidError) Error() string { return e.err.Error() }

// Unwrap returns what happened.
func (e *InvalidError) Unwrap() error { return e.err }

// Invalidf returns an error about a configuration.
func Invalidf(format string, args ...any) error {
	return &InvalidError{err: fmt.Errorf(format, args...)}
}

// A Reader reads configurations.
type Reader struct {
	// Kube reads configurations from a cache, and Secrets and ConfigMaps from the API server.
	Kube client.Reader
	// Env and Open read what is the provider's own.
	Env  func(string) (string, bool)
	Open func(path string) (io.ReadCloser, error)
}

// NewReader returns a reader of the process's own environment and files.
func NewReader(kube client.Reader) *Reader {
	return &Reader{Kube: kube, Env: os.LookupEnv, Open: func(path string) (io.ReadCloser, error) { return os.Open(path) }}
}

// Spec returns what a configuration says.
func (c *Reader) Spec(ctx context.Context, key Key) (*v1alpha1.ProviderConfigSpec, error) {
	var (
		spec *v1alpha1.ProviderConfigSpec
		err  error
		name = types.NamespacedName{Namespace: key.Namespace, Name: key.Name}
	)

	switch key.Kind {
	case v1alpha1.ProviderConfigGroupVersionKind.Kind:
		o := &v1alpha1.ProviderConfig{}
		err, spec = c.Kube.Get(ctx, name, o), &o.Spec
	case v1alpha1.ClusterProviderConfigGroupVersionKind.Kind:
		o := &v1alpha1.ClusterProviderConfig{}
		err, spec = c.Kube.Get(ctx, name, o), &o.Spec
	default:
		return nil, Invalidf("spec.providerConfigRef.kind is %q: it must be ProviderConfig or ClusterProviderConfig", key.Kind)
	}

	if kerrors.IsNotFound(err) {
		return nil, Invalidf("there is no %s", key)
	}

	if err != nil {
		return nil, errors.Wrapf(err, "cannot get %s", key)
	}

	return spec, nil
}

// Content returns what credentials hold, nil if there are none. Only the platform's configurations may read what is the
// provider's own: a team could else have it send its token to the team's endpoint.
func (c *Reader) Content(ctx context.Context, key Key, from *v1alpha1.Credentials) ([]byte, error) {
	if from == nil || from.Source == xpv2.CredentialsSourceNone {
		return nil, nil
	}

	if from.Source != xpv2.CredentialsSourceSecret && key.Namespace != "" {
		return nil, Invalidf("source %s reads what is the provider's, which only a ClusterProviderConfig may: use a Secret", from.Source)
	}

	switch {
	case from.Source == xpv2.CredentialsSourceSecret && from.SecretRef != nil:
		return c.Key(ctx, key, "Secret", from.SecretRef.Namespace, from.SecretRef.Name, from.SecretRef.Key)
	case from.Source == xpv2.CredentialsSourceEnvironment && from.Env != nil:
		v, ok := c.Env(from.Env.Name)
		if !ok {
			return nil, Invalidf("the provider has no environment variable %s", from.Env.Name)
		}

		return []byte(v), nil
	case from.Source == xpv2.CredentialsSourceFilesystem && from.Fs != nil:
		f, err := c.Open(from.Fs.Path)
		if err != nil {
			return nil, Invalidf("the provider cannot open the file: %w", err)
		}

		defer f.Close() // It was only read.

		b, err := io.ReadAll(io.LimitReader(f, MaxCredentials+1))
		if err != nil {
			return nil, Invalidf("the provider cannot read the file: %w", err)
		}

		return b, nil
	default:
		return nil, Invalidf("source %s needs to be told where", from.Source)
	}
}

// Bundle returns certificate authorities, PEM.
func (c *Reader) Bundle(ctx context.Context, key Key, ref v1alpha1.CABundleReference) ([]byte, error) {
	kind, field := ref.Kind, ref.Key
	if kind == "" {
		kind = "ConfigMap"
	}

	if field == "" {
		field = "ca.crt"
	}

	return c.Key(ctx, key, kind, ref.Namespace, ref.Name, field)
}

// Key returns what a Secret or ConfigMap has under a key. A ProviderConfig reaches those of its own namespace only.
func (c *Reader) Key(ctx context.Context, by Key, kind, namespace, name, key string) ([]byte, error) {
	if namespace == "" {
		namespace = by.Namespace
	}

	if by.Namespace != "" && namespace != by.Namespace {
		return nil, Invalidf("%s %s/%s is in another namespace, which only a ClusterProviderConfig may refer to", kind, namespace, name)
	}

	if namespace == "" {
		return nil, Invalidf("%s %s needs a namespace", kind, name)
	}

	var (
		err  error
		data = map[string][]byte{}
		at   = types.NamespacedName{Namespace: namespace, Name: name}
	)

	if kind == "Secret" {
		s := &corev1.Secret{}
		err = c.Kube.Get(ctx, at, s)
		data = s.Data
	} else {
		m := &corev1.ConfigMap{}
		err = c.Kube.Get(ctx, at, m)

		for k, v := range m.Data {
			data[k] = []byte(v)
		}
	}

	if kerrors.IsNotFound(err) {
		return nil, Invalidf("there is no %s %s", kind, at)
	}

	if err != nil {
		return nil, errors.Wrapf(err, "cannot get %s %s", kind, at)
	}

	if len(data[key]) == 0 {
		return nil, Invalidf("%s %s has nothing under the key %q", kind, at, key)
	}

	return data[key], nil
}
