package compose

import (
	"bufio"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

var acceptRestarts = flag.Bool("accept-restarts", false, "write down that workers are restarted by an upgrade instead of complaining")

// templates is what the pods of each example were last agreed to be: the example, its role, and the digest of the pod template.
const templates = "testdata/templates.txt"

// An upgrade of the function restarts every worker whose pod template it changes, whoever asked for it. So a change that does is
// called out, and has to be agreed to.
func TestUpgradeRestartsNobody(t *testing.T) {
	agreed, got := agreedTemplates(t), map[string]string{}

	out := &strings.Builder{}

	all := examples(t)

	for _, example := range slices.Sorted(maps.Keys(all)) {
		xr, rsp := all[example].claim, all[example].ready(t)

		template := field(rsp.GetDesired().GetResources()[resourceDeployment].GetResource(), "spec", "template")
		if template == nil {
			continue // It is suspended from the beginning.
		}

		// Keys are sorted: what is equal has one digest.
		b, err := json.Marshal(template.AsInterface())
		if err != nil {
			t.Fatal(err)
		}

		line := fmt.Sprintf("%s %s %x", example, text(xr, "spec", "role"), sha256.Sum256(b))
		got[example] = line
		fmt.Fprintln(out, line)

		if was, known := agreed[example]; known && was != line && !*acceptRestarts {
			t.Errorf("this change restarts every worker of pools like examples/%s, role %s, when the function is upgraded. If that must be, say so in the release notes "+
				"(docs/release.md), and run: go test ./internal/compose -run TestUpgradeRestartsNobody -accept-restarts", example, text(xr, "spec", "role"))
		}

		if _, known := agreed[example]; !known && !*acceptRestarts {
			t.Errorf("examples/%s is new, so it restarts nobody: run go test ./internal/compose -run TestUpgradeRestartsNobody -accept-restarts", example)
		}
	}

	for example := range agreed {
		if _, there := got[example]; !there && !*acceptRestarts {
			t.Errorf("%s has a line in %s, and is no example any more", example, templates)
		}
	}

	if *acceptRestarts {
		if err := os.WriteFile(templates, []byte(out.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func agreedTemplates(t *testing.T) map[string]string {
	t.Helper()

	f, err := os.Open(templates)
	if err != nil {
		if *acceptRestarts {
			return nil
		}

		t.Fatal(err)
	}
	defer f.Close() // It was only read.

	out := map[string]string{}

	for s := bufio.NewScanner(f); s.Scan(); {
		example, _, _ := strings.Cut(s.Text(), " ")
		out[example] = s.Text()
	}

	return out
}
