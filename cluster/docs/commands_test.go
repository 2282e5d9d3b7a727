package docs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What a fenced block is, by what stands behind its fence. Nothing else may stand there.
const (
	shell   = ""        // Commands.
	console = "console" // Commands behind prompts, with what they print.
	yamls   = "yaml"
	jsons   = "json"
	promql  = "promql"
	diagram = "mermaid"
	plain   = "text" // For the eye only.
)

// The variables that a page may rely on, as the pages have readers set them.
var given = map[string]string{
	"KUBECONFIG": "kubeconfig", "AIDISPATCH_STORE": "file:///states", "AIDISPATCH_POOL": "team-a/coder-agent-pool", "AIDISPATCH_KEY": "key",
}

// programs says of each program that pages name how its commands are checked. One that is not here is an error.
var programs = map[string]func(*checker, []string) error{
	"aidispatch": (*checker).aidispatch,
	"docker":     (*checker).docker,
	"go":         (*checker).gotool,
	"kubectl":    (*checker).kubectl,
	"make":       (*checker).make,

	// Programs of others, of which only that the shell can read them is held: what they do is not ours, or is run by the test named.
	"age-keygen": others, // Makes a key. The tests make theirs by its library.
	"argocd":     others, // Argo CD's own command line.
	"base64":     others,
	"cd":         others,
	"cosign":     others, // Signs; the release does.
	"cp":         others,
	"crane":      others, // Looks into registries.
	"crossplane": others, // Crossplane's own command line; the installs' tests run it.
	"curl":       others, // examples/agent has tests of these requests.
	"date":       others,
	"export":     others,
	"flux":       others, // Flux' own command line.
	"git":        others,
	"grep":       others,
	"helm":       others,
	"install":    others,
	"ln":         others,
	"read":       others,
	"sed":        others,
	"sha256sum":  others,
}

func others(*checker, []string) error { return nil }

// spoken are the programs whose commands stand in sentences and tables, too.
var spoken = []string{"aidispatch", "docker", "go", "kubectl", "make"}

// Each command that a page shows is one: its program knows it, with its flags, and what it names in this repository is there.
func TestCommands(t *testing.T) {
	t.Setenv("AIDISPATCH_STORE", given["AIDISPATCH_STORE"])
	t.Setenv("AIDISPATCH_POOL", given["AIDISPATCH_POOL"])

	c := newChecker(t)

	for _, p := range pages(t) {
		for _, b := range p.Blocks {
			for _, err := range c.block(b) {
				t.Errorf("%s: %v", p.Path, err)
			}
		}

		for _, s := range p.Spans {
			program, _, more := strings.Cut(s.Text, " ")
			if !more || !slices.Contains(spoken, program) || strings.Contains(s.Text, "...") {
				continue
			}

			text := s.Text
			// A sentence may speak of a command, or of what there is below it, and leave out what it must be given.
			if program == "aidispatch" || strings.HasPrefix(text, "kubectl aidispatch") {
				text += " --help"
			}

			for _, err := range c.text(s.Line, text) {
				t.Errorf("%s: %v", p.Path, err)
			}
		}
	}

	if c.seen["kubectl"] < 50 || c.seen["make"] < 20 || c.seen["go"] < 10 || c.seen["aidispatch"] < 10 {
		t.Errorf("too few commands were seen to have been read: %v", c.seen)
	}
}

type checker struct {
	targets   map[string]bool
	variables map[string]bool
	scripts   []byte
	// seen counts the commands of each program.
	seen map[string]int
}

func newChecker(t *testing.T) *checker {
	t.Helper()

	c := &checker{targets: map[string]bool{}, variables: map[string]bool{}, seen: map[string]int{}}

	// What make knows, by its own account. The goal is up to date or not; nothing is run for it.
	out, err := exec.CommandContext(t.Context(), "make", "-C", root, "--print-data-base", "--question", "help").Output()
	if exit := (*exec.ExitError)(nil); err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
		t.Fatalf("cannot ask make: %v", err)
	}

	lines := strings.Split(string(out), "\n")
	for i, line := range lines {
		if name, _, ok := strings.Cut(line, ":"); ok && !strings.ContainsAny(name, " =#%") && (i == 0 || lines[i-1] != "# Not a target:") {
			c.targets[name] = true
		}

		if name, _, ok := strings.Cut(line, " "); ok && regexp.MustCompile(`^[A-Z_]+$`).MatchString(name) {
			c.variables[name] = true
		}
	}

	scripts, err := filepath.Glob(filepath.Join(root, "cluster/*/*.sh"))
	if err != nil || len(scripts) == 0 {
		t.Fatalf("there are no scripts: %v", err)
	}

	for _, s := range scripts {
		b, err := os.ReadFile(filepath.Clean(s))
		if err != nil {
			t.Fatal(err)
		}

		c.scripts = append(c.scripts, b...)
	}

	return c
}

