package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestNoDeps holds the command to what it is for: it must work when there is no cluster.
func TestNoDeps(t *testing.T) {
	forbidden := map[string]string{
		"k8s.io/":                "a repository is read where it lies, because it must be readable when the cluster is lost",
		"sigs.k8s.io/":           "as above",
		"github.com/crossplane/": "as above",
		"github.com/southwest-ai/agent-operator/apis":                "as above: the API types bring Kubernetes along",
		"github.com/southwest-ai/agent-operator/internal/controller": "the provider is another process",
		"github.com/southwest-ai/agent-operator/internal/monitor/":   "the monitor is another process",
	}

	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatalf("cannot list the dependencies: %v", err)
	}

	deps := strings.Fields(string(out))
	if len(deps) < 100 {
		t.Fatalf("only %d packages were listed, so this test would see nothing", len(deps))
	}

	for _, dep := range deps {
		for prefix, why := range forbidden {
			if strings.HasPrefix(dep, prefix) {
				t.Errorf("aidispatch links %s: %s", dep, why)
			}
		}
	}
}
