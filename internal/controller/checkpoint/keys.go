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
		want = append(want, r.Age)
	}

	slices.Sort(is)
	slices.Sort(want)

	return slices.Equal(is, slices.Compact(want))
}

// wrap wraps the data key for the recipients.
func (e *external) wrap(key cp.DataKey) ([]cp.WrappedKey, error) {
	var out []cp.WrappedKey

	for _, r := range e.access.recipients {
		to, err := age.ParseX25519Recipient(r.Age)
		if err != nil {
			return nil, storeconfig.Invalidf("checkpointStore.recipients: %q is no age recipient: %w", r.Age, err)
		}

		if slices.ContainsFunc(out, func(w cp.WrappedKey) bool { return w.Recipient == r.Age }) {
			continue
		}

		w, err := cp.WrapForAge(key, r.Age, to)
		if err != nil {
			return nil, err
		}

		out = append(out, w)
	}

	return out, nil
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
