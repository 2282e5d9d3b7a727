package main

import (
	"os/exec"
	"strings"
	"testing"
)

// What the provider must not link, with the reason. A test, because an import creeps in unseen and is hard to get rid of.
func TestNoDeps(t *testing.T) {
	forbidden := map[string]string{
		"github.com/crossplane/function-sdk-go":                   "the function is another process, and what it composes is none of the provider's business",
		"github.com/southwest-ai/agent-operator/internal/compose": "the provider reconciles what was composed, however it was",
		"github.com/southwest-ai/agent-operator/internal/monitor": "the monitor is another process; the contract with it is monitorapi",
		"github.com/southwest-ai/agent-operator/apis/v1alpha1":    "claims are the function's; the provider must work without them",
		"github.com/southwest-ai/agent-operator/apis/input":       "the catalog is the function's",
		"sigs.k8s.io/controller-runtime/pkg/envtest":              "it is for tests",
		"sigs.k8s.io/controller-runtime/pkg/client/fake":          "it is for tests",
		"github.com/google/go-containerregistry":                  "packages are Crossplane's",
		"k8s.io/kubernetes":                                       "the provider is a client of Kubernetes",
		"testing":                                                 "it is for tests",
	}

	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatalf("cannot list what the provider links: %v", err)
	}

	deps := strings.Fields(string(out))
	if len(deps) < 100 {
		t.Fatalf("the provider is said to link %d packages: the list is not what it should be", len(deps))
	}

	for _, dep := range deps {
		for f, why := range forbidden {
			if dep == f || strings.HasPrefix(dep, f+"/") {
				t.Errorf("the provider links %s: %s", dep, why)
			}
		}
	}
}
