package pack

import (
	"archive/tar"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/crossplane/crossplane-runtime/v2/pkg/xpkg"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/southwest-ai/agent-operator/cluster/images/oci"
)

const configuration = `apiVersion: meta.pkg.crossplane.io/v1
kind: Configuration
metadata:
  name: c
spec:
  dependsOn:
  - apiVersion: pkg.crossplane.io/v1
    kind: Function
    package: ${REGISTRY}/f
    version: ${VERSION}
`

const function = `apiVersion: meta.pkg.crossplane.io/v1
kind: Function
metadata:
  name: f
`

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// pushed is the image as somebody else pulls it.
func pushed(t *testing.T, img v1.Image) v1.Image {
	t.Helper()
	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	ref := strings.TrimPrefix(s.URL, "http://") + "/a/b:v1"
	if err := oci.Push(t.Context(), ref, img.(remote.Taggable)); err != nil {
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
		t.Errorf("the package is no well-formed image: %v", err)
	}
	return back
}

// packageStream finds the package as Crossplane does: by the annotation of a layer of the manifest.
func packageStream(t *testing.T, img v1.Image) string {
	t.Helper()
	m, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range m.Layers {
		if d.MediaType != types.OCILayer {
			t.Errorf("layer %s is of type %s, want %s", d.Digest, d.MediaType, types.OCILayer)
		}
		if d.Annotations[xpkg.AnnotationKey] != xpkg.PackageAnnotation {
			continue
		}
		l, err := img.LayerByDigest(d.Digest)
		if err != nil {
			t.Fatal(err)
		}
		r, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		tr := tar.NewReader(r)
		if h, err := tr.Next(); err != nil || h.Name != xpkg.StreamFile {
			t.Fatalf("the package's layer begins with %+v, %v", h, err)
		}
		b, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	t.Fatal("no layer is annotated as the package")
	return ""
}

func TestBuildConfiguration(t *testing.T) {
	dir := write(t, map[string]string{"crossplane.yaml": configuration, "README.md": "${NOT_A_VALUE}"})
	img, err := Build(t.Context(), dir, nil, map[string]string{"REGISTRY": "registry.example", "VERSION": "v1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	img = pushed(t, img)
	stream := packageStream(t, img)
	for _, want := range []string{"package: registry.example/f", "version: v1.2.3"} {
		if !strings.Contains(stream, want) {
			t.Errorf("want %q in the package, got:\n%s", want, stream)
		}
	}
}

func TestBuildOnRuntime(t *testing.T) {
	runtime, err := oci.Compose(oci.Spec{Platform: v1.Platform{OS: "linux", Architecture: "arm64"}, Entrypoint: []string{"/f"}})
	if err != nil {
		t.Fatal(err)
	}
	img, err := Build(t.Context(), write(t, map[string]string{"crossplane.yaml": function}), runtime, nil)
	if err != nil {
		t.Fatal(err)
	}
	img = pushed(t, img)
	if !strings.Contains(packageStream(t, img), "kind: Function") {
		t.Error("the function's metadata is not in the package")
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"linux", "arm64", "/f"}, []string{cfg.OS, cfg.Architecture, cfg.Config.Entrypoint[0]}); diff != "" {
		t.Errorf("the runtime did not survive: -want, +got:\n%s", diff)
	}
}

func TestBuildRefuses(t *testing.T) {
	cases := map[string]struct {
		reason string
		files  map[string]string
	}{
		"UnknownPlaceholder": {reason: "It would reach the cluster as it is.", files: map[string]string{"crossplane.yaml": configuration}},
		"NoMetadata":         {reason: "A package is one by its metadata.", files: map[string]string{"other.yaml": ""}},
		"TwoMetadata": {
			reason: "It would be two packages.",
			files:  map[string]string{"a.yaml": function, "b.yaml": function},
		},
		"ForeignObject": {
			reason: "Crossplane would refuse it at its installation.",
			files:  map[string]string{"a.yaml": function, "b.yaml": "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\n"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := Build(t.Context(), write(t, tc.files), nil, nil); err == nil {
				t.Errorf("\n%s\nBuild(...): want an error", tc.reason)
			}
		})
	}
}