// block checks a fenced block, and returns all that is wrong with it.
func (c *checker) block(b Block) []error {
	switch b.Info {
	case shell, console:
		var out []error

		for _, s := range b.Steps() {
			if s.Text == "" {
				out = append(out, fmt.Errorf("line %d: a console begins with what is typed", s.Line))
			}

			out = append(out, c.text(s.Line, s.Text)...)
		}

		return out
	case yamls, jsons, promql, diagram, plain:
		// manifests_test.go reads the first three.
		return nil
	default:
		return []error{fmt.Errorf("line %d: %q behind a fence is nothing that is checked", b.Line, b.Info)}
	}
}

func (c *checker) text(line int, text string) []error {
	all, err := Commands(line, text, given)
	if err != nil {
		return []error{err}
	}

	var out []error

	for _, cmd := range all {
		check, ok := programs[cmd.Args[0]]
		if !ok {
			out = append(out, fmt.Errorf("line %d: nobody knows how to check %s", cmd.Line, cmd))

			continue
		}

		c.seen[cmd.Args[0]]++

		if err := check(c, cmd.Args[1:]); err != nil {
			out = append(out, fmt.Errorf("line %d: %s: %w", cmd.Line, cmd, err))
		}
	}

	return out
}

// The check of commands finds what it is for.
func TestChecker(t *testing.T) {
	t.Setenv("AIDISPATCH_STORE", given["AIDISPATCH_STORE"])
	t.Setenv("AIDISPATCH_POOL", given["AIDISPATCH_POOL"])

	c := newChecker(t)

	cases := map[string]struct {
		reason string
		text   string
		wrong  bool
	}{
		"Target":        {reason: "A target that is there.", text: "make demo"},
		"NoTarget":      {reason: "A target that was renamed.", text: "make demonstration", wrong: true},
		"Variable":      {reason: "A variable of the Makefile.", text: "make install VERSION=v1"},
		"OfScript":      {reason: "A variable of a script that make runs.", text: "FLAVORS=claim RUN=TestX make e2e"},
		"NoVariable":    {reason: "A variable that nothing reads.", text: "make install RELEASE=v1", wrong: true},
		"Test":          {reason: "A test that is there.", text: "go test ./internal/compose -run TestRefusals"},
		"NoTest":        {reason: "A test that was renamed.", text: "go test ./internal/compose -run TestNothing", wrong: true},
		"NoPackage":     {reason: "A package that was moved.", text: "go build ./cmd/nothing", wrong: true},
		"Command":       {reason: "A command of one of our programs.", text: "go run -C cluster/local . status -o json"},
		"NoCommand":     {reason: "One that it has not.", text: "go run -C cluster/local . start", wrong: true},
		"Flag":          {reason: "A flag that the command line has.", text: "aidispatch why ad/x -n y"},
		"NoFlag":        {reason: "One that it has not.", text: "aidispatch why ad/x --space y", wrong: true},
		"Plugin":        {reason: "The same as a plugin of kubectl.", text: "kubectl aidispatch checkpoint ls 3"},
		"NoPlugin":      {reason: "And a command that it has not.", text: "kubectl aidispatch backup", wrong: true},
		"Verb":          {reason: "kubectl has no such command.", text: "kubectl -n x show ad", wrong: true},
		"File":          {reason: "A file that is gone.", text: "kubectl apply -f examples/gone.yaml", wrong: true},
		"Program":       {reason: "A program that nobody knows.", text: "oc get ad", wrong: true},
		"InPipe":        {reason: "It is found in a pipe, too.", text: "kubectl get ad | jq .", wrong: true},
		"Substitution":  {reason: "And in a substitution.", text: "export X=$(oc whoami)", wrong: true},
		"NoShell":       {reason: "A shell that waits for more.", text: "kubectl get 'ad", wrong: true},
		"GivenVariable": {reason: "A variable that the text sets is put in.", text: "F=examples/quickstart/aidispatcher.yaml\nkubectl apply -f $F"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if errs := c.text(1, tc.text); (len(errs) > 0) != tc.wrong {
				t.Errorf("%s\n%s: want wrong %t, got %v", tc.reason, tc.text, tc.wrong, errs)
			}
		})
	}
}

// A console is what is typed and what is printed, and a command may go over several lines.
func TestSteps(t *testing.T) {
	b := Block{Line: 10, Info: console, Text: "$ kubectl get ad \\\n    -A\nNAME\n...\n$ kubectl apply -f - <<EOF\na: 1\nEOF\ncreated\n"}
	want := []Step{
		{Line: 10, Text: "kubectl get ad \\\n    -A\n", Prints: "NAME\n...\n"},
		{Line: 14, Text: "kubectl apply -f - <<EOF\na: 1\nEOF\n", Prints: "created\n"},
	}

	if diff := cmp.Diff(want, b.Steps()); diff != "" {
		t.Errorf("Steps(): -want, +got:\n%s", diff)
	}
}
