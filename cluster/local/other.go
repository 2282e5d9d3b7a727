//go:build !linux

// Command local runs a whole Kubernetes cluster with Crossplane on one Linux machine; elsewhere it says so.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "local: a node needs Linux: run this on a Linux machine, or set KUBECONFIG to a cluster that runs Crossplane")
	os.Exit(1)
}
