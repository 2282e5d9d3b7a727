//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"slices"

	"github.com/southwest-ai/agent-operator/cluster/local/builder"
	"github.com/southwest-ai/agent-operator/cluster/local/progress"
)

type buildCmd struct {
	Names []string `arg:"" optional:"" help:"Programs to build: those of the cluster by default, 'all' for every one."`
}

// Run builds the named programs, or those that the cluster needs.
func (b buildCmd) Run(ctx context.Context, o *Options) error {
	programs, err := choose(b.Names)
	if err != nil {
		return err
	}
	return o.build(ctx, progress.New(os.Stderr), programs)
}

func choose(names []string) ([]builder.Program, error) {
	core, all := builder.Programs(), append(builder.Programs(), builder.Extras()...)
	switch {
	case len(names) == 0:
		return core, nil
	case slices.Contains(names, "all"):
		return all, nil
	}
	var chosen []builder.Program
	for _, n := range names {
		i := slices.IndexFunc(all, func(p builder.Program) bool { return p.Name == n })
		if i < 0 {
			return nil, fmt.Errorf("cannot build %q: no such program, there are %v", n, programNames(all))
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func programNames(programs []builder.Program) []string {
	names := make([]string, 0, len(programs))
	for _, p := range programs {
		names = append(names, p.Name)
	}
	return names
}

// build compiles what is not up to date, one after another: each compiler uses all cores by itself. Meanwhile the modules of
// the later ones are fetched.
func (o Options) build(ctx context.Context, p *progress.Printer, programs []builder.Program) error {
	dir, err := o.clusterDir()
	if err != nil {
		return err
	}
	b := builder.Builder{Cluster: dir, Bin: o.bin()}
	var stale []builder.Program
	for _, program := range programs {
		if !b.UpToDate(program) {
			stale = append(stale, program)
		} else if o.Verbose {
			p.Say("%s is up to date", program.Name)
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		for _, program := range stale[min(1, len(stale)):] {
			_ = b.Fetch(ctx, program) // Its build tries again, and tells.
		}
	}()
	for _, program := range stale {
		err := p.Step("build "+program.Name, func(d progress.Detail) error { return b.Build(ctx, program, d) })
		if err != nil {
			return err
		}
	}
	return nil
}
