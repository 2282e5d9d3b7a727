// Package pack builds Crossplane packages as the crossplane command line does; it knows nothing of what is in them.
package pack

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/crossplane/crossplane-runtime/v2/pkg/xpkg"
	"github.com/crossplane/crossplane-runtime/v2/pkg/xpkg/parser"
	"github.com/crossplane/crossplane-runtime/v2/pkg/xpkg/parser/examples"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Build makes a package of the YAML below a directory, on top of the image of its runtime, or of nothing if that is nil.
// Placeholders of the form ${NAME} are replaced by their values; one without a value is an error.
func Build(ctx context.Context, dir string, runtime v1.Image, values map[string]string) (v1.Image, error) {
	stream, err := read(dir, values)
	if err != nil {
		return nil, err
	}
	meta, err := xpkg.BuildMetaScheme()
	if err != nil {
		return nil, fmt.Errorf("cannot build the scheme of package metadata: %w", err)
	}
	objects, err := xpkg.BuildObjectScheme()
	if err != nil {
		return nil, fmt.Errorf("cannot build the scheme of package objects: %w", err)
	}
	base := runtime
	if base == nil {
		base = empty.Image
	}
	b := xpkg.New(parser.NewEchoBackend(stream), noExamples{}, parser.New(meta, objects), examples.New())
	img, _, err := b.Build(ctx, xpkg.WithBase(base))
	if err != nil {
		return nil, fmt.Errorf("cannot build the package in %s: %w", dir, err)
	}
	return annotate(img)
}

// annotate says on each layer what Crossplane looks for there: which one holds the package. The builder says so only in
// labels of the configuration, as a tarball cannot carry annotations. Everything becomes plain OCI on the way.
func annotate(img v1.Image) (v1.Image, error) {
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("cannot read the package's configuration: %w", err)
	}
	layers, err := img.Layers()
	if err != nil {
		return nil, fmt.Errorf("cannot read the package's layers: %w", err)
	}
	out := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, l := range layers {
		d, err := l.Digest()
		if err != nil {
			return nil, fmt.Errorf("cannot compute a layer's digest: %w", err)
		}
		add := mutate.Addendum{Layer: ociLayer{l}, MediaType: types.OCILayer}
		if a, ok := cfg.Config.Labels[xpkg.Label(d.String())]; ok {
			add.Annotations = map[string]string{xpkg.AnnotationKey: a}
		}
		if out, err = mutate.Append(out, add); err != nil {
			return nil, fmt.Errorf("cannot append a layer: %w", err)
		}
	}
	if out, err = mutate.ConfigFile(out, cfg); err != nil {
		return nil, fmt.Errorf("cannot configure the package: %w", err)
	}
	return out, nil
}

// ociLayer is a layer under the name that OCI has for the format of Docker's.
type ociLayer struct{ v1.Layer }

// MediaType returns OCI's.
func (ociLayer) MediaType() (types.MediaType, error) { return types.OCILayer, nil }

var placeholder = regexp.MustCompile(`\$\{[A-Z_]+\}`)

// read concatenates the YAML files below a directory, in the order of their names.
func read(dir string, values map[string]string) (string, error) {
	var stream strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if ext := filepath.Ext(path); err != nil || !d.Type().IsRegular() || (ext != ".yaml" && ext != ".yml") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		text, err := substitute(string(bytes.TrimSpace(b)), values)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		fmt.Fprintf(&stream, "%s\n---\n", text)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("cannot read a package: %w", err)
	}
	return stream.String(), nil
}

func substitute(text string, values map[string]string) (string, error) {
	var unknown error
	out := placeholder.ReplaceAllStringFunc(text, func(p string) string {
		v, ok := values[strings.Trim(p, "${}")]
		if !ok {
			unknown = fmt.Errorf("placeholder %s has no value", p)
		}
		return v
	})
	return out, unknown
}

// noExamples tells the builder that the package comes without examples: they are in the repository.
type noExamples struct{}

// Init returns no stream.
func (noExamples) Init(context.Context, ...parser.BackendOption) (io.ReadCloser, error) {
	return io.NopCloser(strings.NewReader("")), os.ErrNotExist
}
