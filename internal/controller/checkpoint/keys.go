package checkpoint

import (
	"context"
	"encoding/hex"
	"slices"

	"filippo.io/age"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/crossplane/crossplane-runtime/v2/pkg/errors"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	cp "github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/kms"
	"github.com/southwest-ai/agent-operator/internal/controller/storeconfig"
)

// wrapped says whether the data key is wrapped for whom it should be.
func (e *external) wrapped() bool {
	is := make([]string, 0, len(e.keys))
	for _, k := range e.keys {
		is = append(is, k.Recipient)
	}

	want := make([]string, 0, len(e.access.recipients))
	for _, r := range e.access.recipients {
		want = append(want, recipientName(r))
	}

	slices.Sort(is)
	slices.Sort(want)

	return slices.Equal(is, slices.Compact(want))
}

// recipientName is how pool.json names a recipient.
func recipientName(r v1alpha1.KeyRecipient) string {
	if r.KMS != nil {
		return r.KMS.URL
	}

	return r.Age
}

// wrap wraps the data key for the recipients: for all of them or for none.
func (e *external) wrap(ctx context.Context, key cp.DataKey) ([]cp.WrappedKey, error) {
	var out []cp.WrappedKey

	for _, r := range e.access.recipients {
		if slices.ContainsFunc(out, func(w cp.WrappedKey) bool { return w.Recipient == recipientName(r) }) {
			continue
		}

		w, err := e.wrapFor(ctx, key, r)
		if err != nil {
			return nil, errors.Wrap(err, "checkpointStore.recipients")
		}

		out = append(out, w)
	}

	return out, nil
}

func (e *external) wrapFor(ctx context.Context, key cp.DataKey, r v1alpha1.KeyRecipient) (cp.WrappedKey, error) {
	if r.KMS != nil {
		return e.wrapForKMS(ctx, key, r.KMS)
	}

	to, err := age.ParseX25519Recipient(r.Age)
	if err != nil {
		return cp.WrappedKey{}, storeconfig.Invalidf("%q is no age recipient: %w", r.Age, err)
	}

	return cp.WrapForAge(key, r.Age, to)
}

// wrapForKMS asks for one encryption. Nothing of the provider ever decrypts, so its credentials need no right to.
func (e *external) wrapForKMS(ctx context.Context, key cp.DataKey, r *v1alpha1.KMSKey) (cp.WrappedKey, error) {
	if err := kms.CheckURL(r.URL); err != nil {
		return cp.WrappedKey{}, storeconfig.Invalidf("kms.url: %w", err)
	}

	secret, err := e.repos.configs.Content(ctx, e.access.config, r.Credentials)
	if err != nil {
		return cp.WrappedKey{}, errors.Wrap(err, "kms.credentials")
	}

	k, err := e.repos.keeper(ctx, kms.Config{URL: r.URL, Credentials: secret, Ambient: e.access.own.Ambient})
	if err != nil {
		return cp.WrappedKey{}, err
	}
	defer k.Close() // It holds nothing.

	return cp.WrapForKMS(ctx, key, r.URL, k)
}

// ensureKey returns the data key that is kept, or makes one. Nothing owns its Secret: it goes only with the data.
func (e *external) ensureKey(ctx context.Context, mg *v1alpha1.Checkpoint) (cp.DataKey, error) {
	if e.key != nil {
		return *e.key, nil
	}

	key, name := cp.NewDataKey(), keyName(mg)
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name, Labels: map[string]string{v1alpha1.LabelCheckpoint: mg.GetName()}},
		Data:       map[string][]byte{keyField: []byte(hex.EncodeToString(key[:]))},
	}

	if err := e.kube.Create(ctx, s); err != nil {
		return key, errors.Wrap(err, "cannot keep the data key") // One that is there by now is read the next time.
	}

	e.key = &key

	return key, nil
}
