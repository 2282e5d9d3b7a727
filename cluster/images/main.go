// Command images builds the product's container images and Crossplane packages, and pushes them, without Docker.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

type cli struct {
	options

	Images struct {
		Build buildImagesCmd `cmd:"" help:"Write an image tarball for each platform, for docker load and its like."`
		Push  pushImagesCmd  `cmd:"" help:"Push the images, as one index where there is more than one platform."`
		Wrap  wrapImageCmd   `cmd:"" help:"Push an image of a program that is built already."`
	} `cmd:"" help:"The images that pods run."`

	Packages struct {
		Build buildPackagesCmd `cmd:"" help:"Write an xpkg file for each package, and for each platform of one with a runtime."`
		Push  pushPackagesCmd  `cmd:"" help:"Push the packages, as one index where there is more than one platform."`
	} `cmd:"" help:"The Crossplane packages."`

	Release struct {
		Build buildReleaseCmd `cmd:"" help:"Write all files of a release, and the digests of these and of what is beside them."`
	} `cmd:"" help:"The files of a release."`
}

type options struct {
	Registry  string   `env:"REGISTRY" default:"127.0.0.1:5001" help:"Where images are pushed to and pulled from."`
	Version   string   `env:"VERSION" help:"Tag of images and packages; from git by default."`
	Platforms []string `env:"PLATFORMS" default:"linux/${arch}" help:"Platforms to build for, such as linux/amd64,linux/arm64."`
	Root      string   `type:"path" help:"The source tree; by default looked for here and upwards."`
	Output    string   `type:"path" help:"Directory that files are written to; _output in the source tree by default."`
}

func main() {
	var c cli
	k := kong.Parse(&c, kong.Name("images"), kong.UsageOnError(), kong.Vars{"arch": hostArch()},
		kong.Description("Builds AIDispatcher's images and Crossplane packages without Docker."))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	k.BindTo(ctx, (*context.Context)(nil))
	start := time.Now()
	err := c.complete()
	if err == nil {
		err = k.Run(&c.options)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called.
	}
	fmt.Fprintf(os.Stderr, "done in %.1fs\n", time.Since(start).Seconds())
}

// complete sets what depends on where this runs.
func (o *options) complete() error {
	if o.Root == "" {
		root, err := findRoot()
		if err != nil {
			return err
		}
		o.Root = root
	}
	if o.Output == "" {
		o.Output = filepath.Join(o.Root, "_output")
	}
	if o.Version == "" {
		o.Version = describe(o.Root)
	}
	return nil
}

// findRoot looks for the product's module, upwards from here.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("cannot find the source tree: %w", err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "package", "function", "crossplane.yaml")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("cannot find the source tree from here: run this inside it, or give --root")
}

// describe is the version that git knows, with a v in front as Crossplane wants its versions.
func describe(root string) string {
	out, err := exec.Command("git", "-C", root, "describe", "--tags", "--match", "v*", "--dirty").Output() //nolint:noctx // It answers at once.
	if err != nil {
		return "v0.1.0-dev"
	}
	return strings.TrimSpace(string(out))
}

// platforms parses what was asked for.
func (o *options) platforms() ([]v1.Platform, error) {
	out := make([]v1.Platform, 0, len(o.Platforms))
	for _, s := range o.Platforms {
		p, err := v1.ParsePlatform(strings.TrimSpace(s))
		if err != nil || p.OS != "linux" || p.Architecture == "" {
			return nil, fmt.Errorf("cannot build for platform %q: name it like linux/amd64", s)
		}
		out = append(out, *p)
	}
	return out, nil
}
