package pgvector

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// Create implements vector.Driver: all of it or nothing.
func (d *driver) Create(ctx context.Context, s vector.Spec) error {
	if !tableOf(s.Name).own() {
		return vector.Errorf(vector.Invalid, "cannot make %q: a name with a dot is of a table that others made, and there is none", s.Name)
	}

	s = resolve(s)
	t := tableOf(s.Name)
	typ := columnType(s)
	statements := []string{
		serialized,
		"CREATE EXTENSION IF NOT EXISTS vector",
		"CREATE SCHEMA " + identifier(t.schema),
		"REVOKE ALL ON SCHEMA " + identifier(t.schema) + " FROM PUBLIC",
		createTable(t, s, typ),
		"COMMENT ON TABLE " + t.sql() + " IS " + note{Owner: s.Owner, Distance: s.Distance, Tenancy: s.Tenancy}.sql(),
	}

	if s.Tenancy == vector.Multi {
		statements = append(statements, "CREATE INDEX ON "+t.sql()+" (tenant)")
	}

	if s.Index != vector.Flat {
		name, definition := vectorIndex(t, "embedding", typ, s.Properties)
		statements = append(statements, "CREATE INDEX "+identifier(name)+" ON "+definition)
	}

	for _, f := range s.IndexedFields {
		statements = append(statements, fieldIndex(t, f)...)
	}

	return d.exec(ctx, statements...)
}

func columnType(s vector.Spec) string {
	if s.Quantization == vector.Half {
		return "halfvec"
	}

	return "vector"
}

func createTable(t table, s vector.Spec, typ string) string {
	key, tenant := "id text PRIMARY KEY", ""
	if s.Tenancy == vector.Multi {
		key, tenant = "id text NOT NULL", ", tenant text NOT NULL, PRIMARY KEY (tenant, id)"
	}

	return fmt.Sprintf("CREATE TABLE %s (%s, embedding %s(%d) NOT NULL, content text, metadata jsonb NOT NULL DEFAULT '{}'%s)", t.sql(), key, typ, s.Dim, tenant)
}

// vectorIndex returns the name and the definition of an index on a column of vectors. The name tells one definition from
// another, so that an index need not be made twice.
func vectorIndex(t table, column, typ string, p vector.Properties) (name, definition string) {
	class := typ + classes[p.Distance]

	switch p.Index {
	case vector.IVFFlat:
		definition = fmt.Sprintf("%s USING ivfflat (%s %s)", t.sql(), identifier(column), class)
	default:
		definition = fmt.Sprintf("%s USING hnsw (%s %s) WITH (m = %d, ef_construction = %d)", t.sql(), identifier(column), class, *p.M, *p.EfConstruction)
	}

	return indexName(t, definition), definition
}

// fieldIndex returns the statements that index a field.
func fieldIndex(t table, f vector.Field) []string {
	definition := t.sql() + " " + fieldExpression(f)
	name := indexName(t, definition)

	return []string{
		"CREATE INDEX IF NOT EXISTS " + identifier(name) + " ON " + definition,
		"COMMENT ON INDEX " + identifier(t.schema) + "." + identifier(name) + " IS " + note{Field: &f}.sql(),
	}
}

// fieldExpression is what a filter has to say to use the index.
func fieldExpression(f vector.Field) string {
	text := "(metadata ->> " + literal(f.Name) + ")"

	switch f.Type {
	case vector.Text:
		return "USING gin (to_tsvector('simple', " + text + "))"
	case vector.Integer:
		return "((" + text + "::bigint))"
	case vector.Float:
		return "((" + text + "::double precision))"
	case vector.Boolean:
		return "((" + text + "::boolean))"
	default:
		return "(" + text + ")"
	}
}

func indexName(t table, definition string) string {
	sum := sha256.Sum256([]byte(definition))
	suffix := "_" + hex.EncodeToString(sum[:5])

	return t.name[:min(len(t.name), 63-len(suffix))] + suffix
}

// Drop implements vector.Driver. Its aliases go with it; a schema in which others keep something stays.
func (d *driver) Drop(ctx context.Context, name string) error {
	f, err := d.find(ctx, name)
	if vector.Is(err, vector.NotFound) {
		return nil
	}

	if err != nil {
		return err
	}

	t := tableOf(name)
	statements := []string{serialized}

	for _, a := range f.aliases {
		statements = append(statements, "DROP SCHEMA IF EXISTS "+identifier(a)+" CASCADE")
	}

	statements = append(statements, "DROP TABLE IF EXISTS "+t.sql())
	if !t.own() {
		return d.exec(ctx, statements...)
	}

	err = d.exec(ctx, append(slices.Clone(statements), "DROP SCHEMA IF EXISTS "+identifier(t.schema))...)
	if err != nil && strings.Contains(err.Error(), stillNeeded) {
		return d.exec(ctx, statements...)
	}

	return err
}

// stillNeeded is the SQLSTATE of what cannot be dropped because other things depend on it.
const stillNeeded = "2BP01"
