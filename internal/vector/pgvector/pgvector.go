package pgvector

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/southwest-ai/agent-operator/internal/vector"
)

const (
	// maxConns of a driver: each costs the server a process, and a poll takes milliseconds.
	maxConns = 4
	// idle connections are closed after this time.
	idle = time.Minute
)

// driver is a vector.Driver, vector.Aliaser and vector.Granter.
type driver struct{ pool *pgxpool.Pool }

// Open returns a driver for the database at an endpoint, to which it does not connect yet.
func Open(c vector.Config) (vector.Driver, error) {
	u, err := url.Parse(c.Endpoint)
	if err != nil || u.Host == "" || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, vector.Errorf(vector.Invalid, "cannot use the endpoint: want postgres://host:5432/database?sslmode=verify-full")
	}

	if u.User != nil {
		return nil, vector.Errorf(vector.Invalid, "cannot use the endpoint: it must not hold credentials, which belong into a Secret")
	}

	cfg, err := pgxpool.ParseConfig(c.Endpoint)
	if err != nil {
		return nil, vector.Errorf(vector.Invalid, "cannot use the endpoint: its parameters are not those of PostgreSQL: %w", err)
	}

	conn := cfg.ConnConfig
	conn.User, conn.Password = c.User, c.Password
	// One request per statement, and nothing prepared that a connection shared with others would not have.
	conn.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	conn.RuntimeParams["application_name"] = "aidispatcher"

	if c.TLS != nil {
		conn.TLSConfig = verifying(c.TLS, conn.Host)
		conn.Fallbacks = nil
	}

	cfg.MaxConns, cfg.MinConns, cfg.MaxConnIdleTime = maxConns, 0, idle

	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return nil, vector.Errorf(vector.Invalid, "cannot use the endpoint: %w", err)
	}

	return &driver{pool: pool}, nil
}

func verifying(c *tls.Config, host string) *tls.Config {
	c = c.Clone()
	if c.ServerName == "" {
		c.ServerName = host
	}

	return c
}

// Close implements vector.Driver.
func (d *driver) Close() { d.pool.Close() }

// exec runs statements as one transaction and one request. They have no arguments.
func (d *driver) exec(ctx context.Context, statements ...string) error {
	_, err := d.pool.Exec(ctx, strings.Join(statements, ";\n"))

	return classify(ctx, err)
}

// A table is where a collection is.
type table struct{ schema, name string }

func tableOf(collection string) table {
	if schema, name, ok := strings.Cut(collection, "."); ok {
		return table{schema: schema, name: name}
	}

	return table{schema: collection, name: collection}
}

// own says that the schema is there for the table alone.
func (t table) own() bool { return t.schema == t.name }

// sql returns the table's name in SQL.
func (t table) sql() string { return pgx.Identifier{t.schema, t.name}.Sanitize() }

func identifier(name string) string { return pgx.Identifier{name}.Sanitize() }

// literal returns a string in SQL, in the form that means the same whatever standard_conforming_strings says.
func literal(s string) string {
	return "E'" + strings.NewReplacer(`\`, `\\`, `'`, `''`, "\x00", "").Replace(s) + "'"
}

// serialized begins whatever makes or drops: two of those at once would meet in the catalogs, with errors that say nothing.
// And who waits long for a lock holds up all that come after. It is no setting of the connection, which PgBouncer refuses.
var serialized = fmt.Sprintf("SET LOCAL lock_timeout = '3s';\nSELECT pg_advisory_xact_lock(%d)", 0x61696470)
