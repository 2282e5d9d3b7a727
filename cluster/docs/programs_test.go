package docs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/southwest-ai/agent-operator/internal/cli"
)

// make holds targets and variables against what make, or a script that it runs, knows.
func (c *checker) make(args []string) error {
	for _, a := range args {
		name, _, assigned := strings.Cut(a, "=")

		switch {
		case a == "-s":
		case assigned && !c.variables[name] && !bytes.Contains(c.scripts, []byte("${"+name)):
			return fmt.Errorf("nothing reads %s", name)
		case !assigned && !c.targets[a]:
			return fmt.Errorf("there is no target %s", a)
		}
	}

	return nil
}

// docker holds the files that are named to be there.
func (c *checker) docker(args []string) error {
	for i, a := range args {
		if a == "-f" && i+1 < len(args) {
			return exists(args[i+1])
		}
	}

	return nil
}

func exists(file string) error {
	_, err := os.Stat(filepath.Join(root, filepath.Clean(file)))

	return err
}

// gotool holds packages, modules and tests to be there.
func (c *checker) gotool(args []string) error {
	dir := root

	var run, patterns []string

	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case i == 0 && !slices.Contains([]string{"build", "run", "test", "tool", "install", "generate"}, a):
			return fmt.Errorf("go %s is not known here", a)
		case a == "-C":
			i++
			dir = filepath.Join(root, args[i])
		case a == "-run" || a == "-bench" || a == "-fuzz":
			i++
			run = append(run, args[i])
		case a == "-benchtime" || a == "-tags" || a == "-fuzztime" || a == "-o":
			i++
		case strings.HasPrefix(a, "."):
			patterns = append(patterns, a)

			switch {
			case args[0] == "run" && a == "./cmd/aidispatch":
				return parseAidispatch(args[i+1:])
			case args[0] == "run":
				return errors.Join(packages(dir, a, nil), subcommand(filepath.Join(dir, a), args[i+1:]))
			}
		}
	}

	var err error
	for _, p := range patterns {
		err = errors.Join(err, packages(dir, p, run))
	}

	return err
}

var testFunc = regexp.MustCompile(`(?m)^func ((?:Test|Benchmark|Fuzz)\w*)\(`)

// packages looks for the packages that a pattern names and, of what is to be run of them, for tests of that name.
func packages(dir, pattern string, run []string) error {
	base, tree := strings.CutSuffix(pattern, "/...")

	found, err := filepath.Glob(filepath.Join(dir, base, "*.go"))
	if err != nil || len(found) == 0 && !tree {
		return fmt.Errorf("there is no package %s", pattern)
	}

	for _, expr := range run {
		if expr == "^$" || expr == "." || tree {
			continue
		}

		if !slices.ContainsFunc(found, func(f string) bool {
			b, err := os.ReadFile(filepath.Clean(f))

			return err == nil && slices.ContainsFunc(testFunc.FindAllSubmatch(b, -1), func(m [][]byte) bool {
				ok, err := regexp.Match(expr, m[1])

				return err == nil && ok
			})
		}) {
			return fmt.Errorf("%s has no test %s", pattern, expr)
		}
	}

	return nil
}

// subcommand looks for the words with which a program of ours is run in the commands that its source declares for kong.
func subcommand(dir string, args []string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return err
	}

	var source []byte

	for _, f := range files {
		b, err := os.ReadFile(filepath.Clean(f))
		if err != nil {
			return err
		}

		source = append(source, b...)
	}

	for _, a := range args {
		if strings.HasPrefix(a, "-") {
			break
		}

		if !regexp.MustCompile(`(?mi)^\s+(` + regexp.QuoteMeta(a) + `)\s+\S+.*` + "`.*cmd:" + `|"` + regexp.QuoteMeta(a) + `"`).Match(source) {
			return fmt.Errorf("there is no command %s", a)
		}
	}

	return nil
}

// aidispatch has the program's own grammar read the arguments. Files need not be there.
func (c *checker) aidispatch(args []string) error {
	return parseAidispatch(args)
}

func parseAidispatch(args []string) error {
	helped := false
	k, err := kong.New(&cli.Commands{}, kong.Name("aidispatch"), kong.Writers(io.Discard, io.Discard), kong.Exit(func(int) { helped = true }),
		kong.NamedMapper("existingfile", kong.MapperFunc(func(ctx *kong.DecodeContext, target reflect.Value) error {
			var s string
			if err := ctx.Scan.PopValueInto("file", &s); err != nil {
				return err
			}

			target.SetString(s)

			return nil
		})))
	if err != nil {
		return err
	}

	// Help ends a program here, which goes on without having ended.
	if _, err = k.Parse(args); helped {
		return nil
	}

	return err
}

// verbs are what pages do with kubectl. What follows is read by kubectl itself, in the integration tests.
var verbs = []string{
	"annotate", "api-resources", "apply", "auth", "create", "delete", "describe", "edit", "explain", "get", "kustomize", "label", "logs", "patch", "port-forward",
	"rollout", "run", "scale", "wait", "exec", "top",
}

func (c *checker) kubectl(args []string) error {
	switch verb := first(args); {
	case verb == "aidispatch":
		return parseAidispatch(args[slices.Index(args, verb)+1:])
	case !slices.Contains(verbs, verb):
		return fmt.Errorf("kubectl has no command %q", verb)
	}

	for i, a := range args[:len(args)-1] {
		file := args[i+1]
		if (a == "-f" || a == "-k") && file != "-" && strings.Contains(file, "/") && !strings.Contains(file, "://") && !strings.HasPrefix(file, "_output/") {
			return exists(file)
		}
	}

	return nil
}

// first returns the first argument that is no flag, nor a flag's value.
func first(args []string) string {
	for i := 0; i < len(args); i++ {
		switch {
		case args[i] == "-n":
			i++
		case !strings.HasPrefix(args[i], "-"):
			return args[i]
		}
	}

	return ""
}
