//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
	"github.com/southwest-ai/agent-operator/cluster/docs"
)

// By the commands of docs/gitops.md, from a cluster with Crossplane and Argo CD to a pool of a team: a real Argo CD reads the tree from a
// real repository, and all after the one Application that is applied by hand comes by itself. What changes in Git changes in the cluster;
// and by the page's commands all goes again.
func TestPathOfArgoCD(t *testing.T) {
	if claims() {
		t.Skip("the tree is of the namespaced form; for claims it names another package")
	}

	page, err := docs.Read(root, "docs/gitops.md")
	if err != nil {
		t.Fatal(err)
	}

	releases := released(t, os.Getenv("VERSION"))
	git := platformRepository(t)
	startArgoCD(t, releases)

	before, err := everything(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	typed(t, shown(t, page, "Install")[0], "PLATFORM="+git, "URL=file://"+git+".git")
	comesInWaves(t)
	synced(t, "aidispatcher", "")
	synced(t, "pools-team-a", "")

	t.Run("Change", func(t *testing.T) { changesInGit(t, git) })
	t.Run("Upgrade", func(t *testing.T) { upgradesByGit(t, page, git, releases) })

	if t.Failed() {
		return
	}

	uninstalled(t, page)

	// The teams' namespaces are theirs.
	if err := kube.Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team-a"}}); err != nil {
		t.Error(err)
	}

	eventually(t, "all that came is gone", func(ctx context.Context) error {
		now, err := everything(ctx)
		if err != nil {
			return err
		}

		left := slices.DeleteFunc(now, func(o string) bool { return slices.Contains(before, o) })
		if len(left) > 0 {
			return fmt.Errorf("left behind: %q", left)
		}

		return nil
	})
}

// shown returns the blocks of commands under a heading of a page.
func shown(t *testing.T, page *docs.Page, section string) []string {
	t.Helper()

	var out []string

	for _, b := range page.Blocks {
		if b.Section == section && b.Info == "" {
			out = append(out, b.Text)
		}
	}

	if len(out) == 0 {
		t.Fatalf("%s: there are no commands under %q", page.Path, section)
	}

	return out
}

// typed runs a block of commands in one shell and in the root of the repository. Variables that are given are the reader's own,
// and not those that the page shows.
func typed(t *testing.T, block string, own ...string) {
	t.Helper()

	text := ""

	for line := range strings.Lines(block) {
		name, _, assigned := strings.Cut(line, "=")
		if !assigned || !slices.ContainsFunc(append(os.Environ(), own...), func(v string) bool { return strings.HasPrefix(v, name+"=") }) {
			text += line
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()

	cmd := exec.CommandContext(ctx, "bash", "-euxo", "pipefail", "-c", text)
	cmd.Dir, cmd.Env = root, append(os.Environ(), own...)

	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}

	t.Logf("typed:\n%s", out)
}

// uninstalled types the page's commands. Before the last of its blocks, by which somebody confirms it, nothing that every pool hangs
// on goes.
func uninstalled(t *testing.T, page *docs.Page) {
	t.Helper()

	blocks := shown(t, page, "Uninstall")
	for _, b := range blocks[:len(blocks)-1] {
		typed(t, b)
	}

	if err := try("kubectl", "wait", "--for=delete", "application/aidispatcher-platform", "-n", "argocd", "--timeout=10s"); err == nil {
		t.Error("the platform went, and nobody has confirmed it")
	}

	for _, p := range append(packages(), "composition/aidispatcher", "clusterrole/aidispatcher-provider") {
		if at := command(t, "kubectl", "get", p, "-o", "jsonpath={.metadata.deletionTimestamp}"); at != "" {
			t.Errorf("%s goes, and nobody has confirmed it", p)
		}
	}

	typed(t, blocks[len(blocks)-1])
}

// released is a repository like ours, of which a version has been tagged.
func released(t *testing.T, version string) string {
	t.Helper()

	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "cluster/install"), os.DirFS(filepath.Join(root, "cluster/install"))); err != nil {
		t.Fatal(err)
	}

	gitIn(t, dir, "init", "-q")
	gitIn(t, dir, "add", ".")
	gitIn(t, dir, "commit", "-q", "-m", "A release")
	gitIn(t, dir, "tag", version)

	return dir
}

