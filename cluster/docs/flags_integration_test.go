//go:build integration

package docs

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/southwest-ai/agent-operator/internal/cli"
)

// othersFlags are flags of others' programs that sentences name, by whose they are.
var othersFlags = map[string]string{
	"--circuit-breaker-burst": "Crossplane's core", "--circuit-breaker-refill-rate": "Crossplane's core",
	"--enable-operations": "Crossplane's core", "--enable-signature-verification": "Crossplane's core",
	"--metricsRequestHeaderAttributes": "Envoy AI Gateway's controller",
	"--grace-period":                   "kubectl", "--context": "kubectl", "--kubeconfig": "kubectl",
	"--pass-authorization-header": "oauth2-proxy", "--upstream": "oauth2-proxy", "--ssl-upstream-insecure-skip-verify": "oauth2-proxy",
}

// A flag in a help text stands further left than what is said of it.
var helped = regexp.MustCompile(`(?m)^ {2,6}(?:-\w, )?--(?:\[no-\])?([a-z][a-z0-9-]*)`)

// flags are those of our programs, by the words with which they are called.
func flags(t *testing.T) map[string][]string {
	t.Helper()

	out, dir := map[string][]string{}, t.TempDir()

	build := exec.CommandContext(t.Context(), "go", "build", "-o", dir, "./cmd/monitor", "./cmd/provider", "./cmd/function")
	build.Dir = root

	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("cannot build: %v\n%s", err, said)
	}

	for _, call := range []string{"provider", "function", "monitor run", "monitor restore"} {
		args := append(strings.Fields(call), "--help")

		var said bytes.Buffer

		cmd := exec.CommandContext(t.Context(), filepath.Join(dir, args[0]), args[1:]...)
		cmd.Stdout, cmd.Stderr = &said, &said

		// A program may end with an error that was only asked for help.
		if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
			t.Fatal(err)
		}

		for _, m := range helped.FindAllStringSubmatch(said.String(), -1) {
			if m[1] != "help" && m[1] != "version" {
				out[call] = append(out[call], "--"+m[1])
			}
		}

		if len(out[call]) < 3 {
			t.Fatalf("%s names too few flags to have been read:\n%s", call, &said)
		}
	}

	k, err := kong.New(&cli.Commands{}, kong.Name("aidispatch"))
	if err != nil {
		t.Fatal(err)
	}

	of(k.Model.Node, "aidispatch", out)

	return out
}

// of adds the flags of a command and of those below it.
func of(n *kong.Node, call string, out map[string][]string) {
	for _, group := range n.AllFlags(true) {
		for _, f := range group {
			out[call] = append(out[call], "--"+f.Name)
		}
	}

	for _, c := range n.Children {
		of(c, call+" "+c.Name, out)
	}
}

var flagName = regexp.MustCompile(`--(?:\[no-\])?([a-z][A-Za-z0-9-]*)`)

// named returns the flags in a text, without what they are set to.
func named(text string) []string {
	var out []string

	for _, m := range flagName.FindAllStringSubmatch(text, -1) {
		out = append(out, "--"+m[1])
	}

	return out
}

// misnamed returns an error for each flag in a span of code that whoever the span says, or else nobody, has.
func misnamed(span string, ours map[string][]string) error {
	begins := strings.HasPrefix(span, "--")

	for _, call := range slices.Backward(slices.Sorted(maps.Keys(ours))) {
		if !strings.HasPrefix(span, call+" ") {
			continue
		}

		for _, f := range named(span) {
			if f != "--help" && !slices.Contains(ours[call], f) {
				return fmt.Errorf("%s has no %s", call, f)
			}
		}

		return nil
	}

	if !begins {
		return nil
	}

	for _, f := range named(span) {
		if othersFlags[f] == "" && !slices.ContainsFunc(slices.Collect(maps.Values(ours)), func(of []string) bool { return slices.Contains(of, f) }) {
			// What follows a flag of another's program is that program's.
			if othersFlags[named(span)[0]] != "" {
				continue
			}

			return fmt.Errorf("no program has %s", f)
		}
	}

	return nil
}

// The tables of flags have each flag of a program and no other, and what a sentence names is a flag of somebody.
func TestFlags(t *testing.T) {
	all, ours := pages(t), flags(t)

	_, rest, ok := strings.Cut(chapter(t, all["docs/operations.md"], "Flags"), "**Provider.**")
	provider, rest, ok2 := strings.Cut(rest, "**Function.**")
	function, monitor, ok3 := strings.Cut(rest, "**Monitor.**")

	if !ok || !ok2 || !ok3 {
		t.Fatal("the chapter of flags is not divided by program any more")
	}

	said, table, _ := strings.Cut(monitor, "`monitor run` takes")

	for call, text := range map[string]string{"provider": provider, "function": function, "monitor run": table, "monitor restore": said} {
		tells := named(text)

		if call != "monitor restore" {
			tells = nil

			// The first cell of a row: the last tells of others.
			for _, m := range regexp.MustCompile(`(?m)^\| ([^|]+) \|`).FindAllStringSubmatch(text, -1) {
				tells = append(tells, named(m[1])...)
			}
		}

		for _, f := range ours[call] {
			if !slices.Contains(tells, f) {
				t.Errorf("docs/operations.md: the flags of %s lack %s", call, f)
			}
		}

		for _, f := range tells {
			if !slices.Contains(ours[call], f) {
				t.Errorf("docs/operations.md: %s has no %s", call, f)
			}
		}
	}

	checked := 0

	for _, p := range all {
		for _, s := range p.Spans {
			if strings.Contains(s.Text, "--") {
				checked++
			}

			if err := misnamed(s.Text, ours); err != nil {
				t.Errorf("%s:%d: %s: %v", p.Path, s.Line, s.Text, err)
			}
		}
	}

	if checked < 60 {
		t.Errorf("only %d flags were found in sentences and tables", checked)
	}

	for span, wrong := range map[string]bool{
		"--state-dir": true, "--state-volume": false, "monitor restore --state-dir /x": true, "monitor restore --state-volume=/x": false,
		"aidispatch checkpoint verify --all": false, "aidispatch checkpoint verify --some": true, "--grace-period=0 --force": false, "monitor restore --listen": true,
	} {
		if err := misnamed(span, ours); (err != nil) != wrong {
			t.Errorf("%s: want wrong %t, got %v", span, wrong, err)
		}
	}
}
