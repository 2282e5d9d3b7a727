package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/southwest-ai/agent-operator/apis/agent/v1alpha1"
	"github.com/southwest-ai/agent-operator/internal/vector"
)

var update = flag.Bool("update", false, "write the table of stores into docs/memory.md instead of comparing it")

// memoryDocs says what each store can do, between two marks.
const memoryDocs = "../../docs/memory.md"

const (
	tableBegins = "<!-- What the drivers say of themselves: go test ./cmd/provider -run TestMemoryDocs -update -->\n"
	tableEnds   = "<!-- Until here. -->\n"
)

// TestMemoryDocs holds the table of docs/memory.md to what the drivers say they can do.
func TestMemoryDocs(t *testing.T) {
	b, err := os.ReadFile(memoryDocs)
	if err != nil {
		t.Fatal(err)
	}

	before, rest, ok := strings.Cut(string(b), tableBegins)
	was, after, ok2 := strings.Cut(rest, tableEnds)

	if !ok || !ok2 {
		t.Fatalf("%s lacks the marks of the table", memoryDocs)
	}

	table := tableOf(stores())

	if *update {
		if err := os.WriteFile(memoryDocs, []byte(before+tableBegins+table+tableEnds+after), 0o644); err != nil {
			t.Fatal(err)
		}

		return
	}

	if diff := cmp.Diff(table, was); diff != "" {
		t.Errorf("the table is not what the drivers say, -want, +got (mend it with -update):\n%s", diff)
	}
}

// tableOf returns what stores can do, as a table in Markdown with a column for each.
func tableOf(backends map[v1alpha1.VectorStoreType]vector.Backend) string {
	order := []v1alpha1.VectorStoreType{v1alpha1.StorePGVector, v1alpha1.StoreQdrant, v1alpha1.StoreWeaviate, v1alpha1.StoreMilvus, v1alpha1.StoreChroma}
	kinds := slices.DeleteFunc(order, func(k v1alpha1.VectorStoreType) bool { _, ok := backends[k]; return !ok })

	var b strings.Builder

	line := func(name string, cell func(vector.Features) string) {
		b.WriteString("| " + name + " |")

		for _, k := range kinds {
			fmt.Fprintf(&b, " %s |", cell(backends[k].Features))
		}

		b.WriteByte('\n')
	}

	b.WriteString("| |")

	for _, k := range kinds {
		fmt.Fprintf(&b, " %s |", k)
	}

	b.WriteString("\n|" + strings.Repeat(" --- |", len(kinds)+1) + "\n")

	for _, r := range rows {
		line(r.name, r.cell)
	}

	return b.String()
}

// rows of the table, in the order of the spec's fields.
var rows = []struct {
	name string
	cell func(vector.Features) string
}{
	{"largest `dim`", func(f vector.Features) string { return fmt.Sprint(f.MaxDim) }},
	{"`distance`", func(f vector.Features) string { return names(f.Distances) }},
	{"`index.type`", func(f vector.Features) string { return which(f.Index, f.Indexes) }},
	{"`index.m`", func(f vector.Features) string { return when(f.M) }},
	{"`index.efConstruction`", func(f vector.Features) string { return when(f.EfConstruction) }},
	{"`index.ef`", func(f vector.Features) string { return when(f.Ef) }},
	{"`shards`", func(f vector.Features) string { return when(f.Shards) }},
	{"`replicas`", func(f vector.Features) string { return when(f.Replicas) }},
	{"`quantization`", func(f vector.Features) string { return which(f.Quantization, f.Quantizations) }},
	{"`onDisk`", func(f vector.Features) string { return when(f.OnDisk) }},
	{"`tenancy`", func(f vector.Features) string { return names(f.Tenancies) }},
	{"`indexedFields`", func(f vector.Features) string { return which(f.IndexedFields, f.FieldTypes) }},
	{"`aliases`, `successor`", func(f vector.Features) string { return yes(f.Aliases) }},
	{"an owner's stamp", func(f vector.Features) string { return yes(f.Stamp) }},
	{"a login per collection", func(f vector.Features) string { return yes(f.Grants) }},
	{"longest name, bytes", func(f vector.Features) string { return fmt.Sprint(f.MaxName) }},
}

func names[T ~string](vs []T) string {
	if len(vs) == 0 {
		return "–"
	}

	texts := make([]string, len(vs))
	for i, v := range vs {
		texts[i] = string(v)
	}

	return strings.Join(texts, ", ")
}

func which[T ~string](s vector.Support, vs []T) string {
	if s == vector.Never {
		return when(s)
	}

	return names(vs) + ": " + when(s)
}

func when(s vector.Support) string {
	switch s {
	case vector.AtCreation:
		return "at creation"
	case vector.Growing:
		return "grows"
	case vector.Always:
		return "always"
	default:
		return "–"
	}
}

func yes(b bool) string {
	if b {
		return "yes"
	}

	return "–"
}

// TestStores: whatever type of store the API accepts, this provider can reach.
func TestStores(t *testing.T) {
	for _, k := range []v1alpha1.VectorStoreType{
		v1alpha1.StorePGVector, v1alpha1.StoreQdrant, v1alpha1.StoreWeaviate, v1alpha1.StoreMilvus, v1alpha1.StoreChroma,
	} {
		if b, ok := stores()[k]; !ok || b.Open == nil || b.Features.MaxDim == 0 {
			t.Errorf("there is no driver for %s", k)
		}
	}
}

// TestTableOf: each degree of support has its word.
func TestTableOf(t *testing.T) {
	got := tableOf(map[v1alpha1.VectorStoreType]vector.Backend{
		v1alpha1.StoreChroma: {Features: vector.Features{MaxDim: 3, MaxName: 5, Distances: []vector.Distance{vector.L2}, M: vector.Always}},
		v1alpha1.StoreQdrant: {Features: vector.Features{
			Index: vector.AtCreation, Indexes: []vector.IndexType{vector.HNSW, vector.Flat}, Quantization: vector.Growing, Quantizations: []vector.Quantization{vector.Half},
			Stamp: true,
		}},
	})

	for _, want := range []string{
		"| | Qdrant | Chroma |\n| --- | --- | --- |\n", "| largest `dim` | 0 | 3 |\n", "| `distance` | – | L2 |\n", "| `index.type` | HNSW, Flat: at creation | – |\n",
		"| `index.m` | – | always |\n", "| `quantization` | Half: grows | – |\n", "| an owner's stamp | yes | – |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no line %q in\n%s", want, got)
		}
	}
}
