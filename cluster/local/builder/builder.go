// Package builder puts the cluster's programs into a cache, each compiled from a Go module of its own or installed from
// npm; it knows nothing of how they are run.
package builder

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/southwest-ai/agent-operator/cluster/local/progress"
)

// A Program is compiled from one Go module, or installed with one package-lock.json.
type Program struct {
	Name    string            // of the binary in the cache, or of the directory under npm there
	Module  string            // directory of its go.mod or package-lock.json, relative to the cluster directory
	NPM     bool              // installed from npm; all below is for Go
	Package string            // import path, or a path relative to Module
	Stamp   map[string]string // string variables set by the linker
	Links   []string          // further names of the same binary
}

// Programs are all that the cluster and its tests need, those that a cluster cannot do without first.
func Programs() []Program {
	const kube = "k8s.io/component-base/version."
	const crossplane = "github.com/crossplane/crossplane-runtime/v2/pkg/version.version"
	return []Program{
		{
			Name: "kubernetes", Module: "third_party/kubernetes", Package: ".",
			Stamp: map[string]string{kube + "gitVersion": "v1.35.4", kube + "gitMajor": "1", kube + "gitMinor": "35"},
			Links: []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"},
		},
		{
			Name: "crossplane-core", Module: "third_party/crossplane", Package: "github.com/crossplane/crossplane/v2/cmd/crossplane",
			Stamp: map[string]string{crossplane: "v2.4.0"},
		},
		{Name: "coredns", Module: "third_party/coredns", Package: "."},
		{Name: "registry", Module: "third_party/registry", Package: "github.com/distribution/distribution/v3/cmd/registry"},
		{Name: "pause", Module: "local", Package: "./pause"},
	}
}

// Extras are programs that only some tests and checks need.
func Extras() []Program {
	return []Program{
		{
			Name: "crossplane", Module: "third_party/crossplane-cli", Package: "github.com/crossplane/cli/v2/cmd/crossplane",
			Stamp: map[string]string{"github.com/crossplane/crossplane-runtime/v2/pkg/version.version": "v2.5.0"},
		},
		{Name: "kwok", Module: "third_party/kwok", Package: "sigs.k8s.io/kwok/cmd/kwok"},
		{Name: "keda-operator", Module: "third_party/keda", Package: "github.com/kedacore/keda/v2/cmd/operator"},
		{Name: "keda-adapter", Module: "third_party/keda", Package: "github.com/kedacore/keda/v2/cmd/adapter"},
		{
			Name: "argo-cd", Module: "third_party/argo-cd", Package: ".",
			Stamp: map[string]string{"github.com/argoproj/argo-cd/v3/common.version": "3.5.7"},
			Links: []string{"argocd-application-controller", "argocd-applicationset-controller", "argocd-repo-server"},
		},
		{Name: "kustomize", Module: "third_party/argo-cd", Package: "sigs.k8s.io/kustomize/kustomize/v5"},
		{Name: "weaviate", Module: "third_party/weaviate", Package: "github.com/weaviate/weaviate/cmd/weaviate-server"},
		{Name: "versitygw", Module: "third_party/versitygw", Package: "github.com/versity/versitygw/cmd/versitygw"},
		{Name: "fake-gcs-server", Module: "third_party/fake-gcs-server", Package: "github.com/fsouza/fake-gcs-server"},
		{Name: "toxiproxy", Module: "third_party/toxiproxy", Package: "github.com/Shopify/toxiproxy/v2/cmd/server"},
		{Name: "pglite", Module: "third_party/pglite", NPM: true},
		{Name: "chroma", Module: "third_party/chroma", NPM: true},
		{Name: "azurite", Module: "third_party/azurite", NPM: true},
		{Name: "clients", Module: "third_party/clients", NPM: true},
		{Name: "axe", Module: "third_party/axe", NPM: true},
		{Name: "agents", Module: "third_party/agents", NPM: true},
		{
			Name: "golangci-lint", Module: "third_party/golangci-lint",
			Package: "github.com/golangci/golangci-lint/v2/cmd/golangci-lint",
		},
	}
}

// A Builder compiles Programs found under the Cluster directory into Bin.
type Builder struct {
	Cluster string
	Bin     string
}

// Path is where a program's binary is, or will be.
func (b Builder) Path(name string) string { return filepath.Join(b.Bin, name) }

// target is what a build makes: a binary, or a directory beside that of the binaries.
func (b Builder) target(p Program) string {
	if p.NPM {
		return filepath.Join(filepath.Dir(b.Bin), "npm", p.Name)
	}
	return b.Path(p.Name)
}

// UpToDate says whether the binary was built from just these inputs by just this toolchain.
func (b Builder) UpToDate(p Program) bool {
	want, err := b.key(p)
	if err != nil {
		return false
	}
	got, err := os.ReadFile(b.keyFile(p))
	if err != nil || string(got) != want {
		return false
	}
	_, err = os.Stat(b.target(p))
	return err == nil
}

