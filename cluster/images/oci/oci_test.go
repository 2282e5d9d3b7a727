package oci

import (
	"archive/tar"
	"errors"
	"io"
	"io/fs"
	"log"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func spec() Spec {
	return Spec{
		Platform:   v1.Platform{OS: "linux", Architecture: "arm64"},
		Entrypoint: []string{"/app/run"},
		Labels:     map[string]string{"b": "2", "a": "1"},
		Layers: [][]File{{
			{Path: "/app/run", Mode: 0o755, Content: []byte("program")},
			{Path: "/app/conf/a", Mode: 0o644, Content: []byte("a")},
		}},
	}
}

func TestComposeIsReproducible(t *testing.T) {
	for _, uncompressed := range []bool{false, true} {
		s := spec()
		s.Uncompressed = uncompressed
		var digests []string
		for range 2 {
			img, err := Compose(s)
			if err != nil {
				t.Fatal(err)
			}
			d, err := img.Digest()
			if err != nil {
				t.Fatal(err)
			}
			digests = append(digests, d.String())
		}
		if digests[0] != digests[1] {
			t.Errorf("Compose(...), uncompressed %t: the same files gave %s and %s", uncompressed, digests[0], digests[1])
		}
	}
}

func TestCompose(t *testing.T) {
	img, err := Compose(spec())
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	type properties struct {
		OS, Arch, User string
		Entrypoint     []string
	}
	want := properties{OS: "linux", Arch: "arm64", User: "65532:65532", Entrypoint: []string{"/app/run"}}
	got := properties{OS: cfg.OS, Arch: cfg.Architecture, User: cfg.Config.User, Entrypoint: cfg.Config.Entrypoint}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration: -want, +got:\n%s", diff)
	}

	type entry struct {
		Mode int64
		Type byte
	}
	entries := map[string]entry{}
	content := mutate.Extract(img)
	defer content.Close() // Only read.
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != 0 {
			t.Errorf("%s: owned by %d:%d, modified %s: want root's, at the beginning of time", h.Name, h.Uid, h.Gid, h.ModTime)
		}
		entries[strings.TrimSuffix(h.Name, "/")] = entry{h.Mode, h.Typeflag}
	}
	file, dir := byte(tar.TypeReg), byte(tar.TypeDir)
	wantEntries := map[string]entry{
		"app": {0o755, dir}, "app/run": {0o755, file}, "app/conf": {0o755, dir}, "app/conf/a": {0o644, file},
		"etc": {0o755, dir}, "etc/passwd": {0o644, file}, "etc/group": {0o644, file},
		"etc/ssl": {0o755, dir}, "etc/ssl/certs": {0o755, dir}, "etc/ssl/certs/ca-certificates.crt": {0o644, file},
		"tmp": {0o1777, dir},
	}
	if diff := cmp.Diff(wantEntries, entries); diff != "" {
		t.Errorf("files: -want, +got:\n%s", diff)
	}
}

func TestPush(t *testing.T) {
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer s.Close()
	img, err := Compose(spec())
	if err != nil {
		t.Fatal(err)
	}
	ref := strings.TrimPrefix(s.URL, "http://") + "/a/b:v1"
	if err := Push(t.Context(), ref, img.(remote.Taggable)); err != nil {
		t.Fatal(err)
	}
	parsed, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	back, err := remote.Image(parsed)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Image(back); err != nil {
		t.Errorf("the image is not well-formed: %v", err)
	}
	want, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	got, err := back.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if got != want {
		t.Errorf("Push(...): pushed %s, pulled %s", want, got)
	}
	if err := Push(t.Context(), "not a name", img.(remote.Taggable)); err == nil {
		t.Error("Push(...): want an error for what is no image name")
	}
}

func TestReadTree(t *testing.T) {
	if _, err := ReadTree(t.TempDir()+"/absent", "/x"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("ReadTree(...): want %v, got %v", fs.ErrNotExist, err)
	}
}
