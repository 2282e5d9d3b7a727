package main

import (
	"os/exec"
	"strings"
	"testing"
)

// What the function must not link, with the reason. A test, because an import creeps in unseen and is hard to get rid of.
// The SDK brings parts of controller-runtime's and client-go's clients along, for its scheme and its metadata types; what
// is here is what it takes to open a connection to an API server, or to keep one open.
func TestNoDeps(t *testing.T) {
	forbidden := map[string]string{
		"github.com/southwest-ai/agent-operator/internal/controller": "the provider is another process: they meet in the API types, and nowhere else",
		"github.com/southwest-ai/agent-operator/internal/monitor":    "the monitor is another process; what it is told is in monitorapi",
		"github.com/crossplane/crossplane-runtime/v2/pkg/reconciler": "the function answers requests and reconciles nothing",
		"sigs.k8s.io/controller-runtime/pkg/manager":                 "the function runs no controllers",
		"sigs.k8s.io/controller-runtime/pkg/controller":              "as above",
		"sigs.k8s.io/controller-runtime/pkg/cache":                   "what there is, Crossplane shows it in the request; a cache would be a second view, and memory",
		"sigs.k8s.io/controller-runtime/pkg/webhook":                 "it serves Crossplane's gRPC and nothing else",
		"sigs.k8s.io/controller-runtime/pkg/envtest":                 "it is for tests",
		"k8s.io/client-go/kubernetes/typed":                          "the function asks no API server: the same request has the same answer",
		"k8s.io/client-go/informers":                                 "as above, and it would watch",
		"k8s.io/client-go/tools/cache":                               "as above",
		"k8s.io/client-go/tools/clientcmd":                           "as above: it has no use for a kubeconfig",
		"k8s.io/client-go/tools/leaderelection":                      "every replica answers; there is nothing to lead",
		"k8s.io/client-go/tools/record":                              "what it has to say are results and conditions, which Crossplane makes into events",
		"k8s.io/apiextensions-apiserver":                             "definitions are generated and installed as YAML",
		"k8s.io/kubernetes":                                          "its types are in k8s.io/api",
		"github.com/google/go-containerregistry":                     "packages are Crossplane's",
		"testing":                                                    "it is for tests",
	}
	// Types only, which the SDK's packages name.
	allowed := map[string]bool{"k8s.io/client-go/tools/clientcmd/api": true, "k8s.io/client-go/tools/clientcmd/api/v1": true}

	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatalf("cannot list what the function links: %v", err)
	}

	deps := strings.Fields(string(out))
	if len(deps) < 100 {
		t.Fatalf("the function is said to link %d packages: the list is not what it should be", len(deps))
	}

	for _, dep := range deps {
		for f, why := range forbidden {
			if !allowed[dep] && (dep == f || strings.HasPrefix(dep, f+"/")) {
				t.Errorf("the function links %s: %s", dep, why)
			}
		}
	}
}
