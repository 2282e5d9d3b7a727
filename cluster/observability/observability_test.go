package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/prometheus/client_golang/prometheus"
	runtimemetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	_ "sigs.k8s.io/controller-runtime/pkg/controller" // Registers the metrics of controllers.
)

const root = "../.."

// What is committed is what the source says, and nothing else lies beside it.
func TestGeneratedFilesAreFresh(t *testing.T) {
	files, err := render()
	if err != nil {
		t.Fatal(err)
	}

	want, got := map[string]string{}, map[string]string{}

	for name, b := range files {
		want[name] = string(b)
	}

	read := func(name string) {
		b, err := os.ReadFile(filepath.Join(root, filepath.Clean(name)))
		if err != nil {
			t.Fatal(err)
		}

		got[name] = string(b)
	}

	read(table)

	err = fs.WalkDir(os.DirFS(root), deploy, func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			read(name)
		}

		return err
	})
	if err != nil {
		t.Fatal(err)
	}

	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("generated files are stale: run make generate and commit what it changes\n-generated, +committed:\n%s", diff)
	}
}

// queries returns all queries by where they stand. Grafana's own variables have a value.
func queries() map[string]string {
	out := map[string]string{}
	fill := strings.NewReplacer("$__rate_interval", "5m", "$__range", "6h")

	for _, g := range allRules().Groups {
		for _, r := range g.Rules {
			out["rule "+r.Record+r.Alert] = r.Expr
		}
	}

	for file, d := range dashboards() {
		for _, p := range d.Panels {
			for _, l := range p.Targets {
				out[fmt.Sprintf("%s: %s: %s", file, p.Title, l.RefID)] = fill.Replace(l.Expr)
			}
		}
	}

	return out
}

// A query names only series that the code tells, and only labels that these have.
func TestQueriesNameWhatExists(t *testing.T) {
	all, err := metrics()
	if err != nil {
		t.Fatal(err)
	}

	there, err := known(all)
	if err != nil {
		t.Fatal(err)
	}

	for where, query := range queries() {
		for _, w := range wrong(query, there) {
			t.Errorf("%s: %s in\n%s", where, w, query)
		}
	}

	for _, d := range dashboards() {
		for _, v := range d.Templating.List {
			if values := regexp.MustCompile(`^label_values\((.*), (.*)\)$`).FindStringSubmatch(v.Query); values != nil {
				for _, w := range wrong("count by ("+values[2]+") ("+values[1]+")", there) {
					t.Errorf("variable %s: %s", v.Name, w)
				}
			}
		}
	}
}

// The check of names finds what it is for.
func TestWrong(t *testing.T) {
	there := map[string][]string{"a_total": {"code", "job"}, "b:sum": {"job"}, "h_bucket": {"le"}}

	cases := map[string]struct {
		reason string
		query  string
		want   []string
	}{
		"Right":         {reason: "Nothing is wrong.", query: `sum by (code) (rate(a_total{code=~"5.."}[5m])) / on (job) group_left b:sum > 0.5`},
		"Series":        {reason: "A series that was renamed is found.", query: `rate(c_total[5m]) > bool 1`, want: []string{"there is no series c_total"}},
		"Selector":      {reason: "A label that the series has not is found.", query: `b:sum{code="1"}`, want: []string{"b:sum has no label code"}},
		"Grouping":      {reason: "A label that no series has cannot group.", query: `sum by (pool) (a_total)`, want: []string{"nothing has the label pool to group or join by"}},
		"InQuotes":      {reason: "What stands in quotes is no name.", query: `label_replace(b:sum, "x", "$1", "job", "c_total{(.+)")`},
		"Empty":         {reason: "A query must ask for something.", query: `1 + 1`, want: []string{"it names no series"}},
		"HistogramBare": {reason: "A histogram has no series of its own name.", query: `rate(h[5m])`, want: []string{"there is no series h"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, wrong(tc.query, there)); diff != "" {
				t.Errorf("%s\nwrong(%s): -want, +got:\n%s", tc.reason, tc.query, diff)
			}
		})
	}
}

// Each metric that the contract names is told by the monitor, and the other way round.
func TestMonitorTellsItsContract(t *testing.T) {
	all, err := metrics()
	if err != nil {
		t.Fatal(err)
	}

	var got []string

	for _, m := range all {
		// The names of OpenTelemetry are not ours.
		if m.of == ofMonitor && !strings.HasPrefix(m.name, "gen_ai_") {
			got = append(got, m.name)
		}
	}

	files, err := filepath.Glob(filepath.Join(root, "internal/monitorapi/*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("cannot find the contract: %v", err)
	}

	var want []string

	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}

		ast.Inspect(parsed, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if ok && len(v.Values) == 1 && strings.HasPrefix(v.Names[0].Name, "Metric") {
				name, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
				want = append(want, name)

				return err == nil
			}

			return true
		})
	}

	if diff := cmp.Diff(want, got, cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Errorf("-in the contract, +told by the monitor:\n%s", diff)
	}
}

// The runtime's registry refuses a metric of a name that it has, and says so if the labels or the help are not the same.
// That has no error of its own, so its words are looked for; TestTellsApart sees to it that they are still these.
func TestMetricsOfTheRuntime(t *testing.T) {
	for _, m := range foreign() {
		if m.of != ofRuntime {
			continue
		}

		t.Run(m.name, func(t *testing.T) {
			c := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: m.name, Help: m.help}, m.labels)
			err := runtimemetrics.Registry.Register(c)

			if err == nil || strings.Contains(err.Error(), "different label names or a different help string") {
				runtimemetrics.Registry.Unregister(c)
				t.Errorf("the runtime has no such metric with the labels %v and this help: %v", m.labels, err)
			}
		})
	}
}

