package checkpoint

import (
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	xpv2 "github.com/crossplane/crossplane/apis/v2/core/v2"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	cp "github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/kms/kmstest"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/store"
	"github.com/southwest-ai/agent-operator/internal/controller/storeconfig"
)

// The provider wraps for every recipient or for none, with a team's own credentials, and decrypts nothing.
func TestWrap(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}

	service := kmstest.New("one", "two", "off")
	service.Disable("off")

	url := service.AWS(t)
	secret := func(namespace, name, who string) *corev1.Secret {
		return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Data: map[string][]byte{"key": kmstest.AWSCredentials(who)}}
	}
	kube := fake.NewClientBuilder().WithObjects(secret("ns", "kms", kmstest.Encrypter), secret("ns", "weak", kmstest.Nobody), secret("other", "kms", kmstest.Encrypter)).Build()
	byKMS := func(key, namespace, name string) v1alpha1.KeyRecipient {
		c := &v1alpha1.Credentials{Source: xpv2.CredentialsSourceSecret}
		c.SecretRef = &xpv2.SecretKeySelector{SecretReference: xpv2.SecretReference{Namespace: namespace, Name: name}, Key: "key"}

		return v1alpha1.KeyRecipient{KMS: &v1alpha1.KMSKey{URL: url(key), Credentials: c}}
	}
	byAge := v1alpha1.KeyRecipient{Age: id.Recipient().String()}

	cases := map[string]struct {
		reason     string
		recipients []v1alpha1.KeyRecipient
		want       []string
		err        string
	}{
		"Both":      {reason: "Any one of them can restore.", recipients: []v1alpha1.KeyRecipient{byAge, byKMS("one", "ns", "kms"), byKMS("two", "ns", "kms")}, want: []string{byAge.Age, url("one"), url("two")}},
		"Twice":     {reason: "Once is enough.", recipients: []v1alpha1.KeyRecipient{byKMS("one", "ns", "kms"), byKMS("one", "ns", "kms")}, want: []string{url("one")}},
		"Denied":    {reason: "It says what is missing.", recipients: []v1alpha1.KeyRecipient{byAge, byKMS("one", "ns", "weak")}, err: "may not use this key"},
		"Disabled":  {reason: "It says what to do.", recipients: []v1alpha1.KeyRecipient{byKMS("off", "ns", "kms")}, err: "the key is disabled"},
		"Elsewhere": {reason: "Another team's Secret is not read.", recipients: []v1alpha1.KeyRecipient{byKMS("one", "other", "kms")}, err: "another namespace"},
		"Ambient":   {reason: "A team does not use the provider's identity.", recipients: []v1alpha1.KeyRecipient{{KMS: &v1alpha1.KMSKey{URL: url("one")}}}, err: "only a ClusterProviderConfig"},
		"URL":       {reason: "What is no key is refused.", recipients: []v1alpha1.KeyRecipient{{KMS: &v1alpha1.KMSKey{URL: "awskms:///alias/x"}}}, err: "must have the key's region"},
		"Age":       {reason: "So is what is no recipient.", recipients: []v1alpha1.KeyRecipient{{Age: "age1x"}}, err: "is no age recipient"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			e := &external{
				connector: &connector{repos: NewRepositories(kube, kube)},
				access:    access{config: storeconfig.Key{Kind: "ProviderConfig", Namespace: "ns", Name: "store"}, own: store.Config{}, recipients: tc.recipients},
			}

			keys, err := e.wrap(t.Context(), cp.NewDataKey())
			if (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
				t.Fatalf("%s\ngot %v, want %q", tc.reason, err, tc.err)
			}

			var got []string
			for _, k := range keys {
				got = append(got, k.Recipient)
			}

			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n%s", tc.reason, diff)
			}

			// What was written is what was asked for, so that it is not written again.
			if e.keys = keys; err == nil && !e.wrapped() {
				t.Errorf("%s\nit would be wrapped again each time", tc.reason)
			}
		})
	}

	if n := service.Calls(kmstest.Encrypter, "decrypt"); n != 0 {
		t.Errorf("the provider decrypted %d times", n)
	}
}
