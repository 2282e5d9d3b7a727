//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/southwest-ai/agent-operator/cluster/images/oci"
	"github.com/southwest-ai/agent-operator/cluster/local/config"
	"github.com/southwest-ai/agent-operator/cluster/local/crossplane"
	"github.com/southwest-ai/agent-operator/cluster/local/progress"
)

// pushImages puts the images of the node and of the cluster's own pods into the registry.
func (c cluster) pushImages(ctx context.Context, dir string, withCrossplane bool, d progress.Detail) error {
	if err := c.awaitRegistry(ctx); err != nil {
		return err
	}
	images := map[string]func() (v1.Image, error){
		config.PauseImage:   func() (v1.Image, error) { return c.programImage("pause") },
		config.CoreDNSImage: func() (v1.Image, error) { return c.programImage("coredns") },
	}
	if withCrossplane {
		images[config.CrossplaneImage] = func() (v1.Image, error) {
			source, err := crossplane.FindSource(ctx, filepath.Join(dir, "third_party", "crossplane"))
			if err != nil {
				return nil, err
			}
			return source.Image(c.Bin("crossplane-core"), hostPlatform())
		}
	}
	for ref, compose := range images {
		d("%s", ref)
		img, err := compose()
		if err != nil {
			return err
		}
		if err := oci.Push(ctx, ref, img); err != nil {
			return err
		}
	}
	d("")
	return nil
}

// programImage is an image of nothing but one of the cache's programs.
func (c cluster) programImage(name string) (v1.Image, error) {
	program, err := oci.Program(c.Bin(name), "/"+name)
	if err != nil {
		return nil, err
	}
	return oci.Compose(oci.Spec{
		Platform: hostPlatform(), Entrypoint: []string{program.Path}, Layers: [][]oci.File{{program}}, Uncompressed: true,
	})
}

func hostPlatform() v1.Platform { return v1.Platform{OS: "linux", Architecture: runtime.GOARCH} }

func (c cluster) installDNS(ctx context.Context, d progress.Detail) error {
	manifest, err := os.ReadFile(c.Path("manifests", "coredns.yaml"))
	if err != nil {
		return fmt.Errorf("cannot read a manifest: %w", err)
	}
	if err := c.apply(ctx, manifest); err != nil {
		return err
	}
	d("waiting for CoreDNS")
	return c.rollout(ctx, "kube-system", "coredns")
}

func (c cluster) installCrossplane(ctx context.Context, dir string, d progress.Detail) error {
	source, err := crossplane.FindSource(ctx, filepath.Join(dir, "third_party", "crossplane"))
	if err != nil {
		return err
	}
	manifests, err := source.Manifests(config.CrossplaneRepo, config.CrossplaneTag, crossplane.Ports{
		Webhooks: config.CrossplaneWebhookPort, Metrics: config.CrossplaneMetricsPort, Readiness: config.CrossplaneReadinessPort,
	})
	if err != nil {
		return err
	}
	if err := writeFile(c.Path("manifests", "crossplane.yaml"), manifests, 0o644); err != nil {
		return err
	}
	if err := c.apply(ctx, manifests); err != nil {
		return err
	}
	for _, deployment := range []string{"crossplane", "crossplane-rbac-manager"} {
		d("waiting for %s", deployment)
		if err := c.rollout(ctx, crossplane.Namespace, deployment); err != nil {
			return err
		}
	}
	d("waiting for the package manager's CRDs")
	_, err = c.kubectl(ctx, nil, "wait", "--for=condition=Established", "--timeout=60s",
		"crd/providers.pkg.crossplane.io", "crd/functions.pkg.crossplane.io", "crd/configurations.pkg.crossplane.io")
	d("")
	return err
}

// rollout waits until a Deployment is as wanted, and says what its pods lack if it is not.
func (c cluster) rollout(ctx context.Context, namespace, deployment string) error {
	_, err := c.kubectl(ctx, nil, "-n", namespace, "rollout", "status", "deployment/"+deployment, "--timeout=120s")
	if err == nil {
		return nil
	}
	if pods, listErr := c.kubectl(ctx, nil, "-n", namespace, "get", "pods,events", "--no-headers"); listErr == nil {
		err = fmt.Errorf("%w\n%s", err, pods)
	}
	return err
}
