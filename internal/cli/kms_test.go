package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/kms"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/kms/kmstest"
)

// wrapFor makes the recipients of a pool anew, as the provider does when its configuration has changed.
func (p *pool) wrapFor(t *testing.T, key checkpoint.DataKey, to []age.Recipient, urls ...string) {
	t.Helper()

	var all []checkpoint.WrappedKey

	for _, r := range to {
		w, err := checkpoint.WrapForAge(key, "age", r)
		if err != nil {
			t.Fatal(err)
		}

		all = append(all, w)
	}

	for _, u := range urls {
		k, err := kms.Open(t.Context(), kms.Config{URL: u, Credentials: kmstest.AWSCredentials(kmstest.Encrypter)})
		if err != nil {
			t.Fatal(err)
		}

		w, err := checkpoint.WrapForKMS(t.Context(), key, u, k)
		if err != nil {
			t.Fatal(err)
		}

		all = append(all, w)
	}

	if err := p.repo.Rewrap(t.Context(), all); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, name string, content []byte) string {
	t.Helper()

	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}

	return file
}

// Any one recipient restores. One that was added later does too, and one that was removed does not any more.
func TestKMS(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}

	service := kmstest.New("old", "new")
	url := service.AWS(t)
	p := newPool(t, t.TempDir(), "team-a/pool")
	p.save(t, "0", map[string]string{"session": "one"})

	text, err := readSmall(p.key, "data key")
	if err != nil {
		t.Fatal(err)
	}

	key, err := parseKey(text)
	if err != nil {
		t.Fatal(err)
	}

	credentials := write(t, "credentials", kmstest.AWSCredentials(kmstest.Decrypter))
	byKMS := func(name string) []string { return []string{"--kms=" + url(name), "--kms-credentials=" + credentials} }
	byAge := []string{"--identity=" + write(t, "identity", []byte(id.String()))}
	restore := func(by []string) error {
		dir := filepath.Join(t.TempDir(), "restored")

		if _, err := run(t, append([]string{"checkpoint", "restore", "0", dir, "--store=file://" + p.dir, "--pool=" + p.prefix}, by...)...); err != nil {
			return err
		}

		if b, err := os.ReadFile(filepath.Join(dir, "session")); err != nil || string(b) != "one" {
			t.Errorf("restored %q, %v", b, err)
		}

		return nil
	}

	works := func(by []string) {
		t.Helper()

		if err := restore(by); err != nil {
			t.Errorf("restore with %s: %v", by[0], err)
		}
	}
	fails := func(by []string, want string) {
		t.Helper()

		if err := restore(by); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("restore with %s: got %v, want %q", by[0], err, want)
		}
	}

	p.wrapFor(t, key, []age.Recipient{id.Recipient()})
	fails(byKMS("old"), "wrapped for no key of a KMS")

	p.wrapFor(t, key, []age.Recipient{id.Recipient()}, url("old"))
	works(byAge)
	works(byKMS("old"))
	fails(byKMS("new"), "wrapped with another key")

	p.wrapFor(t, key, nil, url("old"), url("new"))
	fails(byAge, "no identity")
	works(byKMS("old"))
	works(byKMS("new"))

	p.wrapFor(t, key, nil, url("new"))
	service.Rotate("new")
	works(byKMS("new"))
	fails(byKMS("old"), "wrapped with another key")

	service.Disable("new")
	fails(byKMS("new"), "disabled")

	service.Enable("new")
	fails(append(byKMS("new"), byAge...), "not two of them")

	out, err := run(t, append([]string{"checkpoint", "key", "--store=file://" + p.dir, "--pool=" + p.prefix}, byKMS("new")...)...)
	if err != nil || strings.TrimSpace(out) != strings.TrimSpace(string(text)) {
		t.Errorf("key with a KMS key: %v", err)
	}
}
