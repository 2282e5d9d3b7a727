// Command generate writes what is derived from the Go types in apis/: deep copies, CustomResourceDefinitions, from the
// AIDispatcher's the two CompositeResourceDefinitions, and the page that lists all fields. The types are the one source;
// nothing here adds to them.
package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// notice stands on top of what is generated.
const notice = "# Generated from the Go types in apis/ by `make generate`. Change the types.\n"

// Where the definitions go, by file of what controller-gen writes. The AIDispatcher's becomes two definitions of its own.
var definitions = map[string]string{
	"agent.southwest.ai_agentscalers.yaml":           "package/provider/crds/agentscalers.yaml",
	"agent.southwest.ai_checkpoints.yaml":            "package/provider/crds/checkpoints.yaml",
	"agent.southwest.ai_vectorcollections.yaml":      "package/provider/crds/vectorcollections.yaml",
	"agent.southwest.ai_providerconfigs.yaml":        "package/provider/crds/providerconfigs.yaml",
	"agent.southwest.ai_clusterproviderconfigs.yaml": "package/provider/crds/clusterproviderconfigs.yaml",
	"agent.southwest.ai_providerconfigusages.yaml":   "package/provider/crds/providerconfigusages.yaml",
	"aidispatcher.fn.southwest.ai_catalogs.yaml":     "package/function/input/catalogs.yaml",

	"aidispatcher.fn.southwest.ai_pooloperations.yaml": "package/function/input/pooloperations.yaml",
}

const aidispatcher = "southwest.ai_aidispatchers.yaml"

func main() {
	if err := generate(".", "."); err != nil {
		fmt.Fprintln(os.Stderr, "cannot generate:", err)
		os.Exit(1)
	}
}

// generate reads the types of the repository at root and writes what is derived from them below out.
func generate(root, out string) error {
	crds, err := os.MkdirTemp("", "crds")
	if err != nil {
		return err
	}

	defer os.RemoveAll(crds) // A left temporary directory harms nobody.

	// Deep copies stand beside the types they copy, so they are written there and nowhere else.
	if root == out {
		if err := controllerGen(root, "object", "paths=./apis/..."); err != nil {
			return err
		}
	}

	if err := controllerGen(root, "crd", "paths=./apis/...", "output:crd:dir="+crds); err != nil {
		return err
	}

	for from, to := range definitions {
		b, err := os.ReadFile(filepath.Join(crds, from))
		if err != nil {
			return err
		}

		if err := write(filepath.Join(out, to), bytes.TrimPrefix(b, []byte("---\n"))); err != nil {
			return err
		}
	}

	if err := reference(crds, out); err != nil {
		return err
	}

	return composites(filepath.Join(crds, aidispatcher), out)
}

// controllerGen runs the generator of the Kubernetes projects, at the version that cluster/tools pins.
func controllerGen(root string, args ...string) error {
	cmd := exec.Command("go", append([]string{"tool", "-modfile=cluster/tools/go.mod", "controller-gen"}, args...)...) //nolint:noctx // Runs to its end; the arguments are ours.
	cmd.Dir = root

	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("controller-gen: %w\n%s", err, b)
	}

	return nil
}

// composites writes the definitions of the AIDispatcher as a namespaced composite and as a claim.
func composites(crdFile, out string) error {
	b, err := os.ReadFile(crdFile)
	if err != nil {
		return err
	}

	crd := map[string]any{}
	if err := yaml.Unmarshal(b, &crd); err != nil {
		return err
	}

	for file, xrd := range map[string]map[string]any{
		"package/configuration/xrd.yaml":       namespaced(crd),
		"package/configuration-claim/xrd.yaml": claimed(crd),
	} {
		b, err := yaml.Marshal(xrd)
		if err != nil {
			return err
		}

		if err := write(filepath.Join(out, file), b); err != nil {
			return err
		}
	}

	return nil
}

func write(file string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}

	return os.WriteFile(file, append([]byte(notice), b...), 0o600)
}