// platformRepository returns a clone of an empty repository, which is beside it.
func platformRepository(t *testing.T) string {
	t.Helper()

	clone := filepath.Join(t.TempDir(), "platform")
	gitIn(t, "", "init", "-q", "--bare", clone+".git")
	gitIn(t, "", "clone", "-q", clone+".git", clone)
	gitIn(t, clone, "config", "user.name", "Platform")
	gitIn(t, clone, "config", "user.email", "platform@example.org")

	return clone
}

func gitIn(t *testing.T, dir string, args ...string) string {
	t.Helper()

	cmd := exec.CommandContext(t.Context(), "git", append([]string{"-c", "user.name=Test", "-c", "user.email=test@example.org"}, args...)...)
	cmd.Dir = dir

	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v: %s", strings.Join(args, " "), err, out)
	}

	return strings.TrimSpace(string(out))
}

// push commits all that has changed in a clone, and returns the commit.
func push(t *testing.T, clone, why string) string {
	t.Helper()
	gitIn(t, clone, "add", "--all")
	gitIn(t, clone, "commit", "-q", "-m", why)
	gitIn(t, clone, "push", "-q")

	return gitIn(t, clone, "rev-parse", "HEAD")
}

// argo reads one of Argo CD's objects.
func argo(ctx context.Context, kind, name string) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(schema.GroupVersionKind{Group: "argoproj.io", Version: "v1alpha1", Kind: kind})

	return o, kube.Get(ctx, client.ObjectKey{Namespace: "argocd", Name: name}, o)
}

// judged says how Argo CD finds an Application.
func judged(o *unstructured.Unstructured) (sync, health, revision string) {
	sync, _, _ = unstructured.NestedString(o.Object, "status", "sync", "status")
	health, _, _ = unstructured.NestedString(o.Object, "status", "health", "status")
	revision, _, _ = unstructured.NestedString(o.Object, "status", "sync", "revision")

	return sync, health, revision
}

// synced waits until an Application is what Git says at a commit, or at any, and is healthy.
func synced(t *testing.T, name, commit string) {
	t.Helper()
	eventually(t, name+" to be synced and healthy", func(ctx context.Context) error {
		app, err := argo(ctx, "Application", name)
		if err != nil {
			return err
		}

		if sync, health, revision := judged(app); sync != "Synced" || health != "Healthy" || (commit != "" && revision != commit) {
			return fmt.Errorf("%s and %s at %s: %v", sync, health, revision, app.Object["status"])
		}

		return nil
	})
}

// comesInWaves holds that nothing of the teams is there before the platform is healthy.
func comesInWaves(t *testing.T) {
	t.Helper()
	eventually(t, "the ApplicationSet", func(ctx context.Context) error {
		_, err := argo(ctx, "ApplicationSet", "agent-teams")
		if err != nil && !kerrors.IsNotFound(err) {
			return err
		}

		platform, notYet := argo(ctx, "Application", "aidispatcher-platform")
		if notYet != nil {
			return notYet
		}

		sync, health, _ := judged(platform)
		if err != nil {
			return fmt.Errorf("the platform is %s and %s: %v", sync, health, platform.Object["status"])
		}

		// Its last wave is there; that this is all that Git says it may see a moment later.
		if health != "Healthy" || try("kubectl", "get", "composition", "aidispatcher") != nil {
			t.Errorf("the ApplicationSet is there, and the platform is %s and %s: %v", sync, health, platform.Object["status"])
		}

		return nil
	})
}

