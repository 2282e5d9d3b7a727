package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

const (
	referencePage = "docs/api.md"
	// pageNotice stands on top of pages that are generated.
	pageNotice = "<!-- Generated from the Go types in apis/ by `make generate`. -->"
)

const referenceIntroduction = `# API reference

` + pageNotice + `

Every field of every kind: its type, whether it is required, its default and bounds, and the rules by which the API server or the function refuses
it, in their own words. What they are for is in [concepts.md](concepts.md) and, for the catalog, in [catalog.md](catalog.md). The same is told by
` + "`kubectl explain ad.spec --recursive`" + `. Under ` + "`[]`" + ` stands what each entry of a list has, under ` + "`{}`" + ` each value of a map. Crossplane adds fields of its
own to an AIDispatcher (` + "`spec.crossplane`" + `, or those of a claim) and the conditions ` + "`Synced` and `Ready`" + `.

`

// In the order in which a reader meets them.
var referenced = []struct{ file, remark string }{
	{aidispatcher, "What a team claims."},
	{"aidispatcher.fn.southwest.ai_catalogs.yaml", "What the platform team writes: the input of the function, in the Composition. It is no object of the cluster."},
	{"agent.southwest.ai_agentscalers.yaml", "Composed for each pool."},
	{"agent.southwest.ai_vectorcollections.yaml", "Composed for a pool with `memoryConfig`, or made by itself."},
	{"agent.southwest.ai_checkpoints.yaml", "Composed for a pool with `checkpoint`."},
	{"agent.southwest.ai_providerconfigs.yaml", "Where stores are, and how to get in."},
	{"agent.southwest.ai_clusterproviderconfigs.yaml", "The same for all namespaces."},
	{"agent.southwest.ai_providerconfigusages.yaml", "Written by the provider: who uses a configuration, which is not deleted before."},
}

// reference writes the page that lists every field of the definitions in the directory crds.
func reference(crds, out string) error {
	page := bytes.NewBufferString(referenceIntroduction)
	written := map[string]extv1.JSONSchemaProps{}

	for _, r := range referenced {
		b, err := os.ReadFile(filepath.Join(crds, r.file))
		if err != nil {
			return err
		}

		crd := &extv1.CustomResourceDefinition{}
		if err := yaml.Unmarshal(b, crd); err != nil {
			return fmt.Errorf("cannot read %s: %w", r.file, err)
		}

		kind(page, crd, r.remark, written)
	}

	file := filepath.Join(out, referencePage)
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}

	return os.WriteFile(file, append(bytes.TrimRight(page.Bytes(), "\n"), '\n'), 0o600)
}

// kind writes a chapter of a kind. One whose fields are another's, refers to that.
func kind(page *bytes.Buffer, crd *extv1.CustomResourceDefinition, remark string, written map[string]extv1.JSONSchemaProps) {
	v := crd.Spec.Versions[0]
	s := v.Schema.OpenAPIV3Schema

	fmt.Fprintf(page, "## %s\n\n`%s/%s`, %s", crd.Spec.Names.Kind, crd.Spec.Group, v.Name, strings.ToLower(string(crd.Spec.Scope)))

	for _, n := range crd.Spec.Names.ShortNames {
		fmt.Fprintf(page, ", `%s` for short", n)
	}

	fmt.Fprintf(page, ". %s %s\n\n", remark, sentence(s.Description))

	rules(page, s)

	for other, o := range written {
		if reflect.DeepEqual(o.Properties["spec"], s.Properties["spec"]) && reflect.DeepEqual(o.Properties["status"], s.Properties["status"]) {
			fmt.Fprintf(page, "Its fields are those of a [%s](#%s).\n\n", other, strings.ToLower(other))

			return
		}
	}

	written[crd.Spec.Names.Kind] = *s

	fmt.Fprintln(page, "| field | type | default | |\n| --- | --- | --- | --- |")
	fields(page, "", s, true)
	fmt.Fprintln(page)
}

// rules writes what holds for a kind as a whole.
func rules(page *bytes.Buffer, s *extv1.JSONSchemaProps) {
	for _, r := range s.XValidations {
		fmt.Fprintf(page, "Rule: %s\n\n", cell(r.Message))
	}
}

// fields writes a row for each field below path, and for each below that.
func fields(page *bytes.Buffer, path string, s *extv1.JSONSchemaProps, top bool) {
	names := make([]string, 0, len(s.Properties))

	for n := range s.Properties {
		// Those that all kinds have.
		if !top || n != "apiVersion" && n != "kind" && n != "metadata" {
			names = append(names, n)
		}
	}

	// What must be given comes first, and status last.
	rank := func(n string) int {
		switch {
		case slices.Contains(s.Required, n):
			return 0
		case top && n == "status":
			return 2
		default:
			return 1
		}
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a, b)) })

	for _, n := range names {
		f := s.Properties[n]
		at := path + n
		need := ""

		if slices.Contains(s.Required, n) && !strings.HasPrefix(at, "status") {
			need = ", required"
		}

		fmt.Fprintf(page, "| `%s` | %s%s | %s | %s |\n", at, typeOf(&f), need, defaultOf(&f), says(&f))

		// Conditions are of the same form everywhere.
		if at == "status.conditions" {
			continue
		}

		below(page, at, &f)
	}
}

