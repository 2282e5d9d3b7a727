package cli

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/internal/checkpoint"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/store"
	"github.com/southwest-ai/agent-operator/internal/checkpoint/tree"
)

// A pool of a test: a repository in a directory, with its key in a file.
type pool struct {
	dir, prefix, key string
	repo             *checkpoint.Repository
}

func newPool(t *testing.T, dir, prefix string, wrap ...age.Recipient) *pool {
	t.Helper()

	b, err := store.Open(t.Context(), store.Config{URL: "file://" + dir, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { _ = b.Close() })

	key := checkpoint.NewDataKey()
	p := checkpoint.Pool{Chunker: checkpoint.DefaultChunker(0x3DA3358B4DC173)}

	for _, to := range wrap {
		w, err := checkpoint.WrapForAge(key, "test", to)
		if err != nil {
			t.Fatal(err)
		}

		p.Keys = append(p.Keys, w)
	}

	repo, err := checkpoint.Create(t.Context(), b, key, p, checkpoint.Options{})
	if err != nil {
		t.Fatal(err)
	}

	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(hex.EncodeToString(key[:])+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	return &pool{dir: dir, prefix: prefix, key: file, repo: repo}
}

// save saves a state of some files for a slot.
func (p *pool) save(t *testing.T, slot string, files map[string]string) checkpoint.Manifest {
	t.Helper()

	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	e, err := p.repo.Claim(t.Context(), slot, "worker-"+slot)
	if err != nil {
		t.Fatal(err)
	}

	s, err := p.repo.Session(t.Context(), slot, e.Epoch)
	if err != nil {
		t.Fatal(err)
	}

	snap, _, err := tree.Save(t.Context(), dir, s.Put, nil, tree.Options{Chunker: p.repo.Pool().Chunker})
	if err != nil {
		t.Fatal(err)
	}

	m, err := s.Commit(t.Context(), checkpoint.Save{Reason: "Interval", Files: snap.Files, Bytes: snap.Bytes, Tree: snap.Tree, Chunks: snap.Chunks})
	if err != nil {
		t.Fatal(err)
	}

	return m
}

// run runs a command as a person would, and returns what it prints.
func run(t *testing.T, args ...string) (string, error) {
	t.Helper()

	var out, stderr bytes.Buffer

	o := &Output{Out: &out, Err: &stderr, Now: func() time.Time { return time.Now().Add(90 * time.Minute) }}

	parser, err := kong.New(&Commands{}, kong.Name("aidispatch"), kong.BindTo(t.Context(), (*context.Context)(nil)), kong.Bind(o))
	if err != nil {
		t.Fatal(err)
	}

	k, err := parser.Parse(args)
	if err != nil {
		return "", err
	}

	err = k.Run()

	return out.String(), err
}

func (p *pool) run(t *testing.T, command string, args ...string) (string, error) {
	t.Helper()

	return run(t, append([]string{"checkpoint", command, "--store=file://" + p.dir, "--pool=" + p.prefix, "--key=" + p.key}, args...)...)
}

func (p *pool) must(t *testing.T, command string, args ...string) string {
	t.Helper()

	out, err := p.run(t, command, args...)
	if err != nil {
		t.Fatalf("aidispatch checkpoint %s %v: %v", command, args, err)
	}

	return out
}

func TestLook(t *testing.T) {
	p := newPool(t, t.TempDir(), "team-a/pool")
	first := p.save(t, "0", map[string]string{"session": "one", "notes": "n"})
	p.save(t, "0", map[string]string{"session": "two"})
	p.save(t, "1", map[string]string{"session": "other"})

	out := p.must(t, "ls")
	for _, want := range []string{"SLOT", "0", "1", "1h30m", "Interval", "worker-0"} {
		if !strings.Contains(out, want) {
			t.Errorf("ls does not say %q:\n%s", want, out)
		}
	}

	var slots []SlotLine
	if err := json.Unmarshal([]byte(p.must(t, "ls", "-o", "json")), &slots); err != nil || len(slots) != 2 || slots[0].Checkpoints != 2 || slots[0].Epoch != 2 || slots[0].Bytes != 3 {
		t.Errorf("ls -o json: %+v, %v", slots, err)
	}

	var all []CheckpointLine
	if err := json.Unmarshal([]byte(p.must(t, "ls", "0", "-o", "json")), &all); err != nil || len(all) != 2 || all[1].Position != first.Position.String() || all[1].Files != 2 {
		t.Errorf("ls 0 -o json: %+v, %v", all, err)
	}

	out = p.must(t, "show", "0/"+first.Position.String(), "--files")
	for _, want := range []string{"Checkpoint:", first.Position.String(), "session", "notes", "Files:", "2"} {
		if !strings.Contains(out, want) {
			t.Errorf("show does not say %q:\n%s", want, out)
		}
	}
}

func TestVerifyFindsWhatIsCorrupt(t *testing.T) {
	dir := t.TempDir()
	p := newPool(t, dir, "team-a/pool")
	p.save(t, "0", map[string]string{"session": "one"})

	if out := p.must(t, "verify"); !strings.Contains(out, "true") {
		t.Errorf("verify of what is whole:\n%s", out)
	}

	// Some chunk loses a byte.
	hurt := false
	_ = filepath.WalkDir(filepath.Join(dir, "team-a/pool/chunks"), func(f string, d fs.DirEntry, _ error) error {
		if d.IsDir() || hurt || strings.HasSuffix(f, ".attrs") {
			return nil
		}

		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}

		b[len(b)/2] ^= 1
		hurt = true

		return os.WriteFile(f, b, 0o600)
	})

	out, err := p.run(t, "verify", "-o", "json")

	var got []Verified
	if !errors.Is(err, ErrFound) || json.Unmarshal([]byte(out), &got) != nil || len(got) != 1 || got[0].Intact || !strings.Contains(got[0].Problem, "corrupt") {
		t.Errorf("verify of what is corrupt: %v\n%s", err, out)
	}
}

func TestRestore(t *testing.T) {
	p := newPool(t, t.TempDir(), "team-a/pool")
	m := p.save(t, "0", map[string]string{"session": "one"})
	p.save(t, "0", map[string]string{"session": "two"})

	for want, args := range map[string][]string{
		"two": {"0", filepath.Join(t.TempDir(), "newest")},
		"one": {"0/" + m.Position.String(), filepath.Join(t.TempDir(), "earlier")},
	} {
		p.must(t, "restore", args...)

		b, err := os.ReadFile(filepath.Join(args[1], "session"))
		if err != nil || string(b) != want {
			t.Errorf("restore %v: %q, %v, want %q", args, b, err, want)
		}

		if _, err := p.run(t, "restore", args...); err == nil || !strings.Contains(err.Error(), "not empty") {
			t.Errorf("restore over files: %v", err)
		}
	}
}

func TestPinAndRemove(t *testing.T) {
	p := newPool(t, t.TempDir(), "team-a/pool")
	first := "0/" + p.save(t, "0", map[string]string{"session": "one"}).Position.String()
	newest := "0/" + p.save(t, "0", map[string]string{"session": "two"}).Position.String()

	p.must(t, "pin", first, "--why", "before the upgrade")

	if out := p.must(t, "ls", "0"); !strings.Contains(out, "before the upgrade") {
		t.Errorf("ls does not say why it is pinned:\n%s", out)
	}

	for what, args := range map[string][]string{"pinned": {first}, "newest": {newest}, "SLOT/EPOCH-SEQUENCE": {"0"}} {
		if _, err := p.run(t, "rm", args...); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("rm %v: %v, want a word of %s", args, err, what)
		}
	}

	p.must(t, "unpin", first)
	p.must(t, "rm", first)
	p.must(t, "rm", newest, "--force")

	if out := p.must(t, "ls", "0", "-o", "json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("after all is removed: %s", out)
	}
}

