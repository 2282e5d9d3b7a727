// Command argo-cd is one binary that is any of the parts of Argo CD that bring what is in Git to a cluster, chosen by the name it is
// called by. Argo CD's own main also holds its server and its command line, which nothing here needs.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	controller "github.com/argoproj/argo-cd/v3/cmd/argocd-application-controller/commands"
	applicationset "github.com/argoproj/argo-cd/v3/cmd/argocd-applicationset-controller/commands"
	reposerver "github.com/argoproj/argo-cd/v3/cmd/argocd-repo-server/commands"
	"github.com/argoproj/argo-cd/v3/common"
	"github.com/spf13/cobra"
)

// Each command is built only when it is chosen: their constructors register process-wide flags.
var commands = map[string]func() *cobra.Command{
	common.CommandApplicationController:    controller.NewCommand,
	common.CommandApplicationSetController: applicationset.NewCommand,
	common.CommandRepoServer:               reposerver.NewCommand,
}

func main() {
	command, ok := commands[filepath.Base(os.Args[0])]
	if !ok {
		fmt.Fprintf(os.Stderr, "called as %q: link this file under the name of a part of Argo CD\n", os.Args[0])
		os.Exit(2)
	}

	if err := command().Execute(); err != nil {
		os.Exit(1)
	}
}
