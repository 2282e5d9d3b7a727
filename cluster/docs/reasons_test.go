package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// said are the words that the product says to people, as its source declares them, each with where that is.
type said struct {
	// Events are the reasons of events; Conditions the types and reasons of conditions; Phases the phases and states of a pool.
	Events, Conditions, Phases map[string]string
	// Changes are the reasons of a changed size, Decisions those of all decisions on a load, and Vetoes what keeps workers.
	Changes, Decisions, Vetoes map[string]string
	// refused are the conditions' reasons, by the names of their constants, with which a claim is refused: those are events, too.
	refused, values map[string]string
}

func newSaid() said {
	return said{map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}, map[string]string{}}
}

// kept are the reasons of decisions that leave the size as it is. They are in the AgentScaler's status, and no event tells them.
var kept = []string{"Steady", "Stabilizing", "Vetoed", "NoData"}

// typed says what a constant of a type is, and named what one without a type is, by the pattern of its name.
func (s said) typed(typ string) map[string]string {
	return map[string]map[string]string{
		"event.Reason": s.Events, "xpv2.ConditionReason": s.Conditions, "xpv2.ConditionType": s.Conditions, "corev1.PodConditionType": s.Conditions,
		"Phase": s.Phases, "State": s.Phases,
	}[typ]
}

func (s said) named(pkg, name string) map[string]string {
	switch {
	case strings.HasPrefix(name, "ScaleReason"):
		return s.Changes
	case pkg == "scale" && strings.HasPrefix(name, "Reason"):
		return s.Decisions
	case pkg == "scale" && strings.HasPrefix(name, "Veto"):
		return s.Vetoes
	default:
		return nil
	}
}

// collect reads a file: constants by their type or name, and what is said without one.
func (s said) collect(set *token.FileSet, f *ast.File) {
	at := func(n ast.Node) string { return set.Position(n.Pos()).String() }

	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ValueSpec:
			typ := written(n.Type)
			// A worker's own states are its status', not a pool's.
			if f.Name.Name == "monitorapi" && typ == "State" {
				return true
			}

			for i, v := range n.Values {
				into := s.typed(typ)
				if typ == "" {
					into = s.named(f.Name.Name, n.Names[i].Name)
				}

				if text, ok := literal(v); ok && into != nil {
					into[text] = at(n)
					s.values[n.Names[i].Name] = text
				}
			}
		case *ast.CallExpr:
			fun := written(n.Fun)
			_, method, _ := strings.Cut(fun, ".")

			if fun == "refuse" {
				_, name, _ := strings.Cut(written(n.Args[0]), ".")
				s.refused[name] = at(n)
			}

			if len(n.Args) == 0 || fun != "event.Normal" && fun != "event.Warning" && s.typed(fun) == nil && method != "WithReason" {
				return true
			}

			if text, ok := literal(n.Args[0]); ok && s.typed(fun) != nil {
				s.typed(fun)[text] = at(n)
			} else if ok {
				s.Events[text] = at(n)
			}
		case *ast.CompositeLit:
			for _, e := range n.Elts {
				kv, ok := e.(*ast.KeyValueExpr)
				if !ok || !strings.HasSuffix(written(n.Type), "Condition") || written(kv.Key) != "Reason" {
					continue
				}

				if text, ok := literal(kv.Value); ok {
					s.Conditions[text] = at(n)
				}
			}
		}

		return true
	})
}

func literal(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}

	text, err := strconv.Unquote(l.Value)

	return text, err == nil
}

// written returns a name as it stands in the source: of what is called on what a call returned, only the last.
func written(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return written(e.X) + "." + e.Sel.Name
	default:
		return ""
	}
}

// words reads the product's source.
func words(t *testing.T) said {
	t.Helper()

	out, set := newSaid(), token.NewFileSet()

	for _, dir := range []string{"apis", "cmd", "internal"} {
		if err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}

			f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
			if err == nil {
				out.collect(set, f)
			}

			return err
		}); err != nil {
			t.Fatal(err)
		}
	}

	if len(out.refused) < 5 {
		t.Errorf("too few refusals were found to have been read: %v", out.refused)
	}

	for name, where := range out.refused {
		if out.values[name] != "" {
			out.Events[out.values[name]] = where
		}
	}

	return out
}