// changesInGit changes a pool, brings another and a store, takes the pool away, and takes away the team.
func changesInGit(t *testing.T, git string) {
	t.Helper()

	coders := &v1alpha1.AIDispatcher{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "coder-agent-pool"}}
	reviewers := &v1alpha1.AIDispatcher{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "reviewer-agent-pool"}}
	team := filepath.Join(git, "aidispatcher/teams/team-a")

	manifest, err := os.ReadFile(filepath.Join(team, "coders.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	for name, change := range map[string][]string{
		"coders.yaml":    {"replicas: 3", "replicas: 2"},
		"reviewers.yaml": {"replicas: 3", "replicas: 1", "coder-agent-pool", "reviewer-agent-pool", "role: coder", "role: reviewer"},
	} {
		if err := os.WriteFile(filepath.Join(team, name), []byte(strings.NewReplacer(change...).Replace(string(manifest))), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	bringStore(t, filepath.Join(git, "aidispatcher/platform"))

	commit := push(t, git, "Two coders, a reviewer and a store")
	synced(t, "pools-team-a", commit)
	synced(t, "aidispatcher-platform", commit)

	if got := command(t, "kubectl", "get", "clusterproviderconfigs.agent.southwest.ai", "-o", "name"); !strings.HasSuffix(strings.TrimSpace(got), "/milvus") {
		t.Errorf("the store of the platform is %q", got)
	}

	settled(t, coders, 2)
	settled(t, reviewers, 1)

	if err := os.Remove(filepath.Join(team, "reviewers.yaml")); err != nil {
		t.Fatal(err)
	}

	synced(t, "pools-team-a", push(t, git, "No reviewer"))
	eventually(t, "the pool that is gone from Git to go", func(ctx context.Context) error {
		err := kube.Get(ctx, client.ObjectKeyFromObject(reviewers), reviewers)
		if err == nil {
			return errors.New("it is there")
		}

		return client.IgnoreNotFound(err)
	})
	teamGoesAndComes(t, git, coders)
}

// bringStore adds the store of an example to the platform, in a wave of its own, as the platform's kustomization says.
func bringStore(t *testing.T, platform string) {
	t.Helper()

	for from, change := range map[string]struct{ to, was, is string }{
		filepath.Join(root, "examples/memory-milvus/providerconfig.yaml"): {
			"store.yaml", "  name: milvus\nspec:", `  name: milvus
  annotations:
    argocd.argoproj.io/sync-wave: "3"
    argocd.argoproj.io/sync-options: SkipDryRunOnMissingResource=true
spec:`,
		},
		filepath.Join(platform, "kustomization.yaml"): {"kustomization.yaml", "- version.yaml\n", "- version.yaml\n- store.yaml\n"},
	} {
		b, err := os.ReadFile(filepath.Clean(from))
		if err != nil {
			t.Fatal(err)
		}

		if !strings.Contains(string(b), change.was) {
			t.Fatalf("%s does not say %q", from, change.was)
		}

		if err := os.WriteFile(filepath.Join(platform, change.to), []byte(strings.Replace(string(b), change.was, change.is, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// teamGoesAndComes takes a team's folder out of Git, whose pool stays, and puts it back.
func teamGoesAndComes(t *testing.T, git string, pool *v1alpha1.AIDispatcher) {
	t.Helper()

	if err := os.RemoveAll(filepath.Join(git, "aidispatcher/teams")); err != nil {
		t.Fatal(err)
	}

	push(t, git, "No team")
	eventually(t, "the team's Application to go", func(ctx context.Context) error {
		_, err := argo(ctx, "Application", "pools-team-a")
		if err == nil {
			return errors.New("it is there")
		}

		return client.IgnoreNotFound(err)
	})

	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil || pool.GetDeletionTimestamp() != nil {
		t.Errorf("the pool goes with the team's folder: %v", err)
	}

	uid := pool.GetUID()

	gitIn(t, git, "revert", "--no-edit", "HEAD")
	gitIn(t, git, "push", "-q")
	synced(t, "pools-team-a", gitIn(t, git, "rev-parse", "HEAD"))
	// Nobody else's objects went along.
	synced(t, "aidispatcher-platform", "")

	if err := kube.Get(t.Context(), client.ObjectKeyFromObject(pool), pool); err != nil || pool.GetUID() != uid {
		t.Errorf("the pool went with the team's folder: %v", err)
	}
}

// upgradesByGit raises the version as the page says.
func upgradesByGit(t *testing.T, page *docs.Page, git, releases string) {
	t.Helper()
	gitIn(t, releases, "tag", nextVersion)

	if err := try("make", "push", "VERSION="+nextVersion); err != nil {
		t.Fatal(err)
	}

	typed(t, shown(t, page, "Upgrade")[0], "PLATFORM="+git, "NEXT="+nextVersion)
	synced(t, "aidispatcher-platform", gitIn(t, git, "rev-parse", "HEAD"))

	for _, p := range packages() {
		if got := command(t, "kubectl", "get", p, "-o", "jsonpath={.spec.package}"); !strings.HasSuffix(got, ":"+nextVersion) {
			t.Errorf("%s is %s", p, got)
		}
	}

	synced(t, "pools-team-a", "")
}
