// Command aidispatch is for people: it shows, verifies and brings back what pools keep. It only wires.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/alecthomas/kong"

	"github.com/southwest-ai/agent-operator/internal/cli"
)

// version is stamped by the build.
var version = "dev"

type program struct {
	cli.Commands

	Version kong.VersionFlag `help:"Print the version and exit."`
}

// nameOf returns how the command was called: kubectl runs kubectl-aidispatch as kubectl aidispatch.
func nameOf(arg string) string {
	name := filepath.Base(arg)
	if rest, ok := strings.CutPrefix(name, "kubectl-"); ok {
		return "kubectl " + strings.ReplaceAll(rest, "_", "-")
	}

	return name
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	out := &cli.Output{Out: os.Stdout, Err: os.Stderr, Now: time.Now}
	k := kong.Parse(&program{}, kong.Name(nameOf(os.Args[0])), kong.Description("What people ask of AIDispatcher."), kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.Vars{"version": version},
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(out))

	if err := k.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "aidispatch:", err)
		stop()

		// 1 is for what was found, 2 for what could not be done: so a script can tell them apart.
		if errors.Is(err, cli.ErrFound) || errors.Is(err, cli.ErrWrong) {
			os.Exit(1) //nolint:gocritic // stop has been called.
		}

		os.Exit(2)
	}
}
