package kms

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"

	"github.com/southwest-ai/agent-operator/internal/checkpoint/kms/kmstest"
)

// A front is one of the protocols of a service.
type front struct {
	url         func(key string) string
	credentials func(who string) []byte
	client      *http.Client
}

func (f front) open(t *testing.T, key, who string) *secrets.Keeper {
	t.Helper()
	k, err := open(t.Context(), Config{URL: f.url(key), Credentials: f.credentials(who)}, f.client)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	return k
}

func fronts(t *testing.T, s *kmstest.Service) map[string]front {
	t.Helper()
	google := s.Google(t)
	return map[string]front{
		"AWS":    {url: s.AWS(t), credentials: kmstest.AWSCredentials, client: &http.Client{}},
		"Google": {url: google.URL, credentials: google.Credentials, client: &http.Client{}},
		"Azure":  {url: kmstest.AzureURL, credentials: kmstest.AzureCredentials, client: &http.Client{Transport: s.Azure()}},
	}
}

var dataKey = bytes.Repeat([]byte{7}, 32)

func wrap(t *testing.T, f front, key string) []byte {
	t.Helper()
	b, err := f.open(t, key, kmstest.Encrypter).Encrypt(t.Context(), dataKey)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(b, dataKey) {
		t.Fatal("the data key can be read in what was wrapped")
	}
	return b
}

// Who may only encrypt wraps, who may only decrypt unwraps, and a new version of the key leaves the old wraps readable.
func TestWrap(t *testing.T) {
	s := kmstest.New("one")
	for name, f := range fronts(t, s) {
		t.Run(name, func(t *testing.T) {
			b := wrap(t, f, "one")
			s.Rotate("one")
			for _, wrapped := range [][]byte{b, wrap(t, f, "one")} {
				got, err := f.open(t, "one", kmstest.Decrypter).Decrypt(t.Context(), wrapped)
				if diff := cmp.Diff(dataKey, got); err != nil || diff != "" {
					t.Errorf("Decrypt: %v %s", err, diff)
				}
			}
		})
	}
}

// What a service refuses is said in words that help and that repeat nothing of what it said.
func TestRefused(t *testing.T) {
	wrapping := func(k *secrets.Keeper, t *testing.T, _ []byte) error {
		t.Helper()
		_, err := k.Encrypt(t.Context(), dataKey)
		return err
	}
	unwrapping := func(k *secrets.Keeper, t *testing.T, b []byte) error {
		t.Helper()
		_, err := k.Decrypt(t.Context(), b)
		return err
	}
	changed := func(k *secrets.Keeper, t *testing.T, b []byte) error {
		t.Helper()
		b = bytes.Clone(b)
		b[len(b)-5] ^= 1
		_, err := k.Decrypt(t.Context(), b)
		return err
	}
	cases := map[string]struct {
		reason   string
		key, who string
		do       func(*secrets.Keeper, *testing.T, []byte) error
		code     gcerrors.ErrorCode
		want     []string
	}{
		"MayNotEncrypt": {reason: "Who restores needs no right to wrap.", key: "one", who: kmstest.Decrypter, do: wrapping, code: gcerrors.PermissionDenied, want: []string{denied.reason}},
		"MayNotDecrypt": {reason: "The provider has no right to unwrap.", key: "one", who: kmstest.Encrypter, do: unwrapping, code: gcerrors.PermissionDenied, want: []string{denied.reason}},
		"Unknown":       {reason: "The credentials are nobody's.", key: "one", who: "stranger", do: wrapping, code: gcerrors.PermissionDenied, want: []string{wrong.reason, noToken.reason}},
		"Disabled":      {reason: "A key that is off is told from a right that is missing.", key: "off", who: kmstest.Encrypter, do: wrapping, code: gcerrors.FailedPrecondition, want: []string{disabled.reason}},
		"Missing":       {reason: "There is no such key here.", key: "none", who: kmstest.Encrypter, do: wrapping, code: gcerrors.NotFound, want: []string{missing.reason}},
		"Another":       {reason: "It was wrapped with another key.", key: "two", who: kmstest.Decrypter, do: unwrapping, code: gcerrors.InvalidArgument, want: []string{foreign.reason}},
		"Changed":       {reason: "A bit of it was changed.", key: "one", who: kmstest.Decrypter, do: changed, code: gcerrors.InvalidArgument, want: []string{foreign.reason}},
	}
	s := kmstest.New("one", "two", "off")
	s.Disable("off")
	for service, f := range fronts(t, s) {
		b := wrap(t, f, "one")
		for name, tc := range cases {
			t.Run(service+"/"+name, func(t *testing.T) {
				err := tc.do(f.open(t, tc.key, tc.who), t, b)
				if gcerrors.Code(err) != tc.code {
					t.Errorf("%s\ngot code %v of %v, want %v", tc.reason, gcerrors.Code(err), err, tc.code)
				}
				var why interface{ Reason() string }
				if !errors.As(err, &why) || !strings.Contains(strings.Join(tc.want, "\n"), why.Reason()) {
					t.Errorf("%s\ngot %v, want %q", tc.reason, err, tc.want)
				}
				if strings.Contains(err.Error(), "repeats a secret") || strings.Contains(err.Error(), tc.who) {
					t.Errorf("the error repeats what the service said: %v", err)
				}
			})
		}
	}
}

