package host

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/southwest-ai/agent-operator/cluster/local/progress"
)

// nodeDebs hold a node's runtime. They are unpacked into the cache and not installed: no service is started, and a
// containerd or a Docker that the machine already has is neither used nor disturbed.
var nodeDebs = []string{"containerd", "runc", "containernetworking-plugins"}

// Node is where the unpacked packages' programs are.
type Node string

// Containerd is the path of the daemon.
func (n Node) Containerd() string { return filepath.Join(string(n), "usr/bin/containerd") }

// Runc is the path of the runtime.
func (n Node) Runc() string { return filepath.Join(string(n), "usr/sbin/runc") }

// CNI is the directory of the network plugins.
func (n Node) CNI() string { return filepath.Join(string(n), "usr/lib/cni") }

// Path is a PATH that finds containerd's shims before the machine's own.
func (n Node) Path() string {
	return filepath.Join(string(n), "usr/bin") + ":" + filepath.Join(string(n), "usr/sbin") + ":/usr/sbin:/usr/bin:/sbin:/bin"
}

// EnsureNode fetches and unpacks the Debian packages of a node unless that was done.
func EnsureNode(ctx context.Context, n Node, detail progress.Detail) error {
	if exists(n.Containerd()) && exists(n.Runc()) && exists(filepath.Join(n.CNI(), "ptp")) {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("cannot fetch %s: this machine has no apt-get, use Debian 12 or one like it", strings.Join(nodeDebs, ", "))
	}
	tmp, err := os.MkdirTemp("", "aidispatcher-debs-")
	if err != nil {
		return fmt.Errorf("cannot make a directory: %w", err)
	}
	defer os.RemoveAll(tmp) // In the system's temporary directory.

	detail("fetching %s", strings.Join(nodeDebs, ", "))
	if err := apt(ctx, tmp, append([]string{"download"}, nodeDebs...)...); err != nil {
		return err
	}
	debs, err := filepath.Glob(filepath.Join(tmp, "*.deb"))
	if err != nil || len(debs) != len(nodeDebs) {
		return fmt.Errorf("cannot find the packages that apt-get fetched: %v", debs)
	}
	// Unpacked beside and renamed, so that an interrupted run leaves nothing half done.
	fresh := string(n) + ".tmp"
	if err := os.RemoveAll(fresh); err != nil {
		return fmt.Errorf("cannot clear %s: %w", fresh, err)
	}
	for _, deb := range debs {
		if err := run(ctx, "", "dpkg-deb", "-x", deb, fresh); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(string(n)); err != nil {
		return fmt.Errorf("cannot clear %s: %w", n, err)
	}
	return os.Rename(fresh, string(n))
}

// installed are packages that only work from their own place: programs by the package that has them.
var installed = map[string]string{"iptables": "iptables", "mount": "mount", "nsenter": "util-linux"}

// EnsurePrograms installs the Debian packages of programs that are missing; none of them starts a service.
func EnsurePrograms(ctx context.Context, detail progress.Detail) error {
	var missing []string
	for program, pkg := range installed {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("cannot install %s: this machine has no apt-get, install it yourself", strings.Join(missing, ", "))
	}
	detail("installing %s", strings.Join(missing, ", "))
	return apt(ctx, "", append([]string{"install", "-y", "--no-install-recommends"}, missing...)...)
}

// apt runs apt-get, and once more after an update of its lists if they are missing or too old.
func apt(ctx context.Context, dir string, args ...string) error {
	if err := run(ctx, dir, "apt-get", args...); err == nil {
		return nil
	}
	if err := run(ctx, "", "apt-get", "update"); err != nil {
		return err
	}
	return run(ctx, dir, "apt-get", args...)
}

// run runs a program to its end; its output is part of the error.
func run(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot run %s %s: %w:\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
