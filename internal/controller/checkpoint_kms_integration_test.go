//go:build integration

package controller

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/kms/kmstest"
)

// A pool's data key is wrapped for keys of a KMS, one is exchanged for another, and one that cannot be used is named while what
// was wrapped before stays.
func TestCheckpointKMSRecipients(t *testing.T) {
	startProvider(t)

	service := kmstest.New("one", "two", "off")
	service.Disable("off")

	url := service.AWS(t)
	s := newObjectStore(t)
	create(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "kms"}, Data: map[string][]byte{"key": kmstest.AWSCredentials(kmstest.Encrypter)}})

	c := s.checkpoint("pool")
	create(t, c)
	ready(t, c)

	secret := &v1alpha1.Credentials{Source: xpv2.CredentialsSourceSecret}
	secret.SecretRef = &xpv2.SecretKeySelector{SecretReference: xpv2.SecretReference{Namespace: s.ns, Name: "kms"}, Key: "key"}

	pc := &v1alpha1.ProviderConfig{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "store"}}
	recipients := func(keys ...string) {
		t.Helper()
		patch(t, get(t, pc), func() {
			pc.Spec.CheckpointStore.Recipients = nil
			for _, k := range keys {
				pc.Spec.CheckpointStore.Recipients = append(pc.Spec.CheckpointStore.Recipients, v1alpha1.KeyRecipient{KMS: &v1alpha1.KMSKey{URL: url(k), Credentials: secret}})
			}
		})
	}
	wrapped := func(one, two bool) {
		t.Helper()
		eventually(t, func() string {
			p := s.objects(t, "pool")["pool.json"]
			if strings.Contains(p, ":key/one") != one || strings.Contains(p, ":key/two") != two {
				return "the data key is wrapped for others: " + p
			}

			return ""
		})
	}

	recipients("one")
	wrapped(true, false)
	recipients("one", "two")
	wrapped(true, true)
	recipients("two")
	wrapped(false, true)
	recipients("two", "off")
	synced(t, c, "the key is disabled")
	wrapped(false, true)

	for name, r := range map[string]v1alpha1.KeyRecipient{
		"Both":    {Age: "age1x", KMS: &v1alpha1.KMSKey{URL: url("one"), Credentials: secret}},
		"Neither": {},
		"Ambient": {KMS: &v1alpha1.KMSKey{URL: url("one")}},
	} {
		bad := &v1alpha1.ProviderConfig{ObjectMeta: metav1.ObjectMeta{Namespace: s.ns, Name: "bad"}}
		bad.Spec.CheckpointStore = &v1alpha1.CheckpointStore{URL: "s3://b?region=r", Recipients: []v1alpha1.KeyRecipient{r}}

		if err := kube.Create(t.Context(), bad); err == nil {
			t.Errorf("%s: the API server took a recipient that it should not", name)
		}
	}
}
