//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// startArgoCD installs Argo CD's kinds and settings, ours among these, and runs those of its programs that bring what is in Git to the
// cluster, until the test ends. They look at Git each few seconds, which without a webhook would be minutes.
func startArgoCD(t *testing.T, releases string) {
	t.Helper()

	list := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/argoproj/argo-cd/v3")
	list.Dir = filepath.Join(root, "cluster/third_party/argo-cd")

	out, err := list.Output()
	if err != nil {
		t.Fatalf("cannot find Argo CD's source: %v", err)
	}

	module, dir := strings.TrimSpace(string(out)), t.TempDir()

	applySettings(t, module)
	// Argo CD's image has it beside git.
	command(t, "install", filepath.Join(module, "hack/git-verify-wrapper.sh"), dir)

	gitconfig := filepath.Join(dir, "gitconfig")

	// What the page names of ours is taken from this tree, as if it was released. All else is as Argo CD's image has it.
	config := fmt.Sprintf("[url \"file://%s\"]\n\tinsteadOf = https://github.com/southwest-ai/agent-operator\n[safe]\n\tdirectory = *\n", releases)
	if err := os.WriteFile(gitconfig, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}

	env := []string{
		"PATH=" + dir + ":" + os.Getenv("PATH"), "GIT_CONFIG_GLOBAL=" + gitconfig, "TMPDIR=" + dir, "ARGOCD_FAKE_IN_CLUSTER=true", "ARGOCD_GPG_ENABLED=false", "ARGOCD_APPLICATIONSET_CONTROLLER_REQUEUE_AFTER=5s",
		"ARGOCD_TLS_DATA_PATH=" + dir, "ARGOCD_SSH_DATA_PATH=" + dir, "ARGOCD_PLUGINSOCKFILEPATH=" + dir,
	}
	redis, repo := freePort(t), freePort(t)

	runBeside(t, env, "redis-server", "--bind", "127.0.0.1", "--port", port(redis), "--save", "", "--dir", dir)
	runBeside(t, env, "argocd-repo-server", "--address", "127.0.0.1", "--port", port(repo), "--metrics-address", "127.0.0.1", "--metrics-port", port(freePort(t)),
		"--redis", redis, "--revision-cache-expiration", "2s")
	runBeside(t, env, "argocd-application-controller", "--namespace", "argocd", "--redis", redis, "--repo-server", repo,
		"--metrics-port", port(freePort(t)), "--app-resync", "5", "--app-resync-jitter", "0")
	runBeside(t, env, "argocd-applicationset-controller", "--namespace", "argocd", "--argocd-repo-server", repo,
		"--metrics-addr", freePort(t), "--probe-addr", freePort(t), "--webhook-addr", freePort(t))
}

// defaultProject is what Argo CD's server makes when it first starts. It makes a key in argocd-secret, too.
const defaultProject = `
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: default, namespace: argocd}
spec:
  sourceRepos: ["*"]
  destinations: [{server: "*", namespace: "*"}]
  clusterResourceWhitelist: [{group: "*", kind: "*"}]
`

// applySettings applies what an installation of Argo CD has beside its programs, with our settings, as docs/gitops.md has platforms
// put them together.
func applySettings(t *testing.T, module string) {
	t.Helper()

	dir := t.TempDir()
	// Kustomize takes folders by a relative path only.
	from := func(path ...string) string {
		abs, err := filepath.Abs(filepath.Join(path...))
		if err != nil {
			t.Fatal(err)
		}

		rel, err := filepath.Rel(dir, abs)
		if err != nil {
			t.Fatal(err)
		}

		return rel
	}
	manifests, settings := filepath.Join(module, "manifests"), filepath.Join(root, "cluster/argocd/settings")

	kustomization := fmt.Sprintf("namespace: argocd\nresources: [%s, %s]\ncomponents: [%s, %s, %s]\n", from(manifests, "crds"), from(manifests, "base/config"),
		from(settings, "pools"), from(settings, "packages"), from(settings, "applications"))
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(kustomization), 0o600); err != nil {
		t.Fatal(err)
	}

	command(t, "kubectl", "create", "namespace", "argocd")
	t.Cleanup(func() {
		for _, args := range [][]string{{"delete", "crd", "applications.argoproj.io", "applicationsets.argoproj.io", "appprojects.argoproj.io"}, {"delete", "namespace", "argocd"}} {
			// Where the test has failed, an Application may wait for a program that has ended.
			if err := try("kubectl", append(args, "--timeout=60s")...); err != nil {
				t.Error(err)
			}
		}
	})
	command(t, "bash", "-euo", "pipefail", "-c", "kubectl kustomize "+dir+" | kubectl apply --server-side -f -")
	command(t, "kubectl", "patch", "secret", "argocd-secret", "-n", "argocd", "-p", `{"stringData":{"server.secretkey":"of the test"}}`)
	eventually(t, "the project that every Argo CD has", func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, "kubectl", "apply", "-f", "-")
		cmd.Stdin = strings.NewReader(defaultProject)

		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}

		return nil
	})
}

// runBeside runs a program beside the test, until that ends, and shows the last of what it says if that fails.
func runBeside(t *testing.T, env []string, name string, args ...string) {
	t.Helper()

	log := &bytes.Buffer{}
	// Longer than the test, in whose cleanups it is needed still.
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), name, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), env...), log, log

	if err := cmd.Start(); err != nil {
		t.Fatalf("cannot run %s: run `make paths`, which builds it: %v", name, err)
	}

	ended := make(chan error, 1)

	go func() { ended <- cmd.Wait() }()

	t.Cleanup(func() {
		select {
		case err := <-ended:
			t.Errorf("%s ended before the test: %v", name, err)
		default:
			_ = cmd.Process.Kill()
			<-ended
		}

		if t.Failed() {
			said := log.Bytes()
			t.Logf("%s says at last:\n%s", name, said[max(0, len(said)-20_000):])
		}
	})
}

// freePort returns an address of this machine that is free.
func freePort(t *testing.T) string {
	t.Helper()

	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	return l.Addr().String()
}

func port(address string) string { return address[strings.LastIndex(address, ":")+1:] }
