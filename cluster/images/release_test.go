package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/Masterminds/semver/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"sigs.k8s.io/yaml"
)

// small is the product with programs that do nothing, and its packages as they are: built for two platforms it takes seconds.
func small(t *testing.T, version string) *options {
	t.Helper()

	root := t.TempDir()
	write(t, filepath.Join(root, "go.mod"), "module example.org/small\n\ngo 1.26\n")
	for _, pr := range slices.Concat(runtimes, images, []program{commandLine}) {
		write(t, filepath.Join(root, pr.source, "main.go"), "package main\n\nvar version string\n\nfunc main() { _ = version }\n")
	}
	product, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(root, "package"), os.DirFS(filepath.Join(product, "package"))); err != nil {
		t.Fatal(err)
	}

	s := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(s.Close)
	return &options{
		Registry: strings.TrimPrefix(s.URL, "http://"), Version: version, Platforms: []string{"linux/amd64", "linux/arm64"},
		Root: root, Output: filepath.Join(root, "_output"),
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()

	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// The files of a release are these, and SHA256SUMS has each of them.
func TestReleaseFiles(t *testing.T) {
	o := small(t, "v1.2.3")
	dir := filepath.Join(o.Output, "release")
	write(t, filepath.Join(dir, "install-claim.yaml"), "of: others\n")
	if err := (buildReleaseCmd{}).Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}

	want := []string{sums, "install-claim.yaml", "configuration-aidispatcher.xpkg", "configuration-aidispatcher-claim.xpkg"}
	for _, arch := range []string{"amd64", "arm64"} {
		for _, n := range []string{"function-aidispatcher", "provider-aidispatcher"} {
			want = append(want, n+"-linux-"+arch+".xpkg", n+"-linux-"+arch+".spdx.json")
		}
		for _, n := range []string{"monitor-agent", "reference-agent", "model-server"} {
			want = append(want, n+"-linux-"+arch+".spdx.json")
		}
		for _, on := range []string{"linux", "darwin"} {
			want = append(want, "aidispatch-"+on+"-"+arch, "aidispatch-"+on+"-"+arch+".spdx.json")
		}
	}
	slices.Sort(want)

	var got []string
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	summed, err := os.ReadFile(filepath.Join(dir, sums))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		got = append(got, f.Name())
		content, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if line := fmt.Sprintf("%x  %s\n", sha256.Sum256(content), f.Name()); f.Name() != sums && !strings.Contains(string(summed), line) {
			t.Errorf("%s has not: %s", sums, line)
		}
		if i, err := f.Info(); err != nil || strings.HasPrefix(f.Name(), "aidispatch-") && filepath.Ext(f.Name()) == "" && i.Mode()&0o111 == 0 {
			t.Errorf("%s cannot be run: %v", f.Name(), err)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files: -want, +got:\n%s", diff)
	}
}

// digestOf is what a name stands for in the registry; nothing if it is not there.
func digestOf(t *testing.T, ref string) string {
	t.Helper()

	r, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	d, err := remote.Head(r)
	if err != nil {
		return ""
	}
	return d.Digest.String()
}

// What is pushed for two platforms is one name for both.
func TestPushForTwoPlatforms(t *testing.T) {
	o := small(t, "v1.2.3")
	if err := (pushImagesCmd{}).Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if err := (pushPackagesCmd{}).Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}

	for _, pr := range slices.Concat(runtimes, images) {
		r, err := name.ParseReference(o.ref(pr.name, "v1.2.3"))
		if err != nil {
			t.Fatal(err)
		}
		index, err := remote.Index(r)
		if err != nil {
			t.Errorf("%s is no index: %v", r, err)
			continue
		}
		m, err := index.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, d := range m.Manifests {
			got = append(got, d.Platform.String())
			img, err := index.Image(d.Digest)
			if err != nil {
				t.Fatal(err)
			}
			cfg, err := img.ConfigFile()
			if err != nil || cfg.Platform().String() != d.Platform.String() {
				t.Errorf("%s: what is called %s is for %v: %v", r, d.Platform, cfg.Platform(), err)
			}
		}
		if diff := cmp.Diff(o.Platforms, got); diff != "" {
			t.Errorf("%s: platforms: -want, +got:\n%s", r, diff)
		}
	}
	for _, n := range []string{"configuration-aidispatcher", "configuration-aidispatcher-claim"} {
		if digestOf(t, o.ref(n, "v1.2.3")) == "" {
			t.Errorf("%s was not pushed", n)
		}
	}
}

