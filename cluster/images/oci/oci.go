// Package oci composes container images out of files, without a daemon and without a base image; it knows nothing of
// what the files are.
//
// Images are reproducible: the same files give the same digest on every machine, at any time.
package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Nonroot is the user and the group that images run as.
const Nonroot = 65532

// A File of an image.
type File struct {
	Path    string // absolute, in the image
	Mode    fs.FileMode
	Content []byte // nil for a directory
}

// A Spec is an image to be.
type Spec struct {
	Platform   v1.Platform
	Entrypoint []string
	Labels     map[string]string
	// Layers from the one that changes least to the one that changes most. Base is put below them.
	Layers [][]File
	// Uncompressed trades size for the time to build: right for a registry on the same machine.
	Uncompressed bool
}

// Compose builds the image.
func Compose(s Spec) (v1.Image, error) {
	img := mutate.MediaType(empty.Image, types.OCIManifestSchema1)
	img = mutate.ConfigMediaType(img, types.OCIConfigJSON)
	base, err := Base()
	if err != nil {
		return nil, err
	}
	for _, files := range append([][]File{base}, s.Layers...) {
		l, err := layer(files, s.Uncompressed)
		if err != nil {
			return nil, err
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			return nil, fmt.Errorf("cannot append a layer: %w", err)
		}
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("cannot read the image's configuration: %w", err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture, cfg.Variant = s.Platform.OS, s.Platform.Architecture, s.Platform.Variant
	cfg.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	cfg.Config = v1.Config{
		Entrypoint: s.Entrypoint,
		User:       fmt.Sprintf("%d:%d", Nonroot, Nonroot),
		WorkingDir: "/",
		Env:        []string{"PATH=/", "SSL_CERT_FILE=" + bundle},
		Labels:     s.Labels,
	}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		return nil, fmt.Errorf("cannot configure the image: %w", err)
	}
	return img, nil
}

// bundle is where Go and most others look for certificate authorities.
const bundle = "/etc/ssl/certs/ca-certificates.crt"

// Base is what a static program may expect around it: users, authorities and a place for temporary files.
func Base() ([]File, error) {
	authorities, err := os.ReadFile(bundle)
	if err != nil {
		return nil, fmt.Errorf("cannot read this machine's certificate authorities, install ca-certificates: %w", err)
	}
	return []File{
		{Path: "/etc/passwd", Mode: 0o644, Content: []byte("root:x:0:0:root:/:/none\nnonroot:x:65532:65532:nonroot:/:/none\n")},
		{Path: "/etc/group", Mode: 0o644, Content: []byte("root:x:0:\nnonroot:x:65532:\n")},
		{Path: bundle, Mode: 0o644, Content: authorities},
		{Path: "/tmp", Mode: fs.ModeDir | 0o777 | fs.ModeSticky},
	}, nil
}

// ReadTree reads the regular files below a directory, to be put below target in the image.
func ReadTree(dir, target string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files = append(files, File{Path: filepath.Join(target, rel), Mode: 0o644, Content: content})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", dir, err)
	}
	return files, nil
}

// Program reads an executable, to be put at target in the image.
func Program(path, target string) (File, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return File{}, fmt.Errorf("cannot read a program: %w", err)
	}
	return File{Path: target, Mode: 0o755, Content: content}, nil
}

func layer(files []File, uncompressed bool) (v1.Layer, error) {
	b, err := archive(files)
	if err != nil {
		return nil, err
	}
	if uncompressed {
		return static.NewLayer(b, types.OCIUncompressedLayer), nil
	}
	l, err := tarball.LayerFromOpener(opener(b),
		tarball.WithMediaType(types.OCILayer), tarball.WithCompressionLevel(gzip.BestSpeed), tarball.WithCompressedCaching)
	if err != nil {
		return nil, fmt.Errorf("cannot make a layer: %w", err)
	}
	return l, nil
}

// archive writes a tar with parents before children, owned by root, at the beginning of time.
func archive(files []File) ([]byte, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	seen := map[string]bool{".": true}
	put := func(name string, mode fs.FileMode, content []byte) error {
		hdr := &tar.Header{Name: name, Size: int64(len(content)), Typeflag: tar.TypeReg, Mode: int64(mode.Perm()), Format: tar.FormatPAX}
		if mode.IsDir() {
			hdr.Typeflag, hdr.Name = tar.TypeDir, name+"/"
		}
		if mode&fs.ModeSticky != 0 {
			hdr.Mode |= 0o1000
		}
		hdr.ModTime = time.Unix(0, 0).UTC()
		if err := w.WriteHeader(hdr); err != nil {
			return fmt.Errorf("cannot archive %s: %w", name, err)
		}
		_, err := w.Write(content)
		return err
	}
	for _, f := range files {
		name := strings.TrimPrefix(filepath.Clean(f.Path), "/")
		for _, dir := range parents(name) {
			if seen[dir] {
				continue
			}
			seen[dir] = true
			if err := put(dir, fs.ModeDir|0o755, nil); err != nil {
				return nil, err
			}
		}
		seen[name] = seen[name] || f.Mode.IsDir()
		if err := put(name, f.Mode, f.Content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("cannot finish an archive: %w", err)
	}
	return b.Bytes(), nil
}

// parents of a relative path, the outermost first.
func parents(name string) []string {
	var dirs []string
	for i, r := range name {
		if r == '/' {
			dirs = append(dirs, name[:i])
		}
	}
	return dirs
}
