//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/southwest-ai/agent-operator/cluster/local/builder"
	"github.com/southwest-ai/agent-operator/cluster/local/config"
	"github.com/southwest-ai/agent-operator/cluster/local/host"
	"github.com/southwest-ai/agent-operator/cluster/local/proc"
	"github.com/southwest-ai/agent-operator/cluster/local/progress"
)

type upCmd struct {
	Crossplane bool `default:"true" negatable:"" help:"Install Crossplane."`
}

// A step is one line of what up tells.
type step struct {
	name string
	do   func(context.Context, progress.Detail) error
}

// Run brings the cluster up. Each step looks first and does only what is not done.
func (u upCmd) Run(ctx context.Context, o *Options) error {
	if err := preflight(o.State); err != nil {
		return err
	}
	unlock, err := o.lock()
	if err != nil {
		return err
	}
	defer unlock()
	p := progress.New(os.Stderr)
	if err := o.build(ctx, p, builder.Programs()); err != nil {
		return err
	}
	facts, err := host.Gather()
	if err != nil {
		return err
	}
	dir, err := o.clusterDir()
	if err != nil {
		return err
	}
	c := o.newCluster(facts)
	if err := c.checkPorts(); err != nil {
		return err
	}
	if err := c.forgetLastBoot(); err != nil {
		return err
	}
	steps := []step{
		{"Debian packages", c.ensurePackages},
		{"certificates and configuration", c.configure},
		{"registry, containerd, etcd, API server", c.startControlPlane},
		{"images", func(ctx context.Context, d progress.Detail) error { return c.pushImages(ctx, dir, u.Crossplane, d) }},
		{"node", c.startNode},
		{"cluster DNS", c.installDNS},
	}
	if u.Crossplane {
		steps = append(steps, step{"Crossplane", func(ctx context.Context, d progress.Detail) error {
			return c.installCrossplane(ctx, dir, d)
		}})
	}
	for _, s := range steps {
		if err := p.Step(s.name, func(d progress.Detail) error { return s.do(ctx, d) }); err != nil {
			return err
		}
	}
	p.Say("ready: export KUBECONFIG=%s", c.AdminKubeconfig())
	return nil
}

// preflight says in a sentence what is missing, before anything is changed.
func preflight(state string) error {
	if os.Geteuid() != 0 {
		return errors.New("a node needs root: run this as root")
	}
	if !host.HasCgroups() {
		return errors.New("a node needs the cgroup controllers cpu, memory and pids, and this machine's kernel does not offer them here")
	}
	const gib = 1 << 30
	free, err := host.FreeBytes(state)
	if err != nil {
		return err
	}
	if free < 10*gib {
		return fmt.Errorf("a cluster needs 10 GiB of disk and %s has %.1f left: free some, or set AIDISPATCHER_STATE to a directory elsewhere",
			state, float64(free)/gib)
	}
	return nil
}

// forgetLastBoot clears what a reboot made stale: containers are gone, and what containerd remembers of them only
// misleads it. Images are pulled again from the registry.
func (c cluster) forgetLastBoot() error {
	now, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return fmt.Errorf("cannot read the boot id: %w", err)
	}
	before, err := os.ReadFile(c.Path("boot-id"))
	if err == nil && !bytes.Equal(before, now) {
		for _, stale := range []string{"run", "containerd"} {
			if err := os.RemoveAll(c.Path(stale)); err != nil {
				return fmt.Errorf("cannot clear what the last boot left: %w", err)
			}
		}
	}
	return writeFile(c.Path("boot-id"), now, 0o644)
}

