package docs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	xpextv1 "github.com/crossplane/crossplane/apis/v2/apiextensions/v1"
	xpopsv1 "github.com/crossplane/crossplane/apis/v2/ops/v1alpha1"
	xppkgv1 "github.com/crossplane/crossplane/apis/v2/pkg/v1"
	xppkgv1beta1 "github.com/crossplane/crossplane/apis/v2/pkg/v1beta1"
	"google.golang.org/protobuf/types/known/structpb"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/apis/input/v1beta1"
	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/compose"
	"github.com/southwest-ai/agent-operator/internal/monitorapi"
)

// foreign are the groups of others whose types are not linked here: of these only that they are YAML is known, and the integration tests hold
// some of them to others' definitions.
var foreign = []string{
	"argoproj.io", "external-secrets.io", "helm.toolkit.fluxcd.io", "keda.sh", "kustomize.config.k8s.io", "kustomize.toolkit.fluxcd.io",
	"monitoring.coreos.com", "source.toolkit.fluxcd.io", "template.fn.crossplane.io", "gateway.networking.k8s.io",
}

// A manifest is a document of a YAML block: an object, or a part of one, put where it belongs.
type manifest struct {
	page   string
	line   int
	object map[string]any
}

func (m manifest) gvk() schema.GroupVersionKind {
	av, _ := m.object["apiVersion"].(string)
	kind, _ := m.object["kind"].(string)

	return schema.FromAPIVersionAndKind(av, kind)
}

// manifests returns what stands in YAML blocks, and says what nobody knows.
func manifests(t *testing.T) []manifest {
	t.Helper()

	var out []manifest

	for _, p := range pages(t) {
		for _, b := range p.Blocks {
			if b.Info != yamls {
				continue
			}

			for _, d := range strings.Split("\n"+b.Text, "\n---\n") {
				o := map[string]any{}
				if err := yaml.UnmarshalStrict([]byte(d), &o); err != nil {
					t.Errorf("%s: line %d: cannot read a manifest: %v", p.Path, b.Line, err)

					continue
				}

				m := manifest{page: p.Path, line: b.Line, object: o}

				if o["kind"] == nil {
					var err error
					if m.object, err = whole(o); err != nil {
						t.Errorf("%s: line %d: %v", p.Path, b.Line, err)

						continue
					}
				}

				out = append(out, m)
			}
		}
	}

	return out
}

// whole returns the object that a part of one belongs to, with what it needs besides: a claim, or a catalog.
func whole(part map[string]any) (map[string]any, error) {
	claim := func(spec map[string]any) map[string]any {
		all := map[string]any{"role": "coder", "modelRef": "gpt-4"}
		maps.Copy(all, spec)

		return map[string]any{
			"apiVersion": "southwest.ai/v1alpha1", "kind": "AIDispatcher", "metadata": map[string]any{"name": "part", "namespace": "team-a"}, "spec": all,
		}
	}
	role := map[string]any{"name": "coder", "image": "example.org/coder:v1", "ports": []any{map[string]any{"name": "http", "containerPort": 8080}}}
	model := map[string]any{"name": "gpt-4", "endpoint": "https://models.example.org/v1"}
	catalog := func(parts map[string]any) map[string]any {
		all := map[string]any{
			"apiVersion": v1beta1.GroupVersion.String(), "kind": v1beta1.CatalogKind,
			"monitor": map[string]any{"image": "example.org/monitor:v2"}, "roles": []any{role}, "models": []any{model},
		}
		maps.Copy(all, parts)

		return all
	}
	with := func(base, more map[string]any) map[string]any {
		all := maps.Clone(base)
		maps.Copy(all, more)

		return all
	}

	candidates := []struct {
		is   any
		into func() map[string]any
	}{
		{&struct {
			Spec *v1alpha1.AIDispatcherSpec `json:"spec"`
		}{}, func() map[string]any { s, _ := part["spec"].(map[string]any); return claim(s) }},
		{&v1alpha1.AIDispatcherSpec{}, func() map[string]any { return claim(part) }},
		{&v1alpha1.MemoryConfig{}, func() map[string]any {
			return claim(map[string]any{"memoryConfig": with(map[string]any{"collection": "c", "dim": 3, "aliases": []any{"a"}}, part)})
		}},
		{&v1alpha1.Scaling{}, func() map[string]any {
			return claim(map[string]any{"scaling": with(map[string]any{"metrics": []any{map[string]any{"type": "QueueDepth", "target": 5}}}, part)})
		}},
		{&v1beta1.Role{}, func() map[string]any { return catalog(map[string]any{"roles": []any{with(role, part)}}) }},
		{&v1beta1.Model{}, func() map[string]any { return catalog(map[string]any{"models": []any{with(model, part)}}) }},
		{&v1beta1.Catalog{}, func() map[string]any { return catalog(part) }},
		{&agentv1alpha1.ProviderConfigSpec{}, func() map[string]any {
			return map[string]any{
				"apiVersion": agentv1alpha1.GroupVersion.String(), "kind": "ProviderConfig", "metadata": map[string]any{"name": "part", "namespace": "team-a"}, "spec": part,
			}
		}},
	}

	for _, c := range candidates {
		if strictly(part, c.is) == nil {
			return c.into(), nil
		}
	}

	return nil, fmt.Errorf("this is no part of a claim, a catalog or a provider configuration, or one of its fields is misspelt: %v", part)
}

// strictly decodes an object as the API server does, which takes no field that is not there, nor one in another case.
func strictly(o map[string]any, into any) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}

	strict, err := kjson.UnmarshalStrict(b, into)

	return errors.Join(append(strict, err)...)
}