// The monitor has the tag of each release, and that of its contract from releases only.
func TestTagOfTheContract(t *testing.T) {
	o := small(t, "v1.2.3")
	o.Platforms = []string{"linux/amd64"}
	release := func(version string) (own, contract string) {
		t.Helper()
		o.Version = version // It is a label of the image, too, so each has its digest.
		if err := (pushImagesCmd{}).Run(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		return digestOf(t, o.ref("monitor-agent", version)), digestOf(t, o.ref("monitor-agent", "v2"))
	}

	// Where there is none yet the first comer may run with it.
	if own, contract := release("v1.2.3-rc.1"); own == "" || contract != own {
		t.Errorf("the first prerelease is %q, and v2 %q", own, contract)
	}
	first, contract := release("v1.2.3")
	if first == "" || contract != first {
		t.Errorf("a release is %q, and v2 %q", first, contract)
	}
	if own, contract := release("v1.3.0-rc.1"); own == "" || own == first || contract != first {
		t.Errorf("a prerelease is %q, and has moved v2 from %q to %q", own, first, contract)
	}
	if again := digestOf(t, o.ref("monitor-agent", "v1.2.3")); again != first {
		t.Errorf("v1.2.3 went from %q to %q", first, again)
	}
	if own, contract := release("v1.2.4"); own == "" || contract != own {
		t.Errorf("the next release is %q, and v2 %q", own, contract)
	}
}

// A Configuration takes function and provider of its own minor version, by the library with which Crossplane decides it.
func TestDependencies(t *testing.T) {
	cases := map[string]struct {
		version string
		takes   []string
		not     []string
	}{
		"Release":    {version: "v0.1.2", takes: []string{"v0.1.2", "v0.1.10"}, not: []string{"v0.1.1", "v0.1.3-rc.1", "v0.2.0", "v0.2.0-rc.1", "v1.1.2"}},
		"Prerelease": {version: "v0.2.0-rc.2", takes: []string{"v0.2.0-rc.2", "v0.2.0-rc.10", "v0.2.0", "v0.2.1"}, not: []string{"v0.2.0-rc.1", "v0.1.9", "v0.3.0", "v0.3.0-rc.1"}},
		"Commit":     {version: "v0.2.0-3-gabcdef0-dirty", takes: []string{"v0.2.0-3-gabcdef0-dirty"}, not: []string{"v0.3.0"}},
	}
	root, err := findRoot()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packages[2:] {
		b, err := os.ReadFile(filepath.Join(root, p.dir, "crossplane.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for name, tc := range cases {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				var meta struct {
					Spec struct {
						DependsOn []struct{ Package, Version string }
					}
				}
				if err := yaml.Unmarshal([]byte(strings.ReplaceAll(string(b), "${VERSION}", tc.version)), &meta); err != nil || len(meta.Spec.DependsOn) != 2 {
					t.Fatalf("it depends on %v: %v", meta.Spec.DependsOn, err)
				}
				for _, d := range meta.Spec.DependsOn {
					c, err := semver.NewConstraint(d.Version)
					if err != nil {
						t.Fatal(err)
					}
					for i, v := range append(slices.Clone(tc.takes), tc.not...) {
						if want := i < len(tc.takes); c.Check(semver.MustParse(v)) != want {
							t.Errorf("%s, %s: takes %s: want %t", d.Package, d.Version, v, want)
						}
					}
				}
			})
		}
	}
}

// A repository with the script of releases and what it reads.
type repository struct {
	t   *testing.T
	dir string
}

