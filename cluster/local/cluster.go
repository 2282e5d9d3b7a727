//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/southwest-ai/agent-operator/cluster/local/config"
	"github.com/southwest-ai/agent-operator/cluster/local/host"
	"github.com/southwest-ai/agent-operator/cluster/local/proc"
)

// How long a component gets to end by itself before it is killed.
const grace = 10 * time.Second

// A cluster is the machine's one cluster, running or not.
type cluster struct {
	config.Cluster
	procs proc.Group
}

func (o Options) newCluster(facts host.Facts) cluster {
	return cluster{
		Cluster: config.Cluster{
			State: o.State,
			Bin:   func(name string) string { return filepath.Join(o.bin(), name) },
			Node:  host.Node(filepath.Join(o.Cache, "node")),
			Facts: facts,
		},
		procs: proc.Group{Records: filepath.Join(o.State, "run", "procs"), Logs: filepath.Join(o.State, "logs")},
	}
}

// lock makes this the only invocation that changes the cluster. The lock is on a directory that outlives the state's, so
// that nothing is left behind, and ends with the process.
func (o Options) lock() (unlock func(), err error) {
	f, err := os.Open(filepath.Dir(o.State))
	if err != nil {
		return nil, fmt.Errorf("cannot lock the cluster: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close() //nolint:errcheck // Only read.
		return nil, errors.New("another up or down is at work on this machine: let it finish first")
	}
	return func() { f.Close() }, nil //nolint:errcheck // Only read.
}

// kubectl runs kubectl as the administrator. Its output is returned, or is part of the error.
func (c cluster) kubectl(ctx context.Context, stdin []byte, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, c.Bin("kubectl"), args...)
	// An environment of its own: nobody's kubeconfig, proxy or preferences get in between.
	cmd.Env = []string{"KUBECONFIG=" + c.AdminKubeconfig(), "HOME=" + c.State, "PATH=/usr/bin:/bin"}
	cmd.Stdin = bytes.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("cannot run kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

// apply applies manifests as one field manager, taking over what others own.
func (c cluster) apply(ctx context.Context, manifests []byte) error {
	_, err := c.kubectl(ctx, manifests, "apply", "--server-side", "--force-conflicts", "--field-manager=aidispatcher-local", "-f", "-")
	return err
}

// client is an HTTP client that the API server knows as the administrator.
func (c cluster) client() (*http.Client, error) {
	p := c.PKI()
	cert, err := tls.LoadX509KeyPair(p.Cert("admin"), p.Key("admin"))
	if err != nil {
		return nil, fmt.Errorf("cannot load the administrator's certificate: %w", err)
	}
	ca, err := os.ReadFile(p.Cert("ca"))
	if err != nil {
		return nil, fmt.Errorf("cannot read the cluster's authority: %w", err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	}}, nil
}

// get says whether a URL answers 200.
func get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("cannot ask %s: %w", url, err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("cannot ask %s: %w", url, err)
	}
	defer resp.Body.Close() // Nothing is read.
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("cannot use %s: it answers %s", url, resp.Status)
	}
	return nil
}

// await polls until ready says nil, the process it depends on has died, or the limit is over.
func (c cluster) await(ctx context.Context, process string, limit time.Duration, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	t := time.NewTicker(100 * time.Millisecond)
	defer t.Stop()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		if !c.procs.Alive(process) {
			return fmt.Errorf("%s has ended; the last lines of %s:\n%s", process, c.procs.Log(process), tail(c.procs.Log(process)))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited %s for %s, see %s: %w", limit, process, c.procs.Log(process), err)
		case <-t.C:
		}
	}
}

// tail is the last lines of a file.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-15):], "\n")
}

// writeFile writes a file and its directory.
func writeFile(path string, content []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("cannot make a directory: %w", err)
	}
	if err := os.WriteFile(path, content, mode); err != nil {
		return fmt.Errorf("cannot write a file: %w", err)
	}
	return nil
}
