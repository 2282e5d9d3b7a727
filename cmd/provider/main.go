// Package main is the provider: it reads flags, wires the controllers of internal/controller to a manager and runs it.
// It decides nothing.
package main

import (
	"fmt"
	"os"

	"github.com/alecthomas/kong"
	ctrl "sigs.k8s.io/controller-runtime"
)

// version of the provider, set when it is linked.
var version = "dev"

func main() {
	c := &cli{}
	ctx := kong.Parse(c,
		kong.Name("provider"),
		kong.Description("The Crossplane provider of AIDispatcher: it makes the memory of agent pools, keeps their size, and gives their workers slots."),
		kong.UsageOnError(),
		kong.Vars{"version": version})

	if err := c.run(ctrl.SetupSignalHandler()); err != nil {
		fmt.Fprintln(os.Stderr, "provider:", err)
		ctx.Exit(1)
	}
}
