package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// target labels are those that scraping gives to each series.
var targetLabels = []string{"job", "instance", "namespace", "exported_namespace", "le"}

var (
	quoted    = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)
	durations = regexp.MustCompile(`\[[^\]]*\]|offset \w+`)
	selectors = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\s*\{([^}]*)\}`)
	matcher   = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)`)
	lists     = regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)`)
	calls     = regexp.MustCompile(`\b[a-z][a-z0-9_]*\s*\(`)
	names     = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)
	// made are the labels that label_replace makes, in the one form in which it is used.
	made     = regexp.MustCompile(`, "([a-z_]+)", "\$1", "`)
	keywords = []string{"by", "without", "on", "ignoring", "bool", "and", "or", "unless", "group_left", "group_right", "sum", "count", "min", "max"}
)

// named returns the series that a query names, each with the labels that it selects by, and all labels that the query
// groups or joins by. It is no parser: that a query is one is for Prometheus' own to say.
func named(query string) (series map[string][]string, grouped []string) {
	series = map[string][]string{}
	query = durations.ReplaceAllString(quoted.ReplaceAllString(query, `""`), "")

	for _, s := range selectors.FindAllStringSubmatch(query, -1) {
		for _, l := range matcher.FindAllStringSubmatch(s[2], -1) {
			series[s[1]] = append(series[s[1]], l[1])
		}
	}

	query = regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(query, " ")

	for _, l := range lists.FindAllStringSubmatch(query, -1) {
		for _, name := range strings.Split(l[2], ",") {
			grouped = append(grouped, strings.TrimSpace(name))
		}
	}

	query = calls.ReplaceAllString(lists.ReplaceAllString(query, " "), " ( ")

	for _, n := range names.FindAllString(query, -1) {
		if !slices.Contains(keywords, n) {
			series[n] = append(series[n], []string{}...)
		}
	}

	return series, grouped
}

// known returns the labels of all series that there may be, by name.
func known(all []metric) (map[string][]string, error) {
	out := map[string][]string{}

	for _, m := range all {
		for _, s := range m.series() {
			out[s] = append(append([]string{}, m.labels...), targetLabels...)
		}
	}

	grouping := regexp.MustCompile(`^(?:sum|max|min|count) by \(([^)]*)\)`)

	for _, r := range records() {
		by := grouping.FindStringSubmatch(r.Expr)
		if by == nil {
			return nil, fmt.Errorf("cannot tell the labels of %s: its expression begins with no aggregation", r.Record)
		}

		for _, l := range strings.Split(by[1], ",") {
			out[r.Record] = append(out[r.Record], strings.TrimSpace(l))
		}
	}

	return out, nil
}

// wrong says what a query names that there is not.
func wrong(query string, there map[string][]string) []string {
	var out []string

	series, grouped := named(query)
	if len(series) == 0 {
		out = append(out, "it names no series")
	}

	var labels []string

	for _, l := range made.FindAllStringSubmatch(query, -1) {
		labels = append(labels, l[1])
	}

	for name, selected := range series {
		has, ok := there[name]
		if !ok {
			out = append(out, "there is no series "+name)

			continue
		}

		labels = append(labels, has...)

		for _, l := range selected {
			if !slices.Contains(has, l) {
				out = append(out, name+" has no label "+l)
			}
		}
	}

	for _, l := range grouped {
		if !slices.Contains(labels, l) {
			out = append(out, "nothing has the label "+l+" to group or join by")
		}
	}

	slices.Sort(out)

	return out
}
