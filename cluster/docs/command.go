package docs

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// A Command is a simple command as a shell would run it: quotes taken off, variables put in.
type Command struct {
	Line int
	Args []string
	// Piped is whether it reads what another command of the same line prints.
	Piped bool
}

// String returns the command for people.
func (c Command) String() string { return strings.Join(c.Args, " ") }

var placeholder = regexp.MustCompile(`\b(NAME|NS|POD)\b`)

// Fill puts names where a page has NAME, NS and POD.
func Fill(text, name, ns, pod string) string {
	return placeholder.ReplaceAllStringFunc(text, func(p string) string {
		return map[string]string{"NAME": name, "NS": ns, "POD": pod}[p]
	})
}

// A Step is what a reader types, and what the page says that is printed then.
type Step struct {
	Line int
	// Text is the whole of what is typed, of more than one line where it goes on.
	Text string
	// Prints is what is shown below, or nothing where the page shows nothing.
	Prints string
}

const prompt = "$ "

// Steps returns what is typed in a block: of a console, which is one by its name or because it begins with a prompt, what stands
// behind its prompts; else the whole.
func (b Block) Steps() []Step {
	if b.Info != "console" && !strings.HasPrefix(b.Text, prompt) {
		return []Step{{Line: b.Line, Text: b.Text}}
	}

	var out []Step

	typing := false

	for i, line := range strings.Split(strings.TrimSuffix(b.Text, "\n"), "\n") {
		switch typed, ok := strings.CutPrefix(line, prompt); {
		case ok:
			out = append(out, Step{Line: b.Line + i, Text: typed + "\n"})
			typing = true
		case len(out) == 0:
			out = append(out, Step{Line: b.Line + i, Prints: line + "\n"})
		case typing && unfinished(out[len(out)-1].Text):
			out[len(out)-1].Text += line + "\n"

			continue
		default:
			out[len(out)-1].Prints += line + "\n"
		}

		typing = typing && len(out) > 0 && unfinished(out[len(out)-1].Text)
	}

	return out
}

// unfinished returns whether a shell would wait for another line.
func unfinished(text string) bool {
	_, err := syntax.NewParser().Parse(strings.NewReader(text), "")

	return syntax.IsIncomplete(err) || strings.HasSuffix(text, "\\\n")
}

// Commands returns the simple commands of a shell's text, those in pipes, loops and substitutions included. What a variable
// holds is known where the text says so, or env does; what is printed by a substitution is not, and is "x".
func Commands(line int, text string, env map[string]string) ([]Command, error) {
	file, err := syntax.NewParser().Parse(strings.NewReader(text), "")
	if err != nil {
		return nil, fmt.Errorf("cannot read line %d as a shell does; what is no command belongs behind ```text, and what has prompts behind ```console: %w", line, err)
	}

	c := &reader{line: line, vars: map[string]string{}}
	for k, v := range env {
		c.vars[k] = v
	}

	syntax.Walk(file, c.visit)

	return c.out, c.err
}

type reader struct {
	line int
	vars map[string]string
	// pipes holds what stands on the right of a pipe.
	pipes []*syntax.Stmt
	out   []Command
	err   error
}

func (r *reader) visit(n syntax.Node) bool {
	switch n := n.(type) {
	case *syntax.BinaryCmd:
		if n.Op == syntax.Pipe || n.Op == syntax.PipeAll {
			r.pipes = append(r.pipes, n.Y)
		}
	case *syntax.Assign:
		if n.Name != nil && n.Value != nil {
			r.vars[n.Name.Value] = r.literal(n.Value)
		}
	case *syntax.DeclClause:
		// export and its like: their assignments are visited next.
		r.out = append(r.out, Command{Line: r.at(n), Args: []string{n.Variant.Value}})
	case *syntax.CallExpr:
		if len(n.Args) == 0 {
			return true
		}

		for _, a := range n.Assigns {
			r.visit(a)
		}

		c := Command{Line: r.at(n)}
		for _, w := range n.Args {
			c.Args = append(c.Args, r.literal(w))
		}

		for _, s := range r.pipes {
			c.Piped = c.Piped || s.Cmd == syntax.Command(n)
		}

		r.out = append(r.out, c)
	}

	return true
}

func (r *reader) at(n syntax.Node) int { return r.line + int(n.Pos().Line()) - 1 }

func (r *reader) literal(w *syntax.Word) string {
	s, err := expand.Literal(&expand.Config{
		Env: expand.FuncEnviron(func(name string) string { return r.vars[name] }),
		CmdSubst: func(w io.Writer, _ *syntax.CmdSubst) error {
			_, err := io.WriteString(w, "x")

			return err
		},
	}, w)
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("cannot read line %d: %w", r.line, err)
	}

	return s
}
