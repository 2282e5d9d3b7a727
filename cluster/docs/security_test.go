package docs

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
)

var right = regexp.MustCompile("(?m)^\\| `([^`]+)`(?: \\(`([^`]+)` only\\))? \\| ([a-z, ]+) \\|")

// The page on security has the provider's rights as they are, no more and no fewer.
func TestRights(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/security.md"))
	if err != nil {
		t.Fatal(err)
	}

	_, chapter, _ := strings.Cut(string(page), "\n### The provider\n")
	chapter, _, _ = strings.Cut(chapter, "\n### ")

	said := map[string]string{}
	for _, m := range right.FindAllStringSubmatch(chapter, -1) {
		said[strings.TrimSpace(m[1]+" "+m[2])] = m[3]
	}

	if diff := cmp.Diff(rights(t, "aidispatcher-provider"), said); diff != "" {
		t.Errorf("docs/security.md, The provider: -in cluster/install/base/rbac.yaml, +on the page:\n%s", diff)
	}
}

// rights returns the verbs of a role by resource, with its group, and with the name where there is only one.
func rights(t *testing.T, role string) map[string]string {
	t.Helper()

	b, err := os.ReadFile(filepath.Join(root, "cluster/install/base/rbac.yaml"))
	if err != nil {
		t.Fatal(err)
	}

	out := map[string]string{}

	for d := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(b), 4096); ; {
		r := &rbacv1.ClusterRole{}
		if err := d.Decode(r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}

		if r.Kind != "ClusterRole" || r.GetName() != role {
			continue
		}

		for _, rule := range r.Rules {
			for _, group := range rule.APIGroups {
				for _, res := range rule.Resources {
					name, sub, _ := strings.Cut(res, "/")
					if group != "" {
						name += "." + group
					}

					if sub != "" {
						name += "/" + sub
					}

					out[strings.TrimSpace(name+" "+strings.Join(rule.ResourceNames, " "))] = strings.Join(rule.Verbs, ", ")
				}
			}
		}
	}

	if len(out) == 0 {
		t.Fatalf("there is no role %s", role)
	}

	return out
}
