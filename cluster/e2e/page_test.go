//go:build e2e

package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Whoever may view a namespace sees its pools: on the page, and by the command line.
func TestPage(t *testing.T) {
	t.Parallel()

	ns, other := namespace(t), namespace(t)
	settled(t, create(t, ns, "quickstart", sized(1)), 1)

	meta := metav1.ObjectMeta{Namespace: ns, Name: "reader"}
	if err := kube.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: meta}); err != nil {
		t.Fatal(err)
	}

	if err := kube.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: ns, Name: "reader"}},
	}); err != nil {
		t.Fatal(err)
	}

	program := filepath.Join(t.TempDir(), "kubectl-aidispatch")
	command(t, "go", "build", "-o", program, filepath.Join(root, "cmd", "aidispatch"))

	if out := command(t, program, "top", "-n", ns); !strings.Contains(out, "coder-agent-pool") || !strings.Contains(out, "1/1") {
		t.Errorf("top does not show the pool:\n%s", out)
	}

	if out := command(t, program, "trace", "ad/coder-agent-pool", "-n", ns); !strings.Contains(out, "slot 0 under epoch 1") || !strings.Contains(out, "Nothing is wrong.") {
		t.Errorf("trace does not show a pool that is well:\n%s", out)
	}

	home, get := page(t, program, ns+"/reader")
	eventually(t, "the page lists the pool", func(context.Context) error {
		if code, body := get(home); code != http.StatusOK || !strings.Contains(body, "namespaces/"+ns+"/pools/coder-agent-pool") {
			return fmt.Errorf("the page is %d:\n%s", code, body)
		}

		return nil
	})

	base, _, _ := strings.Cut(home, "?")

	if code, body := get(base + "namespaces/" + ns + "/pools/coder-agent-pool"); code != http.StatusOK || !strings.Contains(body, "Its size has not been changed yet") || !strings.Contains(body, `data-label="Epoch" class="n">1<`) {
		t.Errorf("the pool's page is %d:\n%s", code, body)
	}

	if code, _ := get(base + "namespaces/" + other); code != http.StatusNotFound {
		t.Errorf("another namespace's page is %d", code)
	}
}

// page runs the command that shows the page, and returns the address that it prints and what gets a page.
func page(t *testing.T, program, account string) (string, func(string) (int, string)) {
	t.Helper()

	cmd := exec.CommandContext(t.Context(), program, "page", "--service-account", account)
	// Interrupted, as by a person, so that it ends the kubectl that it runs.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }

	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}

	var said strings.Builder
	cmd.Stderr = &said

	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() { cmd.Wait() }) // The test's context ends it.

	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("aidispatch page prints no address: %v: %s", err, said.String())
	}

	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}

	c := &http.Client{Jar: jar, Timeout: 30 * time.Second}

	return strings.TrimSpace(line), func(url string) (int, string) {
		t.Helper()

		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}

		rsp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer rsp.Body.Close()

		b, err := io.ReadAll(rsp.Body)
		if err != nil {
			t.Fatal(err)
		}

		return rsp.StatusCode, string(b)
	}
}
