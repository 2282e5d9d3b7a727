//go:build linux

// Command local runs a whole Kubernetes cluster with Crossplane on this one machine, without Docker: real components,
// built from Go modules, as processes that outlive this one.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/alecthomas/kong"
)

type cli struct {
	Options

	Build      buildCmd      `cmd:"" help:"Build the cluster's programs into the cache. What is up to date is skipped."`
	Up         upCmd         `cmd:"" help:"Start the cluster, or whatever of it does not run. Builds what is missing."`
	Down       downCmd       `cmd:"" help:"Stop the cluster and remove all that it made, but for the cache."`
	Status     statusCmd     `cmd:"" help:"Show what runs. Exits 1 if something does not."`
	Kubeconfig kubeconfigCmd `cmd:"" help:"Print the path of the cluster's kubeconfig."`
}

// Options are common to all commands.
type Options struct {
	State   string `env:"AIDISPATCHER_STATE" default:"/var/lib/aidispatcher-local" type:"path" help:"Directory of the cluster's state."`
	Cache   string `env:"AIDISPATCHER_CACHE" type:"path" help:"Directory of what is built and downloaded, ${cache} by default."`
	Cluster string `env:"AIDISPATCHER_CLUSTER" type:"path" help:"The cluster directory of the source tree; by default looked for here and upwards."`
	Verbose bool   `short:"v" help:"Say more."`
}

func main() {
	var c cli
	k := kong.Parse(&c, kong.Name("local"), kong.UsageOnError(), kong.Vars{"cache": defaultCache()},
		kong.Description("A whole Kubernetes cluster with Crossplane on this one machine, without Docker."))
	if c.Cache == "" {
		c.Cache = defaultCache()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	k.BindTo(ctx, (*context.Context)(nil))
	if err := k.Run(&c.Options); err != nil {
		fmt.Fprintln(os.Stderr, "local:", err)
		stop()
		os.Exit(1) //nolint:gocritic // stop has been called.
	}
}

// defaultCache is where the XDG convention has it. A root without HOME, as some CI has, gets one of its own.
func defaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = "/var/cache"
	}
	return filepath.Join(dir, "aidispatcher")
}

// bin is the cache's directory of programs.
func (o Options) bin() string { return filepath.Join(o.Cache, "bin") }

// clusterDir finds the directory that holds third_party.
func (o Options) clusterDir() (string, error) {
	if o.Cluster != "" {
		return o.Cluster, nil
	}
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("cannot find the source tree: %w", err)
	}
	for ; ; dir = filepath.Dir(dir) {
		for _, candidate := range []string{dir, filepath.Join(dir, "cluster")} {
			if _, err := os.Stat(filepath.Join(candidate, "third_party", "kubernetes", "go.mod")); err == nil {
				return candidate, nil
			}
		}
		if dir == "/" {
			return "", errors.New("cannot find the source tree from here: run this inside it, or set AIDISPATCHER_CLUSTER to its cluster directory")
		}
	}
}

type kubeconfigCmd struct{}

func (kubeconfigCmd) Run(o *Options) error {
	path := filepath.Join(o.State, "kubeconfig.yaml")
	if _, err := os.Stat(path); err != nil {
		return errors.New("there is no cluster: run up first")
	}
	fmt.Println(path)
	return nil
}
