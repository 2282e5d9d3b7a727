package main

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	extv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// A row tells all that the schema says of a field.
func TestFields(t *testing.T) {
	cases := map[string]struct{ reason, schema, want string }{
		"Required": {
			"What must be given comes first, with its bounds and the message of its rule.",
			"{required: [b], properties: {a: {type: string}, b: {type: integer, description: A size., minimum: 1, maximum: 9, x-kubernetes-validations: [{rule: self > 0, message: too small}]}}}",
			"| `b` | integer, required |  | A size. Value 1 to 9. Rule: too small. |\n| `a` | string |  |  |\n",
		},
		"Default": {
			"A default and what may be chosen are written as in YAML.",
			"{properties: {a: {type: string, default: Keep, enum: [Keep, Delete]}, b: {type: boolean, default: true}}}",
			"| `a` | string | `Keep` | One of `Keep`, `Delete`. |\n| `b` | boolean | `true` |  |\n",
		},
		"List": {
			"What an entry has stands below, and bounds of the list and of an entry beside it.",
			"{properties: {a: {type: array, maxItems: 8, items: {type: object, properties: {b: {type: string, maxLength: 3}}}}}}",
			"| `a` | list of object |  | Entries: at most 8. |\n| `a[].b` | string |  | Length at most 3. |\n",
		},
		"Map": {
			"The same for a map.",
			"{properties: {a: {type: object, additionalProperties: {type: object, properties: {b: {type: integer}}}}}}",
			"| `a` | map of object |  |  |\n| `a{}.b` | integer |  |  |\n",
		},
		"Cell": {
			"What would break a table, or become a link, does not.",
			"{properties: {a: {type: string, pattern: 'x|y', description: \"one\\ntwo <three> at https://example.org/v1.\"}}}",
			"| `a` | string |  | one two &lt;three> at `https://example.org/v1`. Matches `x\\|y`. |\n",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := &extv1.JSONSchemaProps{}
			if err := yaml.UnmarshalStrict([]byte(tc.schema), s); err != nil {
				t.Fatal(err)
			}

			page := &bytes.Buffer{}
			fields(page, "", s, false)

			if diff := cmp.Diff(tc.want, page.String()); diff != "" {
				t.Errorf("%s\nfields(...): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}
