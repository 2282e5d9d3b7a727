//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"

	"github.com/southwest-ai/agent-operator/cluster/local/config"
	"github.com/southwest-ai/agent-operator/cluster/local/crossplane"
	"github.com/southwest-ai/agent-operator/cluster/local/host"
)

type statusCmd struct {
	Output string `short:"o" enum:"table,json" default:"table" help:"Format: table or json."`
}

// A status is what the cluster looks like from outside.
type status struct {
	Kubeconfig string      `json:"kubeconfig"`
	Registry   string      `json:"registry"`
	State      string      `json:"state"`
	Parts      []component `json:"components"`
}

// A component is a process or a Deployment of the cluster.
type component struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
	// PID of a process, 0 for a Deployment.
	PID int `json:"pid,omitempty"`
	// Log of a process.
	Log string `json:"log,omitempty"`
}

var errNotRunning = errors.New("not everything runs: up starts what does not")

// Run shows the status.
func (s statusCmd) Run(ctx context.Context, o *Options) error {
	if _, err := os.Stat(o.State); err != nil {
		return errors.New("there is no cluster: up starts one")
	}
	c := o.newCluster(host.Facts{})
	st := c.status(ctx)
	if err := st.write(os.Stdout, s.Output); err != nil {
		return err
	}
	for _, part := range st.Parts {
		if !part.Ready {
			return errNotRunning
		}
	}
	return nil
}

// processes are in the order of their dependence.
func (c cluster) processes() []string {
	names := []string{"registry", "containerd"}
	for _, s := range append(c.ControlPlane(), c.NodeAgents()...) {
		names = append(names, s.Name)
	}
	return names
}

func (c cluster) status(ctx context.Context) status {
	st := status{Kubeconfig: c.AdminKubeconfig(), Registry: config.Registry, State: c.State}
	for _, name := range c.processes() {
		pid := c.procs.PID(name)
		st.Parts = append(st.Parts, component{Name: name, Ready: pid != 0, PID: pid, Log: c.procs.Log(name)})
	}
	deployments := []struct{ namespace, name string }{
		{"kube-system", "coredns"},
		{crossplane.Namespace, "crossplane"},
		{crossplane.Namespace, "crossplane-rbac-manager"},
	}
	for _, d := range deployments {
		ready := false
		if c.procs.Alive("kube-apiserver") {
			out, err := c.kubectl(ctx, nil, "-n", d.namespace, "get", "deployment", d.name, "-o", "jsonpath={.status.availableReplicas}")
			ready = err == nil && out != "" && out != "0"
		}
		st.Parts = append(st.Parts, component{Name: d.namespace + "/" + d.name, Ready: ready})
	}
	return st
}

func (s status) write(w io.Writer, format string) error {
	if format == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(s)
	}
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "COMPONENT\tREADY\tPID\tLOG")
	for _, p := range s.Parts {
		pid := "-"
		if p.PID != 0 {
			pid = fmt.Sprint(p.PID)
		}
		fmt.Fprintf(t, "%s\t%t\t%s\t%s\n", p.Name, p.Ready, pid, p.Log)
	}
	return t.Flush()
}
