package compose

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	agentv1alpha1 "github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/apis/input/v1beta1"
	"github.com/southwest-ai/agent-operator/apis/v1alpha1"
)

var (
	collectionName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_-]{0,62}$`)
	fieldName      = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,62}$`)
)

// validateMemoryConfig repeats the API's rules for one version of a claim. Those for its changes are the API server's,
// which has both versions; it repeats them for the VectorCollection.
func validateMemoryConfig(m *v1alpha1.MemoryConfig) error {
	if m == nil {
		return nil
	}

	invalid := func(format string, args ...any) error {
		return refuse(v1alpha1.ReasonInvalidClaim, "spec.memoryConfig."+format, args...)
	}

	switch {
	case m.Collection == "":
		return invalid("collection is empty: name the collection")
	case !collectionName.MatchString(m.Collection):
		return invalid("collection is %q and must be a letter, then at most 62 letters, digits, dashes or underscores", m.Collection)
	case m.Dim < 1 || m.Dim > maxDim:
		return invalid("dim is %d and must be the embedding model's dimension, 1 to %d (1536 for many models)", m.Dim, maxDim)
	case slices.Contains(m.Aliases, m.Collection):
		return invalid("aliases names %s, which is the collection itself: remove it there", m.Collection)
	}

	for _, a := range m.Aliases {
		if !collectionName.MatchString(a) {
			return invalid("aliases has %q, which must be a letter, then at most 62 letters, digits, dashes or underscores", a)
		}
	}

	s := m.Successor

	switch {
	case s == nil:
		return nil
	case !collectionName.MatchString(s.Collection):
		return invalid("successor.collection is %q and must be a letter, then at most 62 letters, digits, dashes or underscores", s.Collection)
	case s.Dim < 1 || s.Dim > maxDim:
		return invalid("successor.dim is %d and must be the new embedding model's dimension, 1 to %d", s.Dim, maxDim)
	case s.Collection == m.Collection:
		return invalid("successor.collection is the collection itself and must be another one; once it is released, remove successor")
	case len(m.Aliases) == 0:
		return invalid("successor takes over the aliases, and there is none: set aliases, and let agents use one")
	case slices.Contains(m.Aliases, s.Collection):
		return invalid("aliases names %s, which is the successor: choose another name", s.Collection)
	}

	return nil
}

// The values that the API of a VectorCollection allows.
var (
	indexTypes    = []string{"", "HNSW", "IVFFlat", "DiskANN", "Flat"}
	quantizations = []string{"", "None", "Scalar", "Binary", "Product", "Half"}
	tenancies     = []string{"", "Single", "Multi"}
	fieldTypes    = []string{"Keyword", "Text", "Integer", "Float", "Boolean", "Datetime"}
	configKinds   = []string{"ProviderConfig", "ClusterProviderConfig"}
)

// validateMemory checks what the catalog says of a role's memory: the API server, which knows the same rules, would refuse
// each VectorCollection later, and tell the team and not the platform.
func validateMemory(p *problems, at string, m *v1beta1.Memory) {
	if m == nil {
		return
	}

	if i := m.Index; i != nil {
		p.oneOf(at+".index.type", i.Type, indexTypes)
		p.within(at+".index.m", i.M, 2, 2048)
		p.within(at+".index.efConstruction", i.EfConstruction, 4, 4096)
		p.within(at+".index.ef", i.Ef, 1, 4096)
	}

	p.within(at+".shards", m.Shards, 1, 1024)
	p.within(at+".replicas", m.Replicas, 1, 64)
	p.oneOf(at+".quantization", m.Quantization, quantizations)
	p.oneOf(at+".tenancy", m.Tenancy, tenancies)
	validateFields(p, at+".indexedFields", m.IndexedFields)

	if r := m.ProviderConfigRef; r != nil {
		p.oneOf(at+".providerConfigRef.kind", r.Kind, configKinds)

		if r.Name == "" {
			p.add(at+".providerConfigRef.name", "is empty: name the configuration")
		}
	}
}

func validateFields(p *problems, at string, fields []agentv1alpha1.IndexedField) {
	names := make(map[string]bool, len(fields))

	for i, f := range fields {
		here := fmt.Sprintf("%s[%d]", at, i)

		switch {
		case !fieldName.MatchString(f.Name):
			p.add(here+".name", "%q must be a letter or underscore, then at most 62 letters, digits or underscores", f.Name)
		case names[f.Name]:
			p.add(here+".name", "%q is listed twice", f.Name)
		}

		names[f.Name] = true

		p.oneOf(here+".type", f.Type, fieldTypes)
	}
}

func (p *problems) oneOf(at, value string, allowed []string) {
	if !slices.Contains(allowed, value) {
		p.add(at, "%q is not one of %s", value, strings.Trim(strings.Join(allowed, ", "), ", "))
	}
}

func (p *problems) within(at string, n *int32, least, most int32) {
	if n != nil && (*n < least || *n > most) {
		p.add(at, "is %d and must be %d to %d", *n, least, most)
	}
}
