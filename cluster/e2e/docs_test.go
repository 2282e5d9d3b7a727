//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
	"github.com/southwest-ai/agent-operator/cluster/docs"
)

var assigns = regexp.MustCompile(`^(?:export )?([A-Z_]+)=`)

// The page of the first pool is typed from top to bottom, and prints what it shows. While its pool is there, so are the looks
// taken that the alerts' recipes ask for.
func TestFirstPool(t *testing.T) {
	if claims() {
		t.Skip("the page shows the namespaced install: a claim's table has another column")
	}

	t.Parallel()

	page, err := docs.Read(root, "docs/first-pool.md")
	if err != nil {
		t.Fatal(err)
	}

	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
		defer cancel()

		if t.Failed() {
			explain(ctx, t, "team-a")
		}

		for _, args := range [][]string{{"delete", "ad", "--all", "-n", "team-a"}, {"delete", "namespace", "team-a", "--ignore-not-found"}} {
			if out, err := exec.CommandContext(ctx, "kubectl", args...).CombinedOutput(); err != nil {
				t.Errorf("kubectl %s: %v: %s", strings.Join(args, " "), err, out)
			}
		}
	})

	// A reader has what the page asks for, and nothing of what make sets for this test.
	bin := t.TempDir()
	bash(t, "go build -o "+bin+"/kubectl-aidispatch ./cmd/aidispatch")

	before := "unset REGISTRY VERSION FLAVOR PLATFORMS CATALOG\nexport PATH=" + bin + ":$PATH\n"
	typed := 0

	for _, b := range page.Blocks {
		if b.Section == "Clean up" {
			look(t)
		}

		for _, s := range b.Steps() {
			typed++

			// A variable keeps what it was given, as it does in a person's shell.
			if v := assigns.FindStringSubmatch(s.Text); v != nil {
				before += fmt.Sprintf("export %s=%q\n", v[1], bash(t, before+s.Text+`printf %s "$`+v[1]+`"`))

				continue
			}

			out := prints(t, before+s.Text)

			// Crossplane tells a condition that has changed as it was once or twice more, for some milliseconds.
			for tries := 0; tries < 3 && strings.HasPrefix(s.Text, "kubectl get ") && s.Prints != "" && !docs.Shape(s.Prints).MatchString(out); tries++ {
				time.Sleep(time.Second)

				out = prints(t, before+s.Text)
			}

			if s.Prints != "" && !docs.Shape(s.Prints).MatchString(out) {
				t.Errorf("%s: line %d: %sshows\n%s\nand prints\n%s", page.Path, s.Line, s.Text, s.Prints, out)
			}
		}
	}

	if typed < 20 {
		t.Errorf("only %d commands were typed", typed)
	}
}

// prints is what a command prints. It need not end its last line.
func prints(t *testing.T, text string) string {
	t.Helper()

	out := bash(t, text)
	if out != "" && !strings.HasSuffix(out, "\n") {
		out += "\n"
	}

	return out
}

// bash runs what a person types, in the root of the repository.
func bash(t *testing.T, text string) string {
	t.Helper()

	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()

	cmd := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", text)
	cmd.Dir = root

	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", text, err, out)
	}

	return string(out)
}

// look runs what the alerts' recipes look at with kubectl, for the first pool.
func look(t *testing.T) {
	t.Helper()

	page, err := docs.Read(root, "docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}

	pod := bash(t, `kubectl get pods -n team-a -l southwest.ai/dispatcher=coder-agent-pool -o jsonpath='{.items[0].metadata.name}'`)
	looked := 0

	for _, b := range page.Blocks {
		// The first pool has no checkpoints.
		if !strings.HasPrefix(b.Section, "AIDispatcher") || b.Info != "" {
			continue
		}

		all, err := docs.Commands(b.Line, b.Text, nil)
		if err != nil {
			t.Fatal(err)
		}

		for _, c := range all {
			if c.Args[0] != "kubectl" || strings.Contains(c.String(), "checkpoint NAME") {
				continue
			}

			args := strings.Split(docs.Fill(strings.Join(c.Args[1:], "\x00"), "coder-agent-pool", "team-a", pod), "\x00")

			// A selector that selects nothing is no error to kubectl.
			if out := command(t, "kubectl", args...); out == "" && slices.Contains(args, "crossplane-system") {
				t.Errorf("%s: line %d: %s shows nothing", page.Path, c.Line, c)
			}

			looked++
		}
	}

	if looked < 20 {
		t.Errorf("only %d looks were taken", looked)
	}
}

// What make demo has printed is what the README shows, and its pool is there. paths.sh has run it.
func TestDemo(t *testing.T) {
	page, err := docs.Read(root, "README.md")
	if err != nil {
		t.Fatal(err)
	}

	b, err := os.ReadFile(filepath.Join(root, "_output/demo.txt"))
	if err != nil {
		t.Fatalf("make demo has left nothing: run make paths, which runs it: %v", err)
	}

	// What was printed below each command, in their order. A heading, in bold, ends what stands above it.
	type step struct{ command, prints string }

	var shown []step

	for line := range strings.Lines(string(b)) {
		command, typed := strings.CutPrefix(line, "$ ")

		switch {
		case typed || strings.HasPrefix(line, "\x1b[1m"):
			shown = append(shown, step{command: command})
		case len(shown) > 0 && strings.TrimSpace(line) != "":
			shown[len(shown)-1].prints += line
		}
	}

	found := 0

	for _, b := range page.Blocks {
		if b.Section != "What you see" || b.Info != "console" {
			continue
		}

		for _, s := range b.Steps() {
			i := slices.IndexFunc(shown, func(d step) bool { return d.command == s.Text })
			if i < 0 {
				t.Fatalf("%s: line %d: make demo does not show, or not in this order: %s", page.Path, s.Line, s.Text)
			}

			if !docs.Shape(s.Prints).MatchString(shown[i].prints) {
				t.Errorf("%s: line %d: %sshows\n%s\nand prints\n%s", page.Path, s.Line, s.Text, s.Prints, shown[i].prints)
			}

			shown = shown[i+1:]
			found++
		}
	}

	if found < 6 {
		t.Errorf("only %d commands were compared", found)
	}

	ad := &v1alpha1.AIDispatcher{}
	if err := kube.Get(t.Context(), client.ObjectKey{Namespace: "team-a", Name: "coder-agent-pool"}, ad); err != nil {
		t.Fatal(err)
	}

	settled(t, ad, 10)
}
