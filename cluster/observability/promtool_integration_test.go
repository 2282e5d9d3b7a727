//go:build integration

package main

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

	"sigs.k8s.io/yaml"
)

// promtool runs Prometheus' own tool, of Debian's package.
func promtool(t *testing.T, args ...string) {
	t.Helper()

	if _, err := exec.LookPath("promtool"); err != nil {
		t.Fatal("this test needs promtool: apt-get install prometheus")
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	if b, err := exec.CommandContext(ctx, "promtool", args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, b)
	}
}

func rulesFile(t *testing.T) string {
	t.Helper()

	file, err := filepath.Abs(filepath.Join(root, deploy, "rules.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	return file
}

// write writes a file for promtool to read.
func write(t *testing.T, v any) string {
	t.Helper()

	b, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}

	file := filepath.Join(t.TempDir(), "file.yaml")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}

	return file
}

// The rules are what Prometheus takes, and so is each query of the dashboards, as if it were recorded.
func TestPrometheusReadsAllQueries(t *testing.T) {
	promtool(t, "check", "rules", "--lint=all", "--lint-fatal", rulesFile(t))

	g := group{Name: "dashboards"}

	for _, query := range queries() {
		g.Rules = append(g.Rules, rule{Record: fmt.Sprintf("query:%d", len(g.Rules)), Expr: query})
	}

	promtool(t, "check", "rules", write(t, groups{Groups: []group{g}}))
}

// A situation is one in which an alert must fire for what is bad, and not for what is good beside it.
type situation struct {
	reason string
	// bad and good are series with their values, in promtool's words. Those of all are there with either.
	bad, good, all []string
	// instead is set where what is bad stands in the place of what is good.
	instead bool
	// at is when it is looked, and early a time at which what is bad has not lasted yet; empty where it need not last.
	at, early string
	labels    map[string]string
	// summary and description are what a person reads.
	summary, description string
}

type promSeries struct {
	Series string `json:"series"`
	Values string `json:"values"`
}

type promAlert struct {
	Labels      map[string]string `json:"exp_labels"`
	Annotations map[string]string `json:"exp_annotations"`
}

type promCheck struct {
	EvalTime string      `json:"eval_time"`
	Alert    string      `json:"alertname"`
	Want     []promAlert `json:"exp_alerts"`
}

type promTest struct {
	Interval string       `json:"interval"`
	Series   []promSeries `json:"input_series"`
	Checks   []promCheck  `json:"alert_rule_test"`
}

// The situations cover every alert; each is tried as it is, and with what is good alone.
func TestAlerts(t *testing.T) {
	all, err := metrics()
	if err != nil {
		t.Fatal(err)
	}

	there, err := known(all)
	if err != nil {
		t.Fatal(err)
	}

	cases := situations()

	for _, g := range allRules().Groups {
		for _, r := range g.Rules {
			if r.Alert == "" {
				continue
			}

			s, ok := cases[r.Alert]
			if !ok {
				t.Errorf("nothing shows when %s fires", r.Alert)

				continue
			}

			t.Run(r.Alert, func(t *testing.T) {
				for _, in := range parseSeries(slices.Concat(s.bad, s.good, s.all)) {
					for _, w := range wrong(in.Series, there) {
						t.Errorf("%s: %s", in.Series, w)
					}
				}

				promtool(t, "test", "rules", write(t, map[string]any{
					"rule_files": []string{rulesFile(t)}, "evaluation_interval": "30s", "tests": s.tests(r),
				}))
			})
		}
	}
}

func (s situation) tests(r rule) []promTest {
	labels := map[string]string{"severity": r.Labels["severity"]}
	for k, v := range s.labels {
		labels[k] = v
	}

	fires := []promAlert{{labels, map[string]string{
		"summary": s.summary, "description": s.description, "runbook_url": r.Annotations["runbook_url"],
	}}}
	series := slices.Concat(s.bad, s.all)
	if !s.instead {
		series = append(series, s.good...)
	}

	bad := promTest{Interval: "30s", Series: parseSeries(series), Checks: []promCheck{{s.at, r.Alert, fires}}}

	if s.early != "" {
		bad.Checks = append(bad.Checks, promCheck{s.early, r.Alert, []promAlert{}})
	}

	return []promTest{bad, {
		Interval: "30s", Series: parseSeries(slices.Concat(s.good, s.all)), Checks: []promCheck{{s.at, r.Alert, []promAlert{}}},
	}}
}

func parseSeries(in []string) []promSeries {
	form := regexp.MustCompile(`^(\S+\{.*\}|\S+) (\S.*)$`)

	var out []promSeries

	for _, s := range in {
		parts := form.FindStringSubmatch(s)
		out = append(out, promSeries{parts[1], parts[2]})
	}

	return out
}