// chapter returns what stands in a page below a heading, up to the next one of its level.
func chapter(t *testing.T, p *Page, heading string) string {
	t.Helper()

	_, below, ok := strings.Cut(string(p.source), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no chapter %q", p.Path, heading)
	}

	below, _, _ = strings.Cut(below, "\n## ")

	return below
}

// Whatever word the product says in an event, a condition or a decision, its reader finds it where the pages promise it.
func TestReasonsAreDocumented(t *testing.T) {
	all, s := pages(t), words(t)
	concepts, operations, scaling := all["docs/concepts.md"], all["docs/operations.md"], all["docs/scaling.md"]
	events, scaler := chapter(t, operations, "Events"), chapter(t, concepts, "AgentScaler")

	for _, check := range []struct {
		said  map[string]string
		least int
		page  string
		text  string
		spare []string
	}{
		{s.Events, 25, "docs/operations.md, Events", events, nil},
		{s.Changes, 5, "docs/operations.md, Events", events, nil},
		{s.Decisions, 9, "docs/operations.md, Events", events, kept},
		{s.Changes, 5, "docs/concepts.md, AgentScaler", scaler, nil},
		{s.Decisions, 9, "docs/concepts.md, AgentScaler", scaler, kept},
		{s.Decisions, 9, "docs/scaling.md, The decision", chapter(t, scaling, "The decision"), nil},
		{s.Vetoes, 5, "docs/scaling.md, Vetoes", chapter(t, scaling, "Vetoes"), nil},
		{s.Conditions, 40, "docs/concepts.md, Conditions", chapter(t, concepts, "Conditions"), nil},
		{s.Phases, 15, "docs/concepts.md, Phases and states", chapter(t, concepts, "Phases and states"), nil},
	} {
		if len(check.said) < check.least {
			t.Errorf("too few were found for %s to have been read: %v", check.page, check.said)
		}

		for word, where := range check.said {
			if !slices.Contains(check.spare, word) && !strings.Contains(check.text, "`"+word+"`") {
				t.Errorf("%s does not tell of `%s`, of %s", check.page, word, where)
			}
		}
	}

	// And the other way round: what an event is called there is in the source.
	for _, row := range regexp.MustCompile(`(?m)^\| [^|]+ \| ([^|]+) \|`).FindAllStringSubmatch(events, -1) {
		for _, m := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(row[1], -1) {
			if s.Events[m[1]] == "" && s.Changes[m[1]] == "" && s.Decisions[m[1]] == "" && s.Conditions[m[1]] == "" {
				t.Errorf("docs/operations.md tells of the event %s, which nothing says", m[1])
			}
		}
	}
}

// The reader of the source finds what it is for.
func TestCollect(t *testing.T) {
	const source = `package scale

const (
	a event.Reason = "A"
	b, c xpv2.ConditionReason = "B", "C"
	d corev1.PodConditionType = "D"
	e Phase = "E"
	ReasonF = "F"
	VetoG = "G"
	ScaleReasonH = "H"
	other = "other"
)

func say() {
	r.Event(x, event.Warning("I", nil))
	r.Event(x, event.Normal(event.Reason("J"), ""))
	response.Normalf(rsp, "").WithReason("K").Target()
	_ = xpv2.Condition{Type: b, Reason: "L"}
	_ = Load{Reason: "a sentence"}
}
`

	set := token.NewFileSet()

	f, err := parser.ParseFile(set, "a.go", source, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}

	s := newSaid()
	s.collect(set, f)

	got := map[string][]string{}
	for name, m := range map[string]map[string]string{"Events": s.Events, "Conditions": s.Conditions, "Phases": s.Phases, "Changes": s.Changes, "Decisions": s.Decisions, "Vetoes": s.Vetoes} {
		for word := range m {
			got[name] = append(got[name], word)
		}

		slices.Sort(got[name])
	}

	want := map[string][]string{
		"Events": {"A", "I", "J", "K"}, "Conditions": {"B", "C", "D", "L"}, "Phases": {"E"}, "Changes": {"H"}, "Decisions": {"F"}, "Vetoes": {"G"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want, +got:\n%s", diff)
	}
}
