//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/southwest-ai/agent-operator/cluster/local/config"
	"github.com/southwest-ai/agent-operator/cluster/local/host"
	"github.com/southwest-ai/agent-operator/cluster/local/progress"
)

type downCmd struct{}

// Run removes all that up made, but for the cache. It can be run at any time, any number of times.
func (downCmd) Run(ctx context.Context, o *Options) error {
	if os.Geteuid() != 0 {
		return errors.New("a node's processes are root's: run this as root")
	}
	unlock, err := o.lock()
	if err != nil {
		return err
	}
	defer unlock()
	strays, err := host.Strays(o.Cache, o.State)
	if err != nil {
		return err
	}
	if _, err := os.Stat(o.State); errors.Is(err, os.ErrNotExist) && len(strays) == 0 {
		fmt.Fprintf(os.Stderr, "there is no cluster in %s\n", o.State)
		return nil
	}
	c := o.newCluster(host.Facts{})
	p := progress.New(os.Stderr)
	for _, s := range []step{
		{"stop processes and containers", func(_ context.Context, d progress.Detail) error { return c.stop(o.Cache, d) }},
		{"remove network and cgroups", c.unwire},
		{"remove state", c.remove},
	} {
		if err := p.Step(s.name, func(d progress.Detail) error { return s.do(ctx, d) }); err != nil {
			return err
		}
	}
	return nil
}

// stop ends the kubelet first, which would restart what ends, then containers, then the rest. By force: what they would save
// at leisure is deleted next.
func (c cluster) stop(cache string, d progress.Detail) error {
	last := []string{"kubelet", "kube-proxy", "containerd"}
	for _, name := range last {
		d("%s", name)
		if err := c.procs.Stop(name, 0); err != nil {
			return err
		}
	}
	d("containers")
	sockets := shimSockets(c.Path("run", "containerd"))
	if err := host.KillContainers(c.Socket()); err != nil {
		return err
	}
	for _, s := range sockets {
		_ = os.Remove(s) // The shim may have.
	}
	for _, name := range c.procs.Names() {
		d("%s", name)
		if err := c.procs.Stop(name, 0); err != nil {
			return err
		}
	}
	d("")
	return host.KillStrays(cache, c.State)
}

// shimSockets are where shims listen: containerd keeps them in a directory common to all containerds of the machine.
func shimSockets(state string) []string {
	files, _ := filepath.Glob(filepath.Join(state, "io.containerd.runtime.v2.task", "*", "*", "address")) // The pattern is well-formed.
	var sockets []string
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && len(b) > len("unix://") {
			sockets = append(sockets, string(b[len("unix://"):]))
		}
	}
	return sockets
}

// unwire removes iptables chains, network namespaces, mounts and cgroups.
func (c cluster) unwire(ctx context.Context, d progress.Detail) error {
	if _, err := exec.LookPath("iptables"); err == nil {
		d("iptables")
		if err := host.RemoveChains(ctx); err != nil {
			return err
		}
	}
	d("mounts")
	if err := host.UnmountBelow(c.State); err != nil {
		return err
	}
	d("cgroups")
	host.RemoveCgroups()
	removeStrays(c.Path("pod-logs"))
	d("")
	return nil
}

// removeStrays removes what the components put outside the state directory, where no setting of theirs reaches: links to
// our logs, the cache of our network's results, a socket for device plugins, and directories if they are empty then.
func removeStrays(podLogs string) {
	host.RemoveBrokenLinks("/var/log/containers", podLogs)
	const results = "/var/lib/cni/results"
	ours, _ := filepath.Glob(filepath.Join(results, config.Network+"-*-eth0")) // The pattern is well-formed.
	for _, path := range ours {
		sandbox := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), config.Network+"-"), "-eth0")
		_ = os.Remove(path)
		_ = os.Remove(filepath.Join(results, "cni-loopback-"+sandbox+"-lo"))
	}
	const plugins = "/var/lib/kubelet/device-plugins"
	if host.OtherKubelet(0) == 0 {
		_ = os.Remove(filepath.Join(plugins, "kubelet.sock"))
		_ = os.Remove(filepath.Join(plugins, "kubelet_internal_checkpoint"))
	}
	for _, path := range []string{"/run/containerd/s", "/run/containerd", results, filepath.Dir(results), plugins, filepath.Dir(plugins)} {
		_ = os.Remove(path)
	}
}

func (c cluster) remove(_ context.Context, _ progress.Detail) error {
	if err := os.RemoveAll(c.State); err != nil {
		return fmt.Errorf("cannot remove the state: %w", err)
	}
	return nil
}