func TestUnreachable(t *testing.T) {
	k, err := Open(t.Context(), Config{URL: "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k?endpoint=http://127.0.0.1:1", Credentials: kmstest.New("k").Google(t).Credentials(kmstest.Encrypter)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = k.Encrypt(t.Context(), dataKey); err == nil || !strings.Contains(err.Error(), "connection to the service failed") {
		t.Errorf("got %v, want that the connection failed", err)
	}
}

func TestOpen(t *testing.T) {
	const arn = "awskms:///arn:aws:kms:eu-central-1:111122223333:key/one"
	external := `{"type":"external_account","credential_source":{"file":"/etc/passwd"},"token_url":"https://example.org"}`
	cases := map[string]struct {
		reason, url, credentials, want string
	}{
		"ARN":            {reason: "An ARN has its region.", url: arn, credentials: string(kmstest.AWSCredentials("x"))},
		"Alias":          {reason: "An alias needs one.", url: "awskms:///alias/one?region=eu-central-1", credentials: string(kmstest.AWSCredentials("x"))},
		"NoRegion":       {reason: "It is not guessed.", url: "awskms:///alias/one", want: "must have the key's region"},
		"OtherRegion":    {reason: "Two regions are one too many.", url: arn + "?region=us-east-1", want: "says region us-east-1, and its ARN eu-central-1"},
		"RegionInjected": {reason: "It becomes part of a host's name.", url: "awskms:///alias/one?region=x.example.org/", want: "must have the key's region"},
		"Plain":          {reason: "The data key is in the request.", url: arn + "?endpoint=http://example.org", want: "by https"},
		"User":           {reason: "A URL is shown in pool.json.", url: "awskms://me:s3cret@key?region=eu-central-1", want: "must not have credentials"},
		"Unknown":        {reason: "Nothing is ignored.", url: arn + "?token=s3cret", want: "parameter that it must not have"},
		"Scheme":         {reason: "There are three.", url: "hashivault://key", want: "must begin with"},
		"Google":         {reason: "It needs its whole name.", url: "gcpkms://projects/p/cryptoKeys/k", want: "must be gcpkms://projects"},
		"AzureHost":      {reason: "A vault is sent a token.", url: "azurekeyvault://vault.example.org/keys/one", want: "must be azurekeyvault://NAME.vault"},
		"AzureVersion":   {reason: "A version may be named.", url: "azurekeyvault://a.vault.azure.net/keys/one/0123456789abcdef0123456789abcdef", credentials: string(kmstest.AzureCredentials("x"))},
		"None":           {reason: "The provider's own are not for everybody.", url: arn, want: "needs credentials"},
		"External":       {reason: "Such credentials make their reader read files.", url: "gcpkms://projects/p/locations/l/keyRings/r/cryptoKeys/k", credentials: external, want: "key of a service account"},
		"Fields":         {reason: "A mistyped field is not ignored.", url: arn, credentials: `{"accessKey":"s3cret"}`, want: "not one JSON object"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := Open(t.Context(), Config{URL: tc.url, Credentials: []byte(tc.credentials)})
			switch {
			case tc.want == "" && err != nil:
				t.Errorf("%s\ngot %v", tc.reason, err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("%s\ngot %v, want %q", tc.reason, err, tc.want)
			case err != nil && strings.Contains(err.Error(), "s3cret"):
				t.Errorf("%s\nthe error repeats it: %v", tc.reason, err)
			}
		})
	}
}