// below writes what a field has within.
func below(page *bytes.Buffer, at string, f *extv1.JSONSchemaProps) {
	fields(page, at+".", f, false)

	if f.Items != nil && f.Items.Schema != nil {
		below(page, at+"[]", f.Items.Schema)
	}

	if f.AdditionalProperties != nil && f.AdditionalProperties.Schema != nil {
		below(page, at+"{}", f.AdditionalProperties.Schema)
	}
}

func typeOf(s *extv1.JSONSchemaProps) string {
	switch {
	case s.XIntOrString:
		return "integer or string"
	case s.Type == "array" && s.Items != nil && s.Items.Schema != nil:
		return "list of " + typeOf(s.Items.Schema)
	case s.Type == "object" && s.AdditionalProperties != nil && s.AdditionalProperties.Schema != nil:
		return "map of " + typeOf(s.AdditionalProperties.Schema)
	case s.Format != "" && s.Type == "string":
		return s.Format
	case s.Type == "":
		return "any"
	default:
		return s.Type
	}
}

func defaultOf(s *extv1.JSONSchemaProps) string {
	if s.Default == nil {
		return ""
	}

	return code(s.Default.Raw)
}

// code writes a value of JSON as people write it in YAML.
func code(raw []byte) string {
	var text string
	if json.Unmarshal(raw, &text) == nil && text != "" {
		raw = []byte(text)
	}

	return "`" + cell(string(raw)) + "`"
}

// says is what is said of a field: its description, what it may be, and the rules it must keep.
func says(s *extv1.JSONSchemaProps) string {
	out := []string{sentence(s.Description)}
	bounded := s

	if len(s.Enum) == 0 && s.Items != nil && s.Items.Schema != nil {
		out = append(out, bounds(s)...)
		bounded = s.Items.Schema
	}

	if len(bounded.Enum) > 0 {
		values := make([]string, 0, len(bounded.Enum))
		for _, e := range bounded.Enum {
			values = append(values, code(e.Raw))
		}

		out = append(out, "One of "+strings.Join(values, ", ")+".")
	}

	out = append(out, bounds(bounded)...)

	for _, r := range s.XValidations {
		out = append(out, "Rule: "+sentence(cmp.Or(r.Message, "`"+r.Rule+"`")))
	}

	if bounded != s {
		for _, r := range bounded.XValidations {
			out = append(out, "Rule of each: "+sentence(cmp.Or(r.Message, "`"+r.Rule+"`")))
		}
	}

	return strings.TrimSpace(strings.Join(slices.DeleteFunc(out, func(s string) bool { return s == "" }), " "))
}

func bounds(s *extv1.JSONSchemaProps) []string {
	var out []string

	between := func(what string, low, high *float64) {
		switch {
		case low != nil && high != nil:
			out = append(out, fmt.Sprintf("%s%.15g to %.15g.", what, *low, *high))
		case low != nil:
			out = append(out, fmt.Sprintf("%sat least %.15g.", what, *low))
		case high != nil:
			out = append(out, fmt.Sprintf("%sat most %.15g.", what, *high))
		}
	}

	between("Value ", s.Minimum, s.Maximum)
	between("Length ", float(s.MinLength), float(s.MaxLength))
	between("Entries: ", float(s.MinItems), float(s.MaxItems))
	between("Entries: ", float(s.MinProperties), float(s.MaxProperties))

	if s.Pattern != "" {
		out = append(out, "Matches `"+cell(s.Pattern)+"`.")
	}

	return out
}

func float(n *int64) *float64 {
	if n == nil {
		return nil
	}

	f := float64(*n)

	return &f
}

// address is a URL that stands bare, which a page would make a link of.
var address = regexp.MustCompile("(^|[^`])(https?://[^\\s`,;)]*[^\\s`,;).])")

// sentence makes a text one line that ends in a full stop.
func sentence(s string) string {
	s = strings.TrimSpace(strings.NewReplacer("<", "&lt;", "*", `\*`).Replace(cell(s)))
	s = address.ReplaceAllString(s, "$1`$2`")

	if s == "" || strings.HasSuffix(s, ".") || strings.HasSuffix(s, "`") {
		return s
	}

	return s + "."
}

// cell makes a text fit into one of a table.
func cell(s string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(s), " "), "|", `\|`)
}