// checkPorts finds what would keep the cluster from starting.
func (c cluster) checkPorts() error {
	if pid := host.OtherKubelet(c.procs.PID("kubelet")); pid != 0 {
		return fmt.Errorf("this machine is a Kubernetes node already (process %d): two of them would spoil each other; run down if it is an earlier cluster of this program", pid)
	}
	fresh := true
	for _, name := range c.procs.Names() {
		fresh = fresh && !c.procs.Alive(name)
	}
	for _, p := range c.Ports() {
		// A pod may outlive every process of the cluster but is known to be ours only while one is left.
		if c.procs.Alive(p.Owner) || (p.Owner == "" && !fresh) {
			continue
		}
		if !host.PortFreeWithin(p.Address, settle) {
			return fmt.Errorf("another program listens on %s, which the cluster needs: stop it, or run down if an earlier cluster's state was deleted by hand", p.Address)
		}
	}
	return nil
}

// settle is how long a process that has just died may still hold its port.
const settle = 3 * time.Second

func (c cluster) ensurePackages(ctx context.Context, d progress.Detail) error {
	if err := host.EnsureNode(ctx, c.Node, d); err != nil {
		return err
	}
	if err := host.EnsurePrograms(ctx, d); err != nil {
		return err
	}
	done, err := host.Raise(host.Inotify)
	d("%s", strings.Join(done, ", "))
	return err
}

// configure writes certificates, configuration and kubeconfigs.
func (c cluster) configure(ctx context.Context, _ progress.Detail) error {
	if err := c.EnsureCertificates(time.Now()); err != nil {
		return err
	}
	files, err := c.Files()
	if err != nil {
		return err
	}
	for path, content := range files {
		if err := writeFile(path, content, 0o644); err != nil {
			return err
		}
	}
	for user, path := range c.Kubeconfigs() {
		content, err := c.RenderKubeconfig(user)
		if err != nil {
			return err
		}
		if err := writeFile(path, content, 0o600); err != nil {
			return err
		}
	}
	return host.EnsureForwarding(ctx, config.PodCIDR, config.ServiceCIDR)
}

func (c cluster) ensure(specs ...proc.Spec) error {
	for _, s := range specs {
		if _, err := c.procs.Ensure(s, grace); err != nil {
			return err
		}
	}
	return nil
}

// startControlPlane starts what the rest talks to, and waits for it.
func (c cluster) startControlPlane(ctx context.Context, d progress.Detail) error {
	etcd, rest := c.ControlPlane()[0], c.ControlPlane()[1:]
	if err := c.ensure(c.Registry(), c.Containerd(), etcd, rest[0]); err != nil {
		return err
	}
	d("waiting for the API server")
	admin, err := c.client()
	if err != nil {
		return err
	}
	err = c.await(ctx, "kube-apiserver", time.Minute, func(ctx context.Context) error {
		if !c.procs.Alive("etcd") {
			return fmt.Errorf("etcd has ended:\n%s", tail(c.procs.Log("etcd")))
		}
		return get(ctx, admin, config.Endpoint()+"/readyz")
	})
	if err != nil {
		return err
	}
	// These give up if there is no API server when they start.
	return c.ensure(rest[1:]...)
}

// startNode starts the node's processes and waits for the node to be Ready.
func (c cluster) startNode(ctx context.Context, d progress.Detail) error {
	err := c.await(ctx, "containerd", 30*time.Second, func(context.Context) error {
		_, err := os.Stat(c.Socket())
		return err
	})
	if err != nil {
		return err
	}
	if err := c.ensure(c.NodeAgents()...); err != nil {
		return err
	}
	d("waiting for it to be Ready")
	return c.await(ctx, "kubelet", time.Minute, func(ctx context.Context) error {
		out, err := c.kubectl(ctx, nil, "get", "nodes", "-o", `jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}`)
		if err == nil && out != "True" {
			err = fmt.Errorf("node is not Ready: %q", out)
		}
		return err
	})
}

// awaitRegistry waits until images can be pushed.
func (c cluster) awaitRegistry(ctx context.Context) error {
	return c.await(ctx, "registry", 30*time.Second, func(ctx context.Context) error {
		return get(ctx, http.DefaultClient, "http://"+config.Registry+"/v2/")
	})
}
