package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/southwest-ai/agent-operator/cluster/images/oci"
	"github.com/southwest-ai/agent-operator/cluster/images/pack"
)

type (
	buildImagesCmd   struct{}
	pushImagesCmd    struct{}
	buildPackagesCmd struct{}
	pushPackagesCmd  struct{}
	buildReleaseCmd  struct{}
)

// Run writes tarballs of all images, the runtimes' too.
func (buildImagesCmd) Run(ctx context.Context, o *options) error {
	programs := append(append([]program{}, runtimes...), images...)
	all, err := o.buildAll(ctx, programs)
	if err != nil {
		return err
	}
	for _, pr := range programs {
		for _, b := range all[pr.name] {
			file := filepath.Join(o.Output, "images", pr.name+platformSuffix(b.platform)+".tar")
			if err := writeTarball(file, o.ref(pr.name, o.Version), b.image); err != nil {
				return err
			}
			if err := o.writeBill(file, pr.name, b); err != nil {
				return err
			}
		}
	}
	return writeSums(filepath.Join(o.Output, "images"))
}

// Run pushes the images that pods pull. The runtimes are not among them: packages carry those.
func (pushImagesCmd) Run(ctx context.Context, o *options) error {
	all, err := o.buildAll(ctx, images)
	if err != nil {
		return err
	}
	for _, pr := range images {
		if err := push(ctx, o.ref(pr.name, o.Version), all[pr.name]); err != nil {
			return err
		}
		if pr.contract == "" {
			continue
		}
		contract := o.ref(pr.name, pr.contract)
		if o.prerelease() {
			// Whoever runs what was released would get what is only to be tried.
			taken, err := oci.Exists(ctx, contract)
			if err != nil {
				return err
			}
			if taken {
				fmt.Fprintf(os.Stderr, "%s stays what it is: %s is a prerelease\n", contract, o.Version)
				continue
			}
		}
		if err := push(ctx, contract, all[pr.name]); err != nil {
			return err
		}
	}
	return nil
}

// prerelease is a version with a suffix, as semantic versioning has it.
func (o *options) prerelease() bool { return strings.Contains(o.Version, "-") }

// Run writes xpkg files, which the crossplane command line can push.
func (buildPackagesCmd) Run(ctx context.Context, o *options) error {
	dir := filepath.Join(o.Output, "packages")
	if err := o.writePackages(ctx, dir); err != nil {
		return err
	}
	return writeSums(dir)
}

// writePackages writes the packages, with what the programs in them are made of, into a directory.
func (o *options) writePackages(ctx context.Context, dir string) error {
	all, err := o.buildPackages(ctx)
	if err != nil {
		return err
	}
	for _, p := range packages {
		for _, b := range all[p.name] {
			file := filepath.Join(dir, p.name+platformSuffix(b.platform)+".xpkg")
			if err := writeTarball(file, "", b.image); err != nil {
				return err
			}
			if err := o.writeBill(file, p.name, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// Run writes all files of a release, beside those that are in their directory already, and the digests of them all.
func (buildReleaseCmd) Run(ctx context.Context, o *options) error {
	dir := filepath.Join(o.Output, "release")
	if err := o.writePackages(ctx, dir); err != nil {
		return err
	}
	all, err := o.buildAll(ctx, images)
	if err != nil {
		return err
	}
	for _, pr := range images {
		for _, b := range all[pr.name] {
			// The image is in the registry; what it is made of is here, too.
			if err := o.writeBill(filepath.Join(dir, pr.name+platformSuffix(b.platform)+".tar"), pr.name, b); err != nil {
				return err
			}
		}
	}
	for _, p := range desks {
		from, err := o.compile(ctx, p, []program{commandLine})
		if err != nil {
			return err
		}
		b := built{platform: p, binary: filepath.Join(from, commandLine.name)}
		file := filepath.Join(dir, commandLine.name+platformSuffix(p))
		if err := copyProgram(b.binary, file); err != nil {
			return err
		}
		if err := o.writeBill(file, commandLine.name, b); err != nil {
			return err
		}
	}
	return writeSums(dir)
}

// Run pushes the packages, those first that others depend on.
func (pushPackagesCmd) Run(ctx context.Context, o *options) error {
	all, err := o.buildPackages(ctx)
	if err != nil {
		return err
	}
	for _, p := range packages {
		if err := push(ctx, o.ref(p.name, o.Version), all[p.name]); err != nil {
			return err
		}
	}
	return nil
}

// buildPackages builds all packages, those with a runtime for each platform.
func (o *options) buildPackages(ctx context.Context) (map[string][]built, error) {
	bases, err := o.buildAll(ctx, runtimes)
	if err != nil {
		return nil, err
	}
	values := map[string]string{"REGISTRY": o.Registry, "VERSION": o.Version}
	out := map[string][]built{}
	for _, p := range packages {
		on := bases[p.name]
		if len(on) == 0 {
			on = []built{{}} // A package without a runtime is one for all platforms.
		}
		for _, b := range on {
			img, err := pack.Build(ctx, filepath.Join(o.Root, p.dir), b.image, values)
			if err != nil {
				return nil, err
			}
			out[p.name] = append(out[p.name], built{platform: b.platform, image: img, binary: b.binary})
		}
	}
	return out, nil
}

// push pushes one image as such, and several as an index.
func push(ctx context.Context, ref string, images []built) error {
	var what interface {
		remote.Taggable
		Digest() (v1.Hash, error)
	} = images[0].image
	if len(images) > 1 {
		index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
		for _, b := range images {
			index = mutate.AppendManifests(index, mutate.IndexAddendum{
				Add: b.image, Descriptor: v1.Descriptor{Platform: &b.platform},
			})
		}
		what = index
	}
	if err := oci.Push(ctx, ref, what); err != nil {
		return err
	}
	d, err := what.Digest()
	if err != nil {
		return fmt.Errorf("cannot compute the digest of %s: %w", ref, err)
	}
	// By digest, as one signs it: a tag may come to mean something else.
	fmt.Println(ref + "@" + d.String())
	return nil
}

func platformSuffix(p v1.Platform) string {
	if p.Architecture == "" {
		return ""
	}
	return "-" + strings.ReplaceAll(p.String(), "/", "-")
}

// writeTarball writes an image to a file. Without a name it is a package, which is named only when it is pushed.
func writeTarball(path, ref string, img v1.Image) error {
	var tag name.Reference
	if ref != "" {
		t, err := name.ParseReference(ref)
		if err != nil {
			return fmt.Errorf("cannot parse image name %q: %w", ref, err)
		}
		tag = t
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("cannot make a directory: %w", err)
	}
	if err := tarball.WriteToFile(path, tag, img); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	fmt.Println(path)
	return nil
}
