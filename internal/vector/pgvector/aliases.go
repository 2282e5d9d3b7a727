package pgvector

import (
	"context"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

// PointAlias implements vector.Aliaser. A view cannot take columns of another type, so it is made anew: in one transaction,
// with the rights that were given on it.
func (d *driver) PointAlias(ctx context.Context, alias, collection string) error {
	comment, exists, err := d.schema(ctx, alias)
	if err != nil {
		return err
	}

	if exists && !readNote(comment).Alias {
		return vector.Errorf(vector.Exists, "there is a schema %q, and it is no alias", alias)
	}

	logins, err := d.logins(ctx, alias)
	if err != nil {
		return err
	}

	view := table{schema: alias, name: alias}.sql()
	statements := []string{
		serialized,
		"CREATE SCHEMA IF NOT EXISTS " + identifier(alias),
		"REVOKE ALL ON SCHEMA " + identifier(alias) + " FROM PUBLIC",
		"COMMENT ON SCHEMA " + identifier(alias) + " IS " + note{Alias: true}.sql(),
		"DROP VIEW IF EXISTS " + view,
		"CREATE VIEW " + view + " AS SELECT * FROM " + tableOf(collection).sql(),
	}

	for _, l := range logins {
		statements = append(statements, letIn(l, alias, view)...)
	}

	return notThere(collection, d.exec(ctx, statements...))
}

// DropAlias implements vector.Aliaser.
func (d *driver) DropAlias(ctx context.Context, alias string) error {
	comment, exists, err := d.schema(ctx, alias)
	if err != nil || !exists {
		return err
	}

	if !readNote(comment).Alias {
		return nil
	}

	return d.exec(ctx, serialized, "DROP SCHEMA IF EXISTS "+identifier(alias)+" CASCADE")
}

// schema returns the comment of a schema, and whether there is one.
func (d *driver) schema(ctx context.Context, name string) (comment string, exists bool, err error) {
	rows, err := d.pool.Query(ctx, "SELECT coalesce(obj_description(oid, 'pg_namespace'), '') FROM pg_namespace WHERE nspname = $1", name)
	if err != nil {
		return "", false, classify(ctx, err)
	}
	defer rows.Close()

	for rows.Next() {
		if err := rows.Scan(&comment); err != nil {
			return "", false, classify(ctx, err)
		}

		exists = true
	}

	return comment, exists, classify(ctx, rows.Err())
}

// logins returns those whom we let into a schema.
func (d *driver) logins(ctx context.Context, schema string) ([]string, error) {
	return d.names(ctx, `SELECT r.rolname FROM pg_namespace n, aclexplode(n.nspacl) a JOIN pg_roles r ON r.oid = a.grantee
WHERE n.nspname = $1 AND shobj_description(r.oid, 'pg_authid') LIKE '{"aidispatcher":1%' ORDER BY 1`, schema)
}

// names returns a column of names.
func (d *driver) names(ctx context.Context, sql string, args ...any) ([]string, error) {
	rows, err := d.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, classify(ctx, err)
	}
	defer rows.Close()

	var out []string

	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, classify(ctx, err)
		}

		out = append(out, name)
	}

	return out, classify(ctx, rows.Err())
}