// Build compiles or installs a program and links its further names. It appears whole or not at all.
func (b Builder) Build(ctx context.Context, p Program, detail progress.Detail) error {
	key, err := b.key(p)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(b.Bin, 0o755); err != nil {
		return fmt.Errorf("cannot make the cache: %w", err)
	}
	tmp := b.target(p) + ".tmp"
	build := b.compile
	if p.NPM {
		build = b.installNPM
	}
	if err := build(ctx, p, tmp, detail); err != nil {
		return err
	}
	if err := replace(tmp, b.target(p)); err != nil {
		return fmt.Errorf("cannot put %s in its place: %w", p.Name, err)
	}
	if err := b.link(p); err != nil {
		return err
	}
	if err := os.WriteFile(b.keyFile(p), []byte(key), 0o644); err != nil { //nolint:gosec // As readable as the binary.
		return fmt.Errorf("cannot remember the build of %s: %w", p.Name, err)
	}
	return nil
}

// replace puts a file or directory where another one may be.
func replace(from, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return os.Rename(from, to)
}

// Fetch downloads the modules that a program is compiled from.
func (b Builder) Fetch(ctx context.Context, p Program) error {
	if p.NPM {
		return nil // Fetching is all there is to it.
	}
	_, err := b.countPackages(ctx, p)
	return err
}

// compile runs the compiler and counts the packages that it names while it works.
func (b Builder) compile(ctx context.Context, p Program, to string, detail progress.Detail) error {
	detail("fetching modules")
	total, err := b.countPackages(ctx, p)
	if err != nil {
		return err
	}
	cmd := b.goCommand(ctx, p, "build", "-v", "-ldflags", p.ldflags(), "-o", to, p.Package)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return fmt.Errorf("cannot read the compiler's output: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("cannot run the compiler: %w", err)
	}
	detail("compiling")
	var tail []string
	lines := bufio.NewScanner(stderr)
	for n := 1; lines.Scan(); n++ {
		detail("compiled %d of at most %d packages", n, total)
		tail = append(tail, lines.Text())
		tail = tail[max(0, len(tail)-20):]
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("cannot compile %s: %w:\n%s", p.Name, err, strings.Join(tail, "\n"))
	}
	return nil
}

// installNPM installs just the packages of the lock file, with the sums that stand there, and runs none of their scripts.
func (b Builder) installNPM(ctx context.Context, p Program, to string, detail progress.Detail) error {
	detail("fetching packages")
	if err := os.RemoveAll(to); err != nil {
		return fmt.Errorf("cannot tidy the cache: %w", err)
	}
	if err := os.CopyFS(to, os.DirFS(filepath.Join(b.Cluster, p.Module))); err != nil {
		return fmt.Errorf("cannot copy the lock file of %s: %w", p.Name, err)
	}
	cmd := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
	cmd.Dir = to
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot install %s: %w: npm says:\n%s", p.Name, err, out)
	}
	return nil
}

func (b Builder) countPackages(ctx context.Context, p Program) (int, error) {
	var out, stderr bytes.Buffer
	cmd := b.goCommand(ctx, p, "list", "-deps", p.Package)
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("cannot fetch the modules of %s: %w:\n%s", p.Name, err, stderr.String())
	}
	return bytes.Count(out.Bytes(), []byte("\n")), nil
}

// link makes the further names of a binary.
func (b Builder) link(p Program) error {
	for _, name := range p.Links {
		path := b.Path(name)
		if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
			return fmt.Errorf("cannot replace %s: %w", name, err)
		}
		if err := os.Symlink(p.Name, path); err != nil {
			return fmt.Errorf("cannot link %s: %w", name, err)
		}
	}
	return nil
}

func (b Builder) goCommand(ctx context.Context, p Program, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = filepath.Join(b.Cluster, p.Module)
	cmd.Env = append(os.Environ(), buildEnv()...)
	return cmd
}

// buildEnv makes builds static, reproducible, and shared in the compiler's cache with the product's own.
func buildEnv() []string {
	return []string{"CGO_ENABLED=0", "GOFLAGS=-trimpath -buildvcs=false", "GOWORK=off"}
}

// ldflags are sorted, as they are part of the key.
func (p Program) ldflags() string {
	flags := []string{"-s", "-w"}
	for _, name := range slices.Sorted(maps.Keys(p.Stamp)) {
		flags = append(flags, "-X "+name+"="+p.Stamp[name])
	}
	return strings.Join(flags, " ")
}

func (b Builder) keyFile(p Program) string { return b.Path(p.Name) + ".key" }

// key is over everything that a build depends on: sources, flags, toolchain.
func (b Builder) key(p Program) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOARCH, p.Package, p.ldflags(), p.Links, buildEnv())
	root := filepath.Join(b.Cluster, p.Module)
	dir := root
	// A package of a larger module depends, as far as this cluster goes, on its own directory only.
	if strings.HasPrefix(p.Package, "./") {
		dir = filepath.Join(root, p.Package)
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s %x\n", strings.TrimPrefix(path, root), sha256.Sum256(content))
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("cannot read the sources of %s: %w", p.Name, err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