// The words by which TestMetricsOfTheRuntime knows a difference are the library's.
func TestTellsApart(t *testing.T) {
	c := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: reconciles, Help: "Something else."}, nil)
	if err := runtimemetrics.Registry.Register(c); err == nil || !strings.Contains(err.Error(), "different label names or a different help string") {
		t.Errorf("a metric of another help was refused with: %v", err)
	}
}

// What is taken for a histogram is one, as far as it is told before anything has happened.
func TestHistograms(t *testing.T) {
	parts, err := monitorParts()
	if err != nil {
		t.Fatal(err)
	}

	all, err := metrics()
	if err != nil {
		t.Fatal(err)
	}

	for _, name := range histograms {
		if !slices.ContainsFunc(all, func(m metric) bool { return m.name == name }) {
			t.Errorf("there is no metric %s", name)
		}
	}

	reg := prometheus.NewRegistry()
	reg.MustRegister(append(parts, providerParts()...)...)

	told, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}

	want, got := map[string]string{}, map[string]string{}

	for _, f := range told {
		want[f.GetName()] = strings.ToLower(f.GetType().String())
		got[f.GetName()] = metric{name: f.GetName()}.kind()
	}

	if diff := cmp.Diff(want, got); diff != "" || len(want) < 15 {
		t.Errorf("types of %d metrics: -told, +taken for:\n%s", len(want), diff)
	}
}

// Charts do not lie on one another, and each has a source that the reader chooses.
func TestDashboards(t *testing.T) {
	for file, d := range dashboards() {
		taken := map[[2]int]string{}
		ids := map[int]bool{}

		for _, p := range d.Panels {
			if ids[p.ID] {
				t.Errorf("%s: the id %d is given twice", file, p.ID)
			}

			ids[p.ID] = true

			for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
				for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
					if other, ok := taken[[2]int{x, y}]; ok || x >= gridWidth {
						t.Fatalf("%s: %q lies on %q or beyond the edge", file, p.Title, other)
					}

					taken[[2]int{x, y}] = p.Title
				}
			}

			if p.Type == "row" {
				continue
			}

			if len(p.Targets) == 0 || p.FieldConfig.Defaults.Unit == "" {
				t.Errorf("%s: %q has no query or no unit", file, p.Title)
			}

			if diff := cmp.Diff(&datasource{Type: "prometheus", UID: "${datasource}"}, p.Datasource); diff != "" {
				t.Errorf("%s: %q: -want, +got:\n%s", file, p.Title, diff)
			}
		}
	}
}

// Each alert has a recipe under its name, with a command, and each recipe an alert.
func TestRunbooks(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "docs/operations.md"))
	if err != nil {
		t.Fatal(err)
	}

	recipes := map[string]string{}
	for _, part := range strings.Split(string(b), "\n### ")[1:] {
		title, text, _ := strings.Cut(part, "\n")
		recipes[title], _, _ = strings.Cut(text, "\n## ")
	}

	var want, got []string

	for _, g := range allRules().Groups {
		for _, r := range g.Rules {
			if r.Alert == "" {
				continue
			}

			want = append(want, r.Alert)

			for _, part := range []string{"**Means.**", "**Look.**", "**Do.**", "\n```\n"} {
				if !strings.Contains(recipes[r.Alert], part) {
					t.Errorf("the recipe for %s has no %q", r.Alert, part)
				}
			}

			if url := r.Annotations["runbook_url"]; !strings.HasSuffix(url, "docs/operations.md#"+strings.ToLower(r.Alert)) {
				t.Errorf("%s leads to %s", r.Alert, url)
			}
		}
	}

	for title := range recipes {
		if strings.HasPrefix(title, "AIDispatcher") {
			got = append(got, title)
		}
	}

	if diff := cmp.Diff(want, got, cmpopts.SortSlices(strings.Compare)); diff != "" {
		t.Errorf("-alerts, +recipes:\n%s", diff)
	}
}

// Prometheus reads the regular expressions of the alerts only as whole, and so must the names of ours be.
func TestOurNames(t *testing.T) {
	cases := map[string]struct {
		reason string
		in     string
		name   string
		want   bool
	}{
		"Scaler":     {reason: "A managed kind's controller.", in: ourControllers, name: "managed/agentscaler.agent.southwest.ai", want: true},
		"Binder":     {reason: "The binder's controller.", in: ourControllers, name: "slot", want: true},
		"Other":      {reason: "Another provider's controller.", in: ourControllers, name: "managed/bucket.s3.aws.upbound.io"},
		"Kind":       {reason: "One of our kinds.", in: ourKinds, name: "agent.southwest.ai/v1alpha1, Kind=Checkpoint", want: true},
		"OtherKind":  {reason: "Another's kind.", in: ourKinds, name: "s3.aws.upbound.io/v1beta1, Kind=Bucket"},
		"Composite":  {reason: "The namespaced composite.", in: ourComposites, name: "composite/aidispatchers.southwest.ai", want: true},
		"Claimed":    {reason: "The composite behind a claim.", in: ourComposites, name: "composite/xaidispatchers.southwest.ai", want: true},
		"Composites": {reason: "Another's composite.", in: ourComposites, name: "composite/xdatabases.southwest.ai"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			expression := regexp.MustCompile(`"(.*)"`).FindStringSubmatch(tc.in)[1]
			if got := regexp.MustCompile("^(?:" + expression + ")$").MatchString(tc.name); got != tc.want {
				t.Errorf("%s\n%s matches %q: want %t, got %t", tc.reason, tc.in, tc.name, tc.want, got)
			}
		})
	}
}