// A state goes to another pool, which has another key.
func TestCopy(t *testing.T) {
	dir := t.TempDir()
	from, to := newPool(t, dir, "team-a/pool"), newPool(t, dir, "team-b/clone")

	for slot := range 3 {
		from.save(t, fmt.Sprint(slot), map[string]string{"session": fmt.Sprint("of ", slot)})
	}

	from.must(t, "copy", "--to-store=file://"+dir, "--to-pool="+to.prefix, "--to-key="+to.key)

	for slot := range 3 {
		at := filepath.Join(t.TempDir(), "d")
		to.must(t, "restore", fmt.Sprint(slot), at)

		if b, err := os.ReadFile(filepath.Join(at, "session")); err != nil || string(b) != fmt.Sprint("of ", slot) {
			t.Errorf("slot %d of the clone: %q, %v", slot, b, err)
		}
	}

	if _, err := from.run(t, "copy", "--to-store=file://"+dir, "--to-pool="+from.prefix, "--to-key="+from.key); err == nil || !strings.Contains(err.Error(), "same repository") {
		t.Errorf("a copy onto itself: %v", err)
	}
}

// Who has an identity that the key was wrapped for gets in when the Secret is lost, and can bring the Secret back.
func TestIdentity(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}

	p := newPool(t, t.TempDir(), "team-a/pool", id.Recipient())
	p.save(t, "0", map[string]string{"session": "one"})

	file := filepath.Join(t.TempDir(), "identity")
	if err := os.WriteFile(file, []byte(id.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}

	at := []string{"--store=file://" + p.dir, "--pool=" + p.prefix, "--identity=" + file}

	if out, err := run(t, append([]string{"checkpoint", "ls"}, at...)...); err != nil || !strings.Contains(out, "Interval") {
		t.Errorf("ls with an identity: %v\n%s", err, out)
	}

	out, err := run(t, append([]string{"checkpoint", "key"}, at...)...)
	if err != nil {
		t.Fatal(err)
	}

	want, err := os.ReadFile(p.key)
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(string(want), out); diff != "" {
		t.Error("the key that is printed is another")
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	dir := t.TempDir()
	p, other := newPool(t, dir, "team-a/pool"), newPool(t, dir, "team-b/pool")
	p.save(t, "0", map[string]string{"session": "one"})

	cases := map[string]struct {
		reason string
		args   []string
		want   string
	}{
		"NoKey":    {reason: "Nothing is readable without the key.", args: []string{"ls", "--store=file://" + dir, "--pool=team-a/pool"}, want: "give the data key with --key"},
		"WrongKey": {reason: "A key is one pool's.", args: []string{"ls", "--store=file://" + dir, "--pool=team-a/pool", "--key=" + other.key}, want: "another pool's"},
		"NoPool":   {reason: "A typo is found.", args: []string{"ls", "--store=file://" + dir, "--pool=team-a/pol", "--key=" + p.key}, want: "check --store and --pool"},
		"NoStore":  {reason: "One must say where.", args: []string{"ls", "--pool=x"}, want: "--store"},
		"NoSlot":   {reason: "A slot without checkpoints is none.", args: []string{"show", "--store=file://" + dir, "--pool=team-a/pool", "--key=" + p.key, "7"}, want: "slot 7 has no checkpoints"},
		"BadName":  {reason: "A position is written as it is printed.", args: []string{"show", "--store=file://" + dir, "--pool=team-a/pool", "--key=" + p.key, "0/7"}, want: "SLOT/EPOCH-SEQUENCE"},
	}

	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := run(t, append([]string{"checkpoint"}, tc.args...)...)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%s\n%v: %v, want %q", tc.reason, tc.args, err, tc.want)
			}
		})
	}
}