func ourScheme(t *testing.T) *runtime.Scheme {
	t.Helper()

	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, v1alpha1.AddToScheme, agentv1alpha1.AddToScheme,
		xpextv1.AddToScheme, xppkgv1.AddToScheme, xppkgv1beta1.AddToScheme, xpopsv1.AddToScheme,
	} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}

	return s
}

// Each manifest has no field that its kind has not, and a catalog is one that the function takes.
func TestManifests(t *testing.T) {
	scheme := ourScheme(t)
	catalogs, claims := 0, 0

	for _, m := range manifests(t) {
		kind, err := decode(scheme, m)
		if err != nil {
			t.Errorf("%s: line %d: %v", m.page, m.line, err)
		}

		switch kind {
		case v1beta1.CatalogKind:
			catalogs++
		case "AIDispatcher":
			claims++
		}
	}

	if catalogs < 3 || claims < 6 {
		t.Errorf("only %d catalogs and %d claims were seen", catalogs, claims)
	}
}

// decode returns what kind of ours a manifest is, or has within.
func decode(scheme *runtime.Scheme, m manifest) (string, error) {
	gvk := m.gvk()

	if gvk.GroupVersion() == v1beta1.GroupVersion {
		return gvk.Kind, parseCatalog(m.object)
	}

	if !scheme.Recognizes(gvk) {
		if slices.Contains(foreign, gvk.Group) {
			return "", nil
		}

		return "", fmt.Errorf("nobody knows a %s: add its types to this test, or its group to those of others", gvk)
	}

	into, err := scheme.New(gvk)
	if err != nil {
		return "", err
	}

	if err := strictly(m.object, into); err != nil {
		return "", fmt.Errorf("cannot read a %s: %w", gvk.Kind, err)
	}

	c, ok := into.(*xpextv1.Composition)
	if !ok {
		return gvk.Kind, nil
	}

	for _, step := range c.Spec.Pipeline {
		input := map[string]any{}
		if step.Input == nil {
			continue
		}

		if err := json.Unmarshal(step.Input.Raw, &input); err != nil {
			return "", err
		}

		if input["kind"] == v1beta1.CatalogKind {
			return v1beta1.CatalogKind, parseCatalog(input)
		}
	}

	return gvk.Kind, nil
}

func parseCatalog(o map[string]any) error {
	b, err := json.Marshal(o)
	if err != nil {
		return err
	}

	s := &structpb.Struct{}
	if err := s.UnmarshalJSON(b); err != nil {
		return err
	}

	_, err = compose.ParseCatalog(s)

	return err
}

// JSON is JSON, and a worker's status has the fields of one.
func TestJSON(t *testing.T) {
	statuses := 0

	for _, p := range pages(t) {
		for _, b := range p.Blocks {
			if b.Info != jsons {
				continue
			}

			if !json.Valid([]byte(b.Text)) {
				t.Errorf("%s: line %d: this is no JSON", p.Path, b.Line)
			}

			if !strings.Contains(b.Text, `"dispatcher"`) {
				continue
			}

			statuses++

			d := json.NewDecoder(bytes.NewReader([]byte(b.Text)))
			d.DisallowUnknownFields()

			if err := d.Decode(&monitorapi.Status{}); err != nil {
				t.Errorf("%s: line %d: a worker's status has no such field: %v", p.Path, b.Line, err)
			}
		}
	}

	if statuses == 0 {
		t.Error("no worker's status was seen")
	}
}

// The check of manifests finds what it is for.
func TestDecode(t *testing.T) {
	scheme := ourScheme(t)

	cases := map[string]struct {
		reason string
		text   string
		wrong  bool
	}{
		"Claim":       {reason: "A claim as it should be.", text: "{apiVersion: southwest.ai/v1alpha1, kind: AIDispatcher, spec: {role: coder}}"},
		"ClaimField":  {reason: "A field that a claim has not.", text: "{apiVersion: southwest.ai/v1alpha1, kind: AIDispatcher, spec: {rol: coder}}", wrong: true},
		"Secret":      {reason: "Kubernetes' own are known, too.", text: "{apiVersion: v1, kind: Secret, stringdata: {a: b}}", wrong: true},
		"Unknown":     {reason: "A kind that nobody knows.", text: "{apiVersion: example.org/v1, kind: Thing}", wrong: true},
		"Others":      {reason: "A kind of others.", text: "{apiVersion: argoproj.io/v1alpha1, kind: Application}"},
		"Spec":        {reason: "A part of a claim.", text: "{spec: {checkpoint: {intervalSeconds: 5}}}"},
		"Role":        {reason: "A part of a role is checked as the function does.", text: "{tasks: {source: HTTP}}", wrong: true},
		"Part":        {reason: "A part of nothing.", text: "{colour: red}", wrong: true},
		"Composition": {reason: "A catalog is looked for in a Composition.", text: "{apiVersion: apiextensions.crossplane.io/v1, kind: Composition, spec: {compositeTypeRef: {apiVersion: a/v1, kind: b}, pipeline: [{step: s, functionRef: {name: f}, input: {apiVersion: aidispatcher.fn.southwest.ai/v1beta1, kind: Catalog}}]}}", wrong: true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := map[string]any{}
			if err := yaml.Unmarshal([]byte(tc.text), &o); err != nil {
				t.Fatal(err)
			}

			var err error
			if o["kind"] == nil {
				o, err = whole(o)
			}

			if err == nil {
				_, err = decode(scheme, manifest{object: o})
			}

			if (err != nil) != tc.wrong {
				t.Errorf("%s\n%s: want wrong %t, got %v", tc.reason, tc.text, tc.wrong, err)
			}
		})
	}
}
