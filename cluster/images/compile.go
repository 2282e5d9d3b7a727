package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/southwest-ai/agent-operator/cluster/images/oci"
)

func hostArch() string { return runtime.GOARCH }

// compile builds static programs for a platform, all at once, and returns the directory they are in. The compiler's
// cache makes it quick when nothing has changed.
func (o *options) compile(ctx context.Context, p v1.Platform, programs []program) (string, error) {
	dir := filepath.Join(o.Output, "bin", strings.ReplaceAll(p.String(), "/", "_"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("cannot make a directory: %w", err)
	}
	args := []string{"build", "-ldflags", "-s -w -X main.version=" + o.Version, "-o", dir + "/"}
	for _, pr := range programs {
		args = append(args, "./"+pr.source)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = o.Root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false", "GOWORK=off",
		"GOOS="+p.OS, "GOARCH="+p.Architecture)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("cannot compile for %s: %w:\n%s", p, err, out)
	}
	return dir, nil
}

// compose makes the image of one compiled program.
func (o *options) compose(pr program, p v1.Platform, dir string) (v1.Image, error) {
	f, err := oci.Program(filepath.Join(dir, path.Base(pr.source)), pr.entry)
	if err != nil {
		return nil, err
	}
	return oci.Compose(oci.Spec{
		Platform:   p,
		Entrypoint: []string{pr.entry},
		Layers:     [][]oci.File{{f}},
		Labels: map[string]string{
			"org.opencontainers.image.title":    pr.title,
			"org.opencontainers.image.version":  o.Version,
			"org.opencontainers.image.source":   "https://github.com/southwest-ai/agent-operator",
			"org.opencontainers.image.licenses": "Apache-2.0",
		},
	})
}

// A built image of a platform.
type built struct {
	platform v1.Platform
	image    v1.Image
	// binary is the program in it; empty for a package without one.
	binary string
}

// buildAll compiles and composes programs for all platforms: images by the name of the program.
func (o *options) buildAll(ctx context.Context, programs []program) (map[string][]built, error) {
	platforms, err := o.platforms()
	if err != nil {
		return nil, err
	}
	out := map[string][]built{}
	for _, p := range platforms {
		dir, err := o.compile(ctx, p, programs)
		if err != nil {
			return nil, err
		}
		for _, pr := range programs {
			img, err := o.compose(pr, p, dir)
			if err != nil {
				return nil, err
			}
			out[pr.name] = append(out[pr.name], built{platform: p, image: img, binary: filepath.Join(dir, path.Base(pr.source))})
		}
	}
	return out, nil
}

// ref is the full name of an image of the product.
func (o *options) ref(name, tag string) string {
	return o.Registry + "/" + organization + "/" + name + ":" + tag
}