func (r repository) run(name string, args ...string) (string, error) {
	cmd := exec.CommandContext(r.t.Context(), name, args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "REGISTRY=registry.example", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// release commits pools with the given pods, under a tag.
func (r repository) release(tag, pools string) {
	r.t.Helper()

	write(r.t, filepath.Join(r.dir, "internal/compose/testdata/templates.txt"), pools)
	for _, args := range [][]string{{"add", "-A"}, {"commit", "-q", "--allow-empty", "-m", tag}, {"tag", tag}} {
		if out, err := r.run("git", args...); err != nil {
			r.t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
}

func (r repository) step(version, step string) (string, error) {
	return r.run("env", "VERSION="+version, "cluster/images/release.sh", step)
}

func newRepository(t *testing.T) repository {
	t.Helper()

	r := repository{t: t, dir: t.TempDir()}
	script, err := os.ReadFile("release.sh")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(r.dir, "cluster/images/release.sh"), string(script))
	if err := os.Chmod(filepath.Join(r.dir, "cluster/images/release.sh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := r.run("git", "init", "-q"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return r
}

// The notes name whose workers a release restarts, since the one that its users run.
func TestReleaseNotes(t *testing.T) {
	r := newRepository(t)
	r.release("v0.1.0", "a/x coder 1\nb/y planner 1\nc/z coder 1\n")
	r.release("v0.2.0-rc.1", "a/x coder 2\nb/y planner 1\nc/z coder 1\n")
	r.release("v0.2.0-rc.2", "a/x coder 2\nb/y planner 1\nd/new coder 9\n")
	r.release("v0.2.0", "a/x coder 2\nb/y planner 2\nd/new coder 9\n")
	r.release("v0.2.1", "a/x coder 2\nb/y planner 2\nd/new coder 9\n")

	const heading = "## Restarts workers\n\n"
	for version, want := range map[string]string{
		"v0.1.0":      heading + "None: this is the first release.\n",
		"v0.2.0-rc.1": heading + "The pods of these pools are not what they were in v0.1.0, nor are those of pools like them:\n\n- role `coder`, as in examples/a/x\n",
		"v0.2.0-rc.2": heading + "None, since v0.2.0-rc.1.\n",
		"v0.2.0":      heading + "The pods of these pools are not what they were in v0.1.0, nor are those of pools like them:\n\n- role `coder`, as in examples/a/x\n- role `planner`, as in examples/b/y\n",
		"v0.2.1":      heading + "None, since v0.2.0.\n",
	} {
		got, err := r.step(version, "notes")
		if err != nil {
			t.Errorf("%s: %v", version, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want, +got:\n%s", version, diff)
		}
	}
}

// A tag that the sources do not know of is not released.
func TestReleaseIsOfTheVersionThatTheSourcesTell(t *testing.T) {
	r := newRepository(t)
	tell := func(makefile, tree, app string) {
		write(t, filepath.Join(r.dir, "Makefile"), "VERSION  ?= "+makefile+"\n")
		write(t, filepath.Join(r.dir, "cluster/argocd/tree/version.yaml"), "data:\n  version: "+tree+"\n")
		write(t, filepath.Join(r.dir, "cluster/argocd/tree/kustomization.yaml"), "resources:\n- https://example.org//install?ref="+app+" # As told.\n")
	}
	for name, tc := range map[string]struct {
		makefile, tree, app string
		fails               bool
	}{
		"Same":     {"v0.2.0", "v0.2.0", "v0.2.0", false},
		"Makefile": {"v0.1.0", "v0.2.0", "v0.2.0", true},
		"Tree":     {"v0.2.0", "v0.1.0", "v0.1.0", true},
		"One":      {"v0.2.0", "v0.2.0", "v0.1.0", true},
	} {
		tell(tc.makefile, tc.tree, tc.app)
		if out, err := r.step("v0.2.0", "check"); (err != nil) != tc.fails {
			t.Errorf("%s: want an error: %t, got %v: %s", name, tc.fails, err, out)
		}
	}
}
