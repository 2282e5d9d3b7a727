// Package checkpoint reconciles Checkpoints: it makes the repositories in which pools keep their slots' states, looks after them,
// and lets go of them. It must not know what a state is made of.
package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/secrets"
	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	cp "github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/kms"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/store"
	"github.com/southwest-ai/agent-operator/internal/controller/storeconfig"
)

// keyField is the key of the Secret under which the data key is, in hexadecimal.
const keyField = "key"

// An access is all that is needed to reach a store, and to let workers reach it.
type access struct {
	// config is the configuration that says so.
	config storeconfig.Key
	own    store.Config
	// worker are the credentials that workers get.
	worker  []byte
	timeout time.Duration
	// recipients may open the data key without the cluster.
	recipients []v1alpha1.KeyRecipient
}

// print is equal for equal accesses. It tells nothing of what is in them.
func (a access) print(key cp.DataKey) [sha256.Size]byte {
	b, err := json.Marshal([]any{a.own, a.timeout, key[:]})
	if err != nil {
		panic(err) // Text, numbers and bytes.
	}

	return sha256.Sum256(b)
}

// An opened repository, or the bucket alone where there is no repository yet.
type opened struct {
	bucket *blob.Bucket
	repo   *cp.Repository
	print  [sha256.Size]byte
}

// Repositories open the repositories that Checkpoints describe, and keep them open.
type Repositories struct {
	// kube is the cache; live reads from the API server.
	kube, live client.Reader
	configs    *storeconfig.Reader
	open       func(context.Context, store.Config) (*blob.Bucket, error)
	keeper     func(context.Context, kms.Config) (*secrets.Keeper, error)

	mu   sync.Mutex
	kept map[types.NamespacedName]*opened
}

// NewRepositories returns what opens repositories.
func NewRepositories(kube, live client.Reader) *Repositories {
	return &Repositories{kube: kube, live: live, configs: storeconfig.NewReader(kube), open: store.Open, keeper: kms.Open, kept: map[types.NamespacedName]*opened{}}
}

// Repository returns the repository of a Checkpoint. It is kept open for the next who asks.
func (r *Repositories) Repository(ctx context.Context, name types.NamespacedName) (*cp.Repository, error) {
	mg := &v1alpha1.Checkpoint{}
	if err := r.kube.Get(ctx, name, mg); err != nil {
		return nil, errors.Wrap(err, "cannot get the Checkpoint")
	}

	a, err := r.access(ctx, mg)
	if err != nil {
		return nil, err
	}

	key, err := r.dataKey(ctx, mg)
	if err != nil {
		return nil, err
	}

	if key == nil {
		return nil, errors.New("its data key is not there yet")
	}

	o, err := r.get(ctx, mg, a, *key)
	if err != nil {
		return nil, err
	}

	return o.repo, nil
}

// get returns an open repository.
func (r *Repositories) get(ctx context.Context, mg *v1alpha1.Checkpoint, a access, key cp.DataKey) (*opened, error) {
	name, mark := client.ObjectKeyFromObject(mg), a.print(key)

	r.mu.Lock()
	o := r.kept[name]
	r.mu.Unlock()

	if o != nil && o.print == mark {
		return o, nil
	}

	b, err := r.open(ctx, a.own)
	if err != nil {
		return nil, errors.Wrap(err, "cannot open the store")
	}

	repo, err := cp.Open(ctx, b, key, cp.Options{Timeout: a.timeout})
	if err != nil {
		_ = b.Close() // The first error is the one to tell.

		return nil, errors.Wrap(err, "cannot open the repository")
	}

	o = &opened{bucket: b, repo: repo, print: mark}

	r.mu.Lock()
	defer r.mu.Unlock()

	// One that others may be using is closed by nobody: it holds no connection that the next request would not make anew.
	r.kept[name] = o

	return o, nil
}

// forget lets go of a repository.
func (r *Repositories) forget(name types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()

	delete(r.kept, name)
}

