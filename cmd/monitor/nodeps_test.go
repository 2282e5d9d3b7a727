package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestNoDeps holds the monitor light: it runs once per agent, so what it links is paid for once per agent.
func TestNoDeps(t *testing.T) {
	forbidden := map[string]string{
		"k8s.io/":                "the monitor has no API access and no token: it is commanded by files",
		"sigs.k8s.io/":           "as above, and its schemes cost megabytes",
		"github.com/crossplane/": "nothing in a worker knows Crossplane",
		"github.com/southwest-ai/agent-operator/apis":      "the API types drag Kubernetes in; the contract is monitorapi",
		"github.com/southwest-ai/agent-operator/internal/": "only the rooms of the monitor are its own",
		"cloud.google.com/go/storage":                      "Google's own client would double what a monitor takes: the store has a small driver for it",
		"google.golang.org/api/storage":                    "as above",
		"github.com/fsnotify/":                             "inotify is a few lines of syscall, and a poll covers the rest",
	}
	const rooms = "github.com/southwest-ai/agent-operator/internal/monitor/"

	allowed := []string{
		"github.com/southwest-ai/agent-operator/internal/monitor",
		"github.com/southwest-ai/agent-operator/internal/monitorapi",
		"github.com/southwest-ai/agent-operator/internal/checkpoint",
		"github.com/southwest-ai/agent-operator/internal/checkpoint/tree",
		"github.com/southwest-ai/agent-operator/internal/checkpoint/store",
		"github.com/southwest-ai/agent-operator/internal/checkpoint/store/gcs",
		"github.com/southwest-ai/agent-operator/internal/pages",
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
			if strings.HasPrefix(dep, prefix) && !slices.Contains(allowed, dep) && !strings.HasPrefix(dep, rooms) {
				t.Errorf("the monitor links %s: %s", dep, why)
			}
		}
	}
}
