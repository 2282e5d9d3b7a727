// Package crossplane renders Crossplane's own chart and builds its image; it applies and runs neither.
package crossplane

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"

	"github.com/southwest-ai/agent-operator/cluster/images/oci"
)

// Namespace that the chart is installed into, as Crossplane's guide names it.
const Namespace = "crossplane-system"

// A Source is the module that Crossplane is built from, with its chart, its CRDs and its webhook configurations.
type Source string

// FindSource asks the Go tool for the module that a wrapper module pins.
func FindSource(ctx context.Context, wrapper string) (Source, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "github.com/crossplane/crossplane/v2")
	cmd.Dir = wrapper
	cmd.Env = append(cmd.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if err != nil || len(strings.TrimSpace(string(out))) == 0 {
		return "", fmt.Errorf("cannot find Crossplane's module, run build first: %w", err)
	}
	return Source(strings.TrimSpace(string(out))), nil
}

// Image composes the image of Crossplane core, as its own build lays it out.
func (s Source) Image(binary string, p v1.Platform) (v1.Image, error) {
	crds, err := oci.ReadTree(filepath.Join(string(s), "cluster", "crds"), "/crds")
	if err != nil {
		return nil, err
	}
	webhooks, err := oci.ReadTree(filepath.Join(string(s), "cluster", "webhookconfigurations"), "/webhookconfigurations")
	if err != nil {
		return nil, err
	}
	core, err := oci.Program(binary, "/usr/local/bin/crossplane")
	if err != nil {
		return nil, err
	}
	return oci.Compose(oci.Spec{
		Platform:     p,
		Entrypoint:   []string{core.Path},
		Layers:       [][]oci.File{slices.Concat(crds, webhooks), {core}},
		Uncompressed: true,
		// crossplane resource validate reads core's kinds from the image, and takes none without labels.
		Labels: map[string]string{"org.opencontainers.image.title": "crossplane"},
	})
}

// Ports of core, which runs in the host's network.
type Ports struct{ Webhooks, Metrics, Readiness int }

// Manifests renders the chart for an image, namespace first.
func (s Source) Manifests(repository, tag string, p Ports) ([]byte, error) {
	c, err := loader.Load(filepath.Join(string(s), "cluster", "charts", "crossplane"))
	if err != nil {
		return nil, fmt.Errorf("cannot load the chart: %w", err)
	}
	release := chartutil.ReleaseOptions{Name: "crossplane", Namespace: Namespace, IsInstall: true}
	values, err := chartutil.ToRenderValues(c, values(repository, tag, p), release, nil)
	if err != nil {
		return nil, fmt.Errorf("cannot compute the chart's values: %w", err)
	}
	files, err := engine.Render(c, values)
	if err != nil {
		return nil, fmt.Errorf("cannot render the chart: %w", err)
	}
	var out strings.Builder
	fmt.Fprintf(&out, "apiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", Namespace)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if ext := path.Ext(name); ext == ".yaml" && strings.TrimSpace(files[name]) != "" {
			fmt.Fprintf(&out, "---\n%s\n", files[name])
		}
	}
	return []byte(out.String()), nil
}

// values differ from the chart's defaults in what one machine needs.
func values(repository, tag string, p Ports) map[string]any {
	return map[string]any{
		"image": map[string]any{"repository": repository, "tag": tag},
		// Packages come from the registry on the machine's loopback, which only the host's network reaches.
		"hostNetwork": true,
		"dnsPolicy":   "ClusterFirstWithHostNet",
		"webhooks":    map[string]any{"port": p.Webhooks},
		"metrics":     map[string]any{"enabled": true, "port": p.Metrics},
		"readiness":   map[string]any{"port": p.Readiness},
		// An alpha feature; examples/operations needs it.
		"args": []any{"--enable-operations"},
		// Kinds of providers are off unless somebody activates them, as on a platform that is strict about it.
		"provider": map[string]any{"defaultActivations": []any{}},
		// One replica of each has nobody to take turns with, and starts faster without asking.
		"leaderElection": false,
		"rbacManager":    map[string]any{"leaderElection": false},
		// An update must free the host's ports first.
		"deploymentStrategy": "Recreate",
		// The default half a core makes a cold start slow, for nothing gained on one machine.
		"resourcesCrossplane": map[string]any{
			"limits":   map[string]any{"cpu": "2", "memory": "1024Mi"},
			"requests": map[string]any{"cpu": "100m", "memory": "128Mi"},
		},
		"resourcesRBACManager": map[string]any{
			"limits":   map[string]any{"cpu": "1", "memory": "512Mi"},
			"requests": map[string]any{"cpu": "50m", "memory": "64Mi"},
		},
	}
}