// access returns where a Checkpoint's configuration says that the store is.
func (r *Repositories) access(ctx context.Context, mg *v1alpha1.Checkpoint) (access, error) {
	key := storeconfig.Of(mg)

	spec, err := r.configs.Spec(ctx, key)
	if err != nil {
		return access{}, err
	}

	s := spec.CheckpointStore
	if s == nil {
		return access{}, storeconfig.Invalidf("%s has no spec.checkpointStore", key)
	}

	if err := store.CheckURL(s.URL); err != nil {
		return access{}, storeconfig.Invalidf("%s: checkpointStore.url: %w", key, err)
	}

	a := access{
		config:     key,
		own:        store.Config{URL: s.URL, Prefix: mg.Spec.ForProvider.Pool, Ambient: key.Namespace == ""},
		timeout:    time.Minute,
		recipients: s.Recipients,
	}

	if s.TimeoutSeconds != nil {
		a.timeout = time.Duration(*s.TimeoutSeconds) * time.Second
	}

	if a.own.Credentials, err = r.configs.Content(ctx, key, s.Credentials); err != nil {
		return a, errors.Wrapf(err, "%s: checkpointStore.credentials", key)
	}

	if s.TLS != nil {
		if s.TLS.InsecureSkipVerify {
			return a, storeconfig.Invalidf("%s: checkpointStore.tls.insecureSkipVerify is not for checkpoints: name the certificate authority with caBundleRef", key)
		}

		if s.TLS.CABundleRef != nil {
			if a.own.CA, err = r.configs.Bundle(ctx, key, *s.TLS.CABundleRef); err != nil {
				return a, errors.Wrapf(err, "%s: checkpointStore.tls.caBundleRef", key)
			}
		}
	}

	a.worker, err = r.workerCredentials(ctx, mg, key, s, a.own.Credentials)

	return a, errors.Wrapf(err, "%s: checkpointStore.workerCredentials", key)
}

// workerCredentials returns what the workers' monitors get. Those of the platform are never theirs: of a ClusterProviderConfig
// a Secret in the pool's own namespace is read.
func (r *Repositories) workerCredentials(ctx context.Context, mg *v1alpha1.Checkpoint, key storeconfig.Key, s *v1alpha1.CheckpointStore, own []byte) ([]byte, error) {
	c := s.WorkerCredentials

	switch {
	case c == nil && key.Namespace != "":
		return own, nil
	case c == nil || c.Source == xpv2.CredentialsSourceNone:
		return nil, nil
	case key.Namespace != "":
		return r.configs.Content(ctx, key, c)
	case c.Source != xpv2.CredentialsSourceSecret || c.SecretRef == nil:
		return nil, storeconfig.Invalidf("source %s is not for workers: name a Secret that each pool's namespace has", c.Source)
	default:
		return r.configs.Key(ctx, storeconfig.Key{Kind: key.Kind, Name: key.Name, Namespace: mg.GetNamespace()}, "Secret", mg.GetNamespace(), c.SecretRef.Name, c.SecretRef.Key)
	}
}

// keyName is the Secret with a Checkpoint's data key.
func keyName(mg *v1alpha1.Checkpoint) types.NamespacedName {
	return types.NamespacedName{Namespace: mg.GetNamespace(), Name: mg.GetName() + v1alpha1.SuffixDataKey}
}

// dataKey returns a pool's data key, nil where there is none.
func (r *Repositories) dataKey(ctx context.Context, mg *v1alpha1.Checkpoint) (*cp.DataKey, error) {
	s := &corev1.Secret{}

	err := r.live.Get(ctx, keyName(mg), s)
	if kerrors.IsNotFound(err) {
		return nil, nil //nolint:nilnil // There is none.
	}

	if err != nil {
		return nil, errors.Wrap(err, "cannot get the data key")
	}

	var key cp.DataKey

	b, err := hex.DecodeString(strings.TrimSpace(string(s.Data[keyField])))
	if err != nil || len(b) != len(key) {
		return nil, fmt.Errorf("Secret %s must have %d hexadecimal digits under %q: bring it back from a backup, or with aidispatch checkpoint key", keyName(mg), 2*len(key), keyField) //nolint:staticcheck // Secret is a kind.
	}

	copy(key[:], b)

	return &key, nil
}
